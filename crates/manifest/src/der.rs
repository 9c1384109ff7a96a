//! The little of DER (ITU-T X.690) that public keys need: definite lengths, single-byte tags.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// One element in front of `input`.
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

/// Reads elements one behind the other; `None` where there is no whole element.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, whatever its tag.
    pub(crate) fn element(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let len = bytes
                    .iter()
                    .fold(0_u32, |len, byte| (len << 8) | u32::from(*byte));
                (usize::try_from(len).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        let whole = self.0.get(..self.0.len().checked_sub(rest.len())?)?;
        self.0 = rest;
        Some(Element {
            tag,
            content,
            whole,
        })
    }

    /// The next element, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.element().filter(|element| element.tag == tag)
    }
}

/// An element made of `parts` one behind the other.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    let len = content.len().to_be_bytes();
    let significant = len.iter().position(|byte| *byte != 0).unwrap_or(len.len());
    let len = len.get(significant..).unwrap_or_default();
    match len {
        [] => element.push(0),
        [short @ 0..=0x7f] => element.push(*short),
        long => {
            element.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(&content);
    element
}

/// A positive integer from its big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if bytes.first().is_none_or(|first| *first >= 0x80) {
        &[0]
    } else {
        &[]
    };
    element(INTEGER, &[sign, bytes])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers() {
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[1, 0, 1]), [2, 3, 1, 0, 1]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn what_is_no_element() {
        let table: [&[u8]; 7] = [
            &[],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80],
            &[0x1f, 1, 0],
            &[4, 0x82, 1],
            &[4, 0x85, 0, 0, 0, 0, 0],
        ];
        for bytes in table {
            assert!(Reader(bytes).element().is_none(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn elements_read_back(tag in 0_u8..31, len in 0_usize..70_000) {
            let content = vec![7; len];
            let written = element(tag, &[&content]);
            let mut reader = Reader(&written);
            let read = reader.element().unwrap();
            prop_assert_eq!((read.tag, read.content, read.whole), (tag, &*content, &*written));
            prop_assert!(reader.element().is_none());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader(&bytes);
            while reader.element().is_some() {}
        }
    }
}

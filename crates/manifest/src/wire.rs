//! Documents as they are on the wire: borrowed, lenient in the leaves, strict in the structure.
//!
//! A leaf of the wrong type reads as absent, as does `null`; a list that is not a list, or a key
//! given twice, fails the document. Unknown keys are skipped without being built.

mod document;
mod leaf;

use memchr::memchr2;
use serde::Deserialize;

pub(crate) use self::{
    document::{Document, Entry, Keys, PlatformEntry},
    leaf::{Annotations, FromMap, Number, Set, Text, Words, from_objects, object},
};
use crate::{
    Error,
    limits::{DEPTH_MAX, ENTRIES_MAX},
};

/// Reads any manifest.
pub(crate) fn document(bytes: &[u8]) -> Result<Document<'_>, Error> {
    read("manifest", bytes)
}

/// Reads `part` of a document from JSON.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    part: &'static str,
    bytes: &'a [u8],
) -> Result<T, Error> {
    check_shape(bytes)?;
    serde_json::from_slice(bytes).map_err(|source| Error::json(part, source))
}

/// Refuses nesting over [`DEPTH_MAX`], and a list or an object of more than [`ENTRIES_MAX`], before
/// anything is built: an entry of two bytes becomes a hundred times as many. Unbalanced brackets
/// are left to the reader.
fn check_shape(bytes: &[u8]) -> Result<(), Error> {
    let mut depth = 0_usize;
    let mut commas = [0_usize; DEPTH_MAX + 1];
    let mut left = bytes;
    while let Some((byte, rest)) = left.split_first() {
        left = rest;
        match byte {
            b'"' => left = after_string(left),
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                let Some(commas) = commas.get_mut(depth) else {
                    let depth_max = DEPTH_MAX;
                    return Err(Error::TooDeep { depth_max });
                };
                *commas = 0;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => {
                if let Some(commas) = commas.get_mut(depth) {
                    *commas = commas.saturating_add(1);
                    if *commas >= ENTRIES_MAX {
                        let entries_max = ENTRIES_MAX;
                        return Err(Error::TooManyEntries { entries_max });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What follows a string that has begun; nothing if it does not end.
fn after_string(mut left: &[u8]) -> &[u8] {
    loop {
        let (skipped, escape) = match memchr2(b'"', b'\\', left) {
            Some(at) => (at.saturating_add(1), left.get(at) == Some(&b'\\')),
            None => return &[],
        };
        let skipped = if escape {
            skipped.saturating_add(1)
        } else {
            skipped
        };
        left = left.get(skipped..).unwrap_or_default();
        if !escape {
            return left;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_hide_brackets(text in "[\\[\\]{}\"\\\\a-z]{0,40}", deep in 0_usize..80) {
            let string = serde_json::to_string(&text).unwrap();
            let json = format!("{}{string}{}", "[".repeat(deep), "]".repeat(deep));
            prop_assert_eq!(check_shape(json.as_bytes()).is_ok(), deep <= DEPTH_MAX);
        }
    }
    #[test]
    fn commas_count_in_the_list_they_are_in() {
        let list = |entry: &str, entries| format!("[{}]", vec![entry; entries].join(","));
        let pair = list(r#"",[,{\",""#, 2);
        for (entries, fits) in [(ENTRIES_MAX, true), (ENTRIES_MAX + 1, false)] {
            let long = list("0", entries);
            for json in [
                list(&pair, entries),
                format!("{{\"a\":[],\"b\":{long}}}"),
                format!("[{long},{long}]"),
            ] {
                assert_eq!(check_shape(json.as_bytes()).is_ok(), fits, "{entries}");
            }
        }
    }
}

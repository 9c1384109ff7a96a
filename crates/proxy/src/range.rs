//! Byte ranges of a request (RFC 9110 §13.1, §14): parsed, then resolved against the size of the content.

mod multipart;
mod span;
#[cfg(test)]
mod tests;

pub use multipart::Multipart;
pub use span::Span;

use longshore_store::BlobRange;

/// The most ranges one request may ask for. More are refused with 400, which makes the partial pulls of the Podman
/// family merge their ranges and ask again.
pub const PARTS_MAX: usize = 64;

/// The ranges a request asked for, in its order; at least one, at most [`PARTS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    first: Part,
    more: Vec<Part>,
}

/// More than [`PARTS_MAX`] ranges: the answer is 400, never 416 and never the first few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {PARTS_MAX} ranges")]
pub struct TooMany;

/// One range before the size of the content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `a-b` or `a-`; both ends belong to the range.
    From { first: u64, last: Option<u64> },
    /// `-n`: the last `n` bytes.
    Suffix(u64),
}

/// What a range means for content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// The range does not apply: 200 with everything.
    Whole,
    /// 206 with one `Content-Range`.
    One(Span),
    /// 206 `multipart/byteranges`: several ranges were asked for, these can be satisfied, in the order asked.
    Many(Vec<Span>),
    /// None can be satisfied: 416 with [`content_range_unsatisfied`].
    Unsatisfiable,
}

impl Range {
    /// Parses the value of a `Range` header. `None` stands for a header that has to be ignored: a unit other than
    /// bytes, or a range that breaks the grammar (RFC 9110 §14.2). Numbers past 64 bits count as the largest one.
    ///
    /// # Errors
    /// [`TooMany`] for more than [`PARTS_MAX`] ranges.
    pub fn parse(value: &[u8]) -> Result<Option<Self>, TooMany> {
        let Some((unit, set)) = value.split_at_checked(b"bytes=".len()) else {
            return Ok(None);
        };
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return Ok(None);
        }
        let mut first = None;
        let mut more = Vec::new();
        for text in set.split(|byte| *byte == b',') {
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let Some(part) = Part::parse(text) else {
                return Ok(None);
            };
            if first.is_none() {
                first = Some(part);
            } else if more.len() + 1 == PARTS_MAX {
                return Err(TooMany);
            } else {
                more.push(part);
            }
        }
        Ok(first.map(|first| Self { first, more }))
    }

    /// What these ranges are in content of `size` bytes. Empty content is always [`Resolved::Whole`]: clients that
    /// send `bytes=0-` with everything would take a 416 for a failure. So are several ranges that together are longer
    /// than the content (RFC 9110 §14.2).
    #[must_use]
    pub fn resolve(&self, size: u64) -> Resolved {
        if size == 0 {
            return Resolved::Whole;
        }
        if self.more.is_empty() {
            return self
                .first
                .resolve(size)
                .map_or(Resolved::Unsatisfiable, Resolved::One);
        }
        let spans: Vec<Span> = std::iter::once(&self.first)
            .chain(&self.more)
            .filter_map(|part| part.resolve(size))
            .collect();
        let asked = spans
            .iter()
            .fold(0, |sum: u64, span| sum.saturating_add(span.len()));
        if spans.is_empty() {
            Resolved::Unsatisfiable
        } else if asked > size {
            // More than the content itself: a range may be ignored, and bytes are not sent twice.
            Resolved::Whole
        } else {
            Resolved::Many(spans)
        }
    }

    /// The first range: its first byte and the one after its last, or how many of the last bytes it asks for.
    #[must_use]
    pub fn first(&self) -> BlobRange {
        match self.first {
            Part::From { first, last } => BlobRange::From {
                start: first,
                end: last.map(|last| last.saturating_add(1)),
            },
            Part::Suffix(length) => BlobRange::Last(length),
        }
    }

    /// How many ranges were asked for.
    #[must_use]
    pub fn parts(&self) -> usize {
        1 + self.more.len()
    }
}

impl Part {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (text.get(..dash)?, text.get(dash + 1..)?);
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let first = number(first)?;
        if last.is_empty() {
            return Some(Self::From { first, last: None });
        }
        let last = number(last)?;
        (first <= last).then_some(Self::From {
            first,
            last: Some(last),
        })
    }

    fn resolve(self, size: u64) -> Option<Span> {
        let (start, end) = match self {
            Self::From { first, last } => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                (first, end)
            }
            Self::Suffix(length) => (size.saturating_sub(length), size),
        };
        Span::new(start, end)
    }
}

/// The value of `Content-Range` in a 416.
#[must_use]
pub fn content_range_unsatisfied(size: u64) -> String {
    format!("bytes */{size}")
}

/// Whether a `Range` still applies beside this `If-Range` (RFC 9110 §13.1.5): only for the very same strong tag. A date
/// never matches, as nothing here has a `Last-Modified`. `etag` comes with its quotes.
#[must_use]
pub fn if_range(header: Option<&[u8]>, etag: &str) -> bool {
    header.is_none_or(|value| value.trim_ascii() == etag.as_bytes())
}

/// Whether this `If-None-Match` (RFC 9110 §13.1.2; one line of it) makes the answer a 304. `etag` comes with its quotes.
#[must_use]
pub fn if_none_match(header: Option<&[u8]>, etag: &str) -> bool {
    let Some(header) = header else {
        return false;
    };
    // Our tags are quoted digests: no comma can be inside one of them.
    header.split(|byte| *byte == b',').any(|tag| {
        let tag = tag.trim_ascii();
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        tag == b"*" || tag == etag.as_bytes()
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut sum: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Some(sum)
}

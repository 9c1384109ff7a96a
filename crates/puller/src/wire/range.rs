//! `Content-Range` (RFC 9110 section 14.4) as registries write it (pure).

use http::{HeaderMap, header::CONTENT_RANGE};

/// `bytes <start>-<end>/<total>`, or `bytes */<total>` of a 416. The unit is missing in answers of old registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// First and last byte.
    pub(crate) span: Option<(u64, u64)>,
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(CONTENT_RANGE)?.to_str().ok()?)
    }

    /// As a v1 registry writes it: its last byte may be the total.
    pub(crate) fn of_v1(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
        Self::parse(text).or_else(|| {
            let (span, total) = text.rsplit_once('/')?;
            let (first, last) = span.rsplit_once('-')?;
            let total = number(total.trim())?;
            let last = number(last.trim())?.checked_sub(1)?;
            (last.checked_add(1) == Some(total))
                .then(|| Self::parse(&format!("{first}-{last}/{total}")))?
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = match text.get(..5) {
            Some(unit) if unit.eq_ignore_ascii_case("bytes") => {
                text.get(5..)?.trim_start_matches([' ', '=', ':'])
            }
            _ => text,
        };
        let (span, total) = text.split_once('/')?;
        let total = match total.trim() {
            "*" => None,
            digits => Some(number(digits)?),
        };
        let span = match span.trim() {
            "*" => None,
            span => {
                let (first, last) = span.split_once('-')?;
                let (first, last) = (number(first.trim())?, number(last.trim())?);
                // Nothing is so long that its last byte has the highest number: the size would be one more.
                last.checked_add(1)?;
                if first > last || total.is_some_and(|total| last >= total) {
                    return None;
                }
                Some((first, last))
            }
        };
        Some(Self { span, total })
    }
}

/// The size of the whole.
pub(crate) fn total(headers: &HeaderMap) -> Option<u64> {
    ContentRange::of(headers)?.total
}

fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let range = |span, total| Some(ContentRange { span, total });
        for (text, expected) in [
            ("bytes 0-0/100", range(Some((0, 0)), Some(100))),
            ("bytes 10-99/100", range(Some((10, 99)), Some(100))),
            ("Bytes=10-99/100", range(Some((10, 99)), Some(100))),
            ("10-99/100", range(Some((10, 99)), Some(100))),
            ("bytes 10-99/*", range(Some((10, 99)), None)),
            ("bytes */100", range(None, Some(100))),
            ("bytes */*", range(None, None)),
            ("bytes 10-100/100", None),
            ("bytes 9-8/100", None),
            ("bytes 0-0", None),
            ("bytes -5/100", None),
            ("bytes 0-+5/100", None),
            ("bytes 0-99999999999999999999/*", None),
            ("bytes 5-18446744073709551615/*", None),
            (
                "bytes 5-18446744073709551614/*",
                range(Some((5, u64::MAX - 1)), None),
            ),
            ("\u{e9}\u{e9}\u{e9}", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn content_ranges_of_old() {
        let range = |span, total| Some(ContentRange { span, total });
        for (text, expected) in [
            ("10-99/100", range(Some((10, 99)), Some(100))),
            ("10-100/100", range(Some((10, 99)), Some(100))),
            ("bytes 10-100/100", range(Some((10, 99)), Some(100))),
            ("10-101/100", None),
            ("100-100/100", None),
            ("0-0/0", None),
            ("0-100/*", range(Some((0, 100)), None)),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            assert_eq!(ContentRange::of_v1(&headers), expected, "{text}");
        }
    }
}

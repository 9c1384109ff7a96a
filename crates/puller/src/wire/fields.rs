//! Header fields: `Content-Length`, `Content-Type`, `Docker-Content-Digest`.

use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use longshore_reference::Digest;

/// Names the digest of what is sent.
pub(crate) const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";

/// The one `Content-Length`, also of a response to HEAD. `None` where several differ.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|value| {
        let text = value.to_str().ok()?;
        (text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    });
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

/// Whether a response is a web page.
pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| {
        ["text/html", "application/xhtml+xml"]
            .iter()
            .any(|html| media_type.eq_ignore_ascii_case(html))
    })
}

/// `Content-Type` without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = text.split(';').next().unwrap_or_default().trim();
    (!media_type.is_empty()).then(|| media_type.to_owned())
}

/// The digests that `Docker-Content-Digest` names.
pub(crate) fn content_digests(headers: &HeaderMap) -> impl Iterator<Item = Digest> + '_ {
    let values = headers.get_all(DOCKER_CONTENT_DIGEST).iter();
    values.filter_map(|value| Digest::parse(value.to_str().ok()?.trim()).ok())
}

/// A header field as text.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (lines, expected) in [
            (&["5"][..], Some(5)),
            (&["0"], Some(0)),
            (&["5", "5"], Some(5)),
            (&["5", "6"], None),
            (&["5", "x"], None),
            (&["+5"], None),
            (&["-1"], None),
            (&[""], None),
            (&["5, 5"], None),
            (&["99999999999999999999"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_LENGTH, line.parse().unwrap());
            }
            assert_eq!(content_length(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn media_types() {
        for (text, expected, html) in [
            ("text/html", Some("text/html"), true),
            ("Text/HTML; charset=utf-8", Some("Text/HTML"), true),
            ("application/xhtml+xml", Some("application/xhtml+xml"), true),
            ("application/json ; a=b", Some("application/json"), false),
            (";", None, false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, text.parse().unwrap())]);
            assert_eq!(media_type(&headers).as_deref(), expected, "{text}");
            assert_eq!(is_html(&headers), html, "{text}");
        }
        assert_eq!(media_type(&HeaderMap::new()), None);
    }
}

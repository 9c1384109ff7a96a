//! What the answer to `GET /v1/_ping` says (pure).

use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};
use serde::Deserialize;

/// What is known of a v1 endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ping {
    /// It is index and registry in one: credentials go with every request.
    pub(crate) standalone: bool,
    /// The answer was one of protocol v1, and not just any answer.
    pub(crate) speaks: bool,
}

impl Ping {
    /// Docker's own index, which is not asked.
    pub(crate) const DOCKER: Self = Self {
        standalone: false,
        speaks: false,
    };

    /// Any status is taken. Without a word to the contrary an endpoint is standalone; the header
    /// `X-Docker-Registry-Standalone` beats the body.
    pub(crate) fn parse(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            standalone: Option<bool>,
        }
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        let info = serde_json::from_slice::<Info>(body)
            .ok()
            .filter(|_| is_object);
        let header = headers.get(STANDALONE).and_then(|v| v.to_str().ok());
        let standalone = match header.map(str::trim) {
            Some(text) if !text.is_empty() => text.eq_ignore_ascii_case("true") || text == "1",
            _ => info.as_ref().and_then(|i| i.standalone).unwrap_or(true),
        };
        let named = headers.contains_key(VERSION) || headers.contains_key(STANDALONE);
        let wants_token = headers.get_all(WWW_AUTHENTICATE).iter().any(|value| {
            let start = value.as_bytes().get(..b"Token".len());
            start.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Token"))
        });
        let says_true = body.trim_ascii() == b"true";
        Self {
            standalone,
            speaks: match status {
                StatusCode::OK => named || info.is_some() || says_true,
                // One that wants a login for everything has said in its header, or by its scheme, what it is.
                StatusCode::UNAUTHORIZED => named || wants_token,
                _ => false,
            },
        }
    }
}

const STANDALONE: &str = "x-docker-registry-standalone";
const VERSION: &str = "x-docker-registry-version";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings() {
        for (status, header, body, standalone, speaks) in [
            (200, None, "true", true, true),
            (200, None, "{}", true, true),
            (
                200,
                None,
                r#"{"standalone":false,"version":"0.9"}"#,
                false,
                true,
            ),
            (200, None, r#"{"standalone":true}"#, true, true),
            (200, None, r#"{"standalone":"no"}"#, true, false),
            (200, None, "<html>", true, false),
            (200, None, "[true]", true, false),
            (200, None, "", true, false),
            (404, None, "{}", true, false),
            (500, None, "", true, false),
            (200, Some("True"), "", true, true),
            (200, Some("1"), r#"{"standalone":false}"#, true, true),
            (200, Some("False"), "true", false, true),
            (200, Some("mirror"), "true", false, true),
            (200, Some(""), r#"{"standalone":false}"#, false, true),
            (401, Some("0"), "", false, true),
            (401, None, "true", true, false),
            (404, Some("True"), "", true, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(STANDALONE, header.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let expected = Ping { standalone, speaks };
            let found = Ping::parse(status, &headers, body.as_bytes());
            assert_eq!(found, expected, "{status} {header:?} {body}");
        }
        for (challenge, speaks) in [
            ("Token", true),
            ("token realm=\"x\"", true),
            ("Basic realm=\"x\"", false),
            ("Bearer realm=\"https://x\"", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
            let found = Ping::parse(StatusCode::UNAUTHORIZED, &headers, b"");
            assert_eq!(found.speaks, speaks, "{challenge}");
        }
    }
}

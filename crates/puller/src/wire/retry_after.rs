//! `Retry-After` and `RateLimit-Remaining`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// `Retry-After` (RFC 9110 section 10.2.3): seconds or a date; at most an hour.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(secs) if secs.is_finite() => {
            Duration::from_secs_f64(secs.clamp(0.0, RETRY_AFTER_MAX.as_secs_f64()))
        }
        Ok(_) => return None,
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// `RateLimit-Remaining`, Docker Hub's with its window: `20;w=21600`.
pub(crate) fn remaining(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("ratelimit-remaining")?.to_str().ok()?;
    text.split(';').next()?.trim().parse().ok()
}

const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn retry_after_in_all_forms() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 12:00:00 GMT").unwrap();
        for (value, secs) in [
            ("30", Some(30.0)),
            (" 30 ", Some(30.0)),
            ("0", Some(0.0)),
            ("1.5", Some(1.5)),
            ("-5", Some(0.0)),
            ("7200", Some(3600.0)),
            ("99999999999999999999", Some(3600.0)),
            ("Sat, 21 Nov 2026 12:01:00 GMT", Some(60.0)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", Some(0.0)),
            ("Sun, 21 Nov 2027 12:00:00 GMT", Some(3600.0)),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ] {
            let found = retry_after(&headers("retry-after", value), now);
            assert_eq!(found.map(|d| d.as_secs_f64()), secs, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn what_remains() {
        for (value, expected) in [
            ("20;w=21600", Some(20)),
            ("0", Some(0)),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(
                remaining(&headers("ratelimit-remaining", value)),
                expected,
                "{value}"
            );
        }
    }
}

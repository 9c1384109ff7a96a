//! `Retry-After`, and when and how much the rate limit headers allow (`RateLimit`, `RateLimit-Reset`, …).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// When a 429 lets us ask again: `Retry-After`, else what the rate limit headers state; at most an hour.
pub(crate) fn stated_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers, now).or_else(|| reset(headers, now))
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds or a date; the longest of several, at most an hour.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let values = headers.get_all(RETRY_AFTER).iter();
    values
        .filter_map(|value| wait(value.to_str().ok()?.trim(), now))
        .max()
}

fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(secs) if secs.is_finite() => Some(seconds(secs)),
        Ok(_) => None,
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let wait = date.duration_since(now).unwrap_or_default();
            Some(wait.min(WAIT_MAX))
        }
    }
}

fn seconds(secs: f64) -> Duration {
    Duration::from_secs_f64(secs.clamp(0.0, WAIT_MAX.as_secs_f64()))
}

/// When the quota is renewed, unless some of it is left: then the 429 is about something else. Either one number in a
/// header of its own, as seconds or as a Unix time, or the parameters of `RateLimit` in one of its forms:
/// `"default";r=0;t=30`, `limit=100, remaining=0, reset=30`.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if remaining(headers).is_some_and(|left| left > 0) {
        return None;
    }
    let epoch = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let own = RESETS.iter().flat_map(|name| items(headers, name));
    let own = own.filter_map(|item| {
        let secs = item.split(';').next()?.trim().parse::<f64>().ok()?;
        let is_time = secs >= UNIX_TIME_MIN;
        let secs = secs - if is_time { epoch.as_secs_f64() } else { 0.0 };
        secs.is_finite().then(|| seconds(secs))
    });
    let shared = items(headers, "ratelimit").filter_map(|item| {
        let secs = parameter(&item, &["t", "reset"])?;
        secs.parse::<f64>().ok().map(seconds)
    });
    own.chain(shared).max()
}

/// How many requests are left in the window, by `RateLimit-Remaining` (Docker Hub's with its window: `20;w=21600`) or
/// `RateLimit`; the least of several.
pub(crate) fn remaining(headers: &HeaderMap) -> Option<u64> {
    let own = items(headers, "ratelimit-remaining")
        .filter_map(|item| item.split(';').next()?.trim().parse().ok());
    let shared = items(headers, "ratelimit")
        .filter_map(|item| parameter(&item, &["r", "remaining"])?.parse().ok());
    own.chain(shared).min()
}

/// The items of all lines of a header.
fn items<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(',').map(|item| item.trim().to_owned()))
}

/// The value of the first of these parameters that an item has.
fn parameter<'a>(item: &'a str, names: &[&str]) -> Option<&'a str> {
    let mut pairs = item.split(';').filter_map(|part| part.split_once('='));
    let found = pairs.find(|(name, _)| names.contains(&name.trim()));
    found.map(|(_, value)| value.trim())
}

const WAIT_MAX: Duration = Duration::from_secs(3600);
const RESETS: [&str; 3] = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
/// A larger number is a time and no wait.
const UNIX_TIME_MIN: f64 = 1e9;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn now() -> SystemTime {
        httpdate::parse_http_date("Sat, 21 Nov 2026 12:00:00 GMT").unwrap()
    }

    #[test]
    fn retry_after_in_all_forms() {
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
            let found = stated_wait(&headers(&[("retry-after", value)]), now());
            assert_eq!(found.map(|d| d.as_secs_f64()), secs, "{value}");
        }
        assert_eq!(stated_wait(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn the_reset_of_a_rate_limit_is_a_wait() {
        let epoch = now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = (epoch.as_secs() + 40).to_string();
        for (pairs, secs) in [
            (&[("ratelimit-reset", "30")][..], Some(30)),
            (&[("x-ratelimit-reset", "30")], Some(30)),
            (&[("x-ratelimit-reset", at.as_str())], Some(40)),
            (&[("ratelimit-reset", "5, 30")], Some(30)),
            (
                &[("ratelimit-reset", "5"), ("ratelimit-reset", "30")],
                Some(30),
            ),
            (&[("ratelimit", "\"default\";r=0;t=30")], Some(30)),
            (
                &[("ratelimit", "limit=100, remaining=0, reset=30")],
                Some(30),
            ),
            (&[("ratelimit", "\"a\";r=5;t=30")], None),
            (
                &[("ratelimit-reset", "30"), ("ratelimit-remaining", "7")],
                None,
            ),
            (
                &[("ratelimit-reset", "30"), ("ratelimit-remaining", "0;w=60")],
                Some(30),
            ),
            (&[("ratelimit-reset", "30"), ("retry-after", "7")], Some(7)),
            (
                &[
                    ("ratelimit-limit", "100;w=21600"),
                    ("ratelimit-remaining", "0;w=21600"),
                ],
                None,
            ),
            (&[("ratelimit-reset", "soon")], None),
            (&[("ratelimit-reset", "NaN")], None),
            (&[("retry-after", "5"), ("retry-after", "9")], Some(9)),
        ] {
            let found = stated_wait(&headers(pairs), now());
            assert_eq!(found.map(|wait| wait.as_secs()), secs, "{pairs:?}");
        }
    }

    #[test]
    fn what_remains() {
        for (pairs, expected) in [
            (&[("ratelimit-remaining", "20;w=21600")][..], Some(20)),
            (&[("ratelimit-remaining", "0")], Some(0)),
            (&[("ratelimit-remaining", "x")], None),
            (&[("ratelimit-remaining", "")], None),
            (&[("ratelimit-remaining", "20;w=60, 7;w=21600")], Some(7)),
            (
                &[("ratelimit-remaining", "20"), ("ratelimit-remaining", "3")],
                Some(3),
            ),
            (&[("ratelimit", "\"default\";r=50;t=30")], Some(50)),
        ] {
            assert_eq!(remaining(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}

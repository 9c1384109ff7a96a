//! Reads `Link`, `Content-Range`, `Retry-After` and the like from any bytes.
#![no_main]
#![allow(dead_code, missing_docs)]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

#[path = "../../src/wire/fields.rs"]
mod fields;
#[path = "../../src/wire/link.rs"]
mod link;
#[path = "../../src/wire/range.rs"]
mod range;
#[path = "../../src/wire/retry_after.rs"]
mod retry_after;

fuzz_target!(|bytes: &[u8]| {
    let lines = || {
        bytes
            .split(|&b| b == b'\n')
            .filter_map(|line| HeaderValue::from_bytes(line).ok())
    };
    let headers = |name: HeaderName| -> HeaderMap {
        lines().map(|line| (name.clone(), line)).collect()
    };

    let links = headers(header::LINK);
    let all = link::Link::all(&links);
    assert!(all.len() <= bytes.len());
    if let Some(next) = link::Link::next(&links) {
        assert!(all.iter().any(|link| link.target == next));
    }

    let ranges = headers(header::CONTENT_RANGE);
    for range in [
        range::ContentRange::of(&ranges),
        range::ContentRange::of_v1(&ranges),
    ]
    .into_iter()
    .flatten()
    {
        if let Some((first, last)) = range.span {
            assert!(first <= last && last < u64::MAX);
            assert!(range.total.is_none_or(|total| last < total));
        }
    }

    let waits = headers(header::RETRY_AFTER);
    let wait = retry_after::retry_after(&waits, SystemTime::UNIX_EPOCH);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(3600)));
    let _ = retry_after::remaining(&headers(HeaderName::from_static("ratelimit-remaining")));
    let _ = fields::content_length(&headers(header::CONTENT_LENGTH));
    let _ = fields::is_html(&headers(header::CONTENT_TYPE));
});

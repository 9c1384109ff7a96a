use super::*;
use proptest::prelude::*;

fn resolve(header: &str, size: u64) -> Option<Resolved> {
    Range::parse(header.as_bytes())
        .unwrap()
        .map(|range| range.resolve(size))
}

fn span(start: u64, end: u64) -> Span {
    Span::new(start, end).unwrap()
}

#[test]
fn one_range() {
    let table: &[(&str, u64, Resolved)] = &[
        ("bytes=0-0", 10, Resolved::One(span(0, 1))),
        ("bytes=0-", 10, Resolved::One(span(0, 10))),
        ("bytes=9-", 10, Resolved::One(span(9, 10))),
        ("bytes=3-5", 10, Resolved::One(span(3, 6))),
        ("Bytes=3-5", 10, Resolved::One(span(3, 6))),
        ("bytes= 3-5 ,", 10, Resolved::One(span(3, 6))),
        ("bytes=3-10", 10, Resolved::One(span(3, 10))),
        (
            "bytes=3-99999999999999999999999",
            10,
            Resolved::One(span(3, 10)),
        ),
        ("bytes=-1", 10, Resolved::One(span(9, 10))),
        ("bytes=-10", 10, Resolved::One(span(0, 10))),
        ("bytes=-11", 10, Resolved::One(span(0, 10))),
        ("bytes=-0", 10, Resolved::Unsatisfiable),
        ("bytes=10-", 10, Resolved::Unsatisfiable),
        ("bytes=10-20", 10, Resolved::Unsatisfiable),
        (
            "bytes=99999999999999999999999-",
            10,
            Resolved::Unsatisfiable,
        ),
        ("bytes=0-", 0, Resolved::Whole),
        ("bytes=-5", 0, Resolved::Whole),
        (
            "bytes=18446744073709551614-18446744073709551615",
            u64::MAX,
            Resolved::One(span(u64::MAX - 1, u64::MAX)),
        ),
    ];
    for (header, size, expected) in table {
        assert_eq!(
            resolve(header, *size).as_ref(),
            Some(expected),
            "{header} of {size}"
        );
    }
}

#[test]
fn several_ranges_keep_their_order() {
    assert_eq!(
        resolve("bytes=8-9, 0-1 ,-3,100-,2-4", 10),
        Some(Resolved::Many(vec![
            span(8, 10),
            span(0, 2),
            span(7, 10),
            span(2, 5)
        ]))
    );
    assert_eq!(
        resolve("bytes=50-,3-4", 10),
        Some(Resolved::Many(vec![span(3, 5)]))
    );
    assert_eq!(resolve("bytes=50-,-0", 10), Some(Resolved::Unsatisfiable));
}

#[test]
fn ranges_longer_than_the_content_are_all_of_it() {
    let all = vec!["0-"; PARTS_MAX].join(",");
    assert_eq!(resolve(&format!("bytes={all}"), 10), Some(Resolved::Whole));
    assert_eq!(resolve("bytes=0-8,0-1", 10), Some(Resolved::Whole));
    let fits = resolve("bytes=0-8,0-0", 10);
    assert_eq!(fits, Some(Resolved::Many(vec![span(0, 9), span(0, 1)])));
}

#[test]
fn malformed_is_ignored() {
    for header in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1--2",
        "bytes=1-2-3",
        "bytes=0-1,5-2",
        "bytes=0-1;2-3",
        "bytes =0-1",
        "items=0-1",
        "bytes=0x1-2",
        "bytes=0 -1",
        "bytes=\u{0661}-2",
    ] {
        assert_eq!(Range::parse(header.as_bytes()), Ok(None), "{header}");
    }
    assert_eq!(Range::parse(b"bytes=\xff\xfe-"), Ok(None));
}

#[test]
fn too_many_ranges() {
    let ranges = |count: usize| format!("bytes={}", vec!["0-1"; count].join(","));
    let most = Range::parse(ranges(PARTS_MAX).as_bytes()).unwrap().unwrap();
    assert_eq!(most.parts(), PARTS_MAX);
    assert_eq!(Range::parse(ranges(PARTS_MAX + 1).as_bytes()), Err(TooMany));
}

#[test]
fn the_first_range_tells_what_is_wanted_first() {
    let first = |header: &str| Range::parse(header.as_bytes()).unwrap().unwrap().first();
    let from = |start, end| BlobRange::From { start, end };
    assert_eq!(first("bytes=0-"), from(0, None));
    assert_eq!(first("bytes=7-9,0-1"), from(7, Some(10)));
    assert_eq!(
        first(&format!("bytes=7-{}", u64::MAX)),
        from(7, Some(u64::MAX))
    );
    assert_eq!(first("bytes=-9"), BlobRange::Last(9));
}

#[test]
fn values_of_content_range() {
    assert_eq!(span(3, 6).content_range(10), "bytes 3-5/10");
    assert_eq!(content_range_unsatisfied(10), "bytes */10");
}

#[test]
fn if_range_is_a_strong_comparison() {
    let etag = "\"sha256:aa\"";
    for (header, applies) in [
        (None, true),
        (Some("\"sha256:aa\""), true),
        (Some(" \"sha256:aa\" "), true),
        (Some("W/\"sha256:aa\""), false),
        (Some("sha256:aa"), false),
        (Some("\"sha256:bb\""), false),
        (Some("*"), false),
        (Some("Wed, 21 Oct 2015 07:28:00 GMT"), false),
    ] {
        assert_eq!(
            if_range(header.map(str::as_bytes), etag),
            applies,
            "{header:?}"
        );
    }
}

#[test]
fn if_none_match_is_a_weak_comparison() {
    let etag = "\"sha256:aa\"";
    for (header, matches) in [
        (None, false),
        (Some("\"sha256:aa\""), true),
        (Some("\"x\", W/\"sha256:aa\""), true),
        (Some("*"), true),
        (Some("sha256:aa"), false),
        (Some(""), false),
    ] {
        assert_eq!(
            if_none_match(header.map(str::as_bytes), etag),
            matches,
            "{header:?}"
        );
    }
}

#[test]
fn multipart_frame() {
    let frame = Multipart::new(vec![span(0, 2), span(8, 10)], 10, "xyz".to_owned());
    assert_eq!(frame.content_type(), "multipart/byteranges; boundary=xyz");
    let body: String = frame
        .spans()
        .iter()
        .map(|span| frame.head(*span) + &"0123456789"[span.start() as usize..span.end() as usize])
        .collect::<String>()
        + &frame.end();
    assert_eq!(
        body,
        "\r\n--xyz\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--xyz\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
         \r\n--xyz--\r\n"
    );
    assert_eq!(frame.content_length(), body.len() as u64);
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Range::parse(&value);
    }

    #[test]
    fn a_closed_range_is_the_intersection(first: u64, length in 0..u64::MAX, size in 1..u64::MAX) {
        let last = first.saturating_add(length);
        let expected = if first < size {
            Resolved::One(span(first, last.saturating_add(1).min(size)))
        } else {
            Resolved::Unsatisfiable
        };
        prop_assert_eq!(resolve(&format!("bytes={first}-{last}"), size), Some(expected));
    }

    #[test]
    fn every_span_is_inside_the_content(
        parts in proptest::collection::vec((any::<Option<u16>>(), any::<Option<u16>>()), 1..PARTS_MAX),
        size in 1..70_000_u64,
    ) {
        let text: Vec<String> = parts
            .iter()
            .map(|(first, last)| {
                let text = |end: &Option<u16>| end.map(|end| end.to_string()).unwrap_or_default();
                format!("{}-{}", text(first), text(last))
            })
            .collect();
        let spans = match resolve(&format!("bytes={}", text.join(",")), size) {
            None | Some(Resolved::Unsatisfiable) => return Ok(()),
            Some(Resolved::One(span)) => vec![span],
            Some(Resolved::Many(spans)) => spans,
            Some(Resolved::Whole) => return Ok(()),
        };
        prop_assert!(spans.iter().map(|span| span.len()).sum::<u64>() <= size);
        prop_assert!(spans.len() <= parts.len());
        for span in spans {
            prop_assert!(span.start() < span.end() && span.end() <= size);
            prop_assert_eq!(span.len(), span.end() - span.start());
        }
    }
}

//! Ranges of blobs, kept and cold.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Content, End, Origin, Proxy};

const SIZE: u64 = (2 << 20) + 3;

/// `a-b`, `a-`, `-n`, clamped; 416 past the end; alike for a cold blob and a kept one.
#[tokio::test(flavor = "multi_thread")]
async fn single_ranges_cold_and_kept() {
    let origin = Origin::start().await;
    let cases = [
        ("0-0".to_owned(), Some((0, 1))),
        ("5-9".to_owned(), Some((5, 10))),
        ("1000000-".to_owned(), Some((1_000_000, SIZE))),
        ("0-".to_owned(), Some((0, SIZE))),
        ("-1".to_owned(), Some((SIZE - 1, SIZE))),
        ("-5000000".to_owned(), Some((0, SIZE))),
        (format!("100-{SIZE}"), Some((100, SIZE))),
        (format!("100-{}", u64::MAX), Some((100, SIZE))),
        (format!("{}-", SIZE - 1), Some((SIZE - 1, SIZE))),
        (format!("{SIZE}-"), None),
        (format!("{}-{}", SIZE + 5, SIZE + 9), None),
        ("-0".to_owned(), None),
    ];
    for (seed, (range, expected)) in cases.into_iter().enumerate() {
        let content = Content::seeded(seed as u64, SIZE);
        let path = format!(
            "/v2/library/app/blobs/{}",
            origin.push_blob("library/app", content.clone())
        );
        let proxy = Proxy::start(&origin).await;
        for kept in [false, true] {
            let read = proxy.client().range(&range).read(&path).await;
            assert_eq!(read.end, End::Complete, "{range} {kept}");
            if let Some((start, end)) = expected {
                assert_eq!(
                    (read.status, read.body == content.slice(start, end)),
                    (206, true),
                    "{range} {kept}"
                );
                let header = format!("bytes {start}-{}/{SIZE}", end - 1);
                assert_eq!(
                    read.header("content-range"),
                    Some(header.as_str()),
                    "{range} {kept}"
                );
                assert_eq!(
                    read.header("content-length"),
                    Some((end - start).to_string().as_str()),
                    "{range} {kept}"
                );
                assert_eq!(
                    read.header("content-type"),
                    Some("application/octet-stream"),
                    "{range} {kept}"
                );
            } else {
                assert_eq!(read.status, 416, "{range} {kept}");
                assert_eq!(
                    read.header("content-range"),
                    Some(format!("bytes */{SIZE}").as_str()),
                    "{range} {kept}"
                );
            }
            proxy.client().pull_blob(&path, &content).await;
        }
        proxy.settled().await;
        assert!(
            origin.bytes_sent(&path) <= SIZE + 3,
            "{range}: a byte came twice"
        );
    }
}

/// Several ranges are `multipart/byteranges`, one part each in the order asked; else 400 or a full 200.
#[tokio::test(flavor = "multi_thread")]
async fn several_ranges() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, SIZE);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content.clone())
    );
    let proxy = Proxy::start(&origin).await;
    let ranges = [(1_000_000, 1_000_010), (5, 6), (SIZE - 7, SIZE)];
    let client = proxy.client().range("1000000-1000009, 5-5,-7");
    let cold = client.read(&path).await;
    assert!(matches!(cold.status, 200 | 206 | 400), "{}", cold.status);
    if cold.status == 206 {
        parts_are(&cold, &content, &ranges);
    }
    proxy.client().pull_blob(&path, &content).await;
    proxy.settled().await;
    let kept = client.read(&path).await;
    assert_eq!((kept.status, kept.end), (206, End::Complete));
    parts_are(&kept, &content, &ranges);
    let many: Vec<_> = (0..2000)
        .map(|i| format!("{}-{}", i * 10, i * 10))
        .collect();
    let many = proxy.client().range(&many.join(",")).read(&path).await;
    assert!(
        many.status == 400 || (many.status == 200 && many.body == content.bytes()),
        "{}",
        many.status
    );
}

fn parts_are(read: &longshore_tests::Read, content: &Content, ranges: &[(u64, u64)]) {
    let kind = read.header("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap()
        .trim_matches('"');
    let mut rest = &read.body[..];
    for (start, end) in ranges {
        let head_end = find(rest, b"\r\n\r\n") + 4;
        let head = String::from_utf8(rest[..head_end].to_vec()).unwrap();
        assert!(
            head.trim_start().starts_with(&format!("--{boundary}\r\n")),
            "{head}"
        );
        let header = format!("content-range: bytes {start}-{}/{SIZE}\r\n", end - 1);
        assert!(head.to_lowercase().contains(&header), "{head}");
        let len = (end - start) as usize;
        assert_eq!(rest[head_end..head_end + len], content.slice(*start, *end));
        rest = &rest[head_end + len..];
    }
    assert_eq!(
        String::from_utf8_lossy(rest).trim(),
        format!("--{boundary}--")
    );
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap()
}

/// RFC 9110 §14.2: what is no range of bytes is not there; §13.1.5: `If-Range` with another tag means everything.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_do_not_count() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, SIZE);
    let digest = origin.push_blob("library/app", content.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    let proxy = Proxy::start(&origin).await;
    for range in [
        "lines=1-2",
        "bytes=",
        "bytes=a-b",
        "bytes=9-5",
        "bytes=--5",
        "5-9",
    ] {
        let read = proxy.client().with("Range", range).read(&path).await;
        assert!(
            read.status == 400 || (read.status == 200 && read.body == content.bytes()),
            "{range}: {}",
            read.status
        );
    }
    let same = proxy
        .client()
        .range("5-9")
        .with("If-Range", &format!("\"{digest}\""))
        .read(&path)
        .await;
    assert_eq!((same.status, same.body), (206, content.slice(5, 10)));
    let other = proxy
        .client()
        .range("5-9")
        .with("If-Range", "\"sha256:0\"")
        .read(&path)
        .await;
    assert_eq!((other.status, other.body == content.bytes()), (200, true));
    let image = origin.image("library/app", "1", &[1]);
    let manifest = proxy
        .client()
        .range("5-9")
        .read("/v2/library/app/manifests/1")
        .await;
    assert_eq!(
        (manifest.status, manifest.body),
        (200, image.manifest),
        "containerd sends ranges for manifests"
    );
}

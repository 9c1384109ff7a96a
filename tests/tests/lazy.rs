//! Ranges far ahead of what has landed, and blobs over several connections: fast, and every byte once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Content, End, Fault, Gate, On, Origin, Proxy};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 96 * MIB + 3;
/// What a connection that is stopped may have under way.
const UNDER_WAY: u64 = 4 * MIB;

async fn blob(origin: &Origin, size: u64) -> (String, Content) {
    let content = Content::seeded(size, size);
    let digest = origin.push_blob("library/app", content.clone());
    (format!("/v2/library/app/blobs/{digest}"), content)
}

async fn range_is_right(proxy: &Proxy, path: &str, content: &Content, (from, to): (u64, u64)) {
    let range = format!("{from}-{}", to - 1);
    let read = proxy.client().range(&range).read(path).await;
    assert_eq!((read.status, read.end), (206, End::Complete), "{range}");
    assert!(read.body == content.slice(from, to), "{range}: wrong bytes");
    let total = format!("bytes {from}-{}/{}", to - 1, content.len());
    assert_eq!(read.header("content-range"), Some(total.as_str()));
}

/// eStargz, SOCI and nydus read the last bytes of a blob first.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_bytes_of_a_cold_blob_do_not_wait_for_the_others() {
    let origin = Origin::start().await;
    let (path, content) = blob(&origin, SIZE).await;
    // Half a minute for all of it.
    origin.order_always(On::get(&path), Fault::Pace(3_000_000));
    let proxy = Proxy::start(&origin).await;
    let start = Instant::now();
    range_is_right(&proxy, &path, &content, (SIZE - 51, SIZE)).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let first = &origin.requests()[0];
    assert!(
        first
            .range()
            .is_some_and(|range| range.starts_with(&format!("bytes={}-", SIZE - 51)))
    );
    // What is read again comes from here.
    let asked = origin.count("GET", &path);
    range_is_right(&proxy, &path, &content, (SIZE - 51, SIZE)).await;
    assert!(origin.count("GET", &path) <= asked + 1);
}

/// The first connection hangs: what is ahead of it comes all the same, in any order, and all of it once.
#[tokio::test(flavor = "multi_thread")]
async fn scattered_ranges_pass_a_connection_that_hangs() {
    // Too small for connections that only speed it up.
    let size = 30 * MIB + 3;
    let origin = Origin::start().await;
    let (path, content) = blob(&origin, size).await;
    let proxy = Proxy::start(&origin).await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(MIB, gate.clone())]);
    let whole = proxy.client().get(&path).await;
    gate.reached().await;
    for (from, len) in [
        (size - 51, 51),
        (20 * MIB + 7, 100_000),
        (26 * MIB, 2 * MIB),
        (12 * MIB, 1),
        (19 * MIB, 2 * MIB),
        (22 * MIB, 3 * MIB),
    ] {
        range_is_right(&proxy, &path, &content, (from, from + len)).await;
    }
    let ranges = (0..24).map(|at| {
        range_is_right(
            &proxy,
            &path,
            &content,
            (
                size - 2 * MIB - at * 600_000,
                size - 2 * MIB - at * 600_000 + 5000,
            ),
        )
    });
    futures_join(ranges).await;
    gate.open();
    let read = whole.read().await;
    assert_eq!((read.status, read.end), (200, End::Complete));
    assert!(read.body == content.bytes());
    proxy.settled().await;
    // The first request had no end: what the sockets hold when it is stopped comes again. All others have one.
    let (mut first, mut ranges) = (0, 0);
    for seen in origin.requests() {
        match seen.range() {
            None => first += seen.body_bytes_sent,
            Some(_) => ranges += seen.body_bytes_sent,
        }
    }
    assert!(first < size, "the first connection was not stopped");
    assert!(ranges <= size - 11 * MIB, "bytes came twice: {ranges}");
    let sent = origin.bytes_sent(&path);
    proxy.client().pull_blob(&path, &content).await;
    assert_eq!(origin.bytes_sent(&path), sent, "it is kept");
}

async fn futures_join(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        match all.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

/// Upstreams without ranges, or with wrong ones: everything comes over one connection.
#[tokio::test(flavor = "multi_thread")]
async fn without_usable_ranges_one_connection_is_enough() {
    let size = 24 * MIB;
    let range = |value: &str| Fault::Header("Content-Range".into(), Some(value.into()));
    for wrong in [
        Fault::IgnoreRange,
        range("bytes 0-9/10"),
        range(&format!("bytes {}-{}/{}", size - 51, size - 1, size + 1)),
        Fault::Header("Content-Range".into(), None),
    ] {
        let origin = Origin::start().await;
        let (path, content) = blob(&origin, size).await;
        origin.order_always(On::get(&path), wrong.clone());
        let proxy = Proxy::start(&origin).await;
        range_is_right(&proxy, &path, &content, (size - 51, size)).await;
        proxy.client().pull_blob(&path, &content).await;
        proxy.settled().await;
        let read = proxy.client().range("5-9").read(&path).await;
        assert_eq!(
            (read.status, read.body),
            (206, content.slice(5, 10)),
            "{wrong:?}"
        );
    }
}

/// What landed ahead is as wrong as the rest.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_elsewhere_drop_what_landed_ahead() {
    let origin = Origin::start().await;
    let size = 24 * MIB;
    let (path, content) = blob(&origin, size).await;
    let gate = Gate::new();
    let proxy = Proxy::start(&origin).await;
    let wrong = Fault::All(vec![Fault::WrongBytes(7), Fault::Stall(MIB, gate.clone())]);
    origin.order(On::get(&path), [wrong]);
    let whole = proxy.client().get(&path).await;
    gate.reached().await;
    range_is_right(&proxy, &path, &content, (size - 51, size)).await;
    gate.open();
    assert_eq!(whole.read().await.end, End::Cut);
    proxy.settled().await;
    let again = proxy.client().range("-51").read(&path).await;
    assert_eq!(again.status, 502);
    proxy.client().pull_blob(&path, &content).await;
}

/// A range that starts past the end of a cold blob is refused without a download, where the size is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_past_the_end_starts_no_download() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[30 * MIB]);
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    let proxy = Proxy::start(&origin).await;
    proxy.client().read("/v2/library/app/manifests/1").await;
    let read = proxy
        .client()
        .range(&format!("{}-", 30 * MIB))
        .read(&path)
        .await;
    assert_eq!(read.status, 416);
    let total = format!("bytes */{}", 30 * MIB);
    assert_eq!(read.header("content-range"), Some(total.as_str()));
    assert_eq!(origin.count("GET", &path), 0);
}

/// Each connection is capped: more of them are opened for as long as they add something.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_capped_are_joined_by_others() {
    let origin = Origin::start().await;
    let (path, content) = blob(&origin, SIZE).await;
    let rate = 4_000_000;
    origin.order_always(On::get(&path), Fault::Pace(rate));
    let proxy = Proxy::start(&origin).await;
    let start = Instant::now();
    proxy.client().pull_blob(&path, &content).await;
    let took = start.elapsed().as_secs_f64();
    let alone = SIZE as f64 / rate as f64;
    assert!(took < alone / 2.0, "{took} of {alone} seconds");
    proxy.settled().await;
    let sent = origin.bytes_sent(&path);
    assert!(sent <= SIZE + UNDER_WAY, "bytes came twice: {sent}");
}

//! Many clients, one fill.

use longshore_tests::{Content, End, Fault, Gate, On, Origin, Proxy};
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// An origin that holds a blob of `size` bytes, the proxy, the blob's path and content.
async fn fixture(size: u64) -> (Arc<Origin>, Proxy, String, Content) {
    let origin = Origin::start().await;
    let content = Content::seeded(11, size);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content.clone())
    );
    let proxy = Proxy::start(&origin).await;
    (Arc::new(origin), proxy, path, content)
}

/// Upstream sent each byte of the blob once, in one answer.
fn sent_once(origin: &Origin, path: &str, content: &Content) {
    let bodies: Vec<_> = origin
        .requests()
        .into_iter()
        .filter(|seen| seen.path == *path && seen.body_bytes_sent > 1)
        .collect();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    assert_eq!(bodies[0].body_bytes_sent, content.len());
}

/// "every byte of a digest comes from upstream once however many clients ask, joiners at any time and
/// any offset, each at its own pace".
#[tokio::test(flavor = "multi_thread")]
async fn joiners_at_any_time_and_offset() {
    let (origin, proxy, path, content) = fixture(8 * MIB).await;
    let (early, late) = (Gate::new(), Gate::new());
    origin.order(
        On::get(&path),
        [Fault::All(vec![
            Fault::Stall(MIB, early.clone()),
            Fault::Stall(5 * MIB, late.clone()),
        ])],
    );
    let mut reads = Vec::new();
    let ask = |range: Option<(u64, u64)>| {
        let (client, path, content) = (proxy.client(), path.clone(), content.clone());
        tokio::spawn(async move {
            let (client, start, end) = match range {
                Some((start, end)) => (client.range(&format!("{start}-{}", end - 1)), start, end),
                None => (client, 0, content.len()),
            };
            let reply = client.get(&path).await;
            let status = reply.status;
            let read = reply.compare(&content, start, None).await;
            assert_eq!(
                (status, read),
                (
                    if range.is_some() { 206 } else { 200 },
                    (end - start, true, End::Complete)
                )
            );
        })
    };
    reads.push(ask(None));
    early.reached().await;
    // At the front, in what has landed, across its edge, ahead of it, the last byte.
    for range in [
        (0, 10),
        (1000, MIB),
        (MIB - 5, MIB + 5),
        (6 * MIB, 7 * MIB),
        (8 * MIB - 1, 8 * MIB),
        (3, 8 * MIB),
    ] {
        reads.push(ask(Some(range)));
        reads.push(ask(None));
    }
    early.open();
    late.reached().await;
    for range in [(2 * MIB, 4 * MIB), (7 * MIB, 8 * MIB)] {
        reads.push(ask(Some(range)));
        reads.push(ask(None));
    }
    late.open();
    for read in reads {
        read.await.unwrap();
    }
    sent_once(&origin, &path, &content);
}

/// A joiner says so, and a fill that ended is a hit.
#[tokio::test]
async fn leader_joiner_and_hit_are_told_apart() {
    let (origin, proxy, path, content) = fixture(4 * MIB).await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(2 * MIB, gate.clone())]);
    let leader = proxy.client().get(&path).await;
    gate.reached().await;
    let joiner = proxy.client().get(&path).await;
    assert_eq!(
        (leader.header("x-cache"), joiner.header("x-cache")),
        (Some("miss"), Some("joined"))
    );
    gate.open();
    assert_eq!(
        leader.compare(&content, 0, None).await,
        (4 * MIB, true, End::Complete)
    );
    assert_eq!(
        joiner.compare(&content, 0, None).await,
        (4 * MIB, true, End::Complete)
    );
    proxy.settled().await;
    assert_eq!(
        proxy.client().read(&path).await.header("x-cache"),
        Some("hit")
    );
    sent_once(&origin, &path, &content);
}

/// "Open-ended overlapping ranges that stop early (containerd's chunked mode) on a cold blob: every byte comes
/// from upstream once."
#[tokio::test(flavor = "multi_thread")]
async fn open_ended_ranges_that_stop_early() {
    let (origin, proxy, path, content) = fixture(16 * MIB).await;
    let mut reads = Vec::new();
    for part in 0..8 {
        let (client, path, content) = (proxy.client(), path.clone(), content.clone());
        reads.push(tokio::spawn(async move {
            let start = part * 2 * MIB;
            let mut reply = client.range(&format!("{start}-")).get(&path).await;
            assert_eq!(reply.status, 206);
            let body = reply.take(2 * MIB).await;
            assert!(content.matches(start, &body), "part {part}");
        }));
    }
    for read in reads {
        read.await.unwrap();
    }
    origin
        .until(|seen| seen.iter().all(|seen| seen.ended))
        .await;
    sent_once(&origin, &path, &content);
}

/// "a fill outlives its clients".
#[tokio::test]
async fn clients_that_hang_up_do_not_stop_the_fill() {
    let (origin, proxy, path, content) = fixture(4 * MIB).await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(2 * MIB, gate.clone())]);
    let mut leader = proxy.client().get(&path).await;
    leader.take(1).await;
    let joiner = proxy.client().range("100-").get(&path).await;
    gate.reached().await;
    drop((leader, joiner));
    gate.open();
    origin
        .until(|seen| seen.iter().all(|seen| seen.ended))
        .await;
    sent_once(&origin, &path, &content);
    proxy.settled().await;
    origin.stop().await;
    proxy.client().pull_blob(&path, &content).await;
}

/// Each at its own pace: who reads nothing holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_slows_nobody() {
    let (origin, proxy, path, content) = fixture(64 * MIB).await;
    let leader = proxy.client().get(&path).await;
    let reply = proxy.client().get(&path).await;
    assert_eq!(
        reply.compare(&content, 0, None).await,
        (64 * MIB, true, End::Complete)
    );
    assert_eq!(
        leader.compare(&content, 0, None).await,
        (64 * MIB, true, End::Complete)
    );
    sent_once(&origin, &path, &content);
}

/// Manifests too are asked for once.
#[tokio::test]
async fn a_cold_manifest_is_fetched_once() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[10]);
    let proxy = Proxy::start(&origin).await;
    let gate = Gate::new();
    let path = "/v2/library/app/manifests/1";
    origin.order(On::path(path), [Fault::HoldHeaders(gate.clone())]);
    let reads: Vec<_> = (0..20)
        .map(|_| {
            let client = proxy.client();
            tokio::spawn(async move { client.read(path).await })
        })
        .collect();
    gate.reached().await;
    gate.open();
    for read in reads {
        let read = read.await.unwrap();
        assert_eq!((read.status, read.body == image.manifest), (200, true));
    }
    assert_eq!(origin.count("GET", path), 1);
    assert!(origin.requests().len() <= 2, "{:#?}", origin.requests());
}

/// Content held for one repository is not downloaded again for another, only asked after; and
/// is not served for a repository that does not have it.
#[tokio::test]
async fn another_repository_shares_the_bytes_but_not_the_right() {
    let (origin, proxy, path, content) = fixture(2 * MIB).await;
    proxy.client().pull_blob(&path, &content).await;
    let digest = content.digest();
    let stranger = proxy
        .client()
        .read(&format!("/v2/library/other/blobs/{digest}"))
        .await;
    assert_eq!(
        (stranger.status, stranger.codes()),
        (404, vec!["BLOB_UNKNOWN".to_owned()])
    );
    origin.push_blob("library/second", content.clone());
    proxy
        .client()
        .pull_blob(&format!("/v2/library/second/blobs/{digest}"), &content)
        .await;
    let sent: u64 = origin
        .requests()
        .iter()
        .filter(|seen| seen.path.contains(&digest))
        .map(|seen| seen.body_bytes_sent)
        .sum();
    assert!(
        sent < content.len() + 1000,
        "{sent} bytes of {} were sent",
        content.len()
    );
}

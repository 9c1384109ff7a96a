//! The process is killed; what was not whole was never there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::time::Duration;

use longshore_tests::{Content, End, Fault, Gate, On, Origin, Proxy, Read, S3};
use tokio::task::JoinHandle;

const SIZE: u64 = 4 << 20;

/// No file of the store holds bytes of a blob.
fn no_leftovers(proxy: &Proxy) {
    let left = proxy.content_files();
    assert!(left.is_empty(), "{left:?}");
}

/// How often the process is killed at random points: a few times, or as often as `LONGSHORE_TEST_KILLS` says.
fn kills() -> u64 {
    let kills = std::env::var("LONGSHORE_TEST_KILLS").ok();
    kills.map_or(20, |kills| kills.parse().expect("a number"))
}

/// Numbers that look random, the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Blobs of growing sizes, and their paths.
fn blobs(origin: &Origin, number: u64, step: u64) -> (Vec<Content>, Vec<String>) {
    (0..number)
        .map(|seed| {
            let content = Content::seeded(seed, 1000 + seed * seed * step);
            let digest = origin.push_blob("library/app", content.clone());
            (content, format!("/v2/library/app/blobs/{digest}"))
        })
        .unzip()
}

/// Clients of a process that is about to be killed, one for each path.
fn pull_all(proxy: &Proxy, paths: &[String]) -> Vec<JoinHandle<Read>> {
    let pull = |path: &String| {
        let (client, path) = (proxy.client(), path.clone());
        tokio::spawn(async move { client.get(&path).await.read().await })
    };
    paths.iter().map(pull).collect()
}

/// What clients have is the beginning of the content. One that did not connect before the kill panicked, and has nothing.
async fn are_right_so_far(pulls: Vec<JoinHandle<Read>>, contents: &[Content], round: u64) {
    for (pull, content) in pulls.into_iter().zip(contents) {
        if let Ok(read) = pull.await {
            assert!(content.matches(0, &read.body), "round {round}");
        }
    }
}

/// Where the store keeps what a path ends with.
fn kept(proxy: &Proxy, path: &str) -> PathBuf {
    let hex = path.rsplit(':').next().unwrap();
    proxy.store().join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// "kill -9 during a fill, then start: nothing partial is ever served, the blob is fetched again or resumed,
/// no leftovers remain."
#[tokio::test(flavor = "multi_thread")]
async fn killed_during_a_fill() {
    for at in [0, 1, 1 << 20, SIZE / 2, SIZE - 1] {
        let origin = Origin::start().await;
        let content = Content::seeded(at, SIZE);
        let digest = origin.push_blob("library/app", content.clone());
        let path = format!("/v2/library/app/blobs/{digest}");
        let mut proxy = Proxy::start(&origin).await;
        let gate = Gate::new();
        origin.order(On::get(&path), [Fault::Stall(at, gate.clone())]);
        let client = tokio::spawn({
            let (client, path) = (proxy.client(), path.clone());
            async move { client.get(&path).await.read().await }
        });
        gate.reached().await;
        proxy.kill();
        let read = client.await.unwrap();
        assert_eq!(read.end, End::Cut, "{at}");
        assert!(
            (read.body.len() as u64) < SIZE && content.matches(0, &read.body),
            "{at}"
        );
        origin
            .until(|seen| seen.iter().all(|seen| seen.ended))
            .await;
        origin.stop().await;
        proxy.restart().await;
        no_leftovers(&proxy);
        let read = proxy.client().read(&path).await;
        assert_eq!(read.status, 502, "nothing partial is served, {at}");
        let head = proxy.client().head(&path).await;
        assert_eq!(head.status, 502, "{at}");
        origin.restart().await;
        proxy.restart().await;
        proxy.client().pull_blob(&path, &content).await;
        proxy.client().pull_blob(&path, &content).await;
        proxy.settled().await;
        assert!(proxy.keeps(&digest), "{at}");
    }
}

/// Killed right after a client had all bytes: the object is whole or not there.
#[tokio::test(flavor = "multi_thread")]
async fn killed_right_after_a_fill() {
    for seed in 0..5 {
        let origin = Origin::start().await;
        let content = Content::seeded(seed, SIZE);
        let digest = origin.push_blob("library/app", content.clone());
        let path = format!("/v2/library/app/blobs/{digest}");
        let mut proxy = Proxy::start(&origin).await;
        proxy.client().pull_blob(&path, &content).await;
        proxy.kill();
        let whole = proxy.keeps(&digest);
        proxy.restart().await;
        assert_eq!(proxy.keeps(&digest), whole, "what is visible was committed");
        if !whole {
            no_leftovers(&proxy);
        }
        proxy.client().pull_blob(&path, &content).await;
    }
}

/// "a second process on the same store does no harm".
#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_store() {
    let origin = Origin::start().await;
    let contents = [Content::seeded(1, SIZE), Content::seeded(2, SIZE)];
    let paths = contents.each_ref().map(|content| {
        format!(
            "/v2/library/app/blobs/{}",
            origin.push_blob("library/app", content.clone())
        )
    });
    let first = Proxy::start(&origin).await;
    let gate = Gate::new();
    origin.order(On::get(&paths[0]), [Fault::Stall(SIZE / 2, gate.clone())]);
    let filling = first.client().get(&paths[0]).await;
    gate.reached().await;
    // It starts, fills and is killed while the first one is in the middle of its fill.
    let mut second = Proxy::with(&origin).store(first.store()).start().await;
    second.client().pull_blob(&paths[1], &contents[1]).await;
    second.client().pull_blob(&paths[0], &contents[0]).await;
    second.settled().await;
    second.kill();
    second.restart().await;
    gate.open();
    assert_eq!(
        filling.compare(&contents[0], 0, None).await,
        (SIZE, true, End::Complete)
    );
    first.settled().await;
    origin.stop().await;
    for proxy in [&first, &second] {
        for (path, content) in paths.iter().zip(&contents) {
            proxy.client().pull_blob(path, content).await;
        }
    }
}

/// Killed at any moment of a fill that is uploaded while it lands: the bucket never has a part of a blob, and what was
/// sent of it is removed at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_blob_is_uploaded() {
    // Small enough to come over one connection.
    const LARGE: u64 = 30 << 20;
    for at in [9 << 20, 17 << 20, 25 << 20, LARGE - 1] {
        let origin = Origin::start().await;
        let s3 = S3::start().await;
        let content = Content::seeded(at, LARGE);
        let digest = origin.push_blob("library/app", content.clone());
        let hex = digest.split_once(':').unwrap().1.to_owned();
        let path = format!("/v2/library/app/blobs/{digest}");
        let mut proxy = Proxy::with(&origin).bucket(s3.address()).start().await;
        let gate = Gate::new();
        origin.order(On::get(&path), [Fault::Stall(at, gate.clone())]);
        let client = tokio::spawn({
            let (client, path) = (proxy.client(), path.clone());
            async move { client.get(&path).await.read().await }
        });
        gate.reached().await;
        s3.until(|seen| {
            seen.iter()
                .any(|seen| seen.query.contains("partNumber") && seen.ended)
        })
        .await;
        proxy.kill();
        drop(client.await);
        s3.until(|seen| seen.iter().all(|seen| seen.ended)).await;
        assert!(s3.find(&hex).is_none(), "nothing partial is visible, {at}");
        gate.open();
        proxy.restart().await;
        s3.until(|_| s3.incomplete().is_empty()).await;
        no_leftovers(&proxy);
        proxy.client().pull_blob(&path, &content).await;
        proxy.settled().await;
        proxy
            .until_metric("longshore_store_outbox_entries", &[], |entries| {
                entries == 0.0
            })
            .await;
        assert_eq!(s3.find_blob(&digest).unwrap().1, content.bytes(), "{at}");
        assert!(s3.incomplete().is_empty());
    }
}

/// Killed again and again while it fills and commits: what has a name is whole, and nothing of the killed one is left.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_points() {
    let origin = Origin::start().await;
    let (contents, paths) = blobs(&origin, 10, 50_000);
    let mut proxy = Proxy::start(&origin).await;
    let mut random = Random(1);
    for round in 0..kills() {
        let enough = origin.requests().len() as u64 + 1 + random.below(10);
        let pulls = pull_all(&proxy, &paths);
        origin.until(|seen| seen.len() as u64 >= enough).await;
        // Some time more: any moment of a fill, of a commit or of what is recorded.
        tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
        proxy.kill();
        are_right_so_far(pulls, &contents, round).await;
        for (path, content) in paths.iter().zip(&contents) {
            if let Ok(bytes) = std::fs::read(kept(&proxy, path)) {
                assert!(
                    bytes == content.bytes(),
                    "round {round}: {path} is not whole"
                );
            }
        }
        proxy.restart().await;
        let spool = proxy.files().into_iter();
        let left: Vec<_> = spool
            .filter(|file| file.starts_with("spool") && !file.ends_with("lock"))
            .collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
        let one = random.below(10) as usize;
        proxy.client().pull_blob(&paths[one], &contents[one]).await;
        proxy.settled().await;
        // So that there is something to do.
        for path in &paths {
            drop(std::fs::remove_file(kept(&proxy, path)));
        }
    }
    for (path, content) in paths.iter().zip(&contents) {
        proxy.client().pull_blob(path, content).await;
    }
}

/// Killed again and again while it fills and uploads: at the end the bucket has what the origin has, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_points_with_a_bucket() {
    let origin = Origin::start().await;
    let s3 = S3::start().await;
    // The larger ones are uploaded while they land.
    let (contents, paths) = blobs(&origin, 12, 100_000);
    let mut proxy = Proxy::with(&origin).bucket(s3.address()).start().await;
    let mut random = Random(2);
    for round in 0..kills() {
        let enough = s3.requests().len() as u64 + 1 + random.below(12);
        let pulls = pull_all(&proxy, &paths);
        s3.until(|seen| seen.len() as u64 >= enough).await;
        tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
        proxy.kill();
        are_right_so_far(pulls, &contents, round).await;
        for (path, content) in paths.iter().zip(&contents) {
            let (_, digest) = path.rsplit_once('/').unwrap();
            if let Some((_, bytes)) = s3.find_blob(digest) {
                assert_eq!(bytes, content.bytes(), "round {round}");
            }
            // The local tier loses all of it, so that there is something to do.
            drop(std::fs::remove_file(kept(&proxy, path)));
        }
        proxy.restart().await;
    }
    for (path, content) in paths.iter().zip(&contents) {
        proxy.client().pull_blob(path, content).await;
    }
    proxy.settled().await;
    proxy
        .until_metric("longshore_store_outbox_entries", &[], |entries| {
            entries == 0.0
        })
        .await;
    s3.until(|_| s3.incomplete().is_empty()).await;
}

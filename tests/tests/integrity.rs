//! Upstream lies: no wrong body completes, nothing of it is kept.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use longshore_tests::{Content, End, Fault, Gate, On, Origin, PATIENCE, Proxy};

const LARGE: u64 = (3 << 20) + 5;
const SMALL: u64 = 100_000;

/// Lies about a blob of `size` bytes.
fn lies(size: u64) -> Vec<Fault> {
    vec![
        Fault::WrongBytes(size / 2),
        Fault::WrongBytes(size - 1),
        Fault::WrongBytes(0),
        Fault::Short(10),
        Fault::Long(10),
        Fault::LengthLies(10),
        Fault::LengthLies(-10),
        Fault::All(vec![Fault::Chunked, Fault::WrongBytes(size / 2)]),
        Fault::All(vec![Fault::Chunked, Fault::Short(10)]),
        Fault::All(vec![Fault::Chunked, Fault::Long(10)]),
        Fault::All(vec![Fault::UntilClose, Fault::Short(10)]),
        Fault::Html200,
        Fault::GzipEncoded,
    ]
}

/// Nothing of the blob stays, neither as an object nor in the spool.
async fn nothing_is_kept(proxy: &Proxy, digest: &str, what: &str) {
    proxy.settled().await;
    let hex = digest.strip_prefix("sha256:").unwrap();
    assert!(!proxy.keeps(digest), "{what}");
    // What is known of the repository may be recorded; bytes may not. A spool file is removed off the path of the answer.
    let left = || {
        let mut left = proxy.content_files();
        left.retain(|file| file.starts_with("spool") || file.to_string_lossy().contains(hex));
        left
    };
    let end = Instant::now() + PATIENCE;
    while !left().is_empty() {
        assert!(Instant::now() < end, "{what}: {:?}", left());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// "Upstream sends wrong bytes, too few, too many: no body that contains the last byte ever completes, nothing
/// is kept, the next whole request asks upstream again".
#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_blob_completes() {
    for (seed, lie) in lies(LARGE).into_iter().enumerate() {
        let origin = Origin::start().await;
        let content = Content::seeded(seed as u64, LARGE);
        let digest = origin.push_blob("library/app", content.clone());
        let path = format!("/v2/library/app/blobs/{digest}");
        let proxy = Proxy::start(&origin).await;
        origin.order_always(On::path(&path), lie.clone());
        let read = proxy.client().read(&path).await;
        match read.status {
            200 => {
                assert_eq!(read.end, End::Cut, "{lie:?}: a wrong body completed");
                assert!(
                    (read.body.len() as u64) < LARGE,
                    "{lie:?}: the last byte left"
                );
            }
            status => assert_eq!(status, 502, "{lie:?}"),
        }
        nothing_is_kept(&proxy, &digest, &format!("{lie:?}")).await;
        origin.behave();
        let before = origin.count("GET", &path);
        proxy.client().pull_blob(&path, &content).await;
        proxy.settled().await;
        assert!(origin.count("GET", &path) > before, "{lie:?}");
        proxy.client().pull_blob(&path, &content).await;
    }
}

/// "Blobs up to 1 MiB are verified whole before byte one", so that clients go to their next host.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_small_blob_is_502() {
    let origin = Origin::start().await;
    for (seed, lie) in lies(SMALL).into_iter().enumerate() {
        let content = Content::seeded(50 + seed as u64, SMALL);
        let digest = origin.push_blob("library/app", content.clone());
        let path = format!("/v2/library/app/blobs/{digest}");
        // A proxy of its own, so that an endpoint that lied is not left alone.
        let proxy = Proxy::start(&origin).await;
        origin.order_always(On::path(&path), lie.clone());
        let read = proxy.client().read(&path).await;
        assert_eq!((read.status, read.end), (502, End::Complete), "{lie:?}");
        assert!(
            !read.codes().is_empty(),
            "{lie:?}: {:?}",
            String::from_utf8_lossy(&read.body)
        );
        nothing_is_kept(&proxy, &digest, &format!("{lie:?}")).await;
        origin.behave();
        proxy.client().pull_blob(&path, &content).await;
    }
}

/// "a range that starts past 0 gets 502 for a while": a client that resumes must not join a wrong head to a
/// right tail. A whole request starts anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_after_a_mismatch_is_502() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, LARGE);
    let digest = origin.push_blob("library/app", content.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    let proxy = Proxy::start(&origin).await;
    origin.order_always(On::path(&path), Fault::WrongBytes(LARGE / 2));
    let read = proxy.client().read(&path).await;
    assert_eq!((read.status, read.end), (200, End::Cut));
    origin.behave();
    for range in [
        format!("{}-", read.body.len()),
        "1-".to_owned(),
        "-1".to_owned(),
        format!("5-{LARGE}"),
    ] {
        let resumed = proxy.client().range(&range).read(&path).await;
        assert_eq!(
            (resumed.status, resumed.end),
            (502, End::Complete),
            "{range}"
        );
    }
    assert_eq!(
        origin.count("GET", &path),
        1,
        "nobody upstream was asked for them"
    );
    proxy.client().pull_blob(&path, &content).await;
    proxy.settled().await;
    // The right tail would complete a wrong head just as well.
    assert_eq!(proxy.client().range("1-").read(&path).await.status, 502);
    let whole = proxy.client().range("0-").read(&path).await;
    assert_eq!((whole.status, whole.body == content.bytes()), (206, true));
}

/// Joiners too; "A range that ends before them may complete unverified".
#[tokio::test(flavor = "multi_thread")]
async fn joiners_of_a_wrong_fill_are_cut() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, LARGE);
    let digest = origin.push_blob("library/app", content.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    let proxy = Proxy::start(&origin).await;
    let gate = Gate::new();
    let wrong = Fault::All(vec![
        Fault::WrongBytes(LARGE - 100),
        Fault::Stall(LARGE / 2, gate.clone()),
    ]);
    origin.order_always(On::get(&path), wrong);
    let leader = proxy.client().get(&path).await;
    gate.reached().await;
    let mut joined = vec![leader, proxy.client().get(&path).await];
    for range in ["5-", "-1", "2000000-"] {
        joined.push(proxy.client().range(range).get(&path).await);
    }
    let early = proxy.client().range("0-99999").read(&path).await;
    assert_eq!(
        (
            early.status,
            early.end,
            early.body == content.slice(0, 100_000)
        ),
        (206, End::Complete, true)
    );
    gate.open();
    for reply in joined {
        assert!(reply.status == 200 || reply.status == 206);
        assert_eq!(reply.read().await.end, End::Cut);
    }
    nothing_is_kept(&proxy, &digest, "joined").await;
}

/// "Content-Length equal to the descriptor's size where a manifest is known": refused before byte one.
#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_the_manifest_contradicts_is_502() {
    for lie in [
        Fault::Short(10),
        Fault::Long(10),
        Fault::LengthLies(10),
        Fault::LengthLies(-10),
        Fault::Html200,
    ] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[LARGE]);
        let proxy = Proxy::start(&origin).await;
        assert_eq!(
            proxy
                .client()
                .read("/v2/library/app/manifests/1")
                .await
                .status,
            200
        );
        origin.order_always(On::path("/blobs/"), lie.clone());
        let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
        assert_eq!(proxy.client().read(&path).await.status, 502, "{lie:?}");
        origin.behave();
        proxy
            .client()
            .pull(&origin, "/v2/library/app", &image, "1", "")
            .await;
    }
}

/// A second endpoint makes good what the first one lied about, before a byte has left.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_endpoint_makes_it_good() {
    for lie in [
        Fault::WrongBytes(5),
        Fault::Short(10),
        Fault::Html200,
        Fault::LengthLies(10),
        Fault::LengthLies(-10),
        Fault::CutAt(5),
    ] {
        let (mirror, origin) = (Origin::start().await, Origin::start().await);
        let image = mirror.image("library/app", "1", &[SMALL]);
        origin.image("library/app", "1", &[SMALL]);
        mirror.order_always(On::path("/blobs/"), lie);
        let proxy = Proxy::with(&Origin::start().await)
            .upstream("corp.example", &[&mirror, &origin], "")
            .start()
            .await;
        let path = format!("/v2/corp.example/library/app/blobs/{}", image.layers[0]);
        // A small wrong blob may cost one answer; the next whole request goes to the other endpoint first.
        let first = proxy.client().read(&path).await;
        assert!(
            first.status == 502 || first.body == origin.blob(&image.layers[0]).bytes(),
            "{}",
            first.status
        );
        proxy
            .client()
            .pull_blob(&path, &origin.blob(&image.layers[0]))
            .await;
    }
}

/// "wrong digest, HTML instead of a manifest, length that lies": 502, nothing kept.
#[tokio::test]
async fn no_wrong_manifest_is_served() {
    for lie in [
        Fault::WrongBytes(20),
        Fault::Short(10),
        Fault::Long(10),
        Fault::LengthLies(10),
        Fault::Html200,
        Fault::All(vec![Fault::Chunked, Fault::Short(1)]),
    ] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[10]);
        let proxy = Proxy::start(&origin).await;
        let path = format!("/v2/library/app/manifests/{}", image.digest);
        origin.order_always(On::path("/manifests/"), lie.clone());
        let read = proxy.client().read(&path).await;
        assert_eq!((read.status, read.end), (502, End::Complete), "{lie:?}");
        nothing_is_kept(&proxy, &image.digest, &format!("{lie:?}")).await;
        origin.behave();
        proxy
            .client()
            .pull(&origin, "/v2/library/app", &image, &image.digest, "")
            .await;
    }
}

/// "A read that fails or ends short: the file is quarantined and counted, and this very body goes on from
/// upstream at its offset." Here the kept file was truncated behind the proxy's back.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_file_that_ends_short_is_made_good() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, LARGE);
    let digest = origin.push_blob("library/app", content.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    let mut proxy = Proxy::start(&origin).await;
    proxy.client().pull_blob(&path, &content).await;
    proxy.settled().await;
    let hex = digest.strip_prefix("sha256:").unwrap();
    let kept = proxy.store().join("blobs/sha256").join(&hex[..2]).join(hex);
    for restart in [false, true] {
        let file = std::fs::File::options().write(true).open(&kept).unwrap();
        file.set_len(1_000_000).unwrap();
        if restart {
            proxy.restart().await;
        }
        proxy.client().pull_blob(&path, &content).await;
        proxy.client().pull_blob(&path, &content).await;
        proxy.settled().await;
        assert_eq!(
            std::fs::metadata(&kept).unwrap().len(),
            LARGE,
            "it is whole again"
        );
    }
}

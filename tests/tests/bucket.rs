//! The bucket is lost: it hangs, or nobody listens. Clients are served from upstream all the same, and in time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use longshore_tests::{Content, End, Fault, On, Origin, Proxy, S3};
use tokio::net::TcpSocket;

const TAG: &str = "/v2/library/app/manifests/1";

/// An object server that is lost: while this lives, its address is nobody else's.
fn lost(hangs: bool) -> (SocketAddr, Box<dyn std::any::Any>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    if hangs {
        // The kernel takes connections, nobody reads them.
        (address, Box::new(socket.listen(128).unwrap()))
    } else {
        (address, Box::new(socket))
    }
}

#[tokio::test]
async fn a_lost_bucket_is_no_outage() {
    for hangs in [true, false] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[5000, 2 << 20]);
        let (address, _server) = lost(hangs);
        let proxy = Proxy::with(&origin).bucket(address).start().await;
        let started = Instant::now();
        let read = proxy.client().read(TAG).await;
        assert_eq!(read.status, 200, "hangs: {hangs}");
        for layer in &image.layers {
            let path = format!("/v2/library/app/blobs/{layer}");
            proxy.client().pull_blob(&path, &origin.blob(layer)).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "one deadline for all look-ups: {:?}, hangs: {hangs}",
            started.elapsed()
        );
        let read = [("action", "read")];
        proxy
            .until_metric("longshore_store_bucket_errors_total", &read, |errors| {
                errors == 1.0
            })
            .await;
        let metrics = proxy.client().read("/metrics").await.body;
        let metrics = String::from_utf8(metrics).unwrap();
        assert!(metrics.contains("\nlongshore_store_bucket_up 0\n"));
        assert_eq!(proxy.client().read("/readyz").await.status, 200);
    }
}

/// A blob whose manifest came before is looked for in the bucket only when its bytes are wanted.
#[tokio::test]
async fn a_blob_is_not_waited_for_longer_than_a_look_up() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[2 << 20]);
    let (address, _server) = lost(true);
    let mut proxy = Proxy::with(&origin).start().await;
    assert_eq!(proxy.client().read(TAG).await.status, 200);
    proxy.settled().await;
    proxy.terminate();
    proxy.ended().await;

    // Records are in the local tier, so that the first question to the bucket is for the blob.
    let proxy = Proxy::with(&origin)
        .store(proxy.store())
        .bucket(address)
        .start()
        .await;
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    let started = Instant::now();
    proxy
        .client()
        .pull_blob(&path, &origin.blob(&image.layers[0]))
        .await;
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

/// What was waited for the bucket is not waited for upstream once more.
#[tokio::test]
async fn looking_into_the_bucket_is_part_of_a_clients_time() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[5000]);
    let (address, _server) = lost(true);
    for path in [
        TAG.to_owned(),
        format!("/v2/library/app/manifests/{}", image.digest),
    ] {
        let proxy = Proxy::with(&origin)
            .defaults("answer_within = \"4s\"")
            .bucket(address)
            .start()
            .await;
        origin.order_always(On::path("/v2/"), Fault::HangBeforeHeaders);
        let started = Instant::now();
        assert_eq!(proxy.client().read(&path).await.status, 504);
        assert!(
            started.elapsed() < Duration::from_secs(6),
            "{:?}",
            started.elapsed()
        );
    }
}

/// Waits until the bucket has everything.
async fn uploaded(proxy: &Proxy) {
    proxy.settled().await;
    proxy
        .until_metric("longshore_store_outbox_entries", &[], |entries| {
            entries == 0.0
        })
        .await;
}

/// The local tier loses a blob: its records stay.
fn lose(proxy: &Proxy, digest: &str) {
    let (algorithm, hex) = digest.split_once(':').unwrap();
    let path = proxy.store().join("blobs").join(algorithm);
    std::fs::remove_file(path.join(&hex[..2]).join(hex)).unwrap();
}

fn blob_path(digest: &str) -> String {
    format!("/v2/library/app/blobs/{digest}")
}

/// `TOKEN`, `ENDPOINT` and the like belong to other programs.
#[tokio::test]
async fn variables_of_other_programs_do_not_configure_the_bucket() {
    let origin = Origin::start().await;
    let s3 = S3::start().await;
    let digest = origin.push_blob("library/app", Content::seeded(1, 5000));
    let foreign = [
        ("TOKEN", "token-of-another"),
        ("SESSION_TOKEN", "token-of-another"),
        ("ENDPOINT", "http://127.0.0.1:1"),
        ("ENDPOINT_URL", "http://127.0.0.1:1"),
        ("REGION", "elsewhere-1"),
        ("DEFAULT_REGION", "elsewhere-1"),
        ("ACCESS_KEY_ID", "other"),
        ("SKIP_SIGNATURE", "true"),
        ("UNSIGNED_PAYLOAD", "true"),
        ("VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ("BUCKET", "other"),
        ("USER_AGENT", "other"),
    ];
    let settings = Proxy::with(&origin).bucket(s3.address());
    let proxy = foreign
        .iter()
        .fold(settings, |settings, (name, value)| {
            settings.environment(name, *value)
        })
        .start()
        .await;
    let path = blob_path(&digest);
    proxy.client().pull_blob(&path, &origin.blob(&digest)).await;
    uploaded(&proxy).await;
    let seen = s3.requests();
    assert!(!seen.is_empty());
    for seen in seen {
        let signed = seen.header("authorization").unwrap_or_default();
        assert!(signed.contains("Credential=key/"), "{signed}");
        assert!(signed.contains("/nowhere-1/"), "{signed}");
        assert_eq!(seen.header("x-amz-security-token"), None);
        assert!(seen.path.starts_with("/bucket"), "{}", seen.path);
        assert_ne!(seen.header("user-agent"), Some("other"));
    }
}

/// How many requests of each method the bucket got since the last count.
async fn counted(s3: &S3) -> (usize, usize, usize) {
    s3.until(|seen| seen.iter().all(|seen| seen.ended)).await;
    let seen = s3.requests();
    s3.forget_requests();
    let count = |methods: &[&str]| {
        let of = |seen: &&longshore_tests::Seen| methods.contains(&&*seen.method);
        seen.iter().filter(of).count()
    };
    (
        count(&["GET", "HEAD"]),
        count(&["PUT"]),
        count(&["POST", "DELETE"]),
    )
}

#[tokio::test]
async fn a_blob_costs_few_requests_to_the_bucket() {
    for (len, parts) in [(5000, 0), (20 << 20, 3)] {
        let origin = Origin::start().await;
        let s3 = S3::start().await;
        let content = Content::seeded(2, len);
        let digest = origin.push_blob("library/app", content.clone());
        let proxy = Proxy::with(&origin).bucket(s3.address()).start().await;
        let path = blob_path(&digest);
        proxy.client().pull_blob(&path, &content).await;
        uploaded(&proxy).await;
        let (reads, puts, posts) = counted(&s3).await;
        let upload = if parts == 0 { (1, 0) } else { (parts, 2) };
        assert!(reads <= 2, "cold: {reads} reads");
        assert!(
            puts >= upload.0 && puts <= upload.0 + 2,
            "cold: {puts} writes"
        );
        assert_eq!(posts, upload.1);

        proxy.client().pull_blob(&path, &content).await;
        assert_eq!(counted(&s3).await, (0, 0, 0), "a hit of the local tier");

        lose(&proxy, &digest);
        proxy.client().pull_blob(&path, &content).await;
        uploaded(&proxy).await;
        assert_eq!(counted(&s3).await, (1, 0, 0), "a miss of the local tier");
        assert_eq!(origin.count("GET", &path), 1);
        assert!(proxy.keeps(&digest));
    }
}

#[tokio::test]
async fn an_unchanged_tag_costs_no_request_to_the_bucket() {
    let origin = Origin::start().await;
    let s3 = S3::start().await;
    origin.image("library/app", "1", &[5000]);
    let proxy = Proxy::with(&origin)
        .defaults("revalidate = \"0s\"")
        .bucket(s3.address())
        .start()
        .await;
    assert_eq!(proxy.client().read(TAG).await.status, 200);
    uploaded(&proxy).await;
    counted(&s3).await;
    for _ in 0..10 {
        assert_eq!(proxy.client().read(TAG).await.status, 200);
    }
    uploaded(&proxy).await;
    assert_eq!(counted(&s3).await, (0, 0, 0));
}

/// What a manifest names costs nothing, however much it is.
#[tokio::test]
async fn a_manifest_of_a_thousand_layers_costs_as_few_requests_as_one() {
    let origin = Origin::start().await;
    let s3 = S3::start().await;
    origin.image("library/app", "1", &[10; 1000]);
    let proxy = Proxy::with(&origin).bucket(s3.address()).start().await;
    assert_eq!(proxy.client().read(TAG).await.status, 200);
    uploaded(&proxy).await;
    s3.until(|seen| seen.iter().all(|seen| seen.ended)).await;
    let records = |method: &str| {
        let seen = s3.requests();
        let of = |seen: &&longshore_tests::Seen| {
            seen.method == method && seen.path.contains("/repositories/")
        };
        seen.iter().filter(of).count()
    };
    assert!(records("PUT") <= 2, "{:#?}", s3.requests());
    assert!(records("GET") <= 2, "{:#?}", s3.requests());
    let (reads, puts, _) = counted(&s3).await;
    // Beside the records: a look for the manifest, its upload, and the marker once or twice at the start.
    assert!(reads <= 3 && puts <= 5, "{reads} reads, {puts} writes");
}

/// A copy in the bucket is verified as any source is.
#[tokio::test]
async fn a_damaged_copy_in_the_bucket_is_replaced() {
    for len in [5000, 3 << 20, 9 << 20] {
        let damages: [fn(&mut Vec<u8>); 5] = [
            |bytes| bytes.truncate(bytes.len() / 2),
            |bytes| bytes.truncate(0),
            |bytes| bytes.push(0),
            |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            },
            |bytes| {
                bytes.pop();
            },
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let origin = Origin::start().await;
            let s3 = S3::start().await;
            let content = Content::seeded(3, len);
            let digest = origin.push_blob("library/app", content.clone());
            let proxy = Proxy::with(&origin).bucket(s3.address()).start().await;
            let path = blob_path(&digest);
            proxy.client().pull_blob(&path, &content).await;
            uploaded(&proxy).await;
            let (key, bytes) = s3.find_blob(&digest).unwrap();
            let mut bytes = bytes.to_vec();
            damage(&mut bytes);
            s3.put(&key, bytes);
            lose(&proxy, &digest);

            let read = proxy.client().read(&path).await;
            let whole = read.end == End::Complete && read.status == 200;
            assert!(
                !whole || content.matches(0, &read.body) && read.body.len() as u64 == len,
                "wrong bytes served as whole, {len}, damage {number}"
            );
            proxy.settled().await;
            proxy.client().pull_blob(&path, &content).await;
            uploaded(&proxy).await;
            assert_eq!(s3.object(&key).unwrap(), content.bytes(), "{len}, {number}");
            let damaged = proxy
                .metric("longshore_store_bucket_damaged_total", &[])
                .await;
            assert_eq!(damaged, 1.0, "{len}, damage {number}");
            let blamed = proxy.metric("longshore_digest_mismatch_total", &[]).await;
            assert_eq!(blamed, 0.0, "upstream is blamed, {len}, damage {number}");
        }
    }
}

/// What is committed while the bucket is lost reaches it when it is back, after a crash too.
#[tokio::test]
async fn a_bucket_that_was_lost_gets_everything() {
    let origin = Origin::start().await;
    let s3 = S3::start().await;
    s3.stop().await;
    let image = origin.image("library/app", "1", &[5000, 9 << 20]);
    let mut proxy = Proxy::with(&origin).bucket(s3.address()).start().await;
    assert_eq!(proxy.client().read(TAG).await.status, 200);
    for layer in &image.layers {
        proxy
            .client()
            .pull_blob(&blob_path(layer), &origin.blob(layer))
            .await;
    }
    proxy.settled().await;
    assert!(proxy.metric("longshore_store_outbox_entries", &[]).await >= 4.0);
    proxy.kill();
    s3.restart().await;
    proxy.restart().await;
    for layer in &image.layers {
        s3.until(|_| s3.find_blob(layer).is_some()).await;
    }
    uploaded(&proxy).await;
    assert!(s3.find("/_tags/1").is_some());
    assert!(s3.incomplete().is_empty());
}

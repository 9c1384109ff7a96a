//! What Prometheus and a load balancer see.

use longshore_tests::{Content, Fault, Gate, On, Origin, Proxy};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const HUB: (&str, &str) = ("upstream", "docker.io");

/// A proxy that filled a blob of 2 MiB once and served it twice more, and a manifest as well.
async fn served() -> (Origin, Proxy) {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[5000, 2 << 20]);
    let proxy = Proxy::start(&origin).await;
    let path = format!("/v2/library/app/blobs/{}", image.layers[1]);
    let content = origin.blob(&image.layers[1]);
    for _ in 0..3 {
        proxy.client().pull_blob(&path, &content).await;
        proxy.settled().await;
        proxy.client().read("/v2/library/app/manifests/1").await;
    }
    (origin, proxy)
}

/// The families count what clients got.
#[tokio::test]
async fn answers_are_counted() {
    let (_origin, proxy) = served().await;
    let size = f64::from(2 << 20);
    for (name, kind, outcome, value) in [
        ("longshore_requests_total", "blob", "miss", 1.0),
        ("longshore_requests_total", "blob", "hit", 2.0),
        ("longshore_requests_total", "manifest", "miss", 1.0),
        ("longshore_requests_total", "manifest", "hit", 2.0),
        ("longshore_served_bytes_total", "blob", "miss", size),
        ("longshore_served_bytes_total", "blob", "hit", 2.0 * size),
        ("longshore_first_byte_seconds_count", "blob", "miss", 1.0),
        ("longshore_first_byte_seconds_count", "blob", "hit", 2.0),
    ] {
        let labels = [("kind", kind), ("outcome", outcome)];
        proxy
            .until_metric(name, &labels, |count| count == value)
            .await;
    }
    let labels = [HUB, ("kind", "blob"), ("code", "200")];
    assert_eq!(proxy.metric("longshore_requests_total", &labels).await, 3.0);
}

/// And what upstream was asked.
#[tokio::test]
async fn what_upstream_was_asked_is_counted() {
    let (_origin, proxy) = served().await;
    let size = f64::from(2 << 20);
    let blobs = [HUB, ("kind", "blob"), ("code", "200")];
    for (name, labels, at_least) in [
        ("longshore_upstream_requests_total", &blobs[..], 1.0),
        ("longshore_upstream_bytes_total", &[HUB], size),
        ("longshore_upstream_seconds_count", &[], 2.0),
        ("longshore_fill_seconds_count", &[], 1.0),
        ("longshore_upstream_up", &[HUB], 1.0),
        ("longshore_store_bytes", &[], size),
        ("longshore_store_objects", &[], 2.0),
    ] {
        proxy
            .until_metric(name, labels, |count| count >= at_least)
            .await;
    }
    assert!(
        proxy.metric("longshore_upstream_bytes_total", &[HUB]).await < 1.1 * size,
        "the blob came once"
    );
}

/// Failures too.
#[tokio::test]
async fn failures_are_counted() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, 2 << 20);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content)
    );
    let proxy = Proxy::start(&origin).await;
    origin.order_always(On::path("/blobs/"), Fault::WrongBytes(1_000_000));
    proxy.client().read(&path).await;
    proxy
        .until_metric(
            "longshore_digest_mismatch_total",
            &[("upstream", "docker.io")],
            |count| count >= 1.0,
        )
        .await;
    proxy
        .client()
        .read("/v2/app/manifests/1?ns=unknown.example")
        .await;
    let labels = [
        ("upstream", "unknown"),
        ("outcome", "error"),
        ("code", "404"),
    ];
    proxy
        .until_metric("longshore_requests_total", &labels, |count| count == 1.0)
        .await;
}

/// A manifest that is not its digest's counts as a blob does.
#[tokio::test]
async fn wrong_manifests_are_counted() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100]);
    let proxy = Proxy::start(&origin).await;
    origin.order_always(On::path("/manifests/"), Fault::WrongBytes(20));
    for (asked, mismatches) in [(image.digest.as_str(), 1.0), ("1", 2.0)] {
        let path = format!("/v2/library/app/manifests/{asked}");
        assert_eq!(proxy.client().read(&path).await.status, 502);
        let name = "longshore_digest_mismatch_total";
        assert_eq!(proxy.metric(name, &[HUB]).await, mismatches, "{asked}");
    }
}

/// "Never a repository or tag as a label"; the text is what Prometheus reads.
#[tokio::test]
async fn metrics_are_text_without_names_of_repositories() {
    let origin = Origin::start().await;
    let image = origin.image("library/some-repository", "some-tag", &[5000]);
    let proxy = Proxy::start(&origin).await;
    proxy
        .client()
        .pull(
            &origin,
            "/v2/library/some-repository",
            &image,
            "some-tag",
            "",
        )
        .await;
    proxy
        .client()
        .read("/v2/some-repository/manifests/1?ns=evil.example")
        .await;
    let read = proxy.client().read("/metrics").await;
    assert_eq!(read.status, 200);
    assert!(
        read.header("content-type")
            .unwrap()
            .starts_with("text/plain"),
        "{:?}",
        read.headers
    );
    let text = String::from_utf8(read.body).unwrap();
    for name in ["some-repository", "some-tag", "evil.example", "sha256"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    assert!(text.contains("longshore_build_info{"), "{text}");
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        assert!(
            line.starts_with("longshore_") || line.starts_with("process_"),
            "{line}"
        );
    }
}

/// `/healthz` is the process; `/readyz` does not depend on an upstream.
#[tokio::test]
async fn health_and_readiness() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    origin.stop().await;
    proxy.client().read("/v2/library/app/manifests/1").await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(proxy.client().read(path).await.status, 200, "{path}");
        assert_eq!(proxy.client().head(path).await.status, 200, "{path}");
    }
}

/// A probe or a scrape is no failure: it is neither counted nor logged as one.
#[tokio::test]
async fn probes_are_no_failures() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    for path in ["/healthz", "/readyz", "/metrics", "/v2/"] {
        assert_eq!(proxy.client().read(path).await.status, 200, "{path}");
    }
    let errors = proxy
        .metric("longshore_requests_total", &[("outcome", "error")])
        .await;
    assert_eq!(errors, 0.0);
    assert!(!proxy.log().contains("\"status\":500"), "{}", proxy.log());
}

/// A client that hangs up before it is answered is not an internal error: it is counted as 499, as nginx does.
#[tokio::test]
async fn clients_that_hang_up_are_counted_as_499() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[5000]);
    let proxy = Proxy::start(&origin).await;
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    let gate = Gate::new();
    origin.order(
        On::get(&image.layers[0]),
        [Fault::HoldHeaders(gate.clone())],
    );
    let mut client = TcpStream::connect(proxy.host()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    gate.reached().await;
    drop(client);
    let name = "longshore_requests_total";
    let hung_up = [("kind", "blob"), ("code", "499")];
    proxy
        .until_metric(name, &hung_up, |count| count == 1.0)
        .await;
    assert_eq!(proxy.metric(name, &[("code", "500")]).await, 0.0);
    gate.open();
}

//! Upstream fails: it answers 401, 403, 404, 429 (with and without Retry-After), 500 or 503, hangs, resets, or
//! returns HTML with 200. What clients are told, with a kept copy and without.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Bearer, Fault, Gate, Image, On, Origin, PATIENCE, Proxy, Read};
use std::time::{Duration, Instant};

const PREFIX: &str = "/v2/library/app";
const TAG: &str = "/v2/library/app/manifests/1";

/// What a client gets for a tag that is cached.
#[derive(Clone, Copy, Debug)]
enum Cached {
    Stale,
    Refused(u16, &'static str),
}

/// A failure and its cells: not cached, and a cached tag. `UNKNOWN` stands for the code of the kind of object.
fn rows() -> Vec<(&'static str, Fault, (u16, &'static str), Cached)> {
    let denied = Cached::Refused(403, "DENIED");
    vec![
        (
            "404",
            Fault::error(404, "MANIFEST_UNKNOWN"),
            (404, "UNKNOWN"),
            Cached::Refused(404, "MANIFEST_UNKNOWN"),
        ),
        (
            "bare 404",
            Fault::bare(404, &[]),
            (404, "UNKNOWN"),
            Cached::Stale,
        ),
        (
            "401",
            Fault::error(401, "UNAUTHORIZED"),
            (403, "DENIED"),
            denied,
        ),
        ("403", Fault::error(403, "DENIED"), (403, "DENIED"), denied),
        (
            "429",
            Fault::error(429, "TOOMANYREQUESTS"),
            (503, "TOOMANYREQUESTS"),
            Cached::Stale,
        ),
        (
            "429 with a time",
            Fault::bare(429, &[("Retry-After", "17")]),
            (503, "TOOMANYREQUESTS"),
            Cached::Stale,
        ),
        ("500", Fault::bare(500, &[]), (502, ""), Cached::Stale),
        ("502", Fault::bare(502, &[]), (502, ""), Cached::Stale),
        (
            "503",
            Fault::bare(503, &[("Retry-After", "1")]),
            (502, ""),
            Cached::Stale,
        ),
        ("hang", Fault::HangBeforeHeaders, (504, ""), Cached::Stale),
        ("reset", Fault::Reset, (502, ""), Cached::Stale),
        ("HTML", Fault::Html200, (502, ""), Cached::Stale),
    ]
}

/// The answer is this refusal, in the form every refusal has.
fn refused(what: &str, read: &Read, status: u16, code: &str) {
    assert_eq!(
        read.status,
        status,
        "{what}: {}",
        String::from_utf8_lossy(&read.body)
    );
    assert_eq!(
        read.header("content-type"),
        Some("application/json"),
        "{what}"
    );
    assert_eq!(
        read.header("www-authenticate"),
        None,
        "{what}: never a challenge of upstream's"
    );
    let codes = read.codes();
    assert_eq!(codes.len(), 1, "{what}");
    assert!(
        code.is_empty() || codes[0] == code,
        "{what}: {codes:?} instead of {code}"
    );
    assert_ne!(
        codes[0], "UNKNOWN",
        "{what}: a code that some clients take for a passing failure"
    );
    assert_eq!(
        read.header("retry-after").is_some(),
        status == 503 || status == 429,
        "{what}"
    );
}

#[tokio::test]
async fn not_cached() {
    for (what, fault, (status, code), _) in rows() {
        for kind in ["MANIFEST", "BLOB"] {
            let origin = Origin::start().await;
            let image = origin.image("library/app", "1", &[100]);
            let proxy = Proxy::unsure(&origin).start().await;
            origin.order_always(On::path("/v2/"), fault.clone());
            let unknown = format!("{kind}_UNKNOWN");
            let code = if code == "UNKNOWN" { &unknown } else { code };
            let paths = match kind {
                "MANIFEST" => vec![
                    TAG.to_owned(),
                    format!("{PREFIX}/manifests/{}", image.digest),
                ],
                _ => vec![format!("{PREFIX}/blobs/{}", image.layers[0])],
            };
            for path in paths {
                let what = format!("{what}, {path}");
                let start = Instant::now();
                let read = proxy.client().read(&path).await;
                refused(&what, &read, status, code);
                let head = proxy.client().head(&path).await;
                assert_eq!((head.status, head.body.len()), (status, 0), "HEAD {what}");
                assert!(
                    start.elapsed() < Duration::from_secs(8),
                    "{what} took {:?}",
                    start.elapsed()
                );
                if what.starts_with("429 with") {
                    let secs: u64 = read.header("retry-after").unwrap().parse().unwrap();
                    assert!((1..=17).contains(&secs), "{secs}");
                }
            }
            assert!(
                !proxy.keeps(&image.digest) && !proxy.keeps(&image.layers[0]),
                "{what}"
            );
        }
    }
}

/// An image that was pulled whole through the proxy while upstream was well.
async fn pulled(origin: &Origin, proxy: &Proxy) -> Image {
    let image = origin.image("library/app", "1", &[100, 2 << 20]);
    proxy.client().pull(origin, PREFIX, &image, "1", "").await;
    proxy.settled().await;
    image
}

/// By digest everything is served whatever upstream says.
async fn served_by_digest(origin: &Origin, proxy: &Proxy, image: &Image, what: &str) {
    let read = proxy
        .client()
        .read(&format!("{PREFIX}/manifests/{}", image.digest))
        .await;
    assert_eq!(
        (read.status, read.header("x-cache")),
        (200, Some("hit")),
        "{what}"
    );
    for blob in image.blobs() {
        proxy
            .client()
            .pull_blob(&format!("{PREFIX}/blobs/{blob}"), &origin.blob(blob))
            .await;
    }
}

#[tokio::test]
async fn cached() {
    for (what, fault, _, cell) in rows() {
        let origin = Origin::start().await;
        let proxy = Proxy::unsure(&origin).start().await;
        let image = pulled(&origin, &proxy).await;
        origin.order_always(On::path("/"), fault);
        let read = proxy.client().read(TAG).await;
        match cell {
            Cached::Stale => stale(what, &proxy, &image, &read).await,
            Cached::Refused(status, code) => refused(what, &read, status, code),
        }
        served_by_digest(&origin, &proxy, &image, what).await;
    }
}

/// "Stale answers say so: `X-Cache: stale`, a metric, a log line."
async fn stale(what: &str, proxy: &Proxy, image: &Image, read: &Read) {
    assert_eq!(
        read.status,
        200,
        "{what}: {}",
        String::from_utf8_lossy(&read.body)
    );
    assert_eq!(
        (read.header("x-cache"), &read.body),
        (Some("stale"), &image.manifest),
        "{what}"
    );
    assert_eq!(
        read.header("docker-content-digest"),
        Some(image.digest.as_str()),
        "{what}"
    );
    let labels = [("kind", "manifest"), ("outcome", "stale")];
    proxy
        .until_metric("longshore_requests_total", &labels, |count| count >= 1.0)
        .await;
    assert!(proxy.log().contains("stale"), "{what}");
    let head = proxy.client().head(TAG).await;
    assert_eq!(
        (head.status, head.header("x-cache")),
        (200, Some("stale")),
        "HEAD {what}"
    );
}

/// "refused": nobody listens, and the process is new: start-up never needs an upstream.
#[tokio::test]
async fn connection_refused_cached_and_not() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::unsure(&origin).start().await;
    let image = pulled(&origin, &proxy).await;
    origin.stop().await;
    for restart in [false, true] {
        if restart {
            proxy.restart().await;
        }
        stale("refused", &proxy, &image, &proxy.client().read(TAG).await).await;
        served_by_digest(&origin, &proxy, &image, "refused").await;
        refused(
            "refused",
            &proxy.client().read("/v2/library/app/manifests/2").await,
            502,
            "",
        );
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        refused(
            "refused",
            &proxy
                .client()
                .read(&format!("{PREFIX}/blobs/{digest}"))
                .await,
            502,
            "",
        );
    }
}

/// "tag: when a GET confirms it with a registry's code in the body: forgotten and 404": also once upstream is gone.
#[tokio::test]
async fn a_deleted_tag_is_forgotten() {
    let origin = Origin::start().await;
    let proxy = Proxy::unsure(&origin)
        .defaults("negative_ttl = \"0s\"")
        .start()
        .await;
    let image = pulled(&origin, &proxy).await;
    origin.forget("library/app", "1");
    refused(
        "deleted",
        &proxy.client().read(TAG).await,
        404,
        "MANIFEST_UNKNOWN",
    );
    origin.stop().await;
    refused(
        "deleted, then gone",
        &proxy.client().read(TAG).await,
        502,
        "",
    );
    served_by_digest(&origin, &proxy, &image, "deleted").await;
}

/// `on_deleted = "serve"`, `on_denied = "serve"`.
#[tokio::test]
async fn by_configuration_deleted_and_denied_tags_are_served() {
    for (line, fault) in [
        (
            "on_deleted = \"serve\"",
            Fault::error(404, "MANIFEST_UNKNOWN"),
        ),
        ("on_denied = \"serve\"", Fault::error(403, "DENIED")),
    ] {
        let origin = Origin::start().await;
        let proxy = Proxy::unsure(&origin).defaults(line).start().await;
        let image = pulled(&origin, &proxy).await;
        origin.order_always(On::path("/v2/"), fault);
        stale(line, &proxy, &image, &proxy.client().read(TAG).await).await;
    }
}

/// "404, remembered for `negative_ttl` (10 s) if it carried a registry's code"; "403 DENIED … remembered".
#[tokio::test]
async fn refusals_are_remembered() {
    for (status, code) in [(404, "MANIFEST_UNKNOWN"), (403, "DENIED")] {
        let origin = Origin::start().await;
        let proxy = Proxy::unsure(&origin).start().await;
        origin.order_always(On::path("/v2/"), Fault::error(status, code));
        refused("first", &proxy.client().read(TAG).await, status, code);
        let asked = origin.requests().len();
        for _ in 0..3 {
            refused("again", &proxy.client().read(TAG).await, status, code);
        }
        assert_eq!(origin.requests().len(), asked, "{code}");
    }
}

/// "with the origin not asked, a mirror's 404 is 502": never 404 for "could not ask".
#[tokio::test]
async fn a_mirrors_404_is_no_404() {
    let (mirror, origin) = (Origin::start().await, Origin::start().await);
    let proxy = Proxy::with(&Origin::start().await)
        .upstream("corp.example", &[&mirror, &origin], "")
        .start()
        .await;
    origin.stop().await;
    mirror.image("app", "other", &[1]);
    for path in [
        "/v2/corp.example/app/manifests/1",
        "/v2/corp.example/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ] {
        refused("mirror", &proxy.client().read(path).await, 502, "");
    }
    assert!(!mirror.requests().is_empty());
}

/// "our own credentials rejected … tried anonymously, then stale, with a metric"; not cached: "anonymously, then 502".
#[tokio::test]
async fn our_own_rejected_credentials_are_not_the_clients_denial() {
    let wrong = r#"credentials = { username = "ann", password = "old" }"#;
    let credentials = |password: &str| Some(("ann".to_owned(), password.to_owned()));
    let prefix = "/v2/corp.example/library/app";
    for anonymous in [true, false] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[100]);
        origin.require_bearer(Bearer {
            credentials: credentials("old"),
            ..Bearer::default()
        });
        let proxy = Proxy::unsure(&Origin::start().await)
            .upstream("corp.example", &[&origin], wrong)
            .start()
            .await;
        proxy.client().pull(&origin, prefix, &image, "1", "").await;
        let other = origin.image("library/app", "2", &[200]);
        origin.require_bearer(Bearer {
            credentials: credentials("new"),
            anonymous,
            ..Bearer::default()
        });
        origin.expire_tokens();
        let (tag, cold) = (
            format!("{prefix}/manifests/1"),
            format!("{prefix}/manifests/2"),
        );
        let read = proxy.client().read(&tag).await;
        let outcome = if anonymous { "revalidated" } else { "stale" };
        assert_eq!(
            (read.status, read.header("x-cache")),
            (200, Some(outcome)),
            "{anonymous}"
        );
        if anonymous {
            assert_eq!(proxy.client().read(&cold).await.body, other.manifest);
        } else {
            refused("rejected", &proxy.client().read(&cold).await, 502, "");
            let blob = format!("{prefix}/blobs/{}", other.layers[0]);
            refused("rejected", &proxy.client().read(&blob).await, 502, "");
        }
    }
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[100]);
    origin.require_basic("ann", "new");
    let proxy = Proxy::unsure(&Origin::start().await)
        .upstream("corp.example", &[&origin], wrong)
        .start()
        .await;
    refused(
        "basic",
        &proxy.client().read(&format!("{prefix}/manifests/1")).await,
        502,
        "",
    );
}

/// "that credential and kind … is left alone until Retry-After or the window ends, without one: a probe a minute".
#[tokio::test]
async fn a_rate_limit_is_respected() {
    for headers in [&[("Retry-After", "60")][..], &[]] {
        let origin = Origin::start().await;
        for tag in ["1", "2", "3"] {
            origin.image("library/app", tag, &[1]);
        }
        let proxy = Proxy::unsure(&origin).start().await;
        origin.order(On::get("/manifests/"), [Fault::bare(429, headers)]);
        refused(
            "first",
            &proxy.client().read(TAG).await,
            503,
            "TOOMANYREQUESTS",
        );
        let asked = origin
            .requests()
            .iter()
            .filter(|seen| seen.method == "GET")
            .count();
        for tag in ["1", "2", "3"] {
            let read = proxy
                .client()
                .read(&format!("{PREFIX}/manifests/{tag}"))
                .await;
            refused("again", &read, 503, "TOOMANYREQUESTS");
        }
        let again = origin
            .requests()
            .iter()
            .filter(|seen| seen.method == "GET")
            .count();
        assert_eq!(again, asked, "{:#?}", origin.requests());
    }
}

/// "(429 if `rate_limit_status = 429`)".
#[tokio::test]
async fn a_rate_limit_is_429_by_configuration() {
    let origin = Origin::start().await;
    let proxy = Proxy::unsure(&origin)
        .defaults("rate_limit_status = 429")
        .start()
        .await;
    origin.order_always(On::path("/v2/"), Fault::error(429, "TOOMANYREQUESTS"));
    refused(
        "429",
        &proxy.client().read(TAG).await,
        429,
        "TOOMANYREQUESTS",
    );
}

/// "stale up to `max_stale`".
#[tokio::test]
async fn what_is_too_old_is_not_served() {
    let origin = Origin::start().await;
    let proxy = Proxy::unsure(&origin)
        .defaults("max_stale = \"0s\"")
        .start()
        .await;
    let image = pulled(&origin, &proxy).await;
    origin.stop().await;
    refused("too old", &proxy.client().read(TAG).await, 502, "");
    served_by_digest(&origin, &proxy, &image, "too old").await;
}

/// "a stale tag is served only if it can be pulled: an image needs its config and layers held, an index one whole
/// child; else the client gets the error and goes to its next host". By a switch.
#[tokio::test]
async fn a_stale_tag_must_be_whole() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100, 200]);
    let index = origin.index("library/app", "all", &["amd64", "arm64"], &[300]);
    let proxy = Proxy::unsure(&origin).start().await;
    let careless = Proxy::unsure(&origin)
        .defaults("stale_needs_whole = false")
        .start()
        .await;
    let all = "/v2/library/app/manifests/all";
    for proxy in [&proxy, &careless] {
        for path in [TAG, all] {
            assert_eq!(proxy.client().read(path).await.status, 200);
        }
        // One layer of two; the index has no child at all.
        for blob in [&image.config, &image.layers[0]] {
            assert_eq!(
                proxy
                    .client()
                    .read(&format!("{PREFIX}/blobs/{blob}"))
                    .await
                    .status,
                200
            );
        }
    }
    origin.stop().await;
    for path in [TAG, all] {
        refused("not whole", &proxy.client().read(path).await, 502, "");
        assert_eq!(
            careless.client().read(path).await.header("x-cache"),
            Some("stale")
        );
    }
    origin.restart().await;
    let fresh = Proxy::unsure(&origin).start().await;
    fresh.client().read(all).await;
    fresh
        .client()
        .pull(
            &origin,
            PREFIX,
            &index.images[1],
            &index.images[1].digest,
            "",
        )
        .await;
    origin.stop().await;
    assert_eq!(
        fresh.client().read(all).await.header("x-cache"),
        Some("stale"),
        "one whole child is enough"
    );
}

/// "a check that failed is remembered for 10 s per tag, so that a hanging upstream costs its deadline
/// once".
#[tokio::test]
async fn a_hanging_upstream_costs_its_deadline_once() {
    let origin = Origin::start().await;
    let proxy = Proxy::unsure(&origin).start().await;
    pulled(&origin, &proxy).await;
    origin.order_always(On::path("/"), Fault::HangBeforeHeaders);
    assert_eq!(
        proxy.client().read(TAG).await.header("x-cache"),
        Some("stale")
    );
    let asked = origin.requests().len();
    for _ in 0..20 {
        assert_eq!(
            proxy.client().read(TAG).await.header("x-cache"),
            Some("stale")
        );
    }
    assert_eq!(origin.requests().len(), asked);
}

/// `answer_within` bounds everything up to our headers: a token endpoint that hangs, slow redirects.
#[tokio::test]
async fn answers_come_within_the_deadline() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1]);
    origin.require_bearer(Bearer::default());
    let proxy = Proxy::unsure(&origin).start().await;
    origin.order_always(On::path("/token"), Fault::HangBeforeHeaders);
    let start = Instant::now();
    refused("token", &proxy.client().read(TAG).await, 504, "");
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

/// A list of tags that was asked for before is served while upstream is gone; another page, or another list, is not.
#[tokio::test]
async fn tags_of_an_upstream_that_is_gone() {
    const LIST: &str = "/v2/library/app/tags/list";
    let origin = Origin::start().await;
    for tag in ["1", "2", "3"] {
        origin.image("library/app", tag, &[1]);
    }
    let mut proxy = Proxy::start(&origin).await;
    let page = format!("{LIST}?n=1");
    let mut before = Vec::new();
    for path in [LIST, &page] {
        let read = proxy.client().read(path).await;
        assert_eq!((read.status, read.header("x-cache")), (200, Some("bypass")));
        before.push(read);
    }
    origin.stop().await;
    for _ in 0..2 {
        for (path, before) in [LIST, &page].into_iter().zip(&before) {
            let read = proxy.client().read(path).await;
            assert_eq!((read.status, read.header("x-cache")), (200, Some("stale")));
            assert_eq!(read.body, before.body);
            assert_eq!(read.header("link"), before.header("link"));
        }
        for path in ["?n=2", "?n=1&last=1"] {
            let read = proxy.client().read(&format!("{LIST}{path}")).await;
            refused("tags", &read, 502, "");
        }
        let other = proxy.client().read("/v2/library/other/tags/list").await;
        refused("tags", &other, 502, "");
        proxy.restart().await;
    }
}

/// What upstream denies is not served from an older list; what it once listed is not served for ever.
#[tokio::test]
async fn kept_lists_follow_the_rules_for_tags() {
    const LIST: &str = "/v2/library/app/tags/list";
    let denied = Fault::error(403, "DENIED");
    for (defaults, fault, status) in [
        ("", denied.clone(), 403),
        ("on_denied = \"serve\"", denied, 200),
        ("max_stale = \"0s\"", Fault::bare(500, &[]), 502),
    ] {
        let origin = Origin::start().await;
        origin.image("library/app", "1", &[1]);
        let proxy = Proxy::unsure(&origin).defaults(defaults).start().await;
        assert_eq!(proxy.client().read(LIST).await.status, 200);
        origin.order_always(On::path("/v2/"), fault);
        let read = proxy.client().read(LIST).await;
        assert_eq!(read.status, status, "{defaults}");
    }
}

/// What passes is not told to the client.
#[tokio::test]
async fn a_passing_failure_is_retried() {
    for fault in [
        Fault::bare(503, &[]),
        Fault::bare(500, &[]),
        Fault::Reset,
        Fault::CutAt(5),
    ] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[100]);
        let proxy = Proxy::start(&origin).await;
        for path in ["/manifests/1", &format!("/blobs/{}", image.layers[0])] {
            origin.order(On::get(path), [fault.clone()]);
            let read = proxy.client().read(&format!("{PREFIX}{path}")).await;
            assert_eq!(read.status, 200, "{fault:?} {path}");
            assert_eq!(origin.orders_left(), 0, "{fault:?} {path}");
        }
    }
}

/// A body that stops in the middle does not hold up other requests, and an upstream that comes back is used again.
#[tokio::test]
async fn a_stalled_body_holds_up_nobody() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[2 << 20, 100]);
    let proxy = Proxy::start(&origin).await;
    let gate = Gate::new();
    let path = format!("{PREFIX}/blobs/{}", image.layers[0]);
    origin.order(On::get(&path), [Fault::Stall(1 << 20, gate.clone())]);
    let stalled = proxy.client().get(&path).await;
    gate.reached().await;
    let other = format!("{PREFIX}/blobs/{}", image.layers[1]);
    let read = tokio::time::timeout(PATIENCE / 10, proxy.client().read(&other)).await;
    assert_eq!(read.map(|read| read.status), Ok(200));
    assert_eq!(proxy.client().read(TAG).await.status, 200);
    gate.open();
    assert_eq!(
        stalled.read().await.body,
        origin.blob(&image.layers[0]).bytes()
    );
}

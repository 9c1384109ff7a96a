use std::time::Duration;

use longshore_puller::{Api, Phase, Reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::common::*;

const PATH: &str = "/v2/library/app/manifests/1";

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    origin
}

/// An upstream whose patience ends soon.
fn hasty(origins: &[&Origin]) -> Upstream {
    let mut config = config(origins);
    config.timeouts.headers = Duration::from_millis(700);
    config.timeouts.idle = Duration::from_millis(700);
    Upstream::new(config).unwrap()
}

#[tokio::test]
async fn what_may_pass_is_tried_three_times() {
    for fault in [
        Fault::error(500, "UNKNOWN"),
        Fault::bare(503, &[]),
        Fault::Reset,
        Fault::CutAt(5),
    ] {
        let origin = origin().await;
        let upstream = upstream(&[&origin]);
        origin.order(On::get(PATH), [fault.clone(), fault.clone()]);
        upstream.manifest(&tagged("library/app:1")).await.unwrap();
        assert_eq!(origin.count("GET", PATH), 3, "{fault:?}");
        // Without an idle connection, whose loss is no failed try.
        origin.order(On::get(PATH), [fault.clone(), fault.clone(), fault.clone()]);
        let error = crate::common::upstream(&[&origin])
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Unreachable { .. }) && error.is_transient(),
            "{error:?}"
        );
        assert_eq!(origin.count("GET", PATH), 6, "{fault:?}");
    }
}

#[tokio::test]
async fn what_a_mirror_cannot_do_the_origin_does() {
    for fault in [
        Fault::error(404, "MANIFEST_UNKNOWN"),
        Fault::error(401, "UNAUTHORIZED"),
        Fault::error(403, "DENIED"),
        Fault::bare(429, &[]),
        Fault::bare(500, &[]),
        Fault::bare(418, &[]),
        Fault::Reset,
        Fault::Html200,
        Fault::WrongBytes(20),
        Fault::HangBeforeHeaders,
        Fault::Stall(10, Gate::new()),
    ] {
        let (mirror, origin) = (origin().await, origin().await);
        mirror.order_always(On::path(PATH), fault.clone());
        let fetched = hasty(&[&mirror, &origin])
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap();
        assert_eq!(
            Some(Digest::sha256(&fetched.bytes)),
            fetched.digest,
            "{fault:?}"
        );
        assert_eq!(origin.count("GET", PATH), 1, "{fault:?}");
    }
    let (mirror, origin) = (origin().await, origin().await);
    mirror.stop().await;
    upstream(&[&mirror, &origin])
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mirror_that_can_is_all_there_is_to_ask() {
    let (mirror, origin) = (origin().await, origin().await);
    upstream(&[&mirror, &origin])
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_mirror_does_not_say_what_is_unknown() {
    let (mirror, origin) = (Origin::start().await, origin().await);
    origin.stop().await;
    let upstream = upstream(&[&mirror, &origin]);
    for error in [
        upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err(),
        upstream
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::Unreachable {
                    reason: Reason::Connect | Reason::CircuitOpen,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn deadlines() {
    let origin = origin().await;
    let upstream = hasty(&[&origin]);
    for (fault, expected) in [
        (Fault::HangBeforeHeaders, Phase::Headers),
        (Fault::Stall(10, Gate::new()), Phase::Body),
    ] {
        origin.order(On::get(PATH), [fault]);
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::TimedOut { phase, .. } if phase == expected),
            "{error:?}"
        );
    }
    assert_eq!(
        origin.count("GET", PATH),
        2,
        "a deadline is not waited for twice"
    );
}

fn is_skipped(error: &Error) -> bool {
    let reason = |reason| reason == Reason::CircuitOpen;
    matches!(error, Error::Unreachable { reason: found, .. } if reason(*found))
}

/// One object that always failed took its registry down for everything else.
#[tokio::test]
async fn an_object_that_fails_again_and_again_is_skipped_alone() {
    let origin = origin().await;
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    let upstream = Upstream::new(config).unwrap();
    let other = origin.image("library/other", "1", &[1000]);
    origin.order_always(On::path(PATH), Fault::bare(500, &[]));
    let mut skipped = 0;
    for _ in 0..12 {
        let error = upstream.manifest(&tagged("library/app:1")).await;
        skipped += usize::from(is_skipped(&error.unwrap_err()));
        upstream.manifest(&tagged("library/other:1")).await.unwrap();
        let blob = canonical("library/other", &other.layers[0]);
        upstream.blob(&blob, 0, None).await.unwrap();
    }
    // Five failures, then one call a second.
    assert!(skipped >= 6, "{skipped}");
    let asked = origin.count("GET", PATH);
    assert!(asked <= 9, "{asked}");
    assert_eq!(told.count("up: false"), 0);
}

/// A blob that always fails is asked for again and again, then images are pulled: all of them come. Neither a status,
/// nor a time-out, nor a connection that is lost is anybody else's.
#[tokio::test]
async fn one_blob_that_fails_costs_no_other() {
    for fault in [
        Fault::bare(500, &[]),
        Fault::bare(503, &[]),
        Fault::Reset,
        Fault::HangBeforeHeaders,
    ] {
        let origin = Origin::start().await;
        let images: Vec<_> = (0..8)
            .map(|n| origin.image("library/app", &n.to_string(), &[1000 + n]))
            .collect();
        let bad = origin.image("library/bad", "1", &[5000]).layers[0].clone();
        origin.order_always(On::path(&bad), fault.clone());
        let upstream = hasty(&[&origin]);
        let bad = canonical("library/bad", &bad);
        for _ in 0..6 {
            let failed = upstream.blob(&bad, 0, None).await;
            assert!(failed.is_err(), "{fault:?}");
        }
        for (n, image) in images.iter().enumerate() {
            let reference = tagged(&format!("library/app:{n}"));
            upstream.resolve(&reference).await.unwrap();
            upstream.manifest(&reference).await.unwrap();
            let layer = canonical("library/app", &image.layers[0]);
            let mut download = upstream.blob(&layer, 0, None).await.unwrap();
            read(&mut download).await.unwrap();
        }
    }
}

/// Lists that always fail are no reason to refuse manifests.
#[tokio::test]
async fn lists_that_fail_cost_no_manifest() {
    let origin = origin().await;
    origin.order_always(On::path("/tags/list"), Fault::bare(500, &[]));
    origin.order_always(On::path("/referrers/"), Fault::bare(500, &[]));
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    let upstream = Upstream::new(config).unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..12 {
        let upstream = upstream.clone();
        asking.spawn(async move {
            let repository = format!("library/app{n}");
            let digest = Digest::sha256(b"x").to_string();
            let subject = canonical(&repository, &digest);
            assert!(upstream.tags(subject.named(), None).await.is_err());
            assert!(upstream.referrers(&subject, None).await.is_err());
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(told.count("up: true"), 1);
}

/// An endpoint that fails for everything is skipped as a whole.
#[tokio::test]
async fn an_endpoint_that_fails_for_different_objects_is_down() {
    let origin = Origin::start().await;
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    let upstream = Upstream::new(config).unwrap();
    origin.order_always(On::path("/v2/"), Fault::bare(503, &[]));
    for n in 0..8 {
        let reference = tagged(&format!("library/app{n}:1"));
        upstream.resolve(&reference).await.unwrap_err();
        upstream.manifest(&reference).await.unwrap_err();
    }
    assert_eq!(told.count("up: false"), 1);
    origin.forget_requests();
    let mut skipped = 0;
    for n in 0..6 {
        let digest = Digest::sha256(b"x").to_string();
        let blob = canonical(&format!("library/new{n}"), &digest);
        let error = upstream.blob(&blob, 0, None).await.unwrap_err();
        skipped += usize::from(is_skipped(&error));
    }
    // One call a second sees whether it is back.
    assert!(skipped >= 3, "{skipped}");
}

#[tokio::test]
async fn a_mirror_that_rests_costs_nothing() {
    let (mirror, origin) = (origin().await, origin().await);
    mirror.order_always(On::path("/v2/"), Fault::bare(503, &[]));
    let upstream = upstream(&[&mirror, &origin]);
    for _ in 0..8 {
        upstream.manifest(&tagged("library/app:1")).await.unwrap();
    }
    assert_eq!(mirror.count("GET", PATH), 5);
    assert_eq!(origin.count("GET", PATH), 8);
}

#[tokio::test]
async fn a_limit_of_pulls_is_kept_and_does_not_stop_checks() {
    let origin = origin().await;
    let upstream = upstream(&[&origin]);
    let headers = [("Retry-After", "60"), ("RateLimit-Limit", "100;w=21600")];
    origin.order(On::get(PATH), [Fault::bare(429, &headers)]);
    for _ in 0..3 {
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        let Error::Limited {
            retry_after: Some(wait),
            ..
        } = error
        else {
            panic!("{error:?}")
        };
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
    }
    assert_eq!(origin.count("GET", PATH), 1);
    upstream.resolve(&tagged("library/app:1")).await.unwrap();
    // A refused check cannot be confirmed by a pull now.
    let error = upstream
        .resolve(&tagged("library/app:2"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Limited { .. }), "{error:?}");
    assert_eq!(origin.count("GET", "/v2/library/app/manifests/2"), 0);
}

/// A single 429 closed the endpoint for everything, for a minute.
#[tokio::test]
async fn a_limit_without_a_time_is_over_in_a_second() {
    let origin = origin().await;
    let image = origin.image("library/app", "1", &[1000]);
    let blob = canonical("library/app", &image.layers[0]);
    let upstream = upstream(&[&origin]);
    origin.order(On::get("/blobs/"), [Fault::bare(429, &[])]);
    let error = upstream.blob(&blob, 0, None).await.unwrap_err();
    let unstated = matches!(
        error,
        Error::Limited {
            retry_after: None,
            ..
        }
    );
    assert!(unstated, "{error:?}");
    // Other kinds of request go on.
    upstream.resolve(&tagged("library/app:1")).await.unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    upstream.tags(blob.named(), None).await.unwrap();
    // This one waits a second.
    let error = upstream.blob(&blob, 0, None).await.unwrap_err();
    let Error::Limited {
        retry_after: Some(wait),
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    assert_eq!(
        origin.count("GET", &format!("/v2/library/app/blobs/{}", image.layers[0])),
        1
    );
    tokio::time::sleep(wait).await;
    upstream.blob(&blob, 0, None).await.unwrap();
}

/// What one kind of request may not do, the others may.
#[tokio::test]
async fn a_limit_is_of_one_kind_of_request() {
    let paths = ["/blobs/", "/tags/list", "/referrers/", "/manifests/"];
    for limited in paths {
        let origin = origin().await;
        let image = origin.image("library/app", "1", &[1000]);
        let blob = canonical("library/app", &image.layers[0]);
        let subject = canonical("library/app", &image.digest);
        let upstream = upstream(&[&origin]);
        let slow_down = Fault::bare(429, &[("Retry-After", "60")]);
        origin.order_always(On::get(limited), slow_down);
        for _ in 0..2 {
            let is_limited = |error: Option<Error>| matches!(error, Some(Error::Limited { .. }));
            let reference = tagged("library/app:1");
            for (path, limits) in [
                (
                    "/blobs/",
                    is_limited(upstream.blob(&blob, 0, None).await.err()),
                ),
                (
                    "/tags/list",
                    is_limited(upstream.tags(blob.named(), None).await.err()),
                ),
                (
                    "/referrers/",
                    is_limited(upstream.referrers(&subject, None).await.err()),
                ),
                (
                    "/manifests/",
                    is_limited(upstream.manifest(&reference).await.err()),
                ),
                ("HEAD", is_limited(upstream.resolve(&reference).await.err())),
            ] {
                assert_eq!(limits, path == limited, "{limited}: {path}");
            }
        }
        let asked = origin.requests();
        let asked = asked
            .iter()
            .filter(|seen| seen.method == "GET" && seen.path.contains(limited));
        assert_eq!(asked.count(), 1, "{limited}");
    }
}

/// What the registry stated holds, whoever answers a request that was under way.
#[tokio::test]
async fn an_answer_that_was_under_way_does_not_end_a_stated_limit() {
    let (origin, gate) = (origin().await, Gate::new());
    origin.image("library/app", "2", &[2000]);
    let held = "/v2/library/app/manifests/2";
    origin.order(On::get(held), [Fault::HoldHeaders(gate.clone())]);
    let upstream = upstream(&[&origin]);
    let second = tagged("library/app:2");
    let limited = async {
        gate.reached().await;
        let slow_down = Fault::bare(429, &[("Retry-After", "60")]);
        origin.order(On::get(PATH), [slow_down]);
        let error = upstream.manifest(&tagged("library/app:1")).await;
        assert!(matches!(error, Err(Error::Limited { .. })), "{error:?}");
        gate.open();
    };
    let (fetched, ()) = tokio::join!(upstream.manifest(&second), limited);
    fetched.unwrap();
    let error = upstream.manifest(&tagged("library/app:1")).await;
    assert!(matches!(error, Err(Error::Limited { .. })), "{error:?}");
}

/// A call that ends at its own deadline names what was slow.
#[tokio::test]
async fn a_deadline_for_the_whole_call() {
    let origin = origin().await;
    origin.order_always(On::path("/v2/"), Fault::HangBeforeHeaders);
    let start = std::time::Instant::now();
    let upstream = upstream(&[&origin]).within(Duration::from_millis(300));
    let error = upstream.manifest(&tagged("library/app:1")).await;
    assert!(matches!(error, Err(Error::TimedOut { .. })), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_remains_is_told() {
    let origin = origin().await;
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    let header = Fault::Header("RateLimit-Remaining".into(), Some("76;w=21600".into()));
    origin.order(On::head(PATH), [header]);
    Upstream::new(config)
        .unwrap()
        .resolve(&tagged("library/app:1"))
        .await
        .unwrap();
    assert_eq!(told.count("RateLimit { remaining: 76 }"), 1);
    assert_eq!(told.count("kind: Manifest, code: Some(200)"), 1);
    assert_eq!(told.count("up: true"), 1);
}

#[tokio::test]
async fn a_handshake_that_fails_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    let accepted = std::cell::Cell::new(0);
    let plain = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            accepted.set(accepted.get() + 1);
            let mut hello = [0; 64];
            stream.read_exact(&mut hello).await.unwrap();
            stream
                .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        }
    };
    let endpoint = Endpoint::parse(&format!("https://{host}")).unwrap();
    let mut config = Config::new("registry.test", vec![endpoint]);
    config.api = Api::V2;
    let upstream = Upstream::new(config).unwrap();
    let reference = tagged("library/app:1");
    let error = tokio::select! {
        result = upstream.manifest(&reference) => result.unwrap_err(),
        never = plain => never,
    };
    assert_eq!(accepted.get(), 1);
    assert!(
        matches!(
            error,
            Error::Unreachable {
                reason: Reason::Tls,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn configurations_that_cannot_be_used() {
    let endpoint = || vec![Endpoint::parse("https://registry.test").unwrap()];
    let is_refused = |config| matches!(Upstream::new(config), Err(Error::Config { .. }));
    assert!(is_refused(Config::new("r", Vec::new())));
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        let mut config = Config::new("r", endpoint());
        config.ca = Some(pem.as_bytes().to_vec());
        assert!(is_refused(config), "{pem}");
    }
}

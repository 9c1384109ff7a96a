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
        Fault::GzipEncoded,
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
        upstream.check(&tagged("library/app:1")).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::Unreachable {
                    reason: Reason::Connect | Reason::Resting,
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

#[tokio::test]
async fn what_fails_again_and_again_is_left_alone() {
    let origin = origin().await;
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    let upstream = Upstream::new(config).unwrap();
    origin.order_always(On::path(PATH), Fault::bare(500, &[]));
    let mut resting = 0;
    for _ in 0..12 {
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        resting += usize::from(matches!(
            error,
            Error::Unreachable {
                reason: Reason::Resting,
                ..
            }
        ));
    }
    // Five failures, then one call a second.
    assert!(resting >= 6, "{resting}");
    assert!(
        origin.count("GET", PATH) <= 9,
        "{}",
        origin.count("GET", PATH)
    );
    assert_eq!(told.count("up: false"), 1);
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
    upstream.check(&tagged("library/app:1")).await.unwrap();
    // A refused check cannot be confirmed by a pull now.
    let error = upstream.check(&tagged("library/app:2")).await.unwrap_err();
    assert!(matches!(error, Error::Limited { .. }), "{error:?}");
    assert_eq!(origin.count("GET", "/v2/library/app/manifests/2"), 0);
}

#[tokio::test]
async fn a_limit_that_does_not_say_of_what_is_of_everything() {
    let origin = origin().await;
    let upstream = upstream(&[&origin]);
    origin.order(On::get(PATH), [Fault::bare(429, &[])]);
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Limited {
                retry_after: None,
                ..
            }
        ),
        "{error:?}"
    );
    let error = upstream.check(&tagged("library/app:1")).await.unwrap_err();
    assert!(matches!(error, Error::Limited { .. }), "{error:?}");
    assert_eq!(origin.requests().len(), 1);
}

/// What was asked for before the registry asked to be left alone says nothing about that, whoever answers it.
#[tokio::test]
async fn an_answer_that_was_under_way_does_not_end_a_limit() {
    let storage = Origin::start().await;
    for redirected in [false, true] {
        let (origin, gate) = (origin().await, Gate::new());
        let image = origin.image("library/app", "2", &[2000]);
        let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
        let storage_path = format!("/storage/{}", image.layers[0]);
        storage.push_blob("any", origin.blob(&image.layers[0]));
        if redirected {
            let to = format!("{}{storage_path}", storage.url());
            origin.order_always(On::get(&path), Fault::Redirect(to, 307));
            storage.order(On::get(&storage_path), [Fault::HoldHeaders(gate.clone())]);
        } else {
            origin.order(On::get(&path), [Fault::HoldHeaders(gate.clone())]);
        }
        let upstream = upstream(&[&origin]);
        let blob = canonical("library/app", &image.layers[0]);
        let limited = async {
            gate.reached().await;
            let slow_down = Fault::bare(429, &[("Retry-After", "60")]);
            origin.order(On::get(PATH), [slow_down]);
            let error = upstream.manifest(&tagged("library/app:1")).await;
            assert!(matches!(error, Err(Error::Limited { .. })), "{error:?}");
            gate.open();
        };
        let (opened, ()) = tokio::join!(upstream.blob(&blob, 0, None), limited);
        opened.unwrap();
        let error = upstream.check(&tagged("library/app:1")).await;
        assert!(matches!(error, Err(Error::Limited { .. })), "{redirected}");
        assert_eq!(origin.count("HEAD", PATH), 0);
    }
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
        .check(&tagged("library/app:1"))
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

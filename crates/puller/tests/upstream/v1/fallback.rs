//! From v2 to v1: the branches of the loop, counted.

use longshore_puller::{Api, Event};

use super::*;

type Script = fn(&Seen) -> Answer;

const UNKNOWN: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no"}]}"#;
const UNAUTHORIZED: &str = r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#;
const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}"#;

fn v2(answer: Answer) -> Answer {
    answer.with("Docker-Distribution-Api-Version", "registry/2.0")
}

/// Answers v2 by a function, v1 like a registry.
async fn both(answer: Script) -> Server {
    Server::start(move |seen| match seen.path.starts_with("/v2/") {
        true => answer(seen),
        false => standalone(seen),
    })
    .await
}

#[tokio::test]
async fn what_lets_v1_answer() {
    let cases: [(&str, Script); 10] = [
        ("a bare 404", |_| Answer::new(404, "no")),
        ("a page", |_| {
            Answer::new(200, "<html>").with("Content-Type", "text/html")
        }),
        ("nothing readable", |_| Answer::new(200, "hello")),
        ("a bare 401", |_| Answer::new(401, "")),
        ("a bare 405", |_| Answer::new(405, "")),
        ("UNAUTHORIZED", |_| v2(Answer::new(401, UNAUTHORIZED))),
        ("MANIFEST_UNKNOWN", |_| v2(Answer::new(404, UNKNOWN))),
        ("NAME_UNKNOWN", |_| {
            v2(Answer::new(404, UNKNOWN.replace("MANIFEST", "NAME")))
        }),
        ("a token that is not valid", |_| {
            let challenge = r#"Bearer realm="x",error="invalid_token""#;
            v2(Answer::new(401, UNAUTHORIZED)).with("WWW-Authenticate", challenge)
        }),
        ("no answer", |_| Answer::new(0, "")),
    ];
    for (name, answer) in cases {
        let server = both(answer).await;
        let upstream = upstream_of(&[&server.url()], Api::Auto);
        let fetched = upstream.manifest(&tagged("library/app:1")).await.unwrap();
        assert_eq!((fetched.v1, fetched.digest), (Some(id(2)), None), "{name}");
        let head = upstream.resolve(&tagged("library/app:1")).await.unwrap();
        assert_eq!((head.v1, head.digest), (Some(id(2)), None), "{name}");
        let tags = upstream.tags(tagged("library/app:1").named(), None).await;
        assert!(tags.is_ok(), "{name}: {tags:?}");
        // One that fails again and again is left alone in v2, and answers v1 as before.
        for _ in 0..3 {
            let head = upstream.resolve(&tagged("library/app:1")).await;
            assert!(head.is_ok(), "{name}: {head:?}");
        }
        assert_eq!(server.count("_ping"), 1, "{name}");
    }
}

#[tokio::test]
async fn what_does_not() {
    let cases: [(&str, Script); 7] = [
        ("a bare 403", |_| Answer::new(403, "")),
        ("429", |_| Answer::new(429, "")),
        ("500", |_| v2(Answer::new(500, ""))),
        ("503 without the header", |_| Answer::new(503, "")),
        ("DENIED", |_| Answer::new(403, DENIED)),
        ("another digest", |_| {
            let wrong = Digest::sha256(b"x").to_string();
            Answer::new(200, MANIFEST).with("Docker-Content-Digest", wrong)
        }),
        ("a v2 registry", |_| v2(Answer::new(404, DENIED))),
    ];
    for (name, answer) in cases {
        let server = both(answer).await;
        let upstream = upstream_of(&[&server.url()], Api::Auto);
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert_eq!(server.count("/v1/"), 0, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_deadline_does_not_either() {
    let server = Origin::start().await;
    server.order_always(On::path("/v2/"), Fault::HangBeforeHeaders);
    let mut config = config_of(&[&server.url()], Api::Auto);
    config.timeouts.headers = std::time::Duration::from_millis(300);
    let upstream = Upstream::new(config).unwrap();
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

/// A registry that was seen to be one of v2 is never asked in v1: by a manifest, tags, or a header.
#[tokio::test]
async fn v2_once_confirmed() {
    let server = both(|seen| match seen.path.rsplit('/').next() {
        Some("good") => Answer::new(200, MANIFEST),
        Some("list") => Answer::new(200, "{}"),
        Some("odd") => v2(Answer::new(405, "")),
        _ => Answer::new(404, "no"),
    })
    .await;
    let (good, odd) = (tagged("library/app:good"), tagged("library/app:odd"));
    for way in 0..4 {
        let upstream = upstream_of(&[&server.url()], Api::Auto);
        match way {
            0 => drop(upstream.manifest(&good).await.unwrap()),
            1 => drop(upstream.resolve(&good).await.unwrap()),
            2 => drop(upstream.tags(good.named(), None).await.unwrap()),
            _ => drop(upstream.manifest(&odd).await.unwrap_err()),
        }
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{way}: {error:?}");
        assert_eq!(server.count("/v1/"), 0, "{way}");
    }
}

#[tokio::test]
async fn what_is_no_v1_registry_is_asked_once() {
    let server = Server::start(|seen| match seen.path.starts_with("/v2/") {
        true => v2(Answer::new(404, UNKNOWN)),
        false => Answer::new(404, r#"{"error":"no such page"}"#),
    })
    .await;
    let upstream = upstream_of(&[&server.url()], Api::Auto);
    for tag in ["1", "2", "3"] {
        let reference = tagged(&format!("library/app:{tag}"));
        for error in [
            upstream.manifest(&reference).await.unwrap_err(),
            upstream.resolve(&reference).await.unwrap_err(),
        ] {
            let v2 = matches!(
                error,
                Error::NotFound {
                    authoritative: true,
                    ..
                }
            );
            assert!(v2, "{error:?}");
        }
    }
    assert_eq!(server.count("_ping"), 1);
    assert_eq!(server.count("/v1/"), 2);
    // With v1 alone there is nothing else to ask.
    let upstream = upstream_of(&[&server.url()], Api::V1);
    for _ in 0..2 {
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        let bare = matches!(
            error,
            Error::NotFound {
                authoritative: false,
                ..
            }
        );
        assert!(bare, "{error:?}");
    }
    assert_eq!(server.count("/v1/"), 2 + 3);
}

#[tokio::test]
async fn an_outage_of_both_is_not_remembered() {
    let server = Origin::start().await;
    server.stop().await;
    let upstream = upstream_of(&[&server.url()], Api::Auto);
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    server.restart().await;
    server.order_always(On::path("/v2/"), Fault::bare(404, &[]));
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(server.count("GET", "/v1/_ping"), 1);
}

/// What is in trouble when it is first asked in v1 is not unknown, and is asked again.
#[tokio::test]
async fn trouble_at_the_first_contact_is_not_remembered() {
    for status in [503, 429] {
        let server = Server::start(move |seen| match seen.path.starts_with("/v1/") {
            true if seen.nth < 3 => Answer::new(status, "").with("Retry-After", "0"),
            true => standalone(seen),
            false => Answer::new(404, "no"),
        })
        .await;
        let upstream = upstream_of(&[&server.url()], Api::Auto);
        let reference = tagged("library/app:1");
        let mut errors = Vec::new();
        let found = loop {
            match upstream.resolve(&reference).await {
                Ok(head) => break head,
                Err(error) => errors.push(error),
            }
            assert!(errors.len() < 9, "{errors:?}");
        };
        assert_eq!(found.v1, Some(id(2)));
        assert!(!errors.is_empty());
        for error in errors {
            let told = match status {
                429 => matches!(error, Error::Limited { .. }),
                _ => matches!(error, Error::Unreachable { .. }),
            };
            assert!(told, "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_last_real_error_is_told() {
    let server = both(|_| Answer::new(404, "no")).await;
    let upstream = upstream_of(&[&server.url()], Api::Auto);
    let error = upstream
        .manifest(&tagged("library/app:9"))
        .await
        .unwrap_err();
    let of_v1 = matches!(
        error,
        Error::NotFound {
            authoritative: true,
            ..
        }
    );
    assert!(of_v1, "{error:?}");
}

/// A v1 registry behind a gateway that knows v2's codes: what it could not be asked is not unknown.
#[tokio::test]
async fn a_v1_registry_in_trouble_is_no_missing_tag() {
    let server = Server::start(|seen| match seen.path.starts_with("/v2/") {
        true => v2(Answer::new(404, UNKNOWN)),
        false if seen.path.ends_with("tags/1") && seen.nth > 0 => Answer::new(503, ""),
        false => standalone(seen),
    })
    .await;
    let upstream = upstream_of(&[&server.url()], Api::Auto);
    upstream.resolve(&tagged("library/app:1")).await.unwrap();
    for asked in [4, 7] {
        let error = upstream
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert_eq!(server.count("tags/1"), asked, "three tries, never left out");
    }
}

#[tokio::test]
async fn digests_are_of_v2() {
    let digest = Digest::sha256(b"x").to_string();
    let (blob, text) = (
        canonical("library/app", &digest),
        "Cannot pull by digest with v1 registry",
    );
    let server = both(|_| Answer::new(404, "no")).await;
    let auto = upstream_of(&[&server.url()], Api::Auto);
    for error in [
        auto.manifest(&blob.clone().into()).await.unwrap_err(),
        auto.resolve(&blob.clone().into()).await.unwrap_err(),
        auto.blob(&blob, 0, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
    assert_eq!(server.count("/v1/"), 0);
    let asked = server.requests().len();
    let v1 = upstream_of(&[&server.url()], Api::V1);
    for error in [
        v1.manifest(&blob.clone().into()).await.unwrap_err(),
        v1.resolve(&blob.clone().into()).await.unwrap_err(),
        v1.blob(&blob, 0, None).await.unwrap_err(),
        v1.blob_size(&blob).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), text);
    }
    assert!(v1.referrers(&blob, None).await.unwrap().is_none());
    assert_eq!(server.requests().len(), asked);
}

#[tokio::test]
async fn what_is_refused_before_anything_is_asked() {
    let upstream = upstream_of(&["http://127.0.0.1:1"], Api::Auto);
    let scratch = Reference::parse("scratch").unwrap();
    for error in [
        upstream.manifest(&scratch).await.unwrap_err(),
        upstream.resolve(&scratch).await.unwrap_err(),
        upstream.tags(scratch.named(), None).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "'scratch' is a reserved name");
    }
    // Below a prefix of v2 there is no v1.
    let none = upstream_of(&["http://127.0.0.1:1/v2/prefix"], Api::V1);
    let error = none.manifest(&tagged("library/app:1")).await.unwrap_err();
    let text = "no endpoints found for registry.test/library/app:1";
    assert_eq!(error.to_string(), text);
    let named = tagged("library/app:1").named().clone();
    for error in [
        none.tags(&named, None).await.unwrap_err(),
        none.v1_layer(&named, &id(1), 0, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoEndpoints { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn mirrors_are_of_v2() {
    let (mirror, origin) = (
        both(|_| Answer::new(404, "no")).await,
        both(|_| Answer::new(404, "no")).await,
    );
    let urls = [mirror.url(), origin.url()];
    let urls = urls.each_ref().map(String::as_str);
    let auto = upstream_of(&urls, Api::Auto);
    auto.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!((mirror.count("/v1/"), mirror.count("/v2/")), (0, 1));
    assert_eq!(origin.count("_ping"), 1);
    // Unless v1 is all that may be used.
    upstream_of(&urls, Api::V1)
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert_eq!(mirror.count("_ping"), 1);
    assert_eq!(origin.count("_ping"), 1);
}

/// A hit of a mirror disabled v1 of the origin for good: every later miss of the mirror was a false 404.
#[tokio::test]
async fn a_hit_of_a_mirror_does_not_disable_v1_of_the_origin() {
    let mirror = Server::start(|seen| match seen.path.rsplit('/').next() {
        Some("good") => v2(Answer::new(200, MANIFEST)),
        _ => v2(Answer::new(404, UNKNOWN)),
    })
    .await;
    let origin = both(|_| Answer::new(404, "no")).await;
    let upstream = upstream_of(&[&mirror.url(), &origin.url()], Api::Auto);
    let good = tagged("library/app:good");
    upstream.resolve(&good).await.unwrap();
    upstream.manifest(&good).await.unwrap();
    let fetched = upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(fetched.v1, Some(id(2)));
}

/// TLS before plain: a plain port of an insecure host is found, in each version.
#[tokio::test]
async fn hosts_without_scheme() {
    let server = both(|_| Answer::new(404, "no")).await;
    let endpoint = Endpoint::of_host(&server.host).unwrap();
    let upstream = Upstream::new(Config::new("registry.test", vec![endpoint])).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    let paths: Vec<_> = server.requests().into_iter().map(|s| s.path).collect();
    let plain: Vec<_> = paths.iter().filter(|p| p.starts_with('/')).collect();
    assert_eq!(plain[0], "/v2/library/app/manifests/1");
    assert_eq!(plain[1], "/v1/_ping");
}

#[tokio::test]
async fn a_call_that_is_dropped_asks_nothing_more() {
    let server = Origin::start().await;
    server.order_always(On::path("/v2/"), Fault::bare(404, &[]));
    let gate = Gate::new();
    server.order_always(On::path("_ping"), Fault::HoldHeaders(gate.clone()));
    let upstream = upstream_of(&[&server.url()], Api::Auto);
    let reference = tagged("library/app:1");
    tokio::select! {
        result = upstream.manifest(&reference) => panic!("{result:?}"),
        () = gate.reached() => {}
    }
    gate.open();
    server.until(|seen| seen.iter().all(|s| s.ended)).await;
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn headers_of_the_caller_go_along() {
    let server = both(|_| Answer::new(404, "no")).await;
    let mut config = config_of(&[&server.url()], Api::Auto);
    config
        .meta_headers
        .insert("x-meta-team", "blue".parse().unwrap());
    config.observer = std::sync::Arc::new(|event| {
        if let Event::Request { endpoint, .. } = event {
            assert!(endpoint.starts_with("127.0.0.1:"));
        }
    });
    let upstream = Upstream::new(config.clone()).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    for seen in server.requests() {
        assert_eq!(seen.header("x-meta-team"), Some("blue"), "{}", seen.path);
    }
    config
        .meta_headers
        .insert("authorization", "x".parse().unwrap());
    assert!(matches!(Upstream::new(config), Err(Error::Config { .. })));
}

use std::io::Write;

use crate::common::*;

const PATH: &str = "/v2/library/app/manifests/1";

fn tokens(origin: &Origin) -> usize {
    origin.count("GET", "/token")
}

fn basic(username: &str, password: &str) -> Option<Credentials> {
    let (username, password) = (username.to_owned(), Secret::value(password));
    Some(Credentials::Basic { username, password })
}

async fn guarded(bearer: Bearer) -> Origin {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    origin.image("library/other", "1", &[1000]);
    origin.require_bearer(bearer);
    origin
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_at_once() {
    for field in ["token", "access_token"] {
        let origin = guarded(Bearer {
            field,
            ..Bearer::default()
        })
        .await;
        let upstream = upstream(&[&origin]);
        for _ in 0..3 {
            upstream.manifest(&tagged("library/app:1")).await.unwrap();
        }
        assert_eq!(
            (origin.count("GET", PATH), tokens(&origin)),
            (4, 1),
            "one 401, then at once"
        );
        let seen = origin.requests();
        let token = seen.iter().find(|seen| seen.path == "/token").unwrap();
        assert_eq!(
            token.query,
            "scope=repository%3Alibrary%2Fapp%3Apull&service=origin"
        );
        // Another repository needs another token; the challenge is known.
        upstream.manifest(&tagged("library/other:1")).await.unwrap();
        assert_eq!(
            (
                origin.count("GET", "/v2/library/other/manifests/1"),
                tokens(&origin)
            ),
            (1, 2)
        );
    }
}

#[tokio::test]
async fn many_at_once_share_one_exchange() {
    let origin = guarded(Bearer::default()).await;
    let upstream = upstream(&[&origin]);
    let gate = Gate::new();
    origin.order(On::get("/token"), [Fault::HoldHeaders(gate.clone())]);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let upstream = upstream.clone();
            tokio::spawn(async move { upstream.manifest(&tagged("library/app:1")).await })
        })
        .collect();
    origin
        .until(|seen| seen.iter().filter(|s| s.status == 401 && s.ended).count() == 20)
        .await;
    gate.reached().await;
    gate.open();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(tokens(&origin), 1);
}

#[tokio::test]
async fn a_token_that_ended_early_is_replaced_once() {
    let origin = guarded(Bearer::default()).await;
    let upstream = upstream(&[&origin]);
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    origin.expire_tokens();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(tokens(&origin), 2);
    // 403 may mean the same.
    origin.order(On::get(PATH), [Fault::error(403, "DENIED")]);
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(tokens(&origin), 3);
}

#[tokio::test]
async fn a_valid_token_that_is_refused_is_a_denial() {
    for status in [401, 403] {
        let origin = guarded(Bearer::default()).await;
        let upstream = upstream(&[&origin]);
        origin.order_always(On::path(PATH), Fault::error(status, "DENIED"));
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Denied { detail: Some(detail), .. } if detail.contains("DENIED")),
            "{error:?}"
        );
        assert!(tokens(&origin) <= 2, "{} exchanges", tokens(&origin));
        let error = upstream
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        origin.behave();
        upstream.manifest(&tagged("library/app:1")).await.unwrap();
    }
}

#[tokio::test]
async fn the_challenge_is_learnt_from_the_ping() {
    let origin = guarded(Bearer {
        challenge_on_objects: false,
        ..Bearer::default()
    })
    .await;
    let upstream = upstream(&[&origin]);
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    upstream.manifest(&tagged("library/other:1")).await.unwrap();
    assert_eq!(origin.count("GET", "/v2/"), 1);
}

#[tokio::test]
async fn credentials_buy_a_token() {
    let bearer = Bearer {
        credentials: Some(("u".into(), "p".into())),
        ..Bearer::default()
    };
    let origin = guarded(bearer).await;
    let mut config = config(&[&origin]);
    config.credentials = basic("u", "p");
    let upstream = Upstream::new(config).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    let seen = origin.requests();
    assert!(seen.iter().all(|s| {
        let is_basic = s
            .header("authorization")
            .is_some_and(|a| a.starts_with("Basic"));
        is_basic == (s.path == "/token")
    }));
    let token = seen.iter().find(|s| s.path == "/token").unwrap();
    assert!(token.query.contains("account=u"));
}

#[tokio::test]
async fn rejected_credentials_are_tried_without() {
    // The token endpoint refuses the credentials; the anonymous client gets a token.
    let origin = guarded(Bearer::default()).await;
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    config.credentials = basic("u", "wrong");
    let upstream = Upstream::new(config).unwrap();
    origin.order(On::get("/token"), [Fault::error(401, "UNAUTHORIZED")]);
    for _ in 0..2 {
        upstream.manifest(&tagged("library/app:1")).await.unwrap();
    }
    assert_eq!(
        tokens(&origin),
        2,
        "rejected credentials are not tried again for a while"
    );
    assert_eq!(told.count("CredentialsRejected"), 1);
}

#[tokio::test]
async fn rejected_credentials_are_not_the_clients_denial() {
    let bearer = Bearer {
        credentials: Some(("u".into(), "p".into())),
        ..Bearer::default()
    };
    let origin = guarded(bearer).await;
    let mut config = config(&[&origin]);
    config.credentials = basic("u", "wrong");
    let upstream = Upstream::new(config).unwrap();
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    let error = upstream
        .resolve(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn without_credentials_a_refused_token_is_a_denial() {
    let bearer = Bearer {
        credentials: Some(("u".into(), "p".into())),
        ..Bearer::default()
    };
    let origin = guarded(bearer).await;
    let error = upstream(&[&origin])
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn basic_credentials() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    origin.require_basic("u", "p");

    let mut right = config(&[&origin]);
    right.credentials = basic("u", "p");
    let right = Upstream::new(right).unwrap();
    right.manifest(&tagged("library/app:1")).await.unwrap();
    let blob = canonical("library/app", &image.layers[0]);
    let mut download = right.blob(&blob, 0, None).await.unwrap();
    assert_eq!(read(&mut download).await.unwrap().len(), 1000);
    assert_eq!(
        origin.requests().iter().filter(|s| s.status == 401).count(),
        1
    );

    let (mut wrong, told) = (config(&[&origin]), Told::default());
    told.observe(&mut wrong);
    wrong.credentials = basic("u", "wrong");
    let wrong = Upstream::new(wrong).unwrap();
    for _ in 0..3 {
        let error = wrong.manifest(&tagged("library/app:1")).await.unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    }
    assert_eq!(
        told.count("CredentialsRejected"),
        1,
        "an account that is tried again and again gets locked"
    );
    // What the anonymous client does not see is not unknown.
    origin.order_always(On::path(PATH), Fault::error(404, "MANIFEST_UNKNOWN"));
    for error in [
        wrong.resolve(&tagged("library/app:1")).await.unwrap_err(),
        wrong.manifest(&tagged("library/app:1")).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    }
    origin.behave();

    let error = upstream(&[&origin])
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_403_that_says_expired_is_our_failure() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    origin.require_basic("AWS", "p");
    let mut config = config(&[&origin]);
    config.credentials = basic("AWS", "p");
    let upstream = Upstream::new(config).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    let body =
        r#"{"message":"Your authorization token has expired. Reauthenticate and try again."}"#;
    let expired = Fault::Status(403, Vec::new(), body.into());
    for _ in 0..2 {
        origin.order(On::get(PATH), [expired.clone()]);
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_again_when_it_changes() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    origin.require_basic("u", "first");
    let path = std::env::temp_dir().join(format!("longshore-secret-{}", std::process::id()));
    std::fs::File::create(&path)
        .unwrap()
        .write_all(b"first\n")
        .unwrap();
    let mut config = config(&[&origin]);
    let password = Secret::file(&path);
    config.credentials = Some(Credentials::Basic {
        username: "u".into(),
        password,
    });
    let upstream = Upstream::new(config).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    origin.require_basic("u", "the second");
    std::fs::write(&path, "the second\r\n").unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    let Error::Rejected {
        source: Some(source),
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(source.downcast_ref::<std::io::Error>().is_some());
}

#[tokio::test]
async fn a_static_token_is_sent_as_it_is() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    let mut config = config(&[&origin]);
    config.credentials = Some(Credentials::Bearer(Secret::value("abc")));
    Upstream::new(config)
        .unwrap()
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    let seen = origin.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), Some("Bearer abc"));
}

#[tokio::test]
async fn a_mirror_elsewhere_gets_no_credentials() {
    let (mirror, origin) = (Origin::start().await, Origin::start().await);
    mirror.require_basic("u", "p");
    origin.require_basic("u", "p");
    origin.image("library/app", "1", &[1000]);
    mirror.image("library/app", "1", &[1000]);
    let port = mirror.host().rsplit_once(':').unwrap().1.to_owned();
    let endpoints = vec![
        Endpoint::parse(&format!("http://localhost:{port}")).unwrap(),
        Endpoint::parse(&origin.url()).unwrap(),
    ];
    let mut config = Config::new("registry.test", endpoints);
    config.credentials = basic("u", "p");
    Upstream::new(config.clone())
        .unwrap()
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert!(
        mirror
            .requests()
            .iter()
            .all(|s| s.header("authorization").is_none())
    );
    assert_eq!(origin.count("GET", PATH), 2);
    // Unless they were meant for it.
    let own = Credentials::Basic {
        username: "u".into(),
        password: Secret::value("p"),
    };
    config.endpoints[0] = config.endpoints[0].clone().with_credentials(own);
    Upstream::new(config)
        .unwrap()
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert_eq!(origin.count("GET", PATH), 2);
}

#[tokio::test]
async fn a_realm_elsewhere_gets_no_credentials() {
    let (origin, realm) = (Origin::start().await, guarded(Bearer::default()).await);
    origin.image("library/app", "1", &[1000]);
    let port = realm.host().rsplit_once(':').unwrap().1.to_owned();
    let challenge = format!(r#"Bearer realm="http://localhost:{port}/token",service="origin""#);
    let refuse = || Fault::bare(401, &[("WWW-Authenticate", &challenge)]);
    let mut config = config(&[&origin]);
    config.credentials = basic("u", "p");
    origin.order(On::get(PATH), [refuse()]);
    Upstream::new(config.clone())
        .unwrap()
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert_eq!(tokens(&realm), 1);
    assert!(
        realm
            .requests()
            .iter()
            .all(|s| s.header("authorization").is_none())
    );
    // Unless it is listed.
    config.realms = vec!["LOCALHOST".into()];
    origin.order(On::get(PATH), [refuse()]);
    Upstream::new(config)
        .unwrap()
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert!(
        realm
            .requests()
            .last()
            .unwrap()
            .header("authorization")
            .is_some()
    );
}

#[test]
fn nothing_secret_is_shown() {
    let credentials = Credentials::Basic {
        username: "u".into(),
        password: Secret::value("hunter2"),
    };
    let endpoint = Endpoint::parse("http://127.0.0.1:1")
        .unwrap()
        .with_credentials(credentials.clone());
    let mut config = Config::new("r", vec![endpoint]);
    config.credentials = Some(Credentials::Bearer(Secret::value("hunter2")));
    let shown = format!(
        "{config:?} {credentials:?} {:?}",
        Upstream::new(config.clone()).unwrap()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}

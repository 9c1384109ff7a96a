//! What a v1 registry is asked, and what it is shown.

use std::sync::Arc;

use longshore_manifest::{MediaType, v1::Ancestry};
use longshore_puller::{Api, Fault as Wrong, Keychain, Lookup};

use super::*;
use crate::keyring::Folder;

#[tokio::test]
async fn an_image_by_tag() {
    let server = Server::start(standalone).await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    let reference = tagged("library/app:1");
    let head = upstream.resolve(&reference).await.unwrap();
    let media_type = MediaType::V1Ancestry.as_str();
    // The id of an image is the digest of nothing.
    assert_eq!((&head.v1, head.digest), (&Some(id(2)), None));
    assert_eq!(head.media_type.as_deref(), Some(media_type));
    let fetched = sent(upstream.manifest(&reference)).await.unwrap();
    assert_eq!((fetched.v1, fetched.digest), (head.v1, None));
    assert_eq!(fetched.media_type.as_deref(), Some(media_type));
    let ancestry = Ancestry::decode(&fetched.bytes).unwrap();
    let images: Vec<_> = ancestry.images().collect();
    let expected: Vec<_> = [1, 2].map(|n| (id(n), v1_json(id(n).as_str()))).into();
    assert_eq!(images.len(), 2);
    for ((id, v1_json), (expected_id, expected_json)) in images.iter().zip(&expected) {
        assert_eq!((*id, *v1_json), (expected_id, expected_json.as_bytes()));
    }
    let tags = sent(upstream.tags(reference.named(), Some("n=1")))
        .await
        .unwrap();
    assert_eq!(&*tags.bytes, br#"{"name":"library/app","tags":["0"]}"#);
    assert_eq!(server.count("_ping"), 1, "one session");
    assert_eq!(server.count("/images"), 1 + 1 + 2);
    assert_eq!(server.count("/v2/"), 0);
    let seen = server.requests();
    let lookup = seen.iter().find(|s| s.path.ends_with("app/images"));
    assert_eq!(lookup.unwrap().header("x-docker-token"), Some("true"));
    assert!(seen.iter().all(|s| s.header("authorization").is_none()));
}

#[tokio::test]
async fn what_is_not_there() {
    let server = Server::start(standalone).await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    for reference in ["library/app:2", "library/none:1"] {
        let error = upstream.manifest(&tagged(reference)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::NotFound {
                    authoritative: true,
                    ..
                }
            ),
            "{reference}: {error:?}"
        );
    }
}

#[tokio::test]
async fn credentials_go_with_every_request_to_a_standalone_registry() {
    let server = Server::start(standalone).await;
    let mut config = config_of(&[&server.url()], Api::V1);
    config.credentials = Some(Credentials::Basic {
        username: "u".into(),
        password: Secret::value("p"),
    });
    let upstream = Upstream::new(config).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    for seen in server.requests() {
        let expected = (!seen.path.ends_with("_ping")).then_some("Basic dTpw");
        assert_eq!(seen.header("authorization"), expected, "{}", seen.path);
    }
}

/// An index that names another host, which wants the token; cookies of each stay there.
#[tokio::test]
async fn tokens_and_cookies() {
    let registry = Server::start(|seen| {
        let right = "Token Token signature=1,repository=\"library/app\",access=read";
        match seen.header("authorization") == Some(right) {
            true => standalone(seen).with("Set-Cookie", "registry=r; Path=/"),
            false => Answer::new(401, r#"{"error":"Requires authorization"}"#),
        }
    })
    .await;
    let host = registry.host.clone();
    let index = Server::start(move |seen| match seen.path.as_str() {
        "/v1/_ping" => Answer::new(200, "{}").with("X-Docker-Registry-Standalone", "False"),
        "/v1/repositories/library/app/images" => Answer::new(200, "[]")
            .with("X-Docker-Endpoints", format!("user@evil.test, {host}"))
            .with(
                "X-Docker-Token",
                "Token signature=1,repository=\"library/app\",access=read",
            )
            .with("Set-Cookie", "index=i"),
        _ => Answer::new(404, ""),
    })
    .await;
    let mut config = config_of(&[&index.url()], Api::V1);
    config.credentials = Some(Credentials::Basic {
        username: "u".into(),
        password: Secret::value("p"),
    });
    let upstream = Upstream::new(config).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    let asked = index.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[1].header("authorization"), Some("Basic dTpw"));
    let asked = registry.requests();
    assert_eq!(asked[0].header("cookie"), None);
    assert!(
        asked[1..]
            .iter()
            .all(|s| s.header("cookie") == Some("registry=r"))
    );
}

#[tokio::test]
async fn a_session_may_end_in_the_middle_of_a_call() {
    let server = Server::start(|seen| match (seen.path.as_str(), seen.nth) {
        (path, 0) if path.ends_with("/ancestry") => Answer::new(401, "{}"),
        _ => standalone(seen),
    })
    .await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(server.count("app/images"), 2);
    assert_eq!(server.count("/ancestry"), 2);
}

#[tokio::test]
async fn a_password_that_is_not_accepted_is_our_own_failure() {
    for open in [true, false] {
        let server = Server::start(move |seen| match seen.header("authorization") {
            _ if seen.path.ends_with("_ping") => standalone(seen),
            None if open => standalone(seen),
            _ => Answer::new(401, "{}"),
        })
        .await;
        let mut config = config_of(&[&server.url()], Api::V1);
        config.credentials = Some(Credentials::Basic {
            username: "u".into(),
            password: Secret::value("p"),
        });
        let upstream = Upstream::new(config).unwrap();
        let result = upstream.manifest(&tagged("library/app:1")).await;
        match open {
            true => assert!(result.is_ok(), "{result:?}"),
            false => assert!(matches!(result, Err(Error::Rejected { .. })), "{result:?}"),
        }
        assert_eq!(server.count("app/images"), 2);
        // For a while the password is left alone. What is not seen without it may be there for it.
        let again = upstream.manifest(&tagged("library/other:1")).await;
        assert!(matches!(again, Err(Error::Rejected { .. })), "{again:?}");
        let requests = server.requests();
        let tried = requests
            .iter()
            .filter(|s| s.header("authorization").is_some());
        assert_eq!(tried.count(), 1);
    }
}

/// What is not seen without credentials that are of no use may be there for them.
#[tokio::test]
async fn refusals_in_a_session_without_our_credentials_are_our_own_failure() {
    let absent = std::env::temp_dir().join("longshore-no-such-file");
    let folder = Folder::new();
    folder.program("broken", "exit 3");
    let useless = [
        Some(Credentials::Basic {
            username: "u".into(),
            password: Secret::file(absent),
        }),
        Some(Credentials::Basic {
            username: "u".into(),
            password: Secret::value("not accepted"),
        }),
        Some(Credentials::Identity(Secret::value("i"))),
        Some(Credentials::Bearer(Secret::value("b"))),
        folder.keyring("broken"),
    ];
    for credentials in useless {
        for status in [401, 403, 404] {
            let server = Server::start(move |seen| match seen.path.as_str() {
                path if path.ends_with("tags/1") => Answer::new(status, r#"{"error":"no"}"#),
                _ if seen.header("authorization").is_some() => Answer::new(401, "{}"),
                _ => standalone(seen),
            })
            .await;
            let mut config = config_of(&[&server.url()], Api::V1);
            config.credentials = credentials.clone();
            let upstream = Upstream::new(config).unwrap();
            let error = upstream
                .resolve(&tagged("library/app:1"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, Error::Rejected { .. }),
                "{credentials:?} {status}: {error:?}"
            );
            // What is open to everyone is still to be had.
            let tags = upstream.tags(tagged("library/app:1").named(), None).await;
            assert!(tags.is_ok(), "{credentials:?} {status}: {tags:?}");
        }
    }
}

#[tokio::test]
async fn a_program_is_asked_again_when_its_password_is_not_accepted() {
    // The second run has another password.
    let rotated = r#"echo '{"Username":"u","Secret":"'$(wc -l < runs | tr -d ' ')'"}'"#;
    for (body, fits) in [
        (rotated, true),
        (r#"echo '{"Username":"u","Secret":"1"}'"#, false),
    ] {
        let folder = Folder::new();
        folder.program("test", body);
        let server = Server::start(|seen| match seen.header("authorization") {
            _ if seen.path.ends_with("_ping") => standalone(seen),
            // u:2
            Some("Basic dToy") => standalone(seen),
            _ => Answer::new(401, "{}"),
        })
        .await;
        let mut config = config_of(&[&server.url()], Api::V1);
        config.credentials = folder.keyring("test");
        let upstream = Upstream::new(config).unwrap();
        let result = upstream.resolve(&tagged("library/app:1")).await;
        match fits {
            true => assert!(result.is_ok(), "{result:?}"),
            false => assert!(matches!(result, Err(Error::Rejected { .. })), "{result:?}"),
        }
        assert_eq!(folder.runs().len(), 2);
        let shown = server.requests();
        let first = shown
            .iter()
            .filter(|s| s.header("authorization") == Some("Basic dTox"));
        assert_eq!(
            first.count(),
            1,
            "one that was not accepted is not shown again"
        );
    }
}

/// A ping in trouble says nothing of the index, and is not kept.
#[tokio::test]
async fn a_ping_that_failed_is_not_remembered() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/v1/_ping" if seen.nth == 0 => Answer::new(503, ""),
        "/v1/_ping" => Answer::new(200, "{}").with("X-Docker-Registry-Standalone", "False"),
        path if path.ends_with("app/images") => standalone(seen).with("X-Docker-Token", "t"),
        _ if seen.header("authorization") == Some("Token t") => standalone(seen),
        _ => Answer::new(401, "{}"),
    })
    .await;
    let mut config = config_of(&[&server.url()], Api::V1);
    config.credentials = Some(Credentials::Basic {
        username: "u".into(),
        password: Secret::value("p"),
    });
    let upstream = Upstream::new(config).unwrap();
    let reference = tagged("library/app:1");
    upstream.resolve(&reference).await.unwrap_err();
    upstream.resolve(&reference).await.unwrap();
    assert_eq!(server.count("_ping"), 2);
}

#[tokio::test]
async fn a_session_that_ended_is_renewed_once() {
    let server = Server::start(|seen| match (seen.path.as_str(), seen.nth) {
        // The token of the first session is good for one call, that of the second for none.
        (path, 1..) if path.ends_with("tags/1") => {
            Answer::new(401, r#"{"error":"Requires authorization"}"#)
        }
        _ => standalone(seen),
    })
    .await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    upstream.resolve(&tagged("library/app:1")).await.unwrap();
    let error = upstream
        .resolve(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert_eq!(server.count("app/images"), 2);
    assert_eq!(server.count("tags/1"), 3);
    assert_eq!(server.count("_ping"), 1);
}

#[tokio::test]
async fn the_endpoints_of_an_index_one_after_the_other() {
    for (status, goes_on) in [(500, true), (403, true), (418, true), (404, false)] {
        let good = Server::start(standalone).await;
        let bad = Server::start(move |_| Answer::new(status, "no")).await;
        let hosts = format!("{},{}", bad.host, good.host);
        let index =
            Server::start(move |seen| standalone(seen).with("X-Docker-Endpoints", &hosts)).await;
        let upstream = upstream_of(&[&index.url()], Api::V1);
        let result = upstream.resolve(&tagged("library/app:1")).await;
        assert_eq!(result.is_ok(), goes_on, "{status}: {result:?}");
        assert_eq!(good.requests().len(), usize::from(goes_on), "{status}");
        assert_eq!(index.count("tags"), 0);
    }
}

#[tokio::test]
async fn the_json_of_an_image_is_asked_for_five_times() {
    for (failures, good) in [(2, true), (5, false)] {
        // Of one image alone: the first that is given up ends the questions after the others.
        let failing = format!("{}/json", id(2));
        let server = Server::start(move |seen| match seen.nth < failures {
            true if seen.path.ends_with(&failing) => Answer::new(500, "no"),
            _ => standalone(seen),
        })
        .await;
        let upstream = upstream_of(&[&server.url()], Api::V1);
        let result = upstream.manifest(&tagged("library/app:1")).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
        let path = format!("{}/json", id(2));
        assert_eq!(server.count(&path), failures + usize::from(good));
    }
}

#[tokio::test]
async fn answers_that_are_refused() {
    type Lie = fn(&Seen) -> Option<Answer>;
    let lies: [(&str, Lie, Wrong); 9] = [
        (
            "tags/1",
            |_| Some(Answer::new(200, "\"../../etc\"")),
            Wrong::Json,
        ),
        (
            "tags/1",
            |_| Some(Answer::new(200, "<html>").with("Content-Type", "text/html")),
            Wrong::Html,
        ),
        ("ancestry", |_| Some(Answer::new(200, "[]")), Wrong::Json),
        (
            "ancestry",
            |_| Some(Answer::new(200, format!("[\"{}\"]", id(1)))),
            Wrong::Json,
        ),
        (
            "ancestry",
            |_| Some(Answer::new(200, format!("[\"{0}\",\"{0}\"]", id(2)))),
            Wrong::Json,
        ),
        (
            "json",
            |_| Some(Answer::new(200, "{}").with("X-Docker-Size", "many")),
            Wrong::Header("x-docker-size"),
        ),
        ("json", |_| Some(Answer::new(200, "[]")), Wrong::Json),
        (
            "json",
            |_| Some(Answer::new(200, vec![b' '; (1 << 20) + 1])),
            Wrong::TooLarge { limit: 1 << 20 },
        ),
        (
            "app/images",
            |_| Some(Answer::new(200, "[]").with("X-Docker-Endpoints", "a b")),
            Wrong::Header("x-docker-endpoints"),
        ),
    ];
    for (part, lie, expected) in lies {
        let server = Server::start(move |seen| match seen.path.ends_with(part) {
            true => lie(seen).unwrap(),
            false => standalone(seen),
        })
        .await;
        let upstream = upstream_of(&[&server.url()], Api::V1);
        let error = upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Misbehaved { fault, .. } if fault == expected),
            "{part} {expected:?}: {error:?}"
        );
        assert!(server.count("/json") <= 2, "asked again");
    }
}

#[tokio::test]
async fn eight_documents_at_once_and_no_more() {
    let server = Origin::start().await;
    let answer = |body: String| Fault::Status(200, Vec::new(), body.into());
    let ids: Vec<_> = (1..=20).rev().map(|n| format!("\"{}\"", id(n))).collect();
    let gate = Gate::new();
    for (part, fault) in [
        ("_ping", answer("true".into())),
        ("app/images", answer("[]".into())),
        ("tags/1", answer(ids[0].clone())),
        ("ancestry", answer(format!("[{}]", ids.join(",")))),
        (
            "json",
            Fault::All(vec![answer("{}".into()), Fault::HoldHeaders(gate.clone())]),
        ),
    ] {
        server.order_always(On::get(part), fault);
    }
    let upstream = upstream_of(&[&server.url()], Api::V1);
    let reference = tagged("library/app:1");
    let watch = async {
        gate.reached_by(8).await;
        assert_eq!(gate.held(), 8);
        gate.open();
    };
    let (fetched, ()) = tokio::join!(upstream.manifest(&reference), watch);
    let ancestry = Ancestry::decode(&fetched.unwrap().bytes).unwrap();
    assert_eq!(ancestry.images().len(), 20);
}

#[tokio::test]
async fn many_images_come_in_order() {
    let ids: Vec<_> = (1..=40).map(id).collect();
    let mut top_first: Vec<_> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    top_first.reverse();
    let (ancestry, top) = (format!("[{}]", top_first.join(",")), id(40));
    let server =
        Server::start(
            move |seen| match seen.path.rsplit('/').next().unwrap_or_default() {
                "1" => Answer::new(200, format!("\"{top}\"")),
                "ancestry" => Answer::new(200, ancestry.as_str()),
                "json" => Answer::new(200, format!("{{\"id\":\"{}\"}}", &seen.path[11..75])),
                _ => standalone(seen),
            },
        )
        .await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    let fetched = upstream.manifest(&tagged("library/app:1")).await.unwrap();
    let ancestry = Ancestry::decode(&fetched.bytes).unwrap();
    assert!(ancestry.images().map(|(id, _)| id).eq(&ids));
    assert_eq!(server.count("/json"), 40);
}

/// A balancer that answers every request without its cookie with the cookie and a redirect to the same place.
#[tokio::test]
async fn cookies_of_redirects_are_kept() {
    let server = Server::start(|seen| match seen.header("cookie") {
        Some(cookie) if cookie.contains("node=a") => standalone(seen),
        _ => Answer::new(307, "")
            .with("Location", seen.path.clone())
            .with("Set-Cookie", "node=a; Path=/"),
    })
    .await;
    let upstream = Upstream::new(config_of(&[&server.url()], Api::V1)).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
}

/// Credentials by repository: those of the user `a` or `b`.
#[derive(Debug)]
struct Users;

impl Keychain for Users {
    fn find(&self, _registry: &str, repository: &str) -> Lookup<'_> {
        let username = match repository {
            "library/app" => "a",
            _ => "b",
        };
        let found = Credentials::Basic {
            username: username.to_owned(),
            password: Secret::value("p"),
        };
        Box::pin(async move { Ok(Some(found)) })
    }
}

#[tokio::test]
async fn a_rate_limit_is_of_the_credentials_it_was_met_with() {
    let server = Server::start(|seen| {
        let is_a = seen.header("authorization") == Some("Basic YTpw");
        if is_a && seen.path.ends_with("/tags/1") {
            return Answer::new(429, "").with("Retry-After", 60);
        }
        let mut seen = seen.clone();
        seen.path = seen.path.replace("library/other", "library/app");
        standalone(&seen)
    })
    .await;
    let mut config = config_of(&[&server.url()], Api::V1);
    config.credentials = Some(Credentials::Keychain(Arc::new(Users)));
    let upstream = Upstream::new(config).unwrap();
    for _ in 0..2 {
        let error = upstream
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Limited { .. }), "{error:?}");
    }
    assert_eq!(server.count("app/tags/1"), 1, "it was remembered");
    upstream.resolve(&tagged("library/other:1")).await.unwrap();
}

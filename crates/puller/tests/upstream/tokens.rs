//! Tokens by POST, which token endpoints may see what, and what registries say of tokens.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use longshore_puller::Api;

use crate::{
    common::*,
    script::{Asked, Said, Script},
};

const MANIFEST: &str = "GET /v2/library/app/manifests/1";
const GET: &str = "GET /token";
const POST: &str = "POST /token";

/// A registry with one manifest that lets `Bearer good…` in, and a token endpoint.
async fn registry(token: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Script {
    let answer = move |asked: &Asked| match asked.path.as_str() {
        "/token" => token(asked),
        _ => let_in(asked, &challenge(asked.header("host").unwrap())),
    };
    Script::start(answer).await
}

fn challenge(host: &str) -> String {
    format!(
        r#"Bearer realm="http://{host}/token",service="the service",scope="repository:library/app:pull""#
    )
}

fn let_in(asked: &Asked, challenge: &str) -> Said {
    let authorization = asked.header("authorization").unwrap_or_default();
    match authorization.starts_with("Bearer good") {
        true => Said::new(200, "{}").with("content-type", "application/json"),
        false => Said::new(401, "").with("www-authenticate", challenge),
    }
}

fn granted(body: &str) -> Said {
    Said::new(200, body).with("content-type", "application/json")
}

fn configured(script: &Script, credentials: Option<Credentials>) -> Config {
    let endpoint = Endpoint::parse(&script.url()).unwrap();
    let mut config = Config::new("registry.test", vec![endpoint]);
    config.credentials = credentials;
    config.api = Api::V2;
    config
}

fn identity(token: &str) -> Option<Credentials> {
    Some(Credentials::Identity(Secret::value(token)))
}

fn basic(username: &str, password: &str) -> Option<Credentials> {
    let (username, password) = (username.to_owned(), Secret::value(password));
    Some(Credentials::Basic { username, password })
}

async fn pull(upstream: &Upstream) -> Result<(), Error> {
    upstream.manifest(&tagged("library/app:1")).await.map(drop)
}

#[tokio::test]
async fn identity_tokens_are_exchanged_by_post() {
    for credentials in [identity("id&1"), basic("<token>", "id&1")] {
        let origin = registry(|asked| match asked.method.as_str() {
            "POST" => granted(r#"{"access_token":"good","token":"bad","expires_in":300}"#),
            _ => Said::new(500, ""),
        })
        .await;
        let upstream = Upstream::new(configured(&origin, credentials)).unwrap();
        for _ in 0..3 {
            pull(&upstream).await.unwrap();
        }
        assert_eq!(
            (
                origin.count(POST),
                origin.count(GET),
                origin.count(MANIFEST)
            ),
            (1, 0, 4)
        );
        let asked = origin
            .seen()
            .into_iter()
            .find(|a| a.method == "POST")
            .unwrap();
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(
            asked.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        for (field, value) in [
            ("grant_type", Some("refresh_token")),
            ("refresh_token", Some("id&1")),
            ("client_id", Some("longshore")),
            ("service", Some("the service")),
            ("scope", Some("repository:library/app:pull")),
            ("access_type", None),
            ("password", None),
        ] {
            assert_eq!(asked.field(field).as_deref(), value, "{field}");
        }
    }
}

#[tokio::test]
async fn a_password_goes_by_post_where_that_is_wanted() {
    let origin = registry(|asked| {
        let grant = asked.field("grant_type");
        match grant.as_deref() {
            Some("password") => granted(r#"{"access_token":"good1","refresh_token":"r1"}"#),
            Some("refresh_token") => granted(r#"{"access_token":"good2","refresh_token":"r2"}"#),
            _ => Said::new(500, ""),
        }
    })
    .await;
    let mut config = configured(&origin, basic("u", "p w"));
    config.tokens_by_post = true;
    let upstream = Upstream::new(config).unwrap();
    for repository in ["app", "other", "third"] {
        let reference = tagged(&format!("library/{repository}:1"));
        upstream.manifest(&reference).await.unwrap();
    }
    let posts: Vec<Asked> = origin
        .seen()
        .into_iter()
        .filter(|a| a.method == "POST")
        .collect();
    let sent = |name: &str| posts.iter().map(|a| a.field(name)).collect::<Vec<_>>();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        sent("password"),
        [some("p w")]
            .into_iter()
            .chain(vec![None; posts.len() - 1])
            .collect::<Vec<_>>()
    );
    assert_eq!(sent("username")[0], some("u"));
    assert_eq!(sent("access_type")[0], some("offline"));
    // Each answer's refresh token takes the place of the one before.
    assert_eq!(&sent("refresh_token")[..3], [None, some("r1"), some("r2")]);
    assert_eq!(origin.count(GET), 0);
}

#[tokio::test]
async fn a_refresh_token_that_ended_is_replaced() {
    let round = Arc::new(AtomicUsize::new(0));
    let rounds = Arc::clone(&round);
    let origin = registry(move |asked| {
        let token = asked.field("refresh_token");
        match (asked.field("password").is_some(), token.as_deref()) {
            (true, _) => {
                let n = rounds.fetch_add(1, Ordering::SeqCst);
                granted(&format!(
                    r#"{{"access_token":"good{n}","refresh_token":"r{n}"}}"#
                ))
            }
            (false, Some("r0")) => Said::new(400, r#"{"error":"invalid_grant"}"#),
            (false, _) => granted(r#"{"access_token":"good"}"#),
        }
    })
    .await;
    let mut config = configured(&origin, basic("u", "p"));
    config.tokens_by_post = true;
    let upstream = Upstream::new(config).unwrap();
    for repository in ["app", "other", "third"] {
        upstream
            .manifest(&tagged(&format!("library/{repository}:1")))
            .await
            .unwrap();
    }
    let refreshed: Vec<_> = origin
        .seen()
        .iter()
        .filter_map(|a| a.field("refresh_token"))
        .collect();
    assert_eq!(
        round.load(Ordering::SeqCst),
        2,
        "the password was sent once more"
    );
    assert_eq!(refreshed.first().map(String::as_str), Some("r0"));
    assert_eq!(refreshed.iter().filter(|t| *t == "r0").count(), 1);
}

#[tokio::test]
async fn servers_that_know_no_post_are_asked_by_get() {
    for status in [400, 401, 404, 405] {
        let origin = registry(move |asked| match asked.method.as_str() {
            "POST" => Said::new(status, ""),
            _ if asked.header("authorization") == Some("Basic dTpw") => {
                granted(r#"{"token":"good"}"#)
            }
            _ => Said::new(401, ""),
        })
        .await;
        let mut config = configured(&origin, basic("u", "p"));
        config.tokens_by_post = true;
        let upstream = Upstream::new(config).unwrap();
        pull(&upstream).await.unwrap();
        assert_eq!(origin.lines(), [MANIFEST, POST, GET, MANIFEST], "{status}");
        let asked = origin.seen();
        assert!(asked[2].query.contains("account=u") && asked[2].body.is_empty());
    }
}

#[tokio::test]
async fn an_identity_token_that_is_refused_is_left_alone() {
    for status in [400, 401, 404, 405] {
        let origin = registry(move |asked| match asked.method.as_str() {
            "POST" => Said::new(status, ""),
            _ => Said::new(401, ""),
        })
        .await;
        let told = Told::default();
        let mut config = configured(&origin, identity("ended"));
        told.observe(&mut config);
        let upstream = Upstream::new(config).unwrap();
        for _ in 0..3 {
            let error = pull(&upstream).await.unwrap_err();
            assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
        }
        assert_eq!(origin.count(POST), 1, "{status}");
        assert_eq!(told.count("CredentialsRejected"), 1);
        let seen = origin.seen();
        assert!(seen.iter().all(|a| a.header("authorization").is_none()));
    }
}

#[tokio::test]
async fn failures_of_post_are_the_token_endpoints() {
    for (said, expected) in [
        (
            Said::new(503, ""),
            "127.0.0.1:PORT is unreachable: status 503",
        ),
        (
            granted("{}"),
            "127.0.0.1:PORT misbehaved: no token in the answer of the token endpoint",
        ),
        (
            Said::new(429, "").with("retry-after", "7"),
            "rate limited by 127.0.0.1:PORT",
        ),
        (
            Said::new(303, "").with("location", "/token2"),
            "127.0.0.1:PORT misbehaved: a redirect that must not be followed",
        ),
    ] {
        let origin = registry(move |_| said.clone()).await;
        let upstream = Upstream::new(configured(&origin, identity("id"))).unwrap();
        let error = pull(&upstream).await.unwrap_err();
        assert_eq!(error.to_string(), expected.replace("PORT", origin.port()));
        assert_eq!(origin.count(GET), 0);
    }
}

#[tokio::test]
async fn an_identity_token_does_not_answer_basic() {
    let origin =
        Script::start(|_| Said::new(401, "").with("www-authenticate", "Basic realm=\"r\"")).await;
    let upstream = Upstream::new(configured(&origin, identity("id"))).unwrap();
    let error = pull(&upstream).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    assert_eq!(origin.lines(), [MANIFEST, MANIFEST]);
    assert!(
        origin
            .seen()
            .iter()
            .all(|a| a.header("authorization").is_none())
    );
}

/// A realm of another domain, by its port on `localhost`; the registry is at 127.0.0.1.
async fn with_realm(realm: &Script) -> Script {
    let challenge = challenge(&format!("localhost:{}", realm.port()));
    Script::start(move |asked| let_in(asked, &challenge)).await
}

#[tokio::test]
async fn a_realm_elsewhere_sees_no_credentials_by_post_either() {
    for (credentials, by_post) in [(identity("id"), false), (basic("u", "p"), true)] {
        let realm = Script::start(|_| granted(r#"{"token":"good","refresh_token":"r"}"#)).await;
        let origin = with_realm(&realm).await;
        let mut config = configured(&origin, credentials);
        config.tokens_by_post = by_post;
        pull(&Upstream::new(config.clone()).unwrap()).await.unwrap();
        assert_eq!(realm.lines(), [GET]);
        let asked = &realm.seen()[0];
        assert_eq!(
            (
                asked.header("authorization"),
                asked.query.contains("account")
            ),
            (None, false)
        );
        // Unless it is listed.
        config.realms = vec!["localhost".into()];
        let upstream = Upstream::new(config).unwrap();
        pull(&upstream).await.unwrap();
        assert_eq!(realm.lines(), [GET, POST]);
    }
}

#[tokio::test]
async fn a_redirected_token_request_carries_no_credentials() {
    let elsewhere = Script::start(|_| granted(r#"{"token":"good"}"#)).await;
    for by_post in [false, true] {
        let location = format!("http://localhost:{}/token", elsewhere.port());
        let origin = registry(move |_| Said::new(307, "").with("location", location.clone())).await;
        let mut config = configured(&origin, basic("u", "p"));
        config.tokens_by_post = by_post;
        let result = pull(&Upstream::new(config).unwrap()).await;
        match by_post {
            true => assert!(
                matches!(result, Err(Error::Misbehaved { .. })),
                "{result:?}"
            ),
            false => result.unwrap(),
        }
    }
    let seen = elsewhere.seen();
    assert_eq!(elsewhere.lines(), [GET], "the form went nowhere else");
    assert!(seen[0].header("authorization").is_none() && !seen[0].query.contains("account"));
}

/// A token endpoint that moved within its host gets what it was to get.
#[tokio::test]
async fn a_token_request_redirected_within_its_host_keeps_its_credentials() {
    for (by_post, status, line) in [
        (false, 301, "GET /token/"),
        (false, 307, "GET /token/"),
        (true, 307, "POST /token/"),
        (true, 308, "POST /token/"),
    ] {
        let origin = Script::start(move |asked| match asked.path.as_str() {
            "/token" => Said::new(status, "").with("location", "/token/"),
            "/token/" => granted(r#"{"token":"good"}"#),
            _ => let_in(asked, &challenge(asked.header("host").unwrap())),
        })
        .await;
        let mut config = configured(&origin, basic("u", "p"));
        config.tokens_by_post = by_post;
        pull(&Upstream::new(config).unwrap()).await.unwrap();
        let seen = origin.seen();
        let moved: Vec<_> = seen.iter().filter(|a| a.path == "/token/").collect();
        assert_eq!((origin.count(line), moved.len()), (1, 1), "{status}");
        match by_post {
            true => assert_eq!(moved[0].field("password").as_deref(), Some("p")),
            false => assert_eq!(moved[0].header("authorization"), Some("Basic dTpw")),
        }
    }
}

/// What a token endpoint on another host grants the anonymous client is not kept for the credentials.
#[tokio::test]
async fn an_anonymous_token_is_not_kept_as_that_of_the_credentials() {
    let elsewhere = Script::start(|_| granted(r#"{"token":"good","expires_in":300}"#)).await;
    let location = format!("http://localhost:{}/token", elsewhere.port());
    let origin = registry(move |_| Said::new(307, "").with("location", location.clone())).await;
    let upstream = Upstream::new(configured(&origin, basic("u", "p"))).unwrap();
    for asked in 1..=2 {
        pull(&upstream).await.unwrap();
        assert_eq!(elsewhere.count(GET), asked);
    }
}

#[tokio::test]
async fn scopes_are_those_of_the_challenge_in_one_order() {
    let round = AtomicUsize::new(0);
    let origin = Script::start(move |asked| match asked.path.as_str() {
        "/token" => granted(r#"{"token":"good","expires_in":300}"#),
        _ => {
            let n = round.fetch_add(1, Ordering::SeqCst);
            let scope = ["b a b", "a b"][n % 2];
            let challenge = format!(
                r#"Bearer realm="http://{}/token",scope="{scope}""#,
                asked.header("host").unwrap()
            );
            let_in(asked, &challenge)
        }
    })
    .await;
    let upstream = Upstream::new(configured(&origin, None)).unwrap();
    pull(&upstream).await.unwrap();
    assert_eq!(origin.seen()[1].query, "scope=a&scope=b");
}

#[tokio::test]
async fn a_complaint_is_retried_once_and_then_a_denial() {
    for (complaint, detail) in [
        (
            r#"error="insufficient_scope""#,
            "insufficient_scope; DENIED: not yours",
        ),
        (
            r#"error="invalid_token",error_description="no such key""#,
            "invalid_token: no such key; DENIED: not yours",
        ),
    ] {
        let origin = Script::start(move |asked| match asked.path.as_str() {
            "/token" => granted(r#"{"token":"good","expires_in":300}"#),
            _ => {
                let said = Said::new(
                    401,
                    r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#,
                );
                let host = asked.header("host").unwrap();
                let realm = format!(r#"Bearer realm="http://{host}/token""#);
                let challenge = match asked.header("authorization") {
                    Some(_) => format!("{realm},{complaint}"),
                    None => realm,
                };
                said.with("www-authenticate", challenge)
            }
        })
        .await;
        let upstream = Upstream::new(configured(&origin, None)).unwrap();
        let error = pull(&upstream).await.unwrap_err();
        assert!(
            matches!(&error, Error::Denied { detail: Some(found), .. } if **found == *detail),
            "{error:?}"
        );
        assert_eq!(origin.lines(), [MANIFEST, GET, MANIFEST, GET, MANIFEST]);
    }
}

/// A token for a registry behind a redirect was kept until it expired, however often it was refused.
#[tokio::test]
async fn a_refused_token_of_a_redirected_registry_is_replaced() {
    let round = Arc::new(AtomicUsize::new(1));
    let seen = Arc::clone(&round);
    let other = Script::start(move |asked: &Asked| {
        let good = format!("good{}", seen.load(Ordering::SeqCst));
        let host = asked.header("host").unwrap();
        match (asked.path.as_str(), asked.header("authorization")) {
            ("/token", _) => granted(&format!(r#"{{"token":"{good}","expires_in":3600}}"#)),
            (_, Some(sent)) if sent == format!("Bearer {good}") => Said::new(200, "{}"),
            _ => Said::new(401, "").with("www-authenticate", challenge(host)),
        }
    })
    .await;
    let to = format!("{}/v2/library/app/manifests/1", other.url());
    let registry = Script::start(move |_| Said::new(307, "").with("location", to.clone())).await;
    let upstream = Upstream::new(configured(&registry, None)).unwrap();
    let reference = tagged("library/app:1");
    upstream.manifest(&reference).await.unwrap();
    upstream.manifest(&reference).await.unwrap();
    assert_eq!(other.count(GET), 1);
    round.store(2, Ordering::SeqCst);
    upstream.manifest(&reference).await.unwrap();
    assert_eq!(other.count(GET), 2);
}

/// A token endpoint that throttles one scope costs that scope a second, not a minute, and the others nothing.
#[tokio::test]
async fn a_429_of_a_token_endpoint_is_of_one_scope() {
    let origin = Origin::start().await;
    for repository in ["library/app", "library/other"] {
        origin.image(repository, "1", &[1000]);
    }
    origin.require_bearer(Bearer::default());
    origin.order(On::get("/token"), [Fault::bare(429, &[])]);
    let upstream = upstream(&[&origin]);
    let start = std::time::Instant::now();
    let error = upstream
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Limited { .. }), "{error:?}");
    upstream.manifest(&tagged("library/other:1")).await.unwrap();
    while upstream.manifest(&tagged("library/app:1")).await.is_err() {
        assert!(start.elapsed() < std::time::Duration::from_secs(30));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(origin.count("GET", "/token"), 3);
}

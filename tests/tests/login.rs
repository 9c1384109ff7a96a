//! Every way to log in to an upstream, and what a client is told when one fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{
    Client, Fault, Image, On, Origin, Proxy, Seen, Server, Settings, TokenServer,
};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

const PREFIX: &str = "/v2/corp.example/library/app";
const PASSWORD: &str = "s3cr3t-word";
/// `ann:s3cr3t-word`.
const BASIC: &str = "YW5uOnMzY3IzdC13b3Jk";
const ANN: &str = r#"credentials = { username = "ann", password = "s3cr3t-word" }"#;
const WRONG: &str = r#"credentials = { username = "ann", password = "wrong-word" }"#;

/// What stands behind `corp.example`.
struct Corp {
    origin: Origin,
    tokens: TokenServer,
    image: Image,
    /// Files of credentials, and programs.
    folder: TempDir,
}

impl Corp {
    /// A registry that asks for tokens of a server that lets ann in.
    async fn bearer() -> Self {
        let corp = Self::open().await;
        corp.origin.require_tokens_of(&corp.tokens);
        corp.tokens.let_in("ann", PASSWORD);
        corp
    }

    /// A registry that asks for ann's password.
    async fn basic() -> Self {
        let corp = Self::open().await;
        corp.origin.require_basic("ann", PASSWORD);
        corp
    }

    async fn open() -> Self {
        let origin = Origin::start().await;
        Self {
            image: origin.image("library/app", "1", &[1000, 2000, 3000]),
            tokens: TokenServer::start("corp").await,
            folder: TempDir::new().unwrap(),
            origin,
        }
    }

    fn settings(&self, lines: &str) -> Settings {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.folder.path().display());
        Settings::default()
            .upstream("corp.example", &[&self.origin], lines)
            .defaults("revalidate = \"0s\"")
            .environment("PATH", path)
    }

    async fn proxy(&self, lines: &str) -> Proxy {
        self.settings(lines).start().await
    }

    /// Pulls everything and looks whether a secret was written down.
    async fn pull(&self, proxy: &Proxy) {
        let client = proxy.client();
        client
            .pull(&self.origin, PREFIX, &self.image, "1", "")
            .await;
        says_no_secret(proxy);
    }

    async fn refused(&self, lines: &str, status: u16, what: &str) -> Proxy {
        let proxy = self.proxy(lines).await;
        let read = ask(&proxy.client()).await;
        assert_eq!(
            read.status,
            status,
            "{what}: {}",
            String::from_utf8_lossy(&read.body)
        );
        assert!(!read.codes().is_empty(), "{what}");
        assert_eq!(
            read.header("www-authenticate"),
            None,
            "{what}: no challenge is passed on"
        );
        if status == 403 {
            assert_eq!(read.codes(), ["DENIED"], "{what}");
        }
        says_no_secret(&proxy);
        proxy
    }

    fn file(&self, name: &str, document: &Value) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A credential program that notes whom it was asked about.
    fn program(&self, name: &str, username: &str, secret: &str) {
        let path = self.folder.path().join(format!("docker-credential-{name}"));
        let asked = self.folder.path().join("asked");
        let answer = json!({ "ServerURL": "x", "Username": username, "Secret": secret });
        let script = format!(
            "#!/bin/sh\nread -r server || true\necho \"$1 $server\" >>'{}'\ncat <<'JSON'\n{answer}\nJSON\n",
            asked.display()
        );
        write_program(&path, &script);
    }

    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn write_program(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn ask(client: &Client) -> longshore_tests::Read {
    client.read(&format!("{PREFIX}/manifests/1")).await
}

fn says_no_secret(proxy: &Proxy) {
    let log = proxy.log();
    for secret in [PASSWORD, BASIC, "wrong-word", "refresh-", "eyJ"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// The requests for tokens, with their forms.
fn exchanges(tokens: &TokenServer) -> Vec<(Seen, String)> {
    let all = tokens
        .requests()
        .into_iter()
        .filter(|seen| seen.path == "/token");
    all.map(|seen| {
        let form = String::from_utf8(seen.body.clone()).unwrap();
        (seen, form)
    })
    .collect()
}

/// Basic, from wherever the password comes; it goes to the registry with each request.
#[tokio::test]
async fn passwords_for_the_registry_itself() {
    let corp = Corp::basic().await;
    let host = corp.origin.host();
    let docker = corp.file(
        "config.json",
        &json!({ "auths": { &host: { "auth": BASIC } } }),
    );
    let podman = corp.file(
        "auth.json",
        &json!({ "auths": { &host: { "auth": BASIC } } }),
    );
    corp.program("corp", "ann", PASSWORD);
    let through = corp.file("helpers.json", &json!({ "credHelpers": { &host: "corp" } }));
    let password = corp.file("password", &json!(0));
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    for lines in [
        ANN.to_owned(),
        format!(r#"credentials = {{ username = "ann", password_file = {password:?} }}"#),
        format!("credentials = {{ docker_config = {docker:?} }}"),
        format!("credentials = {{ auth_file = {podman:?} }}"),
        format!("credentials = {{ docker_config = {through:?} }}"),
        r#"credentials = { helper = "corp" }"#.to_owned(),
    ] {
        corp.origin.forget_requests();
        let proxy = corp.proxy(&lines).await;
        corp.pull(&proxy).await;
        let served = corp
            .origin
            .requests()
            .into_iter()
            .filter(|seen| seen.status == 200);
        let expected = format!("Basic {BASIC}");
        for seen in served {
            assert_eq!(seen.header("authorization"), Some(&*expected), "{lines}");
        }
        proxy.settled().await;
    }
    let asked = corp.asked();
    assert!(
        asked.len() >= 2 && asked.iter().all(|line| line == &format!("get {host}")),
        "{asked:?}"
    );
}

/// docker's own files without a path: `DOCKER_CONFIG`, and the home.
#[tokio::test]
async fn files_where_they_usually_are() {
    let corp = Corp::basic().await;
    corp.file(
        "config.json",
        &json!({ "auths": { corp.origin.host(): { "auth": BASIC } } }),
    );
    let settings = corp.settings("credentials = { docker_config = true }");
    let proxy = settings
        .environment("DOCKER_CONFIG", corp.folder.path())
        .start()
        .await;
    corp.pull(&proxy).await;
}

/// A token by GET: the password goes to the realm, the token to the registry, and one exchange is enough.
#[tokio::test]
async fn tokens_by_get() {
    let corp = Corp::bearer().await;
    let proxy = corp.proxy(ANN).await;
    corp.pull(&proxy).await;
    let exchanges = exchanges(&corp.tokens);
    assert_eq!(exchanges.len(), 1, "{exchanges:?}");
    let (seen, _) = &exchanges[0];
    let expected = format!("Basic {BASIC}");
    assert_eq!(
        (&*seen.method, seen.header("authorization")),
        ("GET", Some(&*expected))
    );
    assert!(
        seen.query.contains("service=corp") && seen.query.contains("scope="),
        "{}",
        seen.query
    );
    let sent = corp.origin.requests();
    assert!(
        sent.iter()
            .all(|seen| seen.header("authorization") != Some(&*expected))
    );
}

/// Whoever is let in without a name needs none.
#[tokio::test]
async fn tokens_for_nobody() {
    let corp = Corp::bearer().await;
    corp.tokens.let_in_everyone();
    let proxy = corp.proxy("").await;
    corp.pull(&proxy).await;
    assert!(
        exchanges(&corp.tokens)
            .iter()
            .all(|(seen, _)| seen.header("authorization").is_none())
    );
}

/// A token by POST, for a password and for a refresh token, wherever that was found.
#[tokio::test]
async fn tokens_by_post() {
    let corp = Corp::bearer().await;
    let host = corp.origin.host();
    let refresh = corp.tokens.refresh_token("ann");
    let docker = corp.file(
        "config.json",
        &json!({ "auths": { &host: { "identitytoken": refresh } } }),
    );
    corp.program("corp", "<token>", &refresh);
    for (lines, grant) in [
        (
            format!(
                r#"credentials = {{ username = "ann", password = {PASSWORD:?}, tokens_by_post = true }}"#
            ),
            "password",
        ),
        (
            format!("credentials = {{ identity_token = {refresh:?} }}"),
            "refresh_token",
        ),
        (
            format!("credentials = {{ docker_config = {docker:?} }}"),
            "refresh_token",
        ),
        (
            r#"credentials = { helper = "corp" }"#.to_owned(),
            "refresh_token",
        ),
    ] {
        corp.tokens.forget_requests();
        let proxy = corp.proxy(&lines).await;
        corp.pull(&proxy).await;
        let exchanges = exchanges(&corp.tokens);
        assert_eq!(exchanges.len(), 1, "{lines}: {exchanges:?}");
        let (seen, form) = &exchanges[0];
        assert_eq!(
            (&*seen.method, seen.header("authorization")),
            ("POST", None),
            "{lines}"
        );
        assert!(
            form.contains(&format!("grant_type={grant}")),
            "{lines}: {form}"
        );
        assert!(
            form.contains("service=corp") && form.contains("client_id="),
            "{lines}: {form}"
        );
        proxy.settled().await;
    }
}

/// A server that knows no POST is asked by GET.
#[tokio::test]
async fn get_where_post_is_not_known() {
    for status in [404, 405, 401, 400] {
        let corp = Corp::bearer().await;
        corp.tokens
            .order_always(On::post("/token"), Fault::bare(status, &[]));
        let lines = format!(
            r#"credentials = {{ username = "ann", password = {PASSWORD:?}, tokens_by_post = true }}"#
        );
        let proxy = corp.proxy(&lines).await;
        corp.pull(&proxy).await;
        let methods: Vec<_> = exchanges(&corp.tokens)
            .into_iter()
            .map(|(seen, _)| seen.method)
            .collect();
        assert!(
            methods.contains(&"POST".into()) && methods.contains(&"GET".into()),
            "{status}: {methods:?}"
        );
    }
}

/// A refresh token that is good once: the next one is used for the next exchange.
#[tokio::test]
async fn refresh_tokens_that_change() {
    let corp = Corp::bearer().await;
    corp.tokens.rotate_refresh_tokens();
    let refresh = corp.tokens.refresh_token("ann");
    let proxy = corp
        .proxy(&format!("credentials = {{ identity_token = {refresh:?} }}"))
        .await;
    for _ in 0..3 {
        assert_eq!(ask(&proxy.client()).await.status, 200);
        corp.tokens.expire_tokens();
    }
    corp.pull(&proxy).await;
    let forms: Vec<_> = exchanges(&corp.tokens)
        .into_iter()
        .map(|(_, form)| form)
        .collect();
    let mut distinct = forms.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(
        (forms.len() >= 3, distinct.len()),
        (true, forms.len()),
        "{forms:?}"
    );
}

/// A token given to us for the registry is sent as it is, and nobody is asked for another.
#[tokio::test]
async fn a_static_token() {
    let corp = Corp::bearer().await;
    let client = Client::new(corp.tokens.host()).with("Authorization", &format!("Basic {BASIC}"));
    let read = client
        .read("/token?service=corp&scope=repository:library/app:pull")
        .await;
    let body: Value = serde_json::from_slice(&read.body).unwrap();
    let token = body["token"].as_str().unwrap();
    corp.tokens.forget_requests();
    let docker = corp.file(
        "config.json",
        &json!({ "auths": { corp.origin.host(): { "registrytoken": token } } }),
    );
    for lines in [
        format!("credentials = {{ token = {token:?} }}"),
        format!("credentials = {{ docker_config = {docker:?} }}"),
    ] {
        let proxy = corp.proxy(&lines).await;
        corp.pull(&proxy).await;
        proxy.settled().await;
    }
    assert_eq!(exchanges(&corp.tokens).len(), 0);
    corp.tokens.expire_tokens();
    corp.refused(
        &format!("credentials = {{ token = {token:?} }}"),
        502,
        "it ended",
    )
    .await;
}

/// A token that ends between two requests is exchanged anew, once.
#[tokio::test]
async fn a_token_that_ends_in_the_middle() {
    let corp = Corp::bearer().await;
    let proxy = corp.proxy(ANN).await;
    assert_eq!(ask(&proxy.client()).await.status, 200);
    corp.tokens.expire_tokens();
    corp.pull(&proxy).await;
    assert_eq!(exchanges(&corp.tokens).len(), 2);
}

/// Who is refused, and whose fault it is said to be.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_password() {
    let corp = Corp::basic().await;
    corp.refused("", 403, "nothing to say").await;
    corp.refused(WRONG, 502, "a wrong password is our own failure")
        .await;
    corp.refused(
        r#"credentials = { helper = "none" }"#,
        502,
        "no such program",
    )
    .await;
    corp.refused(
        r#"credentials = { docker_config = "/nowhere/config.json" }"#,
        502,
        "the file that is named is not there",
    )
    .await;
    let broken = corp.folder.path().join("docker-credential-broken");
    write_program(
        &broken,
        "#!/bin/sh\necho '{\"Secret\":\"s3cr3t-word\"}'\nexit 1\n",
    );
    corp.refused(
        r#"credentials = { helper = "broken" }"#,
        502,
        "the program fails",
    )
    .await;
    write_program(
        &broken,
        "#!/bin/sh\necho 'credentials not found in native keychain'\nexit 1\n",
    );
    corp.refused(
        r#"credentials = { helper = "broken" }"#,
        403,
        "the program knows nobody",
    )
    .await;
    let file = corp.folder.path().join("bad.json");
    std::fs::write(&file, "{").unwrap();
    let lines = format!(
        "credentials = {{ docker_config = {:?} }}",
        file.display().to_string()
    );
    corp.refused(&lines, 502, "a file that is none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_token_server() {
    let identity = |token: &str| format!("credentials = {{ identity_token = {token:?} }}");
    let corp = Corp::bearer().await;
    corp.refused(
        "",
        403,
        "nothing to say, and nobody is let in without a name",
    )
    .await;
    corp.refused(WRONG, 502, "a wrong password").await;
    corp.refused(&identity("refresh-none"), 502, "an unknown refresh token")
        .await;
    let revoked = corp.tokens.refresh_token("ann");
    corp.tokens.revoke_refresh_tokens();
    corp.refused(&identity(&revoked), 502, "a revoked refresh token")
        .await;
    for (fault, status) in [
        (Fault::bare(500, &[]), 502),
        (Fault::bare(429, &[("Retry-After", "7")]), 503),
        (Fault::json(200, "{}"), 502),
        (Fault::json(200, "[]"), 502),
        (Fault::Html200, 502),
        (Fault::Reset, 502),
    ] {
        let what = format!("{fault:?}");
        corp.tokens.order_always(On::path("/token"), fault);
        corp.refused(ANN, status, &what).await;
        corp.tokens.behave();
    }
    corp.tokens.withhold("library/app");
    corp.refused(ANN, 403, "a good token without that access")
        .await;
    corp.tokens.stop().await;
    corp.refused(ANN, 502, "nobody there").await;
}

/// With wrong credentials of our own a public image is still served: we are nobody then.
#[tokio::test]
async fn wrong_credentials_are_no_worse_than_none() {
    let corp = Corp::bearer().await;
    corp.tokens.let_in_everyone();
    let proxy = corp.proxy(WRONG).await;
    corp.pull(&proxy).await;
}

/// What is cached is served while our credentials are not accepted: that is our failure, not a withdrawal.
#[tokio::test]
async fn credentials_that_are_withdrawn() {
    let corp = Corp::basic().await;
    let proxy = corp.proxy(ANN).await;
    corp.pull(&proxy).await;
    proxy.settled().await;
    corp.origin.require_basic("ann", "another");
    let read = ask(&proxy.client()).await;
    assert_eq!((read.status, read.header("x-cache")), (200, Some("stale")));
}

/// A realm on another host gets a password only if it is listed.
#[tokio::test]
async fn realms_of_others() {
    for (listed, expected) in [(false, false), (true, true)] {
        let corp = Corp::bearer().await;
        let realm = corp.tokens.realm().replace("127.0.0.1", "localhost");
        let challenge =
            format!(r#"Bearer realm="{realm}",service="corp",scope="repository:library/app:pull""#);
        let header = Fault::Header("WWW-Authenticate".into(), Some(challenge));
        corp.origin.order_always(On::path("/v2/"), header);
        let lines = if listed {
            format!("{ANN}\nrealms = [\"localhost\"]")
        } else {
            ANN.to_owned()
        };
        let proxy = corp.proxy(&lines).await;
        let read = ask(&proxy.client()).await;
        assert_eq!(
            read.status == 200,
            expected,
            "{}",
            String::from_utf8_lossy(&read.body)
        );
        let told = exchanges(&corp.tokens)
            .iter()
            .any(|(seen, _)| seen.header("authorization").is_some());
        assert_eq!(told, expected);
        says_no_secret(&proxy);
    }
}

/// What a client brings is its own affair: neither is it passed on nor is it asked for.
#[tokio::test]
async fn a_client_s_credentials_stay_here() {
    let corp = Corp::basic().await;
    let proxy = corp.proxy("").await;
    let client = proxy
        .client()
        .with("Authorization", &format!("Basic {BASIC}"));
    assert_eq!(ask(&client).await.status, 403);
    let server: &Server = &corp.origin;
    assert!(
        server
            .requests()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}

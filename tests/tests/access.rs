//! Who may pull what: passwords of clients, rules, and nothing that a stranger learns.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Client, Origin, Proxy};
use tempfile::TempDir;

const PREFIX: &str = "/v2/library/app";
/// The passwords are the names, hashed by bcrypt at cost 4.
const HTPASSWD: &str = "\
    alice:$2y$04$abcdefghijklmnopqrstuuqq9dxaCkkb3MYrhtQqIHVY.Pv96lfQK\n\
    bob:$2y$04$abcdefghijklmnopqrstuuRNzmCkK2JDjPBYvcDDS9co5/3bIoDZK\n";

/// A proxy that lets alice pull everything, bob what is below `library/`, and everyone what is below `open/`.
async fn guarded(origin: &Origin) -> (TempDir, Proxy) {
    let folder = TempDir::with_prefix("longshore-").unwrap();
    let file = folder.path().join("htpasswd");
    std::fs::write(&file, HTPASSWD).unwrap();
    let clients = format!(
        "clients = {{ htpasswd = {file:?}, anonymous = [\"docker.io/open/*\"], rules = [\
         {{ users = [\"alice\"], repositories = [\"*\"] }}, \
         {{ users = [\"bob\"], repositories = [\"docker.io/library/*\"] }}] }}"
    );
    let proxy = Proxy::with(origin).top(&clients).start().await;
    (folder, proxy)
}

fn alice(proxy: &Proxy) -> Client {
    proxy
        .client()
        .with("Authorization", "Basic YWxpY2U6YWxpY2U=")
}

fn bob(proxy: &Proxy) -> Client {
    proxy.client().with("Authorization", "Basic Ym9iOmJvYg==")
}

/// Strangers are challenged at every path of content, whether it is cached or not, and learn nothing else.
#[tokio::test]
async fn strangers_are_challenged() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[10]);
    let (_folder, proxy) = guarded(&origin).await;
    alice(&proxy).pull(&origin, PREFIX, &image, "1", "").await;
    let wrong = proxy.client().with("Authorization", "Basic YWxpY2U6Ym9i");
    let paths = [
        "/v2/".to_owned(),
        format!("{PREFIX}/manifests/1"),
        format!("{PREFIX}/manifests/none"),
        format!("{PREFIX}/blobs/{}", image.config),
        format!("{PREFIX}/tags/list"),
        format!("{PREFIX}/referrers/{}", image.digest),
    ];
    for client in [proxy.client(), wrong] {
        for path in &paths {
            let answer = client.read(path).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.codes(), ["UNAUTHORIZED"], "{path}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(
                challenge,
                Some("Basic realm=\"longshore\", charset=\"UTF-8\""),
                "{path}"
            );
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(proxy.client().read(path).await.status, 200, "{path}");
    }
}

/// Users pull what the rules give them, and hear 403 about the rest, whether it exists or not.
#[tokio::test]
async fn users_pull_by_the_rules() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[10]);
    let other = origin.image("team/app", "1", &[10]);
    let (_folder, proxy) = guarded(&origin).await;
    for client in [alice(&proxy), bob(&proxy)] {
        assert_eq!(client.read("/v2/").await.status, 200);
        client.pull(&origin, PREFIX, &image, "1", "").await;
    }
    alice(&proxy)
        .pull(&origin, "/v2/team/app", &other, "1", "")
        .await;
    for path in [
        "/v2/team/app/manifests/1",
        "/v2/team/none/manifests/1",
        "/v2/team/app/tags/list",
    ] {
        let answer = bob(&proxy).read(path).await;
        assert_eq!(
            (answer.status, answer.codes()),
            (403, vec!["DENIED".to_owned()]),
            "{path}"
        );
    }
}

/// Repositories that are open to everyone need no password, and a wrong one does not matter there.
#[tokio::test]
async fn open_repositories_need_no_password() {
    let origin = Origin::start().await;
    let image = origin.image("open/app", "1", &[10]);
    let (_folder, proxy) = guarded(&origin).await;
    let wrong = proxy.client().with("Authorization", "Basic YWxpY2U6Ym9i");
    for client in [proxy.client(), wrong] {
        client.pull(&origin, "/v2/open/app", &image, "1", "").await;
    }
}

/// The password of a client is ours: upstream never sees it, and no log has it.
#[tokio::test]
async fn passwords_go_nowhere() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[10]);
    let (_folder, proxy) = guarded(&origin).await;
    alice(&proxy).pull(&origin, PREFIX, &image, "1", "").await;
    for seen in origin.requests() {
        assert_eq!(seen.header("authorization"), None, "{}", seen.path);
    }
    for secret in ["YWxpY2U6YWxpY2U", "alice:alice"] {
        assert!(!proxy.log().contains(secret), "{}", proxy.log());
    }
}

/// A user that is removed from the file is refused without a restart.
#[tokio::test]
async fn removed_users_are_refused() {
    let origin = Origin::start().await;
    let (folder, proxy) = guarded(&origin).await;
    assert_eq!(bob(&proxy).read("/v2/").await.status, 200);
    let alice_only = HTPASSWD.lines().next().unwrap().to_owned();
    std::fs::write(folder.path().join("htpasswd"), alice_only).unwrap();
    let reloads = "longshore_config_reloads_total";
    proxy
        .until_metric(reloads, &[("result", "ok")], |count| count == 1.0)
        .await;
    assert_eq!(bob(&proxy).read("/v2/").await.status, 401);
    assert_eq!(alice(&proxy).read("/v2/").await.status, 200);
}

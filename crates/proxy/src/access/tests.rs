use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use http::HeaderValue;
use tempfile::TempDir;

use super::*;

/// Passwords `alice` and `bob`, at the least cost.
fn lines() -> String {
    let alice = bcrypt::hash_with_result("alice", 4).unwrap();
    let alice = alice.format_for_version(bcrypt::Version::TwoY);
    format!("# comment\n\nalice:{alice}\nbob:{}\n", bob())
}

fn bob() -> String {
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    let hash = Argon2::from(cheap).hash_password_with_salt(b"bob", b"salt and more of it");
    hash.unwrap().to_string()
}

fn access(rules: Vec<Rule>, anonymous: &[&str]) -> (TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = folder.path().join("htpasswd");
    fs::write(&htpasswd, lines()).unwrap();
    let clients = Clients {
        htpasswd,
        realm: "longshore".to_owned(),
        anonymous: anonymous
            .iter()
            .map(|&pattern| pattern.to_owned())
            .collect(),
        rules,
    };
    let access = Access::load(&clients).unwrap();
    (folder, access)
}

fn rule(users: &str, repositories: &str) -> Rule {
    Rule {
        users: vec![users.to_owned()],
        repositories: vec![repositories.to_owned()],
    }
}

fn with(credentials: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Basic {}", STANDARD.encode(credentials));
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
    headers
}

fn named(domain: &str, path: &str) -> Named {
    Named::new(domain, path).unwrap()
}

#[tokio::test]
async fn users_log_in_with_their_passwords() {
    let (_folder, access) = access(Vec::new(), &[]);
    let app = named("docker.io", "library/app");
    for (credentials, expected) in [
        ("alice:alice", Verdict::Allowed),
        // The second time it is remembered.
        ("alice:alice", Verdict::Allowed),
        ("bob:bob", Verdict::Allowed),
        ("alice:bob", Verdict::Unauthenticated),
        ("alice:bob", Verdict::Unauthenticated),
        ("bob:alice", Verdict::Unauthenticated),
        ("alice:", Verdict::Unauthenticated),
        ("alice", Verdict::Unauthenticated),
        ("carol:alice", Verdict::Unauthenticated),
        (":", Verdict::Unauthenticated),
    ] {
        let headers = with(credentials);
        assert_eq!(
            access.check(&headers, Some(&app)).await,
            expected,
            "{credentials}"
        );
        assert_eq!(
            access.check(&headers, None).await,
            expected,
            "{credentials}"
        );
    }
    let none = HeaderMap::new();
    assert_eq!(access.check(&none, None).await, Verdict::Unauthenticated);
    for value in [
        "Basic",
        "Basic %%%",
        "Bearer abc",
        "",
        "basicYWxpY2U6YWxpY2U=",
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        assert_eq!(
            access.check(&headers, None).await,
            Verdict::Unauthenticated,
            "{value}"
        );
    }
    assert_eq!(
        access.challenge(),
        "Basic realm=\"longshore\", charset=\"UTF-8\""
    );
}

#[tokio::test]
async fn rules_say_who_may_pull_what() {
    let rules = vec![
        rule("ali*", "corp.example/team-a/*"),
        rule("*", "docker.io/*"),
    ];
    let (_folder, access) = access(rules, &["docker.io/library/*"]);
    let (alice, none) = (with("alice:alice"), HeaderMap::new());
    for (headers, domain, path, expected) in [
        (&alice, "corp.example", "team-a/app", Verdict::Allowed),
        (&alice, "corp.example", "team-b/app", Verdict::Denied),
        (&alice, "docker.io", "grafana/grafana", Verdict::Allowed),
        (
            &none,
            "docker.io",
            "grafana/grafana",
            Verdict::Unauthenticated,
        ),
        (&none, "docker.io", "library/alpine", Verdict::Allowed),
        (
            &none,
            "corp.example",
            "team-a/app",
            Verdict::Unauthenticated,
        ),
    ] {
        let verdict = access.check(headers, Some(&named(domain, path))).await;
        assert_eq!(verdict, expected, "{domain}/{path}");
    }
}

#[tokio::test]
async fn what_was_verified_is_kept_while_nothing_changes() {
    let (_folder, before) = access(Vec::new(), &[]);
    let before = Arc::new(before);
    let again = Access::load(&before.clients)
        .unwrap()
        .or_before(Some(&before));
    assert!(Arc::ptr_eq(&again, &before));
    fs::write(&before.clients.htpasswd, "").unwrap();
    let empty = Access::load(&before.clients)
        .unwrap()
        .or_before(Some(&before));
    assert!(!Arc::ptr_eq(&empty, &before));
    let verdict = empty.check(&with("alice:alice"), None).await;
    assert_eq!(verdict, Verdict::Unauthenticated);
}

#[test]
fn lines_that_are_not_valid_are_named() {
    for (text, line, error) in [
        ("alice", 1, LineError::Form),
        ("\n:x", 2, LineError::Form),
        (
            "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            1,
            LineError::Kind,
        ),
        ("alice:$apr1$x$y", 1, LineError::Kind),
        ("alice:$2y$nonsense", 1, LineError::Kind),
        (
            "alice:$2y$15$abcdefghijklmnopqrstuuFS7eqOBJ.TSxWjO8kM0gzS2mTkJ5Vye",
            1,
            LineError::Cost,
        ),
        (
            "alice:$argon2id$v=19$m=1000000,t=1,p=1$c29tZXNhbHQ$mXjLaEYBhYIEDn2yGZTxSA",
            1,
            LineError::Cost,
        ),
    ] {
        assert_eq!(Htpasswd::parse(text).err(), Some((line, error)), "{text}");
    }
    let twice = format!("bob:{0}\nbob:{0}", bob());
    assert_eq!(Htpasswd::parse(&twice).err(), Some((2, LineError::Twice)));
}

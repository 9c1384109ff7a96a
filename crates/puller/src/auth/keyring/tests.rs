use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{document::Document, names::*, *};
use crate::auth::login::CredentialKind;

fn sought<'a>(endpoint: &'a str, repository: &'a str) -> LookupKey<'a> {
    LookupKey {
        endpoint,
        upstream: None,
        repository,
    }
}

fn only(endpoint: &str, repository: &str) -> Name {
    Name::all(sought(endpoint, repository)).remove(0)
}

#[test]
fn keys_in_one_spelling() {
    for (raw, expected) in [
        ("registry.example", "registry.example"),
        ("Registry.Example/", "registry.example"),
        ("https://registry.example", "registry.example"),
        ("http://registry.example:5000/v2/", "registry.example:5000"),
        ("registry.example/v1/", "registry.example"),
        ("registry.example:443", "registry.example"),
        ("registry.example/org/App", "registry.example/org/App"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io/library", "docker.io/library"),
        ("", ""),
    ] {
        assert_eq!(key(raw), expected, "{raw}");
    }
}

#[test]
fn names_from_the_most_specific() {
    let name = only("registry-1.docker.io", "library/app");
    let keys = ["docker.io/library/app", "docker.io/library", "docker.io"];
    assert_eq!(name.keys(), keys);
    assert_eq!(name.servers(), ["https://index.docker.io/v1/", "docker.io"]);
    assert_eq!(only("h:5000", "a").servers(), ["h:5000"]);
    let both = LookupKey {
        upstream: Some("corp.example"),
        ..sought("harbor.corp.example", "a")
    };
    let hosts: Vec<String> = Name::all(both).into_iter().map(|name| name.host).collect();
    assert_eq!(hosts, ["harbor.corp.example", "corp.example"]);
    let same = LookupKey {
        upstream: Some("docker.io"),
        ..sought("registry-1.docker.io", "a")
    };
    assert_eq!(Name::all(same).len(), 1);
}

/// What a file has for `host/a/b`: means, user and secret.
fn found(text: &str, host: &str, bare: bool) -> Result<Option<String>, KeyringError> {
    let document = Document::parse(Path::new("c.json"), text.as_bytes(), bare)?;
    let login = document.login(&only(host, "a/b"))?;
    Ok(login.map(|login| {
        let username = login.username.as_deref().unwrap_or_default();
        format!("{:?} {username} {}", login.kind(), login.secret())
    }))
}

fn auth(pair: &str) -> String {
    format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(pair))
}

#[test]
fn entries() {
    let pair = |pair: &str| format!(r#"{{"auths":{{"r.example":{}}}}}"#, auth(pair));
    let own = |entry: &str| format!(r#"{{"auths":{{"r.example":{entry}}}}}"#);
    for (text, expected) in [
        (pair("u:p"), Some("Password u p")),
        (pair("u:p:q"), Some("Password u p:q")),
        (pair("u:\0\0p\0"), Some("Password u p")),
        // An entry counts only if user and password are both there.
        (pair("no colon"), None),
        (pair(":p"), None),
        (pair("u:"), None),
        (pair("u:\0"), None),
        (pair("<token>:id"), Some("Identity  id")),
        (own("{}"), None),
        (own("null"), None),
        (own(r#"{"auth":null}"#), None),
        (
            own(r#"{"username":"u","password":"p"}"#),
            Some("Password u p"),
        ),
        (
            own(r#"{"auth":"","identitytoken":"id"}"#),
            Some("Identity  id"),
        ),
        (
            own(r#"{"auth":"dTo=","identitytoken":"id"}"#),
            Some("Identity u id"),
        ),
        (
            own(r#"{"auth":"dTpw","registrytoken":"t"}"#),
            Some("Static  t"),
        ),
        (own(r#"{"auth":"dT\npw\n"}"#), Some("Password u p")),
        ("{}".to_owned(), None),
        (" \n".to_owned(), None),
        (
            r#"{"auths":{},"HttpHeaders":{"x":"y"},"currentContext":7}"#.to_owned(),
            None,
        ),
    ] {
        assert_eq!(
            found(&text, "r.example", false).unwrap().as_deref(),
            expected,
            "{text}"
        );
    }
    let bare = format!(r#"{{"https://index.docker.io/v1/":{}}}"#, auth("u:p"));
    assert_eq!(
        found(&bare, "docker.io", true).unwrap().as_deref(),
        Some("Password u p")
    );
    assert_eq!(found(&bare, "docker.io", false).unwrap(), None);
}

#[test]
fn which_entry() {
    let file = |entries: &[(&str, &str)]| {
        let entry = |(key, pair): &(&str, &str)| format!(r#""{key}":{}"#, auth(pair));
        let entries: Vec<String> = entries.iter().map(entry).collect();
        format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))
    };
    for (entries, host, expected) in [
        (
            &[
                ("r.example", "h:p"),
                ("r.example/a", "a:p"),
                ("r.example/a/b", "b:p"),
            ][..],
            "r.example",
            Some("b"),
        ),
        (
            &[
                ("r.example", "h:p"),
                ("r.example/a", "a:p"),
                ("r.example/a/bb", "b:p"),
            ],
            "r.example",
            Some("a"),
        ),
        (
            &[("r.example", "h:p"), ("r.example/a", "a:")],
            "r.example",
            Some("h"),
        ),
        (
            &[("https://r.example/v2/", "url:p")],
            "r.example",
            Some("url"),
        ),
        (
            &[("https://r.example", "url:p"), ("r.example", "exact:p")],
            "r.example",
            Some("exact"),
        ),
        (
            &[("http://r.example", "first:p"), ("https://r.example", ":")],
            "r.example",
            Some("first"),
        ),
        (&[("r.example:5000", "u:p")], "r.example", None),
        (&[("r.example", "u:p")], "r.example:443", Some("u")),
        (
            &[("https://index.docker.io/v1/", "hub:p")],
            "registry-1.docker.io",
            Some("hub"),
        ),
        (
            &[("docker.io", "hub:p")],
            "registry-1.docker.io",
            Some("hub"),
        ),
        (&[("docker.io.evil.example", "u:p")], "docker.io", None),
    ] {
        let login = found(&file(entries), host, false).unwrap();
        let username = login.as_deref().and_then(|login| login.split(' ').nth(1));
        assert_eq!(username, expected, "{entries:?}");
    }
}

#[test]
fn programs() {
    let text = br#"{"credHelpers":{"gcr.io":"gcloud","https://index.docker.io/v1/":"hub","plain.example":""},"credsStore":"store"}"#;
    let document = Document::parse(Path::new("c.json"), text, false).unwrap();
    for (host, expected) in [
        ("gcr.io", Some("gcloud")),
        ("docker.io", Some("hub")),
        ("plain.example", None),
        ("other.example", Some("store")),
    ] {
        assert_eq!(document.program(&only(host, "a")), expected, "{host}");
    }
    let document = Document::parse(Path::new("c.json"), br#"{"credsStore":""}"#, false).unwrap();
    assert_eq!(document.program(&only("gcr.io", "a")), None);
}

#[test]
fn what_is_wrong_is_said_without_secrets() {
    for (text, expected) in [
        (
            r#"{"auths":{"r.example":{"auth":"hunter2!"}}}"#,
            "c.json: `auth` of r.example is not base64",
        ),
        (
            r#"{"auths":{"r.example":{"auth":"aHVudGVyMg"}}}"#,
            "c.json: `auth` of r.example is not base64",
        ),
        (
            "{\"auths\":\n \"hunter2\"}",
            "c.json:2:10: not a file of credentials",
        ),
        (
            r#"{"auths":{"r.example":"hunter2"}}"#,
            "c.json:1:31: not a file of credentials",
        ),
        ("hunter2", "c.json:1:1: not a file of credentials"),
    ] {
        let error = found(text, "r.example", false).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn where_files_are() {
    let paths = |keyring: &Keyring| match &keyring.0.kept_in {
        KeptIn::Files(files) => files
            .iter()
            .map(|f| f.path().display().to_string())
            .collect(),
        KeptIn::Program(_) => Vec::new(),
    };
    let home = Places {
        home: Some("/h".into()),
        uid: Some(7),
        ..Places::default()
    };
    let full = Places {
        docker_config: Some("/dc".into()),
        registry_auth_file: Some("/raf".into()),
        xdg_runtime_dir: Some("/run/user/7".into()),
        xdg_config_home: Some("/xdg".into()),
        ..home.clone()
    };
    let docker = |places: &Places| paths(&Keyring::docker_config(None, places.clone()));
    let auth = |places: &Places| paths(&Keyring::auth_file(None, places.clone()));
    assert_eq!(docker(&Places::default()), [""; 0]);
    assert_eq!(docker(&home), ["/h/.docker/config.json"]);
    assert_eq!(docker(&full), ["/dc/config.json"]);
    assert_eq!(auth(&Places::default()), [""; 0]);
    let expected = [
        "/run/containers/7/auth.json",
        "/h/.config/containers/auth.json",
        "/h/.docker/config.json",
        "/h/.dockercfg",
    ];
    assert_eq!(auth(&home), expected);
    let expected = [
        "/raf",
        "/run/user/7/containers/auth.json",
        "/xdg/containers/auth.json",
        "/dc/config.json",
        "/h/.dockercfg",
    ];
    assert_eq!(auth(&full), expected);
    for keyring in [
        Keyring::docker_config(Some("/own".into()), full.clone()),
        Keyring::auth_file(Some("/own".into()), full),
    ] {
        assert_eq!(paths(&keyring), ["/own"]);
    }
    assert!(Places::from_env().uid.is_some());
}

#[tokio::test]
async fn files_that_are_absent() {
    let absent = std::env::temp_dir().join("longshore-no-such-folder");
    let places = Places {
        home: Some(absent.clone()),
        ..Places::default()
    };
    let keyring = Keyring::auth_file(None, places.clone());
    assert!(
        keyring
            .login(sought("h", "a"), None)
            .await
            .unwrap()
            .is_none()
    );
    let keyring = Keyring::docker_config(Some(absent), places);
    let error = keyring.login(sought("h", "a"), None).await.unwrap_err();
    assert!(matches!(&*error, KeyringError::Read { .. }), "{error}");
}

/// The runs themselves, without processes.
mod runs {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use super::*;
    use crate::auth::keyring::runs::Runs;

    fn login(secret: &str) -> Login {
        Login::new(CredentialKind::Password, Some("u".into()), secret.into()).unwrap()
    }

    async fn obtain(
        runs: &Runs,
        stale: Option<u64>,
        run: impl Future<Output = Result<Option<Login>, Arc<KeyringError>>>,
    ) -> Option<Login> {
        runs.obtain("p", "s", stale, run).await.unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn are_kept_for_a_while() {
        let failed = || KeyringError::Base64 {
            path: "p".into(),
            registry: "r".into(),
        };
        for (first, secs) in [(0, 300), (1, 60), (2, 10)] {
            let (runs, count) = (Runs::default(), AtomicU64::new(0));
            let run = || async {
                count.fetch_add(1, Ordering::SeqCst);
                match first {
                    0 => Ok(Some(login("a"))),
                    1 => Ok(None),
                    _ => Err(Arc::new(failed())),
                }
            };
            for (wait, expected) in [(0, 1), (secs - 1, 1), (1, 2), (0, 2)] {
                tokio::time::advance(Duration::from_secs(wait)).await;
                obtain(&runs, None, run()).await;
                assert_eq!(count.load(Ordering::SeqCst), expected);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn are_repeated_once_when_stale() {
        let (runs, count) = (Runs::default(), AtomicU64::new(0));
        let run = |secret: &'static str| {
            let count = &count;
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(Some(login(secret)))
            }
        };
        let first = obtain(&runs, None, run("a")).await.unwrap();
        let second = obtain(&runs, first.run, run("b")).await.unwrap();
        assert_eq!((&**second.secret(), count.load(Ordering::SeqCst)), ("b", 2));
        // Whoever still has the old one gets the new one.
        let late = obtain(&runs, first.run, run("c")).await.unwrap();
        assert_eq!((late.run, count.load(Ordering::SeqCst)), (second.run, 2));
        // A program that says the same again is left alone for a minute.
        let same = obtain(&runs, second.run, run("b")).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
        obtain(&runs, same.run, run("b")).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
        tokio::time::advance(Duration::from_secs(60)).await;
        obtain(&runs, same.run, run("b")).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn are_shared() {
        let (runs, count) = (Runs::default(), AtomicU64::new(0));
        let gate = tokio::sync::Notify::new();
        let one = || async {
            let run = async {
                count.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                Ok(Some(login("a")))
            };
            obtain(&runs, None, run).await
        };
        let open = async { gate.notify_one() };
        let (a, b, c, ()) = tokio::join!(one(), one(), one(), open);
        assert!(a.is_some() && b.is_some() && c.is_some());
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

//! Nothing secret is told: not in logs, not in errors, not in `Debug`, not to whom a redirect leads.

use std::{
    error::Error as _,
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use longshore_puller::{Keyring, Secret};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{
    common::*,
    keyring::Folder,
    script::{Asked, Said, Script},
};

/// Every secret that occurs; each begins with what the assertion looks for.
const PASSWORD: &str = "hidden-password";
const STATIC: &str = "hidden-static-token";
const IDENTITY: &str = "hidden-identity-token";
const REFRESH: &str = "hidden-refresh-token";
const ACCESS: &str = "hidden-access-token";
const QUERY: &str = "hidden-query";
/// What `u:hidden-password` begins with in base64.
const PAIR: &str = "dTpoaWRkZW4tcGFzc3dv";

/// Writes down everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        write!(self.0.lock().unwrap(), "\n{} ", event.metadata().target()).unwrap();
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0.lock().unwrap(), "{field}={value:?} ").unwrap();
    }
}

/// A registry that repeats to everyone what it was sent, and has a query in its realm.
fn echo(asked: &Asked, storage: &str) -> Said {
    let host = asked.header("host").unwrap();
    let sent = asked.header("authorization").unwrap_or_default();
    match asked.path.as_str() {
        "/token" if asked.query.contains("service=broken") => Said::new(418, asked.body.as_str()),
        "/token" if asked.query.contains("service=refused") => Said::new(401, asked.body.as_str()),
        "/token" if asked.query.contains("service=moved") => {
            let location = format!("http://{storage}/token?{}", asked.query);
            Said::new(307, "").with("location", location)
        }
        "/token" => Said::new(
            200,
            format!(r#"{{"token":"{ACCESS}","refresh_token":"{REFRESH}"}}"#),
        ),
        path if path.contains("/blobs/") && sent.ends_with(ACCESS) => {
            let location = format!("http://{storage}/blob?sig={QUERY}");
            Said::new(307, "").with("location", location)
        }
        path => {
            let tag = path.rsplit('/').next().unwrap();
            let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"no: {sent}"}}]}}"#);
            let challenge = match tag {
                "basic" => "Basic realm=\"r\"".to_owned(),
                // The realm's query decides what the token endpoint does.
                tag => format!(
                    r#"Bearer realm="http://{host}/token?service={tag}&key={QUERY}",error="invalid_token",error_description="bad {sent}""#
                ),
            };
            Said::new(401, body).with("www-authenticate", challenge)
        }
    }
}

fn ways(folder: &Folder) -> Vec<Option<Credentials>> {
    let basic = |username: &str| Credentials::Basic {
        username: username.into(),
        password: Secret::value(PASSWORD),
    };
    let said = format!(r#"{{"ServerURL":"x","Username":"u","Secret":"{PASSWORD}"}}"#);
    folder.program("says", &format!("echo '{said}'"));
    folder.program(
        "fails",
        &format!("echo '{said}'; echo 'bad {PASSWORD}' >&2; exit 1"),
    );
    folder.program("raves", &format!("echo 'password: {PASSWORD}'"));
    let file = folder.write("bad.json", &format!(r#"{{"auths":{{"a":"{PASSWORD}"}}}}"#));
    let file = Keyring::docker_config(Some(file), folder.places());
    let programs = ["says", "fails", "raves"].map(|name| folder.keyring(name));
    [
        None,
        Some(basic("u")),
        Some(Credentials::Bearer(Secret::value(STATIC))),
        Some(Credentials::Identity(Secret::value(IDENTITY))),
        Some(Credentials::Keyring(file)),
    ]
    .into_iter()
    .chain(programs)
    .collect()
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let log = Log::default();
    // With one subscriber alone, what another test's thread logs first would be taken as logged by nobody, here too.
    let _second = tracing::Dispatch::new(Log::default());
    let _guard = tracing::subscriber::set_default(log.clone());
    let folder = Folder::new();
    let storage = Script::start(|_| Said::new(403, QUERY)).await;
    let elsewhere = format!("localhost:{}", storage.port());
    let origin = Script::start(move |asked| echo(asked, &elsewhere)).await;
    let mut shown = String::new();
    let mut errors = 0;
    for credentials in ways(&folder) {
        for by_post in [false, true] {
            for tag in ["basic", "broken", "refused", "moved", "granted"] {
                let endpoint = Endpoint::parse(&origin.url()).unwrap();
                let mut config = Config::new("registry.test", vec![endpoint]);
                config.credentials.clone_from(&credentials);
                config.tokens_by_post = by_post;
                write!(shown, "{config:?} ").unwrap();
                let upstream = Upstream::new(config).unwrap();
                let reference = tagged(&format!("library/app:{tag}"));
                let blob = canonical("library/app", &Digest::sha256(b"x").to_string());
                for error in [
                    upstream.manifest(&reference).await.err(),
                    upstream.resolve(&reference).await.err(),
                    upstream.blob(&blob, 0, None).await.err(),
                ] {
                    let error = error.unwrap();
                    write!(shown, "{error} {error:?} ").unwrap();
                    let mut source = error.source();
                    while let Some(error) = source {
                        write!(shown, "{error} {error:?} ").unwrap();
                        source = error.source();
                    }
                    errors += 1;
                }
                writeln!(shown, "{upstream:?}").unwrap();
            }
        }
    }
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("longshore_puller") && logged.contains("credentials rejected"));
    assert!(errors > 100 && origin.count("POST /token") > 5 && origin.count("GET /token") > 5);
    let own = logged.lines().filter(|line| line.starts_with("longshore"));
    for (what, text) in [("error", shown), ("log", own.collect())] {
        for secret in ["hidden-", PAIR] {
            let near = text
                .find(secret)
                .map(|at| &text[at.saturating_sub(300)..at + 40]);
            assert_eq!(near, None, "in an {what}");
        }
    }
    // Those to whom a redirect leads see its own query, and nothing of ours.
    let seen = storage.seen();
    assert!(seen.iter().any(|a| a.path == "/token") && seen.iter().any(|a| a.path == "/blob"));
    for asked in seen {
        let text = format!("{asked:?}").replace(QUERY, "");
        assert!(!text.contains("hidden-") && !text.contains(PAIR), "{text}");
        assert_eq!(
            (asked.method.as_str(), asked.header("authorization")),
            ("GET", None)
        );
    }
}

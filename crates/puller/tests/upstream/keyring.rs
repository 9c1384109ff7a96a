//! Credentials kept by other programs: files, and programs written as small shell scripts.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use longshore_puller::{Api, Keyring, Places};

use crate::{
    common::*,
    script::{Said, Script},
};

const PATH: &str = "/v2/library/app/manifests/1";

/// A folder with programs and files, removed when it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("longshore-keyring-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A credential program that notes each run and what it was asked for, then does this. Written by another process: a
    /// file this one has open for writing while a thread of it forks cannot be run.
    pub(crate) fn program(&self, name: &str, body: &str) {
        let folder = self.0.display();
        let path = self.0.join(format!("docker-credential-{name}"));
        let text = format!(
            "#!/bin/sh\nread -r server\necho \"$1 $server\" >> {folder}/runs\ncd {folder}\n{body}\n"
        );
        let written = std::process::Command::new("sh")
            .args([
                "-c",
                r#"printf %s "$1" > "$2" && chmod +x "$2""#,
                "sh",
                &text,
            ])
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
    }

    /// A program that answers what [`say`](Self::say) says.
    pub(crate) fn teller(&self, name: &str) {
        self.program(name, "cat answer");
    }

    pub(crate) fn say(&self, username: &str, secret: &str) {
        let text = format!(r#"{{"ServerURL":"x","Username":"{username}","Secret":"{secret}"}}"#);
        self.write("answer", &text);
    }

    pub(crate) fn runs(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn places(&self) -> Places {
        let mut places = Places::default();
        let system = ["/usr/bin".into(), "/bin".into()];
        places.path = [self.0.clone()].into_iter().chain(system).collect();
        places
    }

    pub(crate) fn keyring(&self, program: &str) -> Option<Credentials> {
        let keyring = Keyring::program(program, self.places()).unwrap();
        Some(Credentials::Keyring(keyring))
    }

    fn config(&self, text: &str) -> Option<Credentials> {
        let path = self.write("config.json", text);
        let keyring = Keyring::docker_config(Some(path), self.places());
        Some(Credentials::Keyring(keyring))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn guarded(username: &str, password: &str) -> Origin {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    origin.require_basic(username, password);
    origin
}

fn with(origin: &Origin, credentials: Option<Credentials>) -> (Upstream, Told) {
    let (mut config, told) = (config(&[origin]), Told::default());
    told.observe(&mut config);
    config.credentials = credentials;
    config.api = Api::V2;
    (Upstream::new(config).unwrap(), told)
}

async fn pull(upstream: &Upstream) -> Result<(), Error> {
    upstream.manifest(&tagged("library/app:1")).await.map(drop)
}

fn expired() -> Fault {
    let body = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;
    Fault::Status(403, Vec::new(), body.into())
}

fn cause(error: &Error) -> String {
    let mut all = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        all.push_str(&format!("{error}; "));
        source = error.source();
    }
    all
}

#[tokio::test]
async fn a_program_is_asked_once_for_many() {
    let (origin, folder) = (guarded("u", "p").await, Folder::new());
    folder.teller("test");
    folder.say("u", "p");
    let (upstream, _) = with(&origin, folder.keyring("test"));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let upstream = upstream.clone();
            tokio::spawn(async move { pull(&upstream).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    pull(&upstream).await.unwrap();
    assert_eq!(folder.runs(), [format!("get {}", origin.host())]);
}

#[tokio::test]
async fn an_expired_login_is_looked_up_once_more() {
    for fault in [Some(expired()), None] {
        let (origin, folder) = (guarded("AWS", "first").await, Folder::new());
        folder.teller("ecr-login");
        folder.say("AWS", "first");
        let (upstream, told) = with(&origin, folder.keyring("ecr-login"));
        pull(&upstream).await.unwrap();
        // The registry says 403 (ECR) or 401 from now on.
        origin.forget_requests();
        origin.require_basic("AWS", "second");
        folder.say("AWS", "second");
        origin.order(On::get(PATH), fault);
        pull(&upstream).await.unwrap();
        pull(&upstream).await.unwrap();
        assert_eq!((origin.count("GET", PATH), folder.runs().len()), (3, 2));
        assert_eq!(told.count("CredentialsRejected"), 0);
    }
}

#[tokio::test]
async fn a_login_that_expires_while_a_blob_is_cut_is_renewed() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100_000]);
    origin.require_basic("AWS", "first");
    let folder = Folder::new();
    folder.teller("ecr-login");
    folder.say("AWS", "first");
    let (upstream, _) = with(&origin, folder.keyring("ecr-login"));
    pull(&upstream).await.unwrap();
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    origin.order(On::get(&path), [Fault::CutAt(1000)]);
    let blob = canonical("library/app", &image.layers[0]);
    let mut download = upstream.blob(&blob, 0, Some(100_000)).await.unwrap();
    let mut length = download.chunk().await.unwrap().unwrap().len();
    origin.require_basic("AWS", "second");
    folder.say("AWS", "second");
    origin.order(On::get(&path), [expired()]);
    length += read(&mut download).await.unwrap().len();
    assert_eq!(length, 100_000);
    assert_eq!((origin.count("GET", &path), folder.runs().len()), (3, 2));
}

#[tokio::test]
async fn a_token_that_ends_while_a_blob_is_cut_is_renewed() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100_000]);
    origin.require_bearer(Bearer::default());
    let upstream = upstream(&[&origin]);
    pull(&upstream).await.unwrap();
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    for fault in [None, Some(Fault::error(403, "DENIED"))] {
        origin.forget_requests();
        origin.order(On::get(&path), [Fault::CutAt(1000)]);
        let blob = canonical("library/app", &image.layers[0]);
        let mut download = upstream.blob(&blob, 0, Some(100_000)).await.unwrap();
        let mut length = download.chunk().await.unwrap().unwrap().len();
        origin.expire_tokens();
        origin.order(On::get(&path), fault);
        length += read(&mut download).await.unwrap().len();
        assert_eq!(length, 100_000);
        assert_eq!(
            (origin.count("GET", &path), origin.count("GET", "/token")),
            (3, 1)
        );
    }
}

#[tokio::test]
async fn a_program_that_says_the_same_again_is_left_alone() {
    let (origin, folder) = (guarded("u", "right").await, Folder::new());
    folder.teller("test");
    folder.say("u", "wrong");
    let (upstream, told) = with(&origin, folder.keyring("test"));
    for _ in 0..4 {
        let error = pull(&upstream).await.unwrap_err();
        assert!(
            matches!(error, Error::Rejected { source: None, .. }),
            "{error:?}"
        );
    }
    assert_eq!(folder.runs().len(), 2);
    assert_eq!(told.count("CredentialsRejected"), 1);
    let with_login = |s: &&longshore_tests::Seen| s.header("authorization").is_some();
    assert_eq!(origin.requests().iter().filter(with_login).count(), 1);
}

#[tokio::test]
async fn a_denial_asks_no_program_again() {
    let (origin, folder) = (guarded("u", "p").await, Folder::new());
    folder.teller("test");
    folder.say("u", "p");
    let (upstream, _) = with(&origin, folder.keyring("test"));
    pull(&upstream).await.unwrap();
    origin.order_always(On::get(PATH), Fault::error(403, "DENIED"));
    for _ in 0..2 {
        let error = pull(&upstream).await.unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    }
    assert_eq!(folder.runs().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_a_login_gets_the_new_one() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    let guard = |password: &str| {
        origin.require_bearer(Bearer {
            credentials: Some(("u".into(), password.into())),
            ..Bearer::default()
        });
    };
    guard("first");
    let folder = Folder::new();
    folder.teller("gcloud");
    folder.say("u", "first");
    let (upstream, told) = with(&origin, folder.keyring("gcloud"));
    pull(&upstream).await.unwrap();
    origin.expire_tokens();
    guard("second");
    folder.say("u", "second");
    pull(&upstream).await.unwrap();
    // One for the first token, one refused, one with the new credentials.
    assert_eq!((origin.count("GET", "/token"), folder.runs().len()), (3, 2));
    assert_eq!(told.count("CredentialsRejected"), 0);
}

#[tokio::test]
async fn programs_that_have_nothing() {
    for body in [
        "echo credentials not found in native keychain; exit 1",
        "echo 'Error: Credentials not found' >&2; exit 1",
        "echo '{\"ServerURL\":\"x\",\"Username\":\"\",\"Secret\":\"\"}'",
    ] {
        let (origin, folder) = (guarded("u", "p").await, Folder::new());
        folder.program("test", body);
        let (upstream, told) = with(&origin, folder.keyring("test"));
        for _ in 0..2 {
            let error = pull(&upstream).await.unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{body}: {error:?}");
        }
        // By the endpoint and by the name of the upstream; that there is nothing holds for a while.
        let asked = [format!("get {}", origin.host()), "get registry.test".into()];
        assert_eq!(folder.runs(), asked);
        assert_eq!(told.count("CredentialsRejected"), 0);
    }
}

#[tokio::test]
async fn programs_that_fail_are_told_of() {
    for (body, expected) in [
        (
            "echo '{\"Secret\":\"hunter2\"}'; echo \"aws: hunter2 no profile\" >&2; exit 3",
            "docker-credential-test; exit status: 3: aws: … no profile; ",
        ),
        (
            "echo not logged in; exit 1",
            "docker-credential-test; exit status: 1: not logged in; ",
        ),
        (
            "echo hunter2",
            "docker-credential-test; an answer that is no credentials; ",
        ),
        (
            "exec tr '\\0' hunter2 < /dev/zero",
            "docker-credential-test; an answer over 65536 bytes; ",
        ),
        (
            "head -c 1000000 /dev/zero >&2; exit 1",
            "docker-credential-test; exit status: 1; ",
        ),
    ] {
        let (origin, folder) = (guarded("u", "p").await, Folder::new());
        folder.program("test", body);
        let (upstream, _) = with(&origin, folder.keyring("test"));
        for _ in 0..2 {
            let error = pull(&upstream).await.unwrap_err();
            assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
            assert_eq!(cause(&error), expected);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        assert_eq!(folder.runs().len(), 1, "a failure holds for a while");
    }
    let (origin, folder) = (guarded("u", "p").await, Folder::new());
    let (upstream, _) = with(&origin, folder.keyring("absent"));
    let error = pull(&upstream).await.unwrap_err();
    assert_eq!(
        cause(&error),
        "docker-credential-absent; not in the search path; "
    );
    assert!(Keyring::program("../x", folder.places()).is_err());
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let (origin, folder) = (guarded("u", "first").await, Folder::new());
    let text = |host: &str, pair: &str| {
        format!(
            r#"{{"auths":{{"{host}":{{"auth":"{}"}}}}}}"#,
            STANDARD.encode(pair)
        )
    };
    let (upstream, told) = with(&origin, folder.config(&text(&origin.host(), "u:first")));
    pull(&upstream).await.unwrap();
    origin.require_basic("u", "the second");
    folder.write("config.json", &text(&origin.host(), "u:the second"));
    pull(&upstream).await.unwrap();
    assert_eq!(told.count("CredentialsRejected"), 0);
    // Nothing for this registry any more: the anonymous client is denied, nobody is rejected.
    folder.write("config.json", &text("other.example", "u:the second"));
    let error = pull(&upstream).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    // What another upstream is called is looked up too.
    folder.write(
        "config.json",
        &text("https://registry.test/", "u:the second"),
    );
    pull(&upstream).await.unwrap();
    folder.write("config.json", "{");
    let error = pull(&upstream).await.unwrap_err();
    assert!(
        cause(&error).ends_with("config.json:1:1: not a file of credentials; "),
        "{}",
        cause(&error)
    );
}

#[tokio::test]
async fn a_file_names_programs() {
    let host = |origin: &Origin| origin.host();
    for (own, store, runs) in [
        (Some("own"), Some("store"), vec!["own"]),
        (None, Some("store"), vec!["store"]),
        // A program with an empty name: the file itself has it.
        (Some(""), Some("store"), vec![]),
        // A program that has nothing leaves it to the file.
        (Some("none"), None, vec!["none"]),
    ] {
        let (origin, folder) = (guarded("u", "p").await, Folder::new());
        folder.say("u", "p");
        for name in ["own", "store"] {
            folder.program(name, &format!("echo {name} >> names; cat answer"));
        }
        folder.program(
            "none",
            "echo none >> names; echo credentials not found in native keychain; exit 1",
        );
        let mut parts = vec![format!(
            r#""auths":{{"{}":{{"auth":"dTpw"}}}}"#,
            host(&origin)
        )];
        parts.extend(own.map(|own| format!(r#""credHelpers":{{"{}":"{own}"}}"#, host(&origin))));
        parts.extend(store.map(|store| format!(r#""credsStore":"{store}""#)));
        let (upstream, _) = with(&origin, folder.config(&format!("{{{}}}", parts.join(","))));
        pull(&upstream).await.unwrap();
        let names = std::fs::read_to_string(folder.0.join("names")).unwrap_or_default();
        assert_eq!(names.lines().collect::<Vec<_>>(), runs);
    }
}

#[tokio::test]
async fn an_identity_token_of_a_program_or_a_file_is_exchanged_by_post() {
    let folder = Folder::new();
    folder.teller("acr");
    folder.say("<token>", "id");
    for from_program in [true, false] {
        let origin = Script::start(|asked| {
            let host = asked.header("host").unwrap();
            let challenge =
                format!(r#"Bearer realm="http://{host}/oauth2/token",service="{host}""#);
            match (asked.method.as_str(), asked.header("authorization")) {
                ("POST", _) if asked.field("refresh_token").as_deref() == Some("id") => {
                    Said::new(200, r#"{"access_token":"good"}"#)
                }
                ("GET", Some("Bearer good")) => Said::new(200, "{}"),
                _ => Said::new(401, "").with("www-authenticate", challenge),
            }
        })
        .await;
        let entry = format!(
            r#"{{"auths":{{"{}":{{"auth":"MDA6","identitytoken":"id"}}}}}}"#,
            origin.host
        );
        let credentials = match from_program {
            true => folder.keyring("acr"),
            false => folder.config(&entry),
        };
        let endpoint = Endpoint::parse(&origin.url()).unwrap();
        let mut config = Config::new("registry.test", vec![endpoint]);
        config.credentials = credentials;
        pull(&Upstream::new(config).unwrap()).await.unwrap();
        assert_eq!(origin.count("POST /oauth2/token"), 1);
        assert_eq!(origin.seen().len(), 3);
    }
}

#[tokio::test]
async fn a_program_nobody_waits_for_is_killed() {
    let folder = Folder::new();
    let fifo = folder.0.join("alive");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    folder.program("test", "exec 3> alive; echo up >&3; exec sleep 1000");
    let origin = guarded("u", "p").await;
    let (upstream, _) = with(&origin, folder.keyring("test"));
    let call = tokio::spawn(async move { pull(&upstream).await });
    // A thread of its own: the runtime would wait for it when the test fails.
    let (up, is_up) = tokio::sync::oneshot::channel();
    let (gone, is_gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        use std::io::Read;
        let mut pipe = std::fs::File::open(fifo).unwrap();
        let mut first = [0; 3];
        pipe.read_exact(&mut first).unwrap();
        up.send(first).unwrap();
        // Ends when the last process that has the pipe open has ended.
        pipe.read_to_end(&mut Vec::new()).unwrap();
        gone.send(()).unwrap();
    });
    let patience = longshore_tests::PATIENCE;
    let first = tokio::time::timeout(patience, is_up).await;
    assert_eq!(&first.unwrap().unwrap(), b"up\n");
    call.abort();
    tokio::time::timeout(patience, is_gone)
        .await
        .expect("it runs on")
        .unwrap();
    assert_eq!(folder.runs().len(), 1);
}

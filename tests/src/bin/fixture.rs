//! The fixtures for tests that are not written in Rust: it serves one, says as a line of JSON what it is, and ends on
//! SIGTERM.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "it talks to a shell script, and a fixture that does not start fails its test"
)]

use longshore_tests::{
    Forgery, Origin, Schema1, Signer, TokenServer, V1Image, V1Registry, V1Style,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_default();
    let Some(options) = Options::parse(words) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    // Before it is announced: a test may end it at once.
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
    let serving = match what.as_str() {
        "v1-registry" => v1_registry(&options).await,
        "schema1" => schema1(&options).await,
        "token-server" => token_server(&options).await,
        _ => None,
    };
    let Some(_serving) = serving else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    ExitCode::SUCCESS
}

/// What must live as long as it is served.
type Serving = Box<dyn std::any::Any>;

async fn v1_registry(options: &Options) -> Option<Serving> {
    let address = options.address()?;
    let v1 = if options.has("index") {
        V1Registry::indexed_at(address).await
    } else {
        V1Registry::standalone_at(address).await
    };
    let (repository, tag) = options.name();
    let image = options.image(&repository)?;
    v1.push(&repository, &tag, &image);
    if let Some((username, password)) = options.text("login").and_then(|text| text.split_once(':'))
    {
        v1.require_login(username, password);
    }
    if options.has("cookies") {
        v1.require_cookies();
    }
    println!(
        "{}",
        json!({
            "address": v1.index().host(),
            "registry": v1.registry().host(),
            "repository": repository,
            "tag": tag,
            "id": image.id(),
            "layers": layers(&image),
        })
    );
    Some(Box::new(v1))
}

async fn schema1(options: &Options) -> Option<Serving> {
    let address = options.address()?;
    let signer = match options.text("key").unwrap_or("es256") {
        "es256" => Signer::es256(),
        "rs256" => Signer::rs256(),
        "x5c" => Signer::x5c(),
        _ => return None,
    };
    let (repository, tag) = options.name();
    let schema1 = Schema1::of(&options.image(&repository)?, &repository, &tag);
    let (document, digest) = match options.text("forge") {
        None => (schema1.signed(&signer), schema1.digest.clone()),
        Some("signature") => schema1.forged(&signer, Forgery::Signature),
        Some("payload") => schema1.forged(&signer, Forgery::Payload),
        Some("history") => schema1.forged(&signer, Forgery::History),
        Some(_) => return None,
    };
    let origin = Origin::start_at(address).await;
    schema1.push(&origin, document, &digest);
    println!(
        "{}",
        json!({
            "address": origin.host(),
            "repository": repository,
            "tag": tag,
            "digest": digest,
            "layers": layers(&schema1.image),
        })
    );
    Some(Box::new(origin))
}

async fn token_server(options: &Options) -> Option<Serving> {
    let service = options.text("service").unwrap_or("registry.test");
    let tokens = TokenServer::start_at(options.address()?, service).await;
    if let Some(file) = options.text("users") {
        let users = std::fs::read_to_string(file).expect("the users");
        for (username, password) in users.lines().filter_map(|line| line.split_once(':')) {
            tokens.let_in(username, password);
        }
    }
    if options.has("anonymous") {
        tokens.let_in_everyone();
    }
    if let Some(repository) = options.text("withhold") {
        tokens.withhold(repository);
    }
    tokens.expire_in(options.number("expires-in", 300)?);
    if let Some(file) = options.text("certificates") {
        std::fs::write(file, tokens.certificates()).expect("write the certificates");
    }
    let refresh = options
        .text("refresh-token-of")
        .map(|username| tokens.refresh_token(username));
    println!(
        "{}",
        json!({
            "address": tokens.host(),
            "realm": tokens.realm(),
            "service": service,
            "issuer": tokens.issuer(),
            "refresh_token": refresh,
        })
    );
    Some(Box::new(tokens))
}

/// The layers of an image, the base first.
fn layers(image: &V1Image) -> Value {
    let layers = image.layers.iter().map(|layer| {
        json!({
            "id": layer.id,
            "digest": layer.digest,
            "diff_id": layer.diff_id,
            "size": layer.blob.len(),
        })
    });
    layers.collect()
}

/// `--name value` or `--name` alone.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--")?;
            let value = if FLAGS.contains(&name) {
                String::new()
            } else {
                words.next()?
            };
            options.insert(name.to_owned(), value);
        }
        Some(Self(options))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: u64) -> Option<u64> {
        self.text(name)
            .map_or(Some(default), |text| text.parse().ok())
    }

    fn address(&self) -> Option<SocketAddr> {
        self.text("listen").unwrap_or("127.0.0.1:0").parse().ok()
    }

    fn name(&self) -> (String, String) {
        let repository = self.text("repository").unwrap_or("e2e/old");
        (repository.into(), self.text("tag").unwrap_or("1").into())
    }

    fn image(&self, repository: &str) -> Option<V1Image> {
        let (count, bytes) = (self.number("layers", 3)?, self.number("bytes", 10_000)?);
        let style = V1Style {
            gzipped: !self.has("plain"),
            docker_version: if self.has("old") { "1.7.1" } else { "1.9.1" },
        };
        let sizes = vec![bytes; usize::try_from(count).ok()?];
        Some(V1Image::styled(repository, &sizes, style))
    }
}

/// The options that have no value.
const FLAGS: &[&str] = &[
    "standalone",
    "index",
    "plain",
    "old",
    "cookies",
    "anonymous",
];

const USAGE: &str = "\
usage: fixture WHAT [--listen ADDRESS] [OPTION]...

  v1-registry   a registry of protocol v1 with one image
      --standalone | --index      alone (default), or behind an index
      --login USER:PASSWORD       whom it lets in
      --cookies                   a token works once and sets a cookie
  schema1       a registry v2 with one signed schema 1 image
      --key es256|rs256|x5c       how it is signed
      --forge signature|payload|history   what is wrong with it
  token-server  a token server with keys of its own
      --service NAME              the registry it is for
      --users FILE                lines USER:PASSWORD: who may pull everything
      --anonymous                 so may those who say no name
      --withhold REPOSITORY       but nobody this one
      --expires-in SECONDS        how long tokens hold
      --certificates FILE         where to write what tokens are to be checked with
      --refresh-token-of USER     print a refresh token of that user

Images: --repository NAME --tag TAG --layers N --bytes N (of the file in each layer)
      --plain (layers not compressed) --old (made by Docker 1.7.1)
";

//! Which certificates are trusted, and which are shown. Those of the tests are made by `tls/make.sh`.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use longshore_puller::{
    Api, ClientCertificate, Connect, Connecting, Reason, Resolve, Resolving, Stream,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::common::*;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstream/tls");
    fs::read(folder.join(name)).unwrap()
}

/// A registry with TLS that answers 200 to everything, and writes down what it was asked.
struct Secure {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Secure {
    /// Shows these certificates; asks for one of clients if `authority` is given.
    async fn start(chain: &[&str], authority: Option<&str>) -> Self {
        let certificate =
            |name: &&str| CertificateDer::from_pem_slice(&file(&format!("{name}.crt")));
        let certificates = chain.iter().map(certificate).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(&file(&format!("{}.key", chain[0])));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match authority {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate(&authority).unwrap()).unwrap();
                let clients =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(clients.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let tls = builder.with_single_cert(certificates.unwrap(), key.unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(tls.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&all));
                tokio::spawn(async move { serve(stream, acceptor, &seen).await });
            }
        });
        Self { port, seen, task }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, seen: &Mutex<Vec<String>>) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            seen.lock()
                .unwrap()
                .push(String::from_utf8(std::mem::take(&mut head)).unwrap());
            let answer =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

fn config_of(url: &str) -> Config {
    let endpoint = match url.contains("://") {
        true => Endpoint::parse(url),
        false => Endpoint::of_host(url),
    };
    let mut config = Config::new("registry.test", vec![endpoint.unwrap()]);
    config.api = Api::V2;
    config
}

async fn pull(config: Config) -> Result<(), Error> {
    let upstream = Upstream::new(config).unwrap();
    upstream.manifest(&tagged("library/app:1")).await.map(drop)
}

fn is_tls(result: &Result<(), Error>) -> bool {
    matches!(
        result,
        Err(Error::Unreachable {
            reason: Reason::Tls,
            ..
        })
    )
}

#[tokio::test]
async fn certificates_that_ca_names() {
    for (chain, ca, trusted) in [
        // Self-signed, as an authority or not: Go, OpenSSL and curl take both.
        (&["ca_true"][..], Some("ca_true"), true),
        (&["ca_false"], Some("ca_false"), true),
        (&["plain"], Some("plain"), true),
        // A common name is no name: Go refuses it too, OpenSSL takes it.
        (&["registry.test"], Some("registry.test"), false),
        (&["expired"], Some("expired"), false),
        (&["expired_leaf"], Some("expired_leaf"), false),
        // The certificate of a server whose authority is not known.
        (&["leaf"], Some("leaf"), true),
        (&["leaf"], Some("intermediate"), true),
        (&["leaf", "intermediate"], Some("root"), true),
        (&["leaf"], Some("root"), false),
        (&["ca_true"], Some("ca_false"), false),
        (&["ca_true"], Some("root"), false),
        // What one upstream trusts, another does not.
        (&["ca_true"], None, false),
        (&["leaf", "intermediate"], None, false),
    ] {
        let server = Secure::start(chain, None).await;
        let mut config = config_of(&server.url());
        config.ca = ca.map(|name| file(&format!("{name}.crt")));
        let result = pull(config).await;
        assert_eq!(result.is_ok(), trusted, "{chain:?} {ca:?} {result:?}");
        assert!(trusted || is_tls(&result), "{chain:?} {ca:?} {result:?}");
    }
}

#[tokio::test]
async fn forms_of_ca() {
    let server = Secure::start(&["ca_true"], None).await;
    let text = |name: &str| String::from_utf8(file(name)).unwrap();
    let several = format!(
        "# the registry\r\nsubject=CN = x\n{}\n\n{}trailing",
        text("root.crt"),
        text("ca_true.crt").replace('\n', "\r\n")
    );
    for ca in [file("ca_true.der"), several.into_bytes()] {
        let mut config = config_of(&server.url());
        config.ca = Some(ca);
        pull(config).await.unwrap();
    }
}

/// Names and their addresses; each look-up takes the next, the last one stays.
#[derive(Debug)]
struct Names(Mutex<Vec<IpAddr>>);

impl Resolve for Names {
    fn resolve(&self, _host: &str) -> Resolving {
        let mut left = self.0.lock().unwrap();
        let address = if left.len() > 1 {
            left.remove(0)
        } else {
            left[0]
        };
        Box::pin(async move { io::Result::Ok(vec![address]) })
    }
}

/// Leads every address to this machine.
#[derive(Debug)]
struct Here;

impl Connect for Here {
    fn connect(&self, address: SocketAddr) -> Connecting {
        Box::pin(async move {
            let stream = TcpStream::connect(("127.0.0.1", address.port())).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

fn at(config: &mut Config, addresses: &[&str]) {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    config.resolver = Some(Arc::new(Names(Mutex::new(addresses))));
    config.connector = Some(Arc::new(Here));
}

#[tokio::test]
async fn a_certificate_that_is_named_counts_for_its_names_alone() {
    for name in ["ca_true", "ca_false"] {
        let server = Secure::start(&[name], None).await;
        for (host, trusted) in [("registry.test", true), ("other.test", false)] {
            let mut config = config_of(&format!("https://{host}:{}", server.port));
            config.ca = Some(file(&format!("{name}.crt")));
            at(&mut config, &["192.0.2.1"]);
            let result = pull(config).await;
            assert_eq!(result.is_ok(), trusted, "{name} {host} {result:?}");
            assert_eq!(is_tls(&result), !trusted, "{name} {host} {result:?}");
        }
    }
}

/// Whether a certificate matters, and whether plain HTTP is spoken, is decided on the address that is connected to. A name
/// is looked up for a connection with TLS, then before plain HTTP is spoken, then for that connection.
#[tokio::test]
async fn an_answer_of_dns_for_another_connection_switches_nothing_off() {
    let server = Secure::start(&["ca_true"], None).await;
    let plain = Origin::start().await;
    plain.image("library/app", "1", &[1000]);
    let plain_port = plain.host().rsplit_once(':').unwrap().1.to_owned();
    for (addresses, asked) in [
        (&["127.0.0.1"][..], 1),
        (&["192.0.2.1", "127.0.0.1", "192.0.2.1"], 0),
        (&["192.0.2.1"], 0),
    ] {
        let before = (server.seen.lock().unwrap().len(), plain.requests().len());
        for port in [server.port.to_string(), plain_port.clone()] {
            let mut config = config_of(&format!("registry.test:{port}"));
            at(&mut config, addresses);
            assert_eq!(pull(config).await.is_ok(), asked == 1, "{addresses:?}");
        }
        let seen = server.seen.lock().unwrap().len() - before.0;
        assert_eq!(seen, asked, "{addresses:?}");
        assert_eq!(plain.requests().len() - before.1, asked, "{addresses:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_endpoint() {
    let server = Secure::start(&["ca_true"], Some("root")).await;
    let config = || {
        let mut config = config_of(&server.url());
        config.ca = Some(file("ca_true.crt"));
        config
    };
    assert!(pull(config()).await.is_err());
    let mut config = config();
    let client = ClientCertificate::from_pem(&file("client.crt"), &file("client.key"));
    config.client_certificate = Some(client.unwrap());
    pull(config).await.unwrap();
}

/// Files of a `certs.d` folder, by their names there.
fn certs_dir(host: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let of_host = folder.path().join(host);
    fs::create_dir(&of_host).unwrap();
    for (to, from) in files {
        fs::write(of_host.join(to), file(from)).unwrap();
    }
    let path = folder.path().to_owned();
    (folder, path)
}

#[tokio::test]
async fn folders_of_certificates() {
    let server = Secure::start(&["ca_true"], Some("root")).await;
    let host = format!("127.0.0.1:{}", server.port);
    let pair = [
        ("client.cert", "client.crt"),
        ("client.key", "client.key"),
        ("ca.crt", "ca_true.crt"),
    ];
    let (_one, right) = certs_dir(&host, &pair);
    let (_two, other) = certs_dir("registry.test", &[("ca.crt", "root.crt")]);
    let (_three, wrong) = certs_dir(&host, &[("ca.crt", "root.crt")]);
    for (folders, trusted) in [
        (vec![right.clone()], true),
        (vec![PathBuf::from("/none"), other, right.clone()], true),
        (vec![wrong, right], false),
        (Vec::new(), false),
    ] {
        let mut config = config_of(&server.url());
        config.certs_dirs = folders;
        let result = pull(config).await;
        assert_eq!(result.is_ok(), trusted, "{result:?}");
    }
    for files in [
        &pair[..1],
        &pair[1..2],
        &[("ca.crt", "client.key")],
        &[("a.cert", "client.key"), ("a.key", "client.crt")],
    ] {
        let (_folder, path) = certs_dir(&host, files);
        let mut config = config_of(&server.url());
        config.certs_dirs = vec![path];
        let result = Upstream::new(config);
        assert!(matches!(result, Err(Error::Config { .. })), "{files:?}");
    }
}

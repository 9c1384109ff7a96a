use std::path::{Path, PathBuf};

use longshore_reference::Reference;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Overrides;

/// The upstream `a.b` with these keys.
fn configured(keys: &str) -> config::Upstream {
    let text = format!("[upstreams.\"a.b\"]\n{keys}");
    let folder = Some(Path::new("/"));
    let config = config::Config::parse(Path::new("a"), &text, &Overrides::default(), folder);
    let mut upstreams = config.unwrap().upstreams;
    upstreams.retain(|upstream| upstream.name == "a.b");
    upstreams.remove(0)
}

/// The puller's credentials for what stands in the configuration.
fn made(inner: &str) -> Result<Credentials, Error> {
    let upstream = configured(&format!("credentials = {{ {inner} }}"));
    credentials(upstream.credentials.as_ref().unwrap())
}

/// A registry with TLS that talks to clients with a certificate only.
async fn demanding() -> (u16, JoinHandle<()>) {
    let file = |name| std::fs::read(certificate(name)).unwrap();
    let certificate = |name| CertificateDer::from_pem_slice(&file(name)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate("root.crt")).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![certificate("ca_true.crt")],
            PrivateKeyDer::from_pem_slice(&file("ca_true.key")).unwrap(),
        );
    let acceptor = TlsAcceptor::from(Arc::new(tls.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                stream.write_all(ANSWER).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    (port, task)
}

fn certificate(name: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    crates.join("puller/tests/upstream/tls").join(name)
}

/// A registry that demands a certificate gets the configured one, or that of the folder of its host.
#[tokio::test]
async fn client_certificates() {
    let (port, server) = demanding().await;
    let folder = tempfile::tempdir().unwrap();
    let of_host = folder.path().join(format!("127.0.0.1:{port}"));
    std::fs::create_dir(&of_host).unwrap();
    for (from, to) in [
        ("ca_true.crt", "ca.crt"),
        ("client.crt", "client.cert"),
        ("client.key", "client.key"),
    ] {
        std::fs::copy(certificate(from), of_host.join(to)).unwrap();
    }
    let ca = format!("ca = {:?}\n", certificate("ca_true.crt"));
    let cert = format!("client_cert = {:?}\n", certificate("client.crt"));
    let key = format!("client_key = {:?}\n", certificate("client.key"));
    let certs_dir = format!("certs_dir = {:?}\n", folder.path());
    for (keys, is_let_in) in [
        (ca.clone(), false),
        (format!("{ca}{cert}{key}"), true),
        (certs_dir, true),
    ] {
        let endpoints = format!("endpoints = [\"https://127.0.0.1:{port}\"]\n");
        let upstream = configured(&format!("{endpoints}api = \"v2\"\n{keys}"));
        let settings = puller_config(&upstream, "a.b", &Insecure::default()).unwrap();
        let reference = Reference::parse("a.b/library/app:1").unwrap();
        let found = Puller::new(settings).unwrap().manifest(&reference).await;
        assert_eq!(found.is_ok(), is_let_in, "{keys}: {found:?}");
    }
    server.abort();
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[test]
fn every_way_to_log_in() {
    for (inner, expected) in [
        (
            "username = \"u\", password = \"hunter2\"",
            "Basic { username: \"u\", password: Secret(..) }",
        ),
        (
            "username = \"u\", password_file = \"/p\"",
            "Basic { username: \"u\", password: Secret(\"/p\") }",
        ),
        ("token = \"hunter2\"", "Bearer(Secret(..))"),
        ("token_file = \"/t\"", "Bearer(Secret(\"/t\"))"),
        ("token_env = \"PATH\"", "Bearer(Secret(..))"),
        ("identity_token_file = \"/t\"", "Identity(Secret(\"/t\"))"),
        (
            "docker_config = \"/c.json\"",
            "Keyring(Keyring([\"/c.json\"]))",
        ),
        ("auth_file = \"/a.json\"", "Keyring(Keyring([\"/a.json\"]))"),
        ("helper = \"ecr-login\"", "Keyring(Keyring(\"ecr-login\"))"),
    ] {
        assert_eq!(format!("{:?}", made(inner).unwrap()), expected);
    }
    let absent = made("token_env = \"LONGSHORE_NO_SUCH_VARIABLE\"").unwrap_err();
    assert!(matches!(absent, Error::Variable { name, .. } if name == "LONGSHORE_NO_SUCH_VARIABLE"));
}

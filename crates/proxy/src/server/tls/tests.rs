use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{Limits, Server};

macro_rules! certificate {
    ($name:literal) => {
        include_bytes!(concat!("certificates/", $name)).as_slice()
    };
}

const ROOT: &[u8] = certificate!("root.crt");
const FIRST: (&[u8], &[u8]) = (certificate!("first.crt"), certificate!("first.key"));
const SECOND: (&[u8], &[u8]) = (certificate!("second.crt"), certificate!("second.key"));
const CLIENT: (&[u8], &[u8]) = (certificate!("client.crt"), certificate!("client.key"));

/// A server of "hello" over TLS, with its files in a folder of their own.
struct Running {
    folder: TempDir,
    tls: Arc<Tls>,
    address: SocketAddr,
    _stop: tokio_util::sync::DropGuard,
}

fn write(folder: &TempDir, (chain, key): (&[u8], &[u8])) {
    fs::write(folder.path().join("tls.crt"), chain).unwrap();
    fs::write(folder.path().join("tls.key"), key).unwrap();
}

fn files(folder: &TempDir, client_ca: bool) -> Files {
    Files {
        cert: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
        client_ca: client_ca.then(|| folder.path().join("ca.crt")),
    }
}

async fn start(client_ca: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, FIRST);
    fs::write(folder.path().join("ca.crt"), ROOT).unwrap();
    let tls = Arc::new(Tls::load(files(&folder, client_ca)).unwrap());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default())
        .await
        .unwrap()
        .with_tls(Some(Arc::clone(&tls)));
    let address = server.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let hello = |_| {
        service_fn(|_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from_static(
                b"hello",
            ))))
        })
    };
    tokio::spawn(server.serve(hello, shutdown.clone()));
    Running {
        folder,
        tls,
        address,
        _stop: shutdown.drop_guard(),
    }
}

async fn connect(
    running: &Running,
    shown: Option<(&[u8], &[u8])>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ROOT).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(chain).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(running.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> io::Result<String> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn shown_by(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().unwrap()[0].to_vec()
}

fn der(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

#[tokio::test]
async fn serves_over_tls() {
    let running = start(false).await;
    let stream = connect(&running, None).await.unwrap();
    let answer = exchange(stream).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
}

#[tokio::test]
async fn plain_http_is_refused_in_plain_words() {
    let running = start(false).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let answer = exchange(stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
    assert!(answer.contains("to an HTTPS server"), "{answer}");
}

#[tokio::test]
async fn clients_show_a_certificate_of_the_authority() {
    let running = start(true).await;
    let stream = connect(&running, Some(CLIENT)).await.unwrap();
    assert!(exchange(stream).await.unwrap().ends_with("hello"));

    // TLS 1.3 tells a client that its certificate is missing after its part of the handshake.
    for shown in [None, Some(FIRST)] {
        let answer = match connect(&running, shown).await {
            Ok(stream) => exchange(stream).await,
            Err(error) => Err(error),
        };
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_the_next_connection() {
    let running = start(false).await;
    let mut seen = stamps(&files(&running.folder, false));
    let before = connect(&running, None).await.unwrap();
    assert_eq!(shown_by(&before), der(FIRST.0));

    write(&running.folder, SECOND);
    running.tls.look(&mut seen);
    let after = connect(&running, None).await.unwrap();
    assert_eq!(shown_by(&after), der(SECOND.0));
    // The connection from before goes on.
    assert!(exchange(before).await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn files_that_do_not_fit_leave_the_ones_before_in_use() {
    let running = start(false).await;
    write(&running.folder, (SECOND.0, FIRST.1));
    running.tls.reload();
    let stream = connect(&running, None).await.unwrap();
    assert_eq!(shown_by(&stream), der(FIRST.0));
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |what: &str| {
        let error = Tls::load(files(&folder, true)).unwrap_err();
        let text = Chain(&error).to_string();
        assert!(text.contains(what), "{text}");
    };
    fails("tls.crt");
    fs::write(folder.path().join("tls.crt"), FIRST.0).unwrap();
    fails("tls.key");
    write(&folder, FIRST);
    fails("ca.crt");
    fs::write(folder.path().join("ca.crt"), "nothing").unwrap();
    fails("no certificate in");
    write(&folder, (FIRST.0, SECOND.1));
    fs::write(folder.path().join("ca.crt"), ROOT).unwrap();
    fails("tls.crt");
}

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(100);
/// No test may take longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits {
        connections_max: 100,
        head: LONG,
        idle: LONG,
        stall: LONG,
        accept_while_draining: Duration::ZERO,
        answer_while_draining: LONG,
    }
}

/// A body that the test feeds; it tells when it is dropped.
struct Fed {
    pieces: mpsc::Receiver<Bytes>,
    _dropped: mpsc::Sender<()>,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pieces
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Runs a server: `/` is answered at once, `/fed` with the pieces the test sends, `/endless` with bytes for ever.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    pieces: mpsc::Sender<Bytes>,
    /// Nothing is left of `/fed` and `/endless` when this ends.
    dropped: mpsc::Receiver<()>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Running {
    async fn start(limits: Limits) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits)
            .await
            .unwrap();
        let address = server.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (pieces, receiver) = mpsc::channel(1);
        let (dropping, dropped) = mpsc::channel(1);
        let once = Arc::new(std::sync::Mutex::new(Some((receiver, dropping))));
        let make = move |_peer| {
            let once = Arc::clone(&once);
            service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &once);
                async move { Ok::<_, Infallible>(answer) }
            })
        };
        let task = tokio::spawn(server.serve(make, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
            pieces,
            dropped,
        }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn stopped(self) {
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

type Once = Arc<std::sync::Mutex<Option<(mpsc::Receiver<Bytes>, mpsc::Sender<()>)>>>;

fn answer(request: &Request<Incoming>, once: &Once) -> Answer {
    let take = || once.lock().unwrap().take().unwrap();
    Response::new(match request.uri().path() {
        "/fed" => {
            let (pieces, dropped) = take();
            Fed {
                pieces,
                _dropped: dropped,
            }
            .boxed()
        }
        "/endless" => {
            let (_, dropped) = take();
            let (sender, pieces) = mpsc::channel(1);
            tokio::spawn(
                async move { while sender.send(Bytes::from(vec![0; 65536])).await.is_ok() {} },
            );
            Fed {
                pieces,
                _dropped: dropped,
            }
            .boxed()
        }
        _ => Full::new(Bytes::from_static(b"hello")).boxed(),
    })
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until what was read ends so.
    async fn read_until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let byte = timeout(PATIENCE, self.0.read_u8()).await.unwrap();
            bytes.push(byte.unwrap());
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Reads until the connection ends, whichever way.
    async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut bytes))
            .await
            .unwrap();
        drop(ended);
        bytes
    }

    async fn is_open_after(&self, time: Duration) -> bool {
        timeout(time, self.0.peek(&mut [0])).await.is_err()
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const HELLO: &str = "\r\n\r\nhello";

#[tokio::test]
async fn serves_several_requests_on_one_connection() {
    let server = Running::start(limits()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send(GET).await;
        assert!(
            client
                .read_until(HELLO)
                .await
                .starts_with("HTTP/1.1 200 OK\r\n")
        );
    }
    client
        .send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(client.read_to_end().await.ends_with(HELLO.as_bytes()));
}

#[tokio::test]
async fn tls_is_refused_in_plain_words() {
    let server = Running::start(limits()).await;
    let mut client = server.connect().await;
    let started = std::time::Instant::now();
    let mut hello = vec![0x16, 3, 1, 0x02, 0x00];
    hello.resize(5 + 0x200, 0xab);
    client.0.write_all(&hello).await.unwrap();
    let answer = client.read_to_end().await;
    let took = started.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    assert!(answer.ends_with(b"\r\n\r\nTLS was sent to a plain HTTP port"));
    assert!(took < Duration::from_secs(5), "{took:?}");
    // One that stops inside its record is closed as well.
    let mut client = server.connect().await;
    client.0.write_all(&hello[..20]).await.unwrap();
    client.read_to_end().await;
}

#[tokio::test]
async fn a_silent_client_is_closed() {
    let server = Running::start(Limits {
        head: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    assert_eq!(client.read_to_end().await, b"");
}

#[tokio::test]
async fn a_slow_request_is_closed() {
    let server = Running::start(Limits {
        head: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhos").await;
    assert_eq!(client.read_to_end().await, b"");
    // The same for the second one of a connection.
    let mut client = server.connect().await;
    client.send(GET).await;
    client.read_until(HELLO).await;
    client.send("GET / HTTP/1.1\r\nhos").await;
    assert_eq!(client.read_to_end().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_its_own_limit() {
    let server = Running::start(Limits {
        idle: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send(GET).await;
    client.read_until(HELLO).await;
    assert_eq!(client.read_to_end().await, b"");

    let server = Running::start(Limits {
        head: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send(GET).await;
    client.read_until(HELLO).await;
    assert!(client.is_open_after(SHORT * 3).await);
    client.send(GET).await;
    client.read_until(HELLO).await;
}

#[tokio::test]
async fn a_long_answer_is_no_slow_request() {
    let server = Running::start(Limits {
        head: SHORT,
        idle: SHORT,
        stall: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET /fed HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    assert!(client.is_open_after(SHORT * 3).await);
    server
        .pieces
        .send(Bytes::from_static(b"late"))
        .await
        .unwrap();
    client.read_until("late\r\n").await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed() {
    let mut server = Running::start(Limits {
        stall: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client
        .send("GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let dropped = timeout(PATIENCE, server.dropped.recv()).await;
    assert_eq!(dropped.unwrap(), None);
    drop(client);
}

#[tokio::test]
async fn an_answer_is_dropped_with_its_client() {
    let mut server = Running::start(limits()).await;
    let mut client = server.connect().await;
    client.send("GET /fed HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    drop(client);
    let dropped = timeout(PATIENCE, server.dropped.recv()).await;
    assert_eq!(dropped.unwrap(), None);
}

#[tokio::test]
async fn large_headers_are_refused() {
    let server = Running::start(limits()).await;
    let mut client = server.connect().await;
    let long = "x".repeat(HEAD_BYTES_MAX + 1);
    client
        .send(&format!("GET / HTTP/1.1\r\nhost: {long}"))
        .await;
    assert!(client.read_to_end().await.starts_with(b"HTTP/1.1 431 "));
    let mut client = server.connect().await;
    let many = "a: b\r\n".repeat(101);
    client.send(&format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
    assert!(client.read_to_end().await.starts_with(b"HTTP/1.1 431 "));
    // A thousand ranges get through.
    let mut client = server.connect().await;
    let ranges = vec!["1234567890-1234567899"; 1024].join(",");
    client
        .send(&format!(
            "GET / HTTP/1.1\r\nhost: x\r\nrange: bytes={ranges}\r\n\r\n"
        ))
        .await;
    client.read_until(HELLO).await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let server = Running::start(Limits {
        connections_max: 1,
        ..limits()
    })
    .await;
    let mut first = server.connect().await;
    first.send(GET).await;
    first.read_until(HELLO).await;
    let mut second = server.connect().await;
    second.send(GET).await;
    assert!(second.is_open_after(SHORT).await);
    drop(first);
    second.read_until(HELLO).await;
}

#[tokio::test]
async fn drains() {
    let server = Running::start(Limits {
        accept_while_draining: Duration::from_secs(1),
        ..limits()
    })
    .await;
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.read_until(HELLO).await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.send("GET /fed HTTP/1.1\r\nhost: x\r\n\r\n").await;
    busy.read_until("\r\n\r\n").await;

    server.shutdown.cancel();
    // For a while all goes on.
    let mut late = server.connect().await;
    late.send(GET).await;
    late.read_until(HELLO).await;
    // Then what does nothing is closed, and nobody comes in any more.
    assert_eq!(idle.read_to_end().await, b"");
    assert_eq!(silent.read_to_end().await, b"");
    assert_eq!(late.read_to_end().await, b"");
    TcpStream::connect(server.address).await.unwrap_err();
    // An answer under way goes on to its end.
    assert!(!server.task.is_finished());
    server
        .pieces
        .send(Bytes::from_static(b"the end"))
        .await
        .unwrap();
    let Running { pieces, task, .. } = server;
    drop(pieces);
    let body = busy.read_to_end().await;
    assert!(body.ends_with(b"the end\r\n0\r\n\r\n"), "{body:?}");
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let server = Running::start(Limits {
        answer_while_draining: SHORT,
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET /fed HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    server.shutdown.cancel();
    let pieces = server.pieces.clone();
    server.stopped().await;
    assert!(!client.read_to_end().await.ends_with(b"0\r\n\r\n"));
    pieces.send(Bytes::new()).await.unwrap_err();
}

#[tokio::test]
async fn an_answer_in_the_making_is_not_lost_in_a_drain() {
    let (open, gate) = watch::channel(false);
    let (entered, mut inside) = mpsc::channel(1);
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits())
        .await
        .unwrap();
    let address = server.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let make = move |_peer| {
        let (gate, entered) = (gate.clone(), entered.clone());
        service_fn(move |_request: Request<Incoming>| {
            let (mut gate, entered) = (gate.clone(), entered.clone());
            async move {
                entered.send(()).await.unwrap();
                gate.wait_for(|open| *open).await.unwrap();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
            }
        })
    };
    let task = tokio::spawn(server.serve(make, shutdown.clone()));
    let mut client = Client(TcpStream::connect(address).await.unwrap());
    client.send(GET).await;
    inside.recv().await.unwrap();
    shutdown.cancel();
    assert!(client.is_open_after(SHORT).await);
    open.send(true).unwrap();
    assert!(client.read_to_end().await.ends_with(HELLO.as_bytes()));
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[test]
fn errors_of_the_listener() {
    for (code, pauses) in [
        (24, true),
        (23, true),
        (12, true),
        (103, false),
        (104, false),
    ] {
        let error = io::Error::from_raw_os_error(code);
        assert_eq!(accept_pause(&error).is_some(), pauses, "{error}");
    }
}

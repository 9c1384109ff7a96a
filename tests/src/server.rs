//! A server on its socket: start, stop, restart, orders and the record of requests. What it answers is a [`Site`]'s.

use crate::answer::Answer;
use crate::fault::{Fault, On, Orders};
use crate::patience::PATIENCE;
use crate::request::Request;
use crate::wire::{Delivery, unless_gone};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// One request, as far as it has been answered.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The query without `?`; empty when there was none.
    pub query: String,
    /// Header names in lower case, values as they were sent.
    pub headers: Vec<(String, String)>,
    /// The body; empty when there was none.
    pub body: Vec<u8>,
    /// 0 until headers were sent.
    pub status: u16,
    /// Bytes of the body handed to the socket, framing not counted.
    pub body_bytes_sent: u64,
    /// Whether nothing more will be sent, for whatever reason.
    pub ended: bool,
    /// The number of the connection, from 0.
    pub connection: usize,
}

impl Seen {
    /// The value of the header with this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `Range`.
    #[must_use]
    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }
}

/// What answers the requests that a [`Server`] reads.
pub(crate) trait Site: Send + Sync {
    /// The answer to `request` by the server at `host`. `faults` were drawn for it: those of content and headers are
    /// the site's to commit.
    fn answer(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer;
}

/// One listener on a port of 127.0.0.1, which misbehaves on order and records what it is asked. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    /// Bound, never listening: keeps the port for [`restart`](Self::restart) while nothing answers on it.
    _port: TcpSocket,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Shared {
    address: SocketAddr,
    site: Arc<dyn Site>,
    orders: Mutex<Orders>,
    seen: watch::Sender<Vec<Seen>>,
    connections: watch::Sender<usize>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.address)
    }
}

impl Server {
    /// Starts to listen; port 0 stands for a free one.
    pub(crate) async fn start(site: Arc<dyn Site>, address: SocketAddr) -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        // Before the bind where the port is given: connections of an earlier listener may linger.
        port.set_reuseaddr(address.port() != 0)
            .expect("SO_REUSEADDR");
        port.bind(address).expect("a free port");
        port.set_reuseaddr(true).expect("SO_REUSEADDR");
        let shared = Arc::new(Shared {
            address: port.local_addr().expect("an address"),
            site,
            orders: Mutex::default(),
            seen: watch::channel(Vec::new()).0,
            connections: watch::channel(0).0,
        });
        let server = Self {
            shared,
            _port: port,
            running: Mutex::new(None),
        };
        server.restart().await;
        server
    }

    /// Closes the listener and every connection: from now on connections are refused.
    pub async fn stop(&self) {
        let running = lock(&self.running).take();
        if let Some(Running { stop, task }) = running {
            drop(stop);
            task.await.expect("the server ended by itself");
        }
    }

    /// Listens again on the same port, with the same content and orders.
    pub async fn restart(&self) {
        self.stop().await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(self.shared.address).expect("the port is kept");
        let listener = socket.listen(1024).expect("listen");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(Arc::clone(&self.shared), listener, stopped));
        *lock(&self.running) = Some(Running { stop, task });
    }

    /// `127.0.0.1:<port>`.
    #[must_use]
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// The next requests that `on` covers get these faults, one each; those after them are answered honestly.
    /// Orders add up: a request takes one fault from every order that covers it.
    pub fn order(&self, on: On, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.orders).queue(on, faults);
    }

    /// Every request that `on` covers gets this fault, until [`behave`](Self::behave).
    pub fn order_always(&self, on: On, fault: Fault) {
        lock(&self.shared.orders).always(on, fault);
    }

    /// HEAD is 405 everywhere.
    pub fn refuse_head(&self) {
        self.order_always(On::head("/"), Fault::bare(405, &[]));
    }

    /// Withdraws every order.
    pub fn behave(&self) {
        lock(&self.shared.orders).clear();
    }

    /// How many queued faults no request has met yet: a test that ends with some did not test them.
    #[must_use]
    pub fn orders_left(&self) -> usize {
        lock(&self.shared.orders).left()
    }

    /// Every request since the start or the last [`forget_requests`](Self::forget_requests), in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// Forgets what was asked so far, so that counts start anew. No answer may be under way.
    ///
    /// # Panics
    /// When one is.
    pub fn forget_requests(&self) {
        self.shared.seen.send_modify(|seen| {
            assert!(seen.iter().all(|seen| seen.ended), "an answer is under way");
            seen.clear();
        });
    }

    /// How often `method` came for exactly `path`.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.shared
            .seen
            .borrow()
            .iter()
            .filter(|seen| seen.method == method && seen.path == path)
            .count()
    }

    /// Bytes of bodies handed to the socket for `path`, over all requests.
    #[must_use]
    pub fn bytes_sent(&self, path: &str) -> u64 {
        self.shared
            .seen
            .borrow()
            .iter()
            .filter(|seen| seen.path == path)
            .map(|seen| seen.body_bytes_sent)
            .sum()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// Waits until the requests seen so far satisfy `enough`.
    ///
    /// # Panics
    /// When they did not within [`PATIENCE`](crate::PATIENCE).
    pub async fn until(&self, mut enough: impl FnMut(&[Seen]) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen)))
            .await
            .map(drop);
        if waited.is_err() {
            panic!("not seen in time; there was: {:#?}", self.requests());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.task.abort();
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let number = *shared.connections.borrow();
                shared.connections.send_modify(|count| *count += 1);
                open.spawn(converse(Arc::clone(&shared), stream, number));
            }
            Some(_) = open.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    open.shutdown().await;
}

async fn converse(shared: Arc<Shared>, mut stream: TcpStream, connection: usize) {
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::new();
    while let Some(request) = Request::read(&mut stream, &mut buffer).await {
        let faults = lock(&shared.orders).draw(&request);
        let record = Record::new(&shared, &request, connection);
        let closes = request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !matches!(
            respond(&shared, &mut stream, &request, &faults, &record).await,
            Ok(true)
        ) || closes
        {
            return;
        }
    }
}

async fn respond(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    faults: &[Fault],
    record: &Record,
) -> std::io::Result<bool> {
    for fault in faults {
        match fault {
            Fault::Reset => return stream.set_zero_linger().map(|()| false),
            Fault::HangBeforeHeaders => unless_gone(stream, std::future::pending()).await?,
            Fault::HoldHeaders(gate) => unless_gone(stream, gate.pass()).await?,
            Fault::SlowHeaders(time) => unless_gone(stream, tokio::time::sleep(*time)).await?,
            _ => {}
        }
    }
    let answer = shared
        .site
        .answer(request, &shared.address.to_string(), faults);
    record.note(|seen| seen.status = answer.status);
    let mut sent = |bytes| record.note(|seen| seen.body_bytes_sent += bytes);
    Delivery::of(faults)
        .send(stream, &answer, request.method == "HEAD", &mut sent)
        .await
}

/// The entry of one request, ended when this is dropped.
struct Record {
    shared: Arc<Shared>,
    at: usize,
}

impl Record {
    fn new(shared: &Arc<Shared>, request: &Request, connection: usize) -> Self {
        let mut at = 0;
        let Request {
            method,
            path,
            query,
            headers,
            body,
        } = request.clone();
        shared.seen.send_modify(|seen| {
            at = seen.len();
            seen.push(Seen {
                method,
                path,
                query,
                headers,
                body,
                status: 0,
                body_bytes_sent: 0,
                ended: false,
                connection,
            });
        });
        Self {
            shared: Arc::clone(shared),
            at,
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.shared
            .seen
            .send_modify(|seen| change(&mut seen[self.at]));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.note(|seen| seen.ended = true);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds a lock")
}

//! Connections of clients: accepted, limited, served over HTTP/1.1 and drained. Knows nothing of what is served.
//!
//! What hyper does not limit by itself is limited here: a client that sends nothing, sends its request too slowly or
//! does not read what it asked for is closed, and a drain ends in time whatever clients do.
//!
//! *A place for sendfile.* Every byte for a client passes `Stream`'s `poll_write` and `poll_write_vectored`, which own
//! the socket. A body whose file is still to be sent can hand hyper a buffer that stands for a piece of that file, and
//! the stream, told of it through the `Activity` it shares with the service, can send the piece by `sendfile(2)` in
//! the place of the buffer.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod activity;
mod stream;
#[cfg(test)]
mod tests;
pub mod tls;

use activity::{Activity, Watched};
use stream::Stream;
use tls::Tls;

/// How long clients may take, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time; more wait in the kernel's queue.
    pub connections_max: usize,
    /// From the first byte of a request to the end of its headers, and from the connection to that byte.
    pub head: Duration,
    /// From the end of an answer to the next request on the same connection.
    pub idle: Duration,
    /// How long a client may read nothing of what is there for it.
    pub stall: Duration,
    /// At shutdown: how long connections and requests are still accepted, so that a load balancer can notice.
    pub accept_while_draining: Duration,
    /// At shutdown: after that, how long answers under way may go on.
    pub answer_while_draining: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: crate::config::CONNECTIONS_MAX_DEFAULT,
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            accept_while_draining: Duration::from_secs(5),
            answer_while_draining: Duration::from_secs(25),
        }
    }
}

/// A listener, and what it does with the connections to it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            listener,
            limits,
            tls: None,
        })
    }

    /// Serves TLS alone: HTTP in plain is refused with 400.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is cancelled and everything is drained: for a while connections are still accepted, then
    /// the listener and idle connections are closed, answers under way go on for a while, and what is left is cut.
    ///
    /// `service` makes the service of each connection, given the client's address.
    pub async fn serve<M, S, B>(self, service: M, shutdown: CancellationToken)
    where
        M: Fn(SocketAddr) -> S,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Self {
            listener,
            limits,
            tls,
        } = self;
        let connections = TaskTracker::new();
        let drain = Drain::default();
        let accepting = accept_all(&listener, limits.connections_max, |stream, peer, permit| {
            let (service, drain, tls) = (service(peer), drain.clone(), tls.clone());
            connections.spawn(async move {
                connection(stream, peer, tls, service, limits, drain).await;
                drop(permit);
            });
        });
        {
            let mut accepting = pin!(accepting);
            tokio::select! {
                () = &mut accepting => {}
                () = shutdown.cancelled() => {}
            }
            // A timeout is the plan here: it ends the accepting.
            let _ = timeout(limits.accept_while_draining, accepting).await;
        }
        drop(listener);
        drain.finish.cancel();
        connections.close();
        if timeout(limits.answer_while_draining, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = connections.len(),
                "cutting what has not ended in time"
            );
            drain.cut.cancel();
            connections.wait().await;
        }
    }
}

/// The two steps of a drain, as connections see them.
#[derive(Debug, Clone, Default)]
struct Drain {
    /// End after the answer under way.
    finish: CancellationToken,
    /// End now.
    cut: CancellationToken,
}

/// Accepts without end; errors of the listener pass.
async fn accept_all(
    listener: &TcpListener,
    connections_max: usize,
    accepted: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let permits = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => accepted(stream, peer, permit),
            Err(error) => {
                if let Some(pause) = accept_pause(&error) {
                    tracing::warn!(%error, "cannot accept a connection, trying again");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// How long to leave the listener alone after this error. `None` for errors of the one connection that was to be
/// accepted; others, such as having no file descriptor left, would come back at once.
fn accept_pause(error: &io::Error) -> Option<Duration> {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionRefused => None,
        _ => Some(ACCEPT_PAUSE),
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    service: S,
    limits: Limits,
    drain: Drain,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // Answers are written in large pieces; waiting to fill a packet only delays their last ones.
    let _ = stream.set_nodelay(true);
    let first = tokio::select! {
        first = first_byte(&stream, limits.head) => first,
        () = drain.finish.cancelled() => None,
    };
    match (first, tls) {
        (None, _) => {}
        (Some(TLS_HANDSHAKE), Some(tls)) => {
            let handshake = TlsAcceptor::from(tls.config()).accept(stream);
            match timeout(limits.head, handshake).await {
                Ok(Ok(stream)) => serve_http(stream, peer, service, limits, drain).await,
                Ok(Err(error)) if tls::is_worth_logging(&error) => {
                    tracing::info!(%peer, %error, "refused a TLS handshake");
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake ended"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        }
        (Some(TLS_HANDSHAKE), None) => {
            tracing::debug!(%peer, "refused TLS on a plain port");
            refuse_tls(stream).await;
        }
        (Some(_), Some(_)) => {
            tracing::debug!(%peer, "refused plain HTTP on a TLS port");
            refuse_plain(stream).await;
        }
        (Some(_), None) => serve_http(stream, peer, service, limits, drain).await,
    }
}

async fn serve_http<T, S, B>(stream: T, peer: SocketAddr, service: S, limits: Limits, drain: Drain)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let activity = Arc::new(Activity::default());
    let stream = Stream::new(stream, Arc::clone(&activity), limits.head, limits.stall);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Runs from the end of the last answer; `Stream` sees to it that the headers themselves come in time.
        .header_read_timeout(limits.idle)
        .half_close(false)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let mut serving =
        pin!(builder.serve_connection(TokioIo::new(stream), Watched::new(service, activity)));
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = drain.finish.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = drain.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = &error as &dyn StdError, "connection ended");
    }
}

/// The first byte a client sends, which stays where it is; `None` if there is none in time.
async fn first_byte(stream: &TcpStream, within: Duration) -> Option<u8> {
    let mut byte = [0];
    match timeout(within, stream.peek(&mut byte)).await {
        Ok(Ok(1)) => byte.first().copied(),
        _ => None,
    }
}

/// Says in plain HTTP that there is no TLS here. A bare close would do for most, but the fall-back of Go's clients from
/// https to http, containerd's among them, is made on this very answer. The ClientHello is read first: closing a socket
/// with unread bytes resets the connection, and the answer would be lost.
async fn refuse_tls(mut stream: TcpStream) {
    let refused = async {
        let mut record = [0; 5];
        stream.read_exact(&mut record).await?;
        let length = u64::from(u16::from_be_bytes([record[3], record[4]]));
        let mut rest = (&mut stream).take(length);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        stream.write_all(PLAIN_HTTP_HERE).await?;
        stream.shutdown().await
    };
    // Whatever it came to, the connection ends here.
    let _ = timeout(REFUSE_TLS_WITHIN, refused).await;
}

/// Says that there is only TLS here, as Go's servers do. What the client sent is read first, see [`refuse_tls`].
async fn refuse_plain(mut stream: TcpStream) {
    let refused = async {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await?;
        stream.write_all(ONLY_TLS_HERE).await?;
        stream.shutdown().await
    };
    // Whatever it came to, the connection ends here.
    let _ = timeout(REFUSE_TLS_WITHIN, refused).await;
}

/// Request line and headers together. Room for the thousand ranges of a partial pull, so that it gets an answer.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// After an error that is not the fault of one connection, mostly no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The type of the record that every TLS connection starts with (RFC 8446 §5.1). No HTTP method has it.
const TLS_HANDSHAKE: u8 = 0x16;

const REFUSE_TLS_WITHIN: Duration = Duration::from_millis(50);

const PLAIN_HTTP_HERE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 33\r\nconnection: close\r\n\r\nTLS was sent to a plain HTTP port";

const ONLY_TLS_HERE: &[u8] = b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

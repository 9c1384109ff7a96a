//! Connections below TLS.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Opens connections to addresses that were checked.
pub trait Connect: Send + Sync + fmt::Debug {
    /// A connection to `address`. The client sets the deadline.
    fn connect(&self, address: SocketAddr) -> Connecting;
}

/// A connection being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// The connection was idle and is used again: from now on it fails within `limit` if what is sent is not
    /// acknowledged. Without effect where that cannot be had.
    fn set_unacknowledged_max(&self, limit: Duration) {
        let _ = limit;
    }
}

/// TCP.
#[derive(Debug, Default)]
pub(crate) struct Tcp;

struct Connection(TcpStream);

impl Connect for Tcp {
    fn connect(&self, address: SocketAddr) -> Connecting {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE)
                .with_interval(KEEPALIVE)
                .with_retries(3);
            // Without it a dead connection is found later.
            let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
            let connection = Connection(stream);
            connection.set_unacknowledged_max(UNACKNOWLEDGED_MAX);
            Ok(Box::new(connection) as Box<dyn Stream>)
        })
    }
}

impl Stream for Connection {
    fn set_unacknowledged_max(&self, limit: Duration) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&self.0).set_tcp_user_timeout(Some(limit));
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// How long an idle connection is silent before it is probed.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

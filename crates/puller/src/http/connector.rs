//! Connections below TLS.

use std::{fmt, io, net::SocketAddr, pin::Pin, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
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
            stream.set_unacknowledged_max(UNACKNOWLEDGED_MAX);
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Stream for TcpStream {
    fn set_unacknowledged_max(&self, limit: Duration) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(self).set_tcp_user_timeout(Some(limit));
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
    }
}

/// In memory, for tests.
impl Stream for DuplexStream {}

/// How long an idle connection is silent before it is probed.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

//! The bytes of a connection, encrypted or not.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::connector::Stream;

/// A connection that can be marked as used again.
pub(super) struct Io {
    inner: Box<dyn Stream>,
    reused: Reused,
}

/// Set when an idle connection is used again: what is written next must be acknowledged soon.
#[derive(Debug, Clone, Default)]
pub(super) struct Reused(Arc<AtomicBool>);

struct Encrypted(TlsStream<Io>);

impl Io {
    pub(super) fn new(inner: Box<dyn Stream>) -> Self {
        Self {
            inner,
            reused: Reused::default(),
        }
    }

    pub(super) fn encrypted(stream: TlsStream<Self>) -> Self {
        Self::new(Box::new(Encrypted(stream)))
    }

    pub(super) fn reused(&self) -> Reused {
        self.reused.clone()
    }
}

impl Reused {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stream for Encrypted {
    fn set_unacknowledged_max(&self, limit: Duration) {
        let (io, _) = self.0.get_ref();
        io.inner.set_unacknowledged_max(limit);
    }
}

macro_rules! delegate {
    ($stream:ty, $inner:tt) => {
        impl AsyncRead for $stream {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_read(cx, buf)
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.before_write();
                Pin::new(&mut self.$inner).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.before_write();
                Pin::new(&mut self.$inner).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$inner.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

impl Io {
    fn before_write(&self) {
        if self.reused.0.swap(false, Ordering::Relaxed) {
            self.inner.set_unacknowledged_max(UNACKNOWLEDGED_MAX);
        }
    }
}

impl Encrypted {
    fn before_write(&self) {}
}

delegate!(Io, inner);
delegate!(Encrypted, 0);

/// Within this, the packets of a connection that is alive have been acknowledged, once or twice repeated.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_millis(700);

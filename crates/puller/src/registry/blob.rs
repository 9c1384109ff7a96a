//! A blob that is verified while it is read.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use longshore_reference::{Digest, Verifier};
use tokio::io::{AsyncRead, ReadBuf};

use crate::{Download, Error, error::Fault};

/// The bytes of a whole blob, verified: the last chunk is withheld until the digest of all of them is right. If it is
/// not, the stream ends with an error and what came before it is worth nothing.
///
/// It is a [`Stream`] of chunks and an [`AsyncRead`]; use one of the two.
pub struct Blob {
    size: Option<u64>,
    chunks: BoxStream<'static, Result<Bytes, Error>>,
    /// What was read from `chunks` and does not fit into the reader's buffer.
    left: Bytes,
}

struct Verified {
    download: Download,
    /// `None` at the end.
    verifier: Option<Verifier>,
    /// The chunk that is withheld.
    held: Option<Bytes>,
}

impl Blob {
    pub(crate) fn new(download: Download, digest: Digest) -> Self {
        let size = download.size();
        let verified = Verified {
            download,
            verifier: Some(Verifier::new(digest)),
            held: None,
        };
        let next = |mut verified: Verified| async {
            let chunk = verified.next().await.transpose()?;
            Some((chunk, verified))
        };
        Self {
            size,
            chunks: stream::unfold(verified, next).boxed(),
            left: Bytes::new(),
        }
    }

    /// The size in bytes as the registry stated it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

impl Verified {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(verifier) = &mut self.verifier else {
                return Ok(None);
            };
            match self.download.chunk().await {
                Ok(Some(chunk)) => {
                    verifier.update(&chunk);
                    if let Some(before) = self.held.replace(chunk) {
                        return Ok(Some(before));
                    }
                }
                Ok(None) => {
                    if self.verifier.take().is_some_and(Verifier::verify) {
                        return Ok(self.held.take());
                    }
                    self.download.distrust();
                    return Err(Error::misbehaved(self.download.endpoint(), Fault::Digest));
                }
                Err(error) => {
                    self.verifier = None;
                    return Err(error);
                }
            }
        }
    }
}

impl Stream for Blob {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(cx)
    }
}

impl AsyncRead for Blob {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.chunks.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => self.left = chunk,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(self.left.get(..count).unwrap_or_default());
        self.left.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

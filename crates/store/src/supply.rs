//! Where a fill's bytes come from: what can be salvaged, the bucket, upstream.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Fuse};
use futures_util::{FutureExt, StreamExt};
use tokio::task::spawn_blocking;

use crate::error::{Error, Refusal};
use crate::fill::Job;
use crate::remote::BlobAsk;

/// Bytes that are written at once: 512 KiB. One batch is written while the next one arrives.
const BATCH_BYTES: usize = 512 << 10;

/// A kept file whose first bytes can still be used.
#[derive(Clone, Debug)]
pub(crate) struct Salvage {
    pub(crate) file: Arc<File>,
    /// Bytes from the start that were read before it failed.
    pub(crate) len: u64,
}

/// Where bytes come from, the nearest first. When one fails half-way the next goes on from there.
pub(crate) enum Supply {
    Salvaged,
    Bucket,
    Upstream {
        distrust: Box<dyn FnOnce() + Send + Sync>,
    },
}

/// How one supply ended.
pub(crate) enum Ended {
    Done,
    Refused(Refusal),
    /// It brought more bytes than the blob has.
    TooLong,
}

/// Bytes on their way.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Refusal>>;

impl Job {
    /// Before content that is held is given to a repository of which no record says that it has it, upstream is asked.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        if self.known.is_none() {
            self.store.ask_has(&self.request).await?;
        }
        Ok(())
    }

    /// The size that is recorded.
    pub(crate) fn known_size(&self) -> Option<u64> {
        self.known.as_ref()?.size
    }

    pub(crate) async fn first_supply(&self) -> Result<(Supply, Option<u64>, Chunks), Error> {
        if let Some(salvage) = self.salvage.clone() {
            return Ok((Supply::Salvaged, None, salvaged(salvage)));
        }
        let digest = self.fill.digest();
        if let Some(bucket) = self
            .store
            .bucket
            .as_ref()
            .filter(|_| !self.store.distrusts(&digest))
            && let Some((size, chunks)) = bucket.open_blob(&digest).await
        {
            self.confirm().await?;
            return Ok((Supply::Bucket, Some(size), chunks));
        }
        self.ask_upstream(0, self.known_size()).await
    }

    pub(crate) async fn ask_upstream(
        &self,
        start: u64,
        size: Option<u64>,
    ) -> Result<(Supply, Option<u64>, Chunks), Error> {
        let origin = self.known.as_ref().and_then(|known| known.origin.as_ref());
        let ask = BlobAsk {
            start,
            size,
            origin,
            ..BlobAsk::whole(&self.request.target)
        };
        let source = self.request.remote.blob(ask).await?;
        let supply = Supply::Upstream {
            distrust: source.distrust,
        };
        Ok((supply, source.size, source.chunks))
    }
}

/// Waits for a chunk, then takes with it what is there already. Empty at the end.
pub(crate) async fn next_batch(chunks: &mut Fuse<Chunks>) -> Result<Vec<Bytes>, Refusal> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut next = chunks.next().await;
    while let Some(chunk) = next.transpose()? {
        bytes += chunk.len();
        if !chunk.is_empty() {
            batch.push(chunk);
        }
        if bytes >= BATCH_BYTES {
            break;
        }
        next = if batch.is_empty() {
            chunks.next().await
        } else {
            match chunks.next().now_or_never() {
                Some(ready) => ready,
                None => break,
            }
        };
    }
    Ok(batch)
}

/// The bytes of a kept file that could be read, for as long as they still can.
fn salvaged(salvage: Salvage) -> Chunks {
    futures_util::stream::unfold((salvage, 0), |(salvage, at)| async move {
        let want = usize::try_from(salvage.len - at)
            .unwrap_or(BATCH_BYTES)
            .min(BATCH_BYTES);
        let file = Arc::clone(&salvage.file);
        let read = spawn_blocking(move || {
            let mut buffer = BytesMut::zeroed(want);
            let len = file.read_at(&mut buffer, at)?;
            buffer.truncate(len);
            io::Result::Ok(buffer.freeze())
        });
        // A failure here only means that upstream goes on earlier.
        match read.await {
            Ok(Ok(bytes)) if !bytes.is_empty() => {
                let at = at + bytes.len() as u64;
                Some((Ok(bytes), (salvage, at)))
            }
            _ => None,
        }
    })
    .boxed()
}

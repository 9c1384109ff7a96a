//! Where a fill's bytes come from, as streams: what can be salvaged of a file, the bucket, upstream.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Fuse};
use futures_util::{FutureExt, StreamExt};
use tokio::task::spawn_blocking;

use crate::error::Refusal;

/// Bytes that are written at once: 512 KiB. One batch is written while the next one arrives.
const BATCH_BYTES: usize = 512 << 10;

/// A kept file whose first bytes can still be used.
#[derive(Clone, Debug)]
pub(crate) struct Salvage {
    pub(crate) file: Arc<File>,
    /// Bytes from the start that were read before it failed.
    pub(crate) len: u64,
}

/// What to call when the bytes turn out wrong, of all sources of a fill. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Distrusts(Arc<Mutex<Vec<Distrust>>>);

type Distrust = Box<dyn FnOnce() + Send + Sync>;

impl Distrusts {
    pub(crate) fn push(&self, distrust: Distrust) {
        self.lock().push(distrust);
    }

    /// The bytes are wrong.
    pub(crate) fn call(&self) {
        let distrusts = std::mem::take(&mut *self.lock());
        distrusts.into_iter().for_each(|distrust| distrust());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Distrust>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes on their way.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Refusal>>;

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
pub(crate) fn salvaged(salvage: Salvage) -> Chunks {
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

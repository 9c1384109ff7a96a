//! The hash of a fill follows the bytes that came without a gap.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use longshore_reference::Algorithm;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::fill::progress::Progress;
use crate::ingest::{Hashed, Hashing};

/// Bytes that are read back and hashed at once: 1 MiB.
const READ_BYTES: usize = 1 << 20;

/// Bytes that were just written at the front: hashed from memory where the hash keeps up.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) start: u64,
    pub(crate) chunks: Arc<Vec<Bytes>>,
}

/// Hashes all bytes of a fill; ends when as many are hashed as came.
pub(crate) async fn hash(
    algorithm: Algorithm,
    file: Arc<File>,
    mut progress: watch::Receiver<Progress>,
    mut recent: mpsc::Receiver<Batch>,
    tracker: TaskTracker,
) -> io::Result<Hashed> {
    let mut hashing = Hashing::new(algorithm);
    let mut batch: Option<Batch> = None;
    loop {
        let at = hashing.len();
        let (landed, len) = {
            let progress = progress.borrow_and_update();
            (progress.landed.end_from(at), progress.len)
        };
        if len.is_some_and(|len| at >= len) {
            return Ok(hashing.finish());
        }
        if landed == at {
            let changed = progress.changed().await;
            changed.map_err(|_| io::Error::from(io::ErrorKind::Interrupted))?;
            continue;
        }
        while batch.as_ref().is_none_or(|batch| batch.start < at) {
            match recent.try_recv() {
                Ok(next) => batch = Some(next),
                Err(_) => {
                    batch = None;
                    break;
                }
            }
        }
        let (file, until) = (Arc::clone(&file), batch.as_ref().map(|batch| batch.start));
        let from_memory = batch.take_if(|batch| batch.start == at);
        let end = landed.min(until.filter(|until| *until > at).unwrap_or(landed));
        let hashed = tracker.spawn_blocking(move || {
            match from_memory {
                Some(batch) => batch.chunks.iter().for_each(|chunk| hashing.update(chunk)),
                None => read_back(&mut hashing, &file, end)?,
            }
            io::Result::Ok(hashing)
        });
        hashing = hashed.await.map_err(io::Error::other)??;
    }
}

/// Hashes bytes of the file up to `end`, a piece of them.
fn read_back(hashing: &mut Hashing, file: &File, end: u64) -> io::Result<()> {
    let want = usize::try_from(end - hashing.len()).unwrap_or(READ_BYTES);
    let mut buffer = vec![0; want.min(READ_BYTES)];
    file.read_exact_at(&mut buffer, hashing.len())?;
    hashing.update(&buffer);
    Ok(())
}

//! Reads a file in chunks: buffers that come back, a size that fits the number of readers.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::spawn_blocking;

/// Anonymous memory that the chunks of all readers together aim at: 8 MiB. A reader has at most two chunks out.
const BUDGET_BYTES: usize = 8 << 20;
/// Chunks are never smaller: 16 KiB. Below it the cost of a call outweighs the bytes.
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// Chunks are never larger: 1 MiB. Above it nothing gets faster.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Counts the readers, and divides the budget among them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn chunk_bytes(&self) -> usize {
        let readers = self.0.load(Ordering::Relaxed).max(1);
        let share = (BUDGET_BYTES / readers).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        // Powers of two, so that buffers keep their size while readers come and go.
        1 << share.ilog2()
    }

    /// A reader of a file's chunks.
    pub(crate) fn reader(&self) -> Chunks {
        self.0.fetch_add(1, Ordering::Relaxed);
        Chunks {
            budget: self.clone(),
            spare: Arc::default(),
        }
    }
}

/// Reads chunks at offsets, reusing its buffers.
#[derive(Debug)]
pub(crate) struct Chunks {
    budget: Budget,
    spare: Arc<Spare>,
}

/// Buffers that were sent and come back.
type Spare = Mutex<Vec<Vec<u8>>>;

impl Chunks {
    /// Reads at most `limit` bytes at `offset`; fewer when a chunk is smaller, none only at the end of the file.
    ///
    /// What is in the page cache is read here and now; only what must come from the disk costs a change of thread.
    pub(crate) async fn read(
        &self,
        file: &Arc<File>,
        offset: u64,
        limit: u64,
    ) -> io::Result<Bytes> {
        let want = self.budget.chunk_bytes();
        let mut buffer = self.buffer(want);
        let wanted = usize::try_from(limit).unwrap_or(want).min(want);
        let (buffer, len) =
            match read_cached(file, buffer.get_mut(..wanted).unwrap_or_default(), offset) {
                Some(len) => (buffer, len),
                None => {
                    let file = Arc::clone(file);
                    spawn_blocking(move || {
                        let read =
                            file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), offset)?;
                        io::Result::Ok((buffer, read))
                    })
                    .await
                    .map_err(io::Error::other)??
                }
            };
        Ok(Bytes::from_owner(Chunk {
            buffer,
            len,
            home: Arc::clone(&self.spare),
        }))
    }

    fn buffer(&self, bytes: usize) -> Vec<u8> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        match spare.pop() {
            Some(buffer) if buffer.len() == bytes => buffer,
            _ => {
                spare.clear();
                vec![0; bytes]
            }
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads what the page cache holds; `None` when the disk would have to be waited for, or cannot say.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(
        file,
        &mut [IoSliceMut::new(buffer)],
        offset,
        ReadWriteFlags::NOWAIT,
    )
    .ok()
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}

/// A buffer on its way to a socket; it goes home when the last slice of it is dropped.
struct Chunk {
    buffer: Vec<u8>,
    len: usize,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut spare = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_empty() {
            spare.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn reads_what_is_there_and_reuses_its_buffer() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = Arc::new(file);
        let budget = Budget::default();
        let chunks = budget.reader();
        let first = chunks.read(&file, 2, 3).await.unwrap();
        assert_eq!(first, "234");
        let place = first.as_ptr();
        drop(first);
        let second = chunks.read(&file, 5, 100).await.unwrap();
        assert_eq!(second, "56789");
        assert_eq!(second.as_ptr(), place);
        assert!(chunks.read(&file, 10, 100).await.unwrap().is_empty());
    }

    #[test]
    fn the_budget_is_divided() {
        let budget = Budget::default();
        assert_eq!(budget.chunk_bytes(), CHUNK_BYTES_MAX);
        let readers: Vec<_> = (0..100).map(|_| budget.reader()).collect();
        assert_eq!(budget.chunk_bytes(), 64 << 10);
        drop(readers);
        let readers: Vec<_> = (0..5000).map(|_| budget.reader()).collect();
        assert_eq!(budget.chunk_bytes(), CHUNK_BYTES_MIN);
        drop(readers);
        assert_eq!(budget.chunk_bytes(), CHUNK_BYTES_MAX);
    }
}

//! One connection of a fill: it writes its bytes where they belong, until it is stopped or its source ends.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::error::Refusal;
use crate::fill::Fill;
use crate::fill::front::Batch;
use crate::fill::plan::Connection;
use crate::fill::sources::{Chunks, next_batch};
use crate::ingest::Ingest;

/// What all connections of a fill write to.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) fill: Arc<Fill>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) recent: mpsc::Sender<Batch>,
    pub(crate) tracker: TaskTracker,
    /// Bytes that came.
    pub(crate) received: AtomicU64,
}

/// A connection: its place, which the fill may change while it runs.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: u64,
    pub(crate) start: u64,
    /// It only speeds the fill up.
    pub(crate) further: bool,
    /// Its bytes come from upstream.
    pub(crate) upstream: bool,
    place: Mutex<Place>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    end: u64,
    reach: u64,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was stopped, or its source has no more.
    Done,
    /// Its source failed.
    Refused(Refusal),
    /// Its source brought more than it announced.
    TooLong,
    /// Its source does not serve ranges, or says different things of the same blob.
    NoRanges,
    /// The disk failed.
    NotWritten(io::Error),
}

impl Lane {
    pub(crate) fn new(id: u64, start: u64, (end, reach): (u64, u64), further: bool) -> Self {
        Self {
            id,
            start,
            further,
            upstream: true,
            place: Mutex::new(Place {
                at: start,
                end,
                reach,
            }),
            changed: Notify::new(),
        }
    }

    /// What it has yet to bring.
    pub(crate) fn connection(&self) -> Connection {
        let Place { at, end, reach } = *self.place();
        Connection {
            id: self.id,
            at,
            end,
            reach,
        }
    }

    /// Stops it at a byte, or at the next one to come if that is further. Returns where.
    pub(crate) fn stop_at(&self, end: u64) -> u64 {
        let mut place = self.place();
        place.end = end.max(place.at).min(place.end);
        let end = place.end;
        drop(place);
        self.changed.notify_one();
        end
    }

    /// Lets it go on to a byte, unless it has ended.
    pub(crate) fn extend_to(&self, end: u64) {
        let mut place = self.place();
        if place.at < place.end {
            place.end = end.max(place.end);
        }
    }

    /// Takes the bytes that are its to bring; returns where they belong.
    fn claim(&self, chunks: &mut Vec<Bytes>) -> u64 {
        let mut place = self.place();
        let start = place.at;
        let mut left = place.end - place.at;
        for chunk in chunks.iter_mut() {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= chunk.len() as u64;
        }
        chunks.retain(|chunk| !chunk.is_empty());
        place.at = place.end - left;
        start
    }

    fn is_full(&self) -> bool {
        let place = self.place();
        place.at >= place.end
    }

    async fn full(&self) {
        while !self.is_full() {
            self.changed.notified().await;
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a source's bytes until it or the connection's place ends. What was written stays good when it ends badly.
///
/// Receiving and writing go on at once, a batch apart. `size` is what the source announced.
pub(crate) async fn pump(
    lane: &Lane,
    chunks: Chunks,
    sink: &Arc<Sink>,
    size: Option<u64>,
) -> Ended {
    let mut chunks = chunks.fuse();
    let mut writing: Option<JoinHandle<io::Result<()>>> = None;
    loop {
        let batch = tokio::select! {
            biased;
            () = lane.full() => None,
            batch = next_batch(&mut chunks) => Some(batch),
        };
        if let Some(Err(cause)) = written(writing.take()).await {
            return Ended::NotWritten(cause);
        }
        let mut batch = match batch {
            None => return Ended::Done,
            Some(Err(refusal)) => return Ended::Refused(refusal),
            Some(Ok(batch)) if batch.is_empty() => return Ended::Done,
            Some(Ok(batch)) => batch,
        };
        let came = batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let start = lane.connection().at;
        if size.is_some_and(|size| start + came > size) {
            return Ended::TooLong;
        }
        let start = lane.claim(&mut batch);
        if batch.is_empty() {
            continue;
        }
        sink.received.fetch_add(came, Ordering::Relaxed);
        let to = Arc::clone(sink);
        writing = Some(sink.tracker.spawn_blocking(move || to.write(batch, start)));
    }
}

async fn written(writing: Option<JoinHandle<io::Result<()>>>) -> Option<io::Result<()>> {
    let written = writing?.await;
    Some(written.map_err(io::Error::other).and_then(|wrote| wrote))
}

impl Sink {
    /// Writes a batch, and tells readers and the hash.
    fn write(&self, batch: Vec<Bytes>, start: u64) -> io::Result<()> {
        self.ingest.write_at(&batch, start)?;
        let len = batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let at_front = self.fill.progress.borrow().landed.end_from(0) == start;
        if at_front {
            // Where the hash does not keep up it reads the file.
            let chunks = Arc::new(batch);
            drop(self.recent.try_send(Batch { start, chunks }));
        }
        self.fill
            .progress
            .send_modify(|progress| progress.landed.insert(start..start + len));
        Ok(())
    }
}

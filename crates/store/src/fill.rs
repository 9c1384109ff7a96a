//! A fill: a task of its own that brings a blob's bytes here once, whoever reads them and however fast.

mod connecting;
pub(crate) mod context;
pub(crate) mod engine;
mod extents;
mod first;
mod front;
mod growth;
pub(crate) mod job;
mod lane;
pub(crate) mod list;
mod plan;
pub(crate) mod progress;
pub(crate) mod sources;
mod transfer;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_reference::{Canonical, Digest};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::fill::plan::{ONE_CONNECTION_MAX, WINDOW};
use crate::fill::progress::{Phase, Progress};

/// A fill as its readers and the list of fills see it.
#[derive(Debug)]
pub(crate) struct Fill {
    /// The repository that asked first: upstream's answer to it says whether it has the blob, and nothing of others.
    pub(crate) canonical: Canonical,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) started: Instant,
    pub(crate) cancel: CancellationToken,
    /// Cancelled when the task has ended and its room on disk is free, or taken for good.
    pub(crate) released: CancellationToken,
    readers: AtomicUsize,
    /// Somebody got bytes of it.
    read: AtomicBool,
    wants: Mutex<Wants>,
    wanted: Notify,
}

/// What readers wait for far ahead of what lands, those that came first in front.
#[derive(Debug, Default)]
struct Wants {
    list: Vec<(u64, Range<u64>)>,
    next: u64,
}

/// A reader's hold on a fill: while there is none, the fill is the first to be given up.
#[derive(Debug)]
pub(crate) struct Follower(Arc<Fill>);

/// Bytes that a reader waits for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Want {
    fill: Arc<Fill>,
    id: u64,
}

impl Fill {
    pub(crate) fn new(canonical: Canonical) -> Arc<Self> {
        Arc::new(Self {
            canonical,
            progress: watch::Sender::new(Progress::new()),
            started: Instant::now(),
            cancel: CancellationToken::new(),
            released: CancellationToken::new(),
            readers: AtomicUsize::new(0),
            read: AtomicBool::new(false),
            wants: Mutex::default(),
            wanted: Notify::new(),
        })
    }

    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Follower(Arc::clone(self))
    }

    /// How many readers follow it.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    pub(crate) fn unread(&self) -> bool {
        self.readers.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn digest(&self) -> Digest {
        self.canonical.digest()
    }

    /// Whether a request may still join it: it was not given up, or has all it needs.
    pub(crate) fn can_be_joined(&self) -> bool {
        !self.cancel.is_cancelled() || matches!(self.progress.borrow().phase, Phase::Verified)
    }

    /// Bytes of it are about to be given out.
    pub(crate) fn mark_read(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// What readers wait for.
    fn wants(&self) -> Vec<Range<u64>> {
        let wants = self.wants_locked();
        wants.list.iter().map(|(_, range)| range.clone()).collect()
    }

    /// Waits until a reader wants something new.
    async fn wanted(&self) {
        self.wanted.notified().await;
    }

    fn wants_locked(&self) -> MutexGuard<'_, Wants> {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    pub(crate) fn fill(&self) -> &Arc<Fill> {
        &self.0
    }

    /// Asks for bytes that are further ahead than a reader waits for; `None` where they come soon enough.
    pub(crate) fn want(&self, range: Range<u64>) -> Option<Want> {
        let (landed, size) = {
            let progress = self.0.progress.borrow();
            (progress.landed.end_from(0), progress.size)
        };
        let window = match size {
            Some(size) if size > ONE_CONNECTION_MAX => WINDOW,
            // It is small, or may be.
            Some(_) | None => ONE_CONNECTION_MAX,
        };
        if range.start <= landed.saturating_add(window) {
            return None;
        }
        let mut wants = self.0.wants_locked();
        let id = wants.next;
        wants.next += 1;
        wants.list.push((id, range));
        drop(wants);
        self.0.wanted.notify_one();
        Some(Want {
            fill: Arc::clone(&self.0),
            id,
        })
    }

    /// Waits until headers can be answered. Returns what is known then.
    ///
    /// Where a descriptor claims another size than the source, one of them is wrong: nothing is answered before the
    /// digest decides.
    pub(crate) async fn answerable(&self, claimed: Option<u64>) -> Result<Progress, Error> {
        let doubtful = |progress: &Progress| {
            let size = progress.size.zip(claimed);
            size.is_some_and(|(size, claimed)| size != claimed)
        };
        self.wait_for(|progress| progress.ended() || (progress.answerable() && !doubtful(progress)))
            .await
    }

    /// Waits until the byte at this position can be read, or there is none.
    pub(crate) async fn reached(&self, position: u64) -> Result<(), Error> {
        self.wait_for(|progress| progress.ended() || progress.visible_from(position) > position)
            .await
            .map(|_| ())
    }

    async fn wait_for(&self, until: impl FnMut(&Progress) -> bool) -> Result<Progress, Error> {
        let mut watch = self.0.progress.subscribe();
        let progress = watch
            .wait_for(until)
            .await
            .map_err(|_| Error::GivenUp)?
            .clone();
        match progress.phase {
            Phase::Failed(error) => Err(error),
            Phase::Asking | Phase::Landing | Phase::Verified => Ok(progress),
        }
    }
}

impl Clone for Follower {
    fn clone(&self) -> Self {
        self.0.follow()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Want {
    fn drop(&mut self) {
        self.fill
            .wants_locked()
            .list
            .retain(|(id, _)| *id != self.id);
    }
}

//! One transfer a layer, however many pulls want it.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex},
};

use longshore_reference::Named;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::AbortHandle,
};

use super::{Error, Unpacked};
use crate::sync::lock;

/// Transfers under way, so many at once. Clones are the same.
///
/// A transfer is a task of its own, which every pull that wants the layer watches. It is cancelled when the last of them
/// stops to watch; whoever comes then waits for its end and starts a new one.
#[derive(Debug, Clone)]
pub struct Transfers(Arc<Shared>);

struct Shared {
    /// `None` for any number.
    slots: Option<Arc<Semaphore>>,
    running: Mutex<HashMap<Box<str>, Entry>>,
}

struct Entry {
    running: Arc<Running>,
    watchers: usize,
    abort: Option<AbortHandle>,
}

struct Running {
    /// Who began it.
    owner: Named,
    phase: watch::Sender<Phase>,
}

/// How far a transfer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Phase {
    /// It has begun.
    Begun,
    /// Others come first.
    Waiting,
    /// Bytes come.
    Downloading {
        /// Bytes so far.
        current: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// It is tried again in so many seconds.
    Retrying {
        /// Seconds.
        seconds: u32,
    },
    /// All bytes are there.
    Verifying,
    /// They are right, and kept.
    Downloaded,
    /// They are unpacked.
    Extracting {
        /// Bytes read so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It has ended.
    Finished(Result<Unpacked, Error>),
}

/// A transfer, as the task that carries it out sees it.
#[derive(Debug)]
pub struct Transfer {
    transfers: Transfers,
    key: Box<str>,
    running: Arc<Running>,
}

/// A pull's hold on a transfer.
#[derive(Debug)]
pub struct Watcher {
    transfers: Transfers,
    key: Box<str>,
    running: Arc<Running>,
    phase: watch::Receiver<Phase>,
}

impl Transfers {
    /// So many at once; 0 for any number.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        let slots = (at_once > 0).then(|| Arc::new(Semaphore::new(at_once)));
        Self(Arc::new(Shared {
            slots,
            running: Mutex::default(),
        }))
    }

    /// Watches the transfer with this key, and starts it where there is none. `owner` is the repository it is for.
    pub async fn watch<F>(
        &self,
        key: &str,
        owner: &Named,
        job: impl FnOnce(Arc<Transfer>) -> F,
    ) -> Watcher
    where
        F: Future<Output = Result<Unpacked, Error>> + Send + 'static,
    {
        loop {
            let mut ending = {
                let mut running = lock(&self.0.running);
                match running.get_mut(key) {
                    None => break,
                    Some(entry) if entry.watchers > 0 => {
                        entry.watchers += 1;
                        return self.watcher(key, Arc::clone(&entry.running));
                    }
                    Some(entry) => entry.running.phase.subscribe(),
                }
            };
            // Its task ends when it is next polled, and lets go of the sender then.
            while ending.changed().await.is_ok() {}
        }
        self.start(key, owner, job)
    }

    fn start<F>(&self, key: &str, owner: &Named, job: impl FnOnce(Arc<Transfer>) -> F) -> Watcher
    where
        F: Future<Output = Result<Unpacked, Error>> + Send + 'static,
    {
        let mut all = lock(&self.0.running);
        // Another may have started it since the look.
        if let Some(entry) = all.get_mut(key) {
            entry.watchers += 1;
            return self.watcher(key, Arc::clone(&entry.running));
        }
        let running = Arc::new(Running {
            owner: owner.clone(),
            phase: watch::Sender::new(Phase::Begun),
        });
        let transfer = Arc::new(Transfer {
            transfers: self.clone(),
            key: key.into(),
            running: Arc::clone(&running),
        });
        let work = job(Arc::clone(&transfer));
        all.insert(
            key.into(),
            Entry {
                running: Arc::clone(&running),
                watchers: 1,
                abort: None,
            },
        );
        let end = End(Arc::clone(&transfer));
        let task = tokio::spawn(async move {
            let _end = end;
            let finished = Phase::Finished(work.await);
            transfer.running.phase.send_replace(finished);
        });
        if let Some(entry) = all.get_mut(key) {
            entry.abort = Some(task.abort_handle());
        }
        drop(all);
        self.watcher(key, running)
    }

    fn watcher(&self, key: &str, running: Arc<Running>) -> Watcher {
        Watcher {
            transfers: self.clone(),
            key: key.into(),
            phase: running.phase.subscribe(),
            running,
        }
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0.running).len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Transfer {
    /// Waits for a slot. It is given back when the permit is dropped.
    pub async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slots = self.transfers.0.slots.as_ref()?;
        if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            return Some(permit);
        }
        self.report(Phase::Waiting);
        // The semaphore is never closed.
        Arc::clone(slots).acquire_owned().await.ok()
    }

    /// Tells whoever watches.
    pub fn report(&self, phase: Phase) {
        self.running.phase.send_replace(phase);
    }
}

/// Ends a transfer, however its task ends.
struct End(Arc<Transfer>);

impl Drop for End {
    fn drop(&mut self) {
        let Transfer {
            transfers,
            key,
            running,
        } = &*self.0;
        let mut all = lock(&transfers.0.running);
        if all
            .get(key)
            .is_some_and(|entry| Arc::ptr_eq(&entry.running, running))
        {
            all.remove(key);
        }
        drop(all);
        running.phase.send_if_modified(|phase| {
            let ended = matches!(phase, Phase::Finished(_));
            if !ended {
                *phase = Phase::Finished(Err(Error::Cancelled));
            }
            !ended
        });
    }
}

impl Watcher {
    /// The repository that the transfer was started for.
    #[must_use]
    pub fn owner(&self) -> &Named {
        &self.running.owner
    }

    /// The next change of its phase; whoever is slow sees the last one only. After [`Phase::Finished`] there is none.
    pub async fn next(&mut self) -> Phase {
        if self.phase.changed().await.is_err() {
            return Phase::Finished(Err(Error::Cancelled));
        }
        self.phase.borrow_and_update().clone()
    }

    /// Its phase now.
    #[must_use]
    pub fn now(&mut self) -> Phase {
        self.phase.borrow_and_update().clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut all = lock(&self.transfers.0.running);
        let Some(entry) = all.get_mut(&self.key) else {
            return;
        };
        if !Arc::ptr_eq(&entry.running, &self.running) {
            return;
        }
        entry.watchers = entry.watchers.saturating_sub(1);
        if entry.watchers == 0
            && let Some(abort) = &entry.abort
        {
            abort.abort();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.as_ref().map(|slots| slots.available_permits());
        f.debug_struct("Transfers")
            .field("running", &lock(&self.running).len())
            .field("slots", &slots)
            .finish()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("owner", &self.owner)
            .field("phase", &*self.phase.borrow())
            .finish()
    }
}

#[cfg(test)]
mod tests;

//! The fills in flight: one for each digest, as many as there are permits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_reference::{Canonical, Digest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;
use crate::fill::{Fill, Follower};

/// Fills by digest.
///
/// *Invariant*: a fill is in the map from before it asks anything until after its content is committed or given up.
#[derive(Debug)]
pub(crate) struct Fills {
    map: Mutex<HashMap<Digest, Arc<Fill>>>,
    permits: Arc<Semaphore>,
}

/// What a request is to a fill.
#[derive(Debug)]
pub(crate) enum Place {
    /// The first: it must start the fill's task.
    Leads(Follower),
    /// Another one came before.
    Joins(Follower),
}

impl Fills {
    pub(crate) fn new(fills_max: usize) -> Self {
        Self {
            map: Mutex::default(),
            permits: Arc::new(Semaphore::new(fills_max.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// Joins the fill of a digest, or becomes its leader.
    pub(crate) fn enter(&self, canonical: &Canonical) -> Place {
        let mut map = self.map();
        if let Some(fill) = map.get(&canonical.digest()) {
            return Place::Joins(fill.follow());
        }
        let fill = Fill::new(canonical.clone());
        let follower = fill.follow();
        map.insert(canonical.digest(), fill);
        Place::Leads(follower)
    }

    /// The fill of a digest, if one is in flight.
    pub(crate) fn find(&self, digest: &Digest) -> Option<Follower> {
        self.map().get(digest).map(Fill::follow)
    }

    /// Takes a fill off the list: it is committed, or has failed.
    pub(crate) fn forget(&self, fill: &Arc<Fill>) {
        let mut map = self.map();
        if map
            .get(&fill.digest())
            .is_some_and(|listed| Arc::ptr_eq(listed, fill))
        {
            map.remove(&fill.digest());
        }
    }

    /// A place among the fills. When all are taken, one that nobody reads is given up for it.
    pub(crate) async fn permit(&self, within: Duration) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        self.give_up_oldest(|_| true);
        match timeout(within, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }

    /// Gives up a fill that nobody reads, so that its room can be used. False when there is none but `but`.
    pub(crate) fn give_up_unread(&self, but: &Arc<Fill>) -> bool {
        self.give_up_oldest(|fill| !Arc::ptr_eq(fill, but))
    }

    /// Gives up all fills: the process ends.
    pub(crate) fn give_up_all(&self) {
        self.map().values().for_each(|fill| fill.cancel.cancel());
    }

    /// How many are in flight.
    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    fn give_up_oldest(&self, eligible: impl Fn(&Arc<Fill>) -> bool) -> bool {
        let map = self.map();
        let oldest = map
            .values()
            .filter(|fill| fill.unread() && !fill.cancel.is_cancelled() && eligible(fill))
            .min_by_key(|fill| fill.started);
        oldest.inspect(|fill| fill.cancel.cancel()).is_some()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Fill>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

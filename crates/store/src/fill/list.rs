//! The fills in flight: one for each digest, as many as there are permits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_reference::{Canonical, Digest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;
use crate::fill::{Fill, Follower};

/// Connections that only speed fills up, of all fills together.
const FURTHER_MAX: usize = 32;

/// Fills by digest.
///
/// *Invariant*: a fill is in the map from before it asks anything until after its content is committed or given up.
#[derive(Debug)]
pub(crate) struct Fills {
    map: Mutex<HashMap<Digest, Arc<Fill>>>,
    permits: Arc<Semaphore>,
    bypasses: Arc<Semaphore>,
    further: Arc<Semaphore>,
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
        let fills_max = fills_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            map: Mutex::default(),
            permits: Arc::new(Semaphore::new(fills_max)),
            bypasses: Arc::new(Semaphore::new(fills_max)),
            further: Arc::new(Semaphore::new(FURTHER_MAX)),
        }
    }

    /// Joins the fill of a digest, or becomes its leader. One that was given up is not joined but replaced.
    pub(crate) fn enter(&self, canonical: &Canonical) -> Place {
        let mut map = self.map();
        let listed = map.get(&canonical.digest());
        if let Some(fill) = listed.filter(|fill| fill.can_be_joined()) {
            return Place::Joins(fill.follow());
        }
        let fill = Fill::new(canonical.clone());
        let follower = fill.follow();
        map.insert(canonical.digest(), fill);
        Place::Leads(follower)
    }

    /// The fill of a digest, if one is in flight.
    pub(crate) fn find(&self, digest: &Digest) -> Option<Follower> {
        let map = self.map();
        let fill = map.get(digest).filter(|fill| fill.can_be_joined());
        fill.map(Fill::follow)
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
        drop(self.give_up_oldest(|_| true));
        acquire(&self.permits, within).await
    }

    /// A place among those who stream without keeping anything.
    pub(crate) async fn bypass(&self, within: Duration) -> Result<OwnedSemaphorePermit, Error> {
        acquire(&self.bypasses, within).await
    }

    /// A connection more, if there may be one.
    pub(crate) fn further(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.further).try_acquire_owned().ok()
    }

    /// Gives up a fill that nobody reads, and waits until its room on disk is free. False when there is none but `but`,
    /// or it takes too long.
    pub(crate) async fn make_room(&self, but: &Arc<Fill>, within: Duration) -> bool {
        let victim = self.give_up_oldest(|fill| !Arc::ptr_eq(fill, but));
        match victim {
            Some(victim) => timeout(within, victim.released.cancelled()).await.is_ok(),
            None => false,
        }
    }

    /// Gives up all fills: the process ends.
    pub(crate) fn give_up_all(&self) {
        self.map().values().for_each(|fill| fill.cancel.cancel());
    }

    /// How many are in flight.
    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    fn give_up_oldest(&self, eligible: impl Fn(&Arc<Fill>) -> bool) -> Option<Arc<Fill>> {
        let map = self.map();
        let oldest = map
            .values()
            .filter(|fill| fill.unread() && !fill.cancel.is_cancelled() && eligible(fill))
            .min_by_key(|fill| fill.started);
        oldest.inspect(|fill| fill.cancel.cancel()).map(Arc::clone)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Fill>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn acquire(
    permits: &Arc<Semaphore>,
    within: Duration,
) -> Result<OwnedSemaphorePermit, Error> {
    match timeout(within, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Error::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_reference::Named;

    fn canonical(bytes: &[u8]) -> Canonical {
        let named = Named::new("registry.example", "app").unwrap();
        Canonical::new(named, Digest::sha256(bytes))
    }

    #[test]
    fn a_fill_that_was_given_up_is_not_joined() {
        let fills = Fills::new(4);
        let Place::Leads(first) = fills.enter(&canonical(b"one")) else {
            panic!("nobody else is there");
        };
        let given_up = Arc::clone(first.fill());
        drop(first);
        assert!(fills.give_up_oldest(|_| true).is_some());
        assert!(fills.find(&given_up.digest()).is_none());
        let Place::Leads(second) = fills.enter(&canonical(b"one")) else {
            panic!("joined a fill that was given up");
        };
        // The end of the first one does not take the second one off the list.
        fills.forget(&given_up);
        assert!(fills.find(&second.fill().digest()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for() {
        let fills = Arc::new(Fills::new(4));
        let Place::Leads(one) = fills.enter(&canonical(b"one")) else {
            panic!("nobody else is there");
        };
        let Place::Leads(two) = fills.enter(&canonical(b"two")) else {
            panic!("nobody else is there");
        };
        let (victim, own) = (Arc::clone(one.fill()), Arc::clone(two.fill()));
        assert!(
            !fills.make_room(&own, Duration::from_secs(9)).await,
            "both are read"
        );
        drop(one);
        let waiting = tokio::spawn({
            let (fills, own) = (Arc::clone(&fills), Arc::clone(&own));
            async move { fills.make_room(&own, Duration::from_secs(9)).await }
        });
        victim.cancel.cancelled().await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "its file is still there");
        victim.released.cancel();
        assert!(waiting.await.unwrap());
    }
}

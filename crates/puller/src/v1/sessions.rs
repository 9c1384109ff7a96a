//! The sessions that are held with the indexes of v1 registries.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

use super::session::Session;
use crate::{http::Failure, sync::lock};

/// The sessions of an upstream, each for a few minutes, each opened once however many want it.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Mutex<HashMap<Key, Slot>>,
}

/// Index of the endpoint, and the repository.
type Key = (usize, String);

type Slot = Arc<OnceCell<Opened>>;

#[derive(Debug)]
struct Opened {
    result: Result<Arc<Session>, Failure>,
    /// A failure is for those alone who waited for it.
    until: Instant,
}

impl Sessions {
    fn slot(&self, index: usize, repository: &str) -> Slot {
        let now = Instant::now();
        let good = |slot: &Slot| slot.get().is_none_or(|opened| now < opened.until);
        let mut slots = lock(&self.slots);
        let key = (index, repository.to_owned());
        if let Some(slot) = slots.get(&key).filter(|slot| good(slot)) {
            return Arc::clone(slot);
        }
        if slots.len() >= SESSIONS_MAX {
            slots.retain(|_, slot| good(slot));
        }
        if slots.len() >= SESSIONS_MAX {
            slots.clear();
        }
        let slot = Slot::default();
        slots.insert(key, Arc::clone(&slot));
        slot
    }

    /// The session that is held, else the one that `open` brings; and whether it was held already.
    pub(super) async fn obtain(
        &self,
        index: usize,
        repository: &str,
        open: impl Future<Output = Result<Session, Failure>>,
    ) -> Result<(Arc<Session>, bool), Failure> {
        let slot = self.slot(index, repository);
        let held = slot.initialized();
        let open = || async {
            let result = open.await.map(Arc::new);
            let now = Instant::now();
            let until = result.as_ref().map_or(now, |_| now + KEPT_FOR);
            Opened { result, until }
        };
        let opened = slot.get_or_init(open).await;
        opened.result.clone().map(|session| (session, held))
    }

    /// Forgets this very session: another one may have taken its place.
    pub(crate) fn forget(&self, index: usize, repository: &str, session: &Arc<Session>) {
        let is_it = |slot: &Slot| {
            let opened = slot.get().and_then(|opened| opened.result.as_ref().ok());
            opened.is_some_and(|opened| Arc::ptr_eq(opened, session))
        };
        let mut slots = lock(&self.slots);
        let key = (index, repository.to_owned());
        if slots.get(&key).is_some_and(is_it) {
            slots.remove(&key);
        }
    }
}

const SESSIONS_MAX: usize = 256;
const KEPT_FOR: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, PrivateAddresses, classify::Role, endpoint::Contact, lookup::Version};

    #[tokio::test(start_paused = true)]
    async fn sessions_are_kept_for_minutes() {
        let contact = Contact::new(
            url::Url::parse("https://i.example/v1/").unwrap(),
            Version::V1,
            None,
            Role::Origin,
            None,
            &PrivateAddresses::default(),
        );
        let sessions = Sessions::default();
        let open = || async { Ok(Session::new(&contact, None)) };
        let held = async |index, repository| {
            let obtained = sessions.obtain(index, repository, open()).await;
            obtained.unwrap()
        };
        let (first, was_held) = held(0, "a").await;
        assert!(!was_held);
        assert!(held(0, "a").await.1);
        assert!(!held(1, "a").await.1);
        assert!(!held(0, "b").await.1);
        tokio::time::advance(KEPT_FOR).await;
        let (second, was_held) = held(0, "a").await;
        assert!(!was_held);
        // Who forgets the one before is late.
        sessions.forget(0, "a", &first);
        assert!(held(0, "a").await.1);
        sessions.forget(0, "a", &second);
        assert!(!held(0, "a").await.1);
        for n in 0..SESSIONS_MAX * 2 {
            held(n, "c").await;
            assert!(sessions.slots.lock().unwrap().len() <= SESSIONS_MAX);
        }
        assert!(held(SESSIONS_MAX * 2 - 1, "c").await.1);
    }

    /// Who asks at once shares one answer, a failure too; the next one asks anew.
    #[tokio::test]
    async fn a_session_is_opened_once() {
        let sessions = Sessions::default();
        let opened = std::cell::Cell::new(0);
        let fails = || async {
            opened.set(opened.get() + 1);
            tokio::task::yield_now().await;
            let error = Error::config("endpoints", "none");
            Err(Failure { error, own: true })
        };
        let both = tokio::join!(
            sessions.obtain(0, "a", fails()),
            sessions.obtain(0, "a", fails())
        );
        assert!(both.0.is_err() && both.1.is_err());
        assert_eq!(opened.get(), 1);
        assert!(sessions.obtain(0, "a", fails()).await.is_err());
        assert_eq!(opened.get(), 2);
    }
}

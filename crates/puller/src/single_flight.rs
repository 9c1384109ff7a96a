//! A cache whose values are made once however many ask at the same time: tokens, sessions, what programs said.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex},
};

use tokio::sync::OnceCell;

use crate::sync::lock;

/// Values by key, at most `max` of them.
pub(crate) struct SingleFlight<K, V> {
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
    max: usize,
}

struct Slot<V> {
    value: OnceCell<V>,
    /// What this one takes the place of.
    before: Option<V>,
}

/// A value of the cache.
pub(crate) struct Shared<V> {
    pub(crate) value: V,
    /// It was made for this call, and not for another one.
    pub(crate) made: bool,
    /// It was there before this call.
    pub(crate) held: bool,
    slot: Arc<Slot<V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> SingleFlight<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            slots: Mutex::default(),
            max,
        }
    }

    /// The value for `key`: kept as long as it `holds`, on its way, or made by `make`, which gets the one before it.
    ///
    /// Cancel-safe: when the caller that makes it goes away, one of those who wait makes its own.
    pub(crate) async fn obtain<F>(
        &self,
        key: &K,
        holds: impl Fn(&V) -> bool,
        make: impl FnOnce(Option<V>) -> F,
    ) -> Shared<V>
    where
        F: Future<Output = V>,
    {
        let slot = self.slot(key, holds);
        let (held, mut made) = (slot.value.initialized(), false);
        let make = || {
            made = true;
            make(slot.before.clone())
        };
        let value = slot.value.get_or_init(make).await.clone();
        Shared {
            value,
            made,
            held,
            slot,
        }
    }

    /// Drops a value that turned out to be no good, unless another has replaced it already.
    pub(crate) fn forget(&self, key: &K, shared: &Shared<V>) {
        let is_it = |slot: &Arc<Slot<V>>| Arc::ptr_eq(slot, &shared.slot);
        let mut slots = lock(&self.slots);
        if slots.get(key).is_some_and(is_it) {
            slots.remove(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    fn slot(&self, key: &K, holds: impl Fn(&V) -> bool) -> Arc<Slot<V>> {
        let is_good = |slot: &Arc<Slot<V>>| slot.value.get().is_none_or(&holds);
        let mut slots = lock(&self.slots);
        let old = slots.get(key);
        if let Some(slot) = old.filter(|slot| is_good(slot)) {
            return Arc::clone(slot);
        }
        let before = old.and_then(|slot| slot.value.get().cloned());
        if slots.len() >= self.max {
            slots.retain(|_, slot| match slot.value.get() {
                Some(value) => holds(value),
                None => Arc::strong_count(slot) > 1,
            });
        }
        if slots.len() >= self.max {
            slots.clear();
        }
        let slot = Arc::new(Slot {
            value: OnceCell::new(),
            before,
        });
        slots.insert(key.clone(), Arc::clone(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Poll,
    };

    use super::*;

    /// Polls once.
    async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn one_makes_it_for_all_who_wait() {
        let cache = SingleFlight::new(10);
        let asked = AtomicUsize::new(0);
        let gate = tokio::sync::Notify::new();
        let one = || {
            cache.obtain(
                &"a",
                |_: &usize| true,
                |_| async {
                    let count = asked.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    count
                },
            )
        };
        let (mut first, mut second) = (Box::pin(one()), Box::pin(one()));
        assert!(is_pending(&mut first).await && is_pending(&mut second).await);
        // The one that makes it goes away: the other makes its own, nobody waits for ever.
        drop(first);
        assert!(is_pending(&mut second).await);
        let third = one();
        gate.notify_one();
        let (second, third) = (second.await, third.await);
        assert!(second.made && !second.held && !third.made && third.held);
        assert_eq!((second.value, third.value), (1, 1));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_or_holds_no_more_is_made_anew_from_the_one_before() {
        let cache = SingleFlight::new(10);
        let next = |before: Option<usize>| async move { before.map_or(0, |before| before + 1) };
        let first = cache.obtain(&"a", |_| true, next).await;
        assert_eq!(cache.obtain(&"a", |_| true, next).await.value, 0);
        assert_eq!(cache.obtain(&"a", |_| false, next).await.value, 1);
        // It was replaced: there is nothing to forget.
        cache.forget(&"a", &first);
        let second = cache.obtain(&"a", |_| true, next).await;
        assert_eq!((second.value, second.held), (1, true));
        cache.forget(&"a", &second);
        assert_eq!(cache.obtain(&"a", |_| true, next).await.value, 0);
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let cache = SingleFlight::new(10);
        for n in 0..100 {
            cache.obtain(&n, |_| true, |_| async {}).await;
            assert!(cache.len() <= 10);
        }
    }
}

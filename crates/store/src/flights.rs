//! Single flight for questions: whoever asks the same while it is under way waits for the same answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Questions under way, by key. The work runs in a task of its own: no client's end can stop it.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    map: Arc<Mutex<HashMap<K, Flight<V>>>>,
    tracker: TaskTracker,
}

/// A question under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight<V> {
    pub(crate) started: Instant,
    answer: watch::Receiver<Option<V>>,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(tracker: TaskTracker) -> Self {
        Self {
            map: Arc::default(),
            tracker,
        }
    }

    /// Joins the flight of this key, or starts it. `work` must store its result where the next request looks first: the
    /// key is released before the answer is given.
    pub(crate) fn join<W>(&self, key: &K, work: impl FnOnce() -> W) -> (Flight<V>, bool)
    where
        W: Future<Output = V> + Send + 'static,
    {
        let (sender, answer) = watch::channel(None);
        let flight = Flight {
            started: Instant::now(),
            answer,
        };
        match lock(&self.map).entry(key.clone()) {
            Entry::Occupied(occupied) => return (occupied.get().clone(), false),
            Entry::Vacant(vacant) => {
                vacant.insert(flight.clone());
            }
        }
        let landing = Landing {
            map: Arc::clone(&self.map),
            key: key.clone(),
        };
        // Not under the lock: it may ask for another flight of the same table.
        let work = work();
        self.tracker.spawn(async move {
            let value = work.await;
            drop(landing);
            sender.send_replace(Some(value));
        });
        (flight, true)
    }
}

impl<V: Clone> Flight<V> {
    /// The answer; `None` when the work was cut off.
    pub(crate) async fn answer(mut self) -> Option<V> {
        let answered = self.answer.wait_for(Option::is_some).await.ok()?;
        answered.clone()
    }
}

/// Frees the key even when the work panics.
struct Landing<K: Eq + Hash, V> {
    map: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.map).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn one_question_for_all_who_ask_at_once() {
        let flights = Flights::<&str, usize>::new(TaskTracker::new());
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            flights.join(&"key", move || async move {
                gate.notified().await;
                asked.fetch_add(1, Ordering::Relaxed) + 1
            })
        };
        let ((first, leads), (second, joins)) = (ask(), ask());
        assert!(leads && !joins);
        gate.notify_one();
        assert_eq!(
            (first.answer().await, second.answer().await),
            (Some(1), Some(1))
        );
        let (third, leads) = ask();
        assert!(leads);
        gate.notify_one();
        assert_eq!(third.answer().await, Some(2));
    }

    #[tokio::test]
    async fn work_may_ask_the_same_table() {
        let flights = Flights::<&str, usize>::new(TaskTracker::new());
        let (flight, _) = flights.join(&"outer", || {
            let (inner, _) = flights.join(&"inner", || async { 1 });
            async { inner.answer().await.unwrap() + 1 }
        });
        assert_eq!(flight.answer().await, Some(2));
    }

    #[tokio::test]
    async fn a_question_that_dies_frees_its_key() {
        let flights = Flights::<&str, usize>::new(TaskTracker::new());
        let (flight, _) = flights.join(&"key", || async { panic!("on purpose") });
        assert_eq!(flight.answer().await, None);
        let (flight, leads) = flights.join(&"key", || async { 1 });
        assert!(leads);
        assert_eq!(flight.answer().await, Some(1));
    }
}

//! Transfers without a network.

use std::future::pending;

use longshore_reference::Digest;
use tokio::sync::oneshot;

use super::*;

async fn watch<F>(
    transfers: &Transfers,
    key: &str,
    path: &str,
    job: impl FnOnce(Arc<Transfer>) -> F,
) -> Watcher
where
    F: Future<Output = Result<Unpacked, Error>> + Send + 'static,
{
    transfers.watch(key, &named(path), job).await
}

fn named(path: &str) -> Named {
    Named::new("registry.test", path).unwrap()
}

fn layer() -> Unpacked {
    Unpacked {
        digest: Digest::sha256(b"layer"),
        size: 5,
        diff_id: None,
        gzipped: false,
    }
}

async fn end(mut watcher: Watcher) -> Result<Unpacked, Error> {
    let mut phase = watcher.now();
    loop {
        if let Phase::Finished(result) = phase {
            return result;
        }
        phase = watcher.next().await;
    }
}

#[tokio::test]
async fn all_who_want_a_layer_watch_one_transfer() {
    let transfers = Transfers::new(3);
    let (finish, finished) = oneshot::channel();
    let first = watch(&transfers, "a", "one", |_| async {
        finished.await.unwrap();
        Ok(layer())
    });
    let first = first.await;
    let second = watch(&transfers, "a", "two", |_| pending()).await;
    assert_eq!(second.owner(), &named("one"));
    assert_eq!(transfers.len(), 1);
    finish.send(()).unwrap();
    assert_eq!(end(first).await.unwrap(), layer());
    assert_eq!(end(second).await.unwrap(), layer());
    assert!(transfers.is_empty());
}

/// Sends when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).ok();
    }
}

#[tokio::test]
async fn a_transfer_ends_when_its_last_watcher_leaves() {
    let transfers = Transfers::new(3);
    let (sender, mut ended) = oneshot::channel();
    let dropped = Dropped(Some(sender));
    let job = |_| async move {
        let _dropped = dropped;
        pending().await
    };
    let first = watch(&transfers, "a", "one", job).await;
    let second = watch(&transfers, "a", "one", |_| pending()).await;
    drop(first);
    tokio::task::yield_now().await;
    assert!(ended.try_recv().is_err(), "one still watches");
    drop(second);
    ended.await.unwrap();
    // Whoever comes now starts anew.
    let third = watch(&transfers, "a", "one", |_| async { Ok(layer()) });
    assert_eq!(end(third.await).await.unwrap(), layer());
    assert!(transfers.is_empty());
}

#[tokio::test]
async fn a_transfer_that_panics_is_cancelled() {
    let transfers = Transfers::new(3);
    let job = |_| async { panic!("expected by the test") };
    let watcher = watch(&transfers, "a", "one", job).await;
    assert!(matches!(end(watcher).await, Err(Error::Cancelled)));
    assert!(transfers.is_empty());
}

#[tokio::test]
async fn no_more_than_so_many_have_a_slot() {
    let transfers = Transfers::new(1);
    let (finish, finished) = oneshot::channel::<()>();
    let first = |transfer: Arc<Transfer>| async move {
        let _slot = transfer.slot().await;
        transfer.report(Phase::Downloaded);
        finished.await.unwrap();
        Ok(layer())
    };
    let mut first = watch(&transfers, "a", "one", first).await;
    assert!(matches!(first.next().await, Phase::Downloaded));
    let second = |transfer: Arc<Transfer>| async move {
        let _slot = transfer.slot().await;
        Ok(layer())
    };
    let mut second = watch(&transfers, "b", "one", second).await;
    assert!(matches!(second.next().await, Phase::Waiting));
    finish.send(()).unwrap();
    assert_eq!(end(first).await.unwrap(), layer());
    assert_eq!(end(second).await.unwrap(), layer());

    let unlimited = Transfers::new(0);
    let job = |transfer: Arc<Transfer>| async move {
        assert!(transfer.slot().await.is_none());
        Ok(layer())
    };
    let watcher = watch(&unlimited, "a", "one", job).await;
    assert_eq!(end(watcher).await.unwrap(), layer());
}

//! The configuration is replaced while clients are served.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longshore_tests::{Fault, Gate, On, Origin, Proxy};

const RELOADS: &str = "longshore_config_reloads_total";
const OK: &[(&str, &str)] = &[("result", "ok")];

/// Reloads, and waits until that is done.
async fn reload(proxy: &Proxy) {
    let before = proxy.metric(RELOADS, &[]).await;
    proxy.reload();
    proxy
        .until_metric(RELOADS, &[], |count| count > before)
        .await;
}

/// An upstream can be asked once it is configured, its metrics appear, and it cannot be asked any more when it is gone.
#[tokio::test]
async fn upstreams_come_and_go() {
    let (hub, other) = (Origin::start().await, Origin::start().await);
    let image = other.image("team/app", "1", &[10]);
    let proxy = Proxy::start(&hub).await;
    let path = "/v2/team/app/manifests/1?ns=registry.test";
    assert_eq!(proxy.client().read(path).await.status, 404);

    let table = format!(
        "[upstreams.\"registry.test\"]\nendpoints = [\"{}\"]\n",
        other.url()
    );
    proxy.configure(|text| text + &table);
    reload(&proxy).await;
    let answer = proxy.client().read(path).await;
    assert_eq!((answer.status, answer.body), (200, image.manifest.clone()));
    let labels = [("upstream", "registry.test")];
    proxy
        .until_metric("longshore_upstream_up", &labels, |up| up == 1.0)
        .await;

    proxy.configure(|text| text.replace(&table, ""));
    reload(&proxy).await;
    assert_eq!(proxy.client().read(path).await.status, 404);
    assert_eq!(proxy.metric("longshore_upstream_up", &labels).await, 0.0);
}

/// The file is looked at without a signal.
#[tokio::test]
async fn a_changed_file_is_read_again() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    proxy.configure(|text| text.replace("[defaults]\n", "[defaults]\nrevalidate = \"5m\"\n"));
    proxy.until_metric(RELOADS, OK, |count| count == 1.0).await;
}

/// A file with a mistake changes nothing: what was configured goes on, and a metric tells.
#[tokio::test]
async fn a_mistake_changes_nothing() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[10]);
    let proxy = Proxy::start(&origin).await;
    proxy.configure(|text| text + "[upstreams.\"registry.test\"]\nnonsense = 1\n");
    reload(&proxy).await;
    let successful = "longshore_config_last_reload_successful";
    assert_eq!(proxy.metric(successful, &[]).await, 0.0);
    proxy
        .client()
        .pull(&origin, "/v2/library/app", &image, "1", "")
        .await;

    proxy.configure(|text| text.replace("nonsense = 1\n", ""));
    reload(&proxy).await;
    assert_eq!(proxy.metric(successful, &[]).await, 1.0);
}

/// A client in the middle of a blob gets the rest of it, whatever is configured meanwhile.
#[tokio::test]
async fn a_transfer_outlives_its_configuration() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[4 << 20]);
    let proxy = Proxy::start(&origin).await;
    let layer = &image.layers[0];
    let gate = Gate::new();
    let path = format!("/v2/library/app/blobs/{layer}");
    origin.order(On::get(&path), [Fault::Stall(2 << 20, gate.clone())]);
    let content = origin.blob(layer);
    let (client, wanted) = (proxy.client(), content.clone());
    let pulling = tokio::spawn(async move { client.pull_blob(&path, &wanted).await });
    gate.reached().await;
    proxy.configure(|text| text.replace(&origin.url(), "http://127.0.0.1:1"));
    reload(&proxy).await;
    gate.open();
    pulling.await.unwrap();
}

/// Under load no request fails, and nothing is left over of the configurations before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reloads_under_load_lose_nothing() {
    let origin = Arc::new(Origin::start().await);
    let image = Arc::new(origin.image("library/app", "1", &[10, 70_000]));
    let proxy = Proxy::start(&origin).await;
    proxy
        .client()
        .pull(&origin, "/v2/library/app", &image, "1", "")
        .await;
    let done = Arc::new(AtomicBool::new(false));
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let (client, origin) = (proxy.client(), Arc::clone(&origin));
            let (image, done) = (Arc::clone(&image), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    client
                        .pull(&origin, "/v2/library/app", &image, "1", "")
                        .await;
                }
            })
        })
        .collect();
    let line = |round: usize| format!("max_stale = \"{round}h\"\n");
    proxy.configure(|text| text.replace("[defaults]\n", &format!("[defaults]\n{}", line(0))));
    reload(&proxy).await;
    let files = open_files(&proxy);
    for round in 0..rounds() {
        proxy.configure(|text| text.replace(&line(round), &line(round + 1)));
        reload(&proxy).await;
    }
    done.store(true, Ordering::Relaxed);
    for pull in pulls {
        pull.await.unwrap();
    }
    assert!(
        open_files(&proxy) <= files + 8,
        "{files} files open, then {}",
        open_files(&proxy)
    );
}

fn open_files(proxy: &Proxy) -> usize {
    fs::read_dir(format!("/proc/{}/fd", proxy.pid()))
        .unwrap()
        .count()
}

/// 1,000 where the tests have time.
fn rounds() -> usize {
    std::env::var("LONGSHORE_TEST_RELOADS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(100)
}

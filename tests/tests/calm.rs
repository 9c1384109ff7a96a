//! Upstream is ill in one place, or throttles a burst: only what is ill fails, for as long as it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Fault, Image, On, Origin, Proxy};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const IMAGES: u64 = 8;

fn push(origin: &Origin, round: u64) -> Vec<(String, Image)> {
    let one = |n| {
        let repository = format!("library/app{n}");
        let image = origin.image(&repository, &round.to_string(), &[2000 + round, 3000 + n]);
        (repository, image)
    };
    (0..IMAGES).map(one).collect()
}

/// Pulls the images of one round at once.
async fn pull_all(origin: &Arc<Origin>, proxy: &Proxy, round: u64) {
    let mut pulls = JoinSet::new();
    for (repository, image) in push(origin, round) {
        let (origin, client) = (Arc::clone(origin), proxy.client());
        pulls.spawn(async move {
            let (prefix, tag) = (format!("/v2/{repository}"), round.to_string());
            client.pull(&origin, &prefix, &image, &tag, "").await;
        });
    }
    while let Some(pulled) = pulls.join_next().await {
        pulled.unwrap();
    }
}

/// Four clients keep asking for one digest that always fails, while images are pulled three times: all come. The
/// registry as a whole was taken to be down.
#[tokio::test(flavor = "multi_thread")]
async fn one_blob_that_always_fails_costs_no_image() {
    for fault in [Fault::bare(500, &[]), Fault::bare(503, &[]), Fault::Reset] {
        let origin = Arc::new(Origin::start().await);
        let proxy = Proxy::start(&origin).await;
        let bad = origin.image("library/bad", "1", &[5000]).layers[0].clone();
        let path = format!("/v2/library/bad/blobs/{bad}");
        origin.order_always(On::path(&bad), fault.clone());
        let mut asking = JoinSet::new();
        for _ in 0..4 {
            let (client, path) = (proxy.client(), path.clone());
            asking.spawn(async move {
                loop {
                    assert_eq!(client.read(&path).await.status, 502);
                }
            });
        }
        for round in 0..3 {
            pull_all(&origin, &proxy, round).await;
        }
        asking.abort_all();
        while let Some(ended) = asking.join_next().await {
            assert!(ended.is_err_and(|error| error.is_cancelled()), "{fault:?}");
        }
    }
}

/// A single 429 without a time closed every cold request of every repository for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn one_429_without_a_time_costs_a_second_of_its_kind() {
    for kind in ["/blobs/", "/tags/list", "/referrers/"] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin).await;
        let limited = origin.image("library/limited", "1", &[1000]);
        let path = match kind {
            "/blobs/" => format!("/v2/library/limited/blobs/{}", limited.layers[0]),
            "/tags/list" => "/v2/library/limited/tags/list".to_owned(),
            _ => format!("/v2/library/limited/referrers/{}", limited.digest),
        };
        origin.order(On::path(kind), [Fault::bare(429, &[])]);
        let first = proxy.client().read(&path).await;
        assert_eq!(first.status, 503, "{kind}");
        // What is of another kind goes on at once, in every repository.
        let image = origin.image("library/other", "1", &[2000]);
        let manifest = proxy.client().read("/v2/library/other/manifests/1").await;
        assert_eq!(manifest.status, 200, "{kind}");
        if kind != "/blobs/" {
            let prefix = "/v2/library/other";
            proxy.client().pull(&origin, prefix, &image, "1", "").await;
        }
        // What is of the same kind is back when the second is over.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let again = proxy.client().read(&path).await;
        assert_eq!(again.status, 200, "{kind}");
    }
}

//! A v1 image of 40 layers: its cold manifest beside a fetch of its layers, and a hit of it beside any other.

use crate::load::{Connection, hammer};
use crate::{CONNECTIONS, Extent, MIB, verdict};
use longshore_tests::{Fault, On, Origin, Settings, V1Image, V1Registry};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(crate) async fn measure(extent: Extent) {
    let (v1, origin) = (V1Registry::standalone().await, Origin::start().await);
    let proxy = Settings::default()
        .upstream("old.test", &[v1.index()], "api = \"v1\"")
        .upstream("docker.io", &[&origin], "")
        .start()
        .await;
    let sizes = [extent.v1_layer; LAYERS];
    println!();
    // A registry on loopback is as fast as memory, where hashing is all there is to see; real ones are not.
    for (what, pace) in [
        ("on loopback", None),
        ("at 20 MB/s a connection", Some(20_000_000)),
    ] {
        if let Some(rate) = pace {
            v1.registry()
                .order_always(On::get("/layer"), Fault::Pace(rate));
        }
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let repository = format!("library/bench{round}{}", pace.is_some());
            let image = V1Image::new(&repository, &sizes);
            v1.push(&repository, "1", &image);
            let direct = fetch(&v1.registry().host(), &image).await;
            let start = Instant::now();
            let path = format!("/v2/old.test/{repository}/manifests/1");
            Connection::open(&proxy.host(), &path).await.ask().await;
            let cold = start.elapsed().as_secs_f64();
            println!("v1 {what}: layers {direct:.3} s, cold manifest {cold:.3} s");
            ratios.push(cold / direct);
        }
        v1.registry().behave();
        ratios.sort_by(f64::total_cmp);
        let what = format!("cold v1 manifest / its layers, {what}");
        verdict(&what, ratios[ROUNDS / 2], 1.5, false);
    }
    origin.image("library/bench", "1", &[1000, 2000, 3000]);
    let paths = [
        "/v2/old.test/library/bench0false/manifests/1",
        "/v2/library/bench/manifests/1",
    ];
    // In turns: what else the machine does hits both.
    let mut rates = [0.0; 2];
    for round in 0..2 * ROUNDS {
        let path = paths[round % 2];
        Connection::open(&proxy.host(), path).await.ask().await;
        let (rate, _) = hammer(&proxy.host(), path, CONNECTIONS, extent.time).await;
        rates[round % 2] += rate / ROUNDS as f64;
    }
    println!(
        "manifest by tag, requests/s: v1 {:.0}, other {:.0}",
        rates[0], rates[1]
    );
    verdict(
        "hit of a v1 manifest / of another",
        rates[0] / rates[1],
        0.8,
        true,
    );
}

/// Fetches all layers, as many at once as the proxy does: seconds.
async fn fetch(host: &str, image: &V1Image) -> f64 {
    let (start, permits) = (Instant::now(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut all = JoinSet::new();
    for layer in &image.layers {
        let (host, permits) = (host.to_owned(), Arc::clone(&permits));
        let path = format!("/v1/images/{}/layer", layer.id);
        all.spawn(async move {
            let _permit = permits.acquire().await;
            Connection::open(&host, &path).await.ask().await.bytes
        });
    }
    let bytes: u64 = all.join_all().await.into_iter().sum();
    assert_eq!(bytes, image.bytes());
    start.elapsed().as_secs_f64()
}

/// Bytes of the file in each layer.
pub(crate) const LAYER: u64 = MIB;
const LAYERS: usize = 40;
const AT_ONCE: usize = 8;
const ROUNDS: usize = 3;

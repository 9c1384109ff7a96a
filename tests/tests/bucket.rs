//! The bucket is lost: it hangs, or nobody listens. Clients are served from upstream all the same, and in time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use longshore_tests::{Fault, On, Origin, Proxy};
use tokio::net::TcpSocket;

const TAG: &str = "/v2/library/app/manifests/1";

/// An object server that is lost: while this lives, its address is nobody else's.
fn lost(hangs: bool) -> (SocketAddr, Box<dyn std::any::Any>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    if hangs {
        // The kernel takes connections, nobody reads them.
        (address, Box::new(socket.listen(128).unwrap()))
    } else {
        (address, Box::new(socket))
    }
}

#[tokio::test]
async fn a_lost_bucket_is_no_outage() {
    for hangs in [true, false] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[5000, 2 << 20]);
        let (address, _server) = lost(hangs);
        let proxy = Proxy::with(&origin).bucket(address).start().await;
        let started = Instant::now();
        let read = proxy.client().read(TAG).await;
        assert_eq!(read.status, 200, "hangs: {hangs}");
        for layer in &image.layers {
            let path = format!("/v2/library/app/blobs/{layer}");
            proxy.client().pull_blob(&path, &origin.blob(layer)).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "one deadline for all look-ups: {:?}, hangs: {hangs}",
            started.elapsed()
        );
        let read = [("action", "read")];
        proxy
            .until_metric("longshore_store_bucket_errors_total", &read, |errors| {
                errors == 1.0
            })
            .await;
        let metrics = proxy.client().read("/metrics").await.body;
        let metrics = String::from_utf8(metrics).unwrap();
        assert!(metrics.contains("\nlongshore_store_bucket_up 0\n"));
        assert_eq!(proxy.client().read("/readyz").await.status, 200);
    }
}

/// A blob whose manifest came before is looked for in the bucket only when its bytes are wanted.
#[tokio::test]
async fn a_blob_is_not_waited_for_longer_than_a_look_up() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[2 << 20]);
    let (address, _server) = lost(true);
    let mut proxy = Proxy::with(&origin).start().await;
    assert_eq!(proxy.client().read(TAG).await.status, 200);
    proxy.settled().await;
    proxy.terminate();
    proxy.ended().await;

    // Records are in the local tier, so that the first question to the bucket is for the blob.
    let proxy = Proxy::with(&origin)
        .store(proxy.store())
        .bucket(address)
        .start()
        .await;
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    let started = Instant::now();
    proxy
        .client()
        .pull_blob(&path, &origin.blob(&image.layers[0]))
        .await;
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

/// What was waited for the bucket is not waited for upstream once more.
#[tokio::test]
async fn looking_into_the_bucket_is_part_of_a_clients_time() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[5000]);
    let (address, _server) = lost(true);
    for path in [
        TAG.to_owned(),
        format!("/v2/library/app/manifests/{}", image.digest),
    ] {
        let proxy = Proxy::with(&origin)
            .defaults("answer_within = \"4s\"")
            .bucket(address)
            .start()
            .await;
        origin.order_always(On::path("/v2/"), Fault::HangBeforeHeaders);
        let started = Instant::now();
        assert_eq!(proxy.client().read(&path).await.status, 504);
        assert!(
            started.elapsed() < Duration::from_secs(6),
            "{:?}",
            started.elapsed()
        );
    }
}

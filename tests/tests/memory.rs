//! Two hundred clients and one cold blob, in 64 MiB.

use longshore_tests::process::Peak;
use longshore_tests::{Content, End, Origin, Proxy};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 256 * MIB;
const CLIENTS: u64 = 200;
/// What the buffers of sockets may hold where a fill on several connections stops the first one, which asked for all.
const IN_FLIGHT_MAX: u64 = 16 * MIB;

/// "200 clients ask for one cold 256 MiB blob, joining at different times, half of them hanging up half-way, ten
/// of them reading at 20 MiB/s: upstream sends every byte once, every reader that stayed has the right bytes, and the
/// process's peak anonymous memory stays under 64 MiB."
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_and_one_cold_blob() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, SIZE);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content.clone())
    );
    let proxy = Proxy::start(&origin).await;
    let peak = Peak::of(proxy.pid());
    let mut readers = Vec::new();
    for number in 0..CLIENTS {
        // They come in ten groups, the next when upstream has sent another part of the blob.
        let part = number / (CLIENTS / 10) * (SIZE / 10);
        origin
            .until(|seen| {
                let sent: u64 = seen.iter().map(|seen| seen.body_bytes_sent).sum();
                sent >= part
            })
            .await;
        let (client, path, content) = (proxy.client(), path.clone(), content.clone());
        readers.push(tokio::spawn(async move {
            let mut reply = client.get(&path).await;
            assert_eq!(reply.status, 200, "client {number}");
            if number % 2 == 1 {
                let mut read = 0;
                while read < SIZE / 2 {
                    let chunk = reply.chunk().await.expect("the first half comes");
                    assert!(content.matches(read, &chunk), "client {number} at {read}");
                    read += chunk.len() as u64;
                }
                return;
            }
            let rate = (number % 20 == 0).then_some(20 * MIB);
            assert_eq!(
                reply.compare(&content, 0, rate).await,
                (SIZE, true, End::Complete),
                "client {number}"
            );
        }));
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let peak = peak.bytes();
    let sent = origin.bytes_sent(&path);
    assert!(
        (SIZE..=SIZE + IN_FLIGHT_MAX).contains(&sent),
        "upstream sends every byte once, but sent {sent}"
    );
    assert!(
        peak > 0 && peak < 64 * MIB,
        "anonymous memory reached {} MiB",
        peak / MIB
    );
}

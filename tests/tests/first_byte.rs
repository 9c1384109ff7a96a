//! Bytes reach the client as they land.

use longshore_tests::{Content, End, Fault, Gate, On, Origin, Proxy};

const SIZE: u64 = 16 << 20;
/// Where upstream stops: in its first half, at no round number.
const STOP: u64 = (8 << 20) - 12_345;

/// "First byte of a cold blob reaches the client before the second half of it has left upstream." So does all
/// of the first half, and so it is for a range and a joiner.
#[tokio::test(flavor = "multi_thread")]
async fn before_the_second_half_has_left() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, SIZE);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content.clone())
    );
    let proxy = Proxy::start(&origin).await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(STOP, gate.clone())]);
    let mut leader = proxy.client().get(&path).await;
    let mut joiner = proxy.client().range("1000-").get(&path).await;
    assert_eq!((leader.status, joiner.status), (200, 206));
    let first = leader.take(STOP).await;
    let second = joiner.take(STOP - 1000).await;
    assert_eq!(
        origin.bytes_sent(&path),
        STOP,
        "the second half is still there"
    );
    assert!(content.matches(0, &first) && content.matches(1000, &second));
    gate.open();
    let at = first.len() as u64;
    assert_eq!(
        leader.compare(&content, at, None).await,
        (SIZE - at, true, End::Complete)
    );
}

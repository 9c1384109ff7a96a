//! A blob that upstream cuts is finished by ranges, and the client notices nothing.

use longshore_tests::{Content, End, Fault, Gate, On, Origin, Proxy};

const SIZE: u64 = (3 << 20) + 17;

/// "Upstream cuts a blob at any byte, once or three times: the client notices nothing; upstream saw ranged
/// requests."
#[tokio::test(flavor = "multi_thread")]
async fn cut_at_any_byte_once_or_three_times() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    let lens: [&[u64]; 8] = [
        &[1],
        &[65_535],
        &[65_537],
        &[SIZE / 2],
        &[SIZE - 1],
        &[1, 1, 1],
        &[1 << 20, 100_000, 1 << 20],
        &[SIZE - 3, 1, 1],
    ];
    for (seed, cuts) in lens.into_iter().enumerate() {
        let content = Content::seeded(seed as u64, SIZE);
        let path = format!(
            "/v2/library/app/blobs/{}",
            origin.push_blob("library/app", content.clone())
        );
        origin.order(On::get(&path), cuts.iter().map(|at| Fault::CutAt(*at)));
        proxy.client().pull_blob(&path, &content).await;
        assert_eq!(origin.orders_left(), 0, "{cuts:?}");
        let (mut at, mut ranges) = (0, Vec::new());
        for cut in cuts {
            at += cut;
            ranges.push(at);
        }
        let gets = origin
            .requests()
            .into_iter()
            .filter(|seen| seen.method == "GET" && seen.path == path);
        let asked: Vec<_> = gets
            .filter_map(|seen| seen.range().map(str::to_owned))
            .collect();
        let starts: Vec<u64> = asked
            .iter()
            .map(|range| range[6..].split('-').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(starts, ranges, "{cuts:?} {asked:?}");
        assert_eq!(origin.bytes_sent(&path), SIZE, "{cuts:?}: each byte once");
        origin
            .until(|seen| seen.iter().all(|seen| seen.ended))
            .await;
    }
    origin.stop().await;
    for seed in 0..lens.len() {
        let content = Content::seeded(seed as u64, SIZE);
        proxy
            .client()
            .pull_blob(
                &format!("/v2/library/app/blobs/{}", content.digest()),
                &content,
            )
            .await;
    }
}

/// A reset, headers without a body, an answer of 503 to the resume, a range that is ignored: all are survived.
#[tokio::test(flavor = "multi_thread")]
async fn other_ways_to_break() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    let cases = [
        vec![Fault::ResetAt(1_000_000)],
        vec![Fault::CutAt(0), Fault::CutAt(0)],
        vec![Fault::CutAt(1_000_000), Fault::bare(503, &[])],
        vec![Fault::CutAt(1_000_000), Fault::Reset],
        vec![Fault::CutAt(1_000_000), Fault::IgnoreRange],
        vec![Fault::All(vec![Fault::Chunked, Fault::CutAt(1_000_000)])],
        vec![
            Fault::CutAt(1_000_000),
            Fault::All(vec![Fault::Chunked, Fault::NoDigestHeader]),
        ],
    ];
    for (seed, faults) in cases.into_iter().enumerate() {
        let content = Content::seeded(100 + seed as u64, SIZE);
        let path = format!(
            "/v2/library/app/blobs/{}",
            origin.push_blob("library/app", content.clone())
        );
        origin.order(On::get(&path), faults.clone());
        let reply = proxy.client().get(&path).await;
        assert_eq!(reply.status, 200, "{faults:?}");
        assert_eq!(
            reply.compare(&content, 0, None).await,
            (SIZE, true, End::Complete),
            "{faults:?}"
        );
        assert_eq!(origin.orders_left(), 0, "{faults:?}");
    }
}

/// An endpoint that fails in the middle is followed by the next one at the same byte.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_endpoint_goes_on() {
    let (mirror, origin) = (Origin::start().await, Origin::start().await);
    let content = Content::seeded(1, SIZE);
    let digest = mirror.push_blob("library/app", content.clone());
    origin.push_blob("library/app", content.clone());
    let proxy = Proxy::with(&Origin::start().await)
        .upstream("corp.example", &[&mirror, &origin], "")
        .start()
        .await;
    let gate = Gate::new();
    mirror.order(
        On::get(&digest),
        [Fault::All(vec![
            Fault::Stall(1000, gate.clone()),
            Fault::CutAt(1 << 20),
        ])],
    );
    let reply = proxy
        .client()
        .get(&format!("/v2/corp.example/library/app/blobs/{digest}"))
        .await;
    gate.reached().await;
    mirror.order_always(On::path(&digest), Fault::bare(503, &[]));
    gate.open();
    assert_eq!(
        reply.compare(&content, 0, None).await,
        (SIZE, true, End::Complete)
    );
    assert_eq!(
        origin.bytes_sent(&format!("/v2/library/app/blobs/{digest}")),
        SIZE - (1 << 20)
    );
}

/// A redirect target is asked for anew when the blob is resumed: signed URLs end.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_asks_the_registry_again() {
    let (origin, storage) = (Origin::start().await, Origin::start().await);
    let content = Content::seeded(2, SIZE);
    let digest = origin.push_blob("library/app", content.clone());
    storage.push_blob("library/app", content.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    origin.order_always(
        On::get(&path),
        Fault::Redirect(format!("{}/storage/{digest}", storage.url()), 307),
    );
    storage.order(
        On::get("/storage/"),
        [Fault::CutAt(1 << 20), Fault::bare(403, &[])],
    );
    let proxy = Proxy::start(&origin).await;
    proxy.client().pull_blob(&path, &content).await;
    assert_eq!(storage.orders_left(), 0);
    assert!(
        origin.count("GET", &path) >= 3,
        "once, for the resume, and after the 403"
    );
    assert_eq!(
        storage.bytes_sent(&format!("/storage/{digest}")),
        SIZE + 3,
        "and the three bytes of the refusal"
    );
}

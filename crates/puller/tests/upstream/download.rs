use std::time::Duration;

use longshore_puller::{Fault as Wrong, Ranges};

use crate::common::*;

const SIZE: u64 = 3_000_000;

struct Fixture {
    origin: Origin,
    blob: Canonical,
    path: String,
}

async fn fixture() -> Fixture {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[SIZE]);
    let blob = canonical("library/app", &image.layers[0]);
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    Fixture { origin, blob, path }
}

/// An upstream that does not wait long for bytes.
fn hasty(origins: &[&Origin]) -> Upstream {
    let mut config = config(origins);
    config.timeouts.idle = Duration::from_millis(700);
    Upstream::new(config).unwrap()
}

/// The whole blob, verified.
async fn pull(upstream: &Upstream, blob: &Canonical, size: Option<u64>) -> Result<(), Error> {
    let mut download = upstream.blob(blob, 0, size).await?;
    let bytes = read(&mut download).await?;
    assert_eq!(Digest::sha256(&bytes), blob.digest());
    assert_eq!(download.size(), Some(SIZE));
    assert_eq!(download.offset(), SIZE);
    Ok(())
}

#[tokio::test]
async fn cuts_anywhere_are_mended() {
    for at in [0, 1, 1000, SIZE / 2, SIZE - 1] {
        for fault in [Fault::CutAt(at), Fault::ResetAt(at)] {
            for size in [None, Some(SIZE)] {
                let Fixture { origin, blob, path } = fixture().await;
                origin.order(On::get(&path), [fault.clone()]);
                pull(&upstream(&[&origin]), &blob, size).await.unwrap();
                assert_eq!(origin.count("GET", &path), 2, "{fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn three_cuts_and_what_they_cost() {
    let Fixture { origin, blob, path } = fixture().await;
    let (mut config, told) = (config(&[&origin]), Told::default());
    told.observe(&mut config);
    origin.order(
        On::get(&path),
        [Fault::CutAt(100), Fault::CutAt(200), Fault::CutAt(300)],
    );
    pull(&Upstream::new(config).unwrap(), &blob, Some(SIZE))
        .await
        .unwrap();
    let seen = origin.requests();
    let ranges: Vec<_> = seen.iter().filter_map(|s| s.range()).collect();
    assert_eq!(ranges, ["bytes=100-", "bytes=300-", "bytes=600-"]);
    assert_eq!(told.count("Resumed"), 3);
    assert_eq!(origin.bytes_sent(&path), SIZE);
}

#[tokio::test]
async fn progress_renews_the_patience() {
    let Fixture { origin, blob, path } = fixture().await;
    // More cuts than are suffered without progress, but each after more than 1 MiB or so many bytes before.
    let cuts = (0..9).map(|i| Fault::CutAt(if i % 5 == 4 { 1_100_000 } else { 10 }));
    origin.order(On::get(&path), cuts);
    pull(&upstream(&[&origin]), &blob, Some(SIZE))
        .await
        .unwrap();
    assert_eq!(origin.orders_left(), 0);
}

#[tokio::test]
async fn patience_ends() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order_always(On::get(&path), Fault::CutAt(10));
    let upstream = upstream(&[&origin]);
    let mut download = upstream.blob(&blob, 0, Some(SIZE)).await.unwrap();
    let error = read(&mut download).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(origin.count("GET", &path), 6);
}

#[tokio::test]
async fn what_stalls_goes_on() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order(On::get(&path), [Fault::Stall(1000, Gate::new())]);
    pull(&hasty(&[&origin]), &blob, Some(SIZE)).await.unwrap();
    assert_eq!(origin.count("GET", &path), 2);
}

#[tokio::test]
async fn a_range_that_is_ignored_is_made_good() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order(On::get(&path), [Fault::CutAt(5000), Fault::IgnoreRange]);
    pull(&upstream(&[&origin]), &blob, Some(SIZE))
        .await
        .unwrap();
    // From the start, too.
    origin.order(On::get(&path), [Fault::IgnoreRange]);
    let mut tail = upstream(&[&origin])
        .blob(&blob, SIZE - 10, None)
        .await
        .unwrap();
    assert_eq!(read(&mut tail).await.unwrap().len(), 10);
}

#[tokio::test]
async fn the_next_endpoint_goes_on() {
    let (mirror, origin) = (fixture().await, fixture().await);
    mirror.origin.order(
        On::get(&mirror.path),
        [Fault::CutAt(5000), Fault::bare(404, &[])],
    );
    pull(
        &upstream(&[&mirror.origin, &origin.origin]),
        &origin.blob,
        Some(SIZE),
    )
    .await
    .unwrap();
    let seen = origin.origin.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].range(), Some("bytes=5000-"));
    // One that cuts again and again loses its turn.
    mirror
        .origin
        .order_always(On::get(&mirror.path), Fault::CutAt(10));
    pull(
        &upstream(&[&mirror.origin, &origin.origin]),
        &origin.blob,
        Some(SIZE),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_registry_that_restarts() {
    let Fixture { origin, blob, path } = fixture().await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(1000, gate.clone())]);
    let (failed, mut failures) = tokio::sync::mpsc::unbounded_channel();
    let mut config = config(&[&origin]);
    config.observer = std::sync::Arc::new(move |event| {
        if matches!(event, longshore_puller::Event::Request { code: None, .. }) {
            // Nobody listens any more once the registry is back.
            let _ = failed.send(());
        }
    });
    let upstream = Upstream::new(config).unwrap();
    let mut download = upstream.blob(&blob, 0, None).await.unwrap();
    gate.reached().await;
    origin.stop().await;
    let restart = async {
        failures.recv().await.expect("an attempt fails first");
        origin.restart().await;
    };
    let (bytes, ()) = tokio::join!(read(&mut download), restart);
    assert_eq!(bytes.unwrap().len() as u64, SIZE);
}

#[tokio::test]
async fn bodies_without_a_length() {
    for fault in [Fault::Chunked, Fault::UntilClose] {
        for size in [None, Some(SIZE)] {
            let Fixture { origin, blob, path } = fixture().await;
            origin.order(On::get(&path), [fault.clone()]);
            pull(&upstream(&[&origin]), &blob, size).await.unwrap();
            // A cut that nobody announced is seen where the size or the framing tells.
            if size.is_some() || matches!(fault, Fault::Chunked) {
                origin.order(
                    On::get(&path),
                    [Fault::All(vec![fault.clone(), Fault::CutAt(70_000)])],
                );
                pull(&upstream(&[&origin]), &blob, size).await.unwrap();
                assert_eq!(origin.count("GET", &path), 3, "{fault:?} {size:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_cut_exactly_at_the_end_of_a_body_without_length() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order(
        On::get(&path),
        [Fault::All(vec![Fault::Chunked, Fault::CutAt(SIZE)])],
    );
    pull(&upstream(&[&origin]), &blob, None).await.unwrap();
}

#[tokio::test]
async fn lengths_that_lie() {
    for fault in [
        Fault::Short(1),
        Fault::Long(1),
        Fault::LengthLies(5),
        Fault::LengthLies(-5),
    ] {
        let (mirror, origin) = (fixture().await, fixture().await);
        mirror
            .origin
            .order_always(On::get(&mirror.path), fault.clone());
        let upstream = upstream(&[&mirror.origin, &origin.origin]);
        pull(&upstream, &origin.blob, Some(SIZE)).await.unwrap();
        assert_eq!(mirror.origin.count("GET", &mirror.path), 1, "{fault:?}");
        let alone = Upstream::new(config(&[&mirror.origin])).unwrap();
        let error = alone.blob(&mirror.blob, 0, Some(SIZE)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Misbehaved {
                    fault: Wrong::Length { expected: SIZE, .. },
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn more_than_the_blob_has_is_refused() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order_always(
        On::get(&path),
        Fault::All(vec![Fault::Chunked, Fault::Long(10)]),
    );
    let mut download = upstream(&[&origin])
        .blob(&blob, 0, Some(SIZE))
        .await
        .unwrap();
    let error = read(&mut download).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Misbehaved {
                fault: Wrong::Length { .. },
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn less_than_the_blob_has_is_not_the_end() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order_always(
        On::get(&path),
        Fault::All(vec![Fault::Chunked, Fault::Short(10)]),
    );
    let mut download = upstream(&[&origin])
        .blob(&blob, 0, Some(SIZE))
        .await
        .unwrap();
    let error = read(&mut download).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved { .. }), "{error:?}");
}

#[tokio::test]
async fn pages_are_refused_before_the_first_byte() {
    let Fixture { origin, blob, path } = fixture().await;
    origin.order(On::get(&path), [Fault::Html200]);
    let error = upstream(&[&origin]).blob(&blob, 0, None).await.unwrap_err();
    assert!(
        matches!(error, Error::Misbehaved { fault, .. } if fault == Wrong::Html),
        "{error:?}"
    );
}

/// Right bytes were refused for their label.
#[tokio::test]
async fn blobs_that_are_labelled_as_encoded() {
    for label in ["gzip", "x-gzip", "identity", "br", "gzip, gzip"] {
        let Fixture { origin, blob, path } = fixture().await;
        let label = Fault::Header("Content-Encoding".into(), Some(label.into()));
        origin.order_always(On::path(&path), label);
        let upstream = upstream(&[&origin]);
        pull(&upstream, &blob, Some(SIZE)).await.unwrap();
        assert_eq!(upstream.blob_size(&blob).await.unwrap(), Some(SIZE));
    }
}

#[tokio::test]
async fn whoever_sent_wrong_bytes_is_asked_last() {
    let (mirror, origin) = (fixture().await, fixture().await);
    mirror
        .origin
        .order_always(On::get(&mirror.path), Fault::WrongBytes(7));
    let upstream = upstream(&[&mirror.origin, &origin.origin]);
    let mut download = upstream.blob(&mirror.blob, 0, Some(SIZE)).await.unwrap();
    assert_ne!(
        Digest::sha256(&read(&mut download).await.unwrap()),
        mirror.blob.digest()
    );
    download.distrust();
    pull(&upstream, &origin.blob, Some(SIZE)).await.unwrap();
    assert_eq!(mirror.origin.count("GET", &mirror.path), 1);
    // For other digests nothing has changed.
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(origin.origin.count("GET", "/v2/library/app/manifests/1"), 0);
}

#[tokio::test]
async fn the_word_of_the_origin_stands_whatever_the_order() {
    let (mirror, origin) = (fixture().await, fixture().await);
    let upstream = upstream(&[&mirror.origin, &origin.origin]);
    let download = upstream.blob(&mirror.blob, 0, Some(SIZE)).await.unwrap();
    download.distrust();
    mirror
        .origin
        .order_always(On::get(&mirror.path), Fault::error(404, "BLOB_UNKNOWN"));
    origin
        .origin
        .order_always(On::get(&origin.path), Fault::bare(500, &[]));
    let error = upstream
        .blob(&mirror.blob, 0, Some(SIZE))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(mirror.origin.count("GET", &mirror.path), 2);
    // And what it does not have nobody else is asked for.
    origin.origin.behave();
    origin
        .origin
        .order_always(On::get(&origin.path), Fault::error(404, "BLOB_UNKNOWN"));
    let error = upstream
        .blob(&mirror.blob, 0, Some(SIZE))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotFound {
                authoritative: true,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(mirror.origin.count("GET", &mirror.path), 2);
}

#[tokio::test]
async fn sizes_without_a_download() {
    let Fixture { origin, blob, path } = fixture().await;
    let upstream = upstream(&[&origin]);
    assert_eq!(upstream.blob_size(&blob).await.unwrap(), Some(SIZE));
    assert_eq!(origin.count("GET", &path), 0);
    for refusal in [
        Fault::bare(401, &[]),
        Fault::bare(403, &[]),
        Fault::bare(405, &[]),
        Fault::Chunked,
    ] {
        origin.forget_requests();
        origin.order_always(On::head(&path), refusal.clone());
        assert_eq!(
            upstream.blob_size(&blob).await.unwrap(),
            Some(SIZE),
            "{refusal:?}"
        );
        assert_eq!(origin.bytes_sent(&path), 1, "{refusal:?}");
        assert_eq!(origin.count("GET", &path), 1, "{refusal:?}");
        origin.behave();
    }
    // A length of 0 is not believed.
    let nothing = vec![("Content-Length".to_owned(), "0".to_owned())];
    origin.order(On::head(&path), [Fault::Status(200, nothing, "".into())]);
    assert_eq!(upstream.blob_size(&blob).await.unwrap(), Some(SIZE));
    // A registry that ignores ranges still tells the length.
    origin.order(On::head(&path), [Fault::bare(405, &[])]);
    origin.order(On::get(&path), [Fault::IgnoreRange]);
    assert_eq!(upstream.blob_size(&blob).await.unwrap(), Some(SIZE));
    origin.order(On::head(&path), [Fault::bare(405, &[])]);
    origin.order(
        On::get(&path),
        [Fault::All(vec![Fault::IgnoreRange, Fault::Chunked])],
    );
    assert_eq!(upstream.blob_size(&blob).await.unwrap(), None);
}

/// Some front ends answer every HEAD with what they have: that another blob is there says nothing of this one.
#[tokio::test]
async fn a_head_that_names_another_digest_confirms_nothing() {
    let Fixture { origin, blob, path } = fixture().await;
    let upstream = upstream(&[&origin]);
    let other = Digest::sha256(b"other");
    let names = |digest: &dyn std::fmt::Display| {
        let header = ("Docker-Content-Digest".to_owned(), digest.to_string());
        let length = ("Content-Length".to_owned(), SIZE.to_string());
        Fault::Status(200, vec![header, length], "".into())
    };
    origin.order_always(On::head(&path), names(&other));
    let error = upstream.blob_size(&blob).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved { .. }), "{error:?}");
    origin.behave();
    // Its own digest, and one of another algorithm, are no contradiction.
    let sha512 = Digest::of(longshore_reference::Algorithm::Sha512, b"x");
    for digest in [blob.digest(), sha512] {
        origin.order(On::head(&path), [names(&digest)]);
        assert_eq!(upstream.blob_size(&blob).await.unwrap(), Some(SIZE));
    }
}

#[tokio::test]
async fn an_empty_blob_and_an_empty_rest() {
    let origin = Origin::start().await;
    let digest = origin.push_blob("library/app", longshore_tests::Content::from(Vec::new()));
    let (blob, upstream) = (canonical("library/app", &digest), upstream(&[&origin]));
    for size in [None, Some(0)] {
        let mut download = upstream.blob(&blob, 0, size).await.unwrap();
        assert_eq!(read(&mut download).await.unwrap().len(), 0);
    }
    assert_eq!(upstream.blob_size(&blob).await.unwrap(), Some(0));
    let Fixture { origin, blob, .. } = fixture().await;
    let mut rest = Upstream::new(config(&[&origin]))
        .unwrap()
        .blob(&blob, SIZE, Some(SIZE))
        .await
        .unwrap();
    assert_eq!(rest.chunk().await.unwrap(), None);
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_chunk_that_is_given_up_loses_nothing() {
    let Fixture { origin, blob, path } = fixture().await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(1_500_000, gate.clone())]);
    let mut download = upstream(&[&origin])
        .blob(&blob, 0, Some(SIZE))
        .await
        .unwrap();
    let mut all = Vec::new();
    while all.len() < 1_500_000 {
        all.extend_from_slice(&download.chunk().await.unwrap().unwrap());
    }
    for _ in 0..3 {
        let mut chunk = std::pin::pin!(download.chunk());
        let pending =
            std::future::poll_fn(|cx| std::task::Poll::Ready(chunk.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
    }
    gate.open();
    all.extend(read(&mut download).await.unwrap());
    assert_eq!(Digest::sha256(&all), blob.digest());
}

#[test]
fn calls_may_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let endpoint = Endpoint::parse("http://127.0.0.1:1").unwrap();
    let upstream = Upstream::new(Config::new("r", vec![endpoint])).unwrap();
    let (reference, blob) = (
        tagged("a:1"),
        canonical("a", &format!("sha256:{}", "0".repeat(64))),
    );
    is_send(upstream.resolve(&reference));
    is_send(upstream.manifest(&reference));
    is_send(upstream.blob_size(&blob));
    is_send(upstream.tags(blob.named(), None));
    is_send(upstream.referrers(&blob, None));
    is_send(async {
        let mut download = upstream.blob(&blob, 0, None).await.unwrap();
        download.chunk().await.unwrap()
    });
}

/// The bytes of a range, and how the registry took it.
async fn range(
    upstream: &Upstream,
    blob: &Canonical,
    span: (u64, u64),
    size: Option<u64>,
) -> (Vec<u8>, Ranges) {
    let opened = upstream.blob_range(blob, span.0, Some(span.1), size).await;
    let mut download = opened.unwrap();
    let bytes = read(&mut download).await.unwrap();
    (bytes, download.ranges())
}

#[tokio::test]
async fn a_bounded_range_is_asked_for_and_checked() {
    let Fixture { origin, blob, path } = fixture().await;
    let whole = origin.blob(&blob.digest().to_string()).bytes();
    let upstream = upstream(&[&origin]);
    for (start, end, asked) in [
        (0, 100, "bytes=0-99"),
        (1000, 5000, "bytes=1000-4999"),
        (SIZE - 51, SIZE, "bytes=2999949-2999999"),
        (SIZE - 51, SIZE + 100, "bytes=2999949-3000099"),
    ] {
        for size in [None, Some(SIZE)] {
            origin.forget_requests();
            let expected = &whole[start as usize..end.min(SIZE) as usize];
            let (bytes, ranges) = range(&upstream, &blob, (start, end), size).await;
            assert_eq!(bytes, expected, "{asked}");
            assert_eq!(ranges, Ranges::Honoured);
            assert_eq!(origin.requests()[0].range(), Some(asked));
            assert_eq!(origin.bytes_sent(&path), expected.len() as u64);
        }
    }
    // Nothing is asked for an empty range.
    origin.forget_requests();
    assert_eq!(range(&upstream, &blob, (7, 7), None).await.0, b"");
    assert_eq!(origin.requests().len(), 0);
    // Another span than the one asked for is not taken.
    let other = Fault::Header("Content-Range".into(), Some("bytes 0-98/3000000".into()));
    origin.order_always(On::get(&path), other);
    let error = upstream.blob_range(&blob, 0, Some(100), None).await;
    assert!(matches!(error, Err(Error::Misbehaved { .. })), "{error:?}");
}

#[tokio::test]
async fn a_bounded_range_is_resumed_within_its_bounds() {
    let Fixture { origin, blob, path } = fixture().await;
    let whole = origin.blob(&blob.digest().to_string()).bytes();
    origin.order(On::get(&path), [Fault::CutAt(100), Fault::ResetAt(200)]);
    let (bytes, _) = range(&upstream(&[&origin]), &blob, (1000, 5000), None).await;
    assert_eq!(bytes, &whole[1000..5000]);
    let seen = origin.requests();
    let ranges: Vec<_> = seen.iter().filter_map(|s| s.range()).collect();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[..2], ["bytes=1000-4999", "bytes=1100-4999"]);
    assert!(ranges[2].ends_with("-4999"));
}

#[tokio::test]
async fn a_caller_learns_that_ranges_are_ignored() {
    for fault in [
        Fault::IgnoreRange,
        Fault::All(vec![Fault::IgnoreRange, Fault::Chunked]),
    ] {
        let Fixture { origin, blob, path } = fixture().await;
        let whole = origin.blob(&blob.digest().to_string()).bytes();
        origin.order_always(On::get(&path), fault);
        let upstream = upstream(&[&origin]);
        for (start, end) in [(0, 100), (1000, 5000), (SIZE - 10, SIZE)] {
            for size in [None, Some(SIZE)] {
                let (bytes, ranges) = range(&upstream, &blob, (start, end), size).await;
                assert_eq!(bytes, &whole[start as usize..end as usize]);
                assert_eq!(ranges, Ranges::Ignored);
            }
        }
    }
    let Fixture { origin, blob, .. } = fixture().await;
    let download = upstream(&[&origin]).blob(&blob, 0, None).await.unwrap();
    assert_eq!(download.ranges(), Ranges::Unknown);
}

#[tokio::test]
async fn an_offset_past_the_end_is_an_error() {
    let Fixture { origin, blob, .. } = fixture().await;
    let upstream = upstream(&[&origin]);
    let error = upstream.blob(&blob, SIZE + 1, Some(SIZE)).await;
    assert!(
        matches!(error, Err(Error::OutOfRange { offset, size: SIZE }) if offset == SIZE + 1),
        "{error:?}"
    );
    assert_eq!(origin.requests().len(), 0);
    let error = upstream.blob(&blob, SIZE + 1, None).await;
    assert!(matches!(error, Err(Error::Misbehaved { .. })), "{error:?}");
}

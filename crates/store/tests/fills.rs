//! Fills: several connections, what is here already, what goes wrong on the way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{MIB, Upstream, canonical, chunked, content, open, read, store, unreachable};
use futures_util::StreamExt;
use futures_util::future::join_all;
use longshore_reference::Digest;
use longshore_store::{BlobRange, Error, Event, Options, Store};
use proptest::prelude::*;

fn path_of(root: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex().to_string();
    root.join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// Files below the spool, locks aside.
fn spooled(root: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    entries(&root.join("spool"))
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| entries(&folder).collect::<Vec<_>>())
        .filter(|file| !file.ends_with("lock"))
        .collect()
}

fn from(start: usize) -> BlobRange {
    BlobRange::From {
        start: start as u64,
        end: None,
    }
}

#[tokio::test]
async fn damaged_kept_bytes_are_not_charged_to_upstream() {
    for len in [900_000, 3 * MIB] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = content(len);
        let canonical = canonical("app", &bytes);
        let first = store(&folder).await;
        let blob = open(&first, &canonical, &Upstream::of(&bytes))
            .await
            .unwrap();
        read(&blob, 0, None).await.unwrap();
        first.close().await;
        // Cut, and wrong in what is left.
        let path = path_of(folder.path(), canonical.digest());
        let mut left = bytes[..len / 2].to_vec();
        left[100] ^= 1;
        fs::write(&path, left).unwrap();

        let mismatches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&mismatches);
        let options = Options {
            observer: Arc::new(move |event| {
                if matches!(event, Event::Mismatch { .. }) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }),
            ..Options::new(folder.path())
        };
        let second = Store::open(options).await.unwrap();
        let upstream = Upstream::of(&bytes);
        let blob = open(&second, &canonical, &upstream).await.unwrap();
        match read(&blob, 0, None).await {
            Ok(got) => assert_eq!(got, bytes),
            // It had some of the wrong ones.
            Err((got, error)) => {
                assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
                assert!(len > MIB && got.len() < len);
            }
        }
        let blob = open(&second, &canonical, &upstream).await.unwrap();
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        let blamed = upstream.distrusted.load(Ordering::SeqCst);
        assert_eq!((blamed, mismatches.load(Ordering::SeqCst)), (0, 0), "{len}");
    }
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_lands_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(4 * MIB));
    let (upstream, sender) = Upstream::by_hand(Some(bytes.len() as u64));
    sender.send(Ok(bytes.slice(..2 * MIB))).unwrap();
    let blob = open(&store, &canonical("app", &bytes), &upstream)
        .await
        .unwrap();
    blob.ready(2 * MIB as u64 - 1).await.unwrap();
    let files = spooled(folder.path());
    let file = fs::OpenOptions::new().write(true).open(&files[0]).unwrap();
    file.set_len(0).unwrap();
    let mut reader = blob.read(0, None);
    let error = reader.chunk().await.unwrap_err();
    assert!(matches!(error, Error::Local { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn those_who_stream_without_keeping_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        fills_max: 1,
        ..Options::new(folder.path())
    };
    let store = Store::open(options).await.unwrap();
    // Writes under way have no folder.
    fs::remove_dir_all(folder.path().join("spool")).unwrap();
    let (one, two) = (content(2 * MIB), content(3 * MIB));
    let first = open(&store, &canonical("app", &one), &Upstream::of(&one))
        .await
        .unwrap();
    let second = open(&store, &canonical("app", &two), &Upstream::of(&two)).await;
    assert!(matches!(second.unwrap_err(), Error::Busy));
    assert_eq!(read(&first, 0, None).await.unwrap(), one);
    drop(first);
    let second = open(&store, &canonical("app", &two), &Upstream::of(&two))
        .await
        .unwrap();
    assert_eq!(read(&second, 0, None).await.unwrap(), two);
}

#[tokio::test]
async fn a_fill_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let bytes = content(2 * MIB);
    let (stuck, _sender) = Upstream::by_hand(Some(bytes.len() as u64));
    let blob = open(&store, &canonical("app", &bytes), &stuck)
        .await
        .unwrap();
    assert_eq!(spooled(folder.path()).len(), 1);
    drop(blob);
    store.close().await;
    assert!(
        spooled(folder.path()).is_empty(),
        "when the store is closed, not some time later"
    );
}

#[tokio::test]
async fn a_range_far_ahead_is_asked_for_first() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(20 * MIB));
    let (upstream, canonical) = (Upstream::of(&bytes), canonical("app", &bytes));
    let start = bytes.len() - 51;
    let request = upstream.request(&canonical);
    let blob = store.blob(&request, from(start)).await.unwrap();
    assert_eq!(blob.size(), Some(bytes.len() as u64));
    assert_eq!(
        read(&blob, start as u64, None).await.unwrap(),
        bytes[start..]
    );
    assert_eq!(upstream.fetched.lock().unwrap()[0], start as u64);
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    assert_eq!(*upstream.fetched.lock().unwrap(), [start as u64, 0]);
}

#[tokio::test]
async fn a_refused_range_is_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(1000));
    let (upstream, canonical) = (Upstream::refusing(unreachable), canonical("app", &bytes));
    let request = upstream.request(&canonical);
    let refused = store.blob(&request, from(20 * MIB)).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert_eq!(upstream.fetches(), 1);
}

#[tokio::test]
async fn a_descriptor_far_too_large_reserves_nothing() {
    for claim in [1 << 63, u64::MAX, 10_000_000_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let (store, bytes) = (store(&folder).await, content(MIB));
        // Upstream itself announces it.
        let sent = bytes.clone();
        let upstream = Upstream::new(move |_| Ok((Some(claim), chunked(&sent))));
        let opened = open(&store, &canonical("app", &bytes), &upstream).await;
        let read = match opened {
            Ok(blob) => read(&blob, 0, None).await.map_err(|(_, error)| error),
            Err(error) => Err(error),
        };
        assert!(matches!(read, Err(Error::Mismatch { .. })), "{read:?}");
        let honest = Upstream::of(&bytes);
        let blob = open(&store, &canonical("app", &bytes), &honest)
            .await
            .unwrap();
        assert_eq!(common::read(&blob, 0, None).await.unwrap(), bytes);
    }
}

/// An upstream that honours ranges, in chunks of this size; so many of its answers fail after so many bytes.
fn ranged(bytes: &Bytes, chunk: usize, cuts: Vec<usize>) -> Upstream {
    let (bytes, cuts) = (bytes.clone(), std::sync::Mutex::new(cuts));
    Upstream::new(move |offset| {
        let rest = bytes.slice((offset as usize).min(bytes.len())..);
        let cut = cuts.lock().unwrap().pop();
        let end = cut.map_or(rest.len(), |cut| cut.min(rest.len()));
        let sent = rest.slice(..end);
        let starts = (0..sent.len()).step_by(chunk);
        let chunks = starts.map(move |at| Ok(sent.slice(at..sent.len().min(at + chunk))));
        let chunks: Vec<_> = match end < rest.len() {
            true => chunks.chain([Err(unreachable())]).collect(),
            false => chunks.collect(),
        };
        // Others get their turn between the chunks.
        let chunks = futures_util::stream::iter(chunks).then(|chunk| async {
            tokio::task::yield_now().await;
            chunk
        });
        Ok((Some(bytes.len() as u64), chunks.boxed()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is read in whatever order, over however many connections, wherever they are cut.
    #[test]
    fn readers_get_the_blob_whatever_lands_first(
        len in (18 * MIB)..(26 * MIB),
        chunk in 1000usize..2_000_000,
        ranges in prop::collection::vec((0.0f64..1.0, 1usize..3_000_000), 1..10),
        cuts in prop::collection::vec(0usize..(12 * MIB), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, bytes) = (store(&folder).await, content(len));
            let canonical = canonical("app", &bytes);
            let upstream = ranged(&bytes, chunk, cuts);
            let parts = ranges.iter().map(|(at, part)| {
                let start = (len as f64 * at) as usize;
                (start, (start + part).min(len))
            });
            let reads = parts.chain([(0, len)]).map(|(start, end)| {
                let (store, request, bytes) = (&store, upstream.request(&canonical), &bytes);
                async move {
                    let wanted = BlobRange::From { start: start as u64, end: Some(end as u64) };
                    let blob = store.blob(&request, wanted).await?;
                    match read(&blob, start as u64, Some(end as u64)).await {
                        Ok(got) => assert!(got == bytes[start..end], "{start}..{end}"),
                        Err((got, error)) => {
                            assert!(bytes[start..end].starts_with(&got), "{start}..{end}");
                            return Err(error);
                        }
                    }
                    Ok(())
                }
            });
            for failed in join_all(reads).await.into_iter().filter_map(Result::err) {
                assert!(matches!(failed, Error::Refused(_)), "{failed:?}");
            }
            store.close().await;
            let honest = Upstream::of(&bytes);
            let blob = open(&store, &canonical, &honest).await.unwrap();
            assert!(read(&blob, 0, None).await.unwrap() == bytes);
        });
    }
}

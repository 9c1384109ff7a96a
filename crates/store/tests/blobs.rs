//! Blobs through the store: one fetch for all, right bytes or none, whatever upstream, disk and clients do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{
    Answer, AskBlob, AskManifest, BlobQuestion, MIB, Upstream, canonical, chunked, content,
    for_blob, for_manifest, gone, named, open, path_of, read, store, unreachable,
};
use futures_util::{FutureExt, StreamExt, stream};
use longshore_reference::{Canonical, Digest, Named, Tag, Tagged};
use longshore_store::{BlobRange, Error, Event, Fetched, Options, Outcome, Policy, Refusal, Store};
use proptest::prelude::*;
use tokio::sync::Notify;

/// A range that a client resumes with.
fn past_start() -> BlobRange {
    BlobRange::From {
        start: 1,
        end: None,
    }
}

/// Files below the spool, locks aside.
fn spooled(root: &Path) -> usize {
    let folders = fs::read_dir(root.join("spool"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir());
    folders
        .map(|folder| fs::read_dir(folder.path()).unwrap().count() - 1)
        .sum()
}

#[tokio::test]
async fn a_miss_becomes_a_hit() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(3 * MIB));
    let (canonical, upstream) = (canonical("app", &bytes), Upstream::of(&bytes));
    let blob = open(&store, &canonical, &upstream).await.unwrap();
    assert_eq!(
        (blob.outcome(), blob.size()),
        (Outcome::Miss, Some(bytes.len() as u64))
    );
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    store.close().await;
    drop(blob);

    let store = Store::open(Options::new(folder.path())).await.unwrap();
    let down = Upstream::refusing(unreachable);
    let blob = open(&store, &canonical, &down).await.unwrap();
    assert_eq!(blob.outcome(), Outcome::Hit);
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    assert_eq!(read(&blob, 17, Some(4711)).await.unwrap(), bytes[17..4711]);
    assert_eq!((upstream.fetches(), down.fetches()), (1, 0));
    assert_eq!(spooled(folder.path()), 0);
}

#[tokio::test]
async fn joiners_at_any_offset_share_one_fetch() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(4 * MIB));
    let canonical = canonical("app", &bytes);
    let (upstream, sender) = Upstream::by_hand(Some(bytes.len() as u64));
    let (first, half) = (open(&store, &canonical, &upstream), bytes.slice(..2 * MIB));
    sender.send(Ok(half.clone())).unwrap();
    let first = first.await.unwrap();
    let mut reader = first.read(0, None);
    let mut got = Vec::new();
    while got.len() < 2 * MIB {
        got.extend_from_slice(&reader.chunk().await.unwrap().unwrap());
    }
    assert_eq!(
        got, half,
        "the first half arrives before the second one has left upstream"
    );

    let late = open(&store, &canonical, &upstream).await.unwrap();
    assert_eq!(late.outcome(), Outcome::Joined);
    assert_eq!(
        read(&late, 5, Some(MIB as u64)).await.unwrap(),
        bytes[5..MIB],
        "a range of what has landed"
    );
    drop((first, reader));
    sender.send(Ok(bytes.slice(2 * MIB..))).unwrap();
    drop(sender);
    assert_eq!(
        read(&late, 3 * MIB as u64, None).await.unwrap(),
        bytes[3 * MIB..]
    );
    assert_eq!(read(&late, 0, None).await.unwrap(), bytes);
    assert_eq!(upstream.fetches(), 1);
}

#[tokio::test]
async fn a_fill_outlives_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(2 * MIB));
    let canonical = canonical("app", &bytes);
    let (upstream, sender) = Upstream::by_hand(Some(bytes.len() as u64));
    drop(open(&store, &canonical, &upstream).await.unwrap());
    sender.send(Ok(bytes.clone())).unwrap();
    drop(sender);
    let blob = open(&store, &canonical, &upstream).await.unwrap();
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    assert_eq!(upstream.fetches(), 1);
}

#[tokio::test]
async fn wrong_bytes_never_complete_and_are_not_kept() {
    let right = content(3 * MIB);
    let mut wrong = right.to_vec();
    wrong[MIB] ^= 1;
    let longer = [&right[..], b"x"].concat();
    for (name, sent, size) in [
        ("wrong", wrong, Some(right.len())),
        ("short", right[..2 * MIB].to_vec(), Some(right.len())),
        ("long", longer, Some(right.len())),
        ("short of unknown size", right[..2 * MIB].to_vec(), None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, canonical) = (store(&folder).await, canonical("app", &right));
        let sent = Bytes::from(sent);
        let upstream = Upstream::new(move |_| Ok((size.map(|size| size as u64), chunked(&sent))));
        // A fill that fails at once is refused before any byte.
        let (got, error) = match open(&store, &canonical, &upstream).await {
            Ok(blob) => read(&blob, 0, None).await.unwrap_err(),
            Err(error) => (Vec::new(), error),
        };
        assert!(matches!(error, Error::Mismatch { .. }), "{name}: {error:?}");
        assert!(
            got.len() <= right.len() - 4096,
            "{name}: the last bytes were held back"
        );
        let part = store
            .blob(&upstream.request(&canonical), past_start())
            .await;
        assert!(matches!(part, Err(Error::Distrusted { .. })), "{name}");

        let honest = Upstream::of(&right);
        let blob = open(&store, &canonical, &honest).await.unwrap();
        assert_eq!(read(&blob, 0, None).await.unwrap(), right, "{name}");
        assert_eq!((upstream.fetches(), honest.fetches()), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_small_wrong_blob_is_refused_before_byte_one() {
    let folder = tempfile::tempdir().unwrap();
    let (store, right) = (store(&folder).await, content(1000));
    let upstream = Upstream::of(&content(999));
    let error = open(&store, &canonical("app", &right), &upstream)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
    assert_eq!(upstream.distrusted.load(Ordering::SeqCst), 1);
    assert!(!path_of(folder.path(), Digest::sha256(&right)).exists());
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let folder = tempfile::tempdir().unwrap();
    let (store, empty) = (store(&folder).await, content(0));
    let blob = open(&store, &canonical("app", &empty), &Upstream::of(&empty))
        .await
        .unwrap();
    assert_eq!(blob.size(), Some(0));
    assert_eq!(read(&blob, 0, None).await.unwrap(), b"");
}

#[tokio::test]
async fn content_of_another_repository_is_only_asked_after() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(10_000));
    let upstream = Upstream::of(&bytes);
    open(&store, &canonical("one", &bytes), &upstream)
        .await
        .unwrap();
    for outcome in [Outcome::Revalidated, Outcome::Hit] {
        let blob = loop {
            match open(&store, &canonical("two", &bytes), &upstream)
                .await
                .unwrap()
            {
                // The first fill may still be committing.
                joined if joined.outcome() == Outcome::Joined => tokio::task::yield_now().await,
                blob => break blob,
            }
        };
        assert!(blob.outcome() == outcome || blob.outcome() == Outcome::Hit);
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    }
    assert_eq!((upstream.fetches(), upstream.checked()), (1, 1));

    let denying = Upstream::refusing(gone);
    let error = open(&store, &canonical("three", &bytes), &denying)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Gone { .. })),
        "{error:?}"
    );
    open(&store, &canonical("three", &bytes), &denying)
        .await
        .unwrap_err();
    assert_eq!(denying.checked(), 1, "remembered for negative_ttl");
}

#[tokio::test]
async fn a_kept_file_that_fails_is_finished_from_upstream() {
    let bytes = content(4 * MIB);
    for cut in [0, 1, MIB, 3 * MIB + 5] {
        let folder = tempfile::tempdir().unwrap();
        let (first, canonical) = (store(&folder).await, canonical("app", &bytes));
        read(
            &open(&first, &canonical, &Upstream::of(&bytes))
                .await
                .unwrap(),
            0,
            None,
        )
        .await
        .unwrap();
        first.close().await;
        let path = path_of(folder.path(), canonical.digest());

        // Shorter on disk after it was opened: the descriptor's reads end early.
        let second = Store::open(Options::new(folder.path())).await.unwrap();
        let upstream = Upstream::of(&bytes);
        let blob = open(&second, &canonical, &upstream).await.unwrap();
        assert_eq!(blob.outcome(), Outcome::Hit);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(cut as u64)
            .unwrap();
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes, "cut at {cut}");
        assert_eq!(
            *upstream.fetched.lock().unwrap(),
            [cut as u64],
            "only what is lost is fetched"
        );
        second.close().await;

        // Shorter before it is opened: the record's size tells.
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(cut as u64)
            .unwrap();
        let third = Store::open(Options::new(folder.path())).await.unwrap();
        let upstream = Upstream::of(&bytes);
        let blob = open(&third, &canonical, &upstream).await.unwrap();
        assert_eq!(
            (blob.outcome(), blob.size()),
            (Outcome::Hit, Some(bytes.len() as u64)),
            "cut at {cut}"
        );
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes, "cut at {cut}");
        assert_eq!(*upstream.fetched.lock().unwrap(), [cut as u64]);
    }
}

/// An upstream that answers when the gate opens, and tells when it is asked.
fn gated(upstream: &Upstream, asked: &Arc<Notify>, gate: &Arc<Notify>) -> AskBlob {
    let (ask, asked, gate) = (upstream.ask(), Arc::clone(asked), Arc::clone(gate));
    Arc::new(move |question| {
        let (answer, asked, gate) = (ask(question), Arc::clone(&asked), Arc::clone(&gate));
        async move {
            asked.notify_one();
            gate.notified().await;
            answer.await
        }
        .boxed()
    })
}

#[tokio::test]
async fn what_upstream_says_to_one_repository_is_no_answer_for_another() {
    let bytes = content(1000);
    let limited = || Refusal::Limited {
        retry_after: None,
        cause: Arc::new(std::io::Error::other("on purpose")),
    };
    let failing = [
        Upstream::refusing(gone),
        Upstream::refusing(unreachable),
        Upstream::refusing(limited),
        Upstream::of(&content(999)),
    ];
    for (row, failing) in failing.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let (one, two) = (canonical("one", &bytes), canonical("two", &bytes));
        let (asked, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let leader = tokio::spawn({
            let (store, one, ask) = (store.clone(), one.clone(), gated(&failing, &asked, &gate));
            async move {
                let request = for_blob(&one, &Policy::default(), ask);
                store.blob(&request, BlobRange::All).await
            }
        });
        asked.notified().await;
        // The other repository is asked after the blob when it has joined: then the leader's upstream may answer.
        let upstream = Upstream::of(&bytes);
        let ask: AskBlob = {
            let (ask, gate) = (upstream.ask(), Arc::clone(&gate));
            Arc::new(move |question| {
                if matches!(question, BlobQuestion::Check) {
                    gate.notify_one();
                }
                ask(question)
            })
        };
        let joined = store
            .blob(&for_blob(&two, &Policy::default(), ask), BlobRange::All)
            .await;
        let joined = joined.unwrap_or_else(|error| panic!("row {row}: {error:?}"));
        assert_eq!(joined.outcome(), Outcome::Miss, "row {row}: it leads now");
        assert_eq!(read(&joined, 0, None).await.unwrap(), bytes, "row {row}");
        assert!(leader.await.unwrap().is_err(), "row {row}");
        let again = open(&store, &two, &Upstream::refusing(unreachable)).await;
        assert!(again.is_ok(), "row {row}: {again:?}");
        assert_eq!((failing.fetches(), upstream.fetches()), (1, 1), "row {row}");
        assert_eq!(upstream.checked(), 1, "row {row}");
    }
}

/// A store that counts what it moves aside.
async fn counting(folder: &tempfile::TempDir) -> (Store, Arc<AtomicUsize>) {
    let quarantined = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&quarantined);
    let options = Options {
        observer: Arc::new(move |event| {
            if matches!(event, Event::Quarantined) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }),
        ..Options::new(folder.path())
    };
    (Store::open(options).await.unwrap(), quarantined)
}

/// A manifest that says of a layer what it likes.
fn image(layer: Digest, size: usize) -> Bytes {
    let config = Digest::sha256(b"{}");
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#,
    ))
}

/// Pulls a tag that is such a manifest.
async fn pull_image(store: &Store, path: &str, layer: Digest, size: usize) {
    pull_image_of(store, named(path), layer, size).await;
}

async fn pull_image_of(store: &Store, named: Named, layer: Digest, size: usize) {
    let manifest = image(layer, size);
    let ask: AskManifest = Arc::new(move |_| {
        let fetched = Fetched {
            bytes: manifest.clone(),
            media_type: None,
            digest: None,
        };
        async move { Answer::Body(fetched) }.boxed()
    });
    let tagged = Tagged::new(named, Tag::parse("latest").unwrap());
    let request = for_manifest(tagged, &Policy::default(), ask);
    store.manifest(&request).await.unwrap();
}

/// A layer that a private upstream sent is not served to a repository of another upstream whose manifest names it.
#[tokio::test]
async fn a_manifest_of_one_upstream_does_not_give_it_what_another_one_sent() {
    for bucket in [None, Some("memory:///")] {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options {
            bucket: bucket.map(|url| url.parse().unwrap()),
            ..Options::new(folder.path())
        };
        let store = Store::open(options()).await.unwrap();
        let bytes = content(2 * MIB);
        let digest = Digest::sha256(&bytes);
        let private = Named::new("private.example", "app").unwrap();
        let secret = Canonical::new(private.clone(), digest);
        pull_image_of(&store, private.clone(), digest, bytes.len()).await;
        let upstream = Upstream::of(&bytes);
        let blob = open(&store, &secret, &upstream).await.unwrap();
        read(&blob, 0, None).await.unwrap();
        store.close().await;
        let store = Store::open(options()).await.unwrap();

        // Somebody who knows the digest pushes a manifest that names it to another upstream.
        pull_image(&store, "evil", digest, bytes.len()).await;
        let evil = canonical("evil", &bytes);
        let denying = Upstream::refusing(gone);
        let error = open(&store, &evil, &denying).await.unwrap_err();
        let is_gone = |error: &Error| matches!(error, Error::Refused(Refusal::Gone { .. }));
        assert!(is_gone(&error), "{error:?}");
        let head = store.blob_size(&denying.request(&evil)).await;
        assert!(is_gone(&head.unwrap_err()));
        assert_eq!((denying.fetches(), denying.checked()), (0, 1));

        // The repository that has it is not asked, nor is one of the same upstream whose manifest names it.
        let down = Upstream::refusing(unreachable);
        let other = Named::new("private.example", "other").unwrap();
        pull_image_of(&store, private, digest, bytes.len()).await;
        pull_image_of(&store, other.clone(), digest, bytes.len()).await;
        for canonical in [secret, Canonical::new(other, digest)] {
            let blob = open(&store, &canonical, &down).await.unwrap();
            assert_eq!(blob.outcome(), Outcome::Hit);
            assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        }
        // An upstream that has it too says so once.
        pull_image(&store, "good", digest, bytes.len()).await;
        let good = canonical("good", &bytes);
        let blob = open(&store, &good, &upstream).await.unwrap();
        assert_eq!(blob.outcome(), Outcome::Revalidated);
        assert_eq!((upstream.fetches(), upstream.checked()), (1, 1));
        let blob = open(&store, &good, &down).await.unwrap();
        assert_eq!(blob.outcome(), Outcome::Hit);
        assert_eq!((down.fetches(), down.checked()), (0, 0));
        store.close().await;
    }
}

/// The layer is on its way for a private upstream when a repository of another one asks for it.
#[tokio::test]
async fn a_fill_of_one_upstream_is_joined_by_another_one_that_has_the_blob_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let bytes = content(2 * MIB);
    let digest = Digest::sha256(&bytes);
    let secret = Canonical::new(Named::new("private.example", "app").unwrap(), digest);
    let (slow, sender) = Upstream::by_hand(Some(bytes.len() as u64));
    let leader = open(&store, &secret, &slow).await.unwrap();
    pull_image(&store, "evil", digest, bytes.len()).await;
    let denying = Upstream::refusing(gone);
    let error = open(&store, &canonical("evil", &bytes), &denying)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Gone { .. })),
        "{error:?}"
    );
    assert_eq!((denying.fetches(), denying.checked()), (0, 1));
    sender.send(Ok(bytes.clone())).unwrap();
    drop(sender);
    assert_eq!(read(&leader, 0, None).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_size_that_is_told_wrongly_destroys_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(3 * MIB);
    let (first, _) = counting(&folder).await;
    let (own, digest) = (canonical("app", &bytes), Digest::sha256(&bytes));
    let upstream = Upstream::of(&bytes);
    let blob = open(&first, &own, &upstream).await.unwrap();
    read(&blob, 0, None).await.unwrap();
    first.close().await;

    // Manifests of the same and of another repository lie, and so does an upstream that is only asked after the blob.
    let (store, quarantined) = counting(&folder).await;
    pull_image(&store, "app", digest, 1).await;
    pull_image(&store, "evil", digest, 1).await;
    let liar = Upstream::new(|_| Ok((Some(1), chunked(&Bytes::new()))));
    let told = canonical("told", &bytes);
    let blob = open(&store, &told, &liar).await.unwrap();
    assert_eq!(blob.outcome(), Outcome::Revalidated);

    let (down, size) = (Upstream::refusing(unreachable), Some(bytes.len() as u64));
    let evil = canonical("evil", &bytes);
    let head = store.blob_size(&down.request(&evil)).await;
    assert_eq!(head.unwrap(), (size, Outcome::Hit));
    for canonical in [&own, &evil, &told] {
        let blob = open(&store, canonical, &down).await.unwrap();
        assert_eq!((blob.outcome(), blob.size()), (Outcome::Hit, size));
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        let hex = digest.hex().to_string();
        let record = folder
            .path()
            .join("repositories")
            .join(canonical.named().to_string())
            .join("_content/sha256")
            .join(hex);
        let record = fs::read_to_string(record).unwrap_or_default();
        assert!(
            !record.contains(r#""size":1"#),
            "a claim is written down: {record}"
        );
    }
    assert_eq!(quarantined.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_file_that_a_claim_shows_to_be_cut_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(2 * MIB);
    let (first, _) = counting(&folder).await;
    let (other, upstream) = (canonical("other", &bytes), Upstream::of(&bytes));
    let blob = open(&first, &canonical("app", &bytes), &Upstream::of(&bytes))
        .await
        .unwrap();
    read(&blob, 0, None).await.unwrap();
    pull_image(&first, "other", other.digest(), bytes.len()).await;
    first.close().await;
    let path = path_of(folder.path(), other.digest());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(MIB as u64).unwrap();

    let (store, quarantined) = counting(&folder).await;
    let head = store.blob_size(&upstream.request(&other)).await;
    assert_eq!(head.unwrap().0, Some(bytes.len() as u64));
    let blob = open(&store, &other, &upstream).await.unwrap();
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    assert_eq!(quarantined.load(Ordering::SeqCst), 1);
    assert_eq!(
        *upstream.fetched.lock().unwrap(),
        [MIB as u64],
        "only what is lost is fetched"
    );
}

#[tokio::test]
async fn a_fill_that_nobody_reads_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options {
        fills_max: 1,
        ..Options::new(folder.path())
    })
    .await
    .unwrap();
    let (one, two) = (content(2 * MIB), content(3 * MIB));
    let (stuck, _sender) = Upstream::by_hand(Some(one.len() as u64));
    let unread = open(&store, &canonical("app", &one), &stuck).await.unwrap();
    drop(unread);
    let blob = open(&store, &canonical("app", &two), &Upstream::of(&two))
        .await
        .unwrap();
    assert_eq!(read(&blob, 0, None).await.unwrap(), two);
}

#[tokio::test]
async fn without_room_a_blob_passes_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(2 * MIB));
    let (canonical, sent) = (canonical("app", &bytes), bytes.clone());
    // No disk has room for what is announced. It never comes, so the last bytes stay held back.
    let upstream = Upstream::new(move |_| Ok((Some(1 << 60), chunked(&sent))));
    let blob = open(&store, &canonical, &upstream).await.unwrap();
    assert_eq!(blob.outcome(), Outcome::Bypass);
    let (got, error) = read(&blob, 0, None).await.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
    assert_eq!(got, bytes[..2 * MIB - 4096]);
    assert_eq!(store.usage().objects, 0);
}

/// Permission to the folder was lost, say: clients get what upstream has, and what is held is served again later.
#[tokio::test]
async fn a_local_store_that_cannot_be_read_is_bypassed_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(2 * MIB));
    let (canonical, upstream) = (canonical("app", &bytes), Upstream::of(&bytes));
    let blob = open(&store, &canonical, &upstream).await.unwrap();
    read(&blob, 0, None).await.unwrap();
    while !path_of(folder.path(), canonical.digest()).exists() || store.usage().fills > 0 {
        tokio::task::yield_now().await;
    }
    let (blobs, aside) = (folder.path().join("blobs"), folder.path().join("aside"));
    fs::rename(&blobs, &aside).unwrap();
    fs::write(&blobs, "no folder").unwrap();
    let blob = open(&store, &canonical, &upstream).await.unwrap();
    assert_eq!(blob.outcome(), Outcome::Bypass);
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    let request = upstream.request(&canonical);
    let (size, outcome) = store.blob_size(&request).await.unwrap();
    assert_eq!((size, outcome), (Some(2 * MIB as u64), Outcome::Miss));
    fs::remove_file(&blobs).unwrap();
    fs::rename(&aside, &blobs).unwrap();
    let down = Upstream::refusing(unreachable);
    let blob = open(&store, &canonical, &down).await.unwrap();
    assert_eq!(blob.outcome(), Outcome::Hit);
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
}

/// A store whose disk takes nothing, and how many wrong bodies it told of.
async fn full(folder: &tempfile::TempDir) -> (Store, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let tell = Arc::clone(&told);
    let observer = Arc::new(move |event: &Event<'_>| {
        if matches!(event, Event::Mismatch { .. }) {
            tell.fetch_add(1, Ordering::SeqCst);
        }
    });
    let store = Store::open(Options {
        observer,
        ..Options::new(folder.path())
    });
    let store = store.await.unwrap();
    // Writes under way have no folder.
    fs::remove_dir_all(folder.path().join("spool")).unwrap();
    (store, told)
}

#[tokio::test]
async fn without_room_wrong_bytes_have_the_same_end() {
    for (len, sized, answered) in [
        (1000, true, false),
        (1000, false, false),
        (MIB, true, false),
        (MIB, false, false),
        (3 * MIB, true, true),
        (3 * MIB, false, true),
    ] {
        let name = format!("{len}, sized: {sized}");
        let folder = tempfile::tempdir().unwrap();
        let (store, told) = full(&folder).await;
        let right = content(len);
        let mut wrong = right.to_vec();
        wrong[500] ^= 1;
        let (canonical, wrong) = (canonical("app", &right), Bytes::from(wrong));
        let upstream =
            Upstream::new(move |_| Ok((sized.then_some(wrong.len() as u64), chunked(&wrong))));
        let error = match open(&store, &canonical, &upstream).await {
            Ok(blob) => {
                assert!(answered, "{name}: small ones are verified first");
                assert_eq!(blob.outcome(), Outcome::Bypass);
                let (got, error) = read(&blob, 0, None).await.unwrap_err();
                assert!(!got.is_empty() && got.len() <= len - 4096, "{name}");
                error
            }
            Err(error) => {
                assert!(!answered, "{name}: {error:?}");
                error
            }
        };
        assert!(matches!(error, Error::Mismatch { .. }), "{name}: {error:?}");
        let distrusted = upstream.distrusted.load(Ordering::SeqCst);
        assert_eq!((distrusted, told.load(Ordering::SeqCst)), (1, 1), "{name}");

        let honest = Upstream::of(&right);
        let part = store.blob(&honest.request(&canonical), past_start()).await;
        assert!(matches!(part, Err(Error::Distrusted { .. })), "{name}");
        let blob = open(&store, &canonical, &honest).await.unwrap();
        assert_eq!(
            (blob.outcome(), blob.size()),
            (Outcome::Bypass, Some(len as u64)),
            "{name}"
        );
        assert_eq!(read(&blob, 0, None).await.unwrap(), right, "{name}");
        assert_eq!(
            read(&blob, 7, Some(700)).await.unwrap(),
            right[7..700],
            "{name}: another reader"
        );
    }
}

#[tokio::test]
async fn without_room_a_small_blob_of_unknown_size_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let ((store, _), bytes) = (full(&folder).await, content(1000));
    let sent = bytes.clone();
    let upstream = Upstream::new(move |_| Ok((None, chunked(&sent))));
    let blob = open(&store, &canonical("app", &bytes), &upstream)
        .await
        .unwrap();
    assert_eq!((blob.outcome(), blob.size()), (Outcome::Bypass, Some(1000)));
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
}

/// An upstream that goes on and on must not fill the memory with what is held back.
#[tokio::test]
async fn without_room_more_bytes_than_announced_end_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ((store, _), bytes) = (full(&folder).await, content(2 * MIB));
    let (sent, taken) = (bytes.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&taken);
    let upstream = Upstream::new(move |_| {
        let count = Arc::clone(&count);
        let more = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from_static(b"more"))
        });
        let more = chunked(&sent).chain(more.take(10_000));
        Ok((Some(sent.len() as u64), more.boxed()))
    });
    let blob = open(&store, &canonical("app", &bytes), &upstream)
        .await
        .unwrap();
    let (got, error) = read(&blob, 0, None).await.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
    assert_eq!(got, bytes[..2 * MIB - 4096]);
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn no_permit_in_time_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options {
        fills_max: 1,
        ..Options::new(folder.path())
    })
    .await
    .unwrap();
    let (one, two) = (content(2 * MIB), content(3 * MIB));
    let (stuck, _sender) = Upstream::by_hand(Some(one.len() as u64));
    let _read = open(&store, &canonical("app", &one), &stuck).await.unwrap();
    let error = open(&store, &canonical("app", &two), &Upstream::of(&two))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Busy), "{error:?}");
}

#[tokio::test]
async fn heads_start_no_fill() {
    let folder = tempfile::tempdir().unwrap();
    let (store, bytes) = (store(&folder).await, content(10_000));
    let (canonical, upstream) = (canonical("app", &bytes), Upstream::of(&bytes));
    let request = upstream.request(&canonical);
    let size = store.blob_size(&request).await.unwrap();
    assert_eq!(size, (Some(10_000), Outcome::Miss));
    assert_eq!((upstream.fetches(), store.usage().fills), (0, 0));
    open(&store, &canonical, &upstream).await.unwrap();
    store.close().await;
    let request = Upstream::refusing(unreachable).request(&canonical);
    let size = store.blob_size(&request).await.unwrap();
    assert_eq!(size, (Some(10_000), Outcome::Hit));
}

#[tokio::test]
async fn a_bucket_serves_what_the_local_tier_lost() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Some("memory:///".parse().unwrap());
    let store = Store::open(Options {
        bucket,
        ..Options::new(folder.path())
    })
    .await
    .unwrap();
    for len in [1000, 20 * MIB] {
        let bytes = content(len);
        let canonical = canonical("app", &bytes);
        read(
            &open(&store, &canonical, &Upstream::of(&bytes))
                .await
                .unwrap(),
            0,
            None,
        )
        .await
        .unwrap();
        let path = path_of(folder.path(), canonical.digest());
        let down = Upstream::refusing(unreachable);
        // The upload goes on after the answer: until it is done, the local tier has the blob.
        let blob = loop {
            let gone = fs::remove_file(&path).is_ok();
            match open(&store, &canonical, &down).await {
                Ok(blob) => break blob,
                Err(_) if gone => panic!("the bucket did not have it when the local file went"),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn content_of_another_repository_in_the_bucket_is_only_asked_after() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Some("memory:///".parse().unwrap());
    let options = Options {
        bucket,
        ..Options::new(folder.path())
    };
    let store = Store::open(options).await.unwrap();
    let bytes = content(2 * MIB);
    let blob = open(&store, &canonical("one", &bytes), &Upstream::of(&bytes))
        .await
        .unwrap();
    read(&blob, 0, None).await.unwrap();
    // Ends when all is uploaded.
    store.close().await;
    let path = path_of(folder.path(), Digest::sha256(&bytes));
    fs::remove_file(&path).unwrap();

    let denying = Upstream::refusing(gone);
    for _ in 0..2 {
        let refused = open(&store, &canonical("two", &bytes), &denying).await;
        let error = refused.unwrap_err();
        assert!(
            matches!(error, Error::Refused(Refusal::Gone { .. })),
            "{error:?}"
        );
    }
    assert_eq!((denying.fetches(), denying.checked()), (0, 1));
    let upstream = Upstream::of(&bytes);
    let blob = open(&store, &canonical("three", &bytes), &upstream)
        .await
        .unwrap();
    assert_eq!(blob.outcome(), Outcome::Revalidated);
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    assert_eq!((upstream.fetches(), upstream.checked()), (0, 1));
    store.close().await;
    fs::remove_file(&path).unwrap();
    let down = Upstream::refusing(unreachable);
    for path in ["one", "three"] {
        let blob = open(&store, &canonical(path, &bytes), &down).await.unwrap();
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    }
    assert_eq!((down.fetches(), down.checked()), (0, 0), "both have it");
}

#[tokio::test]
async fn content_that_another_repository_had_meanwhile_is_only_asked_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options {
        fills_max: 1,
        ..Options::new(folder.path())
    })
    .await
    .unwrap();
    let large = content(2 * MIB);
    let (slow, sender) = Upstream::by_hand(Some(large.len() as u64));
    let blob = open(&store, &canonical("app", &large), &slow)
        .await
        .unwrap();
    // Nobody has it when it is looked up, and then the fill waits for the only permit.
    let layer = Digest::sha256(b"a layer");
    let document = image(layer, 7);
    let other = canonical("two", &document);
    let denying = Upstream::refusing(gone);
    let waiting = tokio::spawn({
        let (store, other, denying) = (store.clone(), other.clone(), denying.clone());
        async move { open(&store, &other, &denying).await }
    });
    while store.usage().fills < 2 {
        tokio::task::yield_now().await;
    }
    pull_image(&store, "one", layer, 7).await;
    assert!(path_of(folder.path(), other.digest()).exists());
    sender.send(Ok(large.clone())).unwrap();
    drop(sender);
    assert_eq!(read(&blob, 0, None).await.unwrap(), large);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Gone { .. })),
        "{error:?}"
    );
    assert_eq!((denying.fetches(), denying.checked()), (0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    /// A tail gives what its fill brings, whatever the chunks and wherever it starts.
    #[test]
    fn a_tail_equals_its_fill(cuts in prop::collection::vec(1usize..400_000, 1..12), from in 0.0f64..1.0, sized in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = store(&folder).await;
            let bytes = content(cuts.iter().sum());
            let canonical = canonical("app", &bytes);
            let (upstream, sender) = Upstream::by_hand(sized.then_some(bytes.len() as u64));
            let mut at = 0;
            for cut in cuts {
                sender.send(Ok(bytes.slice(at..at + cut))).unwrap();
                at += cut;
            }
            drop(sender);
            let blob = open(&store, &canonical, &upstream).await.unwrap();
            let start = (bytes.len() as f64 * from) as usize;
            assert_eq!(read(&blob, start as u64, None).await.unwrap(), bytes[start..]);
        });
    }
}

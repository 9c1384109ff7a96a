//! What every store must do, whatever is behind its local tier.
//!
//! It runs over files and over `memory://`. With `LONGSHORE_TEST_STORE` set to the URL of a bucket, such as
//! `s3://bucket/prefix`, it runs over that one too; the bucket's own variables configure it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{
    Answer, Ask, MIB, Upstream, canonical, content, for_manifest, gone, named, open, path_of, read,
    unreachable,
};
use futures_util::FutureExt;
use futures_util::future::join_all;
use longshore_reference::{Algorithm, Canonical, Digest, Tag, Tagged};
use longshore_store::{Fetched, Options, Outcome, Policy, Store};
use tempfile::TempDir;
use url::Url;

/// A store of one backend, in a folder and under a prefix of its own.
struct Fixture {
    name: String,
    bucket: Option<Url>,
    folder: TempDir,
    store: Store,
}

impl Fixture {
    async fn new(name: &str, bucket: Option<Url>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            name: name.to_owned(),
            store: opened(&folder, bucket.clone()).await,
            bucket,
            folder,
        }
    }

    /// Waits until the bucket has everything.
    async fn uploaded(&self) {
        for _ in 0..6000 {
            if self.store.usage().outbox == 0 && self.store.usage().fills == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{}: {:?}", self.name, self.store.usage());
    }

    /// Whether content outlives the process: a bucket in memory does not, but the local tier does.
    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = opened(&self.folder, self.bucket.clone()).await;
    }
}

async fn opened(folder: &TempDir, bucket: Option<Url>) -> Store {
    let options = Options {
        bucket,
        ..Options::new(folder.path())
    };
    Store::open(options).await.unwrap()
}

/// A fixture of each backend.
async fn backends() -> Vec<Fixture> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut all = vec![
        Fixture::new("file", None).await,
        Fixture::new("memory", Some("memory:///".parse().unwrap())).await,
    ];
    if let Ok(url) = std::env::var("LONGSHORE_TEST_STORE") {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let url = format!(
            "{}/{}-{number}",
            url.trim_end_matches('/'),
            std::process::id()
        );
        all.push(Fixture::new(&url, Some(url.parse().unwrap())).await);
    }
    all
}

/// One part, the border between one request and several, and several parts.
const SIZES: [usize; 6] = [1, 4097, MIB, 8 * MIB, 8 * MIB + 1, 20 * MIB];

fn seeded(seed: u8, len: usize) -> Bytes {
    let mut bytes = content(len).to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= seed;
    }
    bytes.into()
}

#[tokio::test]
async fn a_blob_is_fetched_once_and_kept() {
    for mut fixture in backends().await {
        for size in SIZES {
            let bytes = seeded(1, size);
            let canonical = canonical("app", &bytes);
            let upstream = Upstream::of(&bytes);
            let blob = open(&fixture.store, &canonical, &upstream).await.unwrap();
            assert_eq!(blob.outcome(), Outcome::Miss);
            assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
            let blob = open(&fixture.store, &canonical, &upstream).await.unwrap();
            assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
            assert_eq!(upstream.fetches(), 1, "{} {size}", fixture.name);
        }
        fixture.uploaded().await;
        fixture.reopen().await;
        let down = Upstream::refusing(unreachable);
        for size in SIZES {
            let bytes = seeded(1, size);
            let blob = open(&fixture.store, &canonical("app", &bytes), &down)
                .await
                .unwrap();
            assert_eq!(blob.outcome(), Outcome::Hit, "{} {size}", fixture.name);
            assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn the_empty_blob_is_kept() {
    for fixture in backends().await {
        let bytes = Bytes::new();
        let canonical = canonical("app", &bytes);
        let blob = open(&fixture.store, &canonical, &Upstream::of(&bytes))
            .await
            .unwrap();
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        fixture.uploaded().await;
        drop(fs::remove_file(path_of(
            fixture.folder.path(),
            canonical.digest(),
        )));
        if fixture.bucket.is_some() {
            let down = Upstream::refusing(unreachable);
            let blob = open(&fixture.store, &canonical, &down).await.unwrap();
            assert_eq!(
                read(&blob, 0, None).await.unwrap(),
                bytes,
                "{}",
                fixture.name
            );
        }
    }
}

#[tokio::test]
async fn what_the_local_tier_lost_comes_from_the_bucket() {
    for fixture in backends().await {
        if fixture.bucket.is_none() {
            continue;
        }
        for size in SIZES {
            let bytes = seeded(2, size);
            let canonical = canonical("app", &bytes);
            let blob = open(&fixture.store, &canonical, &Upstream::of(&bytes))
                .await
                .unwrap();
            read(&blob, 0, None).await.unwrap();
            fixture.uploaded().await;
            let path = path_of(fixture.folder.path(), canonical.digest());
            fs::remove_file(&path).unwrap();
            let down = Upstream::refusing(unreachable);
            let blob = open(&fixture.store, &canonical, &down).await.unwrap();
            assert_eq!(blob.outcome(), Outcome::Hit, "{} {size}", fixture.name);
            let middle = size as u64 / 2;
            assert_eq!(read(&blob, middle, None).await.unwrap(), bytes[size / 2..]);
            assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
            fixture.uploaded().await;
            assert_eq!(fs::read(&path).unwrap(), bytes, "it is kept");
        }
    }
}

#[tokio::test]
async fn a_digest_of_another_algorithm_is_kept() {
    for fixture in backends().await {
        let bytes = seeded(3, MIB);
        let digest = Digest::of(Algorithm::Sha512, &bytes);
        let canonical = Canonical::new(named("app"), digest);
        let blob = open(&fixture.store, &canonical, &Upstream::of(&bytes))
            .await
            .unwrap();
        assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        fixture.uploaded().await;
        if fixture.bucket.is_some() {
            let hex = digest.hex().to_string();
            let folder = fixture.folder.path().join("blobs/sha512").join(&hex[..2]);
            fs::remove_file(folder.join(hex)).unwrap();
        }
        let down = Upstream::refusing(unreachable);
        let blob = open(&fixture.store, &canonical, &down).await.unwrap();
        assert_eq!(
            read(&blob, 0, None).await.unwrap(),
            bytes,
            "{}",
            fixture.name
        );
    }
}

#[tokio::test]
async fn many_readers_cost_one_fetch() {
    for fixture in backends().await {
        let bytes = seeded(4, 3 * MIB);
        let canonical = canonical("app", &bytes);
        let upstream = Upstream::of(&bytes);
        let all = (0..20).map(|_| async {
            let blob = open(&fixture.store, &canonical, &upstream).await.unwrap();
            assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
        });
        join_all(all).await;
        assert_eq!(upstream.fetches(), 1, "{}", fixture.name);
    }
}

#[tokio::test]
async fn wrong_bytes_are_kept_nowhere() {
    for fixture in backends().await {
        for size in [1000, 9 * MIB] {
            let (right, wrong) = (seeded(5, size), seeded(6, size));
            let canonical = canonical("app", &right);
            match open(&fixture.store, &canonical, &Upstream::of(&wrong)).await {
                Ok(blob) => drop(read(&blob, 0, None).await.unwrap_err()),
                Err(error) => drop(error),
            }
            fixture.uploaded().await;
            let down = Upstream::refusing(unreachable);
            let error = open(&fixture.store, &canonical, &down).await.unwrap_err();
            assert!(error.to_string().contains("upstream"), "{error}");
            let blob = open(&fixture.store, &canonical, &Upstream::of(&right))
                .await
                .unwrap();
            assert_eq!(
                read(&blob, 0, None).await.unwrap(),
                right,
                "{}",
                fixture.name
            );
        }
    }
}

const MEDIA_TYPE: &str = "application/vnd.oci.image.index.v1+json";

#[tokio::test]
async fn a_tag_moves_and_is_served_stale() {
    for mut fixture in backends().await {
        let tagged = Tagged::new(named("a_b/c.d--e"), Tag::parse("_1.0-rc.1_x").unwrap());
        let policy = Policy {
            revalidate: Duration::ZERO,
            failed_ttl: Duration::ZERO,
            ..Policy::default()
        };
        let manifest = |mark: &str| {
            Bytes::from(format!(
                r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","manifests":[],"annotations":{{"mark":"{mark}"}}}}"#
            ))
        };
        for mark in ["one", "two"] {
            let bytes = manifest(mark);
            let ask = move |ask| {
                let bytes = bytes.clone();
                async move {
                    match ask {
                        Ask::Check(_) => Answer::Changed(None),
                        Ask::Fetch => Answer::Body(Fetched {
                            media_type: Some(MEDIA_TYPE.to_owned()),
                            digest: Some(Digest::sha256(&bytes)),
                            bytes,
                        }),
                    }
                }
                .boxed()
            };
            let request = for_manifest(tagged.clone(), &policy, Arc::new(ask));
            let held = fixture.store.manifest(&request).await.unwrap();
            assert_eq!(held.bytes, manifest(mark), "{}", fixture.name);
        }
        fixture.uploaded().await;
        fixture.reopen().await;
        let down = |_| async { Answer::Refused(unreachable()) }.boxed();
        let policy = Policy {
            stale_needs_whole: false,
            ..policy
        };
        let request = for_manifest(tagged.clone(), &policy, Arc::new(down));
        let held = fixture.store.manifest(&request).await.unwrap();
        assert_eq!(
            (held.outcome, held.bytes),
            (Outcome::Stale, manifest("two"))
        );
        // A tag that upstream deleted is removed from the bucket too.
        let deleted = |_| async { Answer::Refused(gone()) }.boxed();
        let request = for_manifest(tagged.clone(), &policy, Arc::new(deleted));
        fixture.store.manifest(&request).await.unwrap_err();
        fixture.uploaded().await;
        fixture.reopen().await;
        let request = for_manifest(tagged, &policy, Arc::new(down));
        fixture.store.manifest(&request).await.unwrap_err();
    }
}

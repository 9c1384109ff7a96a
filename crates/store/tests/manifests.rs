//! Manifests through the store: fresh, checked, stale; every answer of upstream, with and without a kept copy.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

mod common;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use common::{
    Answer, Ask, AskManifest, Upstream, content, for_manifest, gone, named, open, unreachable,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_reference::{Canonical, Digest, Reference, Tag, Tagged};
use longshore_store::{
    Error, Fetched, Held, OnDeleted, OnDenied, Options, Outcome, Policy, Refusal, Store,
};

const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

type Script = Box<dyn FnMut(Ask) -> BoxFuture<'static, Answer> + Send>;

/// A store with a clock that the test moves, and an upstream that answers by script.
struct Fixture {
    _folder: tempfile::TempDir,
    store: Store,
    now: Arc<AtomicU64>,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Ask>>>,
    policy: Policy,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(1_000_000));
        let store = Self::open(&folder, &now).await;
        Self {
            _folder: folder,
            store,
            now,
            script: Arc::new(Mutex::new(Box::new(|_| {
                async { Answer::Refused(unreachable()) }.boxed()
            }))),
            asked: Arc::default(),
            policy: Policy::default(),
        }
    }

    async fn open(folder: &tempfile::TempDir, now: &Arc<AtomicU64>) -> Store {
        let now = Arc::clone(now);
        let clock = Arc::new(move || -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst))
        });
        Store::open(Options {
            clock,
            ..Options::new(folder.path())
        })
        .await
        .unwrap()
    }

    fn answers(&self, mut script: impl FnMut(Ask) -> Answer + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(move |ask| {
            let answer = script(ask);
            async { answer }.boxed()
        });
    }

    fn hangs(&self) {
        *self.script.lock().unwrap() = Box::new(|_| std::future::pending().boxed());
    }

    fn ask(&self) -> AskManifest {
        let (script, asked) = (Arc::clone(&self.script), Arc::clone(&self.asked));
        Arc::new(move |ask| {
            asked.lock().unwrap().push(ask);
            (script.lock().unwrap())(ask)
        })
    }

    fn asked(&self) -> Vec<Ask> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn later(&self, secs: u64) {
        self.now.fetch_add(secs, Ordering::SeqCst);
    }

    async fn tag(&self) -> Result<Held, Error> {
        let request = for_manifest(tag(), &self.policy, self.ask());
        self.store.manifest(&request).await
    }

    async fn digest(&self, digest: Digest) -> Result<Held, Error> {
        let reference = Reference::Canonical(Canonical::new(named("app"), digest));
        let request = for_manifest(reference, &self.policy, self.ask());
        self.store.manifest(&request).await
    }
}

fn tag() -> Tagged {
    Tagged::new(named("app"), Tag::parse("1").unwrap())
}

/// An image of one layer; `mark` makes it another one.
fn image(mark: &str) -> Bytes {
    let (config, layer) = (Digest::sha256(&content(20)), Digest::sha256(&content(30)));
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":20}},
"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{layer}","size":30}}],"annotations":{{"mark":"{mark}"}}}}"#
    ))
}

fn body(bytes: &Bytes) -> Answer {
    Answer::Body(Fetched {
        bytes: bytes.clone(),
        media_type: Some(MEDIA_TYPE.to_owned()),
        digest: Some(Digest::sha256(bytes)),
    })
}

fn cause() -> longshore_store::Cause {
    Arc::new(std::io::Error::other("on purpose"))
}

async fn with_blobs(fixture: &Fixture) {
    for len in [20, 30] {
        let bytes = content(len);
        open(
            &fixture.store,
            &Canonical::new(named("app"), Digest::sha256(&bytes)),
            &Upstream::of(&bytes),
        )
        .await
        .unwrap();
    }
}

/// A fixture that holds a whole image under the tag, no longer fresh.
async fn kept() -> (Fixture, Bytes) {
    let fixture = Fixture::new().await;
    let bytes = image("one");
    let given = bytes.clone();
    fixture.answers(move |_| body(&given));
    assert_eq!(fixture.tag().await.unwrap().outcome, Outcome::Miss);
    with_blobs(&fixture).await;
    fixture.later(61);
    fixture.asked();
    (fixture, bytes)
}

#[tokio::test]
async fn a_tag_is_believed_for_a_while_and_then_checked() {
    let (fixture, bytes) = kept().await;
    let digest = Digest::sha256(&bytes);
    fixture.answers(|_| Answer::Same);
    let held = fixture.tag().await.unwrap();
    assert_eq!(
        (held.outcome, held.bytes, held.digest, &*held.media_type),
        (Outcome::Revalidated, bytes, digest, MEDIA_TYPE)
    );
    assert_eq!(fixture.asked(), [Ask::Check(digest)]);
    fixture.later(59);
    assert_eq!(fixture.tag().await.unwrap().outcome, Outcome::Hit);
    assert!(fixture.asked().is_empty(), "fresh again since the check");
    assert_eq!(fixture.digest(digest).await.unwrap().outcome, Outcome::Hit);
    assert!(fixture.asked().is_empty(), "a digest never changes");
}

#[tokio::test]
async fn a_tag_that_moved_is_fetched_or_found() {
    let (fixture, old) = kept().await;
    let new = image("two");
    let (given, digest) = (new.clone(), Digest::sha256(&new));
    fixture.answers(move |ask| match ask {
        Ask::Check(_) => Answer::Changed(Some(digest)),
        Ask::Fetch => body(&given),
    });
    let held = fixture.tag().await.unwrap();
    assert_eq!((held.outcome, held.bytes), (Outcome::Miss, new));
    assert_eq!(fixture.asked().len(), 2);
    fixture.later(61);
    let back = Digest::sha256(&old);
    fixture.answers(move |_| Answer::Changed(Some(back)));
    let held = fixture.tag().await.unwrap();
    assert_eq!((held.outcome, held.bytes), (Outcome::Revalidated, old));
    assert_eq!(
        fixture.asked(),
        [Ask::Check(digest)],
        "what is held is not fetched again"
    );
}

#[tokio::test]
async fn a_tag_survives_a_restart_and_time_in_the_future_counts_as_unchecked() {
    let (mut fixture, bytes) = kept().await;
    fixture.store.close().await;
    fixture.now.store(500_000, Ordering::SeqCst);
    fixture.store = Fixture::open(&fixture._folder, &fixture.now).await;
    fixture.answers(|_| Answer::Same);
    let held = fixture.tag().await.unwrap();
    assert_eq!((held.outcome, held.bytes), (Outcome::Revalidated, bytes));
}

#[tokio::test]
async fn a_time_that_cannot_be_counts_as_unchecked() {
    for checked in [u64::MAX, i64::MAX as u64] {
        let (mut fixture, bytes) = kept().await;
        fixture.store.close().await;
        let record = fixture
            ._folder
            .path()
            .join("repositories/registry.example/app/_tags/1");
        let line = std::fs::read_to_string(&record).unwrap();
        let changed = line.replace(r#""checked":1000000"#, &format!(r#""checked":{checked}"#));
        assert_ne!(line, changed);
        std::fs::write(&record, changed).unwrap();
        fixture.store = Fixture::open(&fixture._folder, &fixture.now).await;
        fixture.answers(|_| Answer::Same);
        let held = fixture.tag().await.unwrap();
        assert_eq!((held.outcome, held.bytes), (Outcome::Revalidated, bytes));
    }
}

/// Else an outage would fill the memory with what was served in it.
#[tokio::test]
async fn a_stale_answer_does_not_stay_in_memory() {
    let (mut fixture, bytes) = kept().await;
    fixture.store.close().await;
    fixture.store = Store::open(Options {
        manifest_memory_bytes: 0,
        ..Options::new(fixture._folder.path())
    })
    .await
    .unwrap();
    for asked in [1, 0] {
        fixture.answers(|_| Answer::Refused(unreachable()));
        let held = fixture.tag().await.unwrap();
        assert_eq!((held.outcome, &held.bytes), (Outcome::Stale, &bytes));
        assert_eq!(fixture.asked().len(), asked, "then it is remembered");
        assert!(held.bytes.is_unique(), "nothing else holds the bytes");
    }
}

#[tokio::test]
async fn refusals_with_a_kept_copy() {
    let c = cause;
    let rows: [(Refusal, Option<Outcome>); 8] = [
        (
            Refusal::Gone {
                confirmed: true,
                cause: c(),
            },
            None,
        ),
        (
            Refusal::Gone {
                confirmed: false,
                cause: c(),
            },
            Some(Outcome::Stale),
        ),
        (Refusal::Denied { cause: c() }, None),
        (Refusal::Rejected { cause: c() }, Some(Outcome::Stale)),
        (
            Refusal::Limited {
                retry_after: None,
                cause: c(),
            },
            Some(Outcome::Stale),
        ),
        (Refusal::TimedOut { cause: c() }, Some(Outcome::Stale)),
        (Refusal::Unreachable { cause: c() }, Some(Outcome::Stale)),
        (Refusal::Misbehaved { cause: c() }, Some(Outcome::Stale)),
    ];
    for (refusal, outcome) in rows {
        let (mut fixture, bytes) = kept().await;
        let given = refusal.clone();
        fixture.answers(move |_| Answer::Refused(given.clone()));
        for _ in 0..2 {
            let result = fixture.tag().await;
            assert_eq!(
                result.as_ref().ok().map(|held| held.outcome),
                outcome,
                "{refusal:?}: {result:?}"
            );
        }
        assert_eq!(
            fixture.asked().len(),
            1,
            "the second time it is remembered: {refusal:?}"
        );
        assert!(
            fixture.digest(Digest::sha256(&bytes)).await.is_ok(),
            "a digest is served: {refusal:?}"
        );

        fixture.policy = Policy {
            on_deleted: OnDeleted::Serve,
            on_denied: OnDenied::Serve,
            ..Policy::default()
        };
        let other = kept().await.0;
        let given = refusal.clone();
        other.answers(move |_| Answer::Refused(given.clone()));
        let request = for_manifest(tag(), &fixture.policy, other.ask());
        let held = other.store.manifest(&request).await.unwrap();
        assert_eq!(held.outcome, Outcome::Stale, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_deleted_tag_is_forgotten() {
    let (fixture, bytes) = kept().await;
    fixture.answers(|_| Answer::Refused(gone()));
    assert!(matches!(
        fixture.tag().await,
        Err(Error::Refused(Refusal::Gone { .. }))
    ));
    fixture.answers(|_| Answer::Refused(unreachable()));
    // Past the time that "not found" is remembered nothing is left to be served.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert!(matches!(
        fixture.tag().await,
        Err(Error::Refused(Refusal::Unreachable { .. }))
    ));
    assert!(fixture.digest(Digest::sha256(&bytes)).await.is_ok());
}

#[tokio::test]
async fn refusals_with_nothing_kept() {
    let c = cause;
    for (refusal, asks) in [
        (
            Refusal::Gone {
                confirmed: true,
                cause: c(),
            },
            1,
        ),
        (
            Refusal::Gone {
                confirmed: false,
                cause: c(),
            },
            2,
        ),
        (Refusal::Denied { cause: c() }, 1),
        (Refusal::Unreachable { cause: c() }, 2),
        (Refusal::Misbehaved { cause: c() }, 2),
    ] {
        let fixture = Fixture::new().await;
        let given = refusal.clone();
        fixture.answers(move |_| Answer::Refused(given.clone()));
        for _ in 0..2 {
            assert!(
                matches!(fixture.tag().await, Err(Error::Refused(_))),
                "{refusal:?}"
            );
        }
        assert_eq!(fixture.asked().len(), asks, "{refusal:?}");
        for _ in 0..2 {
            assert!(fixture.digest(Digest::sha256(b"x")).await.is_err());
        }
        assert_eq!(fixture.asked().len(), asks, "by digest: {refusal:?}");
    }
}

#[tokio::test]
async fn half_an_image_is_not_served_stale() {
    let mut fixture = Fixture::new().await;
    let bytes = image("one");
    let given = bytes.clone();
    fixture.answers(move |_| body(&given));
    fixture.tag().await.unwrap();
    fixture.later(61);
    fixture.answers(|_| Answer::Refused(unreachable()));
    assert!(matches!(fixture.tag().await, Err(Error::NotWhole { .. })));
    fixture.policy.stale_needs_whole = false;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(fixture.tag().await.unwrap().outcome, Outcome::Stale);
}

/// Artifacts whose configuration no client fetches: bytes in the manifest, or read by nobody.
#[tokio::test]
async fn an_artifact_is_served_stale_without_its_config() {
    let layer = |media_type: &str| {
        let digest = Digest::sha256(&content(30));
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":30}}"#)
    };
    let absent = Digest::sha256(b"a configuration");
    let empty = Digest::sha256(b"{}");
    for (config, layer) in [
        (
            format!(
                r#"{{"mediaType":"application/vnd.unknown.config.v1+json","digest":"{empty}","size":2,"data":"e30="}}"#
            ),
            layer("application/vnd.oci.image.layer.v1.tar"),
        ),
        (
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{absent}","size":20}}"#
            ),
            layer("application/vnd.dev.cosign.simplesigning.v1+json"),
        ),
    ] {
        let fixture = Fixture::new().await;
        let bytes = Bytes::from(format!(
            r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","config":{config},"layers":[{layer}]}}"#
        ));
        let given = bytes.clone();
        fixture.answers(move |_| body(&given));
        fixture.tag().await.unwrap();
        fixture.later(61);
        fixture.answers(|_| Answer::Refused(unreachable()));
        let refused = fixture.tag().await;
        assert!(
            matches!(refused, Err(Error::NotWhole { .. })),
            "its layer is not held"
        );
        with_blobs(&fixture).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(11)).await;
        tokio::time::resume();
        assert_eq!(
            fixture.tag().await.unwrap().outcome,
            Outcome::Stale,
            "{config}"
        );
    }
}

#[tokio::test]
async fn an_index_needs_one_whole_child() {
    let fixture = Fixture::new().await;
    let (held, absent) = (image("one"), image("two"));
    let media_type = "application/vnd.oci.image.index.v1+json";
    let entry = |bytes: &Bytes| {
        format!(
            r#"{{"mediaType":"{MEDIA_TYPE}","digest":"{}","size":{}}}"#,
            Digest::sha256(bytes),
            bytes.len()
        )
    };
    let index = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{},{}]}}"#,
        entry(&absent),
        entry(&held)
    ));
    let given = index.clone();
    fixture.answers(move |_| {
        Answer::Body(Fetched {
            bytes: given.clone(),
            media_type: Some(media_type.to_owned()),
            digest: None,
        })
    });
    fixture.tag().await.unwrap();
    fixture.later(61);
    let given = held.clone();
    fixture.answers(move |_| body(&given));
    fixture.digest(Digest::sha256(&held)).await.unwrap();
    let down = |fixture: &Fixture| fixture.answers(|_| Answer::Refused(unreachable()));
    down(&fixture);
    assert!(
        matches!(fixture.tag().await, Err(Error::NotWhole { .. })),
        "its blobs are missing"
    );
    with_blobs(&fixture).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(fixture.tag().await.unwrap().outcome, Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_upstream_costs_its_deadline_once() {
    let (fixture, _) = kept().await;
    fixture.hangs();
    let start = tokio::time::Instant::now();
    assert_eq!(fixture.tag().await.unwrap().outcome, Outcome::Stale);
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(fixture.tag().await.unwrap().outcome, Outcome::Stale);
    assert_eq!(start.elapsed().as_secs(), 3, "the next one does not wait");

    let fixture = Fixture::new().await;
    fixture.hangs();
    let start = tokio::time::Instant::now();
    assert!(matches!(
        fixture.tag().await,
        Err(Error::Refused(Refusal::TimedOut { .. }))
    ));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn what_is_not_what_was_asked_for_is_not_kept() {
    let fixture = Fixture::new().await;
    let wrong = image("wrong");
    let given = wrong.clone();
    fixture.answers(move |_| body(&given));
    let digest = Digest::sha256(b"right");
    assert!(matches!(
        fixture.digest(digest).await,
        Err(Error::Mismatch { .. })
    ));
    fixture.answers(move |_| {
        Answer::Body(Fetched {
            bytes: wrong.clone(),
            media_type: None,
            digest: Some(digest),
        })
    });
    assert!(
        matches!(
            fixture.tag().await,
            Err(Error::Refused(Refusal::Misbehaved { .. }))
        ),
        "the header names another digest"
    );
    fixture.answers(|_| {
        Answer::Body(Fetched {
            bytes: Bytes::from("<html>"),
            media_type: None,
            digest: None,
        })
    });
    assert!(matches!(
        fixture.tag().await,
        Err(Error::Refused(Refusal::Misbehaved { .. }))
    ));
    assert_eq!(fixture.store.usage().objects, 0);
}

#[tokio::test]
async fn all_who_ask_at_once_wait_for_one_answer() {
    let fixture = Arc::new(Fixture::new().await);
    let (bytes, gate) = (image("one"), Arc::new(tokio::sync::Notify::new()));
    let (given, opened) = (bytes.clone(), Arc::clone(&gate));
    *fixture.script.lock().unwrap() = Box::new(move |_| {
        let (given, opened) = (given.clone(), Arc::clone(&opened));
        async move {
            opened.notified().await;
            body(&given)
        }
        .boxed()
    });
    let waiting = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (fixture, waiting) = (Arc::clone(&fixture), Arc::clone(&waiting));
            tokio::spawn(async move {
                waiting.fetch_add(1, Ordering::SeqCst);
                fixture.tag().await.unwrap().outcome
            })
        })
        .collect();
    while waiting.load(Ordering::SeqCst) < 20 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let mut misses = 0;
    for client in clients {
        match client.await.unwrap() {
            Outcome::Miss => misses += 1,
            outcome => assert!(
                matches!(outcome, Outcome::Joined | Outcome::Hit),
                "{outcome:?}"
            ),
        }
    }
    assert_eq!((misses, fixture.asked().len()), (1, 1));
}

#[tokio::test]
async fn content_held_for_another_repository_is_only_asked_after() {
    let (fixture, bytes) = kept().await;
    fixture.answers(|ask| match ask {
        Ask::Check(_) => Answer::Same,
        Ask::Fetch => panic!("it is held"),
    });
    let reference = Reference::Canonical(Canonical::new(named("other"), Digest::sha256(&bytes)));
    let request = for_manifest(reference, &fixture.policy, fixture.ask());
    let held = fixture.store.manifest(&request).await.unwrap();
    assert_eq!((held.outcome, held.bytes), (Outcome::Revalidated, bytes));
}

#[tokio::test]
async fn a_damaged_manifest_is_fetched_again() {
    let (mut fixture, bytes) = kept().await;
    fixture.store.close().await;
    let digest = Digest::sha256(&bytes);
    let hex = digest.hex().to_string();
    let path = fixture
        ._folder
        .path()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(&hex);
    std::fs::write(path, image("damaged")).unwrap();
    fixture.store = Fixture::open(&fixture._folder, &fixture.now).await;
    let given = bytes.clone();
    fixture.answers(move |_| body(&given));
    let held = fixture.digest(digest).await.unwrap();
    assert_eq!((held.outcome, held.bytes), (Outcome::Miss, bytes));
}

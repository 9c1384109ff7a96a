use std::path::Path;

use longshore_tests::{Fault, On, S3};
use tempfile::TempDir;

use super::*;
use tokio::sync::watch;

use crate::fill::progress::{Phase, Progress};
use crate::ingest::{Hashing, Ingest};
use crate::records::stays;

const PART: usize = 8 << 20;

struct Fixture {
    folder: TempDir,
    tier: Tier,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tier = Tier::before_bucket(folder.path()).unwrap();
        Self { folder, tier }
    }

    fn uploads(&self, server: &S3) -> Uploads {
        self.impatient(server, Duration::from_secs(20))
    }

    fn impatient(&self, server: &S3, patience: Duration) -> Uploads {
        let variables = [
            ("AWS_ENDPOINT_URL", server.url()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let url = "s3://bucket/prefix".parse().unwrap();
        let bucket = Bucket::with(&url, variables, Arc::new(|_| {})).unwrap();
        let outbox = Arc::clone(self.tier.outbox().unwrap());
        Uploads::start(bucket.patience(patience), outbox, self.tier.clone(), stays)
    }

    fn keep(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        Ingest::put(&self.tier, digest, Bytes::copy_from_slice(bytes)).unwrap();
        digest
    }

    fn blob(&self, digest: &Digest) -> std::path::PathBuf {
        self.folder.path().join(layout::blob(digest))
    }
}

fn content(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed)
        .collect()
}

fn in_bucket(key: &str) -> String {
    format!("bucket/prefix/{key}")
}

/// Waits until nothing is left to send.
async fn sent(uploads: &Uploads) {
    for _ in 0..3000 {
        if uploads.backlog().entries == 0 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("still waiting: {:?}", uploads.backlog());
}

/// Two uploads whose requests are never answered must not stop all others.
#[tokio::test]
async fn small_uploads_that_hang_give_their_turns_back() {
    let server = S3::start().await;
    let here = Fixture::new();
    server.order(
        On::put("/bucket/"),
        [Fault::HangBeforeHeaders, Fault::HangBeforeHeaders],
    );
    let digests = [1, 2, 3].map(|seed| here.keep(&[seed]));
    let uploads = here.impatient(&server, Duration::from_millis(300));
    sent(&uploads).await;
    for digest in digests {
        assert!(server.find(&digest.hex()).is_some());
    }
    assert_eq!(server.orders_left(), 0);
}

/// What is committed while the bucket is down is uploaded when it is back, by whichever process lives then.
#[tokio::test]
async fn a_bucket_that_was_down_gets_everything() {
    let server = S3::start().await;
    server.stop().await;
    let here = Fixture::new();
    let uploads = here.impatient(&server, Duration::from_millis(300));
    let small = here.keep(b"small");
    let large = here.keep(&content(1, PART + 1));
    let key = "repositories/example.org/app/_content/sha256/1";
    here.tier.write_record(key, b"{}").unwrap();
    assert_eq!(uploads.backlog().entries, 3);
    tokio::time::timeout(Duration::from_secs(20), uploads.close())
        .await
        .expect("what cannot be sent is not waited for");
    drop(uploads);

    let Fixture { folder, tier } = here;
    drop(tier);
    let tier = Tier::before_bucket(folder.path()).unwrap();
    tier.outbox().unwrap().scan().unwrap();
    let here = Fixture { folder, tier };
    let uploads = here.uploads(&server);
    assert_eq!(uploads.backlog().entries, 3);
    server.restart().await;
    sent(&uploads).await;
    assert_eq!(server.find(&small.hex()).unwrap().1, &b"small"[..]);
    assert_eq!(server.find(&large.hex()).unwrap().1, content(1, PART + 1));
    assert_eq!(server.object(&in_bucket(key)).unwrap(), &b"{}"[..]);
    assert!(server.incomplete().is_empty());
}

/// An entry that another process has just listed is seen before its blob is.
#[tokio::test]
async fn a_blob_that_is_listed_but_not_visible_yet_is_not_forgotten() {
    let server = S3::start().await;
    let here = Fixture::new();
    let digest = Digest::sha256(b"late");
    let outbox = here.tier.outbox().unwrap();
    outbox.list_blob(&digest).unwrap();
    outbox.scan().unwrap();
    let uploads = here.uploads(&server);
    assert!(matches!(
        uploads
            .inner
            .blobs
            .send(&digest, SystemTime::now())
            .await
            .unwrap(),
        Sent::NotYet
    ));
    here.keep(b"late");
    sent(&uploads).await;
    assert!(server.find(&digest.hex()).is_some());
    // One that never came is forgotten at last.
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let gone = Digest::sha256(b"gone");
    let sent = uploads.inner.blobs.send(&gone, long_ago).await.unwrap();
    assert!(matches!(sent, Sent::Done));
}

#[tokio::test]
async fn uploads_that_wait_hold_no_file_open() {
    let server = S3::start().await;
    let here = Fixture::new();
    for seed in 0..30 {
        here.keep(&[seed]);
    }
    let folder = here.folder.path().canonicalize().unwrap();
    let gate = longshore_tests::Gate::new();
    server.order_always(On::put("/bucket/"), Fault::HoldHeaders(gate.clone()));
    let uploads = here.uploads(&server);
    gate.reached().await;
    let open = open_files(&folder.join(layout::BLOBS));
    assert!(open <= BLOBS_AT_ONCE, "{open}");
    server.behave();
    gate.open();
    sent(&uploads).await;
}

/// Files of a folder that this process has open.
fn open_files(folder: &Path) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter(|path| path.starts_with(folder))
        .count()
}

#[tokio::test]
async fn a_damaged_file_is_not_uploaded() {
    for size in [100, PART + 100] {
        let server = S3::start().await;
        let here = Fixture::new();
        let digest = here.keep(&content(7, size));
        let mut bytes = std::fs::read(here.blob(&digest)).unwrap();
        bytes[size - 1] ^= 1;
        std::fs::write(here.blob(&digest), bytes).unwrap();
        let uploads = here.uploads(&server);
        sent(&uploads).await;
        assert!(server.find(&digest.hex()).is_none(), "{size}");
        assert!(server.incomplete().is_empty());
    }
}

/// A blob that lands, as its fill publishes it.
struct Landing {
    ingest: Ingest,
    hashing: Hashing,
    progress: watch::Sender<Progress>,
}

impl Landing {
    fn new(here: &Fixture) -> Self {
        let progress = watch::Sender::new(Progress::new());
        progress.send_modify(|progress| progress.phase = Phase::Landing);
        Self {
            ingest: Ingest::start(&here.tier, &TaskTracker::new()).unwrap(),
            hashing: Hashing::new(longshore_reference::Algorithm::Sha256),
            progress,
        }
    }

    fn upload(&self, uploads: &Uploads, digest: Digest) -> Option<Live> {
        uploads.follow(digest, self.ingest.file(), self.progress.subscribe())
    }

    fn land(&mut self, bytes: &[u8]) {
        let start = self.hashing.len();
        let chunk = Bytes::copy_from_slice(bytes);
        self.hashing.update(&chunk);
        self.ingest.write_at(&[chunk], start).unwrap();
        let end = self.hashing.len();
        self.progress
            .send_modify(|progress| progress.landed.insert(start..end));
    }

    fn commit(self) {
        self.progress
            .send_modify(|progress| progress.phase = Phase::Verified);
        self.ingest.commit(&self.hashing.finish()).unwrap();
    }
}

#[tokio::test]
async fn a_blob_is_uploaded_while_it_lands() {
    let server = S3::start().await;
    let here = Fixture::new();
    let uploads = here.uploads(&server);
    let bytes = content(3, 3 * PART + 17);
    let digest = Digest::sha256(&bytes);
    let mut landing = Landing::new(&here);
    let upload = landing.upload(&uploads, digest).unwrap();
    assert!(landing.upload(&uploads, digest).is_none(), "once");
    landing.land(&bytes[..2 * PART + 5]);
    let parts = |seen: &[longshore_tests::Seen]| {
        seen.iter()
            .filter(|seen| seen.query.contains("partNumber") && seen.ended)
            .count()
    };
    server.until(|seen| parts(seen) == 2).await;
    landing.land(&bytes[2 * PART + 5..]);
    landing.commit();
    assert!(uploads.inner.outbox.contains(&digest));
    upload.commit();
    sent(&uploads).await;
    assert_eq!(server.find(&digest.hex()).unwrap().1, bytes);
    server.until(|seen| parts(seen) == 4).await;
    assert!(server.incomplete().is_empty());
    let seen = server.requests();
    let posts = seen.iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(
        (posts, parts(&seen)),
        (2, 4),
        "created, four parts, completed"
    );
}

/// A fill that fails, or whose bytes are wrong, leaves nothing in the bucket.
#[tokio::test]
async fn an_upload_of_a_fill_that_fails_is_aborted() {
    for slow in [false, true] {
        let server = S3::start().await;
        let here = Fixture::new();
        let uploads = here.uploads(&server);
        let bytes = content(4, 2 * PART);
        let digest = Digest::sha256(&bytes);
        let mut landing = Landing::new(&here);
        let upload = landing.upload(&uploads, digest).unwrap();
        let gate = longshore_tests::Gate::new();
        if slow {
            server.order(On::put("/bucket/"), [Fault::HoldHeaders(gate.clone())]);
        }
        landing.land(&bytes[..PART + 1]);
        server
            .until(|seen| seen.iter().any(|seen| seen.query.contains("partNumber")))
            .await;
        drop(upload);
        if !slow {
            let failed = crate::error::Error::GivenUp;
            landing.progress.send_modify(|progress| {
                progress.phase = Phase::Failed(failed);
            });
        }
        server
            .until(|seen| {
                seen.iter()
                    .any(|seen| seen.method == "DELETE" && seen.ended)
            })
            .await;
        gate.open();
        assert!(server.incomplete().is_empty() && server.keys().is_empty());
        uploads.close().await;
        let left = std::fs::read_dir(here.folder.path().join("outbox/uploads"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "no note is left");
    }
}

/// A live upload that fails is made up for by the outbox.
#[tokio::test]
async fn a_live_upload_that_fails_is_repeated_from_the_file() {
    let server = S3::start().await;
    let here = Fixture::new();
    let uploads = here.uploads(&server);
    let bytes = content(5, PART + 1);
    let digest = Digest::sha256(&bytes);
    server.order(On::post("/bucket/"), [Fault::error(400, "x")]);
    let mut landing = Landing::new(&here);
    let upload = landing.upload(&uploads, digest).unwrap();
    landing.land(&bytes);
    server
        .until(|seen| seen.iter().any(|seen| seen.method == "POST" && seen.ended))
        .await;
    landing.commit();
    upload.commit();
    sent(&uploads).await;
    assert_eq!(server.find(&digest.hex()).unwrap().1, bytes);
}

#[tokio::test]
async fn an_upload_that_a_killed_process_left_is_aborted() {
    let server = S3::start().await;
    let here = Fixture::new();
    let uploads = here.uploads(&server);
    let (upload, note) = uploads
        .inner
        .blobs
        .begin("blobs/sha256/00/00")
        .await
        .unwrap();
    upload.put(0, Bytes::from_static(b"part")).await.unwrap();
    assert_eq!(server.incomplete().len(), 1);
    // The lock goes with the process, the note does not.
    drop((upload, note));
    let next = here.uploads(&server);
    server
        .until(|seen| {
            seen.iter()
                .any(|seen| seen.method == "DELETE" && seen.ended)
        })
        .await;
    assert!(server.incomplete().is_empty());
    next.close().await;
}

fn tag_record(digest: &Digest, checked: u64) -> Vec<u8> {
    format!(
        r#"{{"upstream_digest":null,"digest":"{digest}","media_type":"m","size":1,"checked":{checked}}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn a_tag_record_never_replaces_a_later_one() {
    let key = "repositories/example.org/app/_tags/1";
    let (old, new) = (
        tag_record(&Digest::sha256(b"old"), 1000),
        tag_record(&Digest::sha256(b"new"), 2000),
    );
    let to_come = tag_record(&Digest::sha256(b"clock"), 1 << 40);
    let rows = [
        (None, &old, &old),
        (Some(&old), &new, &new),
        (Some(&new), &old, &new),
        (Some(&to_come), &old, &old),
        (Some(&b"garbage".to_vec()), &old, &old),
    ];
    for ignores in [false, true] {
        for (theirs, ours, kept) in rows {
            let server = S3::start().await;
            if ignores {
                server.ignore_conditions();
            }
            if let Some(theirs) = theirs {
                server.put(&in_bucket(key), theirs.clone());
            }
            let here = Fixture::new();
            let uploads = here.uploads(&server);
            here.tier.write_record(key, ours).unwrap();
            sent(&uploads).await;
            let kept = if ignores { ours } else { kept };
            assert_eq!(server.object(&in_bucket(key)).unwrap(), kept[..]);
        }
    }
}

/// The version of the last write is known: an unchanged tag costs one request.
#[tokio::test]
async fn a_tag_record_costs_one_request() {
    let key = "repositories/example.org/app/_tags/1";
    let server = S3::start().await;
    let here = Fixture::new();
    let uploads = here.uploads(&server);
    let digest = Digest::sha256(b"manifest");
    here.tier
        .write_record(key, &tag_record(&digest, 1000))
        .unwrap();
    sent(&uploads).await;
    uploads.inner.outbox.backlog();
    for checked in 1001..1004 {
        server
            .until(|seen| seen.iter().all(|seen| seen.ended))
            .await;
        server.forget_requests();
        here.tier
            .write_record(key, &tag_record(&digest, checked))
            .unwrap();
        sent(&uploads).await;
        assert_eq!(server.requests().len(), 1);
        assert_eq!(
            server.object(&in_bucket(key)).unwrap(),
            tag_record(&digest, checked)
        );
    }
    // A lost update is noticed: another replica wrote since.
    server.put(&in_bucket(key), tag_record(&digest, 5000));
    here.tier
        .write_record(key, &tag_record(&digest, 1004))
        .unwrap();
    sent(&uploads).await;
    assert_eq!(
        server.object(&in_bucket(key)).unwrap(),
        tag_record(&digest, 5000)
    );
}

#[tokio::test]
async fn a_removed_record_is_removed_from_the_bucket() {
    let key = "repositories/example.org/app/_tags/1";
    let server = S3::start().await;
    let here = Fixture::new();
    let uploads = here.uploads(&server);
    here.tier.write_record(key, b"{}").unwrap();
    sent(&uploads).await;
    assert!(server.object(&in_bucket(key)).is_some());
    here.tier.remove(key).unwrap();
    sent(&uploads).await;
    assert!(server.object(&in_bucket(key)).is_none());
}

use super::*;
use crate::ingest::{Hashing, Ingest};
use bytes::Bytes;
use tokio_util::task::TaskTracker;

fn keep(tier: &Tier, content: &'static [u8]) -> Digest {
    let digest = Digest::sha256(content);
    Ingest::put(tier, digest, Bytes::from_static(content)).unwrap();
    digest
}

fn spooled(root: &Path) -> usize {
    let folders = fs::read_dir(root.join(layout::SPOOL)).unwrap();
    folders
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count()
}

#[test]
fn what_is_committed_is_there_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::open(root.path(), None).unwrap();
    let digest = keep(&tier, b"hello");
    let (mut file, size) = tier.open_blob(&digest).unwrap().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), size), ("hello", 5));
    assert_eq!(
        tier.open_blob(&Digest::sha256(b"other"))
            .unwrap()
            .map(|found| found.1),
        None
    );
    assert_eq!(
        tier.usage().unwrap(),
        Usage {
            bytes: 5,
            objects: 1
        }
    );
}

#[test]
fn wrong_bytes_cannot_be_committed() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::open(root.path(), None).unwrap();
    let digest = Digest::sha256(b"right");
    let wrong = Ingest::put(&tier, digest, Bytes::from_static(b"wrong"));
    assert_eq!(wrong.unwrap_err().kind(), io::ErrorKind::InvalidData);
    // A file that is not what was hashed is not committed either.
    let ingest = Ingest::start(&tier, &TaskTracker::new()).unwrap();
    ingest.write_at(&[Bytes::from_static(b"righ")], 0).unwrap();
    let mut hashing = Hashing::new(digest.algorithm());
    hashing.update(b"right");
    let short = ingest.commit(&hashing.finish());
    assert_eq!(short.unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(ingest);
    assert!(tier.open_blob(&digest).unwrap().is_none());
    let own = fs::read_dir(&tier.0.spool).unwrap().count();
    assert_eq!(own, 1, "only the lock stays in the spool");
}

#[test]
fn leftovers_go_and_the_living_stay() {
    let root = tempfile::tempdir().unwrap();
    let crashed = root.path().join(layout::SPOOL).join("1-0000dead");
    fs::create_dir_all(&crashed).unwrap();
    fs::write(crashed.join("lock"), "").unwrap();
    fs::write(crashed.join("7"), "partial").unwrap();
    let halfway = root.path().join(layout::SPOOL).join("2-0000dead");
    fs::create_dir_all(&halfway).unwrap();

    let first = Tier::open(root.path(), None).unwrap();
    assert!(!crashed.exists() && !halfway.exists());
    let digest = Digest::sha256(b"both");
    let ingest = Ingest::start(&first, &TaskTracker::new()).unwrap();

    let second = Tier::open(root.path(), None).unwrap();
    assert_eq!(
        spooled(root.path()),
        2,
        "the second process leaves the first one's folder"
    );
    ingest.write_at(&[Bytes::from_static(b"both")], 0).unwrap();
    let mut hashing = Hashing::new(digest.algorithm());
    hashing.update(b"both");
    ingest.commit(&hashing.finish()).unwrap();
    assert_eq!(
        keep(&second, b"both"),
        digest,
        "the same content twice is no harm"
    );
    drop((first, second, ingest));
    assert_eq!(spooled(root.path()), 0);
}

#[test]
fn a_spool_that_others_use_keeps_what_is_theirs() {
    let root = tempfile::tempdir().unwrap();
    let shared = root.path().join("shared");
    let mut theirs = Vec::new();
    for name in [
        "project",
        "1-dead",
        "1-0000DEAD",
        "01-0000dead",
        "x-0000dead",
    ] {
        theirs.push(shared.join(name).join("lock"));
    }
    for file in ["notes.txt", "0x7", "7.part", "deep/7"] {
        theirs.push(shared.join(format!("{}-0000dead", theirs.len())).join(file));
    }
    for file in &theirs {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }
    let linked = root.path().join("linked");
    fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(&linked, shared.join("80-0000dead")).unwrap();
    let crashed = shared.join("90-0000dead");
    fs::create_dir(&crashed).unwrap();
    fs::write(crashed.join("0"), "partial").unwrap();

    let store = root.path().join("store");
    drop(Tier::open(&store, Some(&shared)).unwrap());
    for file in theirs {
        assert!(file.exists(), "{}", file.display());
    }
    assert!(linked.exists() && shared.join("80-0000dead").exists());
    assert!(!crashed.exists(), "what a process left goes all the same");
}

#[test]
fn a_spool_among_content_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let digest = keep(&Tier::open(root.path(), None).unwrap(), b"hello");
    for spool in [
        "",
        "blobs",
        "blobs/sha256",
        "repositories",
        "spool/../blobs",
        "quarantine",
    ] {
        let spool = root.path().join(spool);
        let refused = Tier::open(root.path(), Some(&spool)).unwrap_err();
        assert!(
            matches!(refused, Error::SpoolInStore { .. }),
            "{}: {refused}",
            spool.display()
        );
    }
    let tier = Tier::open(root.path(), None).unwrap();
    assert!(tier.open_blob(&digest).unwrap().is_some());
}

#[test]
fn a_foreign_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join(layout::MARKER),
        "longshore store, layout 99\n",
    )
    .unwrap();
    let refused = Tier::open(root.path(), None).unwrap_err();
    assert!(refused.to_string().contains("layout 99"), "{refused}");
}

#[test]
fn damaged_content_is_moved_aside_once() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::open(root.path(), None).unwrap();
    let digest = keep(&tier, b"hello");
    assert!(tier.quarantine(&digest).unwrap());
    assert!(!tier.quarantine(&digest).unwrap());
    assert!(tier.open_blob(&digest).unwrap().is_none());
}

#[test]
fn records_are_replaced_and_bounded() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::open(root.path(), None).unwrap();
    let key = "repositories/docker.io/library/x/_tags/1";
    assert!(tier.read(key, 10).unwrap().is_none());
    tier.write_record(key, b"one").unwrap();
    tier.write_record(key, b"two").unwrap();
    assert_eq!(tier.read(key, 10).unwrap().unwrap(), b"two");
    assert_eq!(
        tier.read(key, 2).unwrap_err().kind(),
        io::ErrorKind::FileTooLarge
    );
    tier.remove(key).unwrap();
    tier.remove(key).unwrap();
    assert!(tier.read(key, 10).unwrap().is_none());
}

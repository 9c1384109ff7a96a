use super::*;
use crate::ingest::Ingest;
use bytes::Bytes;

fn keep(local: &Local, content: &'static [u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut ingest = Ingest::start(local, digest).unwrap();
    ingest.append(content).unwrap();
    ingest.hash(&[Bytes::from_static(content)]);
    ingest.commit().unwrap();
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
    let local = Local::open(root.path(), None).unwrap();
    let digest = keep(&local, b"hello");
    let (mut file, size) = local.open_blob(&digest).unwrap().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), size), ("hello", 5));
    assert_eq!(
        local
            .open_blob(&Digest::sha256(b"other"))
            .unwrap()
            .map(|found| found.1),
        None
    );
    assert_eq!(
        local.usage().unwrap(),
        Usage {
            bytes: 5,
            objects: 1
        }
    );
}

#[test]
fn wrong_bytes_cannot_be_committed() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path(), None).unwrap();
    let digest = Digest::sha256(b"right");
    let mut ingest = Ingest::start(&local, digest).unwrap();
    ingest.append(b"wrong").unwrap();
    ingest.hash(&[Bytes::from_static(b"wrong")]);
    assert_eq!(
        ingest.commit().unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
    assert!(local.open_blob(&digest).unwrap().is_none());
    let own = fs::read_dir(&local.0.spool).unwrap().count();
    assert_eq!(own, 1, "only the lock stays in the spool");
}

#[test]
fn leftovers_go_and_the_living_stay() {
    let root = tempfile::tempdir().unwrap();
    let crashed = root.path().join(layout::SPOOL).join("1-dead");
    fs::create_dir_all(&crashed).unwrap();
    fs::write(crashed.join("lock"), "").unwrap();
    fs::write(crashed.join("7"), "partial").unwrap();
    let halfway = root.path().join(layout::SPOOL).join("2-dead");
    fs::create_dir_all(&halfway).unwrap();

    let first = Local::open(root.path(), None).unwrap();
    assert!(!crashed.exists() && !halfway.exists());
    let digest = Digest::sha256(b"both");
    let mut ingest = Ingest::start(&first, digest).unwrap();

    let second = Local::open(root.path(), None).unwrap();
    assert_eq!(
        spooled(root.path()),
        2,
        "the second process leaves the first one's folder"
    );
    ingest.append(b"both").unwrap();
    ingest.hash(&[Bytes::from_static(b"both")]);
    ingest.commit().unwrap();
    assert_eq!(
        keep(&second, b"both"),
        digest,
        "the same content twice is no harm"
    );
    drop((first, second));
    assert_eq!(spooled(root.path()), 0);
}

#[test]
fn a_foreign_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join(layout::MARKER),
        "longshore store, layout 99\n",
    )
    .unwrap();
    let refused = Local::open(root.path(), None).unwrap_err();
    assert!(refused.to_string().contains("layout 99"), "{refused}");
}

#[test]
fn damaged_content_is_moved_aside_once() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path(), None).unwrap();
    let digest = keep(&local, b"hello");
    assert!(local.quarantine(&digest).unwrap());
    assert!(!local.quarantine(&digest).unwrap());
    assert!(local.open_blob(&digest).unwrap().is_none());
}

#[test]
fn records_are_replaced_and_bounded() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path(), None).unwrap();
    let key = "repositories/docker.io/library/x/_tags/1";
    assert!(local.read(key, 10).unwrap().is_none());
    local.write_record(key, b"one").unwrap();
    local.write_record(key, b"two").unwrap();
    assert_eq!(local.read(key, 10).unwrap().unwrap(), b"two");
    assert_eq!(
        local.read(key, 2).unwrap_err().kind(),
        io::ErrorKind::FileTooLarge
    );
    local.remove(key).unwrap();
    local.remove(key).unwrap();
    assert!(local.read(key, 10).unwrap().is_none());
}

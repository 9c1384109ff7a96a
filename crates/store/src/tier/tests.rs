use std::fs::OpenOptions;
use std::io::Write;

use bytes::Bytes;
use longshore_reference::{Named, Tag, Tagged};

use super::*;
use crate::ingest::{Hashing, Ingest};

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

#[tokio::test]
async fn what_is_committed_is_there_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let digest = keep(&tier, b"hello");
    let opened = tier.open_blob(&digest).await.unwrap().unwrap();
    assert_eq!(read_all(opened.file, 9).unwrap(), b"hello");
    assert_eq!(opened.stamp.size, 5);
    let other = Digest::sha256(b"other");
    assert!(tier.open_blob(&other).await.unwrap().is_none());
    let usage = tier.usage();
    assert_eq!((usage.bytes, usage.objects), (5, 1));
}

#[test]
fn wrong_bytes_cannot_be_committed() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
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
    assert!(!tier.holds(&digest));
    let own = fs::read_dir(tier.0.files.spool()).unwrap().count();
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

    let first = Tier::of(root.path(), None).unwrap();
    assert!(!crashed.exists() && !halfway.exists());
    let digest = Digest::sha256(b"both");
    let ingest = Ingest::start(&first, &TaskTracker::new()).unwrap();

    let second = Tier::of(root.path(), None).unwrap();
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
    drop(Tier::of(&store, Some(&shared)).unwrap());
    for file in theirs {
        assert!(file.exists(), "{}", file.display());
    }
    assert!(linked.exists() && shared.join("80-0000dead").exists());
    assert!(!crashed.exists(), "what a process left goes all the same");
}

#[test]
fn a_spool_among_content_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let digest = keep(&Tier::of(root.path(), None).unwrap(), b"hello");
    for spool in [
        "",
        "blobs",
        "blobs/sha256",
        "repositories",
        "spool/../blobs",
        "quarantine",
    ] {
        let spool = root.path().join(spool);
        let refused = Tier::of(root.path(), Some(&spool)).unwrap_err();
        assert!(
            matches!(refused, Error::SpoolInStore { .. }),
            "{}: {refused}",
            spool.display()
        );
    }
    let tier = Tier::of(root.path(), None).unwrap();
    assert!(tier.holds(&digest));
}

#[test]
fn a_foreign_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join(layout::MARKER),
        "longshore store, layout 99\n",
    )
    .unwrap();
    let refused = Tier::of(root.path(), None).unwrap_err();
    assert!(refused.to_string().contains("layout 99"), "{refused}");
}

#[test]
fn records_are_replaced_and_bounded() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
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

fn limits(capacity: u64, pins: &[&str]) -> Settings {
    Settings {
        capacity: Some(Amount::Bytes(capacity)),
        min_free: Amount::Bytes(0),
        pins: pins.iter().map(|pin| pin.parse().unwrap()).collect(),
        ..Settings::default()
    }
}

/// A tier whose limits are set, as after its start.
fn bounded(root: &Path, capacity: u64, pins: &[&str]) -> Tier {
    let tier = Tier::open(root, None, limits(capacity, pins), TaskTracker::new()).unwrap();
    tier.reconcile().unwrap();
    tier
}

/// A bounded tier in front of a bucket.
fn bounded_before_bucket(root: &Path, capacity: u64, pins: &[&str]) -> Tier {
    let settings = limits(capacity, pins);
    let tier = Tier::open_before_bucket(root, None, settings, TaskTracker::new()).unwrap();
    tier.reconcile().unwrap();
    tier
}

/// The bucket has this blob.
fn uploaded(tier: &Tier, digest: &Digest) {
    let outbox = tier.outbox().unwrap();
    assert!(outbox.claim(digest));
    outbox.release(digest, true);
}

fn keep_bytes(tier: &Tier, content: Vec<u8>) -> Digest {
    let digest = Digest::sha256(&content);
    Ingest::put(tier, digest, Bytes::from(content)).unwrap();
    digest
}

/// A blob of 1000 bytes that are the mark's.
fn blob(tier: &Tier, mark: u8) -> Digest {
    keep_bytes(tier, vec![mark; 1000])
}

fn tagged(name: &str, tag: &str) -> Reference {
    let named = Named::new("registry.example", name).unwrap();
    Reference::from(Tagged::new(named, Tag::parse(tag).unwrap()))
}

/// An image of 10 bytes that names these.
fn image(tier: &Tier, name: &str, children: &[Digest]) -> Digest {
    let digest = keep_bytes(tier, format!("{name:>10}").into_bytes());
    tier.image(&tagged(name, "1"), &digest, children);
    digest
}

/// Ways in which a file stops being what was committed, and whether its bytes still are.
const CHANGES: [(&str, bool); 10] = [
    ("emptied", false),
    ("cut in half", false),
    ("grown", false),
    ("one bit flipped, times restored", false),
    ("replaced by other bytes", false),
    ("exchanged with another blob", false),
    ("hard link of another blob", false),
    ("folder", false),
    ("symbolic link", false),
    ("replaced by a copy", true),
];

fn change(how: &str, file: &Path, other: &Path) {
    let bytes = fs::read(file).unwrap();
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    let write = |bytes: &[u8]| {
        // In place, as a disk or a careless program would.
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(false)
            .open(file)
            .unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(modified).unwrap();
    };
    let cut = |len: u64| {
        OpenOptions::new()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(len)
            .unwrap()
    };
    let replace = |bytes: &[u8]| {
        let fresh = file.with_extension("new");
        fs::write(&fresh, bytes).unwrap();
        fs::rename(&fresh, file).unwrap();
    };
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    match how {
        "emptied" => cut(0),
        "cut in half" => cut(bytes.len() as u64 / 2),
        "grown" => write(&[&bytes[..], b"more"].concat()),
        "one bit flipped, times restored" => write(&flipped),
        "replaced by other bytes" => replace(&flipped),
        "exchanged with another blob" => {
            let aside = file.with_extension("aside");
            fs::rename(file, &aside).unwrap();
            fs::rename(other, file).unwrap();
            fs::rename(&aside, other).unwrap();
        }
        "hard link of another blob" => {
            fs::remove_file(file).unwrap();
            fs::hard_link(other, file).unwrap();
        }
        "folder" => {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
            fs::write(file.join("inside"), &bytes).unwrap();
        }
        "symbolic link" => {
            fs::remove_file(file).unwrap();
            std::os::unix::fs::symlink(other, file).unwrap();
        }
        _ => replace(&bytes),
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_committed_never_gives_wrong_bytes() {
    for (how, still_right) in CHANGES {
        for when in ["live", "after a restart", "without its index"] {
            let root = tempfile::tempdir().unwrap();
            let open = || Tier::of(root.path(), None).unwrap();
            let mut tier = open();
            let (digest, other) = (blob(&tier, 1), blob(&tier, 2));
            let (file, other) = (tier.0.files.blob(&digest), tier.0.files.blob(&other));
            if when != "live" {
                drop(tier);
                change(how, &file, &other);
                if when == "without its index" {
                    fs::remove_dir_all(root.path().join(layout::INDEX)).unwrap();
                }
                tier = open();
                tier.reconcile().unwrap();
            } else {
                change(how, &file, &other);
            }
            let found = tier.open_blob(&digest).await.unwrap();
            assert_eq!(found.is_some(), still_right, "{how}, {when}");
            let read = tier.read_blob(&digest, 5000).unwrap();
            assert_eq!(read.is_some(), still_right, "{how}, {when}");
            assert_eq!(tier.holds(&digest), still_right, "{how}, {when}");
            if !still_right {
                assert!(fs::symlink_metadata(&file).is_err(), "{how}, {when}: moved");
            }
            // What is fetched again is there again.
            assert_eq!(blob(&tier, 1), digest);
            let again = tier.open_blob(&digest).await.unwrap().unwrap();
            assert_eq!(
                read_all(again.file, 5000).unwrap(),
                [1; 1000],
                "{how}, {when}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_with_a_record_is_not_hashed() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let digest = blob(&tier, 1);
    assert!(matches!(tier.look(&digest).unwrap(), Look::Trusted(_)));
    drop(tier);
    let tier = Tier::of(root.path(), None).unwrap();
    assert!(matches!(tier.look(&digest).unwrap(), Look::Trusted(_)));
    drop(tier);
    fs::remove_dir_all(root.path().join(layout::INDEX)).unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    assert!(matches!(tier.look(&digest).unwrap(), Look::Doubtful(_)));
    // What was only seen is no more trusted after another start.
    tier.reconcile().unwrap();
    tier.0.catalog.save(true).unwrap();
    drop(tier);
    let tier = Tier::of(root.path(), None).unwrap();
    assert!(matches!(tier.look(&digest).unwrap(), Look::Doubtful(_)));
    assert_eq!(tier.usage().objects, 1);
    assert!(tier.open_blob(&digest).await.unwrap().is_some());
    assert!(
        matches!(tier.look(&digest).unwrap(), Look::Trusted(_)),
        "hashed once"
    );
}

#[tokio::test]
async fn a_second_failing_reader_leaves_the_repaired_file() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let digest = blob(&tier, 1);
    let failing = tier.open_blob(&digest).await.unwrap().unwrap();
    assert!(tier.quarantine(&digest, &failing.stamp));
    assert!(!tier.quarantine(&digest, &failing.stamp));
    blob(&tier, 1);
    assert!(
        !tier.quarantine(&digest, &failing.stamp),
        "another file bears the name"
    );
    assert!(tier.open_blob(&digest).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_file_that_cannot_be_moved_is_never_served() {
    let root = tempfile::tempdir().unwrap();
    let failed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&failed);
    let settings = Settings {
        observer: Arc::new(move |event| {
            if matches!(
                event,
                Event::Failed {
                    action: "quarantine"
                }
            ) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }),
        ..Settings::default()
    };
    fs::write(root.path().join(layout::QUARANTINE), "in the way").unwrap();
    let tier = Tier::open(root.path(), None, settings, TaskTracker::new()).unwrap();
    let (digest, other) = (blob(&tier, 1), blob(&tier, 2));
    for how in ["one bit flipped, times restored", "cut in half"] {
        blob(&tier, 1);
        change(how, &tier.0.files.blob(&digest), &tier.0.files.blob(&other));
        for _ in 0..3 {
            assert!(tier.open_blob(&digest).await.unwrap().is_none(), "{how}");
            assert!(!tier.holds(&digest), "{how}");
        }
    }
    assert_eq!(failed.load(Ordering::Relaxed), 2);
    blob(&tier, 1);
    assert!(tier.open_blob(&digest).await.unwrap().is_some());
}

#[test]
fn the_scrub_finds_what_hides() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let (digest, other) = (blob(&tier, 1), blob(&tier, 2));
    change(
        "one bit flipped, times restored",
        &tier.0.files.blob(&digest),
        &tier.0.files.blob(&other),
    );
    // As if the disk had changed the bits: every stamp is what was recorded.
    let hidden = tier.0.files.stamp(&digest).unwrap().unwrap();
    for digest in [&digest, &other] {
        let stamp = tier.0.files.stamp(digest).unwrap().unwrap();
        let held = Held {
            stamp,
            trusted: true,
            used: 0,
            scrubbed: 0,
        };
        tier.0.catalog.insert(digest, held);
    }
    assert!(matches!(tier.look(&digest).unwrap(), Look::Trusted(_)));
    assert!(hidden.size == 1000);
    for _ in 0..2 {
        assert!(tier.scrub_next() < Duration::from_secs(30 * 24 * 3600));
    }
    assert!(!tier.holds(&digest), "found and moved");
    assert!(tier.holds(&other));
    let scrubbed = tier.0.catalog.held(&other).unwrap().scrubbed;
    assert!(scrubbed > 0, "not hashed again before the next round");
}

#[test]
fn images_go_whole_and_shared_blobs_stay() {
    let root = tempfile::tempdir().unwrap();
    let tier = bounded(root.path(), 3_500, &[]);
    let gone = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&gone);
    tier.on_gone(move |digest| seen.lock().unwrap().push(*digest));
    let (base, own) = (blob(&tier, 1), blob(&tier, 2));
    let old = image(&tier, "old", &[base, own]);
    let third = blob(&tier, 3);
    let new = image(&tier, "new", &[base, third]);
    tier.make_room().unwrap();
    assert!(gone.lock().unwrap().is_empty());
    let fourth = blob(&tier, 4);
    let last = image(&tier, "last", &[fourth]);
    tier.make_room().unwrap();
    assert_eq!(*gone.lock().unwrap(), [old, own], "the manifest first");
    for digest in [new, base, third, last, fourth] {
        assert!(tier.holds(&digest));
    }
    assert_eq!(tier.usage().bytes, 3_020);
}

#[test]
fn an_index_goes_with_its_last_image_and_before_it() {
    let root = tempfile::tempdir().unwrap();
    let tier = bounded(root.path(), 10_000, &[]);
    let gone = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&gone);
    tier.on_gone(move |digest| seen.lock().unwrap().push(*digest));
    let layer = blob(&tier, 1);
    let absent = Digest::sha256(b"another platform");
    let platform = image(&tier, "platform", &[layer]);
    let index = image(&tier, "index", &[platform, absent]);
    let kept: Vec<_> = (10..19).map(|mark| blob(&tier, mark)).collect();
    tier.make_room().unwrap();
    assert_eq!(*gone.lock().unwrap(), [index, platform, layer]);
    assert!(kept.iter().all(|digest| tier.holds(digest)));
}

#[test]
fn what_is_pinned_or_waits_stays() {
    let root = tempfile::tempdir().unwrap();
    let direct = Digest::sha256(&[9; 1000]);
    let pins = [
        "registry.example/pinned",
        "registry.example/tags:1*",
        &direct.to_string(),
    ];
    for reopened in [false, true] {
        let mut tier = bounded_before_bucket(root.path(), 8_000, &pins);
        let layers: Vec<_> = (1..=4).map(|mark| blob(&tier, mark)).collect();
        let pinned = image(&tier, "pinned", &layers[..1]);
        let by_tag = image(&tier, "tags", &layers[1..2]);
        let waits = image(&tier, "waits", &layers[2..3]);
        let free = image(&tier, "free", &layers[3..]);
        assert_eq!(blob(&tier, 9), direct);
        for digest in [pinned, by_tag, waits, free, direct] {
            uploaded(&tier, &digest);
        }
        for (layer, digest) in layers.iter().enumerate() {
            if layer != 2 {
                uploaded(&tier, digest);
            }
        }
        if reopened {
            drop(tier);
            tier = bounded_before_bucket(root.path(), 8_000, &pins);
        }
        (20..40).for_each(|mark| {
            let digest = blob(&tier, mark);
            uploaded(&tier, &digest);
            tier.make_room().unwrap();
        });
        for digest in [
            pinned, by_tag, waits, direct, layers[0], layers[1], layers[2],
        ] {
            assert!(tier.holds(&digest), "{reopened}");
        }
        assert!(!tier.holds(&free) && !tier.holds(&layers[3]));
        assert!(tier.usage().bytes <= 8_000);
    }
}

#[test]
fn a_pinned_tag_that_moves_frees_what_it_held() {
    let root = tempfile::tempdir().unwrap();
    let tier = bounded(root.path(), 3_000, &["registry.example/app:latest"]);
    let latest = tagged("app", "latest");
    let (first, second) = (blob(&tier, 1), blob(&tier, 2));
    tier.image(&latest, &first, &[]);
    tier.served(&latest, &second);
    (10..30).for_each(|mark| {
        blob(&tier, mark);
        tier.make_room().unwrap();
    });
    assert!(!tier.holds(&first) && tier.holds(&second));
}

#[tokio::test]
async fn what_is_open_stays_readable() {
    let root = tempfile::tempdir().unwrap();
    let tier = bounded(root.path(), 1_500, &[]);
    let digest = blob(&tier, 1);
    let opened = tier.open_blob(&digest).await.unwrap().unwrap();
    blob(&tier, 2);
    tier.make_room().unwrap();
    assert!(!tier.holds(&digest));
    assert_eq!(read_all(opened.file, 5000).unwrap(), [1; 1000]);
}

#[test]
fn what_was_used_is_known_after_a_restart() {
    for saved in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicU64::new(1_000_000));
        let open = || {
            let time = Arc::clone(&time);
            let clock = move || UNIX_EPOCH + Duration::from_secs(time.load(Ordering::Relaxed));
            let settings = Settings {
                capacity: Some(Amount::Bytes(20_000)),
                min_free: Amount::Bytes(0),
                clock: Arc::new(clock),
                ..Settings::default()
            };
            let tier = Tier::open(root.path(), None, settings, TaskTracker::new()).unwrap();
            tier.reconcile().unwrap();
            tier
        };
        let tier = open();
        let blobs: Vec<_> = (0..15).map(|mark| blob(&tier, mark)).collect();
        let images: Vec<_> = (0..15)
            .map(|at| image(&tier, &format!("i{at}"), &blobs[at..=at]))
            .collect();
        time.fetch_add(1000, Ordering::Relaxed);
        images[..5]
            .iter()
            .for_each(|digest| tier.served(&tagged("x", "1"), digest));
        tier.0.catalog.save(saved).unwrap();
        drop(tier);
        let tier = open();
        assert_eq!(tier.usage().objects, 30);
        (100..200).for_each(|mark| {
            blob(&tier, mark);
            tier.make_room().unwrap();
        });
        let left = |of: &[Digest]| of.iter().filter(|digest| tier.holds(digest)).count();
        assert_eq!((left(&images[..5]), left(&blobs[..5])), (5, 5), "{saved}");
        assert_eq!((left(&images[5..]), left(&blobs[5..])), (0, 0), "{saved}");
    }
}

#[test]
fn free_space_that_is_wanted_is_made() {
    let root = tempfile::tempdir().unwrap();
    let settings = Settings {
        min_free: Amount::Percent(100),
        ..Settings::default()
    };
    let tier = Tier::open(root.path(), None, settings, TaskTracker::new()).unwrap();
    let digest = blob(&tier, 1);
    tier.reconcile().unwrap();
    assert_eq!(tier.make_room().unwrap(), Some(Reason::MinFree));
    assert!(!tier.holds(&digest));
}

#[test]
fn room_that_fills_reserve_counts() {
    let root = tempfile::tempdir().unwrap();
    let tier = bounded(root.path(), 2_500, &[]);
    let (first, _) = (blob(&tier, 1), blob(&tier, 2));
    let full = tier.reserve(2_501).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::FileTooLarge);
    let reserved = tier.reserve(1_000).unwrap();
    tier.make_room().unwrap();
    assert!(!tier.holds(&first), "room is made before the bytes come");
    assert_eq!(tier.usage().reserved, 1_000);
    drop(reserved);
    assert_eq!(tier.usage().reserved, 0);
}

#[test]
fn files_are_counted_once_and_those_of_others_too() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (
        bounded(root.path(), 9_000, &[]),
        bounded(root.path(), 9_000, &[]),
    );
    let (mine, theirs) = (blob(&first, 1), blob(&second, 2));
    blob(&second, 1);
    first.reconcile().unwrap();
    first.reconcile().unwrap();
    assert_eq!((first.usage().bytes, first.usage().objects), (2_000, 2));
    fs::remove_file(first.0.files.blob(&mine)).unwrap();
    first.reconcile().unwrap();
    assert_eq!((first.usage().bytes, first.usage().objects), (1_000, 1));
    assert!(first.holds(&theirs));
    // Only one process evicts.
    (10..30).for_each(|mark| {
        blob(&second, mark);
        second.make_room().unwrap();
    });
    assert_eq!(second.usage().objects, 22);
    drop(first);
    second.make_room().unwrap();
    assert!(second.usage().bytes <= 9_000, "the next process takes over");
}

#[test]
fn files_without_records_are_taken_in_as_images() {
    let root = tempfile::tempdir().unwrap();
    let tier = bounded(root.path(), 1 << 20, &[]);
    let (config, layer) = (blob(&tier, 1), blob(&tier, 2));
    let descriptor = |digest: &Digest, kind: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":1000}}"#
        )
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        descriptor(&config, "config.v1+json"),
        descriptor(&layer, "layer.v1.tar+gzip"),
    );
    let manifest = keep_bytes(&tier, manifest.into_bytes());
    drop(tier);
    fs::remove_dir_all(root.path().join(layout::INDEX)).unwrap();
    let tier = bounded(root.path(), 2_000, &[]);
    let victims = tier.0.catalog.evict(|_| false).unwrap();
    let victims: Vec<_> = victims.into_iter().map(|(digest, _)| digest).collect();
    assert_eq!(victims[0], manifest);
    assert!(victims.contains(&config) && victims.contains(&layer));
}

#[test]
fn a_journal_that_was_cut_off_costs_trust_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let digests: Vec<_> = (0..5).map(|mark| blob(&tier, mark)).collect();
    drop(tier);
    let index = root.path().join(layout::INDEX);
    for entry in fs::read_dir(&index).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("journal-")
        {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
        }
    }
    let tier = Tier::of(root.path(), None).unwrap();
    tier.reconcile().unwrap();
    let trusted = |digest: &&Digest| matches!(tier.look(digest).unwrap(), Look::Trusted(_));
    assert_eq!(digests.iter().filter(trusted).count(), 4);
    assert_eq!(tier.usage().objects, 5);
    assert!(
        fs::read_dir(&index).unwrap().count() <= 3,
        "journals do not pile up"
    );
}

#[test]
fn folders_above_a_blob_are_made_one_by_one() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("a/b/c/file");
    assert_eq!(make_parents(&target).unwrap(), root.path().join("a/b/c"));
    assert!(root.path().join("a/b/c").is_dir());
    make_parents(&target).unwrap();
}

/// A snapshot of a large store takes its time: here it is a pipe into which nobody writes yet.
#[test]
fn a_start_does_not_wait_for_the_index() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let digest = blob(&tier, 1);
    tier.0.catalog.save(true).unwrap();
    drop(tier);
    let snapshot = root.path().join(layout::INDEX).join("snapshot");
    let bytes = fs::read(&snapshot).unwrap();
    fs::remove_file(&snapshot).unwrap();
    mknodat(CWD, &snapshot, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (started, start) = std::sync::mpsc::channel();
    let folder = root.path().to_owned();
    std::thread::spawn(move || started.send(Tier::of(&folder, None).unwrap()));
    let tier = start.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(tier.usage().objects, 0, "nothing is known yet");
    let looking = tier.clone();
    let look = std::thread::spawn(move || looking.look(&digest).unwrap());
    fs::write(&snapshot, bytes).unwrap();
    assert!(matches!(look.join().unwrap(), Look::Trusted(_)));
    assert_eq!(tier.usage().objects, 1);
}

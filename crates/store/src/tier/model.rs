//! A model of the tier: random pulls, damage, evictions, restarts and crashes, compared with what must hold.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use longshore_reference::{Digest, Named, Reference, Tag, Tagged};
use tokio_util::task::TaskTracker;

use super::{Amount, Settings, Tier, layout, read_all};
use crate::ingest::Ingest;

const CAPACITY: u64 = 60_000;
const IMAGES: usize = 40;
const PINNED: usize = 3;
const STEPS: usize = 3000;

struct Image {
    reference: Reference,
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
    /// All of it was committed, and nobody damaged it since.
    whole: bool,
}

struct Model {
    root: tempfile::TempDir,
    tier: Option<Tier>,
    time: Arc<AtomicU64>,
    images: Vec<Image>,
    random: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut images = Vec::new();
        for number in 0..IMAGES {
            let name = if number < PINNED { "pinned" } else { "app" };
            let named = Named::new("registry.example", name).unwrap();
            let tag = Tag::parse(&format!("v{number}")).unwrap();
            // Every blob is shared with a neighbour.
            let blob = |at: usize| format!("blob {at} ").repeat(20 + at * 7 % 300).into_bytes();
            let blobs = vec![blob(number), blob(number + 1), blob(1000 + number / 7)];
            images.push(Image {
                reference: Reference::from(Tagged::new(named, tag)),
                manifest: manifest(&blobs),
                blobs,
                whole: false,
            });
        }
        // In memory: nothing here depends on the disk.
        let root = ["/dev/shm", "/tmp"]
            .into_iter()
            .find_map(|at| tempfile::tempdir_in(at).ok());
        let mut model = Self {
            root: root.unwrap(),
            tier: None,
            time: Arc::new(AtomicU64::new(1_000_000_000)),
            images,
            random: seed,
        };
        model.open();
        model
    }

    fn open(&mut self) {
        let time = Arc::clone(&self.time);
        let clock = move || UNIX_EPOCH + Duration::from_secs(time.load(Ordering::Relaxed));
        let settings = Settings {
            capacity: Some(Amount::Bytes(CAPACITY)),
            min_free: Amount::Bytes(0),
            pins: vec!["registry.example/pinned:v*".parse().unwrap()],
            clock: Arc::new(clock),
            ..Settings::default()
        };
        let tier = Tier::open(self.root.path(), None, settings, TaskTracker::new()).unwrap();
        tier.reconcile().unwrap();
        self.tier = Some(tier);
    }

    fn tier(&self) -> &Tier {
        self.tier.as_ref().unwrap()
    }

    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end as u64) as usize
    }

    fn commit(&self, bytes: &[u8]) {
        let tier = self.tier();
        let (content, digest) = (Bytes::copy_from_slice(bytes), Digest::sha256(bytes));
        let reserved = tier.reserve(bytes.len() as u64).unwrap();
        Ingest::put(tier, digest, content).unwrap();
        drop(reserved);
    }

    /// What a client does, and the fills that it starts.
    async fn pull(&mut self, number: usize, until: usize) {
        let image = &self.images[number];
        let digest = Digest::sha256(&image.manifest);
        match self.tier().read_blob(&digest, 1 << 20).unwrap() {
            Some(bytes) => assert_eq!(bytes, image.manifest),
            None => {
                self.commit(&image.manifest);
                let children: Vec<_> = image
                    .blobs
                    .iter()
                    .map(|blob| Digest::sha256(blob))
                    .collect();
                self.tier().image(&image.reference, &digest, &children);
            }
        }
        self.tier().served(&image.reference, &digest);
        for blob in image.blobs.iter().take(until) {
            let digest = Digest::sha256(blob);
            match self.tier().open_blob(&digest).await.unwrap() {
                Some(opened) => {
                    assert_eq!(opened.stamp.size, blob.len() as u64);
                    assert_eq!(read_all(opened.file, 1 << 20).unwrap(), *blob);
                }
                None => self.commit(blob),
            }
        }
        self.images[number].whole |= until >= 3;
    }

    fn evict_some(&mut self) {
        // A crash in the middle of an eviction: only the first files went.
        let Some(victims) = self.tier().0.catalog.evict(|_| false) else {
            return;
        };
        let first = 1 + self.below(victims.len());
        for (digest, stamp) in &victims[..first] {
            self.tier().evict_file(digest, stamp).unwrap();
        }
        self.crash();
    }

    fn damage(&mut self) {
        let number = self.below(IMAGES);
        let blob = self.below(3);
        let image = &self.images[number];
        let digest = Digest::sha256(&image.blobs[blob]);
        let path = self.tier().0.files.blob(&digest);
        if let Ok(mut bytes) = fs::read(&path) {
            bytes[0] ^= 1;
            fs::write(&path, bytes).unwrap();
            let damaged = image.blobs[blob].clone();
            for image in &mut self.images {
                image.whole &= !image.blobs.contains(&damaged);
            }
        }
    }

    fn restart(&mut self) {
        self.tier().0.catalog.save(true).unwrap();
        self.tier = None;
        self.open();
    }

    /// The process ends at once, and the journal loses some of its end.
    fn crash(&mut self) {
        self.tier = None;
        let index = self.root.path().join(layout::INDEX);
        for entry in fs::read_dir(index).unwrap() {
            let path = entry.unwrap().path();
            let is_journal = path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("journal-");
            if is_journal && self.below(2) == 0 {
                let bytes = fs::read(&path).unwrap();
                let cut = self.below(bytes.len().min(300) + 1);
                fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            }
        }
        self.open();
    }

    fn check(&mut self, step: usize) {
        self.tier().make_room().unwrap();
        let usage = self.tier().usage();
        assert_eq!(usage.bytes, disk_bytes(self.root.path()), "step {step}");
        assert!(usage.bytes <= CAPACITY, "step {step}");
        assert_eq!(usage.reserved, 0, "step {step}");
        let held: HashMap<_, _> = self
            .images
            .iter()
            .flat_map(|image| image.blobs.iter().chain([&image.manifest]))
            .map(|bytes| {
                (
                    bytes.clone(),
                    self.tier().0.files.blob(&Digest::sha256(bytes)).exists(),
                )
            })
            .collect();
        for (number, image) in self.images.iter_mut().enumerate() {
            if !held[&image.manifest] {
                assert!(
                    !image.whole || number >= PINNED,
                    "step {step}: pinned {number} went"
                );
                image.whole = false;
            }
            let all = image.blobs.iter().all(|blob| held[blob]);
            assert!(
                all || !image.whole,
                "step {step}: a part of image {number} went"
            );
        }
    }
}

/// A manifest whose first blob is the configuration.
fn manifest(blobs: &[Vec<u8>]) -> Vec<u8> {
    let descriptors: Vec<_> = blobs
        .iter()
        .map(|blob| {
            let digest = Digest::sha256(blob).to_string();
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            serde_json::json!({ "mediaType": media_type, "digest": digest, "size": blob.len() })
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptors[0],
        "layers": descriptors[1..],
    });
    serde_json::to_vec(&manifest).unwrap()
}

fn disk_bytes(root: &Path) -> u64 {
    let mut bytes = 0;
    for fan in fs::read_dir(root.join("blobs/sha256"))
        .into_iter()
        .flatten()
    {
        for blob in fs::read_dir(fan.unwrap().path()).unwrap() {
            bytes += blob.unwrap().metadata().unwrap().len();
        }
    }
    bytes
}

#[tokio::test]
async fn a_bounded_tier_never_serves_wrong_bytes_nor_parts_of_images() {
    for seed in [1, 77] {
        let mut model = Model::new(seed);
        for step in 0..STEPS {
            model.time.fetch_add(200, Ordering::Relaxed);
            match model.below(100) {
                0 => model.restart(),
                1 => model.crash(),
                2 => model.evict_some(),
                3..6 => model.damage(),
                6 => {
                    // The clock jumps.
                    let time = model.below(2_000_000_000) as u64;
                    model.time.store(time, Ordering::Relaxed);
                }
                7..15 => {
                    let (number, until) = (model.below(IMAGES), model.below(3));
                    model.pull(number, until).await;
                }
                15..20 => {
                    model.tier().scrub_next();
                }
                _ => {
                    // Some are pulled more than others.
                    let end = 1 + model.below(IMAGES);
                    let number = model.below(end);
                    model.pull(number, 3).await;
                }
            }
            model.check(step);
        }
    }
}

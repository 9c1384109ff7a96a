//! The store: what it is made of, how it opens and ends.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore_manifest::convert::LayerBlob;
use longshore_reference::{Canonical, Digest, Reference, Tagged};
use moka::sync::Cache;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::bucket::Bucket;
use crate::chunks::Budget;
use crate::error::{Error, Refusal};
pub(crate) use crate::event::{Event, Observer};
use crate::fill::list::Fills;
use crate::flights::Flights;
use crate::legacy::Wanted;
use crate::manifest::{Held, Kept};
use crate::records::{self, Records};
use crate::sweep;
use crate::tier::{self, Amount, Lookup, Pin, Settings, Stamp, Tier};
use crate::uploads::Uploads;

/// How long wrong bytes are remembered: a client that resumes in that time must not join them to right ones.
const DISTRUSTED_FOR: Duration = Duration::from_secs(30);
/// Answers that are remembered for the next requests.
const REMEMBERED_MAX: u64 = 50_000;
/// None is remembered for longer, whatever the policy says.
const REMEMBERED_FOR_MAX: Duration = Duration::from_secs(3600);
/// Conversions whose results are known without a look at the disk.
const MADE_IN_MEMORY: u64 = 10_000;

/// What a store is opened with.
pub struct Options {
    /// Folder of the local tier.
    pub local: PathBuf,
    /// Folder of writes under way, on the same file system; by default below `local`.
    pub spool: Option<PathBuf>,
    /// The bucket behind the local tier: `s3://`, `gs://`, `az://` or `memory://`.
    pub bucket: Option<Url>,
    /// How much the local tier may hold: by default what it holds when it is opened and half of what is free then.
    pub capacity: Option<Amount>,
    /// How much of the local tier's file system stays free.
    pub min_free: Amount,
    /// How long a round takes in which every kept file is hashed again; zero: none is made.
    pub scrub: Duration,
    /// What is never evicted.
    pub pins: Vec<Pin>,
    /// Fills in flight at once.
    pub fills_max: usize,
    /// Memory for manifests, in bytes.
    pub manifest_memory_bytes: u64,
    /// The one wall clock.
    pub clock: Clock,
    /// Told what happens, for metrics. Called on the runtime's threads: it must not wait.
    pub observer: Observer,
}

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Options {
    /// A store in this folder, everything else by default.
    pub fn new(local: impl Into<PathBuf>) -> Self {
        Self {
            local: local.into(),
            spool: None,
            bucket: None,
            capacity: None,
            min_free: Amount::Bytes(0),
            scrub: Duration::from_secs(30 * 24 * 3600),
            pins: Vec::new(),
            fills_max: 64,
            manifest_memory_bytes: 64 << 20,
            clock: Arc::new(SystemTime::now),
            observer: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("local", &self.local)
            .field("spool", &self.spool)
            .field("fills_max", &self.fills_max)
            .field("manifest_memory_bytes", &self.manifest_memory_bytes)
            .finish_non_exhaustive()
    }
}

/// What is held and under way, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the blobs in the local tier.
    pub bytes: u64,
    /// Number of the blobs in the local tier.
    pub objects: u64,
    /// Bytes that fills in flight have reserved in the local tier.
    pub reserved_bytes: u64,
    /// Free bytes of the local tier's file system, as they were last looked at.
    pub free_bytes: u64,
    /// Bytes that the local tier may hold; zero until its files were counted after the start.
    pub capacity_bytes: u64,
    /// Fills in flight.
    pub fills: usize,
    /// Blobs and records that the bucket does not have yet.
    pub outbox: u64,
    /// How long the oldest of them waits.
    pub outbox_oldest: Duration,
}

/// Content-addressed storage that fills itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) tier: Tier,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) uploads: Option<Uploads>,
    pub(crate) records: Records,
    pub(crate) fills: Fills,
    /// Questions about manifests, and whether a repository has a blob that is held for another one.
    pub(crate) manifests_asked: Flights<Reference, Result<Held, Error>>,
    pub(crate) blobs_confirmed: Flights<Canonical, Result<Option<u64>, Refusal>>,
    /// Legacy documents that are being converted, and what was made of them.
    pub(crate) conversions: Flights<Wanted, Result<Held, Error>>,
    pub(crate) made: Cache<Wanted, Digest>,
    /// Layers of legacy images that are being looked into, by the key of their record.
    pub(crate) layers_asked: Flights<String, Result<LayerBlob, Error>>,
    /// Verdicts on tags whose upstream did not answer in time.
    pub(crate) verdicts: Flights<Tagged, Result<Held, Error>>,
    /// Tags with their manifests.
    pub(crate) tags: Cache<Tagged, Kept>,
    /// Bytes of manifests by their digest.
    pub(crate) manifests: Cache<Digest, Bytes>,
    pub(crate) remembered: Cache<Question, Remembered>,
    pub(crate) budget: Budget,
    pub(crate) tracker: TaskTracker,
    pub(crate) clock: Clock,
    /// Cancelled at the end: nothing begins any more in the background.
    ended: CancellationToken,
    observer: Observer,
    distrusted: Mutex<HashMap<Digest, Instant>>,
}

/// What was asked: a client may ask for one digest as a manifest and as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    Manifest(Reference),
    Blob(Canonical),
}

/// A verdict that stands for a while: to serve what is kept, or to refuse. It is only the verdict, for the kept bytes
/// would stay in memory for as long.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    until: Instant,
    verdict: Result<(), Error>,
}

impl Store {
    /// Opens the store and removes what crashed processes left. Upstream and bucket are not asked.
    ///
    /// # Errors
    /// The folder cannot be used or is no store of this version, or the bucket's URL cannot be understood.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let Options {
            local: root,
            spool,
            bucket,
            ..
        } = options;
        let tracker = TaskTracker::new();
        let settings = Settings {
            capacity: options.capacity,
            min_free: options.min_free,
            scrub: options.scrub,
            pins: options.pins,
            clock: Arc::clone(&options.clock),
            observer: observe(&options.observer),
        };
        let tier = open_tier(root, spool, bucket.is_some(), settings, tracker.clone()).await?;
        tier.keep_house();
        let bucket = bucket
            .map(|url| Bucket::open(&url, Arc::clone(&options.observer)))
            .transpose()?;
        let uploads = bucket
            .clone()
            .zip(tier.outbox().map(Arc::clone))
            .map(|(bucket, outbox)| Uploads::start(bucket, outbox, tier.clone(), records::stays));
        let store = Self(Arc::new(Inner {
            records: Records::new(tier.clone(), bucket.clone()),
            tier,
            bucket,
            uploads,
            fills: Fills::new(options.fills_max),
            manifests_asked: Flights::new(tracker.clone()),
            blobs_confirmed: Flights::new(tracker.clone()),
            conversions: Flights::new(tracker.clone()),
            made: Cache::new(MADE_IN_MEMORY),
            layers_asked: Flights::new(tracker.clone()),
            verdicts: Flights::new(tracker.clone()),
            tags: Cache::builder()
                .weigher(|_, kept: &Kept| u32::try_from(kept.weight()).unwrap_or(u32::MAX))
                .max_capacity(options.manifest_memory_bytes / 2)
                .build(),
            manifests: Cache::builder()
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
                .max_capacity(options.manifest_memory_bytes / 2)
                .build(),
            remembered: Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_live(REMEMBERED_FOR_MAX)
                .build(),
            budget: Budget::default(),
            tracker,
            clock: options.clock,
            ended: CancellationToken::new(),
            observer: options.observer,
            distrusted: Mutex::default(),
        }));
        let manifests = store.0.manifests.clone();
        store
            .0
            .tier
            .on_gone(move |digest| manifests.invalidate(digest));
        store.0.sweep();
        Ok(store)
    }

    /// What is held and under way. Files that other processes left or removed are counted a little later.
    pub fn usage(&self) -> Usage {
        let uploads = self.0.uploads.as_ref();
        let backlog = uploads.map(Uploads::backlog).unwrap_or_default();
        let held = self.0.tier.usage();
        Usage {
            outbox: backlog.entries,
            outbox_oldest: backlog.oldest,
            bytes: held.bytes,
            objects: held.objects,
            reserved_bytes: held.reserved,
            free_bytes: held.free,
            capacity_bytes: held.capacity,
            fills: self.0.fills.len(),
        }
    }

    /// Ends: gives up all fills, then waits for what is being committed and written.
    ///
    /// The caller bounds the wait; what is cut off leaves nothing partial.
    pub async fn close(&self) {
        self.0.ended.cancel();
        self.0.fills.give_up_all();
        self.0.tier.close();
        self.0.tracker.close();
        self.0.tracker.wait().await;
        if let Some(uploads) = &self.0.uploads {
            uploads.close().await;
        }
    }
}

/// Opens the local tier, away from the runtime's threads.
async fn open_tier(
    root: PathBuf,
    spool: Option<PathBuf>,
    before_bucket: bool,
    settings: Settings,
    tracker: TaskTracker,
) -> Result<Tier, Error> {
    let at = root.clone();
    let open = move || match before_bucket {
        true => Tier::open_before_bucket(&at, spool.as_deref(), settings, tracker),
        false => Tier::open(&at, spool.as_deref(), settings, tracker),
    };
    tokio::task::spawn_blocking(open)
        .await
        .map_err(|cause| Error::local("open", &root, std::io::Error::other(cause)))?
}

impl Inner {
    /// What the local tier has of a blob.
    pub(crate) async fn look_up(&self, digest: &Digest) -> Result<Lookup, Error> {
        let kept = self.tier.find_blob(digest).await;
        kept.map_err(|cause| Error::local("open", std::path::Path::new(&digest.to_string()), cause))
    }

    /// Size of a blob of the local tier whose bytes are the digest's.
    pub(crate) async fn size_of(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let size = self.tier.size_of(digest).await;
        size.map_err(|cause| Error::local("open", std::path::Path::new(&digest.to_string()), cause))
    }

    /// Opens a blob of the local tier, and its size. Its bytes are the digest's.
    pub(crate) async fn open_local(&self, digest: &Digest) -> Result<Option<(File, u64)>, Error> {
        Ok(match self.look_up(digest).await? {
            Lookup::Whole(opened) => Some((opened.file, opened.stamp.size)),
            Lookup::Cut(_) | Lookup::Nothing => None,
        })
    }

    /// Moves a blob's file to quarantine that could not be read to its end, if it still bears the name.
    pub(crate) async fn quarantine(&self, digest: Digest, file: &Arc<File>) {
        let file = Arc::clone(file);
        let moved = self.tier.run(move |tier| {
            let stamp = Stamp::of(&file)?;
            Ok(tier.quarantine(&digest, &stamp))
        });
        if let Err(cause) = moved.await {
            tracing::error!(%digest, %cause, "damaged content could not be looked at");
        }
    }

    /// Remembers that wrong bytes were served for this digest.
    pub(crate) fn distrust(&self, digest: Digest) {
        let mut distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        distrusted.retain(|_, since| since.elapsed() < DISTRUSTED_FOR);
        distrusted.insert(digest, Instant::now());
    }

    pub(crate) fn distrusts(&self, digest: &Digest) -> bool {
        let distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        distrusted
            .get(digest)
            .is_some_and(|since| since.elapsed() < DISTRUSTED_FOR)
    }

    pub(crate) fn remember(&self, question: Question, verdict: Result<(), Error>, time: Duration) {
        if !time.is_zero() {
            let until = Instant::now() + time;
            self.remembered
                .insert(question, Remembered { until, verdict });
        }
    }

    pub(crate) fn remembered(&self, question: &Question) -> Option<Result<(), Error>> {
        let remembered = self.remembered.get(question)?;
        (Instant::now() < remembered.until).then_some(remembered.verdict)
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.observer)(event);
    }

    /// A bucket may have what the local tier has not: then no record is known to be of no use.
    fn sweep(&self) {
        if self.bucket.is_none() {
            let (tier, clock) = (self.tier.clone(), Arc::clone(&self.clock));
            let (ended, sweep) = (self.ended.clone(), sweep::run(tier, move || clock()));
            tokio::spawn(async move { ended.run_until_cancelled(sweep).await });
        }
    }
}

/// Passes on what happens in the local tier.
fn observe(observer: &Observer) -> Arc<dyn Fn(tier::Event) + Send + Sync> {
    let observer = Arc::clone(observer);
    Arc::new(move |event| {
        observer(&match event {
            tier::Event::Quarantined => Event::Quarantined,
            tier::Event::Evicted { reason, bytes } => Event::Evicted { reason, bytes },
            tier::Event::Failed { action } => Event::LocalFailed { action },
        });
    })
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

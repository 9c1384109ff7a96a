//! The store: what it is made of, how it opens and ends.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_manifest::convert::{Converted, Format, LayerBlob};
use longshore_reference::{Canonical, Digest, Named, Reference};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blob::{Blob, BlobRange, Blobs};
use crate::bucket::Bucket;
use crate::changes::Changes;
use crate::distrust::Distrust;
use crate::error::{Error, Refusal};
use crate::event::{Event, Observer};
use crate::fill::context::Context;
use crate::fill::list::Fills;
use crate::flights::Flights;
use crate::freshness::Policy;
use crate::legacy::layers::Layers;
use crate::legacy::made::Conversions;
use crate::list::{List, ListName, Lists};
use crate::manifest::Manifests;
use crate::manifest::accept::Acceptor;
use crate::manifest::cache::ManifestCache;
use crate::manifest::held::Held;
use crate::manifest::tags::Tags;
use crate::manifest::whole::Whole;
use crate::membership::Membership;
use crate::negative::NegativeCache;
use crate::options::{Clock, Options};
use crate::outcome::Outcome;
use crate::records::{self, Records};
use crate::remote::Source;
use crate::request::Request;
use crate::sweep;
use crate::tier::{self, Settings, Tier};
use crate::uploads::Uploads;

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
pub struct Store(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    blobs: Blobs,
    cache: Arc<ManifestCache>,
    manifests: Arc<Manifests>,
    conversions: Arc<Conversions>,
    layers: Layers,
    lists: Lists,
    changes: Changes,
    /// Cancelled at the end: nothing begins any more in the background.
    ended: CancellationToken,
}

impl Store {
    /// Opens the store and removes what crashed processes left. Upstream and bucket are not asked.
    ///
    /// # Errors
    /// The folder cannot be used or is no store of this version, or the bucket's URL cannot be understood.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let tracker = TaskTracker::new();
        let settings = Settings {
            capacity: options.capacity,
            min_free: options.min_free,
            scrub: options.scrub,
            pins: options.pins,
            clock: Arc::clone(&options.clock),
            observer: observe(&options.observer),
        };
        let before_bucket = options.bucket.is_some();
        let (root, spool) = (options.local, options.spool);
        let tier = open_tier(root, spool, before_bucket, settings, tracker.clone()).await?;
        tier.keep_house();
        let bucket = options
            .bucket
            .map(|url| Bucket::open(&url, Arc::clone(&options.observer)))
            .transpose()?;
        let negative = NegativeCache::new();
        let fills = Fills::new(options.fills_max);
        let context = context(
            tier,
            bucket,
            fills,
            negative.clone(),
            options.observer,
            tracker,
        );
        let store = Self(Arc::new(Inner::new(
            Arc::new(context),
            negative,
            options.manifest_memory_bytes,
            &options.clock,
        )));
        let context = &store.0.context;
        let (cache, records) = (Arc::clone(&store.0.cache), Arc::clone(&context.records));
        context.tier.on_gone(move |digest| {
            cache.forget(digest);
            records.forget_manifest(digest);
        });
        store.0.sweep(options.clock);
        Ok(store)
    }

    /// A manifest by tag or digest, from what is held or from the remote, which is asked only when it must be.
    /// Answers within the policy's limits.
    ///
    /// # Errors
    /// [`Error::Refused`] when upstream refuses and nothing kept may be served, [`Error::NotWhole`] when something is
    /// kept that could not be pulled to its end, [`Error::Mismatch`] when what came is not what was asked for.
    pub async fn manifest(&self, request: &Request<Reference>) -> Result<Held, Error> {
        self.0.notice_changes();
        self.0.manifests.find(request).await
    }

    /// A blob of a repository, from what is held or from upstream; returns when headers can be answered.
    ///
    /// However many ask, every byte comes from upstream once; the work goes on when this future is dropped, so that
    /// the caller may put any deadline around it. `range` is what the client wants first: where that is far from what lands,
    /// it comes over a connection of its own. For 30 s after wrong bytes only requests from the start are answered.
    ///
    /// # Errors
    /// [`Error::Refused`] when upstream refuses, [`Error::Mismatch`] when a small blob came wrong, [`Error::Distrusted`],
    /// [`Error::Busy`].
    pub async fn blob(
        &self,
        request: &Request<Canonical>,
        range: BlobRange,
    ) -> Result<Blob, Error> {
        self.0.notice_changes();
        self.0.blobs.open(request, range).await
    }

    /// Size of a blob, without starting a fill; `None` where upstream does not tell.
    ///
    /// # Errors
    /// [`Error::Refused`] when upstream refuses.
    pub async fn blob_size(
        &self,
        request: &Request<Canonical>,
    ) -> Result<(Option<u64>, Outcome), Error> {
        self.0.notice_changes();
        self.0.blobs.size(request).await
    }

    /// What a legacy document was made into; by `make`, where that was not done yet. However many ask, it is made once,
    /// and goes on when the time is over.
    ///
    /// # Errors
    /// [`Error::Converting`] when it is not ready in time, else what `make` returns.
    pub async fn made<W>(
        &self,
        document: &Canonical,
        format: Format,
        within: Duration,
        make: impl FnOnce() -> W,
    ) -> Result<Held, Error>
    where
        W: Future<Output = Result<Converted, Error>> + Send + 'static,
    {
        let conversions = &self.0.conversions;
        conversions.made(document, format, within, make).await
    }

    /// A manifest of a repository, if it is held.
    pub async fn document(&self, canonical: &Canonical) -> Option<(Bytes, Arc<str>)> {
        self.0.cache.load_known(canonical).await
    }

    /// What is inside a layer of a legacy image: found out before, or by `find`, once however many ask. `source` is the
    /// layer's digest, or the id of the v1 image that it belongs to.
    ///
    /// # Errors
    /// What `find` returns.
    pub async fn layer<W>(
        &self,
        named: &Named,
        source: &str,
        find: impl FnOnce() -> W,
    ) -> Result<LayerBlob, Error>
    where
        W: Future<Output = Result<LayerBlob, Error>> + Send + 'static,
    {
        self.0.layers.layer(named, source, find).await
    }

    /// Keeps the layer of a v1 image: bytes whose digest is known when they are all there. `tap` sees them on their way.
    /// Returns digest and size.
    ///
    /// # Errors
    /// What the source fails with, a size that is not the source's, or a disk that fails.
    pub async fn land<T>(
        &self,
        named: &Named,
        id: &str,
        source: Source,
        tap: T,
    ) -> Result<(Digest, u64, T), Error>
    where
        T: io::Write + Send + 'static,
    {
        self.0.layers.land(named, id, source, tap).await
    }

    /// A page of a list by `fetch`, once however many ask for it at once. It is kept: while upstream refuses, the page
    /// that was kept is served by the rules for tags. `None` where upstream has no list of that kind.
    ///
    /// # Errors
    /// The refusal, where nothing is kept or what is kept may not be served.
    pub async fn list<W>(
        &self,
        name: &ListName,
        policy: &Policy,
        fetch: impl FnOnce() -> W,
    ) -> Result<Option<(Arc<List>, Outcome)>, Error>
    where
        W: Future<Output = Result<Option<List>, Refusal>> + Send + 'static,
    {
        self.0.notice_changes();
        self.0.lists.page(name, policy, fetch).await
    }

    /// What is held and under way. Files that other processes left or removed are counted a little later.
    pub fn usage(&self) -> Usage {
        let context = &self.0.context;
        let uploads = context.uploads.as_ref();
        let backlog = uploads.map(Uploads::backlog).unwrap_or_default();
        let held = context.tier.usage();
        Usage {
            outbox: backlog.entries,
            outbox_oldest: backlog.oldest,
            bytes: held.bytes,
            objects: held.objects,
            reserved_bytes: held.reserved,
            free_bytes: held.free,
            capacity_bytes: held.capacity,
            fills: context.fills.len(),
        }
    }

    /// Ends: gives up all fills, then waits for what is being committed and written.
    ///
    /// The caller bounds the wait; what is cut off leaves nothing partial.
    pub async fn close(&self) {
        let context = &self.0.context;
        self.0.ended.cancel();
        context.fills.give_up_all();
        context.tier.close();
        context.tracker.close();
        context.tracker.wait().await;
        if let Some(uploads) = &context.uploads {
            uploads.close().await;
        }
    }
}

impl Inner {
    fn new(
        context: Arc<Context>,
        negative: NegativeCache,
        manifest_memory_bytes: u64,
        clock: &Clock,
    ) -> Self {
        let (tier, records) = (&context.tier, &context.records);
        let tracker = &context.tracker;
        let memory_bytes = manifest_memory_bytes / 2;
        let cache = Arc::new(ManifestCache::new(
            tier.clone(),
            context.bucket.clone(),
            Arc::clone(records),
            memory_bytes,
        ));
        let conversions = Arc::new(Conversions::new(
            tier.clone(),
            Arc::clone(records),
            Arc::clone(&cache),
            tracker.clone(),
        ));
        let tags = Tags::new(
            tier.clone(),
            context.bucket.is_some(),
            Arc::clone(&cache),
            Arc::clone(records),
            memory_bytes,
        );
        let manifests = Manifests {
            tier: tier.clone(),
            manifests: Arc::clone(&cache),
            tags: tags.clone(),
            acceptor: Acceptor {
                manifests: Arc::clone(&cache),
                tags,
                records: Arc::clone(records),
                clock: Arc::clone(clock),
            },
            whole: Whole {
                context: Arc::clone(&context),
                manifests: Arc::clone(&cache),
                conversions: Arc::clone(&conversions),
            },
            negative,
            asked: Flights::new(tracker.clone()),
            late: Flights::new(tracker.clone()),
            clock: Arc::clone(clock),
        };
        Self {
            blobs: Blobs::new(Arc::clone(&context)),
            cache,
            manifests: Arc::new(manifests),
            conversions,
            layers: Layers::new(Arc::clone(&context)),
            lists: Lists::new(Arc::clone(records), Arc::clone(clock), tracker.clone()),
            changes: Changes::new(&context.tier),
            ended: CancellationToken::new(),
            context,
        }
    }

    /// Forgets what is in memory if a command of another process has changed the store.
    fn notice_changes(&self) {
        let tier = &self.context.tier;
        self.changes.notice(tier, || {
            tracing::info!("a command has changed the store: its records are read again");
            self.context.records.forget_memory();
            self.cache.forget_memory();
            self.conversions.forget_memory();
            self.manifests.forget_memory();
            tier.look_again();
        });
    }

    /// With a bucket no record is swept. One is of no use when nobody has its content: not this tier, not the bucket, and
    /// not another replica, whose upload may still wait in its outbox. That cannot be seen from here, and to look for it
    /// would cost the bucket a request for each record in each round. Records are small; a life-cycle rule of the bucket
    /// on `repositories/` bounds them, as one on `blobs/` bounds the content.
    fn sweep(&self, clock: Clock) {
        if self.context.bucket.is_none() {
            let tier = self.context.tier.clone();
            let (ended, sweep) = (self.ended.clone(), sweep::run(tier, move || clock()));
            tokio::spawn(async move { ended.run_until_cancelled(sweep).await });
        }
    }
}

/// What fills work with; uploads begin.
fn context(
    tier: Tier,
    bucket: Option<Bucket>,
    fills: Fills,
    negative: NegativeCache,
    observer: Observer,
    tracker: TaskTracker,
) -> Context {
    let uploads = bucket
        .clone()
        .zip(tier.outbox().map(Arc::clone))
        .map(|(bucket, outbox)| Uploads::start(bucket, outbox, tier.clone(), records::stays));
    let records = Arc::new(Records::new(tier.clone(), bucket.clone()));
    let asked = Flights::new(tracker.clone());
    Context {
        membership: Membership::new(Arc::clone(&records), negative, asked),
        tier,
        bucket,
        uploads,
        records,
        fills,
        distrust: Distrust::default(),
        observer,
        tracker,
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
        .map_err(|cause| Error::local("open", &root, io::Error::other(cause)))?
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
            .field("tier", &self.context.tier)
            .finish_non_exhaustive()
    }
}

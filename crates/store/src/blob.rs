//! A blob: held, on its way, or to be had. The store alone decides: hit, lead or join.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_reference::Canonical;
use tokio_util::task::TaskTracker;

use crate::error::{Error, Refusal};
use crate::fill::engine::Engine;
use crate::fill::list::Place;
use crate::fill::progress::Progress;
use crate::fill::sources::Salvage;
use crate::fill::transfer::is_empty_digest;
use crate::fill::{Follower, Want};
use crate::freshness::{Policy, remembered_for};
use crate::outcome::Outcome;
use crate::passing::Passing;
use crate::reader::BlobReader;
use crate::records::{ContentRecord, can_be};
use crate::remote::{BlobAsk, Source};
use crate::request::Request;
use crate::store::{Event, Inner, Question, Store};
use crate::tier::{Lookup, Opened};

/// How often a request joins fills that other repositories lead and that fail, before its client has to come again.
const ENTERED_MAX: usize = 8;

/// A blob that can be read, any part of it, by any number of readers.
pub struct Blob {
    pub(crate) store: Arc<Inner>,
    pub(crate) request: Request<Canonical>,
    pub(crate) known: Option<Arc<ContentRecord>>,
    pub(crate) held: HeldBlob,
    size: Option<u64>,
    outcome: Outcome,
    /// Keeps what was wanted first on its way until readers want more.
    _want: Option<Want>,
}

/// The bytes that a request wants first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRange {
    /// All of the blob, from its start.
    All,
    /// From a byte on.
    From {
        /// The first byte.
        start: u64,
        /// The byte after the last one; `None` for the end of the blob.
        end: Option<u64>,
    },
    /// So many of the last bytes.
    Last(u64),
}

/// Where the bytes are.
#[derive(Clone)]
pub(crate) enum HeldBlob {
    /// In a kept file.
    Kept(Arc<File>, u64),
    /// On their way.
    Landing(Follower),
    /// They cannot be kept: each reader has a connection of its own, the first one this.
    Passing(Arc<Mutex<Option<Box<Passing>>>>),
}

impl Blob {
    /// Size in bytes; `None` while upstream does not tell.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// How it was had.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Waits until the byte at `start` can be read: headers that go out before may have nothing to follow them.
    ///
    /// # Errors
    /// What the fill failed with, before that byte came.
    pub async fn ready(&self, start: u64) -> Result<(), Error> {
        match &self.held {
            HeldBlob::Landing(follower) => follower.reached(start).await,
            HeldBlob::Kept(..) | HeldBlob::Passing(_) => Ok(()),
        }
    }

    /// Reads from `start` up to `end`, or to the end of the blob.
    pub fn read(&self, start: u64, end: Option<u64>) -> BlobReader {
        BlobReader::new(self, start, end)
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("canonical", &self.request.target)
            .field("size", &self.size)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// A fill whose headers can be answered.
struct Entered {
    follower: Follower,
    /// This request started it.
    leads: bool,
    progress: Progress,
    want: Option<Want>,
}

impl Store {
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
        let (store, canonical) = (&self.0, &request.target);
        let digest = canonical.digest();
        if !range.is_from_start() && store.distrusts(&digest) {
            return Err(Error::Distrusted { digest });
        }
        let known = store.records.content(canonical).await;
        let blob = |held, size, outcome, want| Blob {
            store: Arc::clone(store),
            request: request.clone(),
            known: known.clone(),
            held,
            size,
            outcome,
            _want: want,
        };
        let salvage = match store.look_up(&digest).await? {
            Lookup::Whole(Opened { file, stamp }) => {
                let outcome = store.hit(request, known.as_deref(), stamp.size).await?;
                let kept = HeldBlob::Kept(Arc::new(file), stamp.size);
                return Ok(blob(kept, Some(stamp.size), outcome, None));
            }
            // Without a size in the record only upstream can say how long the blob is.
            Lookup::Cut(cut) if known.as_ref().is_some_and(|known| known.size.is_some()) => {
                Some(salvage_of(cut))
            }
            Lookup::Cut(_) | Lookup::Nothing => None,
        };
        if let Some(Err(error)) = store.remembered(&Question::Blob(canonical.clone())) {
            return Err(error);
        }
        store.satisfiable(request, known.as_deref(), range).await?;
        let wanted = range.resolve(known.as_ref().and_then(|known| known.size));
        match store.enter(request, known.as_ref(), salvage, wanted).await {
            Ok(Entered {
                follower,
                leads,
                progress,
                want,
            }) => {
                let Progress {
                    size, kept, landed, ..
                } = progress;
                // While the source does not say how long the blob is, a descriptor may.
                let claimed = known.as_ref().and_then(|known| known.size);
                let claimed = claimed.filter(|claimed| {
                    landed.end() <= *claimed && (*claimed > 0 || is_empty_digest(digest))
                });
                let size = size.or(claimed);
                let outcome = match (leads, kept) {
                    (true, true) if known.is_none() => Outcome::Revalidated,
                    (true, true) => Outcome::Hit,
                    (true, false) => Outcome::Miss,
                    (false, _) => Outcome::Joined,
                };
                Ok(blob(HeldBlob::Landing(follower), size, outcome, want))
            }
            Err(Error::NoRoom { .. }) => {
                let mut passing = store.pass(request, known.as_deref()).await?;
                let size = passing.answerable().await?;
                let passing = Arc::new(Mutex::new(Some(Box::new(passing))));
                Ok(blob(
                    HeldBlob::Passing(passing),
                    size,
                    Outcome::Bypass,
                    None,
                ))
            }
            Err(error) => Err(error),
        }
    }

    /// Size of a blob, without starting a fill; `None` where upstream does not tell.
    ///
    /// # Errors
    /// [`Error::Refused`] when upstream refuses.
    pub async fn blob_size(
        &self,
        request: &Request<Canonical>,
    ) -> Result<(Option<u64>, Outcome), Error> {
        let (store, canonical) = (&self.0, &request.target);
        let known = store.records.content(canonical).await;
        // A file that was cut is left for the next reader, who can use what it still has.
        if let Some(size) = store.size_of(&canonical.digest()).await? {
            let outcome = store.confirm(request, known.as_deref()).await?;
            return Ok((Some(size), outcome));
        }
        if let (Some(_), Some(bucket)) = (&known, &store.bucket)
            && let Some(size) = bucket.blob_size(&canonical.digest()).await
        {
            return Ok((Some(size), Outcome::Hit));
        }
        if let Some(follower) = store.fills.find(&canonical.digest()) {
            let size = follower.fill().progress.borrow().size;
            if size.is_some() && follower.fill().canonical.named() == canonical.named() {
                return Ok((size, Outcome::Joined));
            }
        }
        if let Some(Err(error)) = store.remembered(&Question::Blob(canonical.clone())) {
            return Err(error);
        }
        let size = store
            .ask_has(request)
            .await
            .inspect_err(|error| store.remember_refusal(request, error))?;
        let size = size.or_else(|| known.as_ref()?.size);
        if size == Some(0) && !is_empty_digest(canonical.digest()) {
            return Err(no_bytes().into());
        }
        Ok((size, Outcome::Miss))
    }
}

impl Inner {
    /// A held blob is about to be served: the repository must have it, and a size that somebody claimed gives way to
    /// its own.
    async fn hit(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
        size: u64,
    ) -> Result<Outcome, Error> {
        let canonical = &request.target;
        let outcome = self.confirm(request, known).await?;
        if known.is_some_and(|known| known.size.is_some_and(|claimed| claimed != size)) {
            let record = ContentRecord::verified(size);
            self.records.put_content(canonical, record).await;
        }
        self.tier.touch(&canonical.digest());
        Ok(outcome)
    }

    /// Follows a fill until headers can be answered; says whether this request started it.
    ///
    /// What upstream said or gave to another repository is no answer for this one: it enters again, and may lead then.
    async fn enter(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&Arc<ContentRecord>>,
        salvage: Option<Salvage>,
        wanted: Range<u64>,
    ) -> Result<Entered, Error> {
        let canonical = &request.target;
        let claimed = known.and_then(|known| known.size);
        let mut confirmed = known.is_some();
        for _ in 0..ENTERED_MAX {
            let (follower, leads, want) =
                self.fill(request, known, salvage.clone(), wanted.clone());
            let elsewhere = follower.fill().canonical.named() != canonical.named();
            if elsewhere && !confirmed {
                self.confirm(request, known.map(|known| &**known)).await?;
                confirmed = true;
            }
            match follower.answerable(claimed).await {
                Ok(progress) => {
                    return Ok(Entered {
                        follower,
                        leads,
                        progress,
                        want,
                    });
                }
                Err(error @ (Error::Refused(_) | Error::Mismatch { .. })) if elsewhere => {
                    let digest = canonical.digest();
                    tracing::info!(%digest, error = &error as &dyn std::error::Error, "another repository's fill failed, entering again");
                }
                Err(error) => {
                    self.remember_refusal(request, &error);
                    return Err(error);
                }
            }
        }
        Err(Error::GivenUp)
    }

    /// Refuses a range that starts past the end, before anything is fetched for it. A size that is only claimed is
    /// confirmed first.
    async fn satisfiable(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
        range: BlobRange,
    ) -> Result<(), Error> {
        let past_end = |size: Option<u64>| {
            let BlobRange::From { start, .. } = range else {
                return None;
            };
            size.filter(|size| start >= *size && start > 0)
        };
        let Some(size) = past_end(known.and_then(|known| known.size)) else {
            return Ok(());
        };
        if known.is_some_and(|known| known.verified) {
            return Err(Error::PastEnd { size });
        }
        match past_end(self.ask_has(request).await?) {
            Some(size) if size > 0 => Err(Error::PastEnd { size }),
            _ => Ok(()),
        }
    }

    /// Joins the fill of a digest or starts it.
    pub(crate) fn fill(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&Arc<ContentRecord>>,
        salvage: Option<Salvage>,
        wanted: Range<u64>,
    ) -> (Follower, bool, Option<Want>) {
        match self.fills.enter(&request.target) {
            Place::Joins(follower) => {
                let want = follower.want(wanted);
                (follower, false, want)
            }
            Place::Leads(follower) => {
                let want = follower.want(wanted);
                let engine = Engine {
                    store: Arc::clone(self),
                    fill: Arc::clone(follower.fill()),
                    request: request.clone(),
                    known: known.cloned(),
                    salvage,
                    permit_within: permit_within(&request.policy),
                    tracker: TaskTracker::new(),
                    ingest: Mutex::default(),
                    upload: Mutex::default(),
                };
                self.tracker.spawn(engine.run());
                (follower, true, want)
            }
        }
    }

    /// Bytes from the first one on, for one reader alone. Wrong ones have the consequences that those of a fill have.
    pub(crate) async fn pass(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
    ) -> Result<Passing, Error> {
        let canonical = &request.target;
        let permit = self.fills.bypass(permit_within(&request.policy)).await?;
        // What a descriptor claims is no reason to refuse right bytes.
        let size = known
            .filter(|known| known.verified)
            .and_then(|known| known.size);
        let ask = BlobAsk {
            size,
            origin: known.and_then(|known| known.origin.as_ref()),
            ..BlobAsk::whole(canonical)
        };
        let source = request.remote.blob(ask).await?;
        let (store, wrong, distrust) = (Arc::clone(self), canonical.clone(), source.distrust);
        let distrust = Box::new(move || {
            distrust();
            store.distrust(wrong.digest());
            store.tell(&Event::Mismatch {
                named: wrong.named(),
            });
        });
        let size = source.size.or(size);
        let source = Source { distrust, ..source };
        Ok(Passing::new(canonical.digest(), source, size).holding(permit))
    }

    /// Makes sure that the repository has the blob: content that is held for another one is only asked after.
    async fn confirm(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
    ) -> Result<Outcome, Error> {
        if known.is_some() {
            return Ok(Outcome::Hit);
        }
        if let Some(Err(error)) = self.remembered(&Question::Blob(request.target.clone())) {
            return Err(error);
        }
        self.ask_has(request)
            .await
            .inspect_err(|error| self.remember_refusal(request, error))?;
        Ok(Outcome::Revalidated)
    }

    /// Asks upstream whether the repository has a blob; all who ask at once wait for one answer.
    pub(crate) async fn ask_has(
        self: &Arc<Self>,
        request: &Request<Canonical>,
    ) -> Result<Option<u64>, Error> {
        let (store, request) = (Arc::clone(self), request.clone());
        let key = request.target.clone();
        let (flight, _) = self.blobs_confirmed.join(&key, move || async move {
            let blob = &request.target;
            let known = store.records.content(blob).await;
            let origin = known.as_ref().and_then(|known| known.origin.as_ref());
            let refusal = match request.remote.has(blob, origin).await {
                Ok(size) => {
                    // The size is a claim, and not recorded.
                    let record = ContentRecord::confirmed();
                    store.records.put_content(blob, record).await;
                    return Ok(size.filter(|size| can_be(*size, &blob.digest())));
                }
                Err(refusal) => refusal,
            };
            // Another process that shares the bucket may know more.
            let is_answer = matches!(refusal, Refusal::Gone { .. } | Refusal::Denied { .. });
            match store.records.in_bucket(blob).await {
                Some(record) if !is_answer || record.origin.is_some() => Ok(None),
                _ => Err(refusal),
            }
        });
        let answer = flight.answer().await.ok_or(Error::GivenUp)?;
        answer.map_err(Error::from)
    }

    fn remember_refusal(&self, request: &Request<Canonical>, error: &Error) {
        if let Error::Refused(refusal) = error {
            let time = remembered_for(refusal, false, &request.policy);
            let question = Question::Blob(request.target.clone());
            self.remember(question, Err(error.clone()), time);
        }
    }
}

impl BlobRange {
    /// Whether the first byte is wanted.
    fn is_from_start(self) -> bool {
        matches!(self, Self::All | Self::From { start: 0, .. })
    }

    /// The bytes, as far as they can be told: the last ones only where the size is known.
    fn resolve(self, size: Option<u64>) -> Range<u64> {
        match self {
            Self::All => 0..u64::MAX,
            Self::From { start, end } => start..end.unwrap_or(u64::MAX),
            Self::Last(len) => size.map_or(0, |size| size.saturating_sub(len))..u64::MAX,
        }
    }
}

/// An upstream that says that content has no bytes although only the empty digest has none.
fn no_bytes() -> Refusal {
    let cause = std::io::Error::other("no bytes for a digest that has some");
    Refusal::Misbehaved {
        cause: Arc::new(cause),
    }
}

/// What is left of a file that was cut.
fn salvage_of(cut: Opened) -> Salvage {
    Salvage {
        len: cut.stamp.size,
        file: Arc::new(cut.file),
    }
}

/// How long a fill may wait for its permit: a little less than its first client waits, which then hears why.
fn permit_within(policy: &Policy) -> Duration {
    policy.answer_within * 4 / 5
}

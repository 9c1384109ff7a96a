//! A blob: held, on its way, or to be had. The store alone decides: hit, lead or join.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use longshore_reference::Canonical;

use crate::blob::bypass::Bypass;
use crate::blob::reader::{BlobReader, HeldBlob, Opened};
use crate::chunks::Budget;
use crate::error::Error;
use crate::fill::context::Context;
use crate::fill::engine;
use crate::fill::progress::Progress;
use crate::fill::sources::Salvage;
use crate::fill::{Follower, Want};
use crate::outcome::Outcome;
use crate::records::{ContentRecord, can_be};
use crate::request::Request;
use crate::tier::{self, Lookup};

pub(crate) mod bypass;
pub(crate) mod reader;

/// How often a request joins fills that other repositories lead and that fail, before its client has to come again.
const ENTERED_MAX: usize = 8;

/// A blob that can be read, any part of it, by any number of readers.
pub struct Blob {
    opened: Opened,
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

impl Blob {
    /// Size in bytes; `None` while upstream does not tell.
    pub fn size(&self) -> Option<u64> {
        self.opened.size
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
        match &self.opened.held {
            HeldBlob::Landing(follower) => follower.reached(start).await,
            HeldBlob::Kept(..) | HeldBlob::Bypass(_) => Ok(()),
        }
    }

    /// Reads from `start` up to `end`, or to the end of the blob.
    pub fn read(&self, start: u64, end: Option<u64>) -> BlobReader {
        BlobReader::new(&self.opened, start, end)
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("canonical", &self.opened.request.target)
            .field("size", &self.opened.size)
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

/// Opens blobs.
pub(crate) struct Blobs {
    context: Arc<Context>,
    budget: Budget,
}

impl Blobs {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            budget: Budget::default(),
        }
    }

    /// A blob of a repository; see [`Store::blob`](crate::Store::blob).
    pub(crate) async fn open(
        &self,
        request: &Request<Canonical>,
        range: BlobRange,
    ) -> Result<Blob, Error> {
        let (context, canonical) = (&self.context, &request.target);
        let digest = canonical.digest();
        if !range.is_from_start() && context.distrust.holds(&digest) {
            return Err(Error::Distrusted { digest });
        }
        let known = context.records.content(canonical).await;
        let salvage = match context.look_up(&digest).await {
            // Nothing can be kept either, and what is held may be readable again later.
            Err(error) => {
                tracing::warn!(%digest, error = &error as &dyn std::error::Error, "the local store cannot be read: streaming without keeping");
                return self.bypass(request, known).await;
            }
            Ok(Lookup::Whole(tier::Opened { file, stamp })) => {
                let outcome = self.hit(request, known.as_deref(), stamp.size).await?;
                let kept = HeldBlob::Kept(Arc::new(file), stamp.size);
                return Ok(self.blob(request, known, kept, Some(stamp.size), outcome));
            }
            // Without a size in the record only upstream can say how long the blob is.
            Ok(Lookup::Cut(cut)) if known.as_deref().is_some_and(can_be_salvaged) => {
                Some(salvage_of(cut))
            }
            Ok(Lookup::Cut(_) | Lookup::Nothing) => None,
        };
        if let Some(error) = context.membership.refused(canonical) {
            return Err(error);
        }
        self.satisfiable(request, known.as_deref(), range).await?;
        let wanted = range.resolve(known.as_ref().and_then(|known| known.size));
        match self.enter(request, known.as_ref(), salvage, wanted).await {
            Ok(entered) => Ok(self.landing(request, known, entered)),
            // The disk is full or fails, and nothing was sent yet.
            Err(Error::NoRoom { .. } | Error::Local { .. }) => self.bypass(request, known).await,
            Err(error) => Err(error),
        }
    }

    /// Size of a blob; see [`Store::blob_size`](crate::Store::blob_size).
    pub(crate) async fn size(
        &self,
        request: &Request<Canonical>,
    ) -> Result<(Option<u64>, Outcome), Error> {
        let (context, canonical) = (&self.context, &request.target);
        let digest = canonical.digest();
        let known = context.records.content(canonical).await;
        let held = context.tier.size_of(&digest).await;
        let held = held.unwrap_or_else(|cause| {
            tracing::warn!(%digest, %cause, "the local store cannot be read: asking upstream");
            None
        });
        // A file that was cut is left for the next reader, who can use what it still has.
        if let Some(size) = held {
            let outcome = context.membership.confirm(request, known.as_deref());
            return Ok((Some(size), outcome.await?));
        }
        if let (Some(_), Some(bucket)) = (&known, &context.bucket)
            && let Some(size) = bucket.blob_size(&digest).await
        {
            let outcome = context.membership.confirm(request, known.as_deref());
            return Ok((Some(size), outcome.await?));
        }
        if let Some(follower) = context.fills.find(&digest) {
            let size = follower.fill().progress.borrow().size;
            if size.is_some() && follower.fill().canonical.named() == canonical.named() {
                return Ok((size, Outcome::Joined));
            }
        }
        if let Some(error) = context.membership.refused(canonical) {
            return Err(error);
        }
        let size = context.membership.ask(request).await;
        let size = size
            .inspect_err(|error| context.membership.remember_refusal(request, error))?
            .or_else(|| known.as_ref()?.size);
        Ok((size, Outcome::Miss))
    }

    fn blob(
        &self,
        request: &Request<Canonical>,
        known: Option<Arc<ContentRecord>>,
        held: HeldBlob,
        size: Option<u64>,
        outcome: Outcome,
    ) -> Blob {
        let opened = Opened {
            context: Arc::clone(&self.context),
            request: request.clone(),
            known,
            held,
            size,
            budget: self.budget.clone(),
        };
        Blob {
            opened,
            outcome,
            _want: None,
        }
    }

    /// A blob on its way.
    fn landing(
        &self,
        request: &Request<Canonical>,
        known: Option<Arc<ContentRecord>>,
        entered: Entered,
    ) -> Blob {
        let Progress {
            size, kept, landed, ..
        } = entered.progress;
        // While the source does not say how long the blob is, a descriptor may.
        let claimed = known.as_ref().and_then(|known| known.size);
        let claimed = claimed.filter(|claimed| {
            landed.end() <= *claimed && can_be(*claimed, &request.target.digest())
        });
        let outcome = match (entered.leads, kept) {
            (true, true) if known.is_none() => Outcome::Revalidated,
            (true, true) => Outcome::Hit,
            (true, false) => Outcome::Miss,
            (false, _) => Outcome::Joined,
        };
        let held = HeldBlob::Landing(entered.follower);
        Blob {
            _want: entered.want,
            ..self.blob(request, known, held, size.or(claimed), outcome)
        }
    }

    /// A blob that is not kept: the disk is full or fails.
    async fn bypass(
        &self,
        request: &Request<Canonical>,
        known: Option<Arc<ContentRecord>>,
    ) -> Result<Blob, Error> {
        let mut bypass = Bypass::open(&self.context, request, known.as_deref()).await?;
        let size = bypass.answerable().await?;
        let held = HeldBlob::Bypass(Arc::new(Mutex::new(Some(Box::new(bypass)))));
        Ok(self.blob(request, known, held, size, Outcome::Bypass))
    }

    /// A held blob is about to be served: the repository must have it, and a size that somebody claimed gives way to
    /// its own.
    async fn hit(
        &self,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
        size: u64,
    ) -> Result<Outcome, Error> {
        let canonical = &request.target;
        let outcome = self.context.membership.confirm(request, known).await?;
        if known.is_some_and(|known| known.size.is_some_and(|claimed| claimed != size)) {
            let record = ContentRecord::verified(size);
            self.context.records.put_content(canonical, record).await;
        }
        self.context.tier.touch(&canonical.digest());
        Ok(outcome)
    }

    /// Follows a fill until headers can be answered; says whether this request started it.
    ///
    /// What upstream said or gave to another repository is no answer for this one: it enters again, and may lead then.
    async fn enter(
        &self,
        request: &Request<Canonical>,
        known: Option<&Arc<ContentRecord>>,
        salvage: Option<Salvage>,
        wanted: Range<u64>,
    ) -> Result<Entered, Error> {
        let canonical = &request.target;
        let claimed = known.and_then(|known| known.size);
        let mut confirmed = known.is_some_and(|known| known.belongs());
        for _ in 0..ENTERED_MAX {
            let (context, salvage) = (&self.context, salvage.clone());
            let (follower, leads, want) =
                engine::enter(context, request, known, salvage, wanted.clone());
            let leader = follower.fill().canonical.named();
            let elsewhere = leader != canonical.named();
            // What a manifest names belongs within one upstream.
            let same_upstream = leader.domain() == canonical.named().domain() && known.is_some();
            if elsewhere && !confirmed && !same_upstream {
                let known = known.map(|known| &**known);
                context.membership.confirm(request, known).await?;
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
                    context.membership.remember_refusal(request, &error);
                    return Err(error);
                }
            }
        }
        Err(Error::GivenUp)
    }

    /// Refuses a range that starts past the end, before anything is fetched for it. A size that is only claimed is
    /// confirmed first.
    async fn satisfiable(
        &self,
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
        match past_end(self.context.membership.ask(request).await?) {
            Some(size) if size > 0 => Err(Error::PastEnd { size }),
            _ => Ok(()),
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

/// Whether the rest of a cut file may be given to a repository of which this is known.
fn can_be_salvaged(known: &ContentRecord) -> bool {
    known.size.is_some() && known.belongs()
}

/// What is left of a file that was cut.
fn salvage_of(cut: tier::Opened) -> Salvage {
    Salvage {
        len: cut.stamp.size,
        file: Arc::new(cut.file),
    }
}

//! A blob: held, on its way, or to be had. The store alone decides: hit, lead or join.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_reference::Canonical;

use crate::error::Error;
use crate::fill::{Follower, Job};
use crate::fills::Place;
use crate::freshness::{Policy, remembered_for};
use crate::kept::Found;
use crate::outcome::Outcome;
use crate::passing::Passing;
use crate::progress::Progress;
use crate::reader::BlobReader;
use crate::records::ContentRecord;
use crate::remote::{BlobAsk, Source};
use crate::request::Request;
use crate::store::{Event, Inner, Question, Store};
use crate::supply::Salvage;

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

impl Store {
    /// A blob of a repository, from what is held or from upstream; returns when headers can be answered.
    ///
    /// However many ask, every byte comes from upstream once; the work goes on when this future is dropped, so that
    /// the caller may put any deadline around it. `from_start` says that the client wants the first byte: for 30 s after
    /// wrong bytes only such a request is answered.
    ///
    /// # Errors
    /// [`Error::Refused`] when upstream refuses, [`Error::Mismatch`] when a small blob came wrong, [`Error::Distrusted`],
    /// [`Error::Busy`].
    pub async fn blob(
        &self,
        request: &Request<Canonical>,
        from_start: bool,
    ) -> Result<Blob, Error> {
        let (store, canonical) = (&self.0, &request.target);
        let digest = canonical.digest();
        if !from_start && store.distrusts(&digest) {
            return Err(Error::Distrusted { digest });
        }
        let known = store.records.content(canonical).await;
        let blob = |held, size, outcome| Blob {
            store: Arc::clone(store),
            request: request.clone(),
            known: known.clone(),
            held,
            size,
            outcome,
        };
        let salvage = match store.look_up(canonical, known.as_deref()).await? {
            Found::Whole(file, size) => {
                let outcome = store.confirm(request, known.as_deref()).await?;
                return Ok(blob(HeldBlob::Kept(file, size), Some(size), outcome));
            }
            Found::Damaged(file, len) => {
                store.quarantine(digest, len).await;
                Some(Salvage { file, len })
            }
            Found::Nothing => None,
        };
        if let Some(Err(error)) = store.remembered(&Question::Blob(canonical.clone())) {
            return Err(error);
        }
        match store.enter(request, known.as_ref(), salvage).await {
            Ok((follower, leads, Progress { size, kept, .. })) => {
                let outcome = match (leads, kept) {
                    (true, true) if known.is_none() => Outcome::Revalidated,
                    (true, true) => Outcome::Hit,
                    (true, false) => Outcome::Miss,
                    (false, _) => Outcome::Joined,
                };
                Ok(blob(HeldBlob::Landing(follower), size, outcome))
            }
            Err(Error::NoRoom { .. }) => {
                let mut passing = store.pass(request, known.as_deref()).await?;
                let size = passing.answerable().await?;
                let passing = Arc::new(Mutex::new(Some(Box::new(passing))));
                Ok(blob(HeldBlob::Passing(passing), size, Outcome::Bypass))
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
        // A damaged file is left for the next reader, who can use what it still has.
        if let Found::Whole(_, size) = store.look_up(canonical, known.as_deref()).await? {
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
        Ok((size.or_else(|| known.as_ref()?.size), Outcome::Miss))
    }
}

impl Inner {
    /// Follows a fill until headers can be answered; says whether this request started it.
    ///
    /// What upstream said or gave to another repository is no answer for this one: it enters again, and may lead then.
    async fn enter(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&Arc<ContentRecord>>,
        salvage: Option<Salvage>,
    ) -> Result<(Follower, bool, Progress), Error> {
        let canonical = &request.target;
        let mut confirmed = known.is_some();
        for _ in 0..ENTERED_MAX {
            let (follower, leads) = self.fill(request, known, salvage.clone());
            let elsewhere = follower.fill().canonical.named() != canonical.named();
            if elsewhere && !confirmed {
                self.confirm(request, known.map(|known| &**known)).await?;
                confirmed = true;
            }
            match follower.answerable().await {
                Ok(progress) => return Ok((follower, leads, progress)),
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

    /// Joins the fill of a digest or starts it.
    pub(crate) fn fill(
        self: &Arc<Self>,
        request: &Request<Canonical>,
        known: Option<&Arc<ContentRecord>>,
        salvage: Option<Salvage>,
    ) -> (Follower, bool) {
        match self.fills.enter(&request.target) {
            Place::Joins(follower) => (follower, false),
            Place::Leads(follower) => {
                let job = Job {
                    store: Arc::clone(self),
                    fill: Arc::clone(follower.fill()),
                    request: request.clone(),
                    known: known.cloned(),
                    salvage,
                    permit_within: permit_within(&request.policy),
                };
                self.tracker.spawn(job.run());
                (follower, true)
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
        let size = known.and_then(|known| known.size);
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
        let size = size.or(source.size);
        Ok(Passing::new(
            canonical.digest(),
            Source { distrust, ..source },
            size,
        ))
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
            let known = store.records.content(&request.target).await;
            let origin = known.as_ref().and_then(|known| known.origin.as_ref());
            let size = request.remote.has(&request.target, origin).await?;
            let record = ContentRecord {
                size,
                ..ContentRecord::default()
            };
            store.records.put_content(&request.target, record).await;
            Ok(size)
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

/// How long a fill may wait for its permit: a little less than its first client waits, which then hears why.
fn permit_within(policy: &Policy) -> Duration {
    policy.answer_within * 4 / 5
}

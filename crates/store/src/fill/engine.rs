//! The task of a fill: opens connections as planned, checks the digest, keeps the content.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_reference::Canonical;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::event::Event;
use crate::fill::context::Context;
use crate::fill::job::Job;
use crate::fill::list::Place;
use crate::fill::progress::{Phase, Progress};
use crate::fill::sources::Salvage;
use crate::fill::transfer::{Came, Transfer};
use crate::fill::{Fill, Follower, Want};
use crate::freshness::Policy;
use crate::ingest::Hashed;
use crate::records::ContentRecord;
use crate::request::Request;
use crate::tier::Lookup;

/// Joins the fill of a digest or starts it; says whether this request started it.
pub(crate) fn enter(
    context: &Arc<Context>,
    request: &Request<Canonical>,
    known: Option<&Arc<ContentRecord>>,
    salvage: Option<Salvage>,
    wanted: Range<u64>,
) -> (Follower, bool, Option<Want>) {
    match context.fills.enter(&request.target) {
        Place::Joins(follower) => {
            let want = follower.want(wanted);
            (follower, false, want)
        }
        Place::Leads(follower) => {
            let want = follower.want(wanted);
            let job = Job {
                context: Arc::clone(context),
                fill: Arc::clone(follower.fill()),
                request: request.clone(),
                known: known.cloned(),
                salvage,
                permit_within: permit_within(&request.policy),
                tracker: TaskTracker::new(),
                ingest: Mutex::default(),
                upload: Mutex::default(),
            };
            context.tracker.spawn(Engine(job).run());
            (follower, true, want)
        }
    }
}

/// How long a fill may wait for its permit: a little less than its first client waits, which then hears why.
pub(crate) fn permit_within(policy: &Policy) -> Duration {
    policy.answer_within * 4 / 5
}

/// The task of one fill.
struct Engine(Job);

/// Takes the fill off the list however its task ends, and never leaves its readers waiting.
struct Ending {
    context: Arc<Context>,
    fill: Arc<Fill>,
}

impl Ending {
    fn failed(&self, error: Error) {
        let (digest, repository) = (self.fill.digest(), self.fill.canonical.named());
        tracing::warn!(%digest, %repository, error = &error as &dyn std::error::Error, "fill failed");
        // First off the list: whoever hears of the failure and asks again starts anew.
        self.context.fills.forget(&self.fill);
        self.fill.progress.send_modify(|progress| {
            progress.phase = Phase::Failed(error);
            progress.file = None;
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let ended = self.fill.progress.borrow().ended();
        if !ended {
            self.failed(Error::GivenUp);
        }
        self.context.fills.forget(&self.fill);
        self.fill.released.cancel();
        let whole = matches!(self.fill.progress.borrow().phase, Phase::Verified);
        self.context.tell(&Event::FillEnded {
            seconds: self.fill.started.elapsed(),
            whole,
        });
    }
}

impl Engine {
    /// Runs the fill to its end and tells its readers.
    pub(crate) async fn run(self) {
        let ending = Ending {
            context: Arc::clone(&self.0.context),
            fill: Arc::clone(&self.0.fill),
        };
        let ended = tokio::select! {
            ended = self.fill() => ended,
            () = self.0.fill.cancel.cancelled() => Err(Error::GivenUp),
        };
        match ended {
            // From here on readers have what they need, and nothing gives the fill up.
            Ok(Some(hashed)) => self.keep(hashed).await,
            Ok(None) => {}
            Err(error) => ending.failed(error),
        }
        self.0.discard().await;
    }

    /// Brings all bytes here and verifies them. `None` when a copy was committed meanwhile.
    async fn fill(&self) -> Result<Option<Hashed>, Error> {
        let _permit = self.0.context.fills.permit(self.0.permit_within).await?;
        // A fill of this digest may have been committed between the look-up and this one's start.
        let digest = self.0.fill.digest();
        if let Lookup::Whole(opened) = self.0.context.look_up(&digest).await? {
            self.0.confirm().await?;
            self.publish_kept(Arc::new(opened.file), opened.stamp.size);
            return Ok(None);
        }
        let hashed = match Transfer::new(&self.0, true).run().await {
            Ok(hashed) => hashed,
            Err(Came::Failed(error)) => return Err(error),
            // What was here already may be what is wrong: upstream is not blamed for it.
            Err(Came::Wrong { found, local: true }) => {
                tracing::error!(digest = %self.0.fill.digest(), found, "kept bytes are wrong, fetching all of them anew");
                self.begin_anew().await;
                Transfer::new(&self.0, false)
                    .run()
                    .await
                    .map_err(|came| self.wrong(came))?
            }
            Err(came) => return Err(self.wrong(came)),
        };
        // Before others see it: another repository of this upstream may ask at once.
        let records = &self.0.context.records;
        records.note_sent(&self.0.fill.canonical);
        self.0.fill.progress.send_modify(|progress| {
            progress.size = Some(hashed.len);
            progress.phase = Phase::Verified;
        });
        Ok(Some(hashed))
    }

    /// Forgets what landed. Readers that have bytes of it are cut, others never learn of it.
    async fn begin_anew(&self) {
        if self.0.fill.was_read() {
            self.0.context.distrust.put(self.0.fill.digest());
        }
        self.0.fill.progress.send_modify(|progress| {
            *progress = Progress {
                attempt: progress.attempt + 1,
                ..Progress::new()
            };
        });
        self.0.discard().await;
    }

    /// Upstream brought bytes that are not the digest's.
    fn wrong(&self, came: Came) -> Error {
        let found = match came {
            Came::Failed(error) => return error,
            Came::Wrong { found, .. } => found,
        };
        let expected = self.0.fill.digest();
        let named = self.0.fill.canonical.named();
        self.0.context.mismatch(expected, named);
        Error::Mismatch { expected, found }
    }

    /// Gives the verified bytes their name, then records them. Readers have what they need already.
    async fn keep(&self, hashed: Hashed) {
        let digest = self.0.fill.digest();
        let Some(ingest) = self.0.slot().clone() else {
            return;
        };
        let records = &self.0.context.records;
        let committed = self.0.context.tier.run(move |_| ingest.commit(&hashed));
        match committed.await {
            Ok(size) => {
                let record = ContentRecord::verified(size);
                records.put_content(&self.0.fill.canonical, record).await;
                if let Some(upload) = self.0.take_upload() {
                    upload.commit();
                }
            }
            Err(cause) => tracing::error!(%digest, %cause, "content could not be kept"),
        }
    }

    /// A copy was committed meanwhile: readers have all of it.
    fn publish_kept(&self, file: Arc<File>, size: u64) {
        self.0.fill.progress.send_modify(|progress| {
            progress.landed.insert(0..size);
            progress.size = Some(size);
            progress.len = Some(size);
            progress.file = Some(file);
            progress.kept = true;
            progress.phase = Phase::Verified;
        });
    }
}

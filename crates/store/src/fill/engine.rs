//! The task of a fill: opens connections as planned, checks the digest, keeps the content.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_reference::Canonical;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::fill::Fill;
use crate::fill::progress::{Phase, Progress};
use crate::fill::sources::Salvage;
use crate::fill::transfer::{Came, Transfer};
use crate::ingest::{Hashed, Ingest};
use crate::records::ContentRecord;
use crate::request::Request;
use crate::store::{Event, Inner};
use crate::uploads::Live;

/// What a fill works with.
pub(crate) struct Engine {
    pub(crate) store: Arc<Inner>,
    pub(crate) fill: Arc<Fill>,
    pub(crate) request: Request<Canonical>,
    /// What was known of the blob when it was asked for.
    pub(crate) known: Option<Arc<ContentRecord>>,
    pub(crate) salvage: Option<Salvage>,
    pub(crate) permit_within: Duration,
    /// Runs and waits for everything that uses the file.
    pub(crate) tracker: TaskTracker,
    /// The file that bytes land in, until its end is decided.
    pub(crate) ingest: Mutex<Option<Arc<Ingest>>>,
    /// The upload to the bucket that follows it.
    pub(crate) upload: Mutex<Option<Live>>,
}

/// Takes the fill off the list however its task ends, and never leaves its readers waiting.
struct Ending {
    store: Arc<Inner>,
    fill: Arc<Fill>,
}

impl Ending {
    fn failed(&self, error: Error) {
        let (digest, repository) = (self.fill.digest(), self.fill.canonical.named());
        tracing::warn!(%digest, %repository, error = &error as &dyn std::error::Error, "fill failed");
        // First off the list: whoever hears of the failure and asks again starts anew.
        self.store.fills.forget(&self.fill);
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
        self.store.fills.forget(&self.fill);
        self.fill.released.cancel();
        let whole = matches!(self.fill.progress.borrow().phase, Phase::Verified);
        self.store.tell(&Event::FillEnded {
            seconds: self.fill.started.elapsed(),
            whole,
        });
    }
}

impl Engine {
    /// Runs the fill to its end and tells its readers.
    pub(crate) async fn run(self) {
        let ending = Ending {
            store: Arc::clone(&self.store),
            fill: Arc::clone(&self.fill),
        };
        let ended = tokio::select! {
            ended = self.fill() => ended,
            () = self.fill.cancel.cancelled() => Err(Error::GivenUp),
        };
        match ended {
            // From here on readers have what they need, and nothing gives the fill up.
            Ok(Some(hashed)) => self.keep(hashed).await,
            Ok(None) => {}
            Err(error) => ending.failed(error),
        }
        self.discard().await;
    }

    /// Brings all bytes here and verifies them. `None` when a copy was committed meanwhile.
    async fn fill(&self) -> Result<Option<Hashed>, Error> {
        let _permit = self.store.fills.permit(self.permit_within).await?;
        // A fill of this digest may have been committed between the look-up and this one's start.
        if let Some((file, size)) = self.store.open_local(&self.fill.digest()).await? {
            self.confirm().await?;
            self.publish_kept(Arc::new(file), size);
            return Ok(None);
        }
        let hashed = match Transfer::new(self, true).run().await {
            Ok(hashed) => hashed,
            Err(Came::Failed(error)) => return Err(error),
            // What was here already may be what is wrong: upstream is not blamed for it.
            Err(Came::Wrong { found, local: true }) => {
                tracing::error!(digest = %self.fill.digest(), found, "kept bytes are wrong, fetching all of them anew");
                self.begin_anew().await;
                Transfer::new(self, false)
                    .run()
                    .await
                    .map_err(|came| self.wrong(came))?
            }
            Err(came) => return Err(self.wrong(came)),
        };
        self.fill.progress.send_modify(|progress| {
            progress.size = Some(hashed.len);
            progress.phase = Phase::Verified;
        });
        Ok(Some(hashed))
    }

    /// Before content that is held is given to a repository without a membership record, upstream is asked.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        if self.known.is_none() {
            self.store.ask_has(&self.request).await?;
        }
        Ok(())
    }

    /// The file that bytes land in, with room for what is announced. Fills that nobody reads are given up for it.
    pub(crate) async fn spool(&self, size: Option<u64>) -> Result<Arc<Ingest>, Error> {
        let digest = self.fill.digest();
        let size = size.unwrap_or(0);
        loop {
            let tracker = self.tracker.clone();
            let begun = self.store.tier.run(move |tier| {
                let ingest = Ingest::start(tier, &tracker)?;
                ingest.reserve(size)?;
                Ok(ingest)
            });
            match begun.await {
                Ok(ingest) => {
                    let ingest = Arc::new(ingest);
                    *self.slot() = Some(Arc::clone(&ingest));
                    return Ok(ingest);
                }
                Err(cause)
                    if lacks_room(&cause)
                        && self
                            .store
                            .fills
                            .make_room(&self.fill, self.permit_within)
                            .await => {}
                Err(cause) => {
                    tracing::warn!(%digest, %cause, "no room for a fill: streaming without keeping");
                    return Err(Error::NoRoom { size });
                }
            }
        }
    }

    /// Uploads the file to the bucket while it grows.
    pub(crate) fn upload(&self, file: Arc<File>) {
        let Some(uploads) = &self.store.uploads else {
            return;
        };
        let growing = self.fill.progress.subscribe();
        let upload = uploads.follow(self.fill.digest(), file, growing);
        *self.upload.lock().unwrap_or_else(PoisonError::into_inner) = upload;
    }

    fn take_upload(&self) -> Option<Live> {
        let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
        upload.take()
    }

    /// Forgets what landed. Readers that have bytes of it are cut, others never learn of it.
    async fn begin_anew(&self) {
        if self.fill.was_read() {
            self.store.distrust(self.fill.digest());
        }
        self.fill.progress.send_modify(|progress| {
            *progress = Progress {
                attempt: progress.attempt + 1,
                ..Progress::new()
            };
        });
        self.discard().await;
    }

    /// Removes what was not kept, and waits until its room is free.
    async fn discard(&self) {
        drop(self.take_upload());
        drop(self.slot().take());
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Upstream brought bytes that are not the digest's.
    fn wrong(&self, came: Came) -> Error {
        let found = match came {
            Came::Failed(error) => return error,
            Came::Wrong { found, .. } => found,
        };
        let expected = self.fill.digest();
        self.store.distrust(expected);
        self.store.tell(&Event::Mismatch {
            named: self.fill.canonical.named(),
        });
        Error::Mismatch { expected, found }
    }

    /// Gives the verified bytes their name, then records them. Readers have what they need already.
    async fn keep(&self, hashed: Hashed) {
        let digest = self.fill.digest();
        let Some(ingest) = self.slot().clone() else {
            return;
        };
        let committed = self.store.tier.run(move |_| ingest.commit(&hashed));
        match committed.await {
            Ok(size) => {
                let record = ContentRecord::verified(size);
                self.store
                    .records
                    .put_content(&self.fill.canonical, record)
                    .await;
                if let Some(upload) = self.take_upload() {
                    upload.commit();
                }
            }
            Err(cause) => tracing::error!(%digest, %cause, "content could not be kept"),
        }
    }

    /// A copy was committed meanwhile: readers have all of it.
    fn publish_kept(&self, file: Arc<File>, size: u64) {
        self.fill.progress.send_modify(|progress| {
            progress.landed.insert(0..size);
            progress.size = Some(size);
            progress.len = Some(size);
            progress.file = Some(file);
            progress.kept = true;
            progress.phase = Phase::Verified;
        });
    }

    pub(crate) fn not_written(&self, cause: io::Error) -> Error {
        let digest = self.fill.digest().to_string();
        Error::local("write bytes of", Path::new(&digest), cause)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Ingest>>> {
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether giving room up would help.
fn lacks_room(cause: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(cause.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lack_of_room_costs_others_their_fill() {
        use rustix::io::Errno;
        let of = |errno: Errno| lacks_room(&errno.into());
        assert!(of(Errno::NOSPC) && of(Errno::DQUOT));
        for other in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ACCESS,
            Errno::ROFS,
            Errno::IO,
            Errno::FBIG,
        ] {
            assert!(!of(other), "{other}");
        }
    }
}

//! One fill as those see it who work on it: what was asked for, the file that bytes land in, the upload that follows it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_reference::Canonical;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::fill::Fill;
use crate::fill::context::Context;
use crate::fill::sources::Salvage;
use crate::ingest::Ingest;
use crate::records::ContentRecord;
use crate::request::Request;
use crate::uploads::blobs::Live;

/// One fill: what was asked for, and where its bytes land.
pub(crate) struct Job {
    pub(crate) context: Arc<Context>,
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

impl Job {
    /// Before content that is held is given to a repository that is not known to have it, upstream is asked.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        let known = self.known.as_deref();
        let confirmed = self.context.membership.confirm(&self.request, known);
        confirmed.await.map(drop)
    }

    /// The file that bytes land in, with room for what is announced. Fills that nobody reads are given up for it.
    pub(crate) async fn spool(&self, size: Option<u64>) -> Result<Arc<Ingest>, Error> {
        let digest = self.fill.digest();
        let size = size.unwrap_or(0);
        loop {
            let tracker = self.tracker.clone();
            let begun = self.context.tier.run(move |tier| {
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
                            .context
                            .fills
                            .make_room(&self.fill, self.permit_within)
                            .await => {}
                Err(cause) => {
                    tracing::warn!(%digest, %cause, "no room for a fill: streaming without keeping");
                    self.context.tier.failed("spool");
                    return Err(Error::NoRoom { size });
                }
            }
        }
    }

    /// Uploads the file to the bucket while it grows.
    pub(crate) fn upload(&self, file: Arc<File>) {
        let Some(uploads) = &self.context.uploads else {
            return;
        };
        let growing = self.fill.progress.subscribe();
        let upload = uploads.follow(self.fill.digest(), file, growing);
        *self.upload.lock().unwrap_or_else(PoisonError::into_inner) = upload;
    }

    pub(crate) fn take_upload(&self) -> Option<Live> {
        let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
        upload.take()
    }

    /// Removes what was not kept, and waits until its room is free.
    pub(crate) async fn discard(&self) {
        drop(self.take_upload());
        drop(self.slot().take());
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    pub(crate) fn not_written(&self, cause: io::Error) -> Error {
        self.context.tier.failed("write");
        let digest = self.fill.digest().to_string();
        Error::local("write bytes of", Path::new(&digest), cause)
    }

    pub(crate) fn slot(&self) -> MutexGuard<'_, Option<Arc<Ingest>>> {
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

//! One fill: a task of its own that brings a blob's bytes here once, whoever reads them and however fast.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use longshore_reference::{Canonical, Digest};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::ingest::Ingest;
use crate::progress::{Phase, Progress};
use crate::records::ContentRecord;
use crate::request::Request;
use crate::store::{Event, Inner};
use crate::supply::{Chunks, Ended, Salvage, Supply, next_batch};

/// A fill as its readers and the list of fills see it.
#[derive(Debug)]
pub(crate) struct Fill {
    /// The repository that asked first: upstream's answer to it says whether it has the blob, and nothing of others.
    pub(crate) canonical: Canonical,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) started: Instant,
    pub(crate) cancel: CancellationToken,
    readers: AtomicUsize,
}

/// A reader's hold on a fill: while there is none, the fill is the first to be given up.
#[derive(Debug)]
pub(crate) struct Follower(Arc<Fill>);

impl Fill {
    pub(crate) fn new(canonical: Canonical) -> Arc<Self> {
        Arc::new(Self {
            canonical,
            progress: watch::Sender::new(Progress::new()),
            started: Instant::now(),
            cancel: CancellationToken::new(),
            readers: AtomicUsize::new(0),
        })
    }

    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Follower(Arc::clone(self))
    }

    pub(crate) fn unread(&self) -> bool {
        self.readers.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn digest(&self) -> Digest {
        self.canonical.digest()
    }
}

impl Follower {
    pub(crate) fn fill(&self) -> &Arc<Fill> {
        &self.0
    }

    /// Waits until headers can be answered. Returns what is known then.
    pub(crate) async fn answerable(&self) -> Result<Progress, Error> {
        self.wait_for(Progress::answerable).await
    }

    /// Waits until the byte at this position can be read, or there is none.
    pub(crate) async fn reached(&self, position: u64) -> Result<(), Error> {
        self.wait_for(|progress| progress.ended() || progress.visible_from(position) > position)
            .await
            .map(|_| ())
    }

    async fn wait_for(&self, until: impl FnMut(&Progress) -> bool) -> Result<Progress, Error> {
        let mut watch = self.0.progress.subscribe();
        let progress = watch
            .wait_for(until)
            .await
            .map_err(|_| Error::GivenUp)?
            .clone();
        match progress.phase {
            Phase::Failed(error) => Err(error),
            Phase::Asking | Phase::Landing | Phase::Verified => Ok(progress),
        }
    }
}

impl Clone for Follower {
    fn clone(&self) -> Self {
        self.0.follow()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a fill works with.
pub(crate) struct Job {
    pub(crate) store: Arc<Inner>,
    pub(crate) fill: Arc<Fill>,
    pub(crate) request: Request<Canonical>,
    /// What was known of the blob when it was asked for.
    pub(crate) known: Option<Arc<ContentRecord>>,
    pub(crate) salvage: Option<Salvage>,
    pub(crate) permit_within: Duration,
}

/// Verified bytes that are not kept yet.
struct Landed {
    ingest: Ingest,
    permit: OwnedSemaphorePermit,
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
        self.fill
            .progress
            .send_modify(|progress| progress.phase = Phase::Failed(error));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let ended = self.fill.progress.borrow().ended();
        if !ended {
            self.failed(Error::GivenUp);
        }
        self.store.fills.forget(&self.fill);
        let whole = matches!(self.fill.progress.borrow().phase, Phase::Verified);
        self.store.tell(&Event::FillEnded {
            seconds: self.fill.started.elapsed(),
            whole,
        });
    }
}

impl Job {
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
            Ok(Some(landed)) => self.keep(landed).await,
            Ok(None) => {}
            Err(error) => ending.failed(error),
        }
    }

    async fn fill(&self) -> Result<Option<Landed>, Error> {
        let permit = self.store.fills.permit(self.permit_within).await?;
        let digest = self.fill.digest();
        // A fill of this digest may have been committed between the look-up and this one's start.
        if let Some((file, size)) = self.store.open_local(&digest).await? {
            self.confirm().await?;
            self.publish_kept(Arc::new(file), size);
            return Ok(None);
        }
        let (supply, source_size, chunks) = self.first_supply().await?;
        let size = self.known_size().or(source_size);
        let ingest = self.start(size).await?;
        self.fill.progress.send_modify(|progress| {
            progress.phase = Phase::Landing;
            progress.size = size;
            progress.kept = !matches!(supply, Supply::Upstream { .. });
            progress.file = Some(ingest.file());
        });
        let ingest = self.land(ingest, supply, chunks, size).await?;
        let len = ingest.len();
        self.fill.progress.send_modify(|progress| {
            progress.size = Some(len);
            progress.phase = Phase::Verified;
        });
        Ok(Some(Landed { ingest, permit }))
    }

    /// Opens the file that bytes land in, and takes the room for them.
    async fn start(&self, size: Option<u64>) -> Result<Ingest, Error> {
        let digest = self.fill.digest();
        let begin = || {
            self.store.tier.run(move |tier| {
                let ingest = Ingest::start(tier, digest)?;
                ingest.reserve(size.unwrap_or(0))?;
                Ok(ingest)
            })
        };
        let begun = match begin().await {
            Err(_) if self.store.fills.give_up_unread(&self.fill) => begin().await,
            begun => begun,
        };
        begun.map_err(|cause| {
            tracing::warn!(%digest, %cause, "no room for a fill: streaming without keeping");
            Error::NoRoom {
                size: size.unwrap_or(0),
            }
        })
    }

    /// Moves all bytes into the file, from one supply after the other, and checks them.
    async fn land(
        &self,
        mut ingest: Ingest,
        mut supply: Supply,
        mut chunks: Chunks,
        size: Option<u64>,
    ) -> Result<Ingest, Error> {
        let too_long = loop {
            let (back, ended) = self.pump(ingest, chunks, size).await?;
            ingest = back;
            let short = size.is_none_or(|size| ingest.len() < size);
            match (ended, &supply) {
                (Ended::TooLong, _) => break true,
                (Ended::Done, Supply::Upstream { .. }) => break false,
                (Ended::Done, Supply::Salvaged | Supply::Bucket) if !short => break false,
                (Ended::Refused(refusal), Supply::Upstream { .. }) => return Err(refusal.into()),
                (Ended::Done | Ended::Refused(_), Supply::Salvaged | Supply::Bucket) => {
                    (supply, _, chunks) = self.ask_upstream(ingest.len(), size).await?;
                }
            }
        };
        let (expected, found) = (self.fill.digest(), ingest.found());
        let wrong_len = size.filter(|size| too_long || *size != ingest.len());
        if found == expected && wrong_len.is_none() {
            return Ok(ingest);
        }
        let found = match wrong_len {
            Some(size) if too_long => format!("more than {size} bytes"),
            Some(size) => format!("{} bytes instead of {size}", ingest.len()),
            None => format!("digest {found}"),
        };
        self.store.distrust(expected);
        if let Supply::Upstream { distrust } = supply {
            distrust();
            self.store.tell(&Event::Mismatch {
                named: self.fill.canonical.named(),
            });
        }
        Err(Error::Mismatch { expected, found })
    }

    /// Writes one supply's bytes until it ends. What was hashed and written stays good when it ends badly.
    ///
    /// Receiving, writing and hashing go on at once, a batch apart: hashing alone takes longer than writing.
    async fn pump(
        &self,
        mut ingest: Ingest,
        chunks: Chunks,
        size: Option<u64>,
    ) -> Result<(Ingest, Ended), Error> {
        let mut chunks = chunks.fuse();
        let mut promised = ingest.len();
        let hasher = ingest.lend_hasher();
        let mut hashing = spawn_blocking(move || hasher);
        let mut writing: JoinHandle<io::Result<Ingest>> = spawn_blocking(move || Ok(ingest));
        loop {
            let batch = next_batch(&mut chunks).await;
            let mut ingest = writing
                .await
                .map_err(io::Error::other)
                .and_then(|wrote| wrote)
                .map_err(|e| self.write_failed(e))?;
            let mut hasher = hashing
                .await
                .map_err(|e| self.write_failed(io::Error::other(e)))?;
            let batch = match batch {
                Ok(batch) if !batch.is_empty() => Arc::new(batch),
                ended => {
                    ingest.take_hasher(hasher);
                    return Ok((ingest, ended.map_or_else(Ended::Refused, |_| Ended::Done)));
                }
            };
            promised += batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            if size.is_some_and(|size| promised > size) {
                ingest.take_hasher(hasher);
                return Ok((ingest, Ended::TooLong));
            }
            let hashed = Arc::clone(&batch);
            hashing = spawn_blocking(move || {
                hashed.iter().for_each(|chunk| hasher.update(chunk));
                hasher
            });
            let fill = Arc::clone(&self.fill);
            writing = spawn_blocking(move || {
                for chunk in batch.iter() {
                    let start = ingest.len();
                    ingest.append(chunk)?;
                    let end = ingest.len();
                    fill.progress
                        .send_modify(|progress| progress.landed.insert(start..end));
                }
                Ok(ingest)
            });
        }
    }

    /// Gives the verified bytes their name, then records them. Readers have what they need already.
    async fn keep(&self, landed: Landed) {
        let Landed { ingest, permit } = landed;
        let digest = self.fill.digest();
        match self.store.tier.run(move |_| ingest.commit()).await {
            Ok(size) => {
                let record = ContentRecord::verified(size);
                self.store
                    .records
                    .put_content(&self.fill.canonical, record)
                    .await;
                self.store.committed(digest, size);
            }
            Err(cause) => tracing::error!(%digest, %cause, "content could not be kept"),
        }
        drop(permit);
    }

    /// A copy was committed meanwhile: readers have all of it.
    fn publish_kept(&self, file: Arc<File>, size: u64) {
        self.fill.progress.send_modify(|progress| {
            progress.landed.insert(0..size);
            progress.size = Some(size);
            progress.file = Some(file);
            progress.kept = true;
            progress.phase = Phase::Verified;
        });
    }

    fn write_failed(&self, cause: io::Error) -> Error {
        Error::local(
            "write bytes of",
            std::path::Path::new(&self.fill.digest().to_string()),
            cause,
        )
    }
}

//! A reader of a blob: a kept file, a tail that follows a fill, or a connection of its own.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use longshore_reference::Canonical;
use tokio::sync::watch;

use crate::blob::bypass::Bypass;
use crate::chunks::{Budget, Chunks};
use crate::error::Error;
use crate::fill::context::Context;
use crate::fill::engine;
use crate::fill::progress::{HELD_BACK, Phase, Progress};
use crate::fill::sources::Salvage;
use crate::fill::{Follower, Want};
use crate::records::ContentRecord;
use crate::request::Request;

/// Where the bytes of a blob are.
#[derive(Clone)]
pub(crate) enum HeldBlob {
    /// In a kept file.
    Kept(Arc<File>, u64),
    /// On their way.
    Landing(Follower),
    /// They cannot be kept: each reader has a connection of its own, the first one this.
    Bypass(Arc<Mutex<Option<Box<Bypass>>>>),
}

/// What a reader needs beside its position.
pub(crate) struct Opened {
    pub(crate) context: Arc<Context>,
    pub(crate) request: Request<Canonical>,
    pub(crate) known: Option<Arc<ContentRecord>>,
    pub(crate) held: HeldBlob,
    /// Size in bytes, where known.
    pub(crate) size: Option<u64>,
    pub(crate) budget: Budget,
}

/// Reads a part of a blob, at its own pace and in constant memory. It may be dropped at any time.
pub struct BlobReader {
    context: Arc<Context>,
    request: Request<Canonical>,
    known: Option<Arc<ContentRecord>>,
    chunks: Chunks,
    position: u64,
    end: Option<u64>,
    from: From,
}

enum From {
    Kept(Arc<File>, u64),
    Landing(Tail),
    /// Not asked for yet, or the first reader's.
    Bypass(Option<Box<Bypass>>),
}

/// Follows a fill.
struct Tail {
    /// While it is held the fill is not given up.
    follower: Follower,
    progress: watch::Receiver<Progress>,
    /// What the response's headers say of the whole blob.
    announced: Option<u64>,
    /// The attempt of the fill that bytes were read of.
    attempt: Option<u32>,
    /// Bytes far ahead of what lands.
    _want: Option<Want>,
}

/// What a tail can do now.
enum Step {
    Read(Arc<File>, u64),
    Wait,
    End,
}

impl BlobReader {
    pub(crate) fn new(blob: &Opened, start: u64, end: Option<u64>) -> Self {
        let from = match &blob.held {
            HeldBlob::Kept(file, size) => From::Kept(Arc::clone(file), *size),
            HeldBlob::Landing(follower) => {
                let wanted = start..end.unwrap_or(u64::MAX);
                From::Landing(Tail::new(follower.clone(), wanted, blob.size))
            }
            HeldBlob::Bypass(bypass) => {
                let mut bypass = bypass.lock().unwrap_or_else(PoisonError::into_inner);
                From::Bypass(bypass.take().map(|bypass| Box::new(bypass.from(start))))
            }
        };
        Self {
            context: Arc::clone(&blob.context),
            request: blob.request.clone(),
            known: blob.known.clone(),
            chunks: blob.budget.reader(),
            position: start,
            end: end.or(blob.size),
            from,
        }
    }

    /// The next bytes; `None` at the end of the part.
    ///
    /// # Errors
    /// The response must be cut, never ended: the last bytes that came are not the last of the part.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.end.is_some_and(|end| self.position >= end) {
                return Ok(None);
            }
            let bytes = match &mut self.from {
                From::Kept(file, size) => {
                    let limit = self
                        .end
                        .unwrap_or(*size)
                        .min(*size)
                        .saturating_sub(self.position);
                    match self.chunks.read(file, self.position, limit).await {
                        Ok(bytes) if !bytes.is_empty() => bytes,
                        ended => {
                            let (file, size) = (Arc::clone(file), *size);
                            self.recover(file, size, ended.err()).await;
                            continue;
                        }
                    }
                }
                From::Landing(tail) => match tail.step(self.position, self.end)? {
                    Step::Read(file, limit) => {
                        let read = self.chunks.read(&file, self.position, limit).await;
                        // What has landed is there: a file that ends before it has been cut.
                        let read = read.and_then(|bytes| match bytes.is_empty() {
                            true => Err(std::io::ErrorKind::UnexpectedEof.into()),
                            false => Ok(bytes),
                        });
                        let path = self.request.target.digest().to_string();
                        read.map_err(|cause| Error::local("read spooled", path.as_ref(), cause))?
                    }
                    Step::Wait => {
                        tail.progress.changed().await.map_err(|_| Error::GivenUp)?;
                        continue;
                    }
                    Step::End => return Ok(None),
                },
                From::Bypass(Some(bypass)) => match bypass.chunk(self.end).await? {
                    Some(bytes) => bytes,
                    None => return Ok(None),
                },
                From::Bypass(from @ None) => {
                    let known = self.known.as_deref();
                    let bypass = Bypass::open(&self.context, &self.request, known).await?;
                    *from = Some(Box::new(bypass.from(self.position)));
                    continue;
                }
            };
            self.position += bytes.len() as u64;
            return Ok(Some(bytes));
        }
    }

    /// A kept file failed: it is moved aside, what could be read of it starts a fill, and this reader follows that.
    async fn recover(&mut self, file: Arc<File>, size: u64, cause: Option<std::io::Error>) {
        let digest = self.request.target.digest();
        tracing::error!(%digest, position = self.position, ?cause, "kept content cannot be read, going on from upstream");
        self.context.quarantine(digest, &file).await;
        let salvage = Salvage {
            file,
            len: self.position,
        };
        let known = self.known.as_ref();
        let wanted = self.position..self.end.unwrap_or(u64::MAX);
        let (context, request) = (&self.context, &self.request);
        let (follower, ..) = engine::enter(context, request, known, Some(salvage), wanted.clone());
        self.from = From::Landing(Tail::new(follower, wanted, Some(size)));
    }
}

impl Tail {
    fn new(follower: Follower, wanted: Range<u64>, announced: Option<u64>) -> Self {
        let progress = follower.fill().progress.subscribe();
        Self {
            _want: follower.want(wanted),
            follower,
            progress,
            announced,
            attempt: None,
        }
    }

    fn step(&mut self, position: u64, end: Option<u64>) -> Result<Step, Error> {
        let progress = self.progress.borrow_and_update();
        if let Phase::Failed(error) = &progress.phase {
            return Err(error.clone());
        }
        // Bytes of another attempt do not go with those that were sent.
        let other = self.attempt.is_some_and(|read| read != progress.attempt);
        let verified = matches!(progress.phase, Phase::Verified);
        let wrong_len = self
            .announced
            .zip(progress.size)
            .is_some_and(|(announced, size)| verified && announced != size);
        if other || wrong_len {
            let size = progress.size.unwrap_or_default();
            let found = match wrong_len {
                true => format!("{size} bytes instead of those announced"),
                false => "other bytes than those sent before".to_owned(),
            };
            let expected = self.follower.fill().digest();
            return Err(Error::Mismatch { expected, found });
        }
        let mut visible = progress.visible_from(position).min(end.unwrap_or(u64::MAX));
        if let Some(announced) = self.announced.filter(|_| !verified)
            && position <= progress.landed.end_from(0)
        {
            // As announced to this client: what the fill goes by may be more.
            visible = visible.min(announced.saturating_sub(HELD_BACK));
        }
        if let Some(file) = progress.file.as_ref().filter(|_| visible > position) {
            self.attempt = Some(progress.attempt);
            self.follower.fill().mark_read();
            return Ok(Step::Read(Arc::clone(file), visible - position));
        }
        match &progress.phase {
            Phase::Failed(error) => Err(error.clone()),
            Phase::Verified => Ok(Step::End),
            Phase::Asking | Phase::Landing => Ok(Step::Wait),
        }
    }
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("canonical", &self.request.target)
            .field("position", &self.position)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

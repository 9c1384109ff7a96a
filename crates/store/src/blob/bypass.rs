//! A blob that goes through without being kept: the disk is full. It is verified all the same.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use longshore_reference::{Canonical, Digest, Verifier};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::Error;
use crate::fill::context::Context;
use crate::fill::engine::permit_within;
use crate::fill::progress::{HELD_BACK, VERIFIED_WHOLE_MAX};
use crate::records::ContentRecord;
use crate::remote::{BlobAsk, Source};
use crate::request::Request;

/// Bytes from upstream for one reader. All are hashed; those before the part that is wanted are dropped.
pub(crate) struct Bypass {
    digest: Digest,
    source: Source,
    /// A place among those who stream without keeping anything.
    _permit: Option<OwnedSemaphorePermit>,
    verifier: Option<Verifier>,
    size: Option<u64>,
    /// Bytes that came.
    seen: u64,
    /// Where `held` starts.
    at: u64,
    held: VecDeque<Bytes>,
    start: u64,
}

impl Bypass {
    /// Asks upstream for the bytes from the first one on. Wrong ones have the consequences that those of a fill have.
    pub(crate) async fn open(
        context: &Arc<Context>,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
    ) -> Result<Self, Error> {
        let canonical = &request.target;
        let permit = context.fills.bypass(permit_within(&request.policy)).await?;
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
        let (context, wrong, distrust) = (Arc::clone(context), canonical.clone(), source.distrust);
        let distrust = Box::new(move || {
            distrust();
            context.mismatch(wrong.digest(), wrong.named());
        });
        let size = source.size.or(size);
        let source = Source { distrust, ..source };
        Ok(Self {
            _permit: Some(permit),
            ..Self::new(canonical.digest(), source, size)
        })
    }

    fn new(digest: Digest, source: Source, size: Option<u64>) -> Self {
        Self {
            digest,
            source,
            _permit: None,
            verifier: Some(Verifier::new(digest)),
            size,
            seen: 0,
            at: 0,
            held: VecDeque::new(),
            start: 0,
        }
    }

    /// Waits until headers can be answered: a small blob is taken in and verified. Returns the size as far as known.
    pub(crate) async fn answerable(&mut self) -> Result<Option<u64>, Error> {
        while self.verifier.is_some() && self.size.unwrap_or(self.seen) <= VERIFIED_WHOLE_MAX {
            self.take_in().await?;
        }
        if self.verifier.is_none() {
            self.size = Some(self.seen);
        }
        Ok(self.size)
    }

    /// Drops the bytes before `start`.
    pub(crate) fn from(self, start: u64) -> Self {
        Self { start, ..self }
    }

    pub(crate) async fn chunk(&mut self, end: Option<u64>) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(bytes) = self.release(end) {
                return Ok(Some(bytes));
            }
            if self.verifier.is_none() {
                return Ok(None);
            }
            self.take_in().await?;
        }
    }

    /// Hashes and holds the next bytes, or verifies them all. More than there should be are never held.
    async fn take_in(&mut self) -> Result<(), Error> {
        let Some(chunk) = self.source.chunks.next().await.transpose()? else {
            return self.verify();
        };
        self.seen += chunk.len() as u64;
        if self.size.is_some_and(|size| self.seen > size) {
            return self.verify();
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.update(&chunk);
        }
        self.held.push_back(chunk);
        Ok(())
    }

    /// The next bytes that may go: all but the last ones, until the digest is right.
    fn release(&mut self, end: Option<u64>) -> Option<Bytes> {
        while let Some(chunk) = self.held.front_mut() {
            let free = match (&self.verifier, self.size) {
                (None, _) => self.seen,
                (Some(_), Some(size)) if size <= VERIFIED_WHOLE_MAX => 0,
                (Some(_), None) if self.seen <= VERIFIED_WHOLE_MAX => 0,
                (Some(_), size) => self
                    .seen
                    .min(size.unwrap_or(u64::MAX))
                    .saturating_sub(HELD_BACK),
            };
            let free = usize::try_from(free.saturating_sub(self.at))
                .unwrap_or(usize::MAX)
                .min(chunk.len());
            if free == 0 && !chunk.is_empty() {
                return None;
            }
            let mut bytes = chunk.split_to(free);
            let from = self.at;
            self.at += bytes.len() as u64;
            if chunk.is_empty() {
                self.held.pop_front();
            }
            bytes.truncate(
                usize::try_from(end.unwrap_or(u64::MAX).saturating_sub(from)).unwrap_or(usize::MAX),
            );
            let skip = usize::try_from(self.start.saturating_sub(from)).unwrap_or(usize::MAX);
            bytes.advance(skip.min(bytes.len()));
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
        None
    }

    fn verify(&mut self) -> Result<(), Error> {
        let wrong_len = self.size.filter(|size| *size != self.seen);
        if self.verifier.take().is_some_and(Verifier::verify) && wrong_len.is_none() {
            return Ok(());
        }
        let distrust = std::mem::replace(&mut self.source.distrust, Box::new(|| {}));
        distrust();
        let found = format!("{} bytes of another digest", self.seen);
        self.held.clear();
        Err(Error::Mismatch {
            expected: self.digest,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const MIB: u64 = 1 << 20;

    /// What a reader of a part gets, and how it ends; and how often upstream was distrusted.
    async fn pass(
        right: &[u8],
        sent: &[u8],
        size: Option<u64>,
        start: u64,
        end: Option<u64>,
    ) -> (Vec<u8>, Result<(), Error>, usize) {
        let chunks: Vec<_> = sent
            .chunks(100_000)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let distrusted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&distrusted);
        let source = Source {
            size,
            whole: false,
            chunks: futures_util::stream::iter(chunks).boxed(),
            distrust: Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            }),
        };
        let mut bypass = Bypass::new(Digest::sha256(right), source, size).from(start);
        let mut got = Vec::new();
        let ended = loop {
            // As a reader does: it stops asking at the end of its part.
            if end.is_some_and(|end| start + got.len() as u64 >= end) {
                break Ok(());
            }
            match bypass.chunk(end).await {
                Ok(Some(bytes)) => got.extend_from_slice(&bytes),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (got, ended, distrusted.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn right_bytes_pass_whole_and_in_part() {
        for len in [0, 10, MIB, 3 * MIB] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            for size in [Some(len), None] {
                for (start, end) in [(0, len), (len / 3, len), (len / 3, len / 2)] {
                    let (got, ended, distrusted) =
                        pass(&bytes, &bytes, size, start, Some(end)).await;
                    assert!(
                        ended.is_ok() && distrusted == 0,
                        "{len} {size:?} {start}..{end}"
                    );
                    assert_eq!(got, bytes[start as usize..end as usize]);
                }
            }
        }
    }

    #[tokio::test]
    async fn wrong_bytes_never_end_well() {
        let right = vec![7; 3 * MIB as usize];
        let mut wrong = right.clone();
        wrong[5] = 8;
        for (sent, size) in [
            (&wrong[..], Some(3 * MIB)),
            (&wrong[..], None),
            (&right[..2 * MIB as usize], Some(3 * MIB)),
            (&right[..2 * MIB as usize], None),
        ] {
            let (got, ended, distrusted) = pass(&right, sent, size, 0, None).await;
            assert!(matches!(ended, Err(Error::Mismatch { .. })), "{ended:?}");
            assert!(got.len() as u64 <= sent.len() as u64 - HELD_BACK);
            assert_eq!(distrusted, 1);
        }
        let (got, ended, _) = pass(b"right", b"wrong", Some(5), 0, None).await;
        assert!(
            got.is_empty() && ended.is_err(),
            "small ones are verified first"
        );
    }
}

//! A blob on its way: constant memory, and cuts are mended by ranged requests.

use std::fmt;

use bytes::Bytes;
use http::{Method, StatusCode};
use longshore_reference::Canonical;
use reqwest::Response;
use tokio::time::Instant;

use crate::{
    Error, Event,
    endpoint::Contact,
    error::Fault,
    range::ContentRange,
    transport::{self, Failure},
    tries,
    upstream::{Upstream, blob_ask},
};

/// The bytes of a blob from an offset to its end, in order.
///
/// A connection that is cut, stalls, or ends short goes on by a ranged request, at the same endpoint first, then at
/// the next. Dropping it ends the transfer.
pub struct Download {
    upstream: Upstream,
    blob: Canonical,
    /// Of the whole blob; given, or learnt from the registry.
    size: Option<u64>,
    /// The next byte the caller gets.
    at: u64,
    /// `None` when the connection was lost and at the end.
    body: Option<Body>,
    done: bool,
    /// The endpoints that sent bytes.
    used: Vec<usize>,
    /// Resumes since `resumed_at`.
    resumes: u32,
    resumed_at: u64,
    /// Why the connection was lost, told when it cannot be mended.
    lost: Option<Error>,
}

struct Body {
    response: Response,
    contact: usize,
    /// Bytes still to be thrown away: the registry ignored the range.
    skip: u64,
    /// The registry announced where it ends, so nothing can follow.
    bounded: bool,
}

impl Download {
    pub(crate) async fn open(
        upstream: Upstream,
        blob: Canonical,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Self, Error> {
        let mut download = Self {
            upstream,
            blob,
            size,
            at: offset,
            body: None,
            done: size.is_some_and(|size| offset >= size && size > 0),
            used: Vec::new(),
            resumes: 0,
            resumed_at: offset,
            lost: None,
        };
        if !download.done {
            download.connect().await?;
        }
        Ok(download)
    }

    /// The size of the whole blob in bytes: as given, else as the registry said.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Where in the blob the next chunk begins; bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// The next bytes; `None` at the end, which is the end of the blob wherever its size is known. They are not
    /// verified. Cancel-safe: no bytes are lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection was lost and could not be mended, or the registry sends more than the blob has. After an
    /// error the next call tries to go on.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.next().await;
        if next.is_err() {
            // Whoever starts anew is better served elsewhere.
            self.distrust();
        }
        next
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.done {
                return Ok(None);
            }
            if self.body.is_none() {
                self.resume().await?;
                continue;
            }
            if let Some(bytes) = self.read().await? {
                return Ok(Some(bytes));
            }
        }
    }

    /// The bytes were not the digest's: for a while the endpoints they came from are asked last for this digest.
    pub fn distrust(&self) {
        for &contact in &self.used {
            self.upstream
                .inner
                .distrust
                .add(contact, self.blob.digest(), Instant::now());
        }
    }

    /// Reads on; `None` when there is nothing to hand out but the state has changed.
    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let Self {
            body: Some(body),
            upstream,
            ..
        } = self
        else {
            return Ok(None);
        };
        let inner = &upstream.inner;
        let Some(contact) = inner.contacts.get(body.contact) else {
            return Ok(None);
        };
        let complete = self.size == Some(self.at);
        if complete && body.bounded {
            self.finish();
            return Ok(None);
        }
        match transport::chunk(
            &mut body.response,
            contact.host(),
            inner.transport.timeouts.idle,
        )
        .await
        {
            Ok(Some(mut bytes)) => {
                inner.observe(Event::Bytes(bytes.len() as u64));
                let skipped = body.skip.min(bytes.len() as u64);
                body.skip -= skipped;
                let bytes = bytes.split_off(skipped as usize);
                if bytes.is_empty() {
                    return Ok(None);
                }
                self.advance(bytes)
            }
            // Everything is there; how the connection ends no longer matters.
            _ if complete => {
                self.finish();
                Ok(None)
            }
            Ok(None) if self.size.is_none() && body.skip == 0 => {
                self.size = Some(self.at);
                self.finish();
                Ok(None)
            }
            Ok(None) => {
                let fault = Fault::Length {
                    expected: self.size.unwrap_or(self.at),
                    found: self.at,
                };
                self.lost = Some(Error::misbehaved(contact.host(), fault));
                self.body = None;
                Ok(None)
            }
            Err(error) => {
                tracing::debug!(upstream = %inner.name, endpoint = %contact.host(), error = %error, "blob cut");
                self.lost = Some(error);
                self.body = None;
                Ok(None)
            }
        }
    }

    fn advance(&mut self, bytes: Bytes) -> Result<Option<Bytes>, Error> {
        let end = self.at + bytes.len() as u64;
        if let Some(size) = self.size.filter(|&size| end > size) {
            let host = self
                .body
                .as_ref()
                .and_then(|body| self.upstream.inner.contacts.get(body.contact));
            let fault = Fault::Length {
                expected: size,
                found: end,
            };
            let error = host.map(|contact| Error::misbehaved(contact.host(), fault));
            self.body = None;
            return Err(error.unwrap_or_else(|| Error::config("endpoints", "none")));
        }
        self.at = end;
        Ok(Some(bytes))
    }

    fn finish(&mut self) {
        self.done = true;
        self.body = None;
    }

    async fn resume(&mut self) -> Result<(), Error> {
        if self.at >= self.resumed_at + PROGRESS_BYTES {
            (self.resumes, self.resumed_at) = (0, self.at);
        }
        if self.resumes >= RESUMES_MAX {
            self.resumes = 0;
            let lost = self.lost.take();
            return Err(lost.unwrap_or_else(|| Error::config("endpoints", "none")));
        }
        self.resumes += 1;
        if self.resumes > 1 {
            tokio::time::sleep(tries::pause(self.resumes - 1)).await;
        }
        match self.connect().await {
            Ok(()) => {
                self.upstream.inner.observe(Event::Resumed);
                Ok(())
            }
            // The next resume may find it back.
            Err(error @ (Error::Unreachable { .. } | Error::TimedOut { .. })) => {
                self.lost = Some(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for the bytes from `at`, at the endpoint that served last, unless it has failed twice without progress.
    async fn connect(&mut self) -> Result<(), Error> {
        let range = (self.at > 0).then(|| format!("bytes={}-", self.at));
        let upstream = self.upstream.clone();
        let blob = self.blob.clone();
        let ask = blob_ask(&blob, Method::GET, range);
        let mut tries = upstream.tries(&ask, Some(blob.digest()));
        if let Some(&last) = self.used.last() {
            match self.resumes {
                0..=2 => tries.prefer(last),
                _ => tries.defer(last),
            }
        }
        loop {
            let (index, contact) = tries.next().await?;
            let result = match upstream.inner.ask(contact, &ask).await {
                Ok(response) => self.accept(contact, index, response),
                Err(failure) => Err(failure),
            };
            match result {
                Ok(()) => {
                    tries.succeeded(contact);
                    return Ok(());
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    /// Checks the headers and takes the body over.
    fn accept(
        &mut self,
        contact: &Contact,
        index: usize,
        response: Response,
    ) -> Result<(), Failure> {
        let headers = response.headers();
        let length = transport::content_length(headers);
        let misbehaved = |fault| Failure {
            error: Error::misbehaved(contact.host(), fault),
            own: true,
        };
        let content_range = ContentRange::of(headers);
        let (skip, total) = match response.status() {
            StatusCode::OK => (self.at, length),
            StatusCode::PARTIAL_CONTENT => {
                let range =
                    content_range.ok_or_else(|| misbehaved(Fault::Header("content-range")))?;
                let span = range.span.filter(|(first, _)| *first == self.at);
                let (first, last) =
                    span.ok_or_else(|| misbehaved(Fault::Header("content-range")))?;
                let ends_early = range.total.is_some_and(|total| last + 1 != total);
                if ends_early || length.is_some_and(|length| length != last + 1 - first) {
                    return Err(misbehaved(Fault::Header("content-range")));
                }
                (0, range.total.or(Some(last + 1)))
            }
            // Nothing follows `at`: right when it is the end, which is not known beforehand for a body without length.
            _ => match (content_range.and_then(|range| range.total), self.size) {
                (Some(total), None) if total == self.at => {
                    self.size = Some(total);
                    self.finish();
                    return Ok(());
                }
                (total, _) => {
                    let fault = total.map_or(Fault::Status(416), |found| Fault::Length {
                        expected: self.at,
                        found,
                    });
                    return Err(misbehaved(fault));
                }
            },
        };
        if let (Some(expected), Some(found)) = (self.size, total)
            && expected != found
        {
            return Err(misbehaved(Fault::Length { expected, found }));
        }
        self.size = self.size.or(total);
        if !self.used.contains(&index) {
            self.used.push(index);
        }
        self.used.sort_by_key(|&used| used == index);
        self.body = Some(Body {
            contact: index,
            skip,
            bounded: length.is_some(),
            response,
        });
        Ok(())
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("blob", &self.blob)
            .field("size", &self.size)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Progress after which resumes are counted anew; bytes.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Resumes without that progress.
const RESUMES_MAX: u32 = 5;

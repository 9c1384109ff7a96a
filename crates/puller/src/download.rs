//! A blob on its way: constant memory, and cuts are resumed by range requests.

use std::{fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::StatusCode;

use crate::{
    Error, Event,
    attempt::pause,
    error::{Fault, Reason},
    http::{self as transport, Failure, Response},
    request::Requests,
    wire::{fields, range::ContentRange},
};

/// The bytes of a blob from an offset to its end, or to the end of a range, in order.
///
/// A connection that is cut, stalls, or ends short is resumed by a range request, at the same endpoint first, then at
/// the next. Dropping it ends the transfer.
pub struct Download {
    requests: Arc<Requests>,
    parts: Box<dyn Parts>,
    /// What is left to come.
    span: Span,
    ranges: Ranges,
    /// `None` when the connection was lost and at the end.
    body: Option<Body>,
    done: bool,
    /// Resumes since `resumed_at`.
    resumes: u32,
    resumed_at: u64,
    /// The host that served last.
    endpoint: Arc<str>,
    /// Why the connection was lost: the error when it cannot be resumed.
    lost: Option<Error>,
    /// All bytes came, and they are not what the registry stated.
    wrong: Option<Error>,
}

/// Whether the registry honours range requests, as its answers show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ranges {
    /// No range was asked for.
    #[default]
    Unknown,
    /// The last range request was answered with the range.
    Honoured,
    /// The last range request was answered with the whole blob: what precedes the range is downloaded and dropped.
    Ignored,
}

/// Where the parts of a blob come from.
pub(crate) trait Parts: fmt::Debug + Send + Sync {
    /// Asks for the bytes of `span`. `resumes`: how often that was done without progress.
    fn open(&mut self, span: Span, resumes: u32) -> Opening<'_>;

    /// Whether the bytes of `span` can be asked for after a cut.
    fn can_resume(&self, _span: Span) -> bool {
        true
    }

    /// Bytes were handed out.
    fn watch(&mut self, _bytes: &[u8]) {}

    /// Whether all bytes together are what the registry stated, as far as it did.
    fn is_right(&mut self) -> bool {
        true
    }

    /// The bytes were not the digest's.
    fn distrust(&self) {}
}

/// A part that is being asked for.
pub(crate) type Opening<'a> = Pin<Box<dyn Future<Output = Result<Part, Error>> + Send + 'a>>;

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) at: u64,
    /// Where the range ends (exclusive); `None` for the end of the blob.
    pub(crate) end: Option<u64>,
    /// Of the whole blob; given, or as the registry stated it.
    pub(crate) size: Option<u64>,
}

/// The bytes that were asked for, headers read.
pub(crate) struct Part {
    /// `None` when there is none: the span begins at the end.
    body: Option<Body>,
    /// The size of the whole blob, as far as the registry stated it.
    pub(crate) size: Option<u64>,
    ranges: Ranges,
}

struct Body {
    response: Response,
    host: Arc<str>,
    /// Bytes still to be thrown away: the registry ignored the range.
    skip: u64,
    /// The registry announced where it ends, so nothing can follow.
    bounded: bool,
}

impl Span {
    /// Where the bytes end, as far as it is known.
    fn target(&self) -> Option<u64> {
        match (self.size, self.end) {
            (Some(size), Some(end)) => Some(size.min(end)),
            (size, end) => size.or(end),
        }
    }

    /// The value of `Range`; `None` for the whole blob.
    pub(crate) fn header(&self) -> Option<String> {
        match self.end.map(|end| end.saturating_sub(1)) {
            Some(last) => Some(format!("bytes={}-{last}", self.at)),
            None => (self.at > 0).then(|| format!("bytes={}-", self.at)),
        }
    }

    /// Checks the headers of an answer to this span. A v1 registry may count one byte too many; the length it announces
    /// is not relied on.
    pub(crate) fn accept(
        &self,
        host: &Arc<str>,
        response: Response,
        is_v1: bool,
    ) -> Result<Part, Failure> {
        let misbehaved = |fault| Failure {
            error: Error::misbehaved(host, fault),
            own: true,
        };
        let headers = response.headers();
        let length = fields::content_length(headers);
        let content_range = match is_v1 {
            true => ContentRange::of_v1(headers),
            false => ContentRange::of(headers),
        };
        let (skip, size, ranges) = match response.status() {
            StatusCode::OK if self.header().is_some() => (self.at, length, Ranges::Ignored),
            StatusCode::OK => (self.at, length, Ranges::Unknown),
            StatusCode::PARTIAL_CONTENT => {
                let size = content_range
                    .and_then(|range| self.accept_range(range, length.filter(|_| !is_v1)))
                    .ok_or_else(|| misbehaved(Fault::Header("content-range")))?;
                (0, size, Ranges::Honoured)
            }
            // Nothing follows `at`: right when it is the end, which a body without length does not state beforehand.
            _ => match (content_range.and_then(|range| range.total), self.size) {
                (Some(total), None) if total == self.at => {
                    return Ok(Part {
                        body: None,
                        size: Some(total),
                        ranges: Ranges::Honoured,
                    });
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
        if let (Some(expected), Some(found)) = (self.size, size)
            && expected != found
        {
            return Err(misbehaved(Fault::Length { expected, found }));
        }
        let body = Some(Body {
            host: Arc::clone(host),
            skip,
            bounded: length.is_some(),
            response,
        });
        Ok(Part { body, size, ranges })
    }

    /// The size of the whole blob, if it is stated; `None` when the range is not the one that was asked for.
    #[allow(clippy::option_option)]
    fn accept_range(&self, range: ContentRange, length: Option<u64>) -> Option<Option<u64>> {
        let (first, last) = range.span.filter(|(first, _)| *first == self.at)?;
        let stop = last + 1;
        let is_whole = match (self.end, range.total) {
            (Some(end), Some(total)) => stop == end.min(total),
            (Some(end), None) => stop == end,
            (None, total) => total.is_none_or(|total| stop == total),
        };
        let lies = length.is_some_and(|length| length != stop - first);
        let to_the_end = self.end.is_none().then_some(stop);
        (is_whole && !lies).then(|| range.total.or(to_the_end))
    }
}

impl Download {
    /// Opens the bytes of `span`; returns once the headers are there and right.
    pub(crate) async fn open(
        requests: &Arc<Requests>,
        parts: Box<dyn Parts>,
        span: Span,
    ) -> Result<Self, Error> {
        let Span { at, end, size } = span;
        if let Some(size) = size.filter(|&size| at > size) {
            return Err(Error::OutOfRange { offset: at, size });
        }
        let is_empty = end.is_some_and(|end| at >= end);
        let mut download = Self {
            requests: Arc::clone(requests),
            parts,
            span,
            ranges: Ranges::Unknown,
            body: None,
            done: is_empty || size.is_some_and(|size| at == size && size > 0),
            resumes: 0,
            resumed_at: at,
            endpoint: requests.exchange.name().into(),
            lost: None,
            wrong: None,
        };
        if !download.done {
            download.connect().await?;
        }
        Ok(download)
    }

    /// The size of the whole blob in bytes: as given, else as the registry stated it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.span.size
    }

    /// Whether the registry honours range requests.
    #[must_use]
    pub fn ranges(&self) -> Ranges {
        self.ranges
    }

    /// Where in the blob the next chunk begins; bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.span.at
    }

    /// The next bytes; `None` at the end, which is the end of the range or of the blob wherever that is known. They are
    /// not verified, but for a v1 layer whose checksum the registry stated. Cancel-safe: no bytes are lost when the
    /// future is dropped.
    ///
    /// # Errors
    /// When the connection was lost and could not be resumed, or the registry sends more than the blob has. After an
    /// error the next call tries to go on.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.next().await;
        if next.is_err() {
            // Whoever starts anew is better served elsewhere.
            self.distrust();
        }
        next
    }

    /// Ends the transfer and its connection. What [`distrust`](Self::distrust) needs stays.
    pub fn close(&mut self) {
        self.body = None;
        self.done = true;
    }

    /// The bytes were not the digest's: for a while the endpoints they came from are asked last for this digest.
    pub fn distrust(&self) {
        self.parts.distrust();
    }

    /// The host that served last.
    pub(crate) fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(wrong) = &self.wrong {
                return Err(wrong.clone());
            }
            if self.done {
                return Ok(None);
            }
            let Some(body) = &mut self.body else {
                self.resume().await?;
                continue;
            };
            let complete = self.span.target() == Some(self.span.at);
            // What follows the range in a whole blob is not wanted.
            let cut_off = self.span.size != Some(self.span.at);
            if complete && (body.bounded || cut_off) {
                self.finish()?;
                continue;
            }
            let idle = self.requests.exchange.timeouts().idle;
            let read = transport::chunk(&mut body.response, &body.host, idle).await;
            if let Some(bytes) = self.take(read, complete)? {
                return Ok(Some(bytes));
            }
        }
    }

    /// Takes over what was read; `None` when there is nothing to hand out but the state has changed.
    fn take(
        &mut self,
        read: Result<Option<Bytes>, Error>,
        complete: bool,
    ) -> Result<Option<Bytes>, Error> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        match read {
            Ok(Some(mut bytes)) => {
                let exchange = &self.requests.exchange;
                exchange.observe(Event::Bytes(bytes.len() as u64));
                let skipped = body.skip.min(bytes.len() as u64);
                body.skip -= skipped;
                let bytes = bytes.split_off(skipped as usize);
                match bytes.is_empty() {
                    true => Ok(None),
                    false => self.advance(bytes),
                }
            }
            // Everything is there; how the connection ends no longer matters.
            _ if complete => self.finish().map(|()| None),
            Ok(None) if self.span.size.is_none() && body.skip == 0 => {
                self.span.size = Some(self.span.at);
                self.finish().map(|()| None)
            }
            Ok(None) => {
                let fault = Fault::Length {
                    expected: self.span.target().unwrap_or(self.span.at),
                    found: self.span.at,
                };
                self.lost = Some(Error::misbehaved(&body.host, fault));
                self.body = None;
                Ok(None)
            }
            Err(error) => {
                let name = self.requests.exchange.name();
                tracing::debug!(upstream = %name, endpoint = %body.host, %error, "blob cut");
                self.lost = Some(error);
                self.body = None;
                Ok(None)
            }
        }
    }

    fn advance(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>, Error> {
        let Span { at, end, size } = self.span;
        if let Some(left) = end.map(|end| end.saturating_sub(at))
            && left < bytes.len() as u64
            && size.is_none_or(|size| size > at + left)
        {
            bytes.truncate(left as usize);
        }
        let found = at + bytes.len() as u64;
        if let Some(expected) = size.filter(|&size| found > size)
            && let Some(body) = self.body.take()
        {
            let error = Error::misbehaved(&body.host, Fault::Length { expected, found });
            self.lost = Some(error.clone());
            return Err(error);
        }
        self.parts.watch(&bytes);
        self.span.at = found;
        Ok(Some(bytes))
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.done = true;
        if let Some(body) = self.body.take()
            && !self.parts.is_right()
        {
            let error = Error::misbehaved(&body.host, Fault::Digest);
            self.wrong = Some(error.clone());
            return Err(error);
        }
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        let at = self.span.at;
        if at >= self.resumed_at + PROGRESS_BYTES {
            (self.resumes, self.resumed_at) = (0, at);
        }
        if self.resumes >= RESUMES_MAX || !self.parts.can_resume(self.span) {
            self.resumes = 0;
            return Err(self.lost.clone().unwrap_or_else(|| Error::Unreachable {
                endpoint: Arc::clone(&self.endpoint),
                reason: Reason::Lost,
                source: None,
            }));
        }
        self.resumes += 1;
        if self.resumes > 1 {
            tokio::time::sleep(pause(self.resumes - 1)).await;
        }
        match self.connect().await {
            Ok(()) => {
                self.requests.exchange.observe(Event::Resumed);
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

    /// Asks for the bytes that are left.
    async fn connect(&mut self) -> Result<(), Error> {
        let Part { body, size, ranges } = self.parts.open(self.span, self.resumes).await?;
        if ranges != Ranges::Unknown {
            self.ranges = ranges;
        }
        self.span.size = self.span.size.or(size);
        self.done = body.is_none();
        if let Some(body) = &body {
            self.endpoint = Arc::clone(&body.host);
        }
        self.body = body;
        Ok(())
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("parts", &self.parts)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// Progress after which resumes are counted anew; bytes.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Resumes without that progress.
const RESUMES_MAX: u32 = 5;

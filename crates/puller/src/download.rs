//! A blob on its way: constant memory, and cuts are mended by ranged requests.

mod source;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Method, StatusCode};
use longshore_reference::Canonical;

use self::source::Source;
use crate::{
    Error, Event,
    error::Fault,
    http::{self as transport, Failure, Response},
    tries,
    upstream::{Upstream, blob_ask},
    v1::layer::Layer,
    wire::{fields, range::ContentRange},
};

/// The bytes of a blob from an offset to its end, or to the end of a range, in order.
///
/// A connection that is cut, stalls, or ends short is resumed by a range request, at the same endpoint first, then at
/// the next. Dropping it ends the transfer.
pub struct Download {
    upstream: Upstream,
    source: Source,
    /// Of the whole blob; given, or as the registry stated it.
    size: Option<u64>,
    /// Where the range that was asked for ends (exclusive); `None` for the end of the blob.
    end: Option<u64>,
    ranges: Ranges,
    /// The next byte the caller gets.
    at: u64,
    /// `None` when the connection was lost and at the end.
    body: Option<Body>,
    done: bool,
    /// Resumes since `resumed_at`.
    resumes: u32,
    resumed_at: u64,
    /// Why the connection was lost, told when it cannot be mended.
    lost: Option<Error>,
    /// All bytes came, and they are not what the registry said.
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

struct Body {
    response: Response,
    host: Arc<str>,
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
        end: Option<u64>,
        size: Option<u64>,
    ) -> Result<Self, Error> {
        let used = Vec::new();
        let source = Source::Blob { blob, used };
        Self::start(upstream, source, offset, end, size).await
    }

    pub(crate) async fn open_layer(
        upstream: Upstream,
        layer: Layer,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Self, Error> {
        let source = Source::Layer(Box::new(layer));
        Self::start(upstream, source, offset, None, size).await
    }

    async fn start(
        upstream: Upstream,
        source: Source,
        offset: u64,
        end: Option<u64>,
        size: Option<u64>,
    ) -> Result<Self, Error> {
        if let Some(size) = size.filter(|&size| offset > size) {
            return Err(Error::OutOfRange { offset, size });
        }
        let is_empty = end.is_some_and(|end| offset >= end);
        let mut download = Self {
            upstream,
            source,
            size,
            end,
            ranges: Ranges::Unknown,
            at: offset,
            body: None,
            done: is_empty || size.is_some_and(|size| offset == size && size > 0),
            resumes: 0,
            resumed_at: offset,
            lost: None,
            wrong: None,
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

    /// Whether the registry honours range requests.
    #[must_use]
    pub fn ranges(&self) -> Ranges {
        self.ranges
    }

    /// Where the download ends, as far as it is known.
    fn target(&self) -> Option<u64> {
        match (self.size, self.end) {
            (Some(size), Some(end)) => Some(size.min(end)),
            (size, end) => size.or(end),
        }
    }

    /// Where in the blob the next chunk begins; bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// The next bytes; `None` at the end, which is the end of the range or of the blob wherever that is known. They are
    /// not verified, but for a v1 layer whose checksum the registry stated. Cancel-safe: no bytes are lost when the
    /// future is dropped.
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
            if let Some(wrong) = &self.wrong {
                return Err(wrong.clone());
            }
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

    /// Ends the transfer and its connection. What [`distrust`](Self::distrust) needs stays.
    pub fn close(&mut self) {
        self.body = None;
        self.done = true;
    }

    /// The bytes were not the digest's: for a while the endpoints they came from are asked last for this digest.
    pub fn distrust(&self) {
        self.source.distrust(&self.upstream.inner.distrust);
    }

    /// Reads on; `None` when there is nothing to hand out but the state has changed.
    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let target = self.target();
        let complete = target == Some(self.at);
        // The rest of a whole blob that came instead of a range is not wanted.
        let cut_off = complete && self.size != Some(self.at);
        let Self {
            body: Some(body),
            upstream,
            ..
        } = self
        else {
            return Ok(None);
        };
        let inner = &upstream.inner;
        if complete && (body.bounded || cut_off) {
            return self.finish();
        }
        match transport::chunk(
            &mut body.response,
            &body.host,
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
            _ if complete => self.finish(),
            Ok(None) if self.size.is_none() && body.skip == 0 => {
                self.size = Some(self.at);
                self.finish()
            }
            Ok(None) => {
                let fault = Fault::Length {
                    expected: target.unwrap_or(self.at),
                    found: self.at,
                };
                self.lost = Some(Error::misbehaved(&body.host, fault));
                self.body = None;
                Ok(None)
            }
            Err(error) => {
                tracing::debug!(upstream = %inner.name, endpoint = %body.host, error = %error, "blob cut");
                self.lost = Some(error);
                self.body = None;
                Ok(None)
            }
        }
    }

    fn advance(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>, Error> {
        if let Some(left) = self.end.map(|end| end.saturating_sub(self.at))
            && left < bytes.len() as u64
            && self.size.is_none_or(|size| size > self.at + left)
        {
            bytes.truncate(left as usize);
        }
        let end = self.at + bytes.len() as u64;
        if let Some(size) = self.size.filter(|&size| end > size) {
            let fault = Fault::Length {
                expected: size,
                found: end,
            };
            let body = self.body.take();
            let error = body.map(|body| Error::misbehaved(&body.host, fault));
            return Err(error.unwrap_or_else(|| Error::config("endpoints", "none")));
        }
        if let Source::Layer(layer) = &mut self.source {
            layer.watch(&bytes);
        }
        self.at = end;
        Ok(Some(bytes))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, Error> {
        self.done = true;
        let body = self.body.take();
        if let (Source::Layer(layer), Some(body)) = (&mut self.source, body)
            && !layer.is_right()
        {
            let error = Error::misbehaved(&body.host, Fault::Digest);
            self.wrong = Some(error.clone());
            return Err(error);
        }
        Ok(None)
    }

    async fn resume(&mut self) -> Result<(), Error> {
        if self.at >= self.resumed_at + PROGRESS_BYTES {
            (self.resumes, self.resumed_at) = (0, self.at);
        }
        if self.resumes >= RESUMES_MAX || !self.source.can_resume(self.at, self.size) {
            self.resumes = 0;
            let lost = self.lost.clone();
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

    /// Asks for the bytes from `at`.
    async fn connect(&mut self) -> Result<(), Error> {
        match &mut self.source {
            Source::Blob { blob, .. } => {
                let blob = blob.clone();
                self.connect_blob(&blob).await
            }
            Source::Layer(layer) => {
                let (response, host) = layer.connect(&self.upstream, self.at).await?;
                let size = layer.size;
                let accepted = self.accept(&host, response);
                accepted.map_err(|failure| failure.error)?;
                // The length of the answer is surer.
                self.size = self.size.or(size);
                Ok(())
            }
        }
    }

    /// The endpoint that served last comes first, unless it has failed twice without progress.
    async fn connect_blob(&mut self, blob: &Canonical) -> Result<(), Error> {
        let range = match self.end.map(|end| end.saturating_sub(1)) {
            Some(last) => Some(format!("bytes={}-{last}", self.at)),
            None => (self.at > 0).then(|| format!("bytes={}-", self.at)),
        };
        let upstream = self.upstream.clone();
        let ask = blob_ask(blob, Method::GET, range);
        let mut tries = upstream.tries(&ask, Some(blob.digest()));
        if let Source::Blob { used, .. } = &self.source
            && let Some(&last) = used.last()
        {
            match self.resumes {
                0..=2 => tries.prefer(last),
                _ => tries.defer(last),
            }
        }
        loop {
            let (index, contact) = tries.next().await?;
            let result = match upstream.inner.ask(contact, &ask).await {
                Ok(response) => self.accept(contact.host(), response),
                Err(failure) => Err(failure),
            };
            match result {
                Ok(()) => {
                    tries.succeeded(contact);
                    self.source.used(index);
                    return Ok(());
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    /// Checks the headers and takes the body over.
    fn accept(&mut self, host: &Arc<str>, response: Response) -> Result<(), Failure> {
        let is_layer = matches!(self.source, Source::Layer(_));
        let headers = response.headers();
        let length = fields::content_length(headers);
        let misbehaved = |fault| Failure {
            error: Error::misbehaved(host, fault),
            own: true,
        };
        let content_range = match is_layer {
            true => ContentRange::of_v1(headers),
            false => ContentRange::of(headers),
        };
        let (skip, total) = match response.status() {
            StatusCode::OK => {
                if self.at > 0 || self.end.is_some() {
                    self.ranges = Ranges::Ignored;
                }
                (self.at, length)
            }
            StatusCode::PARTIAL_CONTENT => {
                let range =
                    content_range.ok_or_else(|| misbehaved(Fault::Header("content-range")))?;
                let span = range.span.filter(|(first, _)| *first == self.at);
                let (first, last) =
                    span.ok_or_else(|| misbehaved(Fault::Header("content-range")))?;
                let ends_early = match (self.end, range.total) {
                    (Some(end), Some(total)) => last + 1 != end.min(total),
                    (Some(end), None) => last + 1 != end,
                    (None, total) => total.is_some_and(|total| last + 1 != total),
                };
                let lies = length.is_some_and(|length| length != last + 1 - first);
                // A v1 registry may count one byte too many; what it announces is not relied on.
                if ends_early || (lies && !is_layer) {
                    return Err(misbehaved(Fault::Header("content-range")));
                }
                self.ranges = Ranges::Honoured;
                let to_the_end = self.end.is_none().then_some(last + 1);
                (0, range.total.or(to_the_end))
            }
            // Nothing follows `at`: right when it is the end, which a body without length does not state beforehand.
            _ => match (content_range.and_then(|range| range.total), self.size) {
                (Some(total), None) if total == self.at => {
                    self.size = Some(total);
                    self.done = true;
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
        self.body = Some(Body {
            host: Arc::clone(host),
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
            .field("source", &self.source)
            .field("size", &self.size)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Progress after which resumes are counted anew; bytes.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Resumes without that progress.
const RESUMES_MAX: u32 = 5;

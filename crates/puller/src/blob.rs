//! Blobs of protocol v2.

use http::{Method, StatusCode};
use longshore_reference::Canonical;
use tokio::time::Instant;

use crate::{
    Download, Error, Kind, Upstream,
    attempt::{Rules, try_each},
    download::{Opening, Part, Parts, Span},
    endpoint::Contact,
    http::{self as transport, Failure, Response},
    request::{Ask, asks_for_body},
    wire::{fields, range},
};

impl Upstream {
    /// The size of a blob in bytes, without downloading it: by HEAD, where that is refused or gives no length by a
    /// GET of one byte. `None` when the registry has the blob but does not say.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn blob_size(&self, blob: &Canonical) -> Result<Option<u64>, Error> {
        self.admit_digest(blob)?;
        let plan = self.plan(&ask(blob, Method::HEAD, None), Some(blob.digest()));
        let size = |_, contact| self.size_at(contact, blob);
        try_each(plan, Rules::DEFAULT, size).await
    }

    async fn size_at(&self, contact: &Contact, blob: &Canonical) -> Result<Option<u64>, Failure> {
        let head = ask(blob, Method::HEAD, None);
        match self.inner.ask(contact, &head).await {
            // Some servers answer every HEAD with a length of 0.
            Ok(response) => {
                if let Some(size) = size_of(&response).filter(|&size| size > 0) {
                    return Ok(Some(size));
                }
            }
            Err(failure)
                if asks_for_body(&failure, contact.role)
                    || matches!(failure.error, Error::Denied { .. }) => {}
            Err(failure) => return Err(failure),
        }
        let first_byte = ask(blob, Method::GET, Some("bytes=0-0".to_owned()));
        let response = self.inner.ask(contact, &first_byte).await?;
        let size = size_of(&response);
        transport::drain(response, self.inner.transport.timeouts.headers).await;
        Ok(size)
    }

    /// Opens a blob at `offset` (bytes from its start). Returns once the response headers are there and right: status,
    /// no web page, and the length that `size` (the whole blob's, where it is certain) lets expect.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); [`Error::OutOfRange`] when `offset` is past `size`.
    pub async fn blob(
        &self,
        blob: &Canonical,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        self.blob_range(blob, offset, None, size).await
    }

    /// Opens the bytes from `start` to `end` (exclusive) of a blob by a range request; a cut is resumed within the range.
    /// The registry may ignore the range and send the whole ([`Download::ranges`] says so): then what precedes it is
    /// downloaded and dropped, and what follows it is not read. A range that reaches past the end of the blob ends there.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); [`Error::OutOfRange`] when `start` is past `size`.
    pub async fn blob_range(
        &self,
        blob: &Canonical,
        start: u64,
        end: Option<u64>,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        self.admit_digest(blob)?;
        let parts = Box::new(BlobParts {
            upstream: self.clone(),
            blob: blob.clone(),
            used: Vec::new(),
        });
        let at = start;
        Download::open(self, parts, Span { at, end, size }).await
    }
}

/// The parts of a blob.
#[derive(Debug)]
struct BlobParts {
    upstream: Upstream,
    blob: Canonical,
    /// The endpoints that sent bytes, the last one last.
    used: Vec<usize>,
}

impl Parts for BlobParts {
    fn open(&mut self, span: Span, resumes: u32) -> Opening<'_> {
        Box::pin(async move {
            let opened = self.ask(span, resumes).await;
            // The deadline of a call is for its headers.
            self.upstream = self.upstream.without_deadline();
            let (index, part) = opened?;
            self.used.retain(|&other| other != index);
            self.used.push(index);
            Ok(part)
        })
    }

    fn distrust(&self) {
        let (distrust, now) = (&self.upstream.inner.distrust, Instant::now());
        for &index in &self.used {
            distrust.add(index, self.blob.digest(), now);
        }
    }
}

impl BlobParts {
    /// The endpoint that served last comes first, unless it has failed twice without progress.
    async fn ask(&self, span: Span, resumes: u32) -> Result<(usize, Part), Error> {
        let ask = ask(&self.blob, Method::GET, span.header());
        let mut plan = self.upstream.plan(&ask, Some(self.blob.digest()));
        if let Some(&last) = self.used.last() {
            let is_first = resumes <= 2;
            plan.order.sort_by_key(|&index| (index == last) != is_first);
        }
        let (inner, ask) = (&self.upstream.inner, &ask);
        try_each(plan, Rules::DEFAULT, |index, contact| async move {
            let response = inner.ask(contact, ask).await?;
            let part = span.accept(contact.host(), response, false)?;
            Ok((index, part))
        })
        .await
    }
}

fn ask(blob: &Canonical, method: Method, range: Option<String>) -> Ask<'_> {
    Ask {
        kind: Kind::Blob,
        method,
        repository: blob.named().path(),
        object: format!("/blobs/{}", blob.digest()),
        query: None,
        range,
    }
}

fn size_of(response: &Response) -> Option<u64> {
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => fields::content_length(headers),
        _ => range::total(headers),
    }
}

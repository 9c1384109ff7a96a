//! Blobs of protocol v2.

use http::{Method, StatusCode};
use longshore_reference::{Canonical, Digest};

use crate::{
    Download, Error, Fault, Kind,
    ask::Ask,
    attempt::{Rules, try_each},
    calls::Calls,
    download::{Opening, Part, Parts, Span},
    endpoint::EndpointState,
    http::{self as transport, Failure, Response},
    refused::asks_for_body,
    request::Requests,
    wire::{fields, range},
};

/// The size of a blob in bytes, without downloading it; `None` when the registry has the blob but does not say.
pub(crate) async fn size(calls: &Calls, blob: &Canonical) -> Result<Option<u64>, Error> {
    let plan = calls.plan(&ask(blob, Method::HEAD, None), Some(blob.digest()));
    let size = |_, endpoint| size_at(&calls.requests, endpoint, blob);
    try_each(plan, Rules::DEFAULT, size).await
}

async fn size_at(
    requests: &Requests,
    endpoint: &EndpointState,
    blob: &Canonical,
) -> Result<Option<u64>, Failure> {
    let head = ask(blob, Method::HEAD, None);
    match requests.ask(endpoint, &head).await {
        // Some servers answer every HEAD with a length of 0.
        Ok(response) => {
            check_digest(endpoint, &response, blob)?;
            if let Some(size) = size_of(&response).filter(|&size| size > 0) {
                return Ok(Some(size));
            }
        }
        Err(failure)
            if asks_for_body(&failure, endpoint.role)
                || matches!(failure.error, Error::Denied { .. }) => {}
        Err(failure) => return Err(failure),
    }
    let first_byte = ask(blob, Method::GET, Some("bytes=0-0".to_owned()));
    let response = requests.ask(endpoint, &first_byte).await?;
    let checked = check_digest(endpoint, &response, blob);
    let size = size_of(&response);
    transport::drain(response, requests.exchange.timeouts().headers).await;
    checked.map(|()| size)
}

/// Opens a blob.
pub(crate) async fn open(calls: &Calls, blob: &Canonical, span: Span) -> Result<Download, Error> {
    let parts = Box::new(BlobParts {
        calls: calls.clone(),
        blob: blob.clone(),
        used: Vec::new(),
    });
    Download::open(&calls.requests, parts, span).await
}

/// The parts of a blob.
#[derive(Debug)]
struct BlobParts {
    calls: Calls,
    blob: Canonical,
    /// The endpoints that sent bytes, the last one last.
    used: Vec<usize>,
}

impl Parts for BlobParts {
    fn open(&mut self, span: Span, resumes: u32) -> Opening<'_> {
        Box::pin(async move {
            let opened = self.ask(span, resumes).await;
            // The deadline of a call is for its headers.
            self.calls.deadline = None;
            let (index, part) = opened?;
            self.used.retain(|&other| other != index);
            self.used.push(index);
            Ok(part)
        })
    }

    fn distrust(&self) {
        for &index in &self.used {
            self.calls.endpoints.distrust(index, self.blob.digest());
        }
    }
}

impl BlobParts {
    /// The endpoint that served last comes first, unless it has failed twice without progress.
    async fn ask(&self, span: Span, resumes: u32) -> Result<(usize, Part), Error> {
        let ask = ask(&self.blob, Method::GET, span.header());
        let mut plan = self.calls.plan(&ask, Some(self.blob.digest()));
        if let Some(&last) = self.used.last() {
            let is_first = resumes <= 2;
            plan.order.sort_by_key(|&index| (index == last) != is_first);
        }
        let (requests, ask) = (&self.calls.requests, &ask);
        try_each(plan, Rules::DEFAULT, |index, endpoint| async move {
            let response = requests.ask(endpoint, ask).await?;
            let part = span.accept(endpoint.host(), response, false)?;
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

/// Refuses an answer that names another digest: it says nothing of this blob. One of another algorithm may be the same
/// content.
fn check_digest(
    endpoint: &EndpointState,
    response: &Response,
    blob: &Canonical,
) -> Result<(), Failure> {
    let digest = blob.digest();
    let differs = |named: Digest| named != digest && named.algorithm() == digest.algorithm();
    if !fields::content_digests(response.headers()).any(differs) {
        return Ok(());
    }
    let fault = Fault::Header(fields::DOCKER_CONTENT_DIGEST);
    Err(Failure {
        error: Error::misbehaved(endpoint.host(), fault),
        own: true,
    })
}

fn size_of(response: &Response) -> Option<u64> {
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => fields::content_length(headers),
        _ => range::total(headers),
    }
}

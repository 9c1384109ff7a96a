//! Where a [`Download`](crate::Download) of a v1 layer comes from.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header::ACCEPT_RANGES};
use longshore_manifest::v1::ImageId;
use longshore_reference::{Digest, Hasher, Named};
use url::Url;

use super::{Visit, Visits, ask::Get, checksum, own, session::Session};
use crate::{
    Download, Error, Kind, Upstream,
    classify::{self, Next, TRIES_MAX},
    endpoint::Contact,
    error::Fault,
    http::{Failure, Response},
    tries,
};

/// The layer of an image. A registry that gave the first bytes gives the others too: it is not gone on elsewhere, where
/// the same id may stand for other bytes.
#[derive(Debug)]
pub(crate) struct Layer {
    named: Named,
    id: ImageId,
    /// Which endpoint gave the first bytes, and who named it.
    from: Option<(usize, Url)>,
    takes_ranges: bool,
    /// What the image's JSON says; bytes.
    pub(crate) size: Option<u64>,
    /// Has seen the image's JSON and all bytes so far.
    payload: Option<(Hasher, Digest)>,
}

impl Upstream {
    /// Opens the layer of a v1 image at `offset` (bytes from its start). Cuts are mended where the registry takes
    /// ranges and the size is known: `size` (bytes), else as the registry says. A checksum the registry states for the
    /// image is compared by a download that began at 0; Docker never did.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn v1_layer(
        &self,
        named: &Named,
        id: &ImageId,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        let layer = Layer {
            named: named.clone(),
            id: id.clone(),
            from: None,
            takes_ranges: false,
            size: None,
            payload: None,
        };
        Download::open_layer(self.clone(), layer, offset, size).await
    }
}

impl Layer {
    /// Whether bytes after the first can be asked for.
    pub(crate) fn can_resume(&self) -> bool {
        self.takes_ranges
    }

    /// The answer with the bytes from `at`, and who gave it.
    pub(crate) async fn connect(
        &mut self,
        upstream: &Upstream,
        at: u64,
    ) -> Result<(Response, Arc<str>), Error> {
        match self.from.clone() {
            Some((index, url)) => self.reconnect(upstream, index, &url, at).await,
            None => self.connect_first(upstream, at).await,
        }
    }

    async fn connect_first(
        &mut self,
        upstream: &Upstream,
        at: u64,
    ) -> Result<(Response, Arc<str>), Error> {
        let named = self.named.clone();
        if upstream
            .inner
            .endpoints(crate::lookup::Version::V1)
            .is_empty()
        {
            return Err(Error::NoEndpoints {
                reference: named.to_string().into(),
            });
        }
        let mut visits = Visits::new(upstream, &named);
        loop {
            let visit = visits.next().await?;
            match self.visit(upstream, &visit, at).await {
                Ok(response) => {
                    visits.succeeded(&visit);
                    return Ok((response, Arc::clone(visit.contact.host())));
                }
                Err(failure) => visits.failed(&visit, failure),
            }
        }
    }

    /// Asks the endpoints the index named, one after the other.
    async fn visit(
        &mut self,
        upstream: &Upstream,
        visit: &Visit<'_>,
        at: u64,
    ) -> Result<Response, Failure> {
        let mut last = None;
        for endpoint in &visit.session.endpoints {
            let mut failed = 0;
            loop {
                match self.ask_first(upstream, visit, endpoint, at).await {
                    Ok(response) => {
                        self.from = Some((visit.index, endpoint.clone()));
                        return Ok(response);
                    }
                    Err(failure) => {
                        let next = classify::next(&failure.error, visit.contact.role);
                        last = Some(failure);
                        failed += 1;
                        if next != Next::Retry || failed >= TRIES_MAX {
                            break;
                        }
                    }
                }
                tokio::time::sleep(tries::pause(failed)).await;
            }
        }
        Err(last.unwrap_or_else(|| own(Error::config("endpoints", "none"))))
    }

    async fn ask_first(
        &mut self,
        upstream: &Upstream,
        visit: &Visit<'_>,
        endpoint: &Url,
        at: u64,
    ) -> Result<Response, Failure> {
        let (contact, session) = (visit.contact, &visit.session);
        if session.facts(&self.id).is_none() {
            upstream
                .image(visit.index, session, endpoint, &self.id)
                .await?;
        }
        let facts = session.facts(&self.id);
        let response = self.ask(upstream, contact, session, endpoint, at).await?;
        self.takes_ranges = takes_ranges(response.headers());
        let Some(facts) = facts else {
            return Ok(response);
        };
        let stated = checksum(response.headers())
            .map_err(|name| own(Error::misbehaved(contact.host(), Fault::Header(name))))?;
        self.size = facts.size;
        self.payload = facts
            .checksum
            .or(stated)
            .filter(|_| at == 0)
            .map(|digest| (facts.hasher, digest));
        Ok(response)
    }

    /// Asks for the rest where the first bytes came from. Only a part is right: everything again would follow the
    /// bytes that are there already.
    async fn reconnect(
        &self,
        upstream: &Upstream,
        index: usize,
        endpoint: &Url,
        at: u64,
    ) -> Result<(Response, Arc<str>), Error> {
        let inner = &upstream.inner;
        let Some(contact) = inner.contacts.get(index) else {
            return Err(Error::config("endpoints", "none"));
        };
        let repository = self.named.path();
        let response = loop {
            let found = inner.session_v1(index, contact, repository).await;
            let (session, held) = found.map_err(|failure| failure.error)?;
            let failure = match self.ask(upstream, contact, &session, endpoint, at).await {
                Ok(response) => break response,
                Err(failure) => failure,
            };
            let ended = matches!(failure.error, Error::Denied { .. } | Error::Rejected { .. });
            if !ended || !held {
                return Err(session.blame(failure).error);
            }
            inner.sessions.forget(index, repository, &session);
        };
        if at > 0 && response.status() == StatusCode::OK {
            let fault = Fault::Header("content-range");
            return Err(Error::misbehaved(contact.host(), fault));
        }
        Ok((response, Arc::clone(contact.host())))
    }

    async fn ask(
        &self,
        upstream: &Upstream,
        contact: &Contact,
        session: &Session,
        endpoint: &Url,
        at: u64,
    ) -> Result<Response, Failure> {
        let path = format!("images/{}/layer", self.id);
        let mut get = Get::new(endpoint, &path, Kind::Blob);
        get.from = (at > 0).then_some(at);
        upstream.inner.ask_v1(contact, session, &get).await
    }

    /// Bytes were handed out.
    pub(crate) fn watch(&mut self, bytes: &[u8]) {
        if let Some((hasher, _)) = &mut self.payload {
            hasher.update(bytes);
        }
    }

    /// Whether all bytes together are what the registry said they are, as far as it said so.
    pub(crate) fn is_right(&mut self) -> bool {
        match self.payload.take() {
            Some((hasher, digest)) => hasher.finish() == digest,
            None => true,
        }
    }
}

fn takes_ranges(headers: &HeaderMap) -> bool {
    let value = headers.get(ACCEPT_RANGES);
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"bytes"))
}

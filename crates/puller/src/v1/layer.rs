//! Where a [`Download`](crate::Download) of a v1 layer comes from.

use http::{HeaderMap, StatusCode, header::ACCEPT_RANGES};
use longshore_manifest::v1::ImageId;
use longshore_reference::{Digest, Hasher, Named};
use url::Url;

use super::{RENEWALS_MAX, Visit, ask::Get, checksum, own, session::Session};
use crate::{
    Download, Error, Kind, Upstream,
    attempt::{Rules, retry},
    download::{Opening, Part, Parts, Span},
    endpoint::Contact,
    error::Fault,
    http::{Failure, Response},
    limit::RateClass,
    lookup::Version,
};

/// The layer of an image. A registry that gave the first bytes gives the others too: it is not resumed elsewhere, where
/// the same id may stand for other bytes.
#[derive(Debug)]
struct Layer {
    upstream: Upstream,
    named: Named,
    id: ImageId,
    /// Who gave the first bytes.
    from: Option<From>,
    /// Has seen the image's JSON and all bytes so far.
    payload: Option<(Hasher, Digest)>,
}

/// Where the first bytes of a layer came from.
#[derive(Debug, Clone)]
struct From {
    index: usize,
    /// The endpoint that the index named.
    endpoint: Url,
    takes_ranges: bool,
    /// What the image's JSON says; bytes.
    size: Option<u64>,
}

/// The first answer.
struct First {
    from: From,
    part: Part,
    payload: Option<(Hasher, Digest)>,
}

impl Upstream {
    /// Opens the layer of a v1 image at `offset` (bytes from its start). Cuts are resumed where the registry takes
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
        self.admit_name(named)?;
        let layer = Layer {
            upstream: self.clone(),
            named: named.clone(),
            id: id.clone(),
            from: None,
            payload: None,
        };
        let span = Span {
            at: offset,
            end: None,
            size,
        };
        Download::open(self, Box::new(layer), span).await
    }
}

impl Parts for Layer {
    fn open(&mut self, span: Span, _resumes: u32) -> Opening<'_> {
        Box::pin(async move {
            let mut part = match &self.from {
                Some(from) => self.reopen(from, span).await?,
                None => {
                    let opened = self.open_first(span).await;
                    // The deadline of a call is for its headers.
                    self.upstream = self.upstream.without_deadline();
                    let First {
                        from,
                        part,
                        payload,
                    } = opened?;
                    (self.from, self.payload) = (Some(from), payload);
                    part
                }
            };
            let stated = self.from.as_ref().and_then(|from| from.size);
            // The length of the answer is surer.
            part.size = part.size.or(stated);
            Ok(part)
        })
    }

    /// Whether bytes after the first can be asked for.
    fn can_resume(&self, span: Span) -> bool {
        let takes_ranges = self.from.as_ref().is_some_and(|from| from.takes_ranges);
        span.at == 0 || (takes_ranges && span.size.is_some())
    }

    fn watch(&mut self, bytes: &[u8]) {
        if let Some((hasher, _)) = &mut self.payload {
            hasher.update(bytes);
        }
    }

    fn is_right(&mut self) -> bool {
        match self.payload.take() {
            Some((hasher, digest)) => hasher.finish() == digest,
            None => true,
        }
    }
}

impl Layer {
    async fn open_first(&self, span: Span) -> Result<First, Error> {
        let upstream = &self.upstream;
        if upstream.inner.endpoints(Version::V1).is_empty() {
            return Err(Error::NoEndpoints {
                reference: self.named.to_string().into(),
            });
        }
        let ask = |visit| async move { self.visit(&visit, span).await };
        upstream
            .visit_each(&self.named, RateClass::Blob, self.id.as_str(), ask)
            .await
    }

    /// Asks the endpoints the index named, one after the other.
    async fn visit(&self, visit: &Visit<'_>, span: Span) -> Result<First, Failure> {
        let mut last = None;
        for endpoint in &visit.session.endpoints {
            let once = || self.ask_first(visit, endpoint, span);
            match retry(Rules::DEFAULT, visit.contact.role, once, || true).await {
                Ok(first) => return Ok(first),
                Err((failure, _)) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| {
            own(Error::NoEndpoints {
                reference: self.named.to_string().into(),
            })
        }))
    }

    async fn ask_first(
        &self,
        visit: &Visit<'_>,
        endpoint: &Url,
        span: Span,
    ) -> Result<First, Failure> {
        let (contact, session) = (visit.contact, &visit.session);
        if session.facts(&self.id).is_none() {
            self.upstream
                .image(visit.index, session, endpoint, &self.id)
                .await?;
        }
        let facts = session.facts(&self.id);
        let response = self.ask(contact, session, endpoint, span.at).await?;
        let stated = checksum(response.headers())
            .map_err(|name| own(Error::misbehaved(contact.host(), Fault::Header(name))))?;
        let from = From {
            index: visit.index,
            endpoint: endpoint.clone(),
            takes_ranges: takes_ranges(response.headers()),
            size: facts.as_ref().and_then(|facts| facts.size),
        };
        let payload = facts.filter(|_| span.at == 0).and_then(|facts| {
            let digest = facts.checksum.or(stated)?;
            Some((facts.hasher, digest))
        });
        let part = span.accept(contact.host(), response, true)?;
        Ok(First {
            from,
            part,
            payload,
        })
    }

    /// Asks for the rest where the first bytes came from. Only a part is right: everything again would follow the
    /// bytes that are there already.
    async fn reopen(&self, from: &From, span: Span) -> Result<Part, Error> {
        let inner = &self.upstream.inner;
        let Some(contact) = inner.contacts.get(from.index) else {
            return Err(Error::NoEndpoints {
                reference: self.named.to_string().into(),
            });
        };
        let repository = self.named.path();
        let mut renewed = 0;
        let response = loop {
            let found = inner.session_v1(from.index, contact, repository).await;
            let (session, held) = found.map_err(|failure| failure.error)?;
            let asked = self.ask(contact, &session, &from.endpoint, span.at);
            let failure = match asked.await {
                Ok(response) => break response,
                Err(failure) => failure,
            };
            let ended = matches!(failure.error, Error::Denied { .. } | Error::Rejected { .. });
            if !ended || !held || renewed >= RENEWALS_MAX {
                return Err(session.blame(failure).error);
            }
            renewed += 1;
            inner.sessions.forget(from.index, repository, &session);
        };
        if span.at > 0 && response.status() == StatusCode::OK {
            let fault = Fault::Header("content-range");
            return Err(Error::misbehaved(contact.host(), fault));
        }
        let part = span.accept(contact.host(), response, true);
        part.map_err(|failure| failure.error)
    }

    async fn ask(
        &self,
        contact: &Contact,
        session: &Session,
        endpoint: &Url,
        at: u64,
    ) -> Result<Response, Failure> {
        let path = format!("images/{}/layer", self.id);
        let mut get = Get::new(endpoint, &path, Kind::Blob);
        get.from = (at > 0).then_some(at);
        self.upstream.inner.ask_v1(contact, session, &get).await
    }
}

fn takes_ranges(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_RANGES).iter();
    let mut values = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    values.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"bytes"))
}

//! Where a [`Download`](crate::Download) of a v1 layer comes from.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header::ACCEPT_RANGES};
use longshore_manifest::v1::ImageId;
use longshore_reference::{Digest, Hasher, Named};
use url::Url;

use super::{
    ask::{Get, Index},
    image::{checksum, image, own},
    session::Session,
    sessions::Sessions,
    visit::{RENEWALS_MAX, Visit, visit_each},
};
use crate::{
    Download, Error, Kind,
    attempt::{Rules, retry},
    calls::Calls,
    download::{Opening, Part, Parts, Span},
    error::Fault,
    http::{Failure, Response},
    limit::RateClass,
    lookup::Version,
};

/// The layer of an image. A registry that gave the first bytes gives the others too: it is not resumed elsewhere, where
/// the same id may stand for other bytes.
#[derive(Debug)]
struct Layer {
    calls: Calls,
    sessions: Arc<Sessions>,
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
    position: usize,
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

/// Opens the layer of an image.
pub(crate) async fn open(
    calls: &Calls,
    sessions: &Arc<Sessions>,
    named: &Named,
    id: &ImageId,
    span: Span,
) -> Result<Download, Error> {
    let layer = Layer {
        calls: calls.clone(),
        sessions: Arc::clone(sessions),
        named: named.clone(),
        id: id.clone(),
        from: None,
        payload: None,
    };
    Download::open(&calls.requests, Box::new(layer), span).await
}

impl Parts for Layer {
    fn open(&mut self, span: Span, _resumes: u32) -> Opening<'_> {
        Box::pin(async move {
            let mut part = match &self.from {
                Some(from) => self.reopen(from, span).await?,
                None => {
                    let opened = self.open_first(span).await;
                    // The deadline of a call is for its headers.
                    self.calls.deadline = None;
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
        if !self.calls.endpoints.has(Version::V1) {
            return Err(Error::NoEndpoints {
                reference: self.named.to_string().into(),
            });
        }
        let ask = |visit| async move { self.visit(&visit, span).await };
        let what = (RateClass::Blob, self.id.as_str());
        visit_each(&self.calls, &self.sessions, &self.named, what, ask).await
    }

    /// Asks the endpoints the index named, one after the other.
    async fn visit(&self, visit: &Visit<'_>, span: Span) -> Result<First, Failure> {
        let mut last = None;
        for endpoint in &visit.session.endpoints {
            let once = || self.ask_first(visit, endpoint, span);
            match retry(Rules::DEFAULT, visit.index.endpoint.role, once, || true).await {
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
        let (index, session) = (visit.index, &visit.session);
        let host = index.endpoint.host();
        if session.facts(&self.id).is_none() {
            image(&self.calls, visit.position, session, endpoint, &self.id).await?;
        }
        let facts = session.facts(&self.id);
        let response = self.ask(index, session, endpoint, span.at).await?;
        let stated = checksum(response.headers())
            .map_err(|name| own(Error::misbehaved(host, Fault::Header(name))))?;
        let from = From {
            position: visit.position,
            endpoint: endpoint.clone(),
            takes_ranges: takes_ranges(response.headers()),
            size: facts.as_ref().and_then(|facts| facts.size),
        };
        let payload = facts.filter(|_| span.at == 0).and_then(|facts| {
            let digest = facts.checksum.or(stated)?;
            Some((facts.hasher, digest))
        });
        let part = span.accept(host, response, true)?;
        Ok(First {
            from,
            part,
            payload,
        })
    }

    /// Asks for the rest where the first bytes came from. Only a part is right: everything again would follow the
    /// bytes that are there already.
    async fn reopen(&self, from: &From, span: Span) -> Result<Part, Error> {
        let calls = &self.calls;
        let Some(endpoint) = calls.endpoints.get(from.position) else {
            return Err(Error::NoEndpoints {
                reference: self.named.to_string().into(),
            });
        };
        let index = Index {
            requests: &calls.requests,
            endpoint,
        };
        let repository = self.named.path();
        let mut renewed = 0;
        let response = loop {
            let found = self.sessions.obtain(index, from.position, repository).await;
            let obtained = found.map_err(|failure| failure.error)?;
            let session = &obtained.session;
            let failure = match self.ask(index, session, &from.endpoint, span.at).await {
                Ok(response) => break response,
                Err(failure) => failure,
            };
            let ended = matches!(failure.error, Error::Denied { .. } | Error::Rejected { .. });
            if !ended || !obtained.held || renewed >= RENEWALS_MAX {
                return Err(session.blame(failure).error);
            }
            renewed += 1;
            self.sessions.forget(&obtained);
        };
        if span.at > 0 && response.status() == StatusCode::OK {
            let fault = Fault::Header("content-range");
            return Err(Error::misbehaved(endpoint.host(), fault));
        }
        let part = span.accept(endpoint.host(), response, true);
        part.map_err(|failure| failure.error)
    }

    async fn ask(
        &self,
        index: Index<'_>,
        session: &Session,
        endpoint: &Url,
        at: u64,
    ) -> Result<Response, Failure> {
        let path = format!("images/{}/layer", self.id);
        let mut get = Get::new(endpoint, &path, Kind::Blob);
        get.from = (at > 0).then_some(at);
        index.ask(session, &get).await
    }
}

fn takes_ranges(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_RANGES).iter();
    let mut values = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    values.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"bytes"))
}

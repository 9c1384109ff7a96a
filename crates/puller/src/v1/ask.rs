//! One request of protocol v1, and what a refusal means.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, RANGE},
};
use tokio::time::Instant;
use url::Url;

use super::session::Session;
use crate::{
    Error, Event, Kind,
    attempt::{Rules, retry},
    auth::authorizer::without_echo,
    classify::{self, Meaning, Next},
    endpoint::EndpointState,
    error::{Fault, Reason},
    http::{self as transport, Failure, Followed, Request, Response},
    limit::RateClass,
    lookup::Version,
    refused::{Refused, admit, check},
    request::Requests,
    wire::retry_after,
};

/// What to ask for.
#[derive(Debug, Clone)]
pub(crate) struct Get {
    pub(crate) kind: Kind,
    pub(crate) url: Url,
    /// Asks the index for a token.
    pub(crate) wants_token: bool,
    /// The first byte, if it is not the first of all.
    pub(crate) from: Option<u64>,
}

/// The index that is asked, or that named who is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index<'a> {
    pub(crate) requests: &'a Requests,
    pub(crate) endpoint: &'a EndpointState,
}

impl Get {
    /// `path` below an endpoint's URL.
    pub(crate) fn new(endpoint: &Url, path: &str, kind: Kind) -> Self {
        let mut url = endpoint.clone();
        url.set_path(&format!("{}{path}", endpoint.path()));
        Self {
            kind,
            url,
            wants_token: false,
            from: None,
        }
    }

    fn request(&self, authorization: Option<HeaderValue>) -> Request<'_> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if self.wants_token {
            headers.insert("x-docker-token", HeaderValue::from_static("true"));
        }
        if let Some(from) = self.from
            && let Ok(range) = HeaderValue::try_from(format!("bytes={from}-"))
        {
            headers.insert(RANGE, range);
        }
        Request {
            authorization,
            within: Some(Version::V1.segment()),
            ..Request::new(Method::GET, self.url.clone(), headers)
        }
    }
}

impl Index<'_> {
    /// Asks the index, or an endpoint it named, which then may not lead inside unless the index is there itself. The
    /// answer is a 200 (with a range also 206 or 416) that is no web page.
    pub(crate) async fn ask(&self, session: &Session, get: &Get) -> Result<Response, Failure> {
        let Self { requests, endpoint } = *self;
        let realms = &requests.authority.realms;
        let sent = session.authorization(&get.url, get.wants_token, realms);
        let mut request = get.request(sent.clone());
        request.cookies = Some(session.cookies());
        let limit = (RateClass::of(get.kind), session.credential());
        admit(endpoint, limit, Instant::now())?;
        let asked = Instant::now();
        let exchange = &requests.exchange;
        let followed = exchange.send(endpoint.origin(), get.kind, request).await?;
        let Followed { response, url } = followed;
        if transport::same_origin(&url, &get.url) {
            session.learn(response.headers());
        }
        let own = endpoint.is_own(&url);
        let status = response.status();
        if own && (status.is_success() || status == StatusCode::NOT_FOUND) {
            endpoint.limits.answered(limit, Instant::now());
        }
        let partial = [
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
        ];
        if status == StatusCode::OK || (get.from.is_some() && partial.contains(&status)) {
            let checked = check(endpoint.host(), response);
            return checked.map_err(|error| Failure { error, own });
        }
        let refused = Refused::read(response, own, exchange).await;
        if own && is_limited(&refused) {
            let wait = retry_after::stated_wait(&refused.headers, SystemTime::now());
            let limits = &endpoint.limits;
            limits.limited(limit, wait, asked, Instant::now());
        }
        Err(Failure {
            error: refusal(endpoint, &refused, sent.as_ref()),
            own,
        })
    }

    /// A whole document of at most `limit` bytes. What may pass is tried again.
    pub(crate) async fn document(
        &self,
        session: &Session,
        get: &Get,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), Failure> {
        self.document_by(Rules::DEFAULT, session, get, limit).await
    }

    /// The JSON of an image.
    pub(crate) async fn image(
        &self,
        session: &Session,
        get: &Get,
    ) -> Result<(HeaderMap, Bytes), Failure> {
        self.document_by(IMAGE_RULES, session, get, IMAGE_BYTES_MAX)
            .await
    }

    async fn document_by(
        &self,
        rules: Rules,
        session: &Session,
        get: &Get,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), Failure> {
        let once = || self.document_once(session, get, limit);
        let result = retry(rules, self.endpoint.role, once, || true).await;
        result.map_err(|(failure, _)| failure)
    }

    /// The answer to a ping, whatever it is; too much of it is as good as nothing.
    pub(super) async fn any(&self, get: &Get) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
        let Self { requests, endpoint } = *self;
        let cookies = Mutex::default();
        let mut request = get.request(None);
        request.cookies = Some(&cookies);
        let sent = requests.exchange.send(endpoint.origin(), get.kind, request);
        let response = sent.await?.response;
        let (status, headers) = (response.status(), response.headers().clone());
        let patience = requests.exchange.timeouts().headers;
        let body = transport::body(response, endpoint.host(), patience, PING_BYTES_MAX);
        Ok((status, headers, body.await.unwrap_or_default()))
    }

    pub(super) async fn document_once(
        &self,
        session: &Session,
        get: &Get,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), Failure> {
        let Self { requests, endpoint } = *self;
        let response = self.ask(session, get).await?;
        if !get.wants_token {
            session.take();
        }
        let headers = response.headers().clone();
        let idle = requests.exchange.timeouts().idle;
        let own = endpoint.is_own(&get.url);
        let body = transport::body(response, endpoint.host(), idle, limit);
        let body = body.await.map_err(|error| Failure { error, own })?;
        requests.exchange.observe(Event::Bytes(body.len() as u64));
        Ok((headers, body))
    }
}

fn is_limited(refused: &Refused) -> bool {
    classify::meaning_v1(refused.status, &refused.reply) == Meaning::Limited
}

fn is_basic(authorization: &HeaderValue) -> bool {
    authorization.as_bytes().starts_with(b"Basic ")
}

fn refusal(endpoint: &EndpointState, refused: &Refused, sent: Option<&HeaderValue>) -> Error {
    let Refused {
        status,
        headers,
        reply,
        ..
    } = refused;
    let host = endpoint.host();
    match classify::meaning_v1(*status, reply) {
        Meaning::NotFound { authoritative } => Error::NotFound {
            endpoint: Arc::clone(host),
            // Anything says JSON of some kind; what counts is said by a registry.
            authoritative: authoritative && endpoint.speaks_v1(),
        },
        // The password itself was not accepted: our own failure, not that of who asks.
        Meaning::Denied if *status == StatusCode::UNAUTHORIZED && sent.is_some_and(is_basic) => {
            Error::Rejected {
                endpoint: Arc::clone(host),
                source: None,
            }
        }
        Meaning::Denied => Error::Denied {
            endpoint: Arc::clone(host),
            detail: reply
                .detail()
                .map(|detail| without_echo(detail.to_string(), sent).into()),
            unauthorized: *status == StatusCode::UNAUTHORIZED,
        },
        Meaning::Limited => Error::Limited {
            endpoint: Arc::clone(host),
            retry_after: retry_after::stated_wait(headers, SystemTime::now()),
        },
        Meaning::Unreachable => Error::Unreachable {
            endpoint: Arc::clone(host),
            reason: Reason::Status(status.as_u16()),
            source: None,
        },
        Meaning::Misbehaved => Error::misbehaved(host, Fault::Status(status.as_u16())),
    }
}

/// The largest JSON of one image that is taken; bytes.
const IMAGE_BYTES_MAX: u64 = 1 << 20;
const PING_BYTES_MAX: u64 = 64 << 10;
/// The JSON of an image is tried more often, and with longer pauses.
const IMAGE_RULES: Rules = Rules {
    tries: 5,
    next: |error, _| match classify::asks_image_again(error) {
        true => Next::Retry,
        false => Next::Endpoint,
    },
    pause: |failed| Duration::from_millis(500) * failed,
};

//! The whole program in one place: what a request asks for, and who answers it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use longshore_reference::{Digest, Named};
use longshore_store::{self as store, Outcome, Store};

use crate::access::{Access, Verdict};
use crate::account::Account;
use crate::body::Body;
use crate::config::RateLimitStatus;
use crate::convert::Converter;
use crate::error::{Error, told};
use crate::metrics::Metrics;
use crate::names::{Names, UpstreamId};
use crate::range::content_range_unsatisfied;
use crate::readiness::Readiness;
use crate::route::{self, At, Route};
use crate::upstreams::{Upstream, Upstreams};

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) names: Names,
    pub(crate) upstreams: Upstreams,
    /// Of each upstream, by its id.
    pub(crate) converters: Vec<Arc<Converter>>,
    /// Who may pull; absent: everyone.
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    /// Health and metrics have a listener of their own.
    pub(crate) admin_elsewhere: bool,
}

/// What every answer about content needs to know of its request.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The path as the client wrote it.
    pub(crate) path: &'a str,
    pub(crate) head: bool,
    pub(crate) at: At,
    pub(crate) account: Account,
}

/// `Docker-Content-Digest`.
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Distribution-Api-Version`.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// What a request came to.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// The registry that `ns` named.
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

impl Proxy {
    /// Answers a client. The request's body is not read: nothing here takes one.
    pub async fn respond<B>(&self, request: Request<B>, client: SocketAddr) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let account = || Account::open(&self.0.metrics, &parts.method, &parts.uri, Some(client));
        let route = match Route::parse(&parts.method, &parts.uri, host, &self.0.names) {
            Ok(route) => route,
            Err(refusal) => return self.refuse(account(), refusal),
        };
        if let Some(access) = &self.0.access
            && let Some(refused) = refuse_access(access, &parts.headers, &route).await
        {
            let mut response = self.refuse_with(account(), &refused);
            if let Error::Unauthenticated = refused {
                insert(response.headers_mut(), WWW_AUTHENTICATE, access.challenge());
            }
            return response;
        }
        let (head, headers, path) = (
            parts.method == Method::HEAD,
            &parts.headers,
            parts.uri.path(),
        );
        let ask = |at: At, named: &Named| Asked {
            headers,
            path,
            head,
            account: account().about(at.upstream, named),
            at,
        };
        match route {
            Route::Version => version(account()),
            Route::Manifest { at, reference } => {
                self.manifest(ask(at, reference.named()), reference).await
            }
            Route::Blob { at, canonical } => self.blob(ask(at, canonical.named()), canonical).await,
            Route::Tags { at, named, query } => {
                self.tags(ask(at, &named), &named, query.as_deref()).await
            }
            Route::Referrers {
                at,
                canonical,
                query,
            } => {
                self.referrers(ask(at, canonical.named()), &canonical, query.as_deref())
                    .await
            }
            Route::Health | Route::Ready | Route::Metrics if self.0.admin_elsewhere => {
                self.refuse(account(), route::Refusal::Path)
            }
            Route::Health | Route::Ready | Route::Metrics => self.admin(&route),
        }
    }

    /// Answers on the listener for health and metrics alone.
    pub async fn respond_admin<B>(&self, request: Request<B>) -> Response<Body> {
        match Route::parse(request.method(), request.uri(), None, &self.0.names) {
            Ok(route @ (Route::Health | Route::Ready | Route::Metrics)) => self.admin(&route),
            _ => plain(
                StatusCode::NOT_FOUND,
                "here are /healthz, /readyz and /metrics\n",
            ),
        }
    }

    fn admin(&self, route: &Route) -> Response<Body> {
        match route {
            Route::Metrics => {
                let (content_type, text) = self.0.metrics.render(self.0.store.usage());
                let mut response = Response::new(Body::full(text.into()));
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            Route::Ready if !self.0.readiness.is_ready() => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            _ => plain(StatusCode::OK, "ok\n"),
        }
    }

    /// The store's request for content of an upstream.
    pub(crate) fn request<T>(&self, id: UpstreamId, target: T) -> Result<store::Request<T>, Error> {
        let policy = Arc::clone(self.0.upstreams.of(id)?.policy());
        let remote = Arc::clone(self.converter(id)?);
        Ok(store::Request::new(target, policy, remote))
    }

    /// What converts the legacy images of an upstream.
    pub(crate) fn converter(&self, id: UpstreamId) -> Result<&Arc<Converter>, Error> {
        let converter = self.0.converters.get(id.index());
        converter.ok_or(Error::Refused(route::Refusal::Upstream))
    }

    fn refuse_with(&self, account: Account, error: &Error) -> Response<Body> {
        failure(account, None, error, RateLimitStatus::ServiceUnavailable)
    }

    fn refuse(&self, account: Account, refusal: route::Refusal) -> Response<Body> {
        let mut response = self.refuse_with(account, &refusal.into());
        if refusal == route::Refusal::Method {
            response.headers_mut().insert(ALLOW, route::ALLOW);
        }
        response
    }

    /// Tells a client what went wrong; HEAD gets no body, which hyper sees to.
    pub(crate) fn fail(&self, asked: Asked<'_>, error: &Error) -> Response<Body> {
        let upstream = self.0.upstreams.of(asked.at.upstream);
        let limited = upstream.map_or(
            RateLimitStatus::ServiceUnavailable,
            Upstream::rate_limit_status,
        );
        failure(asked.account, asked.at.ns, error, limited)
    }
}

/// Why a request may not be answered, if so. Health and metrics are open to everyone.
async fn refuse_access(access: &Access, headers: &HeaderMap, route: &Route) -> Option<Error> {
    if let Route::Health | Route::Ready | Route::Metrics = route {
        return None;
    }
    match access.check(headers, route.named()).await {
        Verdict::Allowed => None,
        Verdict::Unauthenticated => Some(Error::Unauthenticated),
        Verdict::Denied => Some(Error::NotAllowed),
    }
}

/// `GET /v2/`: never depends on an upstream.
fn version(account: Account) -> Response<Body> {
    let mut response = json(StatusCode::OK, "{}".to_owned());
    close_account(&mut response, account, None, Some(Outcome::Hit));
    response
}

fn failure(
    account: Account,
    ns: Option<HeaderValue>,
    error: &Error,
    limited: RateLimitStatus,
) -> Response<Body> {
    let told = told(error, account.kind(), limited);
    let detail = serde_json::json!({"errors": [{"code": told.code, "message": told.sentence}]});
    let mut response = json(told.status, detail.to_string());
    let headers = response.headers_mut();
    if let Some(secs) = told.retry_after_secs {
        headers.insert(RETRY_AFTER, secs.into());
    }
    if let Error::Unsatisfiable { size } = error {
        insert(headers, CONTENT_RANGE, content_range_unsatisfied(*size));
    }
    account.refused(error, told.status);
    close_account(&mut response, account, ns, None);
    response
}

/// An answer about content: the headers that all of them have.
pub(crate) fn content(
    asked: Asked<'_>,
    status: StatusCode,
    content_type: HeaderValue,
    digest: &Digest,
    outcome: Outcome,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    // Both values are pieces of one text.
    let tag = Bytes::from(etag(digest));
    insert(headers, DIGEST, tag.slice(1..tag.len() - 1));
    insert(headers, ETAG, tag);
    close_account(&mut response, asked.account, asked.at.ns, Some(outcome));
    response
}

/// Says of a blob that parts of it can be had.
pub(crate) fn ranged(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Says how long a body is that is not sent, or is.
pub(crate) fn sized(response: &mut Response<Body>, len: u64) {
    response.headers_mut().insert(CONTENT_LENGTH, len.into());
}

/// The tag of content: its digest in quotes.
pub(crate) fn etag(digest: &Digest) -> String {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    ["\"", algorithm, ":", &hex, "\""].concat()
}

/// Inserts a value that is known to be one; anything else is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, value: impl Into<Bytes>) {
    if let Ok(value) = HeaderValue::from_maybe_shared(value.into()) {
        headers.insert(name, value);
    }
}

/// Names the registry that `ns` named and the outcome (`None`: an error), and hands the account to the body, which
/// closes it.
pub(crate) fn close_account(
    response: &mut Response<Body>,
    mut account: Account,
    ns: Option<HeaderValue>,
    outcome: Option<Outcome>,
) {
    account.answered(response.status(), outcome);
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(
        X_CACHE,
        HeaderValue::from_static(account.outcome().as_str()),
    );
    if let Some(ns) = ns {
        headers.insert(NAMESPACE, ns);
    }
    let body = std::mem::replace(response.body_mut(), Body::empty());
    *response.body_mut() = body.counted(account);
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}

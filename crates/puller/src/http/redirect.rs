//! A request and its redirects: where they may lead, and who may see `Authorization` and cookies.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, COOKIE, LOCATION},
};
use tokio::time::timeout;
use url::Url;

use super::{
    body::{self, Response},
    client::{Client, Message, SendError},
    cookies::Cookies,
    dial::DialError,
    origin::{Origin, same_origin},
};
use crate::{
    Error,
    error::{Fault, Phase, Reason},
    sync::lock,
};

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Goes to the origin of `url` only.
    pub(crate) authorization: Option<HeaderValue>,
    /// A part of the path that a redirect must keep to keep `Authorization`: others lead to a storage service.
    pub(crate) within: Option<&'static str>,
    /// A form, sent to the origin of `url` only.
    pub(crate) form: Option<Bytes>,
    /// Sent along, and taken from every response on the way.
    pub(crate) cookies: Option<&'a Mutex<Cookies>>,
}

/// The response at the end of the redirects.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) response: Response,
    /// Who answered.
    pub(crate) url: Url,
}

/// An error and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The endpoint's own host failed, not one it pointed to: counts for its circuit breaker.
    pub(crate) own: bool,
}

impl Request<'_> {
    /// Without authorization, form and cookies.
    pub(crate) fn new(method: Method, url: Url, headers: HeaderMap) -> Self {
        Self {
            method,
            url,
            headers,
            authorization: None,
            within: None,
            form: None,
            cookies: None,
        }
    }
}

impl Client {
    /// Sends `request` on behalf of `origin` and follows redirects, at most [`REDIRECTS_MAX`]. `Authorization` and a form
    /// stay at the origin of the request's URL; what `origin` may not point to is refused.
    pub(crate) async fn follow(
        &self,
        origin: &Origin,
        request: Request<'_>,
    ) -> Result<Followed, Failure> {
        let first = request.url.clone();
        let Request {
            method,
            mut url,
            headers,
            mut authorization,
            within,
            form,
            cookies,
        } = request;
        for _ in 0..=REDIRECTS_MAX {
            let own = origin.is_own(&url);
            let failed = |error| Failure { error, own };
            let mut sent = headers.clone();
            if own {
                sent.extend(self.meta.clone());
            }
            if let Some(value) = &authorization {
                sent.insert(AUTHORIZATION, value.clone());
            }
            if let Some(cookie) = cookies.and_then(|cookies| lock(cookies).header(&url)) {
                sent.insert(COOKIE, cookie);
            }
            let message = Message {
                method: &method,
                url: &url,
                headers: sent,
                body: form.as_ref(),
            };
            let access = match own {
                true => &origin.trust.endpoint,
                false => &origin.trust.pointed,
            };
            let response = match timeout(self.timeouts.headers, self.send(&message, access)).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(failure(origin, &url, error, own)),
                Err(_) => return Err(failed(Error::timed_out(&origin.host, Phase::Headers))),
            };
            if let Some(cookies) = cookies {
                lock(cookies).keep(&url, response.headers());
            }
            if !is_redirect(response.status()) {
                return Ok(Followed { response, url });
            }
            let wrong = || failed(Error::misbehaved(&origin.host, Fault::Redirect));
            let next = redirect(&url, response.headers()).ok_or_else(wrong)?;
            let stays = same_origin(&next, &first);
            if !stays || within.is_some_and(|part| !next.path().contains(part)) {
                authorization = None;
            }
            // A form holds credentials: nobody else gets it, and it is not asked for without.
            if form.is_some() && !(stays && keeps_method(response.status())) {
                return Err(wrong());
            }
            body::drain(response, self.timeouts.headers).await;
            url = next;
        }
        Err(Failure {
            error: Error::misbehaved(&origin.host, Fault::Redirect),
            own: false,
        })
    }
}

/// Where a redirect leads, if it may be followed at all: never from TLS to plain, never with credentials in it.
fn redirect(from: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let mut to = from.join(location).ok()?;
    if !matches!(
        (from.scheme(), to.scheme()),
        ("https", "https") | ("http", "http" | "https")
    ) {
        return None;
    }
    to.host_str().filter(|host| !host.is_empty())?;
    if !to.username().is_empty() || to.password().is_some() {
        return None;
    }
    to.set_fragment(None);
    Some(to)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn keeps_method(status: StatusCode) -> bool {
    matches!(status.as_u16(), 307 | 308)
}

/// What a request that got no response means.
fn failure(origin: &Origin, url: &Url, error: SendError, own: bool) -> Failure {
    let endpoint = Arc::clone(&origin.host);
    let unreachable = |reason, error| Error::Unreachable {
        endpoint: Arc::clone(&origin.host),
        reason,
        source: Some(Arc::new(error)),
    };
    let error = match error {
        SendError::Dial(DialError::Private) => {
            tracing::warn!(
                endpoint = %origin.host, host = url.host_str(),
                "led to a private address; private_addresses of the upstream can allow it"
            );
            Error::Misbehaved {
                endpoint,
                fault: Fault::PrivateAddress,
            }
        }
        SendError::Url => Error::Misbehaved {
            endpoint,
            fault: Fault::Redirect,
        },
        SendError::Dial(DialError::TimedOut) => Error::timed_out(&endpoint, Phase::Connect),
        error @ SendError::Dial(DialError::Tls(_) | DialError::NoCertificates) => {
            unreachable(Reason::Tls, error)
        }
        error @ SendError::Dial(_) => unreachable(Reason::Connect, error),
        error @ SendError::Lost(_) => unreachable(Reason::Lost, error),
    };
    Failure { error, own }
}

/// As many as other clients follow.
const REDIRECTS_MAX: usize = 10;

#[cfg(test)]
mod tests;

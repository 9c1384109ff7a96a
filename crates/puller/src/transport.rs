//! One request and its redirects: addresses, deadlines, and who may see `Authorization`.

mod client;

use std::{error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, COOKIE, LOCATION},
};
use reqwest::{Client, Response};
use tokio::time::timeout;
use url::Url;

use crate::{
    Config, Endpoint, Error, Timeouts, address,
    endpoint::Contact,
    error::{Fault, Phase, Reason},
    wire::fields::content_length,
};

/// The connections of one upstream.
pub(crate) struct Transport {
    /// For the endpoints themselves, and for whatever an endpoint inside points to.
    open: Client,
    /// For whatever an endpoint outside points to: does not resolve names to addresses inside.
    guarded: Client,
    /// For insecure endpoints themselves: takes any certificate. Only where an endpoint has no scheme.
    unverified: Option<Client>,
    meta: HeaderMap,
    pub(crate) timeouts: Timeouts,
}

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Goes to the origin of `url` only.
    pub(crate) authorization: Option<HeaderValue>,
}

/// The answer at the end of the redirects.
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

impl Transport {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            open: client::open(config)?,
            guarded: client::guarded(config)?,
            unverified: match config.endpoints.iter().any(Endpoint::is_bare) {
                true => Some(client::unverified(config)?),
                false => None,
            },
            meta: client::meta(config)?,
            timeouts: config.timeouts,
        })
    }

    /// Sends `request` and follows redirects, at most [`REDIRECTS_MAX`]. `Authorization` and cookies stay at the
    /// origin of the request's URL and on paths of the registry; what the endpoint may not point to is refused.
    pub(crate) async fn follow(
        &self,
        contact: &Contact,
        request: Request,
    ) -> Result<Followed, Failure> {
        let first = request.url.clone();
        let (mut url, mut authorization) = (request.url, request.authorization);
        let mut headers = request.headers;
        for _ in 0..=REDIRECTS_MAX {
            let own = contact.is_own(&url);
            let client = self
                .client_for(contact, &url)
                .await
                .map_err(|error| Failure { error, own: false })?;
            let mut builder = client
                .request(request.method.clone(), url.clone())
                .headers(headers.clone());
            if own {
                builder = builder.headers(self.meta.clone());
            }
            if let Some(value) = &authorization {
                builder = builder.header(AUTHORIZATION, value.clone());
            }
            let response = match timeout(self.timeouts.headers, builder.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    return Err(Failure {
                        error: from_reqwest(contact.host(), error),
                        own,
                    });
                }
                Err(_) => {
                    return Err(Failure {
                        error: timed_out(contact.host(), Phase::Headers),
                        own,
                    });
                }
            };
            if !is_redirect(response.status()) {
                return Ok(Followed { response, url });
            }
            let next = redirect(&url, response.headers()).ok_or_else(|| Failure {
                error: Error::misbehaved(contact.host(), Fault::Redirect),
                own,
            })?;
            if !same_origin(&next, &first) || !next.path().contains(contact.version.segment()) {
                authorization = None;
                headers.remove(COOKIE);
            }
            drain(response, self.timeouts.headers).await;
            url = next;
        }
        Err(Failure {
            error: Error::misbehaved(contact.host(), Fault::Redirect),
            own: false,
        })
    }

    /// Which client may ask `url` on behalf of `contact`.
    pub(crate) async fn client_for(&self, contact: &Contact, url: &Url) -> Result<&Client, Error> {
        if let Some(unverified) = &self.unverified
            && contact.is_own(url)
            && contact.is_unverified().await
        {
            return Ok(unverified);
        }
        if contact.is_own(url) || contact.is_inside().await {
            return Ok(&self.open);
        }
        match address::literal(url) {
            Some(address) if address::is_inside(address) => {
                Err(Error::misbehaved(contact.host(), Fault::Redirect))
            }
            _ => Ok(&self.guarded),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// The next bytes of a body, within the idle deadline; `None` at its end.
pub(crate) async fn chunk(
    response: &mut Response,
    host: &Arc<str>,
    idle: Duration,
) -> Result<Option<Bytes>, Error> {
    match timeout(idle, response.chunk()).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(from_reqwest(host, error)),
        Err(_) => Err(timed_out(host, Phase::Body)),
    }
}

/// Reads a short body nobody wants, so that its connection can be used again.
pub(crate) async fn drain(mut response: Response, patience: Duration) {
    if content_length(response.headers()).is_some_and(|length| length <= DRAIN_BYTES_MAX) {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        // A body that does not come costs the connection only.
        let _ = timeout(patience.min(DRAIN_PATIENCE), rest).await;
    }
}

/// A whole body of at most `limit` bytes.
pub(crate) async fn body(
    mut response: Response,
    host: &Arc<str>,
    idle: Duration,
    limit: u64,
) -> Result<Bytes, Error> {
    let too_large = || Error::misbehaved(host, Fault::TooLarge { limit });
    let announced = content_length(response.headers());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let Some(first) = chunk(&mut response, host, idle).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = chunk(&mut response, host, idle).await? else {
        return if first.len() as u64 > limit {
            Err(too_large())
        } else {
            Ok(first)
        };
    };
    let mut whole = Vec::with_capacity(
        announced
            .unwrap_or(0)
            .max((first.len() + second.len()) as u64) as usize,
    );
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while whole.len() as u64 <= limit {
        let Some(more) = chunk(&mut response, host, idle).await? else {
            return Ok(whole.into());
        };
        whole.extend_from_slice(&more);
    }
    Err(too_large())
}

pub(crate) fn timed_out(host: &Arc<str>, phase: Phase) -> Error {
    Error::TimedOut {
        endpoint: Arc::clone(host),
        phase,
    }
}

/// Scheme, host and port are the same.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
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

pub(crate) fn from_reqwest(host: &Arc<str>, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let endpoint = Arc::clone(host);
    if find::<client::Inside>(&error) {
        return Error::Misbehaved {
            endpoint,
            fault: Fault::Redirect,
        };
    }
    if error.is_timeout() {
        let phase = match error.is_connect() {
            true => Phase::Connect,
            false => Phase::Body,
        };
        return Error::TimedOut { endpoint, phase };
    }
    let reason = match error.is_connect() {
        true if find::<rustls::Error>(&error) => Reason::Tls,
        true => Reason::Connect,
        false => Reason::Lost,
    };
    Error::Unreachable {
        endpoint,
        reason,
        source: Some(Arc::new(error)),
    }
}

/// Whether an error of type `T` is somewhere in the chain, also inside an `io::Error`.
fn find<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.is::<T>() {
            return true;
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        at = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// As many as other clients follow.
const REDIRECTS_MAX: usize = 10;
const DRAIN_BYTES_MAX: u64 = 16 << 10;
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;

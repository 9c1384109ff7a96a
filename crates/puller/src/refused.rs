//! Answers other than success, and requests that are refused before they are sent.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout};

use crate::{
    Error,
    classify::{Reply, Role},
    endpoint::EndpointState,
    error::{Fault, Reason},
    exchange::Exchange,
    http::{Failure, Response},
    limit::LimitKey,
    wire::fields::is_html,
};

/// An answer other than success, read.
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) reply: Reply,
    pub(crate) own: bool,
}

impl Refused {
    pub(crate) async fn read(response: Response, own: bool, exchange: &Exchange) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let whole = read_some(response, ERROR_BYTES_MAX);
        // What cannot be read in time says nothing.
        let body = timeout(exchange.timeouts().headers, whole)
            .await
            .unwrap_or_default();
        Self {
            status,
            headers,
            reply: Reply::parse(&body),
            own,
        }
    }
}

/// Refuses what is success by its status only. A `Content-Encoding` is a label: the digest decides on the bytes.
pub(crate) fn check(host: &Arc<str>, response: Response) -> Result<Response, Error> {
    match is_html(response.headers()) {
        true => Err(Error::misbehaved(host, Fault::Html)),
        false => Ok(response),
    }
}

/// Whether a refusal of HEAD is to be confirmed by GET: it had no body that could explain it, and some registries
/// refuse HEAD as such. A mirror's word is not final, so it needs no confirmation.
pub(crate) fn asks_for_body(failure: &Failure, role: Role) -> bool {
    match &failure.error {
        Error::Misbehaved {
            fault: Fault::Status(status),
            ..
        } => matches!(status, 400 | 405 | 501) || (role == Role::Origin && *status < 500),
        Error::NotFound { .. } | Error::Denied { .. } => role == Role::Origin,
        Error::Unreachable {
            reason: Reason::Status(501),
            ..
        } => true,
        _ => false,
    }
}

/// Whether the rate limits let a request through.
pub(crate) fn admit(
    endpoint: &EndpointState,
    limit: LimitKey,
    now: Instant,
) -> Result<(), Failure> {
    endpoint.limits.admit(limit, now).map_err(|wait| Failure {
        error: Error::Limited {
            endpoint: Arc::clone(endpoint.host()),
            retry_after: Some(wait),
        },
        own: true,
    })
}

/// The first bytes of a body, as far as they come.
async fn read_some(mut response: Response, limit: usize) -> Vec<u8> {
    let mut some = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        some.extend_from_slice(
            chunk
                .get(..limit.saturating_sub(some.len()).min(chunk.len()))
                .unwrap_or_default(),
        );
        if some.len() >= limit {
            break;
        }
    }
    some
}

const ERROR_BYTES_MAX: usize = 64 << 10;

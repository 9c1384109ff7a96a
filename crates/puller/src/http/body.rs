//! Responses and their bodies.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::pool::Lease;
use crate::{
    Error,
    error::{Fault, Phase, Reason},
    wire::fields::content_length,
};

/// A response whose body is still to be read. Dropped before the end of the body it closes its connection.
pub(crate) struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    lease: Option<Lease>,
}

impl Response {
    pub(super) fn new(response: http::Response<Incoming>, lease: Lease) -> Self {
        let (parts, body) = response.into_parts();
        let mut response = Self {
            status: parts.status,
            headers: parts.headers,
            body,
            lease: Some(lease),
        };
        response.end_if_read();
        response
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            let Some(frame) = self.body.frame().await else {
                self.end();
                return Ok(None);
            };
            // Trailers are of no use here.
            if let Ok(bytes) = frame?.into_data() {
                self.end_if_read();
                return Ok(Some(bytes));
            }
        }
    }

    fn end_if_read(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
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
        Ok(Err(error)) => Err(Error::Unreachable {
            endpoint: Arc::clone(host),
            reason: Reason::Lost,
            source: Some(Arc::new(error)),
        }),
        Err(_) => Err(Error::timed_out(host, Phase::Body)),
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

const DRAIN_BYTES_MAX: u64 = 16 << 10;
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);

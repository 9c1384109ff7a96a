//! What becomes of a request, told once when its answer has ended: to the metrics and to the access log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Uri};
use longshore_reference::Named;

use crate::error::Error;
use crate::log::{Access, Chain};
use crate::metrics::{Metrics, Outcome};
use crate::names::UpstreamId;
use crate::route::Kind;

/// The account of one request. It travels in the answer's body and is closed when that ends, however it ends.
#[derive(Debug)]
pub(crate) struct Account {
    metrics: Arc<Metrics>,
    method: Method,
    client: Option<SocketAddr>,
    kind: Kind,
    upstream: Option<UpstreamId>,
    repository: Option<Named>,
    started: Instant,
    outcome: Outcome,
    status: StatusCode,
    bytes: u64,
}

impl Account {
    pub(crate) fn open(
        metrics: &Arc<Metrics>,
        method: &Method,
        uri: &Uri,
        client: Option<SocketAddr>,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            method: method.clone(),
            client,
            kind: Kind::of_path(uri.path()),
            upstream: None,
            repository: None,
            started: Instant::now(),
            outcome: Outcome::Error,
            status: client_closed_request(),
            bytes: 0,
        }
    }

    /// What the request is about.
    pub(crate) fn about(mut self, upstream: UpstreamId, named: &Named) -> Self {
        self.upstream = Some(upstream);
        self.repository = Some(named.clone());
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the request came to, as far as is known.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The headers go out.
    pub(crate) fn answered(
        &mut self,
        status: StatusCode,
        outcome: Option<longshore_store::Outcome>,
    ) {
        self.status = status;
        self.outcome = outcome.map_or(Outcome::Error, Outcome::Served);
    }

    /// The client is refused: the log gets the whole chain of causes.
    pub(crate) fn refused(&self, error: &Error, status: StatusCode) {
        let (kind, repository, error) = (self.kind.as_str(), self.repository(), Chain(error));
        if status.is_server_error() {
            tracing::warn!(kind, repository, status = status.as_u16(), %error, "request failed");
        } else {
            tracing::debug!(kind, repository, status = status.as_u16(), %error, "request refused");
        }
    }

    /// Bytes of the body go out.
    pub(crate) fn sent(&mut self, bytes: u64) {
        if self.bytes == 0 {
            self.metrics
                .first_byte(self.kind, self.outcome, self.started.elapsed());
        }
        self.bytes += bytes;
    }

    /// The body ends before it is whole: it is cut, so that the client knows.
    pub(crate) fn cut(&mut self, error: &longshore_store::Error) {
        self.outcome = Outcome::Error;
        tracing::warn!(repository = self.repository(), bytes = self.bytes, error = %Chain(error), "answer cut");
    }

    fn repository(&self) -> &str {
        self.repository.as_ref().map_or("", Named::path)
    }
}

/// The status of a request whose client hung up before it was answered, as nginx counts it: 499. It is never sent.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Drop for Account {
    fn drop(&mut self) {
        self.metrics.served(
            self.upstream,
            self.kind,
            self.outcome,
            self.status.as_u16(),
            self.bytes,
        );
        let access = Access {
            method: self.method.as_str(),
            kind: self.kind.as_str(),
            upstream: self.repository.as_ref().map_or("unknown", Named::domain),
            repository: self.repository(),
            outcome: self.outcome.as_str(),
            status: self.status.as_u16(),
            bytes: self.bytes,
            took: self.started.elapsed(),
            client: self.client,
        };
        access.log();
    }
}

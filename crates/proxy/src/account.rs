//! What becomes of a request, told once when its answer has ended: to the metrics and to the access log.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Uri};
use longshore_reference::Named;
use longshore_store::Outcome;

use crate::error::{About, Error};
use crate::metrics::{Metrics, Served};
use crate::names::UpstreamId;

/// The account of one request. It travels in the answer's body and is closed when that ends, however it ends.
#[derive(Debug)]
pub(crate) struct Account {
    metrics: Arc<Metrics>,
    method: Method,
    /// Without its query.
    path: Box<str>,
    started: Instant,
    first_byte: Option<Instant>,
    upstream: Option<UpstreamId>,
    about: Option<About>,
    repository: Option<Named>,
    outcome: Option<Outcome>,
    status: StatusCode,
    bytes: u64,
    end: End,
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client hung up before it was told everything.
    HungUp,
    /// All of it was sent.
    Whole,
    /// We cut it.
    Cut,
}

impl Account {
    pub(crate) fn open(metrics: &Arc<Metrics>, method: &Method, uri: &Uri) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            method: method.clone(),
            path: uri.path().into(),
            started: Instant::now(),
            first_byte: None,
            upstream: None,
            about: None,
            repository: None,
            outcome: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            bytes: 0,
            end: End::HungUp,
        }
    }

    /// What the request is about.
    pub(crate) fn about(mut self, upstream: UpstreamId, about: About, named: &Named) -> Self {
        self.upstream = Some(upstream);
        self.about = Some(about);
        self.repository = Some(named.clone());
        self
    }

    /// The headers go out.
    pub(crate) fn answered(&mut self, status: StatusCode, outcome: Option<Outcome>) {
        self.status = status;
        self.outcome = outcome;
    }

    /// The client is refused: the log gets the whole chain of causes.
    pub(crate) fn refused(&self, error: &Error, status: StatusCode) {
        let error = error as &dyn std::error::Error;
        if status.is_server_error() {
            tracing::warn!(path = %self.path, status = status.as_u16(), error, "request failed");
        } else {
            tracing::debug!(path = %self.path, status = status.as_u16(), error, "request refused");
        }
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.first_byte.get_or_insert_with(Instant::now);
        self.bytes += bytes;
    }

    pub(crate) fn ended(&mut self) {
        self.end = End::Whole;
    }

    pub(crate) fn failed(&mut self, error: &longshore_store::Error) {
        self.end = End::Cut;
        tracing::warn!(path = %self.path, bytes = self.bytes, error = error as &dyn std::error::Error, "answer cut");
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let outcome = match (self.outcome, self.end) {
            (Some(outcome), End::Whole | End::HungUp) => outcome.as_str(),
            (_, End::Cut) | (None, _) => "error",
        };
        if let Some(about) = self.about {
            self.metrics.served(&Served {
                upstream: self.upstream,
                kind: about,
                outcome: self.outcome.filter(|_| self.end != End::Cut),
                status: self.status,
                bytes: self.bytes,
                first_byte: self.first_byte.map(|at| at - self.started),
            });
        }
        let repository = self.repository.as_ref().map(tracing::field::display);
        tracing::info!(
            target: "longshore::access",
            method = %self.method,
            path = %self.path,
            repository,
            outcome,
            status = self.status.as_u16(),
            bytes = self.bytes,
            seconds = self.started.elapsed().as_secs_f64(),
            whole = self.end == End::Whole,
            "request"
        );
    }
}

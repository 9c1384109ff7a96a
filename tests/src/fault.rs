//! What an [`Origin`](crate::Origin) can be ordered to do wrong.

use crate::patience::PATIENCE;
use crate::request::Request;
use bytes::Bytes;
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::watch;

/// One misbehaviour of one response.
///
/// Offsets count bytes of the object for faults of content ([`WrongBytes`](Self::WrongBytes), [`Short`](Self::Short),
/// [`Long`](Self::Long)), and bytes of this response's body for faults of delivery (the others).
#[derive(Clone, Debug)]
pub enum Fault {
    /// Behaves; takes one place in the queue.
    None,
    /// This answer instead of the registry's.
    Status(u16, Vec<(String, String)>, Bytes),
    /// A web page with status 200.
    Html200,
    /// `Location` to another place, with this status.
    Redirect(String, u16),
    /// A redirect to `/storage/<digest>` of this origin, which refuses `Authorization` as object storage does.
    RedirectToStorage {
        /// 302, 303, 307, …
        status: u16,
        /// Whether `Location` is without scheme and host.
        relative: bool,
    },
    /// The connection is closed after so many bytes of the body.
    CutAt(u64),
    /// The connection is reset after so many bytes of the body.
    ResetAt(u64),
    /// The connection is reset before the headers.
    Reset,
    /// The body stops at this byte until the gate opens.
    Stall(u64, Gate),
    /// No headers before the gate opens.
    HoldHeaders(Gate),
    /// No headers, ever.
    HangBeforeHeaders,
    /// Headers after so long.
    SlowHeaders(Duration),
    /// The body is sent at no more than so many bytes a second.
    Pace(u64),
    /// The byte of the object at this offset is wrong.
    WrongBytes(u64),
    /// The object ends so many bytes early, and `Content-Length` agrees.
    Short(u64),
    /// The object has so many bytes too many, and `Content-Length` agrees.
    Long(u64),
    /// `Content-Length` is this much more (the connection is closed at the real end) or less (bytes follow the end).
    LengthLies(i64),
    /// `Transfer-Encoding: chunked`, no `Content-Length`.
    Chunked,
    /// Neither `Content-Length` nor chunks: the body ends with the connection.
    UntilClose,
    /// No `Docker-Content-Digest`.
    NoDigestHeader,
    /// A `Docker-Content-Digest` of other bytes.
    WrongDigestHeader,
    /// A header set to this value, or removed.
    Header(String, Option<String>),
    /// 200 with everything although a range was asked for.
    IgnoreRange,
    /// `Content-Encoding: gzip`.
    GzipEncoded,
    /// Several at once.
    All(Vec<Self>),
}

impl Fault {
    /// An answer with this status and an error body of a registry.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        let body = error_body(code, "ordered by the test");
        Self::Status(
            status,
            vec![("Content-Type".into(), "application/json".into())],
            body,
        )
    }

    /// An answer with this status, no JSON and these headers.
    #[must_use]
    pub fn bare(status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Self::Status(status, headers, Bytes::from_static(b"no\n"))
    }

    /// An answer with this status and JSON.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Self {
        let headers = vec![("Content-Type".into(), "application/json".into())];
        Self::Status(status, headers, Bytes::copy_from_slice(body.as_bytes()))
    }

    pub(crate) fn flatten(self, into: &mut Vec<Self>) {
        match self {
            Self::All(faults) => faults.into_iter().for_each(|fault| fault.flatten(into)),
            one => into.push(one),
        }
    }
}

/// `{"errors":[{"code","message"}]}` of the distribution specification.
pub(crate) fn error_body(code: &str, message: &str) -> Bytes {
    json!({ "errors": [{ "code": code, "message": message }] })
        .to_string()
        .into()
}

/// Which requests a fault is for.
#[derive(Clone, Debug)]
pub struct On {
    method: Option<&'static str>,
    path: String,
}

impl On {
    /// Requests with any method whose path contains `path`.
    #[must_use]
    pub fn path(path: &str) -> Self {
        Self {
            method: None,
            path: path.into(),
        }
    }

    /// GET requests whose path contains `path`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self {
            method: Some("GET"),
            path: path.into(),
        }
    }

    /// POST requests whose path contains `path`.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self {
            method: Some("POST"),
            path: path.into(),
        }
    }

    /// PUT requests whose path contains `path`.
    #[must_use]
    pub fn put(path: &str) -> Self {
        Self {
            method: Some("PUT"),
            ..Self::path(path)
        }
    }

    /// HEAD requests whose path contains `path`.
    #[must_use]
    pub fn head(path: &str) -> Self {
        Self {
            method: Some("HEAD"),
            path: path.into(),
        }
    }

    fn covers(&self, request: &Request) -> bool {
        self.method.is_none_or(|method| method == request.method)
            && request.path.contains(&self.path)
    }
}

/// A door that is shut until [`open`](Self::open), and tells when someone stands before it. Clones are the same door.
#[derive(Clone, Debug)]
pub struct Gate {
    open: watch::Sender<bool>,
    held: watch::Sender<usize>,
}

impl Gate {
    /// A shut gate.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "a gate is always made on purpose"
    )]
    pub fn new() -> Self {
        Self {
            open: watch::channel(false).0,
            held: watch::channel(0).0,
        }
    }

    /// Lets everyone through from now on.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until a response stands (or stood) before the gate.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until `n` responses stand or stood before the gate.
    ///
    /// # Panics
    /// When that did not happen within [`PATIENCE`](crate::PATIENCE).
    pub async fn reached_by(&self, n: usize) {
        let mut held = self.held.subscribe();
        let reached = held.wait_for(|held| *held >= n);
        drop(
            tokio::time::timeout(PATIENCE, reached)
                .await
                .expect("nobody came to the gate"),
        );
    }

    /// How many responses came to the gate while it was shut.
    #[must_use]
    pub fn held(&self) -> usize {
        *self.held.borrow()
    }

    pub(crate) async fn pass(&self) {
        let mut open = self.open.subscribe();
        if !*open.borrow_and_update() {
            self.held.send_modify(|held| *held += 1);
        }
        // The sender lives in `self`, so this cannot fail.
        drop(open.wait_for(|open| *open).await);
    }
}

/// The orders that have been given.
#[derive(Debug, Default)]
pub(crate) struct Orders(Vec<(On, Order)>);

#[derive(Debug)]
enum Order {
    Queue(VecDeque<Fault>),
    Always(Fault),
}

impl Orders {
    pub(crate) fn queue(&mut self, on: On, faults: impl IntoIterator<Item = Fault>) {
        self.0
            .push((on, Order::Queue(faults.into_iter().collect())));
    }

    pub(crate) fn always(&mut self, on: On, fault: Fault) {
        self.0.push((on, Order::Always(fault)));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Faults queued that no request has met yet.
    pub(crate) fn left(&self) -> usize {
        self.0
            .iter()
            .map(|(_, order)| {
                if let Order::Queue(queue) = order {
                    queue.len()
                } else {
                    0
                }
            })
            .sum()
    }

    /// The faults for this request: the next one of every queue that covers it, so that orders add up.
    pub(crate) fn draw(&mut self, request: &Request) -> Vec<Fault> {
        let mut drawn = Vec::new();
        for (_, order) in self.0.iter_mut().filter(|(on, _)| on.covers(request)) {
            let fault = match order {
                Order::Queue(queue) => queue.pop_front(),
                Order::Always(fault) => Some(fault.clone()),
            };
            if let Some(fault) = fault {
                fault.flatten(&mut drawn);
            }
        }
        drawn
    }
}

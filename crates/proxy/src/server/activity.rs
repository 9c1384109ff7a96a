//! What the socket of a connection has to know of its requests: whether one is being answered, and which.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;

/// Shared by the [`Stream`](super::Stream) of a connection and its service, which run in one task.
#[derive(Debug, Default)]
pub(super) struct Activity {
    requests: AtomicUsize,
    answering: AtomicBool,
}

impl Activity {
    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether a request came whose answer has not ended.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }
}

/// A service whose requests are seen by an [`Activity`].
#[derive(Debug)]
pub(super) struct Watched<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(service: S, activity: Arc<Activity>) -> Self {
        Self { service, activity }
    }
}

impl<S, B> Service<Request<Incoming>> for Watched<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<WatchedBody<B>>;
    type Error = S::Error;
    type Future = WatchedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.requests.fetch_add(1, Ordering::Relaxed);
        self.activity.answering.store(true, Ordering::Relaxed);
        let answering = Answering(Arc::clone(&self.activity));
        WatchedFuture {
            future: Box::pin(self.service.call(request)),
            answering: Some(answering),
        }
    }
}

/// An answer in the making.
pub(super) struct WatchedFuture<F> {
    future: Pin<Box<F>>,
    answering: Option<Answering>,
}

impl<F, B, E> Future for WatchedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<WatchedBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.future.as_mut().poll(cx));
        let answering = self.answering.take();
        Poll::Ready(answer.map(|answer| {
            answer.map(|body| WatchedBody {
                body,
                _answering: answering,
            })
        }))
    }
}

/// The body of an answer.
pub(super) struct WatchedBody<B> {
    body: B,
    _answering: Option<Answering>,
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Lives as long as an answer.
#[derive(Debug)]
struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

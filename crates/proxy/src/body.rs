//! Bodies of answers: nothing, a few bytes, or a blob as it comes.
//!
//! Bytes of a kept file pass through here as chunks. A connection that can take a file's bytes without them
//! (`sendfile`) would get the open file from [`BlobReader`] at this place instead.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use longshore_store::{Blob, BlobReader, Error};

use crate::account::Account;
use crate::range::{Multipart, Span};

/// The body of an answer. However it ends, its account is closed with it.
#[derive(Debug)]
pub struct Body {
    content: Content,
    account: Option<Account>,
}

enum Content {
    Empty,
    Full(Bytes),
    /// A stream, and the bytes that it still has to bring where that is known.
    Stream(BoxStream<'static, Result<Frame<Bytes>, Error>>, Option<u64>),
}

impl Body {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self {
            content: Content::Empty,
            account: None,
        }
    }

    /// These bytes.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            content: Content::Full(bytes),
            account: None,
        }
    }

    /// A part of a blob, or all of it.
    pub(crate) fn blob(blob: &Blob, span: Option<Span>) -> Self {
        let (start, end) = span.map_or((0, None), |span| (span.start(), Some(span.end())));
        let len = span.map(Span::len).or_else(|| blob.size());
        let chunks = futures_util::stream::unfold(blob.read(start, end), next_frame);
        Self {
            content: Content::Stream(chunks.boxed(), len),
            account: None,
        }
    }

    /// Several parts of a blob, one after the other.
    pub(crate) fn parts(blob: Blob, multipart: Multipart) -> Self {
        let len = multipart.content_length();
        let spans = multipart.spans().to_vec();
        let end = Bytes::from(multipart.end());
        let parts = futures_util::stream::iter(spans).flat_map(move |span| {
            let head = Ok(Frame::data(Bytes::from(multipart.head(span))));
            let chunks =
                futures_util::stream::unfold(blob.read(span.start(), Some(span.end())), next_frame);
            futures_util::stream::iter([head]).chain(chunks)
        });
        let parts = parts.chain(futures_util::stream::iter([Ok(Frame::data(end))]));
        Self {
            content: Content::Stream(parts.boxed(), Some(len)),
            account: None,
        }
    }

    /// Counts what is sent to this account.
    pub(crate) fn counted(self, account: Account) -> Self {
        Self {
            account: Some(account),
            ..self
        }
    }
}

async fn next_frame(mut reader: BlobReader) -> Option<(Result<Frame<Bytes>, Error>, BlobReader)> {
    let chunk = reader.chunk().await.transpose()?;
    Some((chunk.map(Frame::data), reader))
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.content {
            Content::Empty => None,
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.content = Content::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Content::Stream(frames, left) => match frames.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    let sent = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                    *left = left.map(|left| left.saturating_sub(sent));
                    Some(Ok(frame))
                }
                Poll::Ready(ended) => ended,
            },
        };
        match (&mut this.account, &frame) {
            (Some(account), Some(Ok(frame))) => {
                account.sent(frame.data_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            (Some(account), Some(Err(error))) => account.cut(error),
            (_, None) | (None, _) => {}
        }
        // The connection is cut, so that the client knows that this was not all.
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(bytes) => bytes.is_empty(),
            Content::Stream(_, left) => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_, Some(left)) => SizeHint::with_exact(*left),
            Content::Stream(_, None) => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({})", bytes.len()),
            Self::Stream(_, left) => write!(f, "Stream({left:?})"),
        }
    }
}

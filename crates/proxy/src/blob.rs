//! Blobs: whole, a range, several ranges; held or on their way.

use http::header::{CONTENT_RANGE, CONTENT_TYPE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use longshore_reference::Canonical;
use longshore_store::{Blob, BlobRange, Error as Refused, Outcome, Refusal};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::Body;
use crate::error::Error;
use crate::proxy::{Asked, Proxy, content, etag, insert, ranged, sized};
use crate::range::{self, Multipart, Range, Resolved, Span};

impl Proxy {
    pub(crate) async fn blob(&self, asked: Asked<'_>, canonical: Canonical) -> Response<Body> {
        let tag = etag(&canonical.digest());
        let mut tags = asked.headers.get_all(IF_NONE_MATCH).iter();
        let unmodified = tags.any(|value| range::if_none_match(Some(value.as_bytes()), &tag));
        match wanted(asked.headers, &tag) {
            Err(error) => self.fail(asked, &error),
            Ok(_) if asked.head || unmodified => match self.blob_size(&asked, &canonical).await {
                Ok((_, outcome)) if unmodified => respond(
                    asked,
                    StatusCode::NOT_MODIFIED,
                    &canonical,
                    outcome,
                    Body::empty(),
                ),
                Ok((size, outcome)) => {
                    let mut response =
                        respond(asked, StatusCode::OK, &canonical, outcome, Body::empty());
                    if let Some(size) = size {
                        sized(&mut response, size);
                    }
                    response
                }
                Err(error) => self.fail(asked, &error),
            },
            Ok(range) => match self.open(&asked, &canonical, range.as_ref()).await {
                Ok((blob, part)) => serve(asked, &canonical, blob, part),
                Err(error) => self.fail(asked, &error),
            },
        }
    }

    /// Opens the blob, and waits for the first byte that is wanted, within the time that a client waits for headers.
    async fn open(
        &self,
        asked: &Asked<'_>,
        canonical: &Canonical,
        range: Option<&Range>,
    ) -> Result<(Blob, Part), Error> {
        let id = asked.at.upstream;
        let request = self.request(id, canonical.clone())?;
        let deadline = Instant::now() + request.policy.answer_within;
        let first = range.map_or(BlobRange::All, Range::first);
        let opening = self.0.store.blob(&request, first);
        let opened = timeout_at(deadline, opening).await.map_err(timed_out)?;
        let blob = opened.map_err(|error| match error {
            Refused::PastEnd { size } => Error::Unsatisfiable { size },
            other => other.into(),
        })?;
        let part = Part::of(range, &blob)?;
        // A client that got headers does not go to its next host: they wait for what follows them, but not for ever.
        if let Ok(ready) = timeout_at(deadline, blob.ready(part.start())).await {
            ready?;
        }
        Ok((blob, part))
    }

    async fn blob_size(
        &self,
        asked: &Asked<'_>,
        canonical: &Canonical,
    ) -> Result<(Option<u64>, Outcome), Error> {
        let id = asked.at.upstream;
        let request = self.request(id, canonical.clone())?;
        let sizing = self.0.store.blob_size(&request);
        Ok(timeout(request.policy.answer_within, sizing)
            .await
            .map_err(timed_out)??)
    }
}

/// What is served of a blob.
enum Part {
    Whole,
    /// A span, and the size of the blob.
    Span(Span, u64),
    Several(Multipart),
}

impl Part {
    /// Without a size no range can be told: a full answer is always right.
    fn of(range: Option<&Range>, blob: &Blob) -> Result<Self, Error> {
        let (Some(range), Some(size)) = (range, blob.size()) else {
            return Ok(Self::Whole);
        };
        // Each part would be a download of its own.
        if range.parts() > 1 && blob.outcome() == Outcome::Bypass {
            return Ok(Self::Whole);
        }
        match range.resolve(size) {
            Resolved::Whole => Ok(Self::Whole),
            Resolved::One(span) => Ok(Self::Span(span, size)),
            Resolved::Many(spans) => {
                let boundary = format!("{:032x}", rand::random::<u128>());
                Ok(Self::Several(Multipart::new(spans, size, boundary)))
            }
            Resolved::Unsatisfiable => Err(Error::Unsatisfiable { size }),
        }
    }

    /// The first byte that is wanted.
    fn start(&self) -> u64 {
        match self {
            Self::Whole => 0,
            Self::Span(span, _) => span.start(),
            Self::Several(multipart) => multipart.spans().first().map_or(0, |span| span.start()),
        }
    }
}

fn serve(asked: Asked<'_>, canonical: &Canonical, blob: Blob, part: Part) -> Response<Body> {
    let (size, outcome) = (blob.size(), blob.outcome());
    match part {
        Part::Whole => {
            let mut response = respond(
                asked,
                StatusCode::OK,
                canonical,
                outcome,
                Body::blob(&blob, None),
            );
            if let Some(size) = size {
                sized(&mut response, size);
            }
            response
        }
        Part::Span(span, size) => {
            let body = Body::blob(&blob, Some(span));
            let mut response =
                respond(asked, StatusCode::PARTIAL_CONTENT, canonical, outcome, body);
            sized(&mut response, span.len());
            insert(
                response.headers_mut(),
                CONTENT_RANGE,
                span.content_range(size),
            );
            response
        }
        Part::Several(multipart) => {
            let (content_type, len) = (multipart.content_type(), multipart.content_length());
            let body = Body::parts(blob, multipart);
            let mut response =
                respond(asked, StatusCode::PARTIAL_CONTENT, canonical, outcome, body);
            insert(response.headers_mut(), CONTENT_TYPE, content_type);
            sized(&mut response, len);
            response
        }
    }
}

/// The range that is asked for, if it applies.
fn wanted(headers: &HeaderMap, tag: &str) -> Result<Option<Range>, Error> {
    let Some(range) = headers.get(RANGE) else {
        return Ok(None);
    };
    if !range::if_range(headers.get(IF_RANGE).map(HeaderValue::as_bytes), tag) {
        return Ok(None);
    }
    Ok(Range::parse(range.as_bytes())?)
}

fn respond(
    asked: Asked<'_>,
    status: StatusCode,
    canonical: &Canonical,
    outcome: Outcome,
    body: Body,
) -> Response<Body> {
    let content_type = HeaderValue::from_static("application/octet-stream");
    let mut response = content(
        asked,
        status,
        content_type,
        &canonical.digest(),
        outcome,
        body,
    );
    ranged(&mut response);
    response
}

fn timed_out(late: tokio::time::error::Elapsed) -> Error {
    let refusal = Refusal::TimedOut {
        cause: std::sync::Arc::new(late),
    };
    Error::Store(refusal.into())
}

//! Blobs: whole, a range, several ranges; held or on their way.

use http::header::{CONTENT_RANGE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use longshore_reference::Canonical;
use longshore_store::{Blob, Outcome, Refusal};
use tokio::time::timeout;

use crate::body::Body;
use crate::error::Error;
use crate::proxy::{Asked, Proxy, content, etag, insert, ranged, sized};
use crate::range::{self, Multipart, Range, Resolved};

impl Proxy {
    pub(crate) async fn blob(&self, asked: Asked<'_>, canonical: Canonical) -> Response<Body> {
        let tag = etag(&canonical.digest().to_string());
        let unmodified = asked
            .headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .any(|value| range::if_none_match(Some(value.as_bytes()), &tag));
        let answered = match wanted(asked.headers, &tag) {
            Ok(_) if asked.head => self.blob_size(&asked, &canonical).await.map(Answer::Size),
            Ok(range) => self
                .open(&asked, &canonical, range.as_ref())
                .await
                .map(|blob| Answer::Blob(blob, range)),
            Err(error) => Err(error),
        };
        match answered {
            Err(error) => self.fail(asked, &error),
            Ok(Answer::Size((_, outcome))) if unmodified => respond(
                asked,
                StatusCode::NOT_MODIFIED,
                &canonical,
                outcome,
                Body::empty(),
            ),
            Ok(Answer::Blob(blob, _)) if unmodified => respond(
                asked,
                StatusCode::NOT_MODIFIED,
                &canonical,
                blob.outcome(),
                Body::empty(),
            ),
            Ok(Answer::Size((size, outcome))) => {
                let mut response =
                    respond(asked, StatusCode::OK, &canonical, outcome, Body::empty());
                if let Some(size) = size {
                    sized(&mut response, size);
                }
                response
            }
            Ok(Answer::Blob(blob, range)) => self.serve(asked, &canonical, blob, range.as_ref()),
        }
    }

    /// Opens the blob within the time that a client waits for headers.
    async fn open(
        &self,
        asked: &Asked<'_>,
        canonical: &Canonical,
        range: Option<&Range>,
    ) -> Result<Blob, Error> {
        let id = asked.at.upstream;
        let policy = self.0.upstreams.policy(id)?;
        let ask = self
            .0
            .upstreams
            .find(id, canonical.named())?
            .ask_blob(canonical.clone());
        let from_start = range.is_none_or(|range| range.start() == Some(0));
        let opened = timeout(
            policy.answer_within,
            self.0.store.blob(canonical, from_start, policy, ask),
        )
        .await;
        Ok(opened.map_err(timed_out)??)
    }

    async fn blob_size(
        &self,
        asked: &Asked<'_>,
        canonical: &Canonical,
    ) -> Result<(Option<u64>, Outcome), Error> {
        let id = asked.at.upstream;
        let policy = self.0.upstreams.policy(id)?;
        let ask = self
            .0
            .upstreams
            .find(id, canonical.named())?
            .ask_blob(canonical.clone());
        let sized = timeout(
            policy.answer_within,
            self.0.store.blob_size(canonical, policy, ask),
        )
        .await;
        Ok(sized.map_err(timed_out)??)
    }

    fn serve(
        &self,
        asked: Asked<'_>,
        canonical: &Canonical,
        blob: Blob,
        range: Option<&Range>,
    ) -> Response<Body> {
        let outcome = blob.outcome();
        let resolved = match (range, blob.size()) {
            (Some(range), Some(size)) => range.resolve(size),
            // Without a size no range can be told: a full answer is always right.
            (_, None) | (None, _) => Resolved::Whole,
        };
        match (resolved, blob.size()) {
            (Resolved::Whole, size) | (_, size @ None) => {
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
            (Resolved::One(span), Some(size)) => {
                let mut response = respond(
                    asked,
                    StatusCode::PARTIAL_CONTENT,
                    canonical,
                    outcome,
                    Body::blob(&blob, Some(span)),
                );
                sized(&mut response, span.len());
                insert(
                    response.headers_mut(),
                    CONTENT_RANGE,
                    &span.content_range(size),
                );
                response
            }
            (Resolved::Many(spans), Some(size)) => {
                let boundary = format!("{:032x}", rand::random::<u128>());
                let multipart = Multipart::new(spans, size, boundary);
                let (content_type, len) = (multipart.content_type(), multipart.content_length());
                let mut response = respond(
                    asked,
                    StatusCode::PARTIAL_CONTENT,
                    canonical,
                    outcome,
                    Body::parts(blob, multipart),
                );
                insert(
                    response.headers_mut(),
                    http::header::CONTENT_TYPE,
                    &content_type,
                );
                sized(&mut response, len);
                response
            }
            (Resolved::Unsatisfiable, Some(size)) => {
                self.fail(asked, &Error::Unsatisfiable { size })
            }
        }
    }
}

enum Answer {
    Size((Option<u64>, Outcome)),
    Blob(Blob, Option<Range>),
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

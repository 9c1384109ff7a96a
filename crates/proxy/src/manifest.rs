//! Manifests: from memory, from disk, from upstream, in that order.

use http::header::IF_NONE_MATCH;
use http::{HeaderValue, Response, StatusCode};
use longshore_reference::Reference;
use longshore_store::{Held, Outcome};
use tokio::time::Instant;

use crate::body::Body;
use crate::convert::format_for;
use crate::error::Error;
use crate::proxy::{Asked, Proxy, content, etag, sized};
use crate::range::if_none_match;

impl Proxy {
    pub(crate) async fn manifest(&self, asked: Asked<'_>, reference: Reference) -> Response<Body> {
        match self.held(&asked, reference).await {
            Ok(held) => serve(asked, held),
            Err(error) => self.fail(asked, &error),
        }
    }

    async fn held(&self, asked: &Asked<'_>, reference: Reference) -> Result<Held, Error> {
        let started = Instant::now();
        let id = asked.at.upstream;
        let request = self.request(id, reference)?;
        let held = self.0.store.manifest(&request).await?;
        let reference = &request.target;
        let Some(format) = format_for(asked.headers, reference, &held.media_type) else {
            return Ok(held);
        };
        let within = self.0.upstreams.of(id)?.convert_within();
        let within = within.saturating_sub(started.elapsed());
        let before = held.outcome;
        let converter = self.converter(id)?;
        let made = converter.convert(reference.named(), held, format, within);
        let made = made.await?;
        // Its document may have been a hit while the rest had to be fetched, or the other way round.
        let outcome = match before {
            Outcome::Hit => made.outcome,
            before => before,
        };
        Ok(Held { outcome, ..made })
    }
}

fn serve(asked: Asked<'_>, held: Held) -> Response<Body> {
    let len = held.bytes.len() as u64;
    let content_type = HeaderValue::try_from(&*held.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let matches = || {
        let tag = etag(&held.digest);
        let mut tags = asked.headers.get_all(IF_NONE_MATCH).iter();
        tags.any(|value| if_none_match(Some(value.as_bytes()), &tag))
    };
    if asked.headers.contains_key(IF_NONE_MATCH) && matches() {
        return content(
            asked,
            StatusCode::NOT_MODIFIED,
            content_type,
            &held.digest,
            held.outcome,
            Body::empty(),
        );
    }
    let body = if asked.head {
        Body::empty()
    } else {
        Body::full(held.bytes)
    };
    let mut response = content(
        asked,
        StatusCode::OK,
        content_type,
        &held.digest,
        held.outcome,
        body,
    );
    sized(&mut response, len);
    response
}

//! Manifests: from memory, from disk, from upstream, in that order.

use http::header::IF_NONE_MATCH;
use http::{HeaderValue, Response, StatusCode};
use longshore_reference::Reference;
use longshore_store::Held;

use crate::body::Body;
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
        let id = asked.at.upstream;
        let upstream = self.0.upstreams.find(id, reference.named())?;
        let policy = self.0.upstreams.policy(id)?;
        let ask = || upstream.ask_manifest(reference.clone());
        Ok(self.0.store.manifest(&reference, policy, ask).await?)
    }
}

fn serve(asked: Asked<'_>, held: Held) -> Response<Body> {
    let len = held.bytes.len() as u64;
    let content_type = HeaderValue::try_from(&*held.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let tag = etag(&held.digest.to_string());
    let matches = asked
        .headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| if_none_match(Some(value.as_bytes()), &tag));
    if matches {
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

//! Images of v1: the JSON of each, what a registry says of their layers, and the chains they stand on.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use longshore_manifest::v1::{Ancestry, IMAGES_MAX, ImageId};
use longshore_reference::{Algorithm, Digest};
use tokio::task::JoinSet;
use url::Url;

use super::{
    ask::{Get, Index},
    session::{Facts, Session},
    visit::Visit,
};
use crate::{
    Error, Kind, calls::Calls, endpoint::EndpointState, error::Fault, http::Failure, wire::fields,
};

/// The image `id` with all it stands on, from the first of the named endpoints that has it all.
pub(super) async fn ancestry(
    calls: &Calls,
    visit: &Visit<'_>,
    id: &ImageId,
) -> Result<Ancestry, Failure> {
    let mut last = None;
    for endpoint in &visit.session.endpoints {
        match ancestry_from(calls, visit, endpoint, id).await {
            Ok(ancestry) => return Ok(ancestry),
            Err(failure) => last = Some(incomplete(visit.index.endpoint, failure)),
        }
    }
    Err(last.unwrap_or_else(|| not_json(visit.index.endpoint)))
}

async fn ancestry_from(
    calls: &Calls,
    visit: &Visit<'_>,
    endpoint: &Url,
    id: &ImageId,
) -> Result<Ancestry, Failure> {
    let index = visit.index;
    let get = Get::new(endpoint, &format!("images/{id}/ancestry"), Kind::Manifest);
    let document = index.document(&visit.session, &get, DOCUMENT_BYTES_MAX);
    let (_, body) = document.await?;
    let ids = chain(&body, id).ok_or_else(|| not_json(index.endpoint))?;
    let images = images(calls, visit, endpoint, &ids).await?;
    let images = ids.into_iter().zip(images).collect();
    Ancestry::new(images).map_err(|error| {
        let upstream = index.requests.exchange.name();
        tracing::debug!(upstream, endpoint = %index.endpoint.host(), %error, "not an ancestry");
        not_json(index.endpoint)
    })
}

/// The JSON of each of these images, several at once.
async fn images(
    calls: &Calls,
    visit: &Visit<'_>,
    endpoint: &Url,
    ids: &[ImageId],
) -> Result<Vec<Bytes>, Failure> {
    let state = visit.index.endpoint;
    let mut left = ids.iter().cloned().enumerate();
    let mut asking = JoinSet::new();
    let mut images: Vec<Option<Bytes>> = vec![None; ids.len()];
    let mut bytes_left = longshore_manifest::MANIFEST_BYTES_MAX;
    loop {
        while asking.len() < IMAGES_AT_ONCE
            && let Some((at, id)) = left.next()
        {
            let (calls, session) = (calls.clone(), Arc::clone(&visit.session));
            let (position, endpoint) = (visit.position, endpoint.clone());
            asking.spawn(async move {
                let image = image(&calls, position, &session, &endpoint, &id).await;
                image.map(|v1_json| (at, v1_json))
            });
        }
        let (at, v1_json) = match asking.join_next().await {
            None => break,
            Some(Ok(result)) => result?,
            // A task that panicked or was shut down with the runtime.
            Some(Err(_)) => return Err(not_json(state)),
        };
        bytes_left = bytes_left.checked_sub(v1_json.len()).ok_or_else(|| {
            let limit = longshore_manifest::MANIFEST_BYTES_MAX as u64;
            own(Error::misbehaved(state.host(), Fault::TooLarge { limit }))
        })?;
        if let Some(image) = images.get_mut(at) {
            *image = Some(v1_json);
        }
    }
    Ok(images.into_iter().flatten().collect())
}

/// The JSON of one image; what its headers say of the layer is kept.
pub(super) async fn image(
    calls: &Calls,
    position: usize,
    session: &Session,
    endpoint: &Url,
    id: &ImageId,
) -> Result<Bytes, Failure> {
    let Some(state) = calls.endpoints.get(position) else {
        return Err(own(Error::NoEndpoints {
            reference: id.as_str().into(),
        }));
    };
    let index = Index {
        requests: &calls.requests,
        endpoint: state,
    };
    let get = Get::new(endpoint, &format!("images/{id}/json"), Kind::Manifest);
    let (headers, v1_json) = index.image(session, &get).await?;
    let facts = facts(&headers, &v1_json)
        .map_err(|name| own(Error::misbehaved(state.host(), Fault::Header(name))))?;
    session.keep_facts(id, facts);
    Ok(v1_json)
}

/// A registry that has a tag but not all that the tag stands for contradicts itself: it is not the tag that is missing.
fn incomplete(endpoint: &EndpointState, failure: Failure) -> Failure {
    match failure.error {
        Error::NotFound { .. } => {
            let status = StatusCode::NOT_FOUND.as_u16();
            own(Error::misbehaved(endpoint.host(), Fault::Status(status)))
        }
        error => Failure { error, ..failure },
    }
}

/// The chain of ids with the image `id` at its end: the registry sends it top first.
fn chain(body: &[u8], id: &ImageId) -> Option<Vec<ImageId>> {
    let ids: Vec<String> = serde_json::from_slice(body).ok()?;
    if ids.len() > IMAGES_MAX || ids.first()? != id.as_str() {
        return None;
    }
    let ids: Option<Vec<_>> = ids.iter().map(|id| ImageId::parse(id).ok()).collect();
    let mut ids = ids?;
    ids.reverse();
    let distinct: BTreeSet<_> = ids.iter().collect();
    (distinct.len() == ids.len()).then_some(ids)
}

/// What the headers of an image's JSON say of its layer. The checksum is of the JSON, a line feed, and the layer; Docker
/// never compared it.
pub(super) fn facts(headers: &HeaderMap, v1_json: &[u8]) -> Result<Facts, &'static str> {
    let size = match headers.get(SIZE) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| SIZE)?.trim();
            match text {
                "-1" => None,
                text => Some(text.parse().map_err(|_| SIZE)?),
            }
        }
    };
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(v1_json);
    hasher.update(b"\n");
    Ok(Facts {
        size,
        checksum: checksum(headers)?,
        hasher,
    })
}

/// A payload checksum that can be compared; there are others (`tarsum+…`).
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Digest>, &'static str> {
    let name = http::HeaderName::from_static(CHECKSUM);
    let Some(text) = fields::text(headers, &name) else {
        return Ok(None);
    };
    match text.trim() {
        text if text.starts_with("sha256:") => Digest::parse(text).map(Some).map_err(|_| CHECKSUM),
        _ => Ok(None),
    }
}

pub(super) fn own(error: Error) -> Failure {
    Failure { error, own: true }
}

pub(super) fn not_json(endpoint: &EndpointState) -> Failure {
    own(Error::misbehaved(endpoint.host(), Fault::Json))
}

const SIZE: &str = "x-docker-size";
const CHECKSUM: &str = "x-docker-checksum-payload";
/// JSON documents that are asked for at once.
const IMAGES_AT_ONCE: usize = 8;
/// The largest tag or ancestry that is taken; bytes. An ancestry of as many ids as are taken has less than 80 KiB.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;

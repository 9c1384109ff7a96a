//! Manifests: asked after, and fetched.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use longshore_manifest::{Manifest, MediaType, Schema1, guess};
use longshore_reference::{Digest, Reference};

use crate::{
    Error, Event, Kind,
    answers::{Fetched, Head, MANIFEST_BYTES_MAX},
    ask::Ask,
    attempt::{Rules, try_each},
    calls::Calls,
    coding::Coding,
    endpoint::EndpointState,
    error::Fault,
    http::{self as transport, Failure},
    lookup::Version,
    refused::asks_for_body,
    request::Requests,
    wire::fields,
};

/// Asks which manifest a reference stands for.
pub(crate) async fn resolve(calls: &Calls, reference: &Reference) -> Result<Head, Error> {
    let plan = calls.plan(&ask(reference, Method::HEAD), reference.digest());
    // What answers 200 to everything may be no v2 registry.
    let is_v2_alone = !calls.endpoints.has(Version::V1);
    let resolve = |_, endpoint| resolve_at(&calls.requests, endpoint, reference, is_v2_alone);
    try_each(plan, Rules::DEFAULT, resolve).await
}

/// Fetches the manifest a reference stands for.
pub(crate) async fn fetch(calls: &Calls, reference: &Reference) -> Result<Fetched, Error> {
    let plan = calls.plan(&ask(reference, Method::GET), reference.digest());
    let fetch = |_, endpoint| fetch_at(&calls.requests, endpoint, reference);
    try_each(plan, Rules::DEFAULT, fetch).await
}

async fn resolve_at(
    requests: &Requests,
    endpoint: &EndpointState,
    reference: &Reference,
    is_v2_alone: bool,
) -> Result<Head, Failure> {
    let ask = ask(reference, Method::HEAD);
    let head = match requests.ask(endpoint, &ask).await {
        Ok(response) => head(response.headers()),
        Err(failure) if asks_for_body(&failure, endpoint.role) => {
            return resolve_by_get(requests, endpoint, reference).await;
        }
        Err(failure) => return Err(failure),
    };
    let is_believed = match reference.digest() {
        Some(digest) => head.is_of(&digest),
        None => endpoint.is_v2() || is_v2_alone || head.is_of_manifest(),
    };
    if !is_believed {
        return resolve_by_get(requests, endpoint, reference).await;
    }
    endpoint.confirm_v2();
    let is_asked = |found: &Digest| reference.digest().is_none_or(|asked| asked == *found);
    Ok(Head {
        digest: head.digest.filter(is_asked),
        ..head
    })
}

async fn resolve_by_get(
    requests: &Requests,
    endpoint: &EndpointState,
    reference: &Reference,
) -> Result<Head, Failure> {
    let Fetched {
        bytes,
        media_type,
        digest,
        ..
    } = fetch_at(requests, endpoint, reference).await?;
    let known = reference.digest().or(digest);
    Ok(Head {
        digest: Some(known.unwrap_or_else(|| Digest::sha256(&bytes))),
        media_type,
        size: Some(bytes.len() as u64),
        v1: None,
    })
}

async fn fetch_at(
    requests: &Requests,
    endpoint: &EndpointState,
    reference: &Reference,
) -> Result<Fetched, Failure> {
    let own = |error| Failure { error, own: true };
    let exchange = &requests.exchange;
    let ask = ask(reference, Method::GET);
    let response = requests.ask(endpoint, &ask).await?;
    let Head {
        digest,
        media_type,
        size,
        ..
    } = head(response.headers());
    let coding = Coding::of(response.headers());
    let idle = exchange.timeouts().idle;
    let body = transport::body(response, endpoint.host(), idle, MANIFEST_BYTES_MAX);
    let bytes = body.await.map_err(own)?;
    exchange.observe(Event::Bytes(bytes.len() as u64));
    let misbehaved = |fault| Err(own(Error::misbehaved(endpoint.host(), fault)));
    if let Some(expected) = size.filter(|&size| size != bytes.len() as u64) {
        return misbehaved(Fault::Length {
            expected,
            found: bytes.len() as u64,
        });
    }
    let expected = reference.digest().or(digest);
    let is_right = |bytes: &Bytes| expected.is_none_or(|digest| is_right(bytes, &digest));
    let document = coding.document(&bytes, MANIFEST_BYTES_MAX, is_right);
    let Some(bytes) = document else {
        return match bytes.trim_ascii_start().first() {
            Some(b'{') => misbehaved(Fault::Digest),
            Some(b'<') => misbehaved(Fault::Html),
            _ => misbehaved(Fault::Json),
        };
    };
    if let Err(source) = check_schema1(&bytes, media_type.as_deref()) {
        return Err(own(Error::Unusable {
            endpoint: Arc::clone(endpoint.host()),
            source: Arc::new(source),
        }));
    }
    endpoint.confirm_v2();
    Ok(Fetched {
        bytes,
        media_type,
        digest,
        v1: None,
    })
}

fn ask(reference: &Reference, method: Method) -> Ask<'_> {
    let object = match reference {
        Reference::Tagged(tagged) => format!("/manifests/{}", tagged.tag()),
        Reference::Canonical(canonical) => format!("/manifests/{}", canonical.digest()),
    };
    Ask {
        kind: Kind::Manifest,
        method,
        repository: reference.named().path(),
        object,
        query: None,
        range: None,
    }
}

/// Whether a manifest is the digest's. A signed schema 1 manifest is known by the digest of its payload.
fn is_right(bytes: &Bytes, digest: &Digest) -> bool {
    Digest::of(digest.algorithm(), bytes) == *digest
        || guess(bytes) == Some(MediaType::Schema1Signed)
            && Manifest::decode(None, bytes.clone())
                .is_ok_and(|manifest| manifest.digest() == *digest)
}

/// Refuses a schema 1 manifest whose layers and history do not go together, or with a signature that is not good. Docker
/// does not look at signatures; whether a key is to be trusted is not known here either, but a bad signature says that the
/// document was changed since it was signed.
fn check_schema1(bytes: &Bytes, media_type: Option<&str>) -> Result<(), longshore_manifest::Error> {
    let guessed = guess(bytes);
    let says = |media_type: &MediaType| media_type.is_schema1();
    if !(guessed.as_ref().is_some_and(says)
        || media_type.map(MediaType::from).is_some_and(|m| says(&m)))
    {
        return Ok(());
    }
    let schema1 = Schema1::decode(bytes.clone())?;
    schema1.steps()?;
    schema1.verify().map(|_| ())
}

fn head(headers: &HeaderMap) -> Head {
    Head {
        digest: fields::content_digests(headers).next(),
        media_type: fields::media_type(headers),
        size: fields::content_length(headers).filter(|&size| size > 0),
        v1: None,
    }
}

//! Manifests: asked after, and fetched.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use longshore_manifest::{Manifest, MediaType, Schema1, guess};
use longshore_reference::{Digest, Reference};
use tokio::time::Instant;

use crate::{
    Error, Event, Kind, Upstream,
    endpoint::Contact,
    error::Fault,
    fallback::Fallback,
    http::{self as transport, Failure},
    lookup::Version,
    request::Ask,
    upstream::asks_for_body,
    wire::fields,
};

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// As the registry gave it; computed when the manifest itself had to be asked for. Several registries give none.
    pub digest: Option<Digest>,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

/// A manifest as the registry sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The exact bytes; at most [`MANIFEST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// `Docker-Content-Digest` as the registry gave it. Where it can be compared with the bytes it was.
    pub digest: Option<Digest>,
}

impl Head {
    /// Whether it is a manifest that was found, and not anything.
    fn is_of_manifest(&self) -> bool {
        let media_type = self.media_type.as_deref().map(MediaType::from_content_type);
        self.digest.is_some() || media_type.is_some_and(|found| found.is_manifest())
    }
}

impl Upstream {
    /// Asks whether the manifest is there and which it is: by HEAD, which pull limits do not count. HEAD answers carry
    /// no error body, so what the origin refuses is asked again by GET; if that gives a manifest, this is a success. Of a v1
    /// image it tells the id in the form of a digest.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn check(&self, reference: &Reference) -> Result<Head, Error> {
        let mut fallback = Fallback::new(self, reference.named(), reference.digest().is_some())?;
        while let Some(version) = fallback.next() {
            let result = match (version, reference) {
                (Version::V2, _) => self.check_v2(reference).await,
                (Version::V1, Reference::Tagged(tagged)) => self.check_v1(tagged).await,
                (Version::V1, Reference::Canonical(_)) => Err(self.not_supported()),
            };
            if let Some(end) = fallback.told(version, result) {
                return end;
            }
        }
        Err(fallback.error(reference))
    }

    async fn check_v2(&self, reference: &Reference) -> Result<Head, Error> {
        let ask = manifest_ask(reference, Method::HEAD);
        let mut tries = self.tries(&ask, reference.digest());
        loop {
            let (_, contact) = tries.next().await?;
            let result = match self.inner.ask(contact, &ask).await {
                Ok(response) => {
                    let head = head(response.headers());
                    let alone = self.inner.is_v2() || self.inner.endpoints(Version::V1).is_empty();
                    match alone || head.is_of_manifest() {
                        true => Ok(head),
                        // What answers 200 to everything may be no v2 registry.
                        false => self.check_by_get(contact, reference).await,
                    }
                }
                Err(failure) if asks_for_body(&failure, contact.role) => {
                    self.check_by_get(contact, reference).await
                }
                Err(failure) => Err(failure),
            };
            match result {
                Ok(head) => {
                    tries.succeeded(contact);
                    self.inner.confirm_v2();
                    return Ok(head);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    /// Fetches a manifest. For a digest the bytes are verified; for a tag they are compared with the digest the
    /// registry gave, where it gave one. Of a v1 image it is the ancestry document
    /// ([`Ancestry`](longshore_manifest::v1::Ancestry)), and `digest` is the image's id in the form of a digest.
    ///
    /// # Errors
    /// All but [`Error::Config`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, Error> {
        let mut fallback = Fallback::new(self, reference.named(), reference.digest().is_some())?;
        while let Some(version) = fallback.next() {
            let result = match (version, reference) {
                (Version::V2, _) => self.manifest_v2(reference).await,
                (Version::V1, Reference::Tagged(tagged)) => self.manifest_v1(tagged).await,
                (Version::V1, Reference::Canonical(_)) => Err(self.not_supported()),
            };
            if let Some(end) = fallback.told(version, result) {
                return end;
            }
        }
        Err(fallback.error(reference))
    }

    async fn manifest_v2(&self, reference: &Reference) -> Result<Fetched, Error> {
        let ask = manifest_ask(reference, Method::GET);
        let mut tries = self.tries(&ask, reference.digest());
        loop {
            let (_, contact) = tries.next().await?;
            match self.fetch(contact, reference).await {
                Ok(fetched) => {
                    tries.succeeded(contact);
                    self.inner.confirm_v2();
                    return Ok(fetched);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    async fn check_by_get(
        &self,
        contact: &Contact,
        reference: &Reference,
    ) -> Result<Head, Failure> {
        let ask = manifest_ask(reference, Method::GET);
        if let Err(wait) = contact.limits.admit(ask.ration(), Instant::now()) {
            let error = Error::Limited {
                endpoint: Arc::clone(contact.host()),
                retry_after: Some(wait),
            };
            return Err(Failure { error, own: true });
        }
        let Fetched {
            bytes,
            media_type,
            digest,
        } = self.fetch(contact, reference).await?;
        let digest =
            digest.or_else(|| Some(reference.digest().unwrap_or_else(|| Digest::sha256(&bytes))));
        Ok(Head {
            digest,
            media_type,
            size: Some(bytes.len() as u64),
        })
    }

    async fn fetch(&self, contact: &Contact, reference: &Reference) -> Result<Fetched, Failure> {
        let inner = &self.inner;
        let own = |error| Failure { error, own: true };
        let response = inner
            .ask(contact, &manifest_ask(reference, Method::GET))
            .await?;
        let Head {
            digest,
            media_type,
            size,
        } = head(response.headers());
        let idle = inner.transport.timeouts.idle;
        let body = transport::body(response, contact.host(), idle, MANIFEST_BYTES_MAX);
        let bytes = body.await.map_err(own)?;
        inner.observe(Event::Bytes(bytes.len() as u64));
        let misbehaved = |fault| Err(own(Error::misbehaved(contact.host(), fault)));
        if let Some(expected) = size.filter(|&size| size != bytes.len() as u64) {
            return misbehaved(Fault::Length {
                expected,
                found: bytes.len() as u64,
            });
        }
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            let is_page = bytes.trim_ascii_start().first() == Some(&b'<');
            return misbehaved(if is_page { Fault::Html } else { Fault::Json });
        }
        if let Err(source) = check_schema1(&bytes, media_type.as_deref()) {
            return Err(own(Error::Unusable {
                endpoint: Arc::clone(contact.host()),
                source: Arc::new(source),
            }));
        }
        match reference.digest().or(digest) {
            Some(digest) if !is_right(&bytes, &digest) => misbehaved(Fault::Digest),
            _ => Ok(Fetched {
                bytes,
                media_type,
                digest,
            }),
        }
    }
}

fn manifest_ask(reference: &Reference, method: Method) -> Ask<'_> {
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
    let digest = headers
        .get(DOCKER_CONTENT_DIGEST)
        .and_then(|value| value.to_str().ok());
    Head {
        digest: digest.and_then(|text| Digest::parse(text.trim()).ok()),
        media_type: fields::media_type(headers),
        size: fields::content_length(headers).filter(|&size| size > 0),
    }
}

/// The largest manifest that is taken; bytes. Registries refuse to store larger ones.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";

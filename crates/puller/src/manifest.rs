//! Manifests: asked after, and fetched.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use longshore_manifest::{Manifest, MediaType, Schema1, guess, v1::ImageId};
use longshore_reference::{Digest, Reference};

use crate::{
    Error, Event, Kind, Upstream,
    attempt::{Rules, try_each},
    coding::Coding,
    endpoint::Contact,
    error::Fault,
    fallback::Asked,
    http::{self as transport, Failure},
    lookup::Version,
    request::{Ask, asks_for_body},
    wire::fields,
};

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// As the registry gave it; computed when the manifest itself had to be fetched. Several registries give none. For a
    /// reference by digest it is that digest, or absent.
    pub digest: Option<Digest>,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// The id of a v1 image, which is the digest of nothing. Then the others are absent, but for the media type of an
    /// ancestry document.
    pub v1: Option<ImageId>,
}

/// A manifest as the registry sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The exact bytes; at most [`MANIFEST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// `Docker-Content-Digest` as the registry gave it, verified against the bytes.
    pub digest: Option<Digest>,
    /// The id of a v1 image, whose ancestry document ([`Ancestry`](longshore_manifest::v1::Ancestry)) this is.
    pub v1: Option<ImageId>,
}

impl Head {
    /// Whether it is a manifest that was found, and not anything.
    fn is_of_manifest(&self) -> bool {
        let media_type = self.media_type.as_deref().map(MediaType::from_content_type);
        self.digest.is_some() || media_type.is_some_and(|found| found.is_manifest())
    }

    /// Whether this can be believed of the manifest with this digest. A digest of another algorithm says nothing.
    fn is_of(&self, asked: &Digest) -> bool {
        match &self.digest {
            Some(found) if found.algorithm() == asked.algorithm() => found == asked,
            _ => self.is_of_manifest(),
        }
    }
}

impl Upstream {
    /// Asks whether the manifest is there and which it is: by HEAD, which pull limits do not count. HEAD answers carry
    /// no error body, so what the origin refuses is asked again by GET, and so is an answer that need not be about this
    /// manifest; if GET gives it, this is a success.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn resolve(&self, reference: &Reference) -> Result<Head, Error> {
        let call = move |version| async move {
            match (version, reference) {
                (Version::V2, _) => {
                    let plan = self.plan(&ask(reference, Method::HEAD), reference.digest());
                    let resolve = |_, contact| self.resolve_at(contact, reference);
                    try_each(plan, Rules::DEFAULT, resolve).await
                }
                (Version::V1, Reference::Tagged(tagged)) => self.resolve_v1(tagged).await,
                (Version::V1, Reference::Canonical(_)) => Err(self.not_supported()),
            }
        };
        self.fallback(asked(reference), call).await
    }

    async fn resolve_at(&self, contact: &Contact, reference: &Reference) -> Result<Head, Failure> {
        let head = match self.inner.ask(contact, &ask(reference, Method::HEAD)).await {
            Ok(response) => head(response.headers()),
            Err(failure) if asks_for_body(&failure, contact.role) => {
                return self.resolve_by_get(contact, reference).await;
            }
            Err(failure) => return Err(failure),
        };
        let is_believed = match reference.digest() {
            Some(digest) => head.is_of(&digest),
            // What answers 200 to everything may be no v2 registry.
            None => {
                let alone = contact.is_v2() || self.inner.endpoints(Version::V1).is_empty();
                alone || head.is_of_manifest()
            }
        };
        if !is_believed {
            return self.resolve_by_get(contact, reference).await;
        }
        contact.confirm_v2();
        let is_asked = |found: &Digest| reference.digest().is_none_or(|asked| asked == *found);
        Ok(Head {
            digest: head.digest.filter(is_asked),
            ..head
        })
    }

    async fn resolve_by_get(
        &self,
        contact: &Contact,
        reference: &Reference,
    ) -> Result<Head, Failure> {
        let Fetched {
            bytes,
            media_type,
            digest,
            ..
        } = self.fetch_at(contact, reference).await?;
        let known = reference.digest().or(digest);
        Ok(Head {
            digest: Some(known.unwrap_or_else(|| Digest::sha256(&bytes))),
            media_type,
            size: Some(bytes.len() as u64),
            v1: None,
        })
    }

    /// Fetches a manifest. For a digest the bytes are verified; for a tag they are compared with the digest the
    /// registry gave, where it gave one. Of a v1 image it is the ancestry document
    /// ([`Ancestry`](longshore_manifest::v1::Ancestry)).
    ///
    /// # Errors
    /// All but [`Error::Config`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, Error> {
        let call = move |version| async move {
            match (version, reference) {
                (Version::V2, _) => {
                    let plan = self.plan(&ask(reference, Method::GET), reference.digest());
                    let fetch = |_, contact| self.fetch_at(contact, reference);
                    try_each(plan, Rules::DEFAULT, fetch).await
                }
                (Version::V1, Reference::Tagged(tagged)) => self.manifest_v1(tagged).await,
                (Version::V1, Reference::Canonical(_)) => Err(self.not_supported()),
            }
        };
        self.fallback(asked(reference), call).await
    }

    async fn fetch_at(&self, contact: &Contact, reference: &Reference) -> Result<Fetched, Failure> {
        let inner = &self.inner;
        let own = |error| Failure { error, own: true };
        let response = inner.ask(contact, &ask(reference, Method::GET)).await?;
        let Head {
            digest,
            media_type,
            size,
            ..
        } = head(response.headers());
        let coding = Coding::of(response.headers());
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
                endpoint: Arc::clone(contact.host()),
                source: Arc::new(source),
            }));
        }
        contact.confirm_v2();
        Ok(Fetched {
            bytes,
            media_type,
            digest,
            v1: None,
        })
    }
}

fn asked(reference: &Reference) -> Asked<'_> {
    Asked {
        named: reference.named(),
        by_digest: reference.digest().is_some(),
        reference,
    }
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
    let values = headers.get_all(DOCKER_CONTENT_DIGEST).iter();
    let mut digests = values.filter_map(|value| Digest::parse(value.to_str().ok()?.trim()).ok());
    Head {
        digest: digests.next(),
        media_type: fields::media_type(headers),
        size: fields::content_length(headers).filter(|&size| size > 0),
        v1: None,
    }
}

/// The largest manifest that is taken; bytes. Registries refuse to store larger ones.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";

//! Manifests: those that are held, else the registry's.

use bytes::Bytes;
use longshore_manifest::{Descriptor, Manifest, MediaType, verify};
use longshore_reference::{Canonical, Parsed, Tagged};

use super::{Error, Puller, content, error::is_not_found, error::is_wrong};
use crate::{Document, Pulled as Fetched};

/// The manifest with a digest. One that is held counts if it came for this repository before, or a tag or an index of it
/// names it; for a reference by digest the registry is asked whether this repository has it.
pub(super) async fn get(
    puller: &Puller,
    wanted: &Descriptor,
    reference: &Parsed,
) -> Result<Document, Error> {
    let of_repository = Canonical::new(reference.named().clone(), wanted.digest);
    if let Some(document) = held(puller, wanted).await {
        let is_known = reference.digest().is_none() || is_source(puller, &of_repository).await;
        match is_known {
            true => {
                remember(puller, &of_repository).await;
                return Ok(document);
            }
            false => {
                let upstream = puller.registries.registry(reference.named());
                let upstream = upstream.map_err(|error| Error::of_manifest(reference, error))?;
                match upstream.resolve(&of_repository.clone().into()).await {
                    Ok(_) => {
                        remember(puller, &of_repository).await;
                        return Ok(document);
                    }
                    Err(error) if is_not_found(&error) => {
                        return Err(Error::of_manifest(reference, error));
                    }
                    Err(error) => tracing::debug!(%error, "asking for the manifest itself"),
                }
            }
        }
    }
    let fetched = puller.registries.fetch(&of_repository.clone().into()).await;
    let fetched = fetched.map_err(|error| match is_wrong(&error) {
        true => {
            let digest = wanted.digest;
            let what = "manifest";
            Error::Verification { what, digest }
        }
        false => Error::of_manifest(reference, error),
    })?;
    let document = manifest(fetched)?;
    keep(puller, &of_repository, &document).await;
    Ok(document)
}

/// The manifest with a tag, whatever its digest.
pub(super) async fn get_by_tag(puller: &Puller, tagged: Tagged) -> Result<Document, Error> {
    let named = tagged.named().clone();
    let reference = Parsed::from(named.clone()).with_tag(tagged.tag().clone());
    let fetched = puller.registries.fetch(&tagged.into()).await;
    let document = manifest(fetched.map_err(|error| Error::of_manifest(&reference, error))?)?;
    let canonical = Canonical::new(named, document.descriptor.digest);
    keep(puller, &canonical, &document).await;
    Ok(document)
}

fn manifest(fetched: Fetched) -> Result<Document, Error> {
    match fetched {
        Fetched::Manifest(document) => Ok(*document),
        Fetched::V1(_) => Err(Error::Format),
    }
}

async fn held(puller: &Puller, wanted: &Descriptor) -> Option<Document> {
    let bytes = match puller.content.read(wanted.digest).await {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::debug!(%error, "a manifest that is held cannot be read");
            return None;
        }
    };
    if !verify(&bytes, &wanted.digest) {
        return None;
    }
    let media_type = Some(wanted.media_type.as_str()).filter(|text| !text.is_empty());
    let size = bytes.len() as u64;
    let manifest = Manifest::decode(media_type, bytes).ok()?;
    let media_type = manifest.media_type().clone();
    Some(Document {
        descriptor: Descriptor::new(media_type, wanted.digest, Some(size)),
        manifest,
    })
}

async fn is_source(puller: &Puller, manifest: &Canonical) -> bool {
    let key = manifest.digest().to_string();
    let record = puller.content.record(&key).await.unwrap_or_default();
    record.has_source(manifest.named())
}

/// Without it the registry is asked the next time.
async fn remember(puller: &Puller, manifest: &Canonical) {
    let key = manifest.digest().to_string();
    if let Err(error) = puller.content.add_source(&key, manifest.named()).await {
        tracing::warn!(%error, "the source of a manifest is not remembered");
    }
}

/// A manifest that cannot be kept is used all the same. What is known by the digest of its payload is not kept: its
/// bytes are another digest's.
async fn keep(puller: &Puller, canonical: &Canonical, document: &Document) {
    let bytes: &Bytes = document.manifest.bytes();
    let digest = canonical.digest();
    if !verify(bytes, &digest) || document.manifest.media_type() == &MediaType::Schema1Signed {
        return;
    }
    match content::put(puller.content.as_ref(), digest, bytes.clone()).await {
        Ok(()) => remember(puller, canonical).await,
        Err(error) => tracing::warn!(%error, "a manifest is not kept"),
    }
}

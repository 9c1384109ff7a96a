//! The pull of docker on containerd.

use longshore_manifest::{Descriptor, Kind, MediaType};
use longshore_reference::{Canonical, Digest, Parsed, Reference, Tag};

use super::{
    Error, Event, Events, Image, Lease, Pulled, PulledImage, Puller, Warning,
    image::{self, Parts},
    manifests, old, tags,
};
use crate::{
    Document, Resolved,
    docker::{self, labels},
};

/// Pulls what a reference stands for; without tag and digest, all tags that are tags.
pub(super) async fn pull(
    puller: &Puller,
    reference: &Parsed,
    events: &Events,
) -> Result<Pulled, Error> {
    let mut images = Vec::new();
    if reference.tag().is_some() || reference.digest().is_some() {
        images.push(pull_one(puller, reference, events).await?);
        return Ok(Pulled { images });
    }
    let named = reference.named();
    for tag in tags::all(puller, named).await? {
        let Ok(parsed) = Tag::parse(&tag) else {
            events.warn(Warning::InvalidTag { tag }).await;
            continue;
        };
        let tagged = Parsed::from(named.clone()).with_tag(parsed);
        match pull_one(puller, &tagged, events).await {
            Ok(image) => images.push(image),
            Err(source) => {
                return Err(Error::OfTag {
                    reference: Box::new(tagged),
                    source: Box::new(source),
                });
            }
        }
    }
    Ok(Pulled { images })
}

/// Pulls one image. The one that was held before is leased meanwhile, and then kept by its digest.
async fn pull_one(
    puller: &Puller,
    reference: &Parsed,
    events: &Events,
) -> Result<PulledImage, Error> {
    let name = image::name(reference);
    let held = puller.content.image(&name).await;
    let held = held.map_err(Error::content("look for an image"))?;
    let lease = match &held {
        Some(old) => Some(lease(puller, old).await?),
        None => None,
    };
    let pulled = pull_new(puller, reference, &name, events).await;
    if let (Ok((target, _)), Some(old)) = (&pulled, &held)
        && target.digest != old.target.digest
    {
        let dangling = labels::dangling_name(old.target.digest);
        if let Err(error) = puller.content.set_image(&dangling, old).await {
            let error = error.to_string();
            events.warn(Warning::OldImageNotKept(error)).await;
        }
    }
    if let Some(lease) = lease
        && let Err(error) = lease.delete().await
    {
        let error = error.to_string();
        events.warn(Warning::LeaseNotDeleted(error)).await;
    }
    let (target, parts) = pulled?;
    let newer = held.is_none_or(|old| old.target.digest != target.digest);
    events.send(Event::Digest(target.digest)).await;
    let reference = reference.clone();
    events
        .send(Event::Status {
            reference: reference.clone(),
            newer,
        })
        .await;
    Ok(PulledImage {
        reference,
        target,
        manifest: parts.manifest,
        id: parts.id,
        layers: parts.layers,
        newer,
    })
}

/// Leases all that an image consists of, as far as its manifest can be read.
async fn lease(puller: &Puller, old: &Image) -> Result<Box<dyn Lease>, Error> {
    let content = puller.content.as_ref();
    let mut digests = vec![old.target.digest, old.manifest.digest, old.id];
    let manifest = content.read(old.manifest.digest).await;
    let manifest = manifest.map_err(Error::content("lease content"))?;
    if let Some(bytes) = manifest
        && let Ok(manifest) = longshore_manifest::Manifest::decode(None, bytes)
    {
        digests.extend(manifest.layers().map(|layer| layer.digest));
    }
    let lease = content.lease(digests).await;
    lease.map_err(Error::content("create lease"))
}

/// Pulls and names an image; then its digest needs no name of its own any more.
async fn pull_new(
    puller: &Puller,
    reference: &Parsed,
    name: &str,
    events: &Events,
) -> Result<(Descriptor, Parts), Error> {
    let (target, parts) = fetch(puller, reference, events).await?;
    let named = puller.content.set_image(name, &parts.image(&target)).await;
    named.map_err(Error::content("name an image"))?;
    tracing::info!(digest = %target.digest, remote = %reference, "image pulled");
    let dangling = labels::dangling_name(target.digest);
    if let Err(error) = puller.content.remove_image(&dangling).await {
        let error = error.to_string();
        events.warn(Warning::OldNameNotRemoved(error)).await;
    }
    let reference = reference.clone();
    events.send(Event::Pulled { reference }).await;
    Ok((target, parts))
}

async fn fetch(
    puller: &Puller,
    reference: &Parsed,
    events: &Events,
) -> Result<(Descriptor, Parts), Error> {
    let wanted = resolve(puller, reference).await?;
    let target = get(puller, &wanted, reference).await?;
    let preference = puller.options.preference();
    let named = reference.named();
    let mut document = target.clone();
    let mut has_platform = true;
    let mut depth = 0;
    // Of each index the first entry that fits, and no other.
    while document.manifest.kind() == Kind::Index {
        let index = document.descriptor.digest;
        let candidates = preference.candidates(&document.manifest);
        let entry = candidates.into_iter().next().cloned();
        let Some(entry) = entry.filter(|_| depth < longshore_manifest::INDEX_DEPTH_MAX) else {
            return Err(no_match(puller, index));
        };
        depth += 1;
        has_platform = entry
            .platform
            .as_ref()
            .is_some_and(|found| !found.is_empty());
        document = get(puller, &entry, reference).await?;
    }
    let check = Some(&preference).filter(|_| !has_platform);
    let parts = match document.manifest.kind() {
        Kind::Schema1 => {
            let is_signed = document.manifest.media_type() == &MediaType::Schema1Signed;
            let schema1 = document.manifest.schema1().filter(|_| is_signed);
            let schema1 = schema1.ok_or(Error::Format)?;
            if !puller.options.schema1 {
                let error = Error::Schema1Refused(Box::new(reference.clone()));
                tracing::warn!("{error}");
                return Err(error);
            }
            let deprecated = reference.clone();
            let warning = Warning::DeprecatedSchema1 {
                reference: deprecated,
            };
            events.warn(warning).await;
            pulling_from(reference, events).await;
            old::schema1(puller, named, schema1, events).await?
        }
        Kind::Image => {
            pulling_from(reference, events).await;
            image::pull(puller, named, &document, check, events).await?
        }
        _ => return Err(Error::Format),
    };
    Ok((target.descriptor, parts))
}

/// What a reference stands for; by digest too, the registry is asked.
async fn resolve(puller: &Puller, reference: &Parsed) -> Result<Descriptor, Error> {
    let asked = match reference.digest() {
        Some(digest) => Canonical::new(reference.named().clone(), digest).into(),
        None => Reference::from(reference.clone()),
    };
    let resolved = puller.registries.resolve(&asked).await;
    match resolved.map_err(|error| not_found(reference, Error::of_manifest(reference, error)))? {
        Resolved::Manifest(descriptor) => Ok(*descriptor),
        Resolved::V1(_) => Err(Error::Format),
    }
}

async fn get(puller: &Puller, wanted: &Descriptor, reference: &Parsed) -> Result<Document, Error> {
    let document = manifests::get(puller, wanted, reference).await;
    document.map_err(|error| not_found(reference, error))
}

/// In the words of containerd.
fn not_found(reference: &Parsed, error: Error) -> Error {
    match error {
        Error::ManifestUnknown { source, .. } => Error::NotFound {
            reference: Box::new(reference.clone()),
            source,
        },
        error => error,
    }
}

fn no_match(puller: &Puller, digest: Digest) -> Error {
    let platform = puller.options.wanted().to_string().into();
    Error::NoMatch { platform, digest }
}

/// At the first manifest of an image, never at an index.
async fn pulling_from(reference: &Parsed, events: &Events) {
    let id = docker::pulling_id(reference, true);
    let name = reference.named().path().to_owned();
    events.send(Event::PullingFrom { id, name }).await;
}

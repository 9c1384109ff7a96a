//! The pull of docker's own engine.

use longshore_manifest::{Choice, Descriptor, Kind, MediaType};
use longshore_reference::{Named, Parsed, Reference, Tag, Tagged};

use super::{
    Error, Event, Events, Pulled, PulledImage, Puller, Warning, config,
    image::{self, Parts, name},
    manifests, old, tags,
};
use crate::{Document, Pulled as Fetched, Resolved, docker};

/// Pulls what a reference stands for; without tag and digest, all tags.
pub(super) async fn pull(
    puller: &Puller,
    reference: &Parsed,
    events: &Events,
) -> Result<Pulled, Error> {
    let mut images = Vec::new();
    if reference.tag().is_some() || reference.digest().is_some() {
        images.push(pull_one(puller, reference, events).await?);
    } else {
        let named = reference.named();
        for tag in tags::all(puller, named).await? {
            let tag = Tag::parse(&tag).map_err(|source| Error::InvalidTag {
                tag: tag.as_str().into(),
                source,
            })?;
            let tagged = Parsed::from(named.clone()).with_tag(tag);
            images.push(pull_one(puller, &tagged, events).await?);
        }
    }
    let newer = images.iter().any(|image| image.newer);
    let reference = reference.clone();
    events.send(Event::Status { reference, newer }).await;
    Ok(Pulled { images })
}

async fn pull_one(
    puller: &Puller,
    reference: &Parsed,
    events: &Events,
) -> Result<PulledImage, Error> {
    let (target, parts) = match resolve(puller, reference).await? {
        Some(wanted) => {
            let document = fetch(puller, reference, &wanted, events).await?;
            let parts = of_document(puller, reference, &document, events).await?;
            (document.descriptor, parts)
        }
        None => of_v1(puller, reference, events).await?,
    };
    events.send(Event::Digest(target.digest)).await;
    let name = name(reference);
    let held = puller.content.image(&name).await;
    let held = held.map_err(Error::content("look for an image"))?;
    let newer = held.is_none_or(|held| held.id != parts.id);
    let named = puller.content.set_image(&name, &parts.image(&target)).await;
    named.map_err(Error::content("name an image"))?;
    let reference = reference.clone();
    let pulled = Event::Pulled {
        reference: reference.clone(),
    };
    events.send(pulled).await;
    Ok(PulledImage {
        reference,
        target,
        manifest: parts.manifest,
        id: parts.id,
        layers: parts.layers,
        newer,
    })
}

/// What to fetch; `None` for an image of a v1 registry.
async fn resolve(puller: &Puller, reference: &Parsed) -> Result<Option<Descriptor>, Error> {
    if let Some(digest) = reference.digest() {
        let unknown = MediaType::Other("".into());
        return Ok(Some(Descriptor::new(unknown, digest, None)));
    }
    let asked = Reference::from(reference.clone());
    let resolved = puller.registries.resolve(&asked).await;
    match resolved.map_err(|error| Error::of_manifest(reference, error))? {
        Resolved::Manifest(descriptor) => Ok(Some(*descriptor)),
        Resolved::V1(_) => Ok(None),
    }
}

/// By the digest; where the registry does not know that of its own tag, by the tag.
async fn fetch(
    puller: &Puller,
    reference: &Parsed,
    wanted: &Descriptor,
    events: &Events,
) -> Result<Document, Error> {
    let error = match manifests::get(puller, wanted, reference).await {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    let tag = reference.tag().filter(|_| reference.digest().is_none());
    let Some(tag) = tag.filter(|_| error.is_not_found()) else {
        return Err(error);
    };
    tracing::debug!(%reference, %error, "falling back to pull manifest by tag");
    let endpoint = reference.named().domain().to_owned();
    events.warn(Warning::FallbackToTag { endpoint }).await;
    let tagged = Tagged::new(reference.named().clone(), tag.clone());
    let document = manifests::get_by_tag(puller, tagged).await;
    document.map_err(|error| Error::Fallback(Box::new(error)))
}

async fn of_document(
    puller: &Puller,
    reference: &Parsed,
    document: &Document,
    events: &Events,
) -> Result<Parts, Error> {
    let manifest = &document.manifest;
    if manifest.media_type() == &MediaType::Schema2
        && let Some(config) = manifest.config()
    {
        config::check_class(&puller.options, &config.media_type)?;
    }
    pulling_from(reference, events).await;
    let named = reference.named();
    match manifest.kind() {
        Kind::Index => of_index(puller, reference, document, events).await,
        Kind::Schema1 if !puller.options.schema1 => Err(Error::NotSchema2),
        Kind::Schema1 => {
            if named.domain() == "docker.io" {
                let reference = reference.clone();
                events.warn(Warning::OutdatedSchema1 { reference }).await;
            }
            of_schema1(puller, named, document, events).await
        }
        Kind::Image => image::pull(puller, named, document, None, events).await,
        _ => Err(Error::Format),
    }
}

async fn of_schema1(
    puller: &Puller,
    named: &Named,
    document: &Document,
    events: &Events,
) -> Result<Parts, Error> {
    let schema1 = document.manifest.schema1().ok_or(Error::Format)?;
    old::schema1(puller, named, schema1, events).await
}

/// The first entry for the platform whose type is known. A nested index where nothing fits leads to the next entry.
async fn of_index(
    puller: &Puller,
    reference: &Parsed,
    index: &Document,
    events: &Events,
) -> Result<Parts, Error> {
    let mut choice = Choice::new(puller.options.preference(), &index.manifest)?;
    while let Some(entry) = choice.next() {
        let document = manifests::get(puller, &entry, reference).await?;
        let named = reference.named();
        match document.manifest.kind() {
            Kind::Index => choice.descend(&document.manifest)?,
            Kind::Schema1 if !puller.options.schema1 => return Err(Error::NotSchema2),
            Kind::Schema1 => {
                let reference = reference.clone();
                events.warn(Warning::Schema1InIndex { reference }).await;
                return of_schema1(puller, named, &document, events).await;
            }
            Kind::Image => {
                return image::pull(puller, named, &document, None, events).await;
            }
            _ => {}
        }
    }
    Err(choice.no_match().into())
}

/// An image of a v1 registry. Its id stands for it, in the form of a digest.
async fn of_v1(
    puller: &Puller,
    reference: &Parsed,
    events: &Events,
) -> Result<(Descriptor, Parts), Error> {
    let asked = Reference::from(reference.clone());
    let fetched = puller.registries.fetch(&asked).await;
    let ancestry = match fetched.map_err(|error| Error::of_manifest(reference, error))? {
        Fetched::V1(ancestry) => ancestry,
        Fetched::Manifest(_) => return Err(Error::Format),
    };
    if !puller.options.schema1 {
        return Err(Error::NotSchema2);
    }
    pulling_from(reference, events).await;
    let parts = old::v1(puller, reference.named(), &ancestry, events).await?;
    Ok((parts.manifest.clone(), parts))
}

async fn pulling_from(reference: &Parsed, events: &Events) {
    let id = docker::pulling_id(reference, false);
    let name = reference.named().path().to_owned();
    events.send(Event::PullingFrom { id, name }).await;
}

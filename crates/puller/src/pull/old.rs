//! Images of schema 1 and of protocol v1, made into schema 2 images.

use longshore_manifest::convert::{self, Converted, Format, LayerBlob, V1Layer};
use longshore_manifest::{Descriptor, Manifest, MediaType, Schema1, v1::Ancestry};
use longshore_reference::{Canonical, Digest, Named};

use super::{Error, Events, Puller, content, image::Parts, layer::Wanted, layers};

/// Pulls the layers of a schema 1 image and converts it.
pub(super) async fn schema1(
    puller: &Puller,
    named: &Named,
    schema1: &Schema1,
    events: &Events,
) -> Result<Parts, Error> {
    let steps = schema1.steps()?;
    let kept = steps.iter().filter(|step| step.throwaway != Some(true));
    let wanted = kept.map(|step| Wanted::Blob {
        blob: Canonical::new(named.clone(), step.blob),
        media_type: MediaType::Schema2LayerGzip,
        urls: Vec::new(),
    });
    let unpacked = layers::pull(puller, wanted.collect(), events).await?;
    let blobs: Option<Vec<LayerBlob>> = unpacked.iter().map(|layer| layer.layer()).collect();
    let blobs = blobs.ok_or(longshore_manifest::Error::LayerMismatch)?;
    let converted = schema1.convert(Format::Schema2, &blobs)?;
    keep(puller, named, converted).await
}

/// Pulls the layers of an image of a v1 registry and converts it.
pub(super) async fn v1(
    puller: &Puller,
    named: &Named,
    ancestry: &Ancestry,
    events: &Events,
) -> Result<Parts, Error> {
    let wanted = ancestry.images().map(|(id, _)| Wanted::V1 {
        named: named.clone(),
        id: id.clone(),
    });
    let unpacked = layers::pull(puller, wanted.collect(), events).await?;
    let blobs: Option<Vec<LayerBlob>> = unpacked.iter().map(|layer| layer.layer()).collect();
    let blobs = blobs.ok_or(longshore_manifest::Error::LayerMismatch)?;
    let images = ancestry.images().zip(blobs);
    let layers = images.map(|((_, v1_json), blob)| V1Layer {
        v1_json,
        blob: Some(blob),
    });
    let layers: Vec<_> = layers.collect();
    keep(puller, named, convert::image(Format::Schema2, &layers)?).await
}

async fn keep(puller: &Puller, named: &Named, converted: Converted) -> Result<Parts, Error> {
    let Converted {
        config,
        manifest,
        media_type,
    } = converted;
    let content = puller.content.as_ref();
    let (id, digest) = (Digest::sha256(&config), Digest::sha256(&manifest));
    let size = manifest.len() as u64;
    let decoded = Manifest::decode(Some(media_type.as_str()), manifest.clone())?;
    let kept = async {
        content::put(content, digest, manifest).await?;
        content::put(content, id, config).await?;
        content.add_source(&digest.to_string(), named).await
    };
    let kept = kept.await;
    kept.map_err(Error::content("keep an image configuration"))?;
    Ok(Parts {
        manifest: Descriptor::new(media_type, digest, Some(size)),
        id,
        layers: decoded.layers().map(|layer| layer.digest).collect(),
    })
}

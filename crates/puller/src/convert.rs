//! Images of registry protocol v1 and of schema 1, made into schema 2 or OCI images.
//!
//! [`image`] reads the legacy document, has [`Layers`] fetch what it names, and writes a manifest and a configuration:
//! always the same bytes for the same image, as [`longshore_manifest::convert`] has them. Where layers come from, and
//! where they are kept, is up to the caller; [`Unpacking`] finds out what a manifest must say of each.

use std::future::Future;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use longshore_manifest::convert::{self, Converted, Format, LayerBlob, V1Layer};
use longshore_manifest::v1::{Ancestry, ImageId};
use longshore_manifest::{Manifest, MediaType, Schema1};
use longshore_reference::Digest;

mod unpack;

pub use unpack::Unpacking;

/// How many layers of one image are fetched and unpacked at once.
pub const LAYERS_AT_ONCE: usize = 8;

/// Fetches the layers of a legacy image.
///
/// A call is dropped when another one fails.
pub trait Layers: Send + Sync {
    /// Why a layer cannot be had.
    type Error: Send;

    /// Fetches and unpacks the layer of an image of protocol v1. Its digest is not known before.
    fn of_v1(&self, id: &ImageId) -> impl Future<Output = Result<LayerBlob, Self::Error>> + Send;

    /// Fetches and unpacks the layer with a digest.
    fn of_schema1(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<LayerBlob, Self::Error>> + Send;
}

/// Why a legacy image was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError<E> {
    /// The document is not that of a legacy image, or contradicts itself or its layers.
    #[error("the image cannot be converted")]
    Document(#[source] longshore_manifest::Error),
    /// A layer cannot be had.
    #[error(transparent)]
    Layer(E),
}

/// Makes an image of a legacy document: an [`Ancestry`], or a schema 1 manifest.
///
/// ```
/// use longshore_manifest::convert::{Format, LayerBlob};
/// use longshore_manifest::{MediaType, v1::ImageId};
/// use longshore_puller::convert::{self, Layers};
/// use longshore_reference::Digest;
///
/// struct None;
///
/// impl Layers for None {
///     type Error = std::io::Error;
///
///     async fn of_v1(&self, _: &ImageId) -> Result<LayerBlob, Self::Error> {
///         Err(std::io::ErrorKind::NotFound.into())
///     }
///
///     async fn of_schema1(&self, _: Digest) -> Result<LayerBlob, Self::Error> {
///         Err(std::io::ErrorKind::NotFound.into())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let schema1 = br#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#.as_slice().into();
/// let made = convert::image(&None, &MediaType::Schema1, schema1, Format::Oci).await;
/// assert_eq!(made.unwrap_err().to_string(), "the image cannot be converted");
/// # }
/// ```
///
/// # Errors
/// See [`ConvertError`].
pub async fn image<L: Layers>(
    layers: &L,
    media_type: &MediaType,
    document: Bytes,
    format: Format,
) -> Result<Converted, ConvertError<L::Error>> {
    if *media_type == MediaType::V1Ancestry {
        let ancestry = Ancestry::decode(&document).map_err(ConvertError::Document)?;
        return of_v1(layers, &ancestry, format).await;
    }
    let manifest = Manifest::decode(Some(media_type.as_str()), document);
    let manifest = manifest.map_err(ConvertError::Document)?;
    match manifest.schema1() {
        Some(schema1) => of_schema1(layers, schema1, format).await,
        None => Err(ConvertError::Document(longshore_manifest::Error::Kind {
            expected: longshore_manifest::Kind::Schema1,
            found: manifest.kind(),
        })),
    }
}

async fn of_v1<L: Layers>(
    layers: &L,
    ancestry: &Ancestry,
    format: Format,
) -> Result<Converted, ConvertError<L::Error>> {
    let images: Vec<_> = ancestry.images().collect();
    let blobs = images.iter().map(|(id, _)| layers.of_v1(id));
    let blobs = fetch(blobs.collect()).await?;
    let layers: Vec<_> = images
        .iter()
        .zip(blobs)
        .map(|((_, v1_json), blob)| V1Layer {
            v1_json,
            blob: Some(blob),
        })
        .collect();
    convert::image(format, &layers).map_err(ConvertError::Document)
}

async fn of_schema1<L: Layers>(
    layers: &L,
    schema1: &Schema1,
    format: Format,
) -> Result<Converted, ConvertError<L::Error>> {
    let steps = schema1.steps().map_err(ConvertError::Document)?;
    let kept = steps.iter().filter(|step| step.throwaway != Some(true));
    let blobs = kept.map(|step| layers.of_schema1(step.blob));
    let blobs = fetch(blobs.collect()).await?;
    let made = schema1.convert(format, &blobs);
    made.map_err(ConvertError::Document)
}

/// All layers in their order, some at once.
async fn fetch<E>(
    layers: Vec<impl Future<Output = Result<LayerBlob, E>>>,
) -> Result<Vec<LayerBlob>, ConvertError<E>> {
    let layers = stream::iter(layers).buffered(LAYERS_AT_ONCE);
    layers.try_collect().await.map_err(ConvertError::Layer)
}

#[cfg(test)]
mod tests;

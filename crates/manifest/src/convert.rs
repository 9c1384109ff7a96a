//! Conversions between the generations of images, the same bytes every time.
//!
//! Images of protocol v1 and of schema 1 become schema 2 or OCI images as moby makes them: the
//! configuration by [`crate::v1::image_config`], layers that are marked as throwaway left out.
//! What those layers contain is not looked at, so that the result depends on nothing but the
//! documents and the layers' digests. Images become schema 1 as distribution makes it.

use bytes::Bytes;
use longshore_reference::{Algorithm, Digest};
use serde::Deserialize;

pub use crate::format::Format;
use crate::{
    Descriptor, DiffId, Error, History, ImageConfig, ManifestBuilder, MediaType, Schema1, go_json,
    v1,
    wire::{self, Text},
};

/// A layer, downloaded and unpacked; see [`image`].
///
/// ```
/// use longshore_manifest::{DiffId, convert::LayerBlob};
/// use longshore_reference::Digest;
///
/// // A plain tar is its own inside.
/// let digest = Digest::sha256(b"tar");
/// let blob = LayerBlob { digest, size: 3, diff_id: DiffId::new(digest), gzipped: false };
/// assert_eq!(blob.diff_id.digest(), blob.digest);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerBlob {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Digest of the plain tar inside.
    pub diff_id: DiffId,
    /// Whether the blob is a gzipped tar; otherwise it is a plain one.
    pub gzipped: bool,
}

/// A v1 image and the layer it added; see [`image`].
///
/// ```
/// use longshore_manifest::{Manifest, convert::{self, Format, V1Layer}};
///
/// // One that changed no file has no layer.
/// let step = V1Layer { v1_json: br#"{"os":"linux"}"#, blob: None };
/// let made = convert::image(Format::Oci, &[step])?;
/// assert_eq!(Manifest::decode(None, made.manifest)?.layers().count(), 0);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V1Layer<'a> {
    /// The v1 image as JSON.
    pub v1_json: &'a [u8],
    /// Its layer; `None` if it changed no file.
    pub blob: Option<LayerBlob>,
}

/// An image that was made from an older one; see [`image`].
///
/// ```
/// use longshore_manifest::{ImageConfig, convert::{self, Format, V1Layer}};
///
/// let step = V1Layer { v1_json: br#"{"os":"linux","architecture":"arm"}"#, blob: None };
/// let made = convert::image(Format::Schema2, &[step])?;
/// assert_eq!(&*ImageConfig::decode(&made.config)?.platform().architecture, "arm");
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The configuration; its digest is the image's id.
    pub config: Bytes,
    /// The manifest.
    pub manifest: Bytes,
    /// Type of the manifest.
    pub media_type: MediaType,
}

/// Makes an image of the v1 images of a registry of protocol v1, base first.
///
/// ```
/// use longshore_manifest::{DiffId, Manifest, convert::{self, Format, LayerBlob, V1Layer}};
/// use longshore_reference::Digest;
///
/// let digest = Digest::sha256(b"tar");
/// let blob = LayerBlob { digest, size: 3, diff_id: DiffId::new(digest), gzipped: false };
/// let layer = V1Layer { v1_json: br#"{"os":"linux","docker_version":"1.9.0"}"#, blob: Some(blob) };
/// let converted = convert::image(Format::Oci, &[layer])?;
/// let manifest = Manifest::decode(None, converted.manifest)?;
/// assert_eq!(manifest.config().unwrap().digest, Digest::sha256(&converted.config));
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// There is no image, or one of them is not readable.
pub fn image(format: Format, layers: &[V1Layer<'_>]) -> Result<Converted, Error> {
    let top = layers.last().ok_or(Error::Conversion {
        reason: "no layers",
    })?;
    let history = layers
        .iter()
        .map(|layer| History::from_v1(layer.v1_json, layer.blob.is_none()))
        .collect::<Result<Vec<_>, _>>()?;
    let blobs: Vec<_> = layers.iter().filter_map(|layer| layer.blob).collect();
    let diff_ids: Vec<_> = blobs.iter().map(|blob| blob.diff_id).collect();
    let config = v1::image_config(top.v1_json, &diff_ids, &history)?;
    let manifest = manifest(format, &config, &blobs)?;
    Ok(Converted {
        config: config.into(),
        manifest: manifest.into(),
        media_type: format.manifest_type(),
    })
}

impl Schema1 {
    /// Makes an image of this one. `blobs` are the layers of [`Self::steps`] that are not
    /// throwaway, in that order.
    ///
    /// # Errors
    /// Those of [`Self::steps`] and of [`image`], or `blobs` are not these layers.
    pub fn convert(&self, format: Format, blobs: &[LayerBlob]) -> Result<Converted, Error> {
        let steps = self.steps()?;
        let expected = steps
            .iter()
            .filter(|step| step.throwaway != Some(true))
            .count();
        if blobs.len() != expected {
            return Err(Error::LayerCount {
                expected,
                found: blobs.len(),
            });
        }
        let mut blobs = blobs.iter();
        let mut layers = Vec::with_capacity(steps.len());
        for step in &steps {
            let blob = if step.throwaway == Some(true) {
                None
            } else {
                blobs.next().copied()
            };
            if blob.is_some_and(|blob| blob.digest != step.blob) {
                return Err(Error::LayerMismatch);
            }
            layers.push(V1Layer {
                v1_json: step.v1_json.as_bytes(),
                blob,
            });
        }
        image(format, &layers)
    }

    /// Makes schema 1 of an image: its configuration and the blobs of its layers, base first. It
    /// is not signed yet: [`Self::sign`].
    ///
    /// ```
    /// use longshore_manifest::Schema1;
    ///
    /// let config = br#"{"architecture":"arm","rootfs":{"diff_ids":[]},"history":[{"empty_layer":true}]}"#;
    /// let schema1 = Schema1::from_config("library/hello", "latest", config, &[])?;
    /// assert_eq!(schema1.steps()?.len(), 1);
    /// # Ok::<(), longshore_manifest::Error>(())
    /// ```
    ///
    /// # Errors
    /// The configuration is not readable, has no history, or not as many layers as there are.
    pub fn from_config(
        name: &str,
        tag: &str,
        config_json: &[u8],
        layers: &[Digest],
    ) -> Result<Self, Error> {
        let config = ImageConfig::decode(config_json)?;
        let base: Base<'_> = wire::read("image configuration", config_json)?;
        let diff_ids = config.diff_ids()?;
        if diff_ids.len() != layers.len() {
            return Err(Error::LayerCount {
                expected: diff_ids.len(),
                found: layers.len(),
            });
        }
        let Some((top, below)) = config.history().split_last() else {
            let reason = "empty history when trying to create schema1 manifest";
            return Err(Error::Conversion { reason });
        };
        let empty = Digest::parse(EMPTY_LAYER).map_err(|source| Error::Digest {
            part: "empty layer",
            digest: EMPTY_LAYER.into(),
            source,
        })?;
        let mut layers = layers.iter().copied();
        let mut next = |step: &History| {
            let reason = "too many non-empty layers in History section";
            let layer = if step.empty_layer {
                Some(empty)
            } else {
                layers.next()
            };
            layer.ok_or(Error::Conversion { reason })
        };
        let mut steps = Vec::with_capacity(config.history().len());
        let mut parent = String::new();
        for (place, step) in below.iter().enumerate() {
            let blob = next(step)?;
            let id = Digest::sha256(format!("{} {parent}", blob.hex()).as_bytes())
                .hex()
                .to_string();
            if let (0, Some(base_layer)) = (place, base.rootfs.base_layer.some()) {
                // Windows: the base has a parent that is not in the manifest.
                let outside = Digest::of(Algorithm::Sha384, base_layer.as_bytes());
                parent = outside.hex().chars().take(64).collect();
            }
            steps.push((blob, lower_step(&id, &parent, step)?));
            parent = id;
        }
        let blob = next(top)?;
        // Written nowhere, but distribution reads it too.
        go_json::time(top.created.as_deref())?;
        let seed = [format!("{} {parent} ", blob.hex()).as_bytes(), config_json].concat();
        let id = Digest::sha256(&seed).hex().to_string();
        steps.push((
            blob,
            v1::from_config(config_json, &id, &parent, top.empty_layer)?,
        ));
        let architecture = &config.platform().architecture;
        Self::decode(payload(name, tag, architecture, &steps).into())
    }
}

/// The manifest, indented by three spaces as distribution and containerd do.
fn manifest(format: Format, config: &str, blobs: &[LayerBlob]) -> Result<String, Error> {
    let digest = Digest::sha256(config.as_bytes());
    let size = u64::try_from(config.len()).unwrap_or(u64::MAX);
    let config = Descriptor::new(format.config_type(), digest, Some(size));
    let layer = |blob: &LayerBlob| {
        let media_type = format.layer_type(blob.gzipped);
        Descriptor::new(media_type, blob.digest, Some(blob.size))
    };
    let manifest = ManifestBuilder::new(format, config).layers(blobs.iter().map(layer));
    Ok(go_json::indent(&manifest.to_json()?, "", INDENT))
}

/// A v1 image that fits the format and collides with no other, but does not run by itself.
fn lower_step(id: &str, parent: &str, step: &History) -> Result<String, Error> {
    let created = go_json::time(step.created.as_deref())?;
    let optional = |key: &str, text: &str| match text {
        "" => String::new(),
        text => format!(",\"{key}\":{}", go_json::string(text)),
    };
    Ok(format!(
        r#"{{"id":"{id}"{}{},"created":"{created}","container_config":{{"Cmd":[{}]}}{}{}}}"#,
        optional("parent", parent),
        optional("comment", &step.comment),
        go_json::string(&step.created_by),
        optional("author", &step.author),
        if step.empty_layer {
            ",\"throwaway\":true"
        } else {
            ""
        },
    ))
}

fn payload(name: &str, tag: &str, architecture: &str, steps: &[(Digest, String)]) -> String {
    let newest_first = || steps.iter().rev();
    let layers: Vec<_> = newest_first()
        .map(|(blob, _)| format!(r#"{{"blobSum":"{blob}"}}"#))
        .collect();
    let history: Vec<_> = newest_first()
        .map(|(_, v1_json)| format!(r#"{{"v1Compatibility":{}}}"#, go_json::string(v1_json)))
        .collect();
    let compact = format!(
        r#"{{"schemaVersion":1,"name":{},"tag":{},"architecture":{},"fsLayers":[{}],"history":[{}]}}"#,
        go_json::string(name),
        go_json::string(tag),
        go_json::string(architecture),
        layers.join(","),
        history.join(","),
    );
    go_json::indent(&compact, "", INDENT)
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Base<'a> {
    #[serde(borrow)]
    rootfs: BaseRootFs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct BaseRootFs<'a> {
    #[serde(borrow)]
    base_layer: Text<'a>,
}

wire::from_objects!(Base<'a>, BaseRootFs<'a>);

/// The gzipped empty tar every registry has for steps that changed no file: 32 bytes.
pub const EMPTY_LAYER: &str =
    "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

const INDENT: &str = "   ";

#[cfg(test)]
mod tests;

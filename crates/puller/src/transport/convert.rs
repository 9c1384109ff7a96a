//! Manifests of Docker's format as OCI has them: the same configuration, the same layers, other names of types.

use longshore_manifest::{
    Descriptor, Format, IndexBuilder, Kind, Manifest, ManifestBuilder, MediaType,
};

use super::error::Error;
use crate::Document;

/// Whether a manifest is OCI's.
pub(super) fn is_oci(manifest: &Manifest) -> bool {
    matches!(
        manifest.media_type(),
        MediaType::OciManifest | MediaType::OciIndex | MediaType::OciArtifact
    )
}

/// The image in OCI's format.
pub(super) fn image(manifest: &Manifest) -> Result<Document, Error> {
    whole(manifest)?;
    let unusable = |source| Error::document("manifest", source);
    let absent = longshore_manifest::Error::Absent { part: "config" };
    let config = manifest.config().ok_or_else(|| unusable(absent))?;
    let layers = manifest.layers().map(renamed);
    let builder = ManifestBuilder::new(Format::Oci, renamed(config)).layers(layers);
    builder.build().map(described).map_err(unusable)
}

/// The index in OCI's format, with these manifests in place of its entries, in their order.
pub(super) fn index(manifest: &Manifest, children: &[Descriptor]) -> Result<Document, Error> {
    whole(manifest)?;
    let unusable = |source| Error::document("index", source);
    let entries = manifest.manifests().zip(children).map(|(entry, child)| {
        let mut entry = entry.clone();
        entry.media_type = child.media_type.clone();
        entry.digest = child.digest;
        entry.size = child.size;
        entry
    });
    let mut builder = IndexBuilder::new(Format::Oci).manifests(entries);
    for (key, value) in manifest.annotations() {
        builder = builder.annotation(key, value);
    }
    builder.build().map(described).map_err(unusable)
}

/// Nothing is lost: every entry was readable.
fn whole(manifest: &Manifest) -> Result<(), Error> {
    match (manifest.skipped(), manifest.kind()) {
        ([], Kind::Image | Kind::Index) => Ok(()),
        ([], _) => Err(Error::Unsupported(
            "only images of schema 2 and OCI can be converted",
        )),
        _ => {
            let source = longshore_manifest::Error::Absent { part: "digest" };
            Err(Error::document("manifest", source))
        }
    }
}

fn described(manifest: Manifest) -> Document {
    let size = Some(manifest.bytes().len() as u64);
    let descriptor = Descriptor::new(manifest.media_type().clone(), manifest.digest(), size);
    Document {
        descriptor,
        manifest,
    }
}

fn renamed(descriptor: &Descriptor) -> Descriptor {
    let mut renamed = descriptor.clone();
    renamed.media_type = match &descriptor.media_type {
        MediaType::Schema2Config => MediaType::OciConfig,
        MediaType::Schema2Layer => MediaType::OciLayer,
        MediaType::Schema2LayerGzip => MediaType::OciLayerGzip,
        MediaType::Schema2ForeignLayer => MediaType::OciForeignLayer,
        MediaType::Schema2ForeignLayerGzip => MediaType::OciForeignLayerGzip,
        other => other.clone(),
    };
    renamed
}

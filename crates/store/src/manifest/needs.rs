//! What a client that pulls a manifest fetches after it, by the kind of client: a runtime wants an image to its last
//! layer, a tool that reads a signature wants the signature.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore_manifest::{Child, Descriptor, Kind, Manifest, MediaType, Role};
use longshore_reference::Digest;

/// The empty JSON object of OCI artifacts: clients know its bytes (image-spec, "Guidance for an Empty Descriptor").
static EMPTY: LazyLock<Digest> = LazyLock::new(|| Digest::sha256(b"{}"));

/// What must be held so that a pull gets to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// All of these blobs.
    All(Vec<Digest>),
    /// One of these blobs.
    Any(Vec<Digest>),
    /// One of these manifests, with what it needs.
    OneOf(Vec<Digest>),
    /// It names something that cannot be fetched.
    Impossible,
}

impl Needs {
    /// What a client of this manifest needs.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        match manifest.kind() {
            Kind::Index => of_index(manifest),
            Kind::Schema1 => of_schema1(manifest),
            Kind::Image if is_image(manifest) => of_image(manifest),
            _ => of_artifact(manifest),
        }
    }

    /// Nothing but the manifest.
    fn nothing() -> Self {
        Self::All(Vec::new())
    }
}

/// An image has an image's configuration and layers. A signature has the configuration but no layers of a file system.
fn is_image(manifest: &Manifest) -> bool {
    let has_config = manifest.config().is_none_or(|config| {
        config.media_type.is_config() || config.media_type.as_str().is_empty()
    });
    let mut layers = manifest.layers().peekable();
    has_config && (layers.peek().is_none() || layers.any(is_file_system))
}

fn is_file_system(layer: &Descriptor) -> bool {
    let media_type = layer.media_type.as_str();
    media_type.is_empty()
        || media_type == "application/octet-stream"
        || media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.")
}

fn of_image(manifest: &Manifest) -> Needs {
    if !manifest.skipped().is_empty() {
        return Needs::Impossible;
    }
    // Foreign layers come from elsewhere.
    let wanted = |child: &&Child| matches!(child.role, Role::Config | Role::Layer);
    let wanted = manifest.children().iter().filter(wanted);
    let absent = wanted.filter(|child| !is_inside(&child.descriptor));
    Needs::All(absent.map(|child| child.descriptor.digest).collect())
}

/// Clients of artifacts take some of the layers, and read a configuration only where it is an image's.
fn of_artifact(manifest: &Manifest) -> Needs {
    let layers: Vec<_> = manifest.layers().collect();
    if layers.is_empty() && manifest.skipped().is_empty()
        || layers.iter().any(|layer| is_inside(layer))
    {
        return Needs::nothing();
    }
    Needs::Any(layers.iter().map(|layer| layer.digest).collect())
}

/// A client picks the entry of its platform. A list of referrers is read for itself.
fn of_index(manifest: &Manifest) -> Needs {
    let entries: Vec<_> = manifest.manifests().collect();
    let is_artifact = |entry: &&&Descriptor| entry.artifact_type.is_some();
    if manifest.skipped().is_empty() && entries.iter().filter(is_artifact).count() == entries.len()
    {
        return Needs::nothing();
    }
    // Attestations stand beside the images that they are about; nobody pulls them in their place.
    let is_about = |entry: &&Descriptor| {
        entry.annotations.contains_key("vnd.docker.reference.type")
            || entry.platform.as_ref().is_some_and(|platform| {
                let platform = platform.to_string();
                platform == "unknown/unknown"
            })
    };
    let images: Vec<_> = entries
        .iter()
        .copied()
        .filter(|entry| !is_about(entry))
        .collect();
    let wanted = if images.is_empty() { entries } else { images };
    Needs::OneOf(wanted.iter().map(|entry| entry.digest).collect())
}

/// Nobody pulls the layers of steps that changed nothing.
fn of_schema1(manifest: &Manifest) -> Needs {
    let steps = manifest.schema1().and_then(|schema1| schema1.steps().ok());
    let wanted = steps.unwrap_or_default();
    let wanted = wanted.iter().filter(|step| step.throwaway != Some(true));
    let blobs: Vec<_> = wanted.map(|step| step.blob).collect();
    if blobs.is_empty() {
        return Needs::Impossible;
    }
    Needs::All(blobs)
}

/// Whether a client has the bytes from the manifest itself.
pub(crate) fn is_inside(descriptor: &Descriptor) -> bool {
    descriptor.digest == *EMPTY
        || descriptor.media_type == MediaType::OciEmpty
        || descriptor.data.as_ref().is_some_and(|data| {
            let digest = descriptor.digest;
            STANDARD
                .decode(data.as_bytes())
                .is_ok_and(|bytes| Digest::of(digest.algorithm(), &bytes) == digest)
        })
}

#[cfg(test)]
mod tests;

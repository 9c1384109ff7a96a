//! What a manifest names, as far as it matters for what is evicted together.

use bytes::Bytes;
use longshore_manifest::{Manifest, Role};
use longshore_reference::Digest;

/// The blobs and manifests that a document names, if it can be understood as a manifest.
pub(crate) fn children(media_type: Option<&str>, bytes: &Bytes) -> Option<Vec<Digest>> {
    let guessed = match media_type {
        Some(_) => None,
        None => Some(longshore_manifest::guess(bytes)?),
    };
    let media_type = media_type.or_else(|| guessed.as_ref().map(|guessed| guessed.as_str()));
    let manifest = Manifest::decode(media_type, bytes.clone()).ok()?;
    if let Some(schema1) = manifest.schema1() {
        let steps = schema1.steps().unwrap_or_default();
        return Some(steps.iter().map(|step| step.blob).collect());
    }
    let named = manifest.children().iter().filter(|child| {
        matches!(
            child.role,
            Role::Config | Role::Layer | Role::ForeignLayer | Role::Manifest
        )
    });
    Some(named.map(|child| child.descriptor.digest).collect())
}

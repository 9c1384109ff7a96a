//! Labels that containerd keeps with content and hands to snapshotters.
//!
//! ```
//! use longshore_puller::docker::labels;
//!
//! assert_eq!(labels::append_source("library/busybox", "library/alpine"), "library/alpine,library/busybox");
//! assert_eq!(labels::source_key("quay.io"), "containerd.io/distribution.source.quay.io");
//! ```

use std::collections::{BTreeMap, BTreeSet};

use longshore_reference::{Digest, Named};

/// A label that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "label key and value length ({total} bytes) greater than maximum size ({LABEL_BYTES_MAX} bytes), key: {key}: invalid argument"
)]
pub struct TooLong {
    total: usize,
    key: String,
}

/// Checks the length of a label: key and value have 4,096 bytes at most.
///
/// # Errors
/// [`TooLong`], with the first 64 bytes of the key.
pub fn validate(key: &str, value: &str) -> Result<(), TooLong> {
    let total = key.len() + value.len();
    if total <= LABEL_BYTES_MAX {
        return Ok(());
    }
    let end = (0..=key.len().min(KEY_SHOWN_BYTES)).rev();
    let key = end.into_iter().find_map(|end| key.get(..end));
    let key = key.unwrap_or_default().to_owned();
    Err(TooLong { total, key })
}

/// Whether containerd gives the label a meaning, so that none may come from an image.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.starts_with("containerd.io/") || key.starts_with("io.cri-containerd")
}

/// The key of the label that says which repositories of a registry have some content.
#[must_use]
pub fn source_key(host: &str) -> String {
    [SOURCE, ".", host].concat()
}

/// The key of the label and the repository for a name. containerd leaves the port of the registry out, the engine of
/// Docker does not: `with_port`.
#[must_use]
pub fn source_of(named: &Named, with_port: bool) -> (String, &str) {
    let domain = named.domain();
    let host = match domain.rsplit_once(':') {
        Some((host, port)) if !with_port && !port.ends_with(']') => host,
        _ => domain,
    };
    let host = match with_port {
        true => host,
        false => host.trim_start_matches('[').trim_end_matches(']'),
    };
    (source_key(host), named.path())
}

/// The value of the label with one more repository: sorted, each once.
#[must_use]
pub fn append_source(value: &str, repository: &str) -> String {
    let repositories = value.split(',').chain([repository]);
    let sorted: BTreeSet<&str> = repositories.filter(|name| !name.is_empty()).collect();
    let sorted: Vec<&str> = sorted.into_iter().collect();
    sorted.join(",")
}

/// Whether the value of the label names a repository. Content that is held for other repositories only has to be asked
/// for upstream before it is used for this one.
#[must_use]
pub fn has_source(value: &str, repository: &str) -> bool {
    value.split(',').any(|name| name == repository)
}

/// The repository to mount content from: of those that have it, the last that shares most leading components with the
/// target, which itself is none of them.
#[must_use]
pub fn mount_candidate<'a>(value: &'a str, target: &str) -> Option<&'a str> {
    let candidates = value
        .split(',')
        .filter(|name| !name.is_empty() && *name != target);
    candidates.max_by_key(|name| common_prefix(name, target))
}

/// How many leading components two repositories share.
#[must_use]
pub fn common_prefix(one: &str, other: &str) -> usize {
    let pairs = one.split('/').zip(other.split('/'));
    pairs.take_while(|(one, other)| one == other).count()
}

/// The labels of a layer for snapshotters that fetch it themselves: the image, its manifest, the layer, and as many of
/// the layers from this one on as fit into a label. Only for manifests of schema 2 and OCI.
#[must_use]
pub fn snapshot_labels(
    image: &str,
    manifest: Digest,
    layers_from_this: &[Digest],
) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        (IMAGE_REF, image.to_owned()),
        (MANIFEST_DIGEST, manifest.to_string()),
    ]);
    if let Some(layer) = layers_from_this.first() {
        labels.insert(LAYER_DIGEST, layer.to_string());
        let value = layers_value(IMAGE_LAYERS, layers_from_this, LABEL_BYTES_MAX);
        labels.insert(IMAGE_LAYERS, value);
    }
    labels
}

/// Digests joined by commas, as many whole ones as fit beside the key.
#[must_use]
pub fn layers_value(key: &str, layers: &[Digest], bytes_max: usize) -> String {
    let mut value = String::new();
    for layer in layers {
        let layer = layer.to_string();
        let comma = usize::from(!value.is_empty());
        if key.len() + value.len() + comma + layer.len() > bytes_max {
            break;
        }
        if comma == 1 {
            value.push(',');
        }
        value.push_str(&layer);
    }
    value
}

/// The name under which an image is kept when its tag has moved on.
#[must_use]
pub fn dangling_name(digest: Digest) -> String {
    format!("moby-dangling@{digest}")
}

/// The labels of an image that is kept so: all but those with its name.
pub fn dangling_labels<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<&'a str, &'a str> {
    let names = [
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    ];
    labels
        .into_iter()
        .filter(|(key, _)| !names.contains(key))
        .collect()
}

/// The length of a key and its value.
pub const LABEL_BYTES_MAX: usize = 4096;

/// The label with the image.
pub const IMAGE_REF: &str = "containerd.io/snapshot/cri.image-ref";

/// The label with the digest of the manifest.
pub const MANIFEST_DIGEST: &str = "containerd.io/snapshot/cri.manifest-digest";

/// The label with the digest of the layer.
pub const LAYER_DIGEST: &str = "containerd.io/snapshot/cri.layer-digest";

/// The label with the digests of the layers from this one on.
pub const IMAGE_LAYERS: &str = "containerd.io/snapshot/cri.image-layers";

const SOURCE: &str = "containerd.io/distribution.source";
const KEY_SHOWN_BYTES: usize = 64;

//! Images of registry protocol v1 and of schema 1: one JSON document for each layer.
//!
//! Everything is written as Docker's tools, which are in Go, write it, byte for byte: the digests
//! of images are made of these bytes.

mod ancestry;
mod image;

use std::num::{IntErrorKind, ParseIntError};

use longshore_reference::Digest;

pub use self::ancestry::{Ancestry, IMAGES_MAX, ImageId};
use self::image::Image;
use crate::{DiffId, Error, History, go_json, go_json::Object, wire};

/// The image configuration of the v1 image `v1_json`: its keys, the layers it consists of and how
/// they were made, both base first.
///
/// Made by a Docker before 1.8.3, the image first loses all keys that are not known, and empty
/// ones. The digest of the result is the image's id.
///
/// ```
/// use longshore_manifest::{History, v1};
///
/// let v1_json = br#"{"id":"a1","os": "linux","docker_version":"1.9.1","Size":3}"#;
/// let config = v1::image_config(v1_json, &[], &[])?;
/// assert_eq!(
///     config,
///     r#"{"docker_version":"1.9.1","history":[],"os":"linux","rootfs":{"type":"layers"}}"#
/// );
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// `v1_json` is not an object, or a key of it has the wrong type or is no time.
pub fn image_config(
    v1_json: &[u8],
    diff_ids: &[DiffId],
    history: &[History],
) -> Result<String, Error> {
    let image: Image = wire::read("v1 image", v1_json)?;
    let mut config = if is_old(&image.docker_version.0) {
        image.to_object()?
    } else {
        Object::parse("v1 image", v1_json)?
    };
    for key in ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"] {
        config.remove(key);
    }
    let diff_ids: Vec<_> = diff_ids
        .iter()
        .map(|diff_id| format!("\"{diff_id}\""))
        .collect();
    let rootfs = if diff_ids.is_empty() {
        r#"{"type":"layers"}"#.to_owned()
    } else {
        format!(r#"{{"type":"layers","diff_ids":[{}]}}"#, diff_ids.join(","))
    };
    let history = history
        .iter()
        .map(History::to_json)
        .collect::<Result<Vec<_>, _>>()?;
    config.set("rootfs", rootfs);
    config.set("history", format!("[{}]", history.join(",")));
    Ok(config.to_json())
}

/// The v1 image of an image configuration: the way back. `parent` is empty for the base.
///
/// ```
/// use longshore_manifest::v1;
///
/// let v1_json = v1::from_config(br#"{"rootfs":{},"history":[],"os":"linux"}"#, "a1", "", true)?;
/// assert_eq!(v1_json, r#"{"id":"a1","os":"linux","throwaway":true}"#);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// `config_json` is not an object.
pub fn from_config(
    config_json: &[u8],
    id: &str,
    parent: &str,
    throwaway: bool,
) -> Result<String, Error> {
    let mut image = Object::parse("image configuration", config_json)?;
    image.remove("rootfs");
    image.remove("history");
    image.set("id", go_json::string(id));
    if !parent.is_empty() {
        image.set("parent", go_json::string(parent));
    }
    if throwaway {
        image.set("throwaway", "true".to_owned());
    }
    Ok(image.to_json())
}

/// The id Docker gives to a layer of a v1 image for old clients: it stands for the image's known
/// keys, its content (`chain_id`) and its parent's id.
///
/// ```
/// use longshore_manifest::v1;
/// use longshore_reference::Digest;
///
/// let chain_id = Digest::sha256(b"layers");
/// let base = v1::create_id(br#"{"os":"linux"}"#, &chain_id, None)?;
/// let child = v1::create_id(br#"{"os":"linux"}"#, &chain_id, Some(&base))?;
/// assert_ne!(base, child);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// As [`image_config`].
pub fn create_id(
    v1_json: &[u8],
    chain_id: &Digest,
    parent: Option<&Digest>,
) -> Result<Digest, Error> {
    let image: Image = wire::read("v1 image", v1_json)?;
    let mut image = image.to_object()?;
    image.remove("id");
    image.set("layer_id", format!("\"{chain_id}\""));
    if let Some(parent) = parent {
        image.set("parent", format!("\"{parent}\""));
    }
    Ok(Digest::sha256(image.to_json().as_bytes()))
}

impl History {
    /// What the v1 image `v1_json` says of its own making. `empty_layer` is for the caller to
    /// say: never in protocol v1, `throwaway` in schema 1.
    ///
    /// # Errors
    /// As [`image_config`].
    pub fn from_v1(v1_json: &[u8], empty_layer: bool) -> Result<Self, Error> {
        let image: Image = wire::read("v1 image", v1_json)?;
        Ok(Self {
            created: Some(image.created()?.into()),
            author: image.author.0.as_str().into(),
            created_by: image.command().into(),
            comment: image.comment.0.as_str().into(),
            empty_layer,
        })
    }
}

/// Whether a Docker of this version wrote keys that must not survive: before 1.8.3. Missing and
/// unreadable parts of the version count as 0.
fn is_old(docker_version: &str) -> bool {
    let mut parts = docker_version.split('.').map(version_part);
    let mut first = || parts.next().unwrap_or_default();
    let known = [first(), first(), first()];
    // A fourth part that is not 0 decides between versions that are equal so far.
    let rest = parts.find(|part| *part != 0).unwrap_or_default();
    known.cmp(&[1, 8, 3]).then(rest.cmp(&0)).is_lt()
}

/// A number as Go's `Atoi` has it when its error is ignored: what is out of range is the nearest.
fn version_part(part: &str) -> i64 {
    part.parse()
        .unwrap_or_else(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => i64::MAX,
            IntErrorKind::NegOverflow => i64::MIN,
            _ => 0,
        })
}

#[cfg(test)]
mod tests;

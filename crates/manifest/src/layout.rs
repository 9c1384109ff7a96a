//! The OCI image layout: a folder, or a tar, with blobs by digest and an index (image-spec,
//! `image-layout.md`).
//!
//! This is the part without files: the names in it and the two documents, read and written.

use bytes::Bytes;
use longshore_reference::Digest;
use serde::Deserialize;

use crate::{
    Descriptor, Error, Format, IndexBuilder, Kind, Manifest, MediaType,
    wire::{self, Text},
};

/// Name of the file that marks a layout.
pub const MARKER_FILE: &str = "oci-layout";

/// What is in [`MARKER_FILE`].
pub const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Name of the file with the index.
pub const INDEX_FILE: &str = "index.json";

/// The annotation of an entry that names it.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Where a blob is: `blobs/<algorithm>/<hex>`.
///
/// ```
/// use longshore_manifest::layout;
/// use longshore_reference::Digest;
///
/// let path = layout::blob_path(&Digest::sha256(b"{}"));
/// assert!(path.starts_with("blobs/sha256/44136fa3"));
/// ```
#[must_use]
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// Checks what is in [`MARKER_FILE`].
///
/// ```
/// use longshore_manifest::layout;
///
/// layout::check_marker(layout::MARKER.as_bytes())?;
/// assert!(layout::check_marker(br#"{"imageLayoutVersion":"2.0.0"}"#).is_err());
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// Not JSON, or not a version 1 of the layout.
pub fn check_marker(bytes: &[u8]) -> Result<(), Error> {
    let marker: Marker<'_> = wire::read("oci-layout", bytes)?;
    let version = &*marker.image_layout_version.0;
    if version.starts_with("1.") {
        return Ok(());
    }
    Err(Error::LayoutVersion {
        found: version.into(),
    })
}

/// The index of a layout, [`INDEX_FILE`]: which images are in it, under which names.
///
/// ```
/// use longshore_manifest::{Descriptor, MediaType, layout::Index};
/// use longshore_reference::Digest;
///
/// let image = Descriptor::new(MediaType::OciManifest, Digest::sha256(b"a manifest"), Some(10));
/// let mut index = Index::new();
/// index.set(image, Some("v1"));
/// let index = Index::decode(index.encode()?)?;
/// assert_eq!(index.find(Some("v1"))?.size, Some(10));
/// assert_eq!(index.find(None)?.size, Some(10), "the only one");
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Descriptor>,
    artifact_type: Option<MediaType>,
    annotations: Vec<(Box<str>, Box<str>)>,
    is_partial: bool,
}

impl Index {
    /// An index without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an index. Entries with an unreadable digest are left out.
    ///
    /// # Errors
    /// As [`Manifest::decode`]; not an index.
    pub fn decode(bytes: Bytes) -> Result<Self, Error> {
        let manifest = Manifest::decode(None, bytes)?;
        if manifest.kind() != Kind::Index {
            return Err(Error::Kind {
                expected: Kind::Index,
                found: manifest.kind(),
            });
        }
        let annotations = manifest.annotations().iter();
        Ok(Self {
            entries: manifest.manifests().cloned().collect(),
            artifact_type: manifest.own_artifact_type().cloned(),
            annotations: annotations.map(|(k, v)| (k.clone(), v.clone())).collect(),
            is_partial: !manifest.skipped().is_empty(),
        })
    }

    /// The entries, in their order.
    #[must_use]
    pub fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// The name of an entry.
    #[must_use]
    pub fn name(entry: &Descriptor) -> Option<&str> {
        entry.annotations.get(REF_NAME).map(|name| &**name)
    }

    /// The entry with this name; without a name, the only one there is.
    ///
    /// # Errors
    /// No entry has this name; without a name, there is not exactly one. The texts are those of
    /// containers/image.
    pub fn find(&self, name: Option<&str>) -> Result<&Descriptor, Error> {
        let Some(name) = name else {
            return match self.entries.as_slice() {
                [entry] => Ok(entry),
                entries => Err(Error::NotOneImage {
                    images: entries.len(),
                }),
            };
        };
        let is_it =
            |entry: &&Descriptor| entry.media_type.is_manifest() && Self::name(entry) == Some(name);
        let entry = self.entries.iter().find(is_it);
        entry.ok_or_else(|| Error::NoSuchName { name: name.into() })
    }

    /// Adds an image under a name, or without one. It replaces the one of that name; an image
    /// without a name replaces itself.
    pub fn set(&mut self, mut image: Descriptor, name: Option<&str>) {
        image.annotations.remove(REF_NAME);
        if let Some(name) = name {
            image.annotations.insert(REF_NAME.into(), name.into());
        }
        self.entries.retain(|entry| match name {
            Some(name) => Self::name(entry) != Some(name),
            None => Self::name(entry).is_some() || entry.digest != image.digest,
        });
        self.entries.push(image);
    }

    /// Removes the image with this name; `false` where there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let count = self.entries.len();
        self.entries.retain(|entry| Self::name(entry) != Some(name));
        self.entries.len() < count
    }

    /// Writes the index: always the same bytes for the same entries.
    ///
    /// # Errors
    /// An entry without a size or a type, over
    /// [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX), or an entry was left out in reading: it
    /// would be lost.
    pub fn encode(&self) -> Result<Bytes, Error> {
        if self.is_partial {
            return Err(Error::Absent { part: "digest" });
        }
        let mut index = IndexBuilder::new(Format::Oci).manifests(self.entries.iter().cloned());
        if let Some(artifact_type) = &self.artifact_type {
            index = index.artifact_type(artifact_type.clone());
        }
        for (key, value) in &self.annotations {
            index = index.annotation(key, value);
        }
        Ok(index.build()?.bytes().clone())
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
struct Marker<'a> {
    #[serde(borrow)]
    image_layout_version: Text<'a>,
}

wire::from_objects!(Marker<'a>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Platform;

    fn image(text: &str) -> Descriptor {
        let digest = Digest::sha256(text.as_bytes());
        Descriptor::new(MediaType::OciManifest, digest, Some(7))
    }

    #[test]
    fn markers() {
        for (marker, is_good) in [
            (MARKER, true),
            (r#"{"imageLayoutVersion":"1.1.0","x":1}"#, true),
            (r#"{"imageLayoutVersion":"10"}"#, false),
            (r#"{"imageLayoutVersion":1}"#, false),
            ("{}", false),
            ("1.0.0", false),
        ] {
            assert_eq!(check_marker(marker.as_bytes()).is_ok(), is_good, "{marker}");
        }
    }

    #[test]
    fn a_name_is_there_once() {
        let mut index = Index::new();
        assert_eq!(
            index.find(None).unwrap_err().to_string(),
            "more than one image in oci, choose an image (there are 0)"
        );
        index.set(image("a"), Some("x"));
        index.set(image("a"), None);
        index.set(image("a"), None);
        index.set(image("b"), Some("x"));
        let names: Vec<_> = index.entries().iter().map(Index::name).collect();
        assert_eq!(names, [None, Some("x")]);
        assert_eq!(index.find(Some("x")).unwrap().digest, image("b").digest);
        assert!(index.find(None).is_err());
        assert_eq!(
            index.find(Some("y")).unwrap_err().to_string(),
            "no descriptor found for reference \"y\""
        );
    }

    #[test]
    fn a_name_is_removed() {
        let mut index = Index::new();
        index.set(image("a"), Some("x"));
        index.set(image("a"), Some("y"));
        assert!(index.remove("x"));
        assert!(!index.remove("x"), "it is gone");
        assert_eq!(index.find(None).unwrap(), index.find(Some("y")).unwrap());
    }

    #[test]
    fn an_index_is_written_as_it_was_read() {
        let mut entry = image("a");
        entry.platform = Some(Box::new(Platform::new("linux", "arm", "v7")));
        let mut index = Index::new();
        index.set(entry, Some("a&b"));
        index.set(image("b"), None);
        index.annotations = vec![("k".into(), "v".into())];
        let bytes = index.encode().unwrap();
        let read = Index::decode(bytes.clone()).unwrap();
        assert_eq!(read, index);
        assert_eq!(read.encode().unwrap(), bytes);
    }

    #[test]
    fn what_was_left_out_is_not_lost_by_writing() {
        let json = format!(
            r#"{{"manifests":[{{"mediaType":"a/b","size":1,"digest":"{}"}},{{"digest":"blake3:1"}}]}}"#,
            Digest::sha256(b"")
        );
        let index = Index::decode(json.into()).unwrap();
        assert_eq!(index.entries().len(), 1);
        assert!(index.encode().is_err());
    }

    #[test]
    fn only_an_index_is_read() {
        let error = Index::decode(Bytes::from_static(br#"{"layers":[]}"#)).unwrap_err();
        assert!(matches!(
            error,
            Error::Kind {
                found: Kind::Image,
                ..
            }
        ));
    }
}

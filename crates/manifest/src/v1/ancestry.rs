//! The ancestry document: a v1 image with all it stands on, in one document.

use std::{collections::HashSet, fmt, str};

use bytes::Bytes;
use longshore_reference::{Algorithm, Digest};
use serde::Deserialize;

use super::image::Or;
use crate::{Error, MANIFEST_BYTES_MAX, go_json, wire};

/// The most images a v1 image may consist of, itself included.
pub const IMAGES_MAX: usize = 1024;

/// The id of a v1 image: 64 lower-case hexadecimal digits. It was chosen by who pushed the image and says nothing of
/// its content.
///
/// ```
/// use longshore_manifest::v1::ImageId;
///
/// let id = ImageId::parse(&"ab".repeat(32))?;
/// assert_eq!(id.digest().to_string(), format!("sha256:{id}"));
/// assert!(ImageId::parse("latest").is_err());
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId {
    hex: Box<str>,
    digest: Digest,
}

/// A v1 image and its ancestors, each with its JSON exactly as the registry sent it, base first.
///
/// Registries of protocol v1 have no manifests. This document stands in for one: it is made of nothing but what the
/// registry said, and the same image always makes the same document
/// ([`MediaType::V1Ancestry`](crate::MediaType::V1Ancestry)).
///
/// ```
/// use longshore_manifest::v1::{Ancestry, ImageId};
///
/// let (base, top) = (ImageId::parse(&"a".repeat(64))?, ImageId::parse(&"b".repeat(64))?);
/// let v1_json = format!(r#"{{"id":"{top}","parent":"{base}"}}"#);
/// let ancestry = Ancestry::new(vec![(base, "{}".into()), (top.clone(), v1_json.into())])?;
/// assert_eq!(*ancestry.id(), top);
/// assert_eq!(Ancestry::decode(&ancestry.encode())?, ancestry);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestry {
    /// Base first.
    images: Vec<(ImageId, Bytes)>,
    top: ImageId,
    encoded: Bytes,
}

impl ImageId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`Error::ImageId`]: anything but 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match Digest::from_hex(Algorithm::Sha256, text) {
            Ok(digest) => Ok(Self {
                hex: text.into(),
                digest,
            }),
            Err(_) => Err(Error::ImageId { id: text.into() }),
        }
    }

    /// The 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.hex
    }

    /// `sha256:<id>`: has the form of a digest, but is that of no content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex)
    }
}

impl Ancestry {
    /// The ancestry of the last of these images; base first, each with its JSON.
    ///
    /// # Errors
    /// No image, over [`IMAGES_MAX`] images, an id twice, a JSON that is no object or whose `id` or `parent`
    /// contradicts the list (absent, `null` and empty ones do not), a document over
    /// [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX).
    pub fn new(images: Vec<(ImageId, Bytes)>) -> Result<Self, Error> {
        let Some((top, _)) = images.last().cloned() else {
            return Err(Error::Absent { part: "v1 image" });
        };
        if images.len() > IMAGES_MAX {
            let (images, images_max) = (images.len(), IMAGES_MAX);
            return Err(Error::TooManyImages { images, images_max });
        }
        let mut seen = HashSet::new();
        let mut below = None;
        let mut json = format!(r#"{{"id":"{top}","images":["#);
        for (id, v1_json) in &images {
            if !seen.insert(id) {
                return Err(Error::RepeatedId { id: id.hex.clone() });
            }
            let text = check(id, below, v1_json)?;
            if below.is_some() {
                json.push(',');
            }
            json.push_str(&format!(
                r#"{{"id":"{id}","v1Image":{}}}"#,
                go_json::string(text)
            ));
            if json.len() > MANIFEST_BYTES_MAX {
                break;
            }
            below = Some(id);
        }
        json.push_str("]}");
        check_len(json.len())?;
        Ok(Self {
            encoded: json.into(),
            images,
            top,
        })
    }

    /// Reads a document that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// As [`new`](Self::new); not JSON, keys that are missing or unknown, or bytes that `encode` would not write for
    /// these images.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            id: String,
            images: Vec<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entry {
            id: String,
            #[serde(rename = "v1Image")]
            v1_image: String,
        }
        check_len(bytes.len())?;
        let Document { id, images } = wire::read("ancestry", bytes)?;
        let images = images
            .into_iter()
            .map(|entry| Ok((ImageId::parse(&entry.id)?, entry.v1_image.into())));
        let ancestry = Self::new(images.collect::<Result<_, Error>>()?)?;
        if id != *ancestry.top.hex {
            return Err(Error::ImageIdMismatch {
                expected: ancestry.top.hex,
                found: id.into(),
            });
        }
        if ancestry.encoded != bytes {
            return Err(Error::Conversion {
                reason: "an ancestry document that is written differently",
            });
        }
        Ok(ancestry)
    }

    /// The document: always the same bytes for the same images.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.encoded.clone()
    }

    /// The images with their JSON, base first.
    pub fn images(&self) -> impl DoubleEndedIterator<Item = (&ImageId, &[u8])> + ExactSizeIterator {
        self.images.iter().map(|(id, v1_json)| (id, &**v1_json))
    }

    /// The image itself, the last one.
    #[must_use]
    pub fn id(&self) -> &ImageId {
        &self.top
    }
}

/// The JSON of one image as text, if it does not contradict the list.
fn check<'a>(id: &ImageId, below: Option<&ImageId>, v1_json: &'a [u8]) -> Result<&'a str, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Names {
        id: Or<String>,
        parent: Or<String>,
    }
    // As an object first: a struct is also read from a list.
    go_json::Object::parse("v1 image", v1_json)?;
    let names: Names = wire::read("v1 image", v1_json)?;
    let (found, parent) = (names.id.0, names.parent.0);
    if !found.is_empty() && found != *id.hex {
        return Err(Error::ImageIdMismatch {
            expected: id.hex.clone(),
            found: found.into(),
        });
    }
    let expected = below.map_or("", ImageId::as_str);
    if !parent.is_empty() && parent != expected {
        return Err(Error::Parent {
            expected: expected.into(),
            found: parent.into(),
        });
    }
    // Unreachable with an error: what was read as JSON is UTF-8.
    str::from_utf8(v1_json).map_err(|_| Error::Absent { part: "v1 image" })
}

fn check_len(bytes: usize) -> Result<(), Error> {
    if bytes > MANIFEST_BYTES_MAX {
        let bytes_max = MANIFEST_BYTES_MAX;
        return Err(Error::TooLarge { bytes, bytes_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests;

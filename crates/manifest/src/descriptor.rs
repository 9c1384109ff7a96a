//! What one document says about another: type, digest, size.

use std::collections::BTreeMap;

use longshore_reference::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

use crate::{MediaType, Platform, wire::Entry};

/// What one document says about another: type, digest, size (image-spec, `descriptor.md`).
///
/// ```
/// use longshore_manifest::{Descriptor, MediaType};
/// use longshore_reference::Digest;
///
/// let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(b"{}"), Some(2));
/// assert_eq!(config.size, Some(2));
/// assert!(config.platform.is_none() && config.urls.is_empty());
///
/// let json = serde_json::to_string(&config)?;
/// assert!(json.starts_with(r#"{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:"#));
/// assert_eq!(serde_json::from_str::<Descriptor>(&json)?, config);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Type of the content; empty if the document gives none.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Bytes of the content; `None` where the document says nothing usable (schema 1 never does).
    pub size: Option<u64>,
    /// The platform the content is for, as written: not normalised.
    pub platform: Option<Box<Platform>>,
    /// Where else the content may be found, as written.
    pub urls: Vec<Box<str>>,
    /// Annotations.
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    /// Type of the artifact a manifest stands for.
    pub artifact_type: Option<MediaType>,
    /// The content itself in base64, as written and not checked.
    pub data: Option<Box<str>>,
}

impl Descriptor {
    /// A descriptor without platform, URLs and annotations.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: Option<u64>) -> Self {
        Self {
            media_type,
            digest,
            size,
            platform: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            data: None,
        }
    }
    pub(crate) fn from_entry(entry: &Entry<'_>, digest: Digest) -> Self {
        let urls = entry.urls.as_deref().unwrap_or_default();
        let platform = entry.platform.as_ref();
        Self {
            media_type: MediaType::from(&*entry.media_type.0),
            digest,
            size: entry.size.0,
            platform: platform.map(Platform::from_entry).map(Box::new),
            urls: urls.iter().map(|url| (*url.0).into()).collect(),
            annotations: entry.annotations.to_map(),
            artifact_type: entry.artifact_type.some().map(MediaType::from),
            data: entry.data.some().map(Box::from),
        }
    }
}

impl Serialize for Descriptor {
    /// As documents have it, with the keys in the order image-spec's Go types have; what is empty
    /// is left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mediaType", &self.media_type)?;
        map.serialize_entry("digest", &self.digest)?;
        if let Some(size) = self.size {
            map.serialize_entry("size", &size)?;
        }
        if !self.urls.is_empty() {
            map.serialize_entry("urls", &self.urls)?;
        }
        if !self.annotations.is_empty() {
            map.serialize_entry("annotations", &self.annotations)?;
        }
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        if let Some(platform) = &self.platform {
            map.serialize_entry("platform", platform)?;
        }
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    /// As leniently as in a manifest: of all keys, only `digest` must be there and readable.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = Entry::deserialize(deserializer)?;
        let digest = Digest::parse(&entry.digest.0).map_err(D::Error::custom)?;
        Ok(Self::from_entry(&entry, digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_read_back_from_json() {
        let digest = Digest::sha256(b"{}");
        let mut full = Descriptor::new(MediaType::OciManifest, digest, Some(2));
        let mut platform = Platform::new("windows", "amd64", "v2");
        platform.os_version = "10.0.1".into();
        platform.os_features = vec!["win32k".into()];
        full.platform = Some(Box::new(platform));
        full.urls = vec!["https://example.com/a".into()];
        full.annotations.insert("b".into(), "1".into());
        full.annotations.insert("a".into(), "2".into());
        full.artifact_type = Some(MediaType::from("c/d"));
        full.data = Some("e30=".into());
        let json = format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":2,"#,
        ) + r#""urls":["https://example.com/a"],"annotations":{"a":"2","b":"1"},"data":"e30=","#
            + r#""platform":{"architecture":"amd64","os":"windows","os.version":"10.0.1","#
            + r#""os.features":["win32k"],"variant":"v2"},"artifactType":"c/d"}"#;
        assert_eq!(serde_json::to_string(&full).unwrap(), json);
        assert_eq!(serde_json::from_str::<Descriptor>(&json).unwrap(), full);
        // From owned values too: nothing needs to be borrowed.
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::from_value::<Descriptor>(value).unwrap(), full);

        let bare = Descriptor::new(MediaType::from(""), digest, None);
        let json = format!(r#"{{"mediaType":"","digest":"{digest}"}}"#);
        assert_eq!(serde_json::to_string(&bare).unwrap(), json);
        assert_eq!(serde_json::from_str::<Descriptor>(&json).unwrap(), bare);
    }

    #[test]
    fn a_descriptor_needs_a_digest_and_no_more() {
        for (json, reads) in [
            (
                format!(
                    r#"{{"digest":"{}","size":-1,"urls":null}}"#,
                    Digest::sha256(b"")
                ),
                true,
            ),
            (r#"{"digest":"sha256:1"}"#.to_owned(), false),
            (r#"{"mediaType":"a/b"}"#.to_owned(), false),
            ("[]".to_owned(), false),
        ] {
            assert_eq!(
                serde_json::from_str::<Descriptor>(&json).is_ok(),
                reads,
                "{json}"
            );
        }
    }
}

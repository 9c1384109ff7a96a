//! The door to `oci-spec`, for callers that write documents with it or hold its types.
//!
//! Its types lose unknown keys and cannot say everything registries serve: what goes through
//! here is a copy, never the document itself.

use std::collections::{BTreeMap, HashMap};

use longshore_reference::Digest;
use oci_spec::image as oci;

use crate::{Descriptor, Error, ImageConfig, Kind, Manifest, MediaType, Platform, wire};

impl From<&MediaType> for oci::MediaType {
    fn from(media_type: &MediaType) -> Self {
        Self::from(media_type.as_str())
    }
}

impl From<&oci::MediaType> for MediaType {
    fn from(media_type: &oci::MediaType) -> Self {
        Self::from(media_type.as_ref())
    }
}

impl From<&Platform> for oci::Platform {
    /// In descriptors, oci-spec 0.10 writes version and features as `os_version` and `os_features`,
    /// which no one reads (it should be `os.version` and `os.features`).
    fn from(platform: &Platform) -> Self {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let features = &platform.os_features;
        let mut converted = Self::default();
        converted
            .set_os(oci::Os::from(platform.os.as_str()))
            .set_architecture(oci::Arch::from(platform.architecture.as_str()))
            .set_variant(some(&platform.variant))
            .set_os_version(some(&platform.os_version))
            .set_os_features((!features.is_empty()).then(|| features.clone()));
        converted
    }
}

impl From<&oci::Platform> for Platform {
    fn from(platform: &oci::Platform) -> Self {
        Self {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone().unwrap_or_default(),
            os_version: platform.os_version().clone().unwrap_or_default(),
            os_features: platform.os_features().clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<&Descriptor> for oci::Descriptor {
    type Error = Error;

    /// # Errors
    /// The descriptor has no size.
    fn try_from(descriptor: &Descriptor) -> Result<Self, Error> {
        let size = descriptor.size.ok_or(Error::Absent { part: "size" })?;
        let media_type = oci::MediaType::from(&descriptor.media_type);
        let mut converted = Self::new(media_type, size, digest(&descriptor.digest)?);
        let urls = &descriptor.urls;
        let urls = || urls.iter().map(|url| url.to_string()).collect();
        converted.set_urls((!descriptor.urls.is_empty()).then(urls));
        converted.set_annotations(annotations(&descriptor.annotations));
        converted.set_platform(descriptor.platform.as_deref().map(oci::Platform::from));
        converted.set_artifact_type(descriptor.artifact_type.as_ref().map(oci::MediaType::from));
        converted.set_data(descriptor.data.as_ref().map(|data| data.to_string()));
        Ok(converted)
    }
}

impl TryFrom<&oci::Descriptor> for Descriptor {
    type Error = Error;

    /// # Errors
    /// The digest is of an algorithm that is not known here.
    fn try_from(descriptor: &oci::Descriptor) -> Result<Self, Error> {
        let text = descriptor.digest().as_ref();
        let fail = |source| Error::Digest {
            part: "descriptor",
            digest: text.into(),
            source,
        };
        let digest = Digest::parse(text).map_err(fail)?;
        let media_type = MediaType::from(descriptor.media_type());
        let mut converted = Self::new(media_type, digest, Some(descriptor.size()));
        let urls = descriptor.urls().iter().flatten();
        converted.urls = urls.map(|url| url.as_str().into()).collect();
        let pairs = descriptor.annotations().iter().flatten();
        converted.annotations = pairs
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect();
        converted.platform = descriptor
            .platform()
            .as_ref()
            .map(Platform::from)
            .map(Box::new);
        converted.artifact_type = descriptor.artifact_type().as_ref().map(MediaType::from);
        converted.data = descriptor.data().as_deref().map(Box::from);
        Ok(converted)
    }
}

impl TryFrom<&Manifest> for oci::ImageManifest {
    type Error = Error;

    /// ```
    /// use longshore_manifest::Manifest;
    /// use oci_spec::image::ImageManifest;
    ///
    /// let bytes = br#"{"schemaVersion":2,"layers":[],"config":{"size":2,
    ///     "mediaType":"application/vnd.oci.image.config.v1+json",
    ///     "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#;
    /// let manifest = Manifest::decode(None, bytes.as_slice().into())?;
    /// let converted = ImageManifest::try_from(&manifest)?;
    /// assert_eq!(converted.config().size(), 2);
    /// # Ok::<(), longshore_manifest::Error>(())
    /// ```
    ///
    /// # Errors
    /// It is no image, has no configuration, or a descriptor without size or readable digest.
    fn try_from(manifest: &Manifest) -> Result<Self, Error> {
        complete(manifest, Kind::Image)?;
        let config = manifest.config().ok_or(Error::Absent { part: "config" })?;
        let layers = manifest.layers().map(oci::Descriptor::try_from);
        let mut converted = oci::ImageManifestBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(manifest.media_type())
            .config(oci::Descriptor::try_from(config)?)
            .layers(layers.collect::<Result<Vec<_>, _>>()?)
            .build()
            .map_err(|_| Error::Absent { part: "config" })?;
        converted.set_artifact_type(manifest.own_artifact_type().map(oci::MediaType::from));
        converted.set_subject(manifest.subject().map(TryInto::try_into).transpose()?);
        converted.set_annotations(annotations(manifest.annotations()));
        Ok(converted)
    }
}

impl TryFrom<&Manifest> for oci::ImageIndex {
    type Error = Error;

    /// # Errors
    /// It is no index, or has a descriptor without size or readable digest.
    fn try_from(manifest: &Manifest) -> Result<Self, Error> {
        complete(manifest, Kind::Index)?;
        let manifests = manifest.manifests().map(oci::Descriptor::try_from);
        let mut converted = Self::default();
        converted.set_schema_version(oci::SCHEMA_VERSION);
        converted.set_media_type(Some(manifest.media_type().into()));
        converted.set_manifests(manifests.collect::<Result<_, _>>()?);
        converted.set_artifact_type(manifest.own_artifact_type().map(oci::MediaType::from));
        converted.set_subject(manifest.subject().map(TryInto::try_into).transpose()?);
        converted.set_annotations(annotations(manifest.annotations()));
        Ok(converted)
    }
}

impl TryFrom<&ImageConfig> for oci::ImageConfiguration {
    type Error = Error;

    /// ```
    /// use longshore_manifest::ImageConfig;
    /// use oci_spec::image::ImageConfiguration;
    ///
    /// let bytes = br#"{"os":"linux","architecture":"arm64","config":{"Env":["A=b"]},
    ///     "rootfs":{"type":"layers","diff_ids":[]},"com.example.unknown":1}"#;
    /// let config = ImageConfig::decode(bytes)?;
    /// let converted = ImageConfiguration::try_from(&config)?;
    /// assert_eq!(converted.architecture().to_string(), "arm64");
    /// assert_eq!(config.bytes().as_ref(), bytes);
    /// # Ok::<(), longshore_manifest::Error>(())
    /// ```
    ///
    /// # Errors
    /// A key that OCI demands is not there (`architecture`, `os`, `rootfs`), or one has another
    /// type than OCI gives it.
    fn try_from(config: &ImageConfig) -> Result<Self, Error> {
        wire::read("image configuration", config.bytes())
    }
}

impl TryFrom<&oci::ImageConfiguration> for ImageConfig {
    type Error = Error;

    /// # Errors
    /// A diff id that is no digest, or over
    /// [`CONFIG_BYTES_MAX`](crate::CONFIG_BYTES_MAX) when written.
    fn try_from(config: &oci::ImageConfiguration) -> Result<Self, Error> {
        let fail = |source| Error::json("image configuration", source);
        Self::decode(&serde_json::to_vec(config).map_err(fail)?)
    }
}

/// Refuses a manifest of another kind, or one of which a part would be lost.
fn complete(manifest: &Manifest, expected: Kind) -> Result<(), Error> {
    if manifest.kind() != expected {
        return Err(Error::Kind {
            expected,
            found: manifest.kind(),
        });
    }
    match manifest.skipped() {
        [] => Ok(()),
        _ => Err(Error::Absent { part: "digest" }),
    }
}

fn digest(digest: &Digest) -> Result<oci::Digest, Error> {
    digest
        .to_string()
        .parse()
        .map_err(|_| Error::Absent { part: "digest" })
}

fn annotations(map: &BTreeMap<Box<str>, Box<str>>) -> Option<HashMap<String, String>> {
    let pairs = map
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    (!map.is_empty()).then(|| pairs.collect())
}

#[cfg(test)]
mod tests;

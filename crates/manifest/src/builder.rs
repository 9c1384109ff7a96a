//! Writing manifests and indexes: the same bytes every time.
//!
//! The bytes are those Go's `encoding/json` makes of image-spec's and distribution's types, compact:
//! keys in the order of the types, annotations sorted, `<`, `>` and `&` escaped.

use std::collections::BTreeMap;

use crate::{Descriptor, Error, Format, Manifest, MediaType, Platform, go_json};

/// Writes an image manifest, or the manifest of an artifact.
///
/// ```
/// use longshore_manifest::{Descriptor, Format, ManifestBuilder, MediaType};
/// use longshore_reference::Digest;
///
/// let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(b"{}"), Some(2));
/// let layer = Descriptor::new(MediaType::OciLayer, Digest::sha256(b"tar"), Some(3));
/// let manifest = ManifestBuilder::new(Format::Oci, config)
///     .layer(layer)
///     .annotation("org.opencontainers.image.title", "an example")
///     .build()?;
/// assert_eq!(manifest.layers().count(), 1);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is written before `build`"]
pub struct ManifestBuilder {
    format: Format,
    config: Descriptor,
    layers: Vec<Descriptor>,
    rest: Rest,
}

/// Writes an index, or a manifest list.
///
/// ```
/// use longshore_manifest::{Descriptor, Format, IndexBuilder, MediaType, Platform};
/// use longshore_reference::Digest;
///
/// let mut entry = Descriptor::new(MediaType::OciManifest, Digest::sha256(b"{}"), Some(2));
/// entry.platform = Some(Box::new(Platform::new("linux", "arm64", "")));
/// let index = IndexBuilder::new(Format::Oci).manifest(entry).build()?;
/// assert_eq!(index.media_type(), &MediaType::OciIndex);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is written before `build`"]
pub struct IndexBuilder {
    format: Format,
    manifests: Vec<Descriptor>,
    rest: Rest,
}

/// What both may have in OCI's format.
#[derive(Clone, Debug, Default)]
struct Rest {
    artifact_type: Option<MediaType>,
    subject: Option<Descriptor>,
    annotations: BTreeMap<Box<str>, Box<str>>,
}

macro_rules! rest {
    ($builder:ident) => {
        impl $builder {
            /// Sets the type of the artifact (`artifactType`). OCI only.
            pub fn artifact_type(mut self, artifact_type: MediaType) -> Self {
                self.rest.artifact_type = Some(artifact_type);
                self
            }

            /// Sets the manifest this one says something about. OCI only.
            pub fn subject(mut self, subject: Descriptor) -> Self {
                self.rest.subject = Some(subject);
                self
            }

            /// Adds an annotation; of one key, the last counts. OCI only.
            pub fn annotation(mut self, key: &str, value: &str) -> Self {
                self.rest.annotations.insert(key.into(), value.into());
                self
            }
        }
    };
}

rest!(ManifestBuilder);
rest!(IndexBuilder);

impl ManifestBuilder {
    /// A manifest with this configuration and no layers.
    pub fn new(format: Format, config: Descriptor) -> Self {
        Self {
            format,
            config,
            layers: Vec::new(),
            rest: Rest::default(),
        }
    }

    /// Adds a layer on top of the others.
    pub fn layer(mut self, layer: Descriptor) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds layers on top of the others, the lowest first.
    pub fn layers(mut self, layers: impl IntoIterator<Item = Descriptor>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// A descriptor without a size or a type, a part that schema 2 does not have, or over
    /// [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX).
    pub fn build(self) -> Result<Manifest, Error> {
        let media_type = self.format.manifest_type();
        let json = self.to_json()?;
        Manifest::decode(Some(media_type.as_str()), json.into())
    }

    pub(crate) fn to_json(&self) -> Result<String, Error> {
        let mut object = Object::new(self.format, &self.format.manifest_type(), &self.rest)?;
        object.set("config", &descriptor(self.format, &self.config)?);
        object.set("layers", &list(self.format, &self.layers)?);
        object.finish(self.format, &self.rest)
    }
}

impl IndexBuilder {
    /// An index without entries.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            manifests: Vec::new(),
            rest: Rest::default(),
        }
    }

    /// Adds an entry behind the others.
    pub fn manifest(mut self, manifest: Descriptor) -> Self {
        self.manifests.push(manifest);
        self
    }

    /// Adds entries behind the others.
    pub fn manifests(mut self, manifests: impl IntoIterator<Item = Descriptor>) -> Self {
        self.manifests.extend(manifests);
        self
    }

    /// Writes the index.
    ///
    /// # Errors
    /// As [`ManifestBuilder::build`].
    pub fn build(self) -> Result<Manifest, Error> {
        let media_type = self.format.index_type();
        let json = self.to_json()?;
        Manifest::decode(Some(media_type.as_str()), json.into())
    }

    fn to_json(&self) -> Result<String, Error> {
        let mut object = Object::new(self.format, &self.format.index_type(), &self.rest)?;
        object.set("manifests", &list(self.format, &self.manifests)?);
        object.finish(self.format, &self.rest)
    }
}

/// An object that is being written.
struct Object(String);

impl Object {
    fn new(format: Format, media_type: &MediaType, rest: &Rest) -> Result<Self, Error> {
        let mut object = Self(String::from("{\"schemaVersion\":2"));
        object.set("mediaType", &go_json::string(media_type.as_str()));
        if let Some(artifact_type) = &rest.artifact_type {
            only_oci(format, "artifactType")?;
            object.set("artifactType", &go_json::string(artifact_type.as_str()));
        }
        Ok(object)
    }

    fn set(&mut self, key: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&go_json::string(key));
        self.0.push(':');
        self.0.push_str(json);
    }

    fn finish(mut self, format: Format, rest: &Rest) -> Result<String, Error> {
        if let Some(subject) = &rest.subject {
            only_oci(format, "subject")?;
            self.set("subject", &descriptor(format, subject)?);
        }
        if !rest.annotations.is_empty() {
            only_oci(format, "annotations")?;
            self.set("annotations", &annotations(&rest.annotations));
        }
        self.0.push('}');
        Ok(self.0)
    }
}

fn only_oci(format: Format, part: &'static str) -> Result<(), Error> {
    match format {
        Format::Oci => Ok(()),
        Format::Schema2 => Err(Error::OnlyOci { part }),
    }
}

fn list(format: Format, descriptors: &[Descriptor]) -> Result<String, Error> {
    let list = descriptors.iter().map(|entry| descriptor(format, entry));
    Ok(format!(
        "[{}]",
        list.collect::<Result<Vec<_>, _>>()?.join(",")
    ))
}

/// Distribution's type has the size before the digest, image-spec's has it behind.
fn descriptor(format: Format, descriptor: &Descriptor) -> Result<String, Error> {
    let size = descriptor.size.ok_or(Error::Absent { part: "size" })?;
    if descriptor.media_type.as_str().is_empty() {
        return Err(Error::Absent { part: "mediaType" });
    }
    let mut object = Object(String::from("{"));
    object.set(
        "mediaType",
        &go_json::string(descriptor.media_type.as_str()),
    );
    let digest = format!("\"{}\"", descriptor.digest);
    match format {
        Format::Schema2 => {
            object.set("size", &size.to_string());
            object.set("digest", &digest);
        }
        Format::Oci => {
            object.set("digest", &digest);
            object.set("size", &size.to_string());
        }
    }
    if !descriptor.urls.is_empty() {
        object.set("urls", &strings(&descriptor.urls));
    }
    if !descriptor.annotations.is_empty() {
        object.set("annotations", &annotations(&descriptor.annotations));
    }
    if let Some(data) = &descriptor.data {
        only_oci(format, "data")?;
        object.set("data", &go_json::string(data));
    }
    if let Some(given) = &descriptor.platform {
        object.set("platform", &platform(given));
    }
    if let Some(artifact_type) = &descriptor.artifact_type {
        only_oci(format, "artifactType")?;
        object.set("artifactType", &go_json::string(artifact_type.as_str()));
    }
    object.0.push('}');
    Ok(object.0)
}

fn platform(platform: &Platform) -> String {
    let mut object = Object(String::from("{"));
    object.set("architecture", &go_json::string(&platform.architecture));
    object.set("os", &go_json::string(&platform.os));
    if !platform.os_version.is_empty() {
        object.set("os.version", &go_json::string(&platform.os_version));
    }
    if !platform.os_features.is_empty() {
        object.set("os.features", &strings(&platform.os_features));
    }
    if !platform.variant.is_empty() {
        object.set("variant", &go_json::string(&platform.variant));
    }
    object.0.push('}');
    object.0
}

fn strings(texts: &[impl AsRef<str>]) -> String {
    let texts = texts.iter().map(|text| go_json::string(text.as_ref()));
    format!("[{}]", texts.collect::<Vec<_>>().join(","))
}

fn annotations(map: &BTreeMap<Box<str>, Box<str>>) -> String {
    let mut object = Object(String::from("{"));
    for (key, value) in map {
        object.set(key, &go_json::string(value));
    }
    object.0.push('}');
    object.0
}

#[cfg(test)]
mod tests;

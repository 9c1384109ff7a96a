//! Images of registries (`docker:`), by way of `registries.conf`.

use std::{collections::BTreeMap, sync::OnceLock};

use longshore_manifest::{Descriptor, Kind};
use longshore_reference::{Canonical, Digest, Reference, Tag, Tagged};

use super::{
    content::Content,
    error::Error,
    folder::{SIGNATURE_BYTES_MAX, SIGNATURES_MAX},
};
use crate::{
    Document, Error as RegistryError, Insecure, Pulled, Registries, Resolved,
    image_name::DockerName,
    policy::{Signature, SigstoreSignature},
    registries::RegistriesConf,
};

/// How registries are asked.
#[derive(Debug, Clone, Default)]
pub struct Access {
    registries: Registries,
    conf: RegistriesConf,
    insecure: Vec<String>,
}

impl Access {
    /// By this client, and this `registries.conf`.
    #[must_use]
    pub fn new(registries: Registries, conf: RegistriesConf) -> Self {
        Self {
            registries,
            conf,
            insecure: Vec::new(),
        }
    }

    /// Hosts whose certificates are not verified and which may be asked in plain, beside those of `registries.conf`.
    #[must_use]
    pub fn with_insecure(mut self, hosts: Vec<String>) -> Self {
        self.insecure = hosts;
        self
    }

    /// `registries.conf`
    #[must_use]
    pub fn conf(&self) -> &RegistriesConf {
        &self.conf
    }

    /// A client, and where a reference can be pulled from, in the order to try.
    ///
    /// # Errors
    /// [`Error::Sources`] for a registry that is blocked; [`Error::Registry`] for an insecure host that is no host.
    pub fn sources(&self, name: &DockerName) -> Result<(Registries, Vec<Reference>), Error> {
        let failed = |source| Error::Sources {
            reference: name.reference().to_string(),
            source,
        };
        let sources = self.conf.sources(name.reference()).map_err(failed)?;
        let insecure = sources.iter().filter(|source| source.endpoint.insecure);
        let domains = insecure.map(|source| source.reference.named().domain());
        let hosts: Vec<&str> = domains
            .chain(self.insecure.iter().map(String::as_str))
            .collect();
        let registries = match hosts.is_empty() {
            true => self.registries.clone(),
            false => {
                let insecure = Insecure::parse(hosts)?;
                self.registries.clone().with_insecure(insecure)
            }
        };
        let mut references = Vec::with_capacity(sources.len());
        for source in sources {
            let reference = source.reference.or_latest();
            let text = reference.to_string();
            let reference =
                Reference::parse(&text).map_err(|source| crate::goal::Error::Reference {
                    name: text.clone(),
                    source,
                });
            references.push(reference.map_err(|source| Error::Goal { name: text, source })?);
        }
        Ok((registries, references))
    }
}

/// An image of a registry or of one of its mirrors.
#[derive(Debug)]
pub(super) struct Remote {
    registries: Registries,
    /// Mirrors first.
    references: Vec<Reference>,
    /// Which of them had the manifest.
    used: OnceLock<usize>,
}

impl Remote {
    pub(super) fn new(name: &DockerName, access: &Access) -> Result<Self, Error> {
        let (registries, references) = access.sources(name)?;
        Ok(Self {
            registries,
            references,
            used: OnceLock::new(),
        })
    }

    pub(super) async fn top(&self) -> Result<Document, Error> {
        let mut failed = None;
        for (at, reference) in self.references.iter().enumerate() {
            match self.fetch(reference).await {
                Ok(document) => {
                    let _ = self.used.set(at);
                    return Ok(document);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(no_source))
    }

    pub(super) async fn resolve(&self) -> Result<Descriptor, Error> {
        let mut failed = None;
        for reference in &self.references {
            match self.registries.resolve(reference).await {
                Ok(Resolved::Manifest(descriptor)) => return Ok(*descriptor),
                Ok(Resolved::V1(_)) => failed = Some(v1()),
                Err(error) => failed = Some(error.into()),
            }
        }
        Err(failed.unwrap_or_else(no_source))
    }

    pub(super) async fn manifest(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let mut failed = None;
        for reference in self.order() {
            let child = Canonical::new(reference.named().clone(), descriptor.digest);
            match self.fetch(&child.into()).await {
                Ok(mut document) => {
                    document
                        .descriptor
                        .platform
                        .clone_from(&descriptor.platform);
                    return Ok(document);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(no_source))
    }

    pub(super) async fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let mut failed = None;
        for reference in self.order() {
            match self.registries.blob(reference.named(), descriptor).await {
                Ok(blob) => return Ok(blob.into()),
                Err(error) => failed = Some(error.into()),
            }
        }
        Err(failed.unwrap_or_else(no_source))
    }

    /// What cosign attached to a manifest: the layers of the manifest under the tag `sha256-<hex>.sig`.
    pub(super) async fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>, Error> {
        let Some(reference) = self.order().next() else {
            return Ok(Vec::new());
        };
        let named = reference.named();
        let tag = format!("{}-{}.sig", digest.algorithm(), digest.hex());
        let Ok(tag) = Tag::parse(&tag) else {
            return Ok(Vec::new());
        };
        let attached = Tagged::new(named.clone(), tag);
        let document = match self.registries.fetch(&attached.into()).await {
            Ok(Pulled::Manifest(document)) if document.manifest.kind() == Kind::Image => document,
            Ok(_) | Err(RegistryError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        for layer in document.manifest.layers().take(SIGNATURES_MAX) {
            let content: Content = self.registries.blob(named, layer).await?.into();
            let payload = content.read(SIGNATURE_BYTES_MAX, "signature").await?;
            let annotations = layer.annotations.iter();
            let annotations: BTreeMap<String, String> = annotations
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect();
            let signature = SigstoreSignature::new(layer.media_type.as_str(), payload, annotations);
            found.push(Signature::Sigstore(signature));
        }
        Ok(found)
    }

    /// The one that had the manifest, then the others.
    fn order(&self) -> impl Iterator<Item = &Reference> {
        let used = self.used.get().copied();
        let first = used.and_then(|at| self.references.get(at));
        let others = self.references.iter().enumerate();
        let others = others.filter(move |&(at, _)| Some(at) != used);
        first
            .into_iter()
            .chain(others.map(|(_, reference)| reference))
    }

    async fn fetch(&self, reference: &Reference) -> Result<Document, Error> {
        match self.registries.fetch(reference).await? {
            Pulled::Manifest(document) => Ok(*document),
            Pulled::V1(_) => Err(v1()),
        }
    }
}

fn v1() -> Error {
    Error::Unsupported("images of registries of protocol v1 have no manifests")
}

fn no_source() -> Error {
    Error::Unsupported("nowhere to pull from")
}

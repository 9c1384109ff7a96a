//! One image: its configuration and its layers, and whether they go together.

use std::{collections::BTreeMap, pin::pin};

use bytes::Bytes;
use longshore_manifest::{Descriptor, ImageConfig, Preference, Role};
use longshore_reference::{Digest, Named, Parsed};

use super::{
    Engine, Error, Events, Image, Puller, Unpacked, config, content, layer::Wanted, layers,
};
use crate::{Document, docker::labels};

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// One image, or one for each tag.
    pub images: Vec<PulledImage>,
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PulledImage {
    /// Under which reference.
    pub reference: Parsed,
    /// What the reference stands for: a manifest or an index.
    pub target: Descriptor,
    /// The manifest of the image; of an old one, what it was converted to.
    pub manifest: Descriptor,
    /// The id of the image: the digest of its configuration.
    pub id: Digest,
    /// The layers, base first.
    pub layers: Vec<Digest>,
    /// Whether another image was held under the reference, or none.
    pub newer: bool,
}

impl PulledImage {
    /// Labels of the layers, base first, for snapshotters of containerd that fetch layers themselves. Only images of
    /// schema 2 and OCI have them.
    #[must_use]
    pub fn snapshot_labels(&self) -> Vec<BTreeMap<&'static str, String>> {
        if !self.manifest.media_type.is_image() || self.target.media_type.is_schema1() {
            return Vec::new();
        }
        let image = self.reference.to_string();
        let from = |at| self.layers.get(at..).unwrap_or_default();
        let labels = |at| labels::snapshot_labels(&image, self.manifest.digest, from(at));
        (0..self.layers.len()).map(labels).collect()
    }
}

/// An image whose content is held.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) manifest: Descriptor,
    pub(super) id: Digest,
    pub(super) layers: Vec<Digest>,
}

impl Parts {
    pub(super) fn image(&self, target: &Descriptor) -> Image {
        let mut manifest = self.manifest.clone();
        manifest.platform = None;
        Image {
            target: target.clone(),
            manifest,
            id: self.id,
        }
    }
}

/// Pulls the configuration and the layers of a manifest. `preference`: what the configuration's platform must match,
/// where no index names it.
pub(super) async fn pull(
    puller: &Puller,
    named: &Named,
    document: &Document,
    preference: Option<&Preference>,
    events: &Events,
) -> Result<Parts, Error> {
    let manifest = &document.manifest;
    let mut unreadable = manifest.skipped().iter();
    if let Some(layer) =
        unreadable.find(|skipped| matches!(skipped.role, Role::Layer | Role::ForeignLayer))
    {
        let digest = layer.digest.clone();
        return Err(Error::LayerDigest { digest });
    }
    let config = manifest.config();
    let config = config.ok_or(longshore_manifest::Error::RootFs)?;
    let parts = Parts {
        manifest: document.descriptor.clone(),
        id: config.digest,
        layers: manifest.layers().map(|layer| layer.digest).collect(),
    };
    let is_moby = puller.options.engine == Engine::Moby;
    if is_moby && is_held(puller, &parts).await? {
        return Ok(parts);
    }
    let is_image = is_moby || config.media_type.is_config();
    let configuration = async {
        let bytes = config::fetch(puller, named, config).await?;
        if is_image {
            let decoded = ImageConfig::decode(&bytes)?;
            decoded.diff_ids()?;
            check_platform(&decoded, preference, document)?;
        }
        Ok::<_, Error>(bytes)
    };
    let wanted = manifest.layers().map(|layer| Wanted::layer(named, layer));
    let layers = layers::pull(puller, wanted.collect(), events);
    let (bytes, unpacked) = config_first(configuration, layers).await?;
    if is_image {
        check_rootfs(&bytes, &unpacked)?;
    }
    let kept = content::put(puller.content.as_ref(), config.digest, bytes).await;
    kept.map_err(Error::content("keep an image configuration"))?;
    Ok(parts)
}

/// Waits for both. An error of the configuration ends the layers; one of a layer waits for the configuration, whose error
/// says more.
async fn config_first<T>(
    configuration: impl Future<Output = Result<Bytes, Error>>,
    layers: impl Future<Output = Result<T, Error>>,
) -> Result<(Bytes, T), Error> {
    let mut configuration = pin!(configuration);
    let mut layers = pin!(layers);
    tokio::select! {
        biased;
        bytes = &mut configuration => {
            let bytes = bytes?;
            Ok((bytes, layers.await?))
        }
        unpacked = &mut layers => {
            let bytes = configuration.await?;
            Ok((bytes, unpacked?))
        }
    }
}

/// An image counts as held when its configuration is, which is written last, and its layers.
async fn is_held(puller: &Puller, parts: &Parts) -> Result<bool, Error> {
    for digest in std::iter::once(&parts.id).chain(&parts.layers) {
        let size = puller.content.size(*digest).await;
        if size.map_err(Error::content("look for an image"))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The layers must be those that the configuration names. What cannot be unpacked here is not compared.
fn check_rootfs(config: &[u8], unpacked: &[Unpacked]) -> Result<(), Error> {
    let config = ImageConfig::decode(config)?;
    let named = config.diff_ids()?;
    let is_same = named.len() == unpacked.len()
        && named.iter().zip(unpacked).all(|(named, layer)| {
            let found = layer.diff_id;
            found.is_none_or(|found| found == named.digest())
        });
    match is_same {
        true => Ok(()),
        false => Err(longshore_manifest::Error::LayerMismatch.into()),
    }
}

fn check_platform(
    config: &ImageConfig,
    preference: Option<&Preference>,
    document: &Document,
) -> Result<(), Error> {
    match preference {
        Some(preference) if !preference.matches(config.platform()) => Err(Error::NoMatch {
            platform: preference.wanted().to_string().into(),
            digest: document.descriptor.digest,
        }),
        Some(_) | None => Ok(()),
    }
}

/// What an image is named: with its digest, where the reference has one.
pub(super) fn name(reference: &Parsed) -> String {
    let named = Parsed::from(reference.named().clone());
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => named.with_digest(digest).to_string(),
        (None, Some(tag)) => named.with_tag(tag.clone()).to_string(),
        (None, None) => named.to_string(),
    }
}

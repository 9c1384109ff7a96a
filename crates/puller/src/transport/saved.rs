//! Images of a file of `docker save` (`docker-archive:`).

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
};

use bytes::Bytes;
use longshore_manifest::{
    CONFIG_BYTES_MAX, Descriptor, DiffId, Format, ImageConfig, ManifestBuilder,
    docker_archive::{self, Image},
};
use longshore_reference::{Digest, Parsed};

use super::{archive::Archive, content::Content, error::Error};
use crate::{Document, image_name::ArchiveImage};

/// A file of `docker save`.
#[derive(Debug)]
pub(super) struct Saved {
    archive: Archive,
    images: Vec<Image>,
}

/// One image of such a file. Its manifest is made here: the file has none. Layers are plain tars, known by their
/// diff ids, however the file has them.
#[derive(Debug)]
pub(super) struct SavedImage {
    saved: Saved,
    at: usize,
    config: Bytes,
    document: Document,
    /// Members by diff id.
    layers: BTreeMap<Digest, Box<str>>,
}

impl Saved {
    pub(super) async fn open(path: &Path) -> Result<Self, Error> {
        let archive = Archive::open(path).await?;
        let (name, limit) = (
            docker_archive::MANIFEST_FILE,
            docker_archive::LIST_BYTES_MAX,
        );
        let Some(list) = archive.bytes(name, limit).await? else {
            return Err(Error::malformed(path, "there is no manifest.json in it"));
        };
        let images = docker_archive::decode(&list);
        let images = images.map_err(|source| Error::document(name, source))?;
        Ok(Self { archive, images })
    }

    /// The images, in the order of the file.
    pub(super) fn images(&self) -> &[Image] {
        &self.images
    }

    /// Where an image is among them.
    pub(super) fn find(&self, image: &ArchiveImage) -> Result<usize, Error> {
        let no_image = |image: String| Error::NoImage {
            path: self.archive.path().to_owned(),
            image,
        };
        match image {
            ArchiveImage::Only => match self.images.len() {
                1 => Ok(0),
                images => Err(Error::NotOneImage {
                    path: self.archive.path().to_owned(),
                    images,
                }),
            },
            &ArchiveImage::Index(at) if at < self.images.len() => Ok(at),
            ArchiveImage::Index(at) => Err(no_image(format!("@{at}"))),
            ArchiveImage::Tagged(wanted) => {
                let has = |image: &Image| {
                    let mut tags = image.repo_tags.iter();
                    tags.any(|tag| Parsed::parse(tag).is_ok_and(|tag| tag == *wanted))
                };
                let found = self.images.iter().position(has);
                found.ok_or_else(|| no_image(wanted.to_string()))
            }
        }
    }

    /// The configuration of an image.
    pub(super) async fn config(&self, at: usize) -> Result<Bytes, Error> {
        let image = self.image(at)?;
        let config = self.archive.bytes(&image.config, CONFIG_BYTES_MAX).await?;
        config.ok_or_else(|| self.malformed(format!("{} is missing", image.config)))
    }

    /// Reads an image: its configuration, and the sizes of its layers, for which layers that are compressed are
    /// unpacked.
    pub(super) async fn open_image(self, at: usize) -> Result<SavedImage, Error> {
        let config = self.config(at).await?;
        let unusable = |source| Error::document("image configuration", source);
        let decoded = ImageConfig::decode(&config).map_err(unusable)?;
        let diff_ids = decoded.diff_ids().map_err(unusable)?;
        let layers = self.layers(at, diff_ids)?;
        let digest = Digest::sha256(&config);
        let size = Some(config.len() as u64);
        let descriptor = Descriptor::new(Format::Schema2.config_type(), digest, size);
        let mut builder = ManifestBuilder::new(Format::Schema2, descriptor);
        let mut sizes = BTreeMap::new();
        for diff_id in diff_ids {
            let digest = diff_id.digest();
            let size = match sizes.entry(digest) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(entry) => *entry.insert(self.size(&layers, digest).await?),
            };
            let media_type = Format::Schema2.layer_type(false);
            builder = builder.layer(Descriptor::new(media_type, digest, Some(size)));
        }
        let manifest = builder.build();
        let manifest = manifest.map_err(|source| Error::document("manifest", source))?;
        let size = Some(manifest.bytes().len() as u64);
        let descriptor = Descriptor::new(manifest.media_type().clone(), manifest.digest(), size);
        Ok(SavedImage {
            saved: self,
            at,
            config,
            document: Document {
                descriptor,
                manifest,
            },
            layers,
        })
    }

    /// The members of the layers.
    fn layers(&self, at: usize, diff_ids: &[DiffId]) -> Result<BTreeMap<Digest, Box<str>>, Error> {
        let members = &self.image(at)?.layers;
        if members.len() != diff_ids.len() {
            let (members, diff_ids) = (members.len(), diff_ids.len());
            return Err(self.malformed(format!(
                "Inconsistent layer count: {members} in manifest, {diff_ids} in config"
            )));
        }
        let (mut by_digest, mut by_member) = (BTreeMap::new(), BTreeMap::new());
        for (member, diff_id) in members.iter().zip(diff_ids) {
            let digest = diff_id.digest();
            if *by_member.entry(member).or_insert(digest) != digest {
                return Err(self.malformed(format!(
                    "Layer tarfile {member} used for two different DiffID values"
                )));
            }
            by_digest.entry(digest).or_insert_with(|| member.clone());
        }
        Ok(by_digest)
    }

    /// The size of a layer when unpacked; bytes.
    async fn size(
        &self,
        layers: &BTreeMap<Digest, Box<str>>,
        digest: Digest,
    ) -> Result<u64, Error> {
        let mut content = self.layer(layers, digest).await?;
        let packed = content.size();
        let start = content.chunk().await?.unwrap_or_default();
        if let Some(size) = packed.filter(|_| !start.starts_with(GZIP)) {
            return Ok(size);
        }
        let mut content = self.layer(layers, digest).await?.unpacked();
        let mut size = 0_u64;
        while let Some(chunk) = content.chunk().await? {
            size = size.saturating_add(chunk.len() as u64);
        }
        Ok(size)
    }

    /// A layer as the file has it.
    async fn layer(
        &self,
        layers: &BTreeMap<Digest, Box<str>>,
        digest: Digest,
    ) -> Result<Content, Error> {
        let member = layers.get(&digest);
        let member = member.ok_or_else(|| self.malformed(format!("no layer is {digest}")))?;
        let content = self.archive.content(member).await?;
        content.ok_or_else(|| {
            self.malformed(format!(
                "Some layer tarfiles are missing in the tarball: {member}"
            ))
        })
    }

    fn image(&self, at: usize) -> Result<&Image, Error> {
        let image = self.images.get(at);
        image.ok_or_else(|| Error::NoImage {
            path: self.archive.path().to_owned(),
            image: format!("@{at}"),
        })
    }

    fn malformed(&self, problem: String) -> Error {
        Error::malformed(self.archive.path(), problem)
    }
}

impl SavedImage {
    /// The names the file gives the image.
    pub(super) fn repo_tags(&self) -> &[Box<str>] {
        let image = self.saved.images.get(self.at);
        image.map_or(&[], |image| &image.repo_tags)
    }

    pub(super) fn top(&self) -> Document {
        self.document.clone()
    }

    /// The configuration, or a layer as a plain tar, verified.
    pub(super) async fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let digest = descriptor.digest;
        if digest == Digest::sha256(&self.config) {
            return Ok(Content::of_bytes(self.config.clone()));
        }
        let layer = self.saved.layer(&self.layers, digest).await?;
        Ok(layer.unpacked().verified(digest))
    }
}

const GZIP: &[u8] = &[0x1f, 0x8b];

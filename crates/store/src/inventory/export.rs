//! `export`: an image leaves the store with what refers to it, byte for byte.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longshore_manifest::docker_archive::{self, MANIFEST_FILE};
use longshore_manifest::layout::{self as oci, MARKER, MARKER_FILE};
use longshore_manifest::{
    CONFIG_BYTES_MAX, Descriptor, ImageConfig, Kind, MANIFEST_BYTES_MAX, Manifest, MediaType, Role,
};
use longshore_reference::{Digest, Reference, Tagged};

use super::import::{IMAGE_NAME, document};
use super::records::{Repository, bytes_of, repository};
use super::referrers::descriptor;
use super::sink::Sink;
use super::{Inventory, InventoryError, OnProgress, Progress};
use crate::manifest::needs::is_inside;
use crate::tier::layout;

/// Manifests that one export takes.
const MANIFESTS_MAX: usize = 10_000;
/// Indexes in indexes are followed so deep.
const DEPTH_MAX: usize = 8;
/// What cosign appends to the fallback tag of a manifest, and nothing for the fallback tag itself.
const TAG_SUFFIXES: [&str; 4] = ["", ".sig", ".att", ".sbom"];

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// An OCI layout in a folder, which may be there already: then the image is added to it.
    Oci,
    /// An OCI layout in a tar.
    OciArchive,
    /// What `docker save` writes. It has one image and nothing that refers to it, and layers as they are held.
    DockerArchive,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The manifest or index.
    pub digest: Digest,
    /// Signatures, SBOMs and other manifests that refer to the image, and the tags by which cosign finds them.
    pub referrers: u64,
    /// Bytes of manifests and blobs.
    pub bytes: u64,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// An export under way.
struct Export<'a> {
    inventory: &'a Inventory,
    repository: Repository,
    /// What goes, the lowest first.
    manifests: Vec<Manifest>,
    seen: HashSet<Digest>,
    blobs: Vec<Digest>,
    skipped: Vec<String>,
}

impl Inventory {
    /// Writes an image and what refers to it to a folder or file.
    ///
    /// # Errors
    /// The image is not held, or not whole: of an index one image must be. Something is at `path` already.
    pub fn export(
        &self,
        reference: &Reference,
        path: &Path,
        format: ExportFormat,
        on_progress: OnProgress<'_>,
    ) -> Result<Exported, InventoryError> {
        let named = reference.named();
        let repository = repository(&self.tier, named.clone())
            .map_err(|cause| self.failed("read", &layout::contents(named), cause))?;
        let (digest, media_type) =
            resolve(&repository, reference).ok_or_else(|| InventoryError::Absent {
                reference: reference.to_string(),
            })?;
        let mut export = Export {
            inventory: self,
            repository,
            manifests: Vec::new(),
            seen: HashSet::new(),
            blobs: Vec::new(),
            skipped: Vec::new(),
        };
        let missing = export.collect(digest, &media_type, 0)?;
        if let Some(first) = missing.first() {
            return Err(InventoryError::NotWhole {
                reference: reference.to_string(),
                missing: missing.len(),
                first: *first,
            });
        }
        match format {
            ExportFormat::DockerArchive => export.docker(reference, path, on_progress),
            ExportFormat::Oci | ExportFormat::OciArchive => {
                export.oci(reference, digest, path, format, on_progress)
            }
        }
    }
}

/// Where the bytes are of what a reference stands for, and their media type.
fn resolve(repository: &Repository, reference: &Reference) -> Option<(Digest, Arc<str>)> {
    match reference {
        Reference::Tagged(tagged) => {
            let mut tags = repository.tags.iter();
            let (_, record) = tags.find(|(tag, _)| tag == tagged.tag())?;
            Some((bytes_of(record), Arc::clone(&record.media_type)))
        }
        Reference::Canonical(canonical) => {
            let digest = canonical.digest();
            let mut contents = repository.contents.iter();
            let (_, record) = contents.find(|(other, _)| *other == digest)?;
            let media_type = record.media_type.clone()?;
            Some((record.stored.unwrap_or(digest), media_type))
        }
    }
}

impl Export<'_> {
    /// Takes a manifest and what it names. Returns what of it is not held; then nothing is taken.
    fn collect(
        &mut self,
        digest: Digest,
        media_type: &str,
        depth: usize,
    ) -> Result<Vec<Digest>, InventoryError> {
        if self.manifests.iter().any(|taken| taken.digest() == digest) {
            return Ok(Vec::new());
        }
        let Some(manifest) = self.load(digest, media_type)? else {
            return Ok(vec![digest]);
        };
        if manifest.kind() == Kind::Schema1
            || *manifest.media_type() == MediaType::V1Ancestry
            || depth > DEPTH_MAX
            || self.manifests.len() >= MANIFESTS_MAX
        {
            return Err(InventoryError::Unsupported {
                reference: digest.to_string(),
                reason: "archives do not have manifests of this kind: pull the image by tag, and export the digest that a new client gets",
            });
        }
        let mut missing = Vec::new();
        let (mut images, mut whole) = (0, 0);
        let mut blobs = Vec::new();
        for child in manifest.children() {
            let (digest, media_type) = (
                child.descriptor.digest,
                child.descriptor.media_type.as_str(),
            );
            match child.role {
                Role::Manifest => {
                    images += 1;
                    let lacks = self.collect(digest, media_type, depth + 1)?;
                    match lacks.is_empty() {
                        true => whole += 1,
                        false => missing.push((name_of(&child.descriptor), lacks)),
                    }
                }
                Role::Config | Role::Layer | Role::ForeignLayer => {
                    let is_held = self.inventory.tier.holds(&digest);
                    if is_held {
                        blobs.push(digest);
                    } else if child.role != Role::ForeignLayer && !is_inside(&child.descriptor) {
                        missing.push((String::new(), vec![digest]));
                    }
                }
                _ => {}
            }
        }
        if whole > 0 {
            let skipped = missing
                .drain(..)
                .map(|(name, lacks)| format!("{name}: {} of its blobs are not held", lacks.len()));
            self.skipped.extend(skipped);
        } else if !missing.is_empty() || images > 0 {
            return Ok(missing.into_iter().flat_map(|(_, lacks)| lacks).collect());
        }
        for digest in blobs {
            if self.seen.insert(digest) {
                self.blobs.push(digest);
            }
        }
        self.manifests.push(manifest);
        Ok(Vec::new())
    }

    fn load(&self, digest: Digest, media_type: &str) -> Result<Option<Manifest>, InventoryError> {
        let bytes = self
            .inventory
            .tier
            .read_blob(&digest, MANIFEST_BYTES_MAX as u64);
        let bytes =
            bytes.map_err(|cause| self.inventory.failed("read", &layout::blob(&digest), cause))?;
        let Some(bytes) = bytes.map(Bytes::from) else {
            return Ok(None);
        };
        let media_type = Some(media_type).filter(|media_type| !media_type.is_empty());
        let manifest = Manifest::decode(media_type, bytes);
        manifest
            .map(Some)
            .map_err(|cause| document(&digest.to_string(), cause))
    }

    /// Takes what refers to what is taken, and what refers to that.
    fn collect_referrers(&mut self) -> Result<Vec<Descriptor>, InventoryError> {
        let mut by_subject = HashMap::<Digest, Vec<Manifest>>::new();
        for (digest, record) in &self.repository.contents {
            let stored = record.stored.unwrap_or(*digest);
            let Some(media_type) = record.media_type.as_deref() else {
                continue;
            };
            if let Ok(Some(manifest)) = self.load(stored, media_type)
                && let Some(subject) = manifest.subject().map(|subject| subject.digest)
            {
                by_subject.entry(subject).or_default().push(manifest);
            }
        }
        let mut referrers = Vec::new();
        let mut next = 0;
        while let Some(subject) = self.manifests.get(next).map(Manifest::digest) {
            next += 1;
            for manifest in by_subject.remove(&subject).unwrap_or_default() {
                let digest = manifest.digest();
                let missing = self.collect(digest, manifest.media_type().as_str(), 0)?;
                match missing.is_empty() {
                    true => referrers.push(descriptor(&manifest, digest)),
                    false => self.skipped.push(format!(
                        "{digest}, which refers to {subject}: {} of its blobs are not held",
                        missing.len()
                    )),
                }
            }
        }
        Ok(referrers)
    }

    /// Takes what stands under the tags by which clients look for referrers where there is no list of them.
    fn collect_tags(&mut self) -> Result<Vec<(Tagged, Digest)>, InventoryError> {
        let prefixes = self.manifests.iter().map(|manifest| {
            let digest = manifest.digest();
            format!("{}-{}", digest.algorithm().as_str(), &*digest.hex())
        });
        let wanted: HashSet<String> = prefixes
            .flat_map(|prefix| TAG_SUFFIXES.map(|suffix| format!("{prefix}{suffix}")))
            .collect();
        let tags = self.repository.tags.iter();
        let tags = tags.filter(|(tag, _)| wanted.contains(tag.as_str()));
        let tags: Vec<_> = tags
            .map(|(tag, record)| {
                let media_type = Arc::clone(&record.media_type);
                (self.repository.tagged(tag), bytes_of(record), media_type)
            })
            .collect();
        let mut taken = Vec::new();
        for (tagged, digest, media_type) in tags {
            match self.collect(digest, &media_type, 0)?.len() {
                0 => taken.push((tagged, digest)),
                missing => {
                    let skipped = format!("{tagged}: {missing} of its blobs are not held");
                    self.skipped.push(skipped);
                }
            }
        }
        Ok(taken)
    }

    fn oci(
        mut self,
        reference: &Reference,
        digest: Digest,
        path: &Path,
        format: ExportFormat,
        on_progress: OnProgress<'_>,
    ) -> Result<Exported, InventoryError> {
        let tags = self.collect_tags()?;
        let referrers = self.collect_referrers()?;
        let mut sink = match format {
            ExportFormat::Oci => Sink::folder(path)?,
            ExportFormat::OciArchive | ExportFormat::DockerArchive => Sink::tar(path)?,
        };
        let mut index = match sink.existing(oci::INDEX_FILE)? {
            Some(bytes) => oci::Index::decode(bytes.into())
                .map_err(|cause| document(oci::INDEX_FILE, cause))?,
            None => oci::Index::new(),
        };
        let report = Exported {
            digest,
            referrers: (referrers.len() + tags.len()) as u64,
            bytes: self.size(),
            skipped: std::mem::take(&mut self.skipped),
        };
        for referrer in referrers {
            index.set(referrer, None);
        }
        for (tagged, digest) in &tags {
            self.set(&mut index, *digest, Some(&tagged.to_string()));
        }
        let name = reference.tag().map(|_| reference.to_string());
        self.set(&mut index, digest, name.as_deref());
        let index = index
            .encode()
            .map_err(|cause| document(oci::INDEX_FILE, cause))?;
        sink.write(MARKER_FILE, MARKER.as_bytes())?;
        self.write(&mut sink, on_progress)?;
        sink.finish(Some((oci::INDEX_FILE, &index)))?;
        Ok(report)
    }

    /// Names a manifest that is taken in the index of a layout.
    fn set(&self, index: &mut oci::Index, digest: Digest, name: Option<&str>) {
        let mut taken = self.manifests.iter();
        let Some(manifest) = taken.find(|manifest| manifest.digest() == digest) else {
            return;
        };
        let size = manifest.bytes().len() as u64;
        let mut entry = Descriptor::new(manifest.media_type().clone(), digest, Some(size));
        if let Some(name) = name {
            entry.annotations.insert(IMAGE_NAME.into(), name.into());
        }
        index.set(entry, name);
    }

    fn size(&self) -> u64 {
        let manifests = self
            .manifests
            .iter()
            .map(|manifest| manifest.bytes().len() as u64);
        let sizes = self.blobs.iter();
        let sizes = sizes.filter_map(|digest| self.inventory.tier.file_of(digest).ok()??.1.into());
        manifests.sum::<u64>() + sizes.sum::<u64>()
    }

    fn write(&self, sink: &mut Sink, on_progress: OnProgress<'_>) -> Result<(), InventoryError> {
        let mut progress = Progress {
            done: 0,
            total: self.size(),
        };
        for digest in &self.blobs {
            self.blob(
                sink,
                &oci::blob_path(digest),
                digest,
                &mut progress,
                on_progress,
            )?;
        }
        for manifest in &self.manifests {
            sink.write(&oci::blob_path(&manifest.digest()), manifest.bytes())?;
            progress.done += manifest.bytes().len() as u64;
            on_progress(progress);
        }
        Ok(())
    }

    /// Writes a blob of the store as this member.
    fn blob(
        &self,
        sink: &mut Sink,
        name: &str,
        digest: &Digest,
        progress: &mut Progress,
        on_progress: OnProgress<'_>,
    ) -> Result<(), InventoryError> {
        let opened = self.inventory.tier.file_of(digest);
        let opened =
            opened.map_err(|cause| self.inventory.failed("read", &layout::blob(digest), cause))?;
        let (file, len) = opened.ok_or_else(|| InventoryError::NotWhole {
            reference: self.repository.named.to_string(),
            missing: 1,
            first: *digest,
        })?;
        let before = progress.done;
        let is_right = sink.copy(name, file, len, digest, |done| {
            progress.done = before + done;
            on_progress(*progress);
        })?;
        match is_right {
            true => Ok(()),
            false => Err(InventoryError::Mismatch {
                place: "the store (run `longshore store verify --repair`)".to_owned(),
                digest: *digest,
            }),
        }
    }

    fn docker(
        self,
        reference: &Reference,
        path: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<Exported, InventoryError> {
        let unsupported = |reason| InventoryError::Unsupported {
            reference: reference.to_string(),
            reason,
        };
        let is_image = |manifest: &&Manifest| {
            manifest.kind() == Kind::Image
                && manifest
                    .config()
                    .is_some_and(|config| config.media_type.is_config())
                && manifest
                    .layers()
                    .all(|layer| !layer.media_type.as_str().contains("in-toto"))
        };
        let mut images = self.manifests.iter().filter(is_image);
        let (Some(image), None) = (images.next(), images.next()) else {
            return Err(unsupported(
                "a docker-archive has one image: export one of the index by its digest",
            ));
        };
        let config = image.config().map(|config| config.digest);
        let config = config.ok_or_else(|| unsupported("it has no configuration"))?;
        let bytes = self
            .inventory
            .tier
            .read_blob(&config, CONFIG_BYTES_MAX as u64);
        let bytes =
            bytes.map_err(|cause| self.inventory.failed("read", &layout::blob(&config), cause))?;
        let bytes = bytes.ok_or_else(|| unsupported("its configuration is not held"))?;
        let decoded =
            ImageConfig::decode(&bytes).map_err(|cause| document(&config.to_string(), cause))?;
        let diff_ids = decoded.diff_ids();
        let diff_ids = diff_ids.map_err(|cause| document(&config.to_string(), cause))?;
        let layers: Vec<_> = image.layers().map(|layer| layer.digest).collect();
        if layers.len() != diff_ids.len() || !layers.iter().all(|layer| self.blobs.contains(layer))
        {
            return Err(unsupported("its layers are not those of its configuration"));
        }
        let mut entry = docker_archive::Image::new(&config, diff_ids);
        if let Reference::Tagged(tagged) = reference {
            entry.add_name(tagged);
        }
        let mut sink = Sink::tar(path)?;
        let mut progress = Progress {
            done: 0,
            total: self.size(),
        };
        let mut written = HashSet::new();
        for (name, digest) in entry.layers.iter().zip(&layers) {
            if written.insert(name) {
                self.blob(&mut sink, name, digest, &mut progress, on_progress)?;
            }
        }
        sink.write(&entry.config, &bytes)?;
        let list = docker_archive::encode(std::slice::from_ref(&entry));
        sink.finish(Some((MANIFEST_FILE, list.as_bytes())))?;
        Ok(Exported {
            digest: image.digest(),
            referrers: 0,
            bytes: progress.done + bytes.len() as u64,
            skipped: self.skipped,
        })
    }
}

/// What an entry of an index is called in a report.
fn name_of(entry: &Descriptor) -> String {
    match &entry.platform {
        Some(platform) => format!("{platform} ({})", entry.digest),
        None => entry.digest.to_string(),
    }
}

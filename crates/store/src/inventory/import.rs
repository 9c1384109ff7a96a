//! `import`: images of an OCI layout or a docker-archive come into the store under their names.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longshore_manifest::layout::{self as oci, REF_NAME};
use longshore_manifest::{Descriptor, Kind, MANIFEST_BYTES_MAX, Manifest, Role};
use longshore_reference::{Algorithm, Canonical, Digest, Named, Parsed, Reference, Tag, Tagged};
use tokio_util::task::TaskTracker;

use super::archive::{Archive, Member};
use super::records::read;
use super::referrers::descriptor;
use super::{Inventory, InventoryError, OnProgress, Progress};
use crate::ingest::{Hashing, Ingest};
use crate::manifest::document::media_type_of;
use crate::manifest::needs::is_inside;
use crate::records::{ContentRecord, TagRecord, seconds};
use crate::tier::{children, layout};

/// The annotation by which containerd and Docker write the whole name of an image.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// Bytes that are read at once: 512 KiB.
const READ_BYTES: usize = 512 << 10;
/// Indexes in indexes are followed so deep.
const DEPTH_MAX: usize = 8;

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The tags, and what they stand for.
    pub images: Vec<(Tagged, Digest)>,
    /// Signatures, SBOMs and other manifests that refer to the images.
    pub referrers: u64,
    /// Bytes that the store did not have.
    pub bytes: u64,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// An import under way.
pub(super) struct Import<'a> {
    inventory: &'a Inventory,
    pub(super) archive: Archive,
    on_progress: OnProgress<'a>,
    progress: Progress,
    /// Manifests that come in, and those below them.
    plans: HashMap<Digest, Plan>,
    /// Blobs in the order in which they come.
    blobs: Vec<Digest>,
    seen: HashSet<Digest>,
    report: Imported,
}

/// A manifest that comes in.
struct Plan {
    bytes: Bytes,
    media_type: Arc<str>,
    /// Manifests below it that come too.
    below: Vec<Digest>,
    subject: Option<Digest>,
}

impl Inventory {
    /// Brings the images of an OCI layout, as a folder or a tar, or of a docker-archive into the store. Servers serve
    /// their tags while upstream cannot be reached, and what they name by digest always.
    ///
    /// A `name` with a tag names the one image there is; one without gives the repository to images whose tag alone is
    /// known.
    ///
    /// # Errors
    /// The archive cannot be understood, is not whole or names no image, or the store's files cannot be written.
    pub fn import(
        &self,
        path: &Path,
        name: Option<&Parsed>,
        on_progress: OnProgress<'_>,
    ) -> Result<Imported, InventoryError> {
        let mut import = Import {
            inventory: self,
            archive: Archive::open(path)?,
            on_progress,
            progress: Progress::default(),
            plans: HashMap::new(),
            blobs: Vec::new(),
            seen: HashSet::new(),
            report: Imported::default(),
        };
        match import.archive.read(oci::MARKER_FILE, MANIFEST_BYTES_MAX)? {
            Some(marker) => {
                oci::check_marker(&marker).map_err(|cause| document(oci::MARKER_FILE, cause))?;
                import.layout(name)?;
            }
            None => import.docker_archive(name)?,
        }
        self.publish()?;
        Ok(import.report)
    }
}

impl Import<'_> {
    /// The images of an OCI layout.
    fn layout(&mut self, given: Option<&Parsed>) -> Result<(), InventoryError> {
        let index = self.archive.read(oci::INDEX_FILE, MANIFEST_BYTES_MAX)?;
        let index = index.ok_or_else(|| self.archive.refuse("it has no index.json"))?;
        let index = oci::Index::decode(index.into());
        let index = index.map_err(|cause| document(oci::INDEX_FILE, cause))?;
        let mut images = Vec::new();
        let mut referrers = Vec::new();
        for entry in index.entries() {
            if !self.plan(entry.digest, entry.media_type.as_str(), 0)? {
                let reason = format!("it lacks the manifest {}", entry.digest);
                return Err(self.archive.refuse(&reason));
            }
            let has_subject = self
                .plans
                .get(&entry.digest)
                .is_some_and(|plan| plan.subject.is_some());
            match own_name(entry).is_none() && own_tag(entry).is_none() && has_subject {
                true => referrers.push(entry.digest),
                false => images.push(entry),
            }
        }
        if images.is_empty() {
            return Err(self.archive.refuse("it holds no image"));
        }
        let mut named = Vec::new();
        for entry in &images {
            named.push((self.name(entry, given, images.len())?, entry.digest));
        }
        self.copy_blobs()?;
        let mut homes = HashMap::<Digest, HashSet<Named>>::new();
        for (tagged, digest) in &named {
            for manifest in self.tree(*digest) {
                self.keep(tagged.named(), manifest)?;
                homes
                    .entry(manifest)
                    .or_default()
                    .insert(tagged.named().clone());
            }
        }
        self.attach(referrers, homes)?;
        for (tagged, digest) in named {
            self.tag(tagged, digest)?;
        }
        Ok(())
    }

    /// The name of an image of a layout that has so many.
    fn name(
        &self,
        entry: &Descriptor,
        given: Option<&Parsed>,
        images: usize,
    ) -> Result<Tagged, InventoryError> {
        let own = own_name(entry);
        let Some(given) = given else {
            return own.ok_or_else(|| {
                let reason = format!("it does not name {}: add --name", entry.digest);
                self.archive.refuse(&reason)
            });
        };
        let tag = match given.tag() {
            Some(_) if images > 1 => {
                let reason = format!("it holds {images} images: give a --name without a tag");
                return Err(self.archive.refuse(&reason));
            }
            Some(tag) => tag.clone(),
            None => match own.map(|own| own.tag().clone()).or_else(|| own_tag(entry)) {
                Some(tag) => tag,
                None if images == 1 => Tag::latest(),
                None => {
                    let reason = format!("it gives {} no tag", entry.digest);
                    return Err(self.archive.refuse(&reason));
                }
            },
        };
        Ok(Tagged::new(given.named().clone(), tag))
    }

    /// Looks at a manifest of a layout and at all below it. Returns whether the layout has it.
    fn plan(
        &mut self,
        digest: Digest,
        media_type: &str,
        depth: usize,
    ) -> Result<bool, InventoryError> {
        if self.plans.contains_key(&digest) {
            return Ok(true);
        }
        let Some(bytes) = self
            .archive
            .read(&oci::blob_path(&digest), MANIFEST_BYTES_MAX)?
        else {
            return Ok(false);
        };
        if Digest::of(digest.algorithm(), &bytes) != digest {
            return Err(self.mismatch(digest));
        }
        let bytes = Bytes::from(bytes);
        let media_type = media_type_of(Some(media_type), &bytes);
        let manifest = Manifest::decode(Some(&media_type), bytes.clone())
            .map_err(|cause| document(&digest.to_string(), cause))?;
        if manifest.kind() == Kind::Schema1 || depth > DEPTH_MAX {
            let reason = format!("{digest} is a manifest of a kind that layouts do not have");
            return Err(self.archive.refuse(&reason));
        }
        let mut below = Vec::new();
        let mut is_empty = true;
        for child in manifest.children() {
            let (digest, is_manifest) = (child.descriptor.digest, child.role == Role::Manifest);
            match child.role {
                Role::Manifest => {
                    is_empty = false;
                    let media_type = child.descriptor.media_type.as_str();
                    if self.plan(digest, media_type, depth + 1)? {
                        below.push(digest);
                    }
                }
                Role::Config | Role::Layer | Role::ForeignLayer => {
                    self.plan_blob(&child.descriptor, child.role == Role::ForeignLayer)?;
                }
                _ => {}
            }
            if is_manifest && !below.contains(&digest) {
                self.report
                    .skipped
                    .push(format!("{digest}: the archive does not have it"));
            }
        }
        if !is_empty && below.is_empty() {
            let reason = format!("it has none of the images that {digest} names");
            return Err(self.archive.refuse(&reason));
        }
        let subject = manifest.subject().map(|subject| subject.digest);
        let plan = Plan {
            bytes,
            media_type,
            below,
            subject,
        };
        self.plans.insert(digest, plan);
        Ok(true)
    }

    fn plan_blob(&mut self, blob: &Descriptor, is_foreign: bool) -> Result<(), InventoryError> {
        let digest = blob.digest;
        if self.seen.contains(&digest) {
            return Ok(());
        }
        match self.archive.member(&oci::blob_path(&digest))? {
            Some(member) => {
                self.seen.insert(digest);
                self.progress.total += member.len();
                self.blobs.push(digest);
                Ok(())
            }
            None if is_foreign || is_inside(blob) || self.inventory.tier.holds(&digest) => Ok(()),
            None => Err(self.archive.refuse(&format!("it lacks the blob {digest}"))),
        }
    }

    fn copy_blobs(&mut self) -> Result<(), InventoryError> {
        for digest in std::mem::take(&mut self.blobs) {
            let member = self.archive.member(&oci::blob_path(&digest))?;
            let member = member.ok_or_else(|| self.mismatch(digest))?;
            if self.inventory.tier.holds(&digest) {
                self.advance(member.len());
                continue;
            }
            let found = self.ingest(member, Some(digest))?;
            if found != digest {
                return Err(self.mismatch(digest));
            }
        }
        Ok(())
    }

    /// Reads a member into the store, where its digest is not held yet. Returns the digest of its bytes; those of
    /// another one than is expected are not kept.
    pub(super) fn ingest(
        &mut self,
        mut member: Member,
        expected: Option<Digest>,
    ) -> Result<Digest, InventoryError> {
        let tier = &self.inventory.tier;
        let failed = |cause| self.inventory.failed("write to", layout::BLOBS, cause);
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let mut hashing = Hashing::new(algorithm);
        let ingest = Ingest::start(tier, &TaskTracker::new()).map_err(failed)?;
        ingest.reserve(member.len()).map_err(failed)?;
        loop {
            let mut buffer = vec![0; READ_BYTES];
            let len = member.read(&mut buffer);
            let len =
                len.map_err(|cause| InventoryError::file("read", self.archive.path(), cause))?;
            if len == 0 {
                break;
            }
            buffer.truncate(len);
            hashing.update(&buffer);
            let at = hashing.len() - len as u64;
            ingest.write_at(&[buffer.into()], at).map_err(failed)?;
            self.progress.done += len as u64;
            (self.on_progress)(self.progress);
        }
        let hashed = hashing.finish();
        if expected.is_none_or(|digest| digest == hashed.digest) && !tier.holds(&hashed.digest) {
            self.report.bytes += ingest.commit(&hashed).map_err(failed)?;
        }
        Ok(hashed.digest)
    }

    /// Grows what there is to be done.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.progress.total += bytes;
    }

    fn advance(&mut self, bytes: u64) {
        self.progress.done += bytes;
        (self.on_progress)(self.progress);
    }

    /// A manifest that was made here comes in.
    pub(super) fn add(
        &mut self,
        tagged: Tagged,
        manifest: &Manifest,
    ) -> Result<(), InventoryError> {
        let digest = manifest.digest();
        let plan = Plan {
            bytes: manifest.bytes().clone(),
            media_type: manifest.media_type().as_str().into(),
            below: Vec::new(),
            subject: None,
        };
        self.plans.insert(digest, plan);
        self.keep(tagged.named(), digest)?;
        self.tag(tagged, digest)
    }

    /// A manifest and those below it, the lowest first.
    fn tree(&self, digest: Digest) -> Vec<Digest> {
        let mut tree = vec![digest];
        let mut next = 0;
        while let Some(plan) = tree.get(next).and_then(|digest| self.plans.get(digest)) {
            let new = plan.below.iter().filter(|below| !tree.contains(below));
            let new: Vec<_> = new.copied().collect();
            tree.extend(new);
            next += 1;
        }
        tree.reverse();
        tree
    }

    /// Keeps a manifest for a repository. What it names is held.
    fn keep(&mut self, named: &Named, digest: Digest) -> Result<(), InventoryError> {
        let tier = &self.inventory.tier;
        let Some(plan) = self.plans.get(&digest) else {
            return Ok(());
        };
        if !tier.holds(&digest) {
            self.report.bytes +=
                Ingest::put(tier, digest, plan.bytes.clone()).map_err(|cause| {
                    self.inventory
                        .failed("write", &layout::blob(&digest), cause)
                })?;
        }
        let canonical = Canonical::new(named.clone(), digest);
        if let Some(children) = children(Some(&plan.media_type), &plan.bytes) {
            tier.image(&Reference::from(canonical.clone()), &digest, &children);
            // Blobs belong as if the registry had sent them. Manifests below have records of their own.
            for blob in children.iter().filter(|it| !self.plans.contains_key(it)) {
                if let Some(size) = tier.held_bytes(blob) {
                    let key = layout::sent(named.domain(), blob);
                    self.write(&key, &ContentRecord::verified(size))?;
                }
            }
        }
        let key = layout::content(&canonical);
        let before = read::<ContentRecord>(tier, &key)
            .map_err(|cause| self.inventory.failed("read", &key, cause))?;
        if before.is_some_and(|before| before.media_type.is_some()) {
            return Ok(());
        }
        let record = ContentRecord {
            media_type: Some(Arc::clone(&plan.media_type)),
            ..ContentRecord::verified(plan.bytes.len() as u64)
        };
        self.write(&key, &record)
    }

    /// Keeps the referrers of what is kept, in the repositories where that is, and the lists of them.
    fn attach(
        &mut self,
        mut left: Vec<Digest>,
        mut homes: HashMap<Digest, HashSet<Named>>,
    ) -> Result<(), InventoryError> {
        loop {
            let before = left.len();
            for digest in std::mem::take(&mut left) {
                let plan = self.plans.get(&digest);
                let Some((plan, subject)) = plan.and_then(|plan| Some((plan, plan.subject?)))
                else {
                    continue;
                };
                let Some(home) = homes.get(&subject).cloned() else {
                    left.push(digest);
                    continue;
                };
                let manifest = Manifest::decode(Some(&plan.media_type), plan.bytes.clone())
                    .map_err(|cause| document(&digest.to_string(), cause))?;
                for named in home {
                    for manifest in self.tree(digest) {
                        self.keep(&named, manifest)?;
                        homes.entry(manifest).or_default().insert(named.clone());
                    }
                    let entry = descriptor(&manifest, digest);
                    self.inventory.add_referrers(&named, subject, vec![entry])?;
                }
                self.report.referrers += 1;
            }
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        let skipped = left.into_iter();
        let skipped =
            skipped.map(|digest| format!("{digest}: the archive lacks what it refers to"));
        self.report.skipped.extend(skipped);
        Ok(())
    }

    /// Makes a tag stand for a manifest that is kept.
    fn tag(&mut self, tagged: Tagged, digest: Digest) -> Result<(), InventoryError> {
        let Some(plan) = self.plans.get(&digest) else {
            return Ok(());
        };
        let key = layout::tag(&tagged);
        let before = read::<TagRecord>(&self.inventory.tier, &key)
            .map_err(|cause| self.inventory.failed("read", &key, cause))?;
        if before.is_none_or(|before| before.digest != digest) {
            let record = TagRecord {
                upstream_digest: None,
                digest,
                stored: None,
                media_type: Arc::clone(&plan.media_type),
                size: plan.bytes.len() as u64,
                checked: seconds(self.inventory.now()),
                unchecked: true,
            };
            self.write(&key, &record)?;
        }
        self.report.images.push((tagged, digest));
        Ok(())
    }

    fn write(&self, key: &str, record: &impl serde::Serialize) -> Result<(), InventoryError> {
        let line = serde_json::to_vec(record).unwrap_or_default();
        let written = self.inventory.tier.write_record(key, &line);
        written.map_err(|cause| self.inventory.failed("write", key, cause))
    }

    fn mismatch(&self, digest: Digest) -> InventoryError {
        InventoryError::Mismatch {
            place: self.archive.path().display().to_string(),
            digest,
        }
    }
}

/// The whole name of an entry of a layout.
fn own_name(entry: &Descriptor) -> Option<Tagged> {
    let by = |key: &str| entry.annotations.get(key).map(|name| &**name);
    // Without a slash or a colon it is a tag.
    let reference = by(REF_NAME).filter(|name| name.contains(['/', ':']));
    let parsed = Parsed::parse(by(IMAGE_NAME).or(reference)?)
        .ok()?
        .or_latest();
    Some(Tagged::new(parsed.named().clone(), parsed.tag()?.clone()))
}

/// The tag of an entry of a layout, where it has no more of a name.
fn own_tag(entry: &Descriptor) -> Option<Tag> {
    Tag::parse(entry.annotations.get(REF_NAME)?).ok()
}

pub(super) fn document(name: &str, cause: longshore_manifest::Error) -> InventoryError {
    InventoryError::Document {
        name: name.to_owned(),
        cause,
    }
}

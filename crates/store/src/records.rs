//! Small records about repositories: what a tag stood for, and which digests belong to a repository.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use longshore_manifest::{MANIFEST_BYTES_MAX, Manifest};
use longshore_reference::{Canonical, Digest, Named, Tagged};
use moka::sync::Cache;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bucket::Bucket;
use crate::tier::Tier;
use crate::tier::layout;

mod content;
mod members;
mod obsolete;
mod origin;
mod sent;
mod tag;

pub(crate) use content::{Child, ContentRecord, can_be};
use members::{Members, Repository};
pub(crate) use obsolete::Obsolete;
pub use origin::Origin;
pub(crate) use origin::format;
use sent::Sent;
pub(crate) use tag::{TagRecord, age, seconds};

/// Tag records in memory.
const RECORDS_IN_MEMORY: u64 = 100_000;
/// A record is a line of JSON; more is none.
const RECORD_BYTES_MAX: u64 = 16 << 10;
/// A page of a list with what JSON adds to it.
const LIST_RECORD_BYTES_MAX: u64 = 9 << 20;
/// Records of one repository that are read when it is asked for content that memory does not know.
const SCANNED_MAX: usize = 20_000;
/// A tag record whose digest did not change is written again only after this time.
const REWRITTEN_AFTER: Duration = Duration::from_secs(3600);

/// Reads and writes records: memory, then the local tier, then the bucket.
#[derive(Debug)]
pub(crate) struct Records {
    tier: Tier,
    bucket: Option<Bucket>,
    tags: Cache<Tagged, Arc<TagRecord>>,
    members: Members,
    sent: Sent,
}

impl Records {
    pub(crate) fn new(tier: Tier, bucket: Option<Bucket>) -> Self {
        Self {
            tier,
            bucket,
            tags: Cache::new(RECORDS_IN_MEMORY),
            members: Members::new(),
            sent: Sent::new(),
        }
    }

    /// Forgets what memory knows: it is read from the records anew.
    pub(crate) fn forget_memory(&self) {
        self.tags.invalidate_all();
        self.members.clear();
    }

    /// What the tag stood for, if anybody asked before.
    pub(crate) async fn tag(&self, tagged: &Tagged) -> Option<Arc<TagRecord>> {
        if let Some(record) = self.tags.get(tagged) {
            return Some(record);
        }
        let record = Arc::new(self.read::<TagRecord>(layout::tag(tagged)).await?);
        // What was put there meanwhile is newer than what was read.
        let entry = self.tags.entry_by_ref(tagged).or_insert(record);
        Some(entry.into_value())
    }

    /// Keeps what upstream said. Written when it changed, else hourly: a check alone costs no write.
    pub(crate) async fn put_tag(
        &self,
        tagged: &Tagged,
        record: &Arc<TagRecord>,
        before: Option<&TagRecord>,
    ) {
        let due = before.is_none_or(|before| {
            let same = TagRecord {
                checked: before.checked,
                ..TagRecord::clone(record)
            } == *before;
            !same || record.checked.abs_diff(before.checked) >= REWRITTEN_AFTER.as_secs()
        });
        self.tags.insert(tagged.clone(), Arc::clone(record));
        if due {
            self.write(layout::tag(tagged), &**record).await;
        }
    }

    /// Forgets a tag that upstream deleted.
    pub(crate) async fn forget_tag(&self, tagged: &Tagged) {
        self.tags.invalidate(tagged);
        self.forget(layout::tag(tagged)).await;
    }

    /// What is known of a digest in a repository, by memory and the local tier.
    pub(crate) async fn content(&self, canonical: &Canonical) -> Option<Arc<ContentRecord>> {
        let (named, digest) = (canonical.named(), canonical.digest());
        let repository = self.members.of(named);
        if let Some(record) = repository.get(&digest) {
            if record.is_membership() || !repository.may_have_origin(&digest) {
                return Some(record);
            }
            return self.in_bucket(canonical).await.or(Some(record));
        }
        let key = layout::content(canonical);
        let held = self
            .read_local::<ContentRecord>(&key, RECORD_BYTES_MAX)
            .await;
        if let Some(record) = held.filter(ContentRecord::is_membership) {
            self.members.grown(1);
            return Some(repository.put(digest, record));
        }
        let scan = || self.scan(named, &repository);
        repository.scanned.get_or_init(scan).await;
        repository.get(&digest)
    }

    /// What is known of a manifest that belongs to a repository, by the bucket too.
    pub(crate) async fn manifest(&self, canonical: &Canonical) -> Option<Arc<ContentRecord>> {
        let belongs = |record: &ContentRecord| record.belongs() || self.sent.holds(canonical);
        match self.content(canonical).await {
            Some(record) if record.media_type.is_some() && belongs(&record) => Some(record),
            _ => self.in_bucket(canonical).await,
        }
        .filter(|record| record.media_type.is_some())
    }

    /// Whether a blob belongs to a repository, by memory and by the records.
    pub(crate) async fn belongs(&self, canonical: &Canonical) -> bool {
        match self.content(canonical).await {
            Some(known) => known.belongs() || self.is_of_upstream(canonical).await,
            None => false,
        }
    }

    /// Whether a blob that a manifest of the repository names belongs to it: its upstream sent the bytes to any of its
    /// repositories, or said that this one has them. What other upstreams sent does not count.
    pub(crate) async fn is_of_upstream(&self, canonical: &Canonical) -> bool {
        let repository = self.members.of(canonical.named());
        let found = match self.sent.holds(canonical) {
            true => Some(ContentRecord::default()),
            false => self.sent_record(canonical).await,
        };
        let Some(record) = found else {
            return false;
        };
        self.sent.note(canonical);
        // From now on memory answers.
        repository.put(canonical.digest(), record);
        true
    }

    /// What the records say of a blob that an upstream sent: one of the repository, or one of all its repositories.
    async fn sent_record(&self, canonical: &Canonical) -> Option<ContentRecord> {
        let own = layout::content(canonical);
        let own = self.read_local::<ContentRecord>(&own, RECORD_BYTES_MAX);
        if let Some(own) = own.await.filter(ContentRecord::is_membership) {
            return Some(own);
        }
        let sent = layout::sent(canonical.named().domain(), &canonical.digest());
        let sent = self.read::<ContentRecord>(sent).await;
        sent.filter(|record| record.verified)
    }

    /// The upstream of this repository sent the content: known from now on, and written with its record.
    pub(crate) fn note_sent(&self, canonical: &Canonical) {
        self.sent.note(canonical);
    }

    /// What the record of a digest says, the bucket's where the local tier has none: one request.
    pub(crate) async fn in_bucket(&self, canonical: &Canonical) -> Option<Arc<ContentRecord>> {
        let record = self
            .read::<ContentRecord>(layout::content(canonical))
            .await?;
        if !record.is_membership() {
            return None;
        }
        self.members.grown(1);
        let repository = self.members.of(canonical.named());
        Some(repository.put(canonical.digest(), record))
    }

    /// Adds what a manifest names to its repository, unless that is known.
    pub(crate) fn put_children(
        &self,
        named: &Named,
        manifest: Digest,
        is_legacy: bool,
        children: impl FnOnce() -> Vec<Child>,
    ) {
        let repository = self.members.of(named);
        if is_legacy {
            repository.mark_legacy();
        }
        if !repository.has_children_of(&manifest) {
            self.members
                .put_children(&repository, manifest, &children());
        }
    }

    /// The local tier lost a manifest: what it names belongs for its sake no longer. Where a bucket may have it, it stays.
    pub(crate) fn forget_manifest(&self, digest: &Digest) {
        if self.bucket.is_none() {
            self.members.forget_manifest(digest);
        }
    }

    /// Reads what the local tier knows of a repository: its records, and what its manifests name.
    async fn scan(&self, named: &Named, repository: &Repository) {
        let folder = layout::contents(named);
        let scanned = self.tier.run(move |tier| {
            let mut found = Vec::new();
            for algorithm in tier.names(&folder)? {
                let folder = format!("{folder}/{algorithm}");
                for hex in tier.names(&folder)?.into_iter().take(SCANNED_MAX) {
                    let key = format!("{folder}/{hex}");
                    let Ok(digest) = Digest::parse(&format!("{algorithm}:{hex}")) else {
                        continue;
                    };
                    let Some(record) = tier
                        .read(&key, RECORD_BYTES_MAX)?
                        .and_then(|bytes| parse::<ContentRecord>(&key, &bytes))
                        .filter(ContentRecord::is_membership)
                    else {
                        continue;
                    };
                    let children = children_of(tier, digest, &record);
                    found.push((digest, record, children));
                }
            }
            Ok(found)
        });
        match scanned.await {
            Ok(found) => {
                for (digest, record, children) in found {
                    let stored = record.stored.unwrap_or(digest);
                    repository.put(digest, record);
                    self.members.grown(1);
                    if let Some(children) = children {
                        self.members.put_children(repository, stored, &children);
                    }
                }
            }
            Err(cause) => tracing::warn!(%named, %cause, "records could not be read"),
        }
    }

    /// Records that a digest belongs to a repository.
    pub(crate) async fn put_content(&self, canonical: &Canonical, record: ContentRecord) {
        self.put_contents(vec![(canonical.clone(), record)]).await;
    }

    /// Records what belongs to a repository. What is known already is not written again, nor what a manifest says.
    pub(crate) async fn put_contents(&self, contents: Vec<(Canonical, ContentRecord)>) {
        for (canonical, record) in contents {
            let known = self.content(&canonical).await;
            // The manifest that names a blob stays the record of it.
            let is_named = known.as_ref().is_some_and(|known| !known.is_membership());
            let stands_alone =
                record.confirmed || record.media_type.is_some() || record.origin.is_some();
            let repository = self.members.of(canonical.named());
            self.members.grown(1);
            self.put_sent(&canonical, &record).await;
            let record = repository.put(canonical.digest(), record);
            if known.as_ref() == Some(&record) || (is_named && !stands_alone) {
                continue;
            }
            let record = ContentRecord::clone(&record).facts();
            if known.is_none_or(|known| ContentRecord::clone(&known).facts() != record) || is_named
            {
                self.write(layout::content(&canonical), &record).await;
            }
        }
    }

    /// Records that an upstream has content. Manifests have records of their own, and so has what was made here.
    async fn put_sent(&self, canonical: &Canonical, record: &ContentRecord) {
        if !record.is_membership() {
            return;
        }
        let is_blob = record.media_type.is_none() && record.origin.is_none();
        match record.size.filter(|_| record.verified && is_blob) {
            Some(size) if self.sent.note_written(canonical) => {
                let key = layout::sent(canonical.named().domain(), &canonical.digest());
                self.write(key, &ContentRecord::verified(size)).await;
            }
            _ => self.sent.note(canonical),
        }
    }

    /// A record that is written once and looked up seldom: not kept in memory.
    pub(crate) async fn other<T: DeserializeOwned>(&self, key: String) -> Option<T> {
        self.read(key).await
    }

    /// Writes a record of [`other`](Self::other).
    pub(crate) async fn put_other<T: Serialize>(&self, key: String, record: &T) {
        self.write(key, record).await;
    }

    /// A page of a list. Not kept in memory.
    pub(crate) async fn list<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.read_up_to(key.to_owned(), LIST_RECORD_BYTES_MAX).await
    }

    /// Removes a record, in the bucket too.
    pub(crate) async fn forget(&self, key: String) {
        let gone = key.clone();
        if let Err(cause) = self.tier.run(move |tier| tier.remove(&gone)).await {
            tracing::warn!(%key, %cause, "record could not be removed");
        }
    }

    async fn read_local<T: DeserializeOwned>(&self, key: &str, bytes_max: u64) -> Option<T> {
        let at = key.to_owned();
        let held = self.tier.run(move |tier| tier.read(&at, bytes_max));
        let held = held.await.unwrap_or_else(|cause| {
            tracing::warn!(%key, %cause, "record could not be read");
            None
        });
        parse(key, &held?)
    }

    async fn read<T: DeserializeOwned>(&self, key: String) -> Option<T> {
        self.read_up_to(key, RECORD_BYTES_MAX).await
    }

    async fn read_up_to<T: DeserializeOwned>(&self, key: String, bytes_max: u64) -> Option<T> {
        if let Some(record) = self.read_local(&key, bytes_max).await {
            return Some(record);
        }
        let bytes = self.bucket.as_ref()?.read(&key, bytes_max).await?;
        let record = parse(&key, &bytes)?;
        let at = key.clone();
        let copied = self.tier.run(move |tier| tier.copy_record(&at, &bytes));
        if let Err(cause) = copied.await {
            tracing::warn!(%key, %cause, "record could not be written");
        }
        Some(record)
    }

    async fn write<T: Serialize>(&self, key: String, record: &T) {
        let Ok(line) = serde_json::to_vec(record) else {
            return;
        };
        let at = key.clone();
        if let Err(cause) = self
            .tier
            .run(move |tier| tier.write_record(&at, &line))
            .await
        {
            tracing::warn!(%key, %cause, "record could not be written");
        }
    }
}

/// What a kept manifest names; `None` where its bytes are not in the local tier.
fn children_of(tier: &Tier, digest: Digest, record: &ContentRecord) -> Option<Vec<Child>> {
    let media_type = record.media_type.as_deref()?;
    let stored = record.stored.unwrap_or(digest);
    let bytes = tier
        .read(&layout::blob(&stored), MANIFEST_BYTES_MAX as u64)
        .ok()??;
    if Digest::of(stored.algorithm(), &bytes) != stored {
        return None;
    }
    let manifest = Manifest::decode(Some(media_type), bytes.into()).ok()?;
    Some(Child::of(&manifest))
}

/// Whether the tag record in the bucket stays where ours would replace it: upstream was asked later for it. One that is
/// no record, or of a time that is still to come, does not.
pub(crate) fn stays(theirs: &[u8], ours: &[u8], now: SystemTime) -> bool {
    let parse = |bytes| serde_json::from_slice::<TagRecord>(bytes).ok();
    match (parse(theirs), parse(ours)) {
        (Some(theirs), Some(ours)) => theirs.age(now).is_some() && theirs.checked >= ours.checked,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// A record that cannot be read is none: upstream is asked again, and it is written anew.
fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes)
        .inspect_err(|cause| tracing::warn!(%key, %cause, "record could not be understood"))
        .ok()
}

#[cfg(test)]
mod tests;

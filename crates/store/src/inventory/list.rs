//! `ls`: the tags that are held.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_reference::{Digest, Tagged, matches};

use super::records::bytes_of;
use super::{Inventory, InventoryError};

/// A tag of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldTag {
    /// Its name.
    pub tagged: Tagged,
    /// What it stands for.
    pub digest: Digest,
    /// Media type of the manifest.
    pub media_type: String,
    /// Bytes that are held of it: its manifests, configurations and layers. Zero where its manifest was evicted.
    pub size: u64,
    /// When it was last used.
    pub used: Option<SystemTime>,
    /// When upstream last said that it stands for this digest. An imported tag: when it was imported.
    pub checked: SystemTime,
}

impl HeldTag {
    /// Whether a pattern means this tag: its repository, or repository and tag, as `docker.io/library/alpine:3` or in
    /// short as `alpine:3`. A `*` stands for any characters.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        let named = self.tagged.named();
        matches(pattern, named.as_str())
            || matches(pattern, &self.tagged.to_string())
            || matches(pattern, &named.familiar().to_string())
            || matches(pattern, &self.tagged.familiar().to_string())
    }
}

impl Inventory {
    /// The tags that are held, by their names.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn tags(&self) -> Result<Vec<HeldTag>, InventoryError> {
        let stock = self.tier.stock();
        let since = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        let mut tags = Vec::new();
        for repository in self.repositories()? {
            for (tag, record) in &repository.tags {
                let stored = bytes_of(record);
                let held = stock.get(&stored);
                tags.push(HeldTag {
                    tagged: repository.tagged(tag),
                    digest: record.digest,
                    media_type: record.media_type.to_string(),
                    size: stock.bytes(&stock.reach([stored])),
                    used: held.map(|held| since(held.used.into())),
                    checked: since(record.checked.min(u32::MAX.into())),
                });
            }
        }
        Ok(tags)
    }
}

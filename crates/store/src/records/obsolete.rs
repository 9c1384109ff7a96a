//! Which records are of no use any more.

use std::time::{Duration, SystemTime};

use longshore_reference::Digest;
use serde::de::DeserializeOwned;

use super::content::ContentRecord;
use super::tag::TagRecord;
use crate::tier::{Tier, layout};

/// A tag that upstream was not asked for in this time is forgotten: half a year.
const TAG_AGE_MAX: Duration = Duration::from_secs(180 * 24 * 3600);
/// What is written once, or kept for an upstream that is gone, goes after this time: a quarter.
const OTHER_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// More than any record has.
const BYTES_MAX: u64 = 16 << 10;

/// Looks at records of the local tier.
pub(crate) struct Obsolete<'a> {
    pub(crate) tier: &'a Tier,
    pub(crate) now: SystemTime,
    /// Time since the record was written.
    pub(crate) age: Duration,
}

impl Obsolete<'_> {
    /// Whether the record of this key is of no use any more. One that cannot be read is.
    pub(crate) fn holds(&self, key: &str) -> bool {
        let mut parts = key.rsplit('/');
        let (name, folder, above) = (parts.next(), parts.next(), parts.next());
        match (above, folder, name) {
            (_, Some("_tags"), _) => self.read::<TagRecord>(key).is_none_or(|tag| {
                let is_old = tag.age(self.now).is_none_or(|age| age > TAG_AGE_MAX);
                // An imported tag may never meet its upstream.
                (is_old && !tag.unchecked) || !self.is_held(&tag.stored.unwrap_or(tag.digest))
            }),
            (Some("_content"), Some(algorithm), Some(hex)) => {
                let digest = Digest::parse(&format!("{algorithm}:{hex}"));
                let record = self.read::<ContentRecord>(key);
                let (Ok(digest), Some(record)) = (digest, record) else {
                    return true;
                };
                let stored = record.stored.unwrap_or(digest);
                match (record.is_membership(), &record.origin) {
                    // What a manifest claimed, by an earlier version.
                    (false, _) => true,
                    // It can be made again.
                    (true, Some(_)) => self.age > TAG_AGE_MAX && !self.is_held(&stored),
                    (true, None) => !self.is_held(&stored),
                }
            }
            (Some("_sent"), Some(algorithm), Some(hex)) => {
                let digest = Digest::parse(&format!("{algorithm}:{hex}"));
                !digest.is_ok_and(|digest| self.is_held(&digest))
            }
            _ => self.age > OTHER_AGE_MAX,
        }
    }

    /// Whether the bytes are there. With a bucket behind the tier they may be there: then they count as held.
    fn is_held(&self, digest: &Digest) -> bool {
        self.tier.path(&layout::blob(digest)).exists()
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.tier.read(key, BYTES_MAX).ok()??;
        serde_json::from_slice(&bytes).ok()
    }
}

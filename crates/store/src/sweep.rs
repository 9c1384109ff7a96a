//! Removes records that are of no use any more: of tags that nobody asked for in a long time, and of content that is gone.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::records::Obsolete;
use crate::tier::{Tier, layout};

/// The first round begins this long after the start.
const FIRST_AFTER: Duration = Duration::from_secs(600);
/// From the end of a round to the next one.
const ROUND_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Records that are looked at in one go, and the pause after them: at most some 2,500 a second.
const AT_ONCE: usize = 256;
const PAUSE: Duration = Duration::from_millis(100);
/// A record that was written so recently is left alone: what it is about may be on its way.
const LEFT_ALONE: Duration = Duration::from_secs(3600);
/// Folders are not followed deeper than a repository's path can be.
const DEPTH_MAX: usize = 130;

/// Removes obsolete records for as long as the store is open.
pub(crate) async fn run(tier: Tier, now: impl Fn() -> SystemTime) {
    let mut pause = FIRST_AFTER;
    loop {
        sleep(pause).await;
        let removed = round(&tier, now()).await;
        tracing::debug!(removed, "swept the records");
        pause = ROUND_EVERY;
    }
}

/// Looks at every record once. Returns how many were removed.
async fn round(tier: &Tier, now: SystemTime) -> usize {
    let mut removed = 0;
    let mut folders = vec![(layout::REPOSITORIES.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let listed = {
            let folder = folder.clone();
            tier.run(move |tier| list(tier, &folder)).await
        };
        // A folder that cannot be read is the next round's.
        let Ok((below, records)) = listed else {
            continue;
        };
        if depth < DEPTH_MAX {
            folders.extend(below.into_iter().map(|below| (below, depth + 1)));
        }
        for keys in records.chunks(AT_ONCE) {
            let keys = keys.to_vec();
            let swept = tier.run(move |tier| Ok(sweep(tier, &keys, now)));
            removed += swept.await.unwrap_or(0);
            sleep(PAUSE).await;
        }
    }
    removed
}

/// The folders and the records in a folder, by their keys.
fn list(tier: &Tier, folder: &str) -> io::Result<(Vec<String>, Vec<String>)> {
    let (mut below, mut records) = (Vec::new(), Vec::new());
    for name in tier.names(folder)? {
        let key = format!("{folder}/{name}");
        let is_folder = fs::symlink_metadata(tier.path(&key)).is_ok_and(|found| found.is_dir());
        if is_folder {
            below.push(key);
        } else {
            records.push(key);
        }
    }
    Ok((below, records))
}

/// Removes those of these records that are obsolete. Returns how many.
fn sweep(tier: &Tier, keys: &[String], now: SystemTime) -> usize {
    let is_obsolete = |key: &&String| {
        let modified = fs::symlink_metadata(tier.path(key)).and_then(|found| found.modified());
        let Ok(modified) = modified else {
            return false;
        };
        let age = now.duration_since(modified).unwrap_or_default();
        age >= LEFT_ALONE && Obsolete { tier, now, age }.holds(key)
    };
    let obsolete = keys.iter().filter(is_obsolete);
    obsolete.filter(|key| tier.drop_record(key).is_ok()).count()
}

#[cfg(test)]
mod tests;

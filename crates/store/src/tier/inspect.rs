//! What the commands do with files: look at all of them, verify them, remove them.

use std::fs::{self, File};
use std::io;

use longshore_reference::Digest;

use super::files::Found;
use super::index::Victims;
use super::layout;
use super::stamp::Stamp;
use super::stock::{Finding, Stock};
use super::{Tier, has_digest};

impl Tier {
    /// All that is held, by the index.
    pub(crate) fn stock(&self) -> Stock {
        self.0.catalog.stock()
    }

    /// The stamp of the file that commands replace when they have changed the store.
    pub(crate) fn changed(&self) -> Option<Stamp> {
        let found = fs::symlink_metadata(self.path(layout::CHANGED)).ok()?;
        Some(Stamp::from(&found))
    }

    /// Makes running stores read their records again.
    pub(crate) fn mark_changed(&self) -> io::Result<()> {
        self.0.files.write_record(layout::CHANGED, b"")
    }

    /// Lets a server be the one that evicts and scrubs, for as long as this process lives.
    pub(crate) fn leave_keeping(&self) {
        self.0.catalog.leave_keeping();
    }

    /// Whether a blob waits for its upload.
    pub(crate) fn waits(&self, digest: &Digest) -> bool {
        let outbox = self.0.outbox.as_ref();
        outbox.is_some_and(|outbox| outbox.contains(digest))
    }

    /// Reads a blob from the disk and hashes it; with `repair`, what is wrong is moved to quarantine.
    pub(crate) fn verify(&self, digest: &Digest, repair: bool) -> Finding {
        let (finding, stamp) = match self.0.files.look(digest) {
            Ok(None) => return Finding::Gone,
            Ok(Some(Found::Obstacle(stamp))) => {
                let obstacle = io::Error::new(io::ErrorKind::InvalidData, "no readable file");
                (Finding::Unreadable(obstacle), stamp)
            }
            Ok(Some(Found::File(file, stamp))) => {
                // What is in memory may be right while the disk is not.
                #[cfg(target_os = "linux")]
                {
                    use rustix::fs::{Advice, fadvise};
                    let _ = fadvise(&file, 0, None, Advice::DontNeed);
                }
                let finding = match has_digest(&file, digest) {
                    Ok(true) => return Finding::Right,
                    Ok(false) => Finding::Wrong,
                    Err(cause) => Finding::Unreadable(cause),
                };
                (finding, stamp)
            }
            // Too many open files, or a folder that may not be entered: nothing is known of the blob.
            Err(cause) => return Finding::Unreadable(cause),
        };
        if repair {
            self.quarantine(digest, &stamp);
        }
        finding
    }

    /// Chooses what is evicted next, and counts it as gone. No file is touched: [`remove_blob`](Self::remove_blob)
    /// does that, in the order of the answer.
    pub(crate) fn choose_victims(&self) -> Option<Victims> {
        self.0.catalog.imagine_evicted(|digest| self.waits(digest))
    }

    /// Removes a blob's file: any, or only the one with this stamp. Returns its size, `None` where there is none.
    pub(crate) fn remove_blob(
        &self,
        digest: &Digest,
        only: Option<&Stamp>,
    ) -> io::Result<Option<u64>> {
        let aside = self.0.files.spare();
        let size = {
            let _moving = self.moves();
            let stamp = self.0.files.stamp(digest)?;
            if only.is_some() && stamp.as_ref() != only {
                return Ok(None);
            }
            if stamp.is_some() {
                // A rename is quick however large the file is.
                fs::rename(self.0.files.blob(digest), &aside)?;
            }
            self.0.catalog.forget(digest);
            stamp.map(|stamp| stamp.size)
        };
        self.tell_gone(digest);
        drop(fs::remove_file(aside));
        Ok(size)
    }

    /// Whether anything bears a blob's name.
    pub(crate) fn holds_file(&self, digest: &Digest) -> bool {
        !matches!(self.0.files.stamp(digest), Ok(None))
    }

    /// Opens a blob's file as it is: its bytes are not compared with the digest.
    pub(crate) fn file_of(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        Ok(match self.0.files.look(digest)? {
            Some(Found::File(file, stamp)) => Some((file, stamp.size)),
            Some(Found::Obstacle(_)) | None => None,
        })
    }
}

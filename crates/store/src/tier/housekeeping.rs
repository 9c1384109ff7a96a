//! What goes on in the background: files and index are compared, content is evicted, files are hashed again, the index
//! is saved. No request waits for any of it.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use longshore_manifest::MANIFEST_BYTES_MAX;
use longshore_reference::Digest;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::files::{Found, read_all};
use super::images::children;
use super::index::{Held, Seen, Victims};
use super::room::{Limits, Reason};
use super::stamp::Stamp;
use super::{Event, Inner, Tier};

/// How often free space is looked at, and what was recorded is handed to the system.
const TICK: Duration = Duration::from_secs(30);
/// Chosen images that turn out to be wanted again, before eviction rests.
const KEPT_MAX: usize = 100;
/// How long eviction rests after it was for free space, or failed.
const REST: Duration = Duration::from_secs(1);
/// How often the index is saved whole.
const SAVED_EVERY: Duration = Duration::from_secs(600);
/// How often files and index are compared: other processes write to the store too.
const RECONCILED_EVERY: Duration = Duration::from_secs(3600);
/// The scrub looks for work at least this often, and rests at least this long after a file.
const SCRUB_PAUSE_MAX: Duration = Duration::from_secs(3600);
const SCRUB_PAUSE_MIN: Duration = Duration::from_millis(10);

impl Tier {
    /// Works in the background until the tier is closed or dropped.
    pub(crate) fn keep_house(&self) {
        let tier = Arc::downgrade(&self.0);
        let (wanted, closed) = (Arc::clone(&self.0.room_wanted), self.0.closed.clone());
        self.0.tracker.spawn(keep(tier, wanted, closed));
        if !self.0.scrub.is_zero() {
            let tier = Arc::downgrade(&self.0);
            self.0.tracker.spawn(scrub(tier, self.0.closed.clone()));
        }
    }

    /// Compares files and index soon: another process has changed the files.
    pub(crate) fn look_again(&self) {
        self.0.changed.store(true, Ordering::Relaxed);
        self.0.room_wanted.notify_one();
    }

    /// Ends the work in the background; what is recorded is saved.
    pub(crate) fn close(&self) {
        self.0.closed.cancel();
    }
}

async fn keep(tier: Weak<Inner>, wanted: Arc<tokio::sync::Notify>, closed: CancellationToken) {
    let (mut saved, mut reconciled) = (Instant::now(), None::<Instant>);
    loop {
        let ending = closed.is_cancelled();
        let Some(tier) = tier.upgrade().map(Tier) else {
            return;
        };
        let save = ending || saved.elapsed() >= SAVED_EVERY;
        let changed = tier.0.changed.swap(false, Ordering::Relaxed);
        let due = reconciled.is_none_or(|at| at.elapsed() >= RECONCILED_EVERY);
        let reconcile = !ending && (changed || due);
        let work = tier.run(move |tier| {
            if reconcile {
                tier.reconcile()?;
            }
            let evicted = match ending {
                true => None,
                false => tier.make_room()?,
            };
            tier.0.catalog.save(save)?;
            Ok(evicted)
        });
        let worked = work
            .await
            .inspect_err(|cause| tracing::warn!(%cause, "the local store could not be tidied"));
        if ending {
            return;
        }
        if reconcile && worked.is_ok() {
            reconciled = Some(Instant::now());
        }
        if save {
            saved = Instant::now();
        }
        drop(tier);
        // Files that are still read give their space back late: what went is waited for.
        if matches!(worked, Ok(Some(Reason::MinFree)) | Err(_)) {
            tokio::select! {
                () = sleep(REST) => {}
                () = closed.cancelled() => {}
            }
        }
        tokio::select! {
            () = wanted.notified() => {}
            () = sleep(TICK) => {}
            () = closed.cancelled() => {}
        }
    }
}

async fn scrub(tier: Weak<Inner>, closed: CancellationToken) {
    loop {
        let Some(tier) = tier.upgrade().map(Tier) else {
            return;
        };
        let work = tier.run(|tier| Ok(tier.scrub_next()));
        let pause = work.await.unwrap_or(SCRUB_PAUSE_MAX);
        drop(tier);
        tokio::select! {
            () = sleep(pause) => {}
            () = closed.cancelled() => return,
        }
    }
}

impl Tier {
    /// Compares the files with the index: what other processes, operators or disks did shows here, and files of which
    /// nothing is recorded are taken in.
    pub(crate) fn reconcile(&self) -> io::Result<()> {
        let mut seen = Seen::default();
        let walked = self.0.files.walk(|digest, stamp| {
            let held = self.0.catalog.see(&digest, &mut seen);
            // What was recorded at commit stays: it tells damage when the file is opened.
            if held.is_none_or(|held| !held.trusted && held.stamp != stamp) {
                self.take_in(&digest);
                self.0.catalog.see(&digest, &mut seen);
            }
        });
        if walked.is_ok() {
            for digest in self.0.catalog.unseen(&seen) {
                self.forget_absent(&digest);
            }
        }
        // A crash may have lost what a manifest names.
        for (digest, stamp) in self.0.catalog.orphans() {
            if let Some(children) = self.children_of(&digest, &stamp) {
                self.0.catalog.image(&digest, &children);
            }
        }
        if self.0.limits.get().is_none() {
            let (space, held) = (self.0.files.space()?, self.0.catalog.usage());
            let limits = Limits::new(
                self.0.capacity,
                self.0.min_free,
                space.total,
                space.free,
                held.bytes,
            );
            tracing::info!(
                capacity = limits.capacity,
                min_free = limits.min_free,
                bytes = held.bytes,
                objects = held.objects,
                "local store"
            );
            // Only this task sets them.
            let _ = self.0.limits.set(limits);
        }
        walked
    }

    /// Records a file of which nothing is known, or something else: it is hashed before it is served.
    fn take_in(&self, digest: &Digest) {
        let _moving = self.moves();
        let Ok(Some(stamp)) = self.0.files.stamp(digest) else {
            return;
        };
        let known = self.0.catalog.held(digest);
        if known.is_some_and(|known| known.trusted || known.stamp == stamp) {
            return;
        }
        let modified = u32::try_from(stamp.modified / 1_000_000_000).unwrap_or(0);
        let held = Held {
            stamp,
            trusted: false,
            used: known.map_or(modified, |known| known.used),
            scrubbed: 0,
        };
        self.0.catalog.insert(digest, held);
        if let Some(children) = self.children_of(digest, &stamp) {
            self.0.catalog.image(digest, &children);
        }
    }

    /// What a file names, if it is a manifest.
    fn children_of(&self, digest: &Digest, stamp: &Stamp) -> Option<Vec<Digest>> {
        if stamp.size > MANIFEST_BYTES_MAX as u64 {
            return None;
        }
        let Ok(Some(Found::File(file, _))) = self.0.files.look(digest) else {
            return None;
        };
        let mut first = [0];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut first, 0).ok()?;
        if !matches!(first, [b'{' | b' ' | b'\t' | b'\r' | b'\n']) {
            return None;
        }
        let bytes = read_all(file, MANIFEST_BYTES_MAX as u64).ok()?;
        children(None, &Bytes::from(bytes))
    }

    /// Evicts what is too much. Returns why anything had to go.
    ///
    /// # Errors
    /// A file cannot be moved: nothing more is tried now.
    pub(super) fn make_room(&self) -> io::Result<Option<Reason>> {
        let Some(limits) = self.0.limits.get() else {
            return Ok(None);
        };
        let Some((reason, excess)) = limits.excess(self.room()?) else {
            return Ok(None);
        };
        if !self.0.catalog.is_keeper() {
            return Ok(None);
        }
        let outbox = self.0.outbox.as_ref();
        let waits = |digest: &Digest| outbox.is_some_and(|outbox| outbox.contains(digest));
        let (mut freed, mut kept) = (0, 0);
        while freed < excess && kept < KEPT_MAX {
            let Some(victims) = self.0.catalog.evict(waits) else {
                tracing::warn!(wanted = excess - freed, "no content may be evicted");
                break;
            };
            let bytes = self.evict(&victims)?;
            freed += bytes;
            kept += usize::from(bytes == 0);
            if bytes > 0 {
                (self.0.observer)(Event::Evicted { reason, bytes });
            }
        }
        tracing::info!(reason = reason.as_str(), bytes = freed, "evicted");
        Ok(Some(reason))
    }

    /// Removes an image, the manifest first. Returns the bytes that were freed.
    fn evict(&self, victims: &Victims) -> io::Result<u64> {
        let mut bytes = 0;
        for (digest, stamp) in victims {
            match self.evict_file(digest, stamp) {
                Ok(Some(size)) => bytes += size,
                // It was committed again meanwhile, or another manifest names it: what it names stays too.
                Ok(None) => self.0.catalog.put_back(digest),
                Err(cause) => {
                    self.failed("evict");
                    victims
                        .iter()
                        .for_each(|(digest, _)| self.0.catalog.put_back(digest));
                    return Err(cause);
                }
            }
        }
        Ok(bytes)
    }

    pub(super) fn evict_file(&self, digest: &Digest, stamp: &Stamp) -> io::Result<Option<u64>> {
        let aside = self.0.files.spare();
        {
            let _moving = self.moves();
            let held = self.0.catalog.held(digest);
            if held.is_none_or(|held| held.stamp != *stamp) || self.0.catalog.is_needed(digest) {
                return Ok(None);
            }
            // A rename is quick however large the file is.
            match fs::rename(self.0.files.blob(digest), &aside) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                Ok(()) | Err(_) => self.0.catalog.remove(digest),
            };
        }
        self.tell_gone(digest);
        tracing::debug!(%digest, "evicted");
        drop(fs::remove_file(aside));
        Ok(Some(stamp.size))
    }

    /// Hashes the file that was hashed longest ago, if it is due. Returns how long to rest.
    pub(super) fn scrub_next(&self) -> Duration {
        if !self.0.catalog.is_keeper() {
            return SCRUB_PAUSE_MAX;
        }
        let Some((digest, held)) = self.0.catalog.stalest() else {
            return SCRUB_PAUSE_MAX;
        };
        let age = Duration::from_secs(self.now().saturating_sub(held.scrubbed).into());
        if held.trusted && age < self.0.scrub {
            return (self.0.scrub - age).min(SCRUB_PAUSE_MAX);
        }
        match self.0.files.look(&digest) {
            Ok(Some(Found::File(file, _))) => {
                // What is in memory may be right while the disk is not.
                #[cfg(target_os = "linux")]
                {
                    use rustix::fs::{Advice, fadvise};
                    let _ = fadvise(&file, 0, None, Advice::DontNeed);
                }
                self.check_now(&digest, &file);
            }
            Ok(Some(Found::Obstacle(stamp))) => {
                self.quarantine(&digest, &stamp);
            }
            Ok(None) => self.forget_absent(&digest),
            Err(_) => return SCRUB_PAUSE_MAX,
        }
        // Its share of a round.
        let total = self.0.catalog.usage().bytes.max(1);
        let share = held.stamp.size as f64 / total as f64;
        let pause = self.0.scrub.mul_f64(share.clamp(0.0, 1.0));
        pause.clamp(SCRUB_PAUSE_MIN, SCRUB_PAUSE_MAX)
    }
}

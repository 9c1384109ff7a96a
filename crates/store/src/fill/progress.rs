//! The published state of a fill: how much has landed, and whether it is verified.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;

use crate::error::Error;
use crate::fill::extents::Extents;
use crate::uploads::blobs::Growing;

/// Blobs up to this size are verified whole before their first byte is given out: 1 MiB.
pub(crate) const VERIFIED_WHOLE_MAX: u64 = 1 << 20;
/// How many last bytes are held back until the digest is right: a body from the start never completes with wrong bytes.
pub(crate) const HELD_BACK: u64 = 4096;

/// How far a fill has come.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Waiting for a permit, or for upstream's headers.
    Asking,
    /// Bytes are landing.
    Landing,
    /// All bytes are there and are the digest's.
    Verified,
    /// It ended without.
    Failed(Error),
}

/// The published state of a fill.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// Size of the whole blob as the source claims it, where known. A fact once verified.
    pub(crate) size: Option<u64>,
    pub(crate) landed: Extents,
    /// How many bytes came, once all of them did.
    pub(crate) len: Option<u64>,
    /// The spooled file, from the phase `Landing` on.
    pub(crate) file: Option<Arc<File>>,
    /// The bytes come from what is kept, not from upstream.
    pub(crate) kept: bool,
    /// How often the fill began anew, with other bytes in another file.
    pub(crate) attempt: u32,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Asking,
            size: None,
            landed: Extents::default(),
            len: None,
            file: None,
            kept: false,
            attempt: 0,
        }
    }

    /// Where the bytes that a reader at `position` may have end.
    ///
    /// What lands ahead of the first gap is for ranges alone: their clients verify what they join them to.
    pub(crate) fn visible_from(&self, position: u64) -> u64 {
        let landed = self.landed.end_from(position);
        let ahead = position > self.landed.end_from(0);
        let visible = match (&self.phase, self.size) {
            (Phase::Asking | Phase::Failed(_), _) => return position,
            (Phase::Verified, _) => landed,
            (Phase::Landing, Some(size)) if size <= VERIFIED_WHOLE_MAX => return position,
            (Phase::Landing, _) if ahead => landed,
            (Phase::Landing, Some(size)) => landed.min(size.saturating_sub(HELD_BACK)),
            // Any byte may be the last: hold back from what is there.
            (Phase::Landing, None) if landed <= VERIFIED_WHOLE_MAX => return position,
            (Phase::Landing, None) => landed - HELD_BACK,
        };
        visible.max(position)
    }

    /// Whether nothing more will come.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.phase, Phase::Verified | Phase::Failed(_))
    }

    /// Whether headers can be answered: the blob is known to come, small ones to be right.
    pub(crate) fn answerable(&self) -> bool {
        match self.phase {
            Phase::Asking => false,
            Phase::Verified | Phase::Failed(_) => true,
            Phase::Landing => match self.size {
                Some(size) => size > VERIFIED_WHOLE_MAX,
                None => self.landed.end() > VERIFIED_WHOLE_MAX,
            },
        }
    }
}

impl Growing for watch::Receiver<Progress> {
    async fn reach(&mut self, end: u64) -> Option<u64> {
        let reached = |progress: &Progress| progress.ended() || progress.landed.end_from(0) >= end;
        let progress = self.wait_for(reached).await.ok()?;
        let failed = matches!(progress.phase, Phase::Failed(_));
        (!failed).then(|| progress.landed.end_from(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn progress(phase: Phase, size: Option<u64>, landed: u64) -> Progress {
        let mut progress = Progress {
            phase,
            size,
            ..Progress::new()
        };
        progress.landed.insert(0..landed);
        progress
    }

    #[test]
    fn last_bytes_are_held_back_until_verified() {
        let rows = [
            (Phase::Landing, Some(4 * MIB), 2 * MIB, 0, 2 * MIB),
            (
                Phase::Landing,
                Some(4 * MIB),
                4 * MIB,
                0,
                4 * MIB - HELD_BACK,
            ),
            (
                Phase::Landing,
                Some(4 * MIB),
                4 * MIB,
                4 * MIB - 10,
                4 * MIB - 10,
            ),
            (
                Phase::Verified,
                Some(4 * MIB),
                4 * MIB,
                4 * MIB - 10,
                4 * MIB,
            ),
            (Phase::Landing, Some(MIB), MIB, 0, 0),
            (Phase::Verified, Some(MIB), MIB, 0, MIB),
            (Phase::Landing, None, MIB, 0, 0),
            (Phase::Landing, None, 2 * MIB, 0, 2 * MIB - HELD_BACK),
            (Phase::Asking, Some(4 * MIB), 0, 7, 7),
            (Phase::Failed(Error::Busy), Some(4 * MIB), 4 * MIB, 5, 5),
        ];
        for (phase, size, landed, position, visible) in rows {
            let progress = progress(phase, size, landed);
            assert_eq!(
                progress.visible_from(position),
                visible,
                "{progress:?} at {position}"
            );
        }
    }

    #[test]
    fn what_lands_ahead_is_visible_at_once() {
        let mut progress = progress(Phase::Landing, Some(40 * MIB), MIB);
        progress.landed.insert(40 * MIB - 51..40 * MIB);
        assert_eq!(progress.visible_from(40 * MIB - 51), 40 * MIB);
        assert_eq!(progress.visible_from(0), MIB);
        assert_eq!(progress.visible_from(MIB), MIB);
        progress.size = None;
        assert_eq!(progress.visible_from(40 * MIB - 51), 40 * MIB);
        progress.landed.insert(MIB..40 * MIB);
        assert_eq!(
            progress.visible_from(39 * MIB),
            40 * MIB - HELD_BACK,
            "now a body from the start may end with it"
        );
    }

    #[test]
    fn headers_wait_for_small_blobs_to_be_verified() {
        assert!(!progress(Phase::Asking, None, 0).answerable());
        assert!(!progress(Phase::Landing, Some(MIB), MIB).answerable());
        assert!(progress(Phase::Landing, Some(MIB + 1), 0).answerable());
        assert!(!progress(Phase::Landing, None, MIB).answerable());
        assert!(progress(Phase::Landing, None, MIB + 1).answerable());
        assert!(progress(Phase::Verified, Some(1), 1).answerable());
        assert!(progress(Phase::Failed(Error::Busy), None, 0).answerable());
    }
}

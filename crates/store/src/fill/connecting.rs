//! A further connection of a fill, opened in a task of its own.

use std::sync::Arc;

use longshore_reference::Canonical;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::Refusal;
use crate::fill::lane::{Ended, Lane, Sink, pump};
use crate::fill::sources::Distrusts;
use crate::records::Origin;
use crate::remote::{BlobAsk, Remote};

/// A connection that is not open yet.
pub(super) struct Connecting {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) canonical: Canonical,
    pub(super) origin: Option<Origin>,
    pub(super) distrust: Distrusts,
    pub(super) size: Option<u64>,
    pub(super) ends: Option<u64>,
    /// It brings the first missing byte.
    pub(super) at_front: bool,
}

impl Connecting {
    /// Opens the connection, and brings its bytes here.
    pub(super) async fn run(
        self,
        lane: &Lane,
        sink: &Arc<Sink>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Ended {
        let ask = BlobAsk {
            start: lane.start,
            end: self.ends,
            // What this fill goes by: an answer about another size is of no use to it.
            size: self.size,
            origin: self.origin.as_ref(),
            ..BlobAsk::whole(&self.canonical)
        };
        let source = match self.remote.blob(ask).await {
            Ok(source) => source,
            Err(Refusal::Misbehaved { .. }) if !self.at_front => return Ended::NoRanges,
            Err(refusal) => return Ended::Refused(refusal),
        };
        // At the front there is no other way than to let pass what has come.
        if source.whole && !self.at_front {
            return Ended::NoRanges;
        }
        let other = self.size.zip(source.size);
        if other.is_some_and(|(size, found)| size != found) {
            return Ended::NoRanges;
        }
        self.distrust.push(source.distrust);
        if self.size.is_none() {
            sink.fill
                .progress
                .send_modify(|progress| progress.size = progress.size.or(source.size));
        }
        let ended = pump(lane, source.chunks, sink, None).await;
        drop(permit);
        ended
    }
}

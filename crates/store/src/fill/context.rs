//! What all fills of a store work with.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use longshore_reference::{Digest, Named};
use tokio_util::task::TaskTracker;

use crate::bucket::Bucket;
use crate::distrust::Distrust;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::fill::list::Fills;
use crate::membership::Membership;
use crate::records::Records;
use crate::tier::{Lookup, Stamp, Tier};
use crate::uploads::Uploads;

/// What all fills of a store work with, and those who read past them.
pub(crate) struct Context {
    pub(crate) tier: Tier,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) uploads: Option<Uploads>,
    pub(crate) records: Arc<Records>,
    pub(crate) membership: Membership,
    pub(crate) fills: Fills,
    pub(crate) distrust: Distrust,
    pub(crate) observer: Observer,
    pub(crate) tracker: TaskTracker,
}

impl Context {
    /// What the local tier has of a blob.
    pub(crate) async fn look_up(&self, digest: &Digest) -> Result<Lookup, Error> {
        let found = self.tier.find_blob(digest).await;
        found.map_err(|cause| Error::local("open", Path::new(&digest.to_string()), cause))
    }

    /// Moves a blob's file to quarantine that could not be read to its end, if it still bears the name.
    pub(crate) async fn quarantine(&self, digest: Digest, file: &Arc<File>) {
        let file = Arc::clone(file);
        let moved = self.tier.run(move |tier| {
            let stamp = Stamp::of(&file)?;
            Ok(tier.quarantine(&digest, &stamp))
        });
        if let Err(cause) = moved.await {
            tracing::error!(%digest, %cause, "damaged content could not be looked at");
        }
    }

    /// Upstream gave wrong bytes to this repository.
    pub(crate) fn mismatch(&self, digest: Digest, named: &Named) {
        self.distrust.put(digest);
        self.tell(&Event::Mismatch { named });
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.observer)(event);
    }
}

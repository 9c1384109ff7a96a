//! What the local tier has of a blob, and whether it is to be believed.

use std::fs::File;
use std::sync::Arc;

use longshore_reference::Canonical;

use crate::error::Error;
use crate::records::ContentRecord;
use crate::store::Inner;
use crate::tier::Tier;

/// What the local tier has of a blob.
pub(crate) enum Found {
    Whole(Arc<File>, u64),
    /// It is not the digest's content, or not all of it.
    Damaged(Arc<File>, u64),
    Nothing,
}

impl Inner {
    /// Opens the kept file. A size that was only told proves nothing against it: then the bytes decide, so that no
    /// repository's lies harm what all of them share.
    pub(crate) async fn look_up(
        self: &Arc<Self>,
        canonical: &Canonical,
        known: Option<&ContentRecord>,
    ) -> Result<Found, Error> {
        let Some((file, size)) = self.open_local(&canonical.digest()).await? else {
            return Ok(Found::Nothing);
        };
        let file = Arc::new(file);
        let told = known.and_then(|known| Some((known.size?, known.verified)));
        let whole = match told {
            Some((told, _)) if told == size => true,
            None => true,
            Some((_, true)) => false,
            Some((_, false)) => self.right_size(canonical, &file, size).await? == Some(size),
        };
        Ok(if whole {
            Found::Whole(file, size)
        } else {
            Found::Damaged(file, size)
        })
    }

    /// Hashes a kept file, once for all who ask at once, and records its size. `None`: it is not the digest's content.
    async fn right_size(
        self: &Arc<Self>,
        canonical: &Canonical,
        file: &Arc<File>,
        size: u64,
    ) -> Result<Option<u64>, Error> {
        let digest = canonical.digest();
        let (flight, leads) = self.files_checked.join(&digest, || {
            let (store, canonical, file) = (Arc::clone(self), canonical.clone(), Arc::clone(file));
            async move {
                let hashed = store.tier.run(move |_| Tier::has_digest(&file, &digest));
                let right = hashed.await.unwrap_or_else(|cause| {
                    tracing::error!(%digest, %cause, "kept content cannot be read");
                    false
                });
                // Here rather than by those who wait: none of them may be left, and a file is not hashed twice.
                if right {
                    let record = ContentRecord::verified(size);
                    store.records.put_content(&canonical, record).await;
                }
                right.then_some(size)
            }
        });
        let right = flight.answer().await.ok_or(Error::GivenUp)?;
        if let Some(size) = right.filter(|_| !leads) {
            let record = ContentRecord::verified(size);
            self.records.put_content(canonical, record).await;
        }
        Ok(right)
    }
}

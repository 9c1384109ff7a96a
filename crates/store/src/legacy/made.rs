//! What legacy documents were made into: made once, however many ask, and kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_manifest::convert::{Converted, Format};
use longshore_reference::{Canonical, Digest, Named};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::flights::Flights;
use crate::ingest::Ingest;
use crate::manifest::cache::ManifestCache;
use crate::manifest::held::Held;
use crate::outcome::Outcome;
use crate::records::{ContentRecord, Origin, Records, format};
use crate::remote::Fetched;
use crate::tier::{Tier, layout};

/// Conversions whose results are known without a look at the disk.
const MADE_IN_MEMORY: u64 = 10_000;

/// What a document was made into, as it is recorded.
#[derive(Serialize, Deserialize)]
struct MadeRecord {
    manifest: Digest,
}

/// A conversion: the document, and what it is made into.
type Wanted = (Canonical, Format);

/// The conversions of legacy documents.
pub(crate) struct Conversions {
    tier: Tier,
    records: Arc<Records>,
    manifests: Arc<ManifestCache>,
    asked: Flights<Wanted, Result<Held, Error>>,
    made: Cache<Wanted, Digest>,
}

impl Conversions {
    pub(crate) fn new(
        tier: Tier,
        records: Arc<Records>,
        manifests: Arc<ManifestCache>,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            tier,
            records,
            manifests,
            asked: Flights::new(tracker),
            made: Cache::new(MADE_IN_MEMORY),
        }
    }

    /// Forgets what is in memory of what was made.
    pub(crate) fn forget_memory(&self) {
        self.made.invalidate_all();
    }

    /// What a legacy document was made into; see [`Store::made`](crate::Store::made).
    pub(crate) async fn made<W>(
        self: &Arc<Self>,
        document: &Canonical,
        format: Format,
        within: Duration,
        make: impl FnOnce() -> W,
    ) -> Result<Held, Error>
    where
        W: Future<Output = Result<Converted, Error>> + Send + 'static,
    {
        let wanted = (document.clone(), format);
        if let Some(held) = self.made_before(&wanted).await {
            return Ok(held);
        }
        let (flight, _) = self.asked.join(&wanted, || {
            let (this, wanted, work) = (Arc::clone(self), wanted.clone(), make());
            async move {
                let made = work.await;
                let kept = match made {
                    Ok(made) => this.keep_made(&wanted, made).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = &kept {
                    let document = &wanted.0;
                    tracing::warn!(%document, error = error as &dyn std::error::Error, "conversion failed");
                }
                kept
            }
        });
        match timeout(within, flight.answer()).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(Error::GivenUp),
            Err(_) => Err(Error::Converting),
        }
    }

    async fn made_before(&self, wanted: &Wanted) -> Option<Held> {
        let (document, format) = wanted;
        let named = document.named();
        let seen = self.made.get(wanted);
        let manifest = match seen {
            Some(manifest) => manifest,
            None => {
                let key = layout::made(named, &document.digest(), format::as_str(*format));
                self.records.other::<MadeRecord>(key).await?.manifest
            }
        };
        let canonical = Canonical::new(named.clone(), manifest);
        let (bytes, media_type) = self.manifests.load_known(&canonical).await?;
        if seen.is_none() {
            self.made.insert(wanted.clone(), manifest);
        }
        Some(Held {
            bytes,
            media_type,
            digest: manifest,
            outcome: Outcome::Hit,
        })
    }

    /// The manifests that a legacy document was made into.
    pub(crate) async fn made_of(&self, named: &Named, document: &Digest) -> Vec<(Bytes, Arc<str>)> {
        let document = Canonical::new(named.clone(), *document);
        let mut made = Vec::new();
        for format in [Format::Schema2, Format::Oci] {
            if let Some(held) = self.made_before(&(document.clone(), format)).await {
                made.push((held.bytes, held.media_type));
            }
        }
        made
    }

    /// Keeps what was made, the configuration first: a manifest that is served can be pulled to its end.
    async fn keep_made(&self, wanted: &Wanted, made: Converted) -> Result<Held, Error> {
        let (document, format) = wanted;
        let named = document.named();
        let Converted {
            config,
            manifest,
            media_type,
        } = made;
        let digest = Digest::sha256(&manifest);
        let config_digest = Digest::sha256(&config);
        let failed = |cause| Error::local("keep", Path::new(&config_digest.to_string()), cause);
        Ingest::keep(&self.tier, config_digest, config.clone())
            .await
            .map_err(failed)?;
        let fetched = Fetched {
            bytes: manifest,
            media_type: Some(media_type.as_str().to_owned()),
            digest: Some(digest),
        };
        let held = self.manifests.keep(named, digest, fetched).await?;
        let origin = Origin::Made {
            of: document.digest(),
            format: *format,
        };
        let record = |size: usize| ContentRecord {
            origin: Some(origin.clone()),
            ..ContentRecord::verified(size as u64)
        };
        let contents = vec![
            (
                Canonical::new(named.clone(), config_digest),
                record(config.len()),
            ),
            (
                Canonical::new(named.clone(), digest),
                record(held.bytes.len()),
            ),
        ];
        self.records.put_contents(contents).await;
        let key = layout::made(named, &document.digest(), format::as_str(*format));
        let record = MadeRecord { manifest: digest };
        self.records.put_other(key, &record).await;
        self.made.insert(wanted.clone(), digest);
        Ok(held)
    }
}

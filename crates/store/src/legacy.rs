//! Legacy images: what an image of protocol v1 or a schema 1 manifest was made into for today's clients, and where the
//! bytes of the result come from. How they are made is the caller's; that it is done once, and kept, is the store's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use longshore_manifest::convert::{Converted, Format, LayerBlob};
use longshore_manifest::{DiffId, MediaType};
use longshore_reference::{Algorithm, Canonical, Digest, Named};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::documents::media_type_of;
use crate::error::{Error, Refusal};
use crate::fill::sources::next_batch;
use crate::ingest::{Hashing, Ingest};
use crate::manifest::{Held, misbehaved};
use crate::outcome::Outcome;
use crate::records::{ContentRecord, Origin, format};
use crate::remote::{Fetched, Source};
use crate::store::{Inner, Store};
use crate::tier::layout;

/// How long a layer waits for its turn among the fills.
const PERMIT_WITHIN: Duration = Duration::from_secs(60);

/// What is inside a layer, as it is recorded.
#[derive(Serialize, Deserialize)]
struct LayerRecord {
    digest: Digest,
    size: u64,
    diff_id: Digest,
    gzipped: bool,
}

impl From<LayerRecord> for LayerBlob {
    fn from(record: LayerRecord) -> Self {
        Self {
            digest: record.digest,
            size: record.size,
            diff_id: DiffId::new(record.diff_id),
            gzipped: record.gzipped,
        }
    }
}

impl From<LayerBlob> for LayerRecord {
    fn from(layer: LayerBlob) -> Self {
        Self {
            digest: layer.digest,
            size: layer.size,
            diff_id: layer.diff_id.digest(),
            gzipped: layer.gzipped,
        }
    }
}

/// What a document was made into, as it is recorded.
#[derive(Serialize, Deserialize)]
struct MadeRecord {
    manifest: Digest,
}

/// A conversion: the document, and what it is made into.
pub(crate) type Wanted = (Canonical, Format);

impl Store {
    /// What a legacy document was made into; by `make`, where that was not done yet. However many ask, it is made once,
    /// and goes on when the time is over.
    ///
    /// # Errors
    /// [`Error::Converting`] when it is not ready in time, else what `make` returns.
    pub async fn made<W>(
        &self,
        document: &Canonical,
        format: Format,
        within: Duration,
        make: impl FnOnce() -> W,
    ) -> Result<Held, Error>
    where
        W: Future<Output = Result<Converted, Error>> + Send + 'static,
    {
        let store = &self.0;
        let wanted = (document.clone(), format);
        if let Some(held) = store.made_before(&wanted).await {
            return Ok(held);
        }
        let (flight, _) = store.conversions.join(&wanted, || {
            let (store, wanted, work) = (Arc::clone(store), wanted.clone(), make());
            async move {
                let made = work.await;
                let kept = match made {
                    Ok(made) => store.keep_made(&wanted, made).await,
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

    /// A manifest of a repository, if it is held.
    pub async fn document(&self, canonical: &Canonical) -> Option<(Bytes, Arc<str>)> {
        self.0.load_known(canonical).await
    }

    /// What is inside a layer of a legacy image: found out before, or by `find`, once however many ask. `source` is the
    /// layer's digest, or the id of the v1 image that it belongs to.
    ///
    /// # Errors
    /// What `find` returns.
    pub async fn layer<W>(
        &self,
        named: &Named,
        source: &str,
        find: impl FnOnce() -> W,
    ) -> Result<LayerBlob, Error>
    where
        W: Future<Output = Result<LayerBlob, Error>> + Send + 'static,
    {
        let key = layout::layer(named, source);
        if let Some(record) = self.0.records.other::<LayerRecord>(key.clone()).await {
            return Ok(record.into());
        }
        let (flight, _) = self.0.layers_asked.join(&key, || {
            let (store, key, find) = (Arc::clone(&self.0), key.clone(), find());
            async move {
                let found = find.await?;
                store
                    .records
                    .put_other(key, &LayerRecord::from(found))
                    .await;
                Ok(found)
            }
        });
        flight.answer().await.unwrap_or(Err(Error::GivenUp))
    }

    /// Keeps the layer of a v1 image: bytes whose digest is known when they are all there. `tap` sees them on their way.
    /// Returns digest and size.
    ///
    /// # Errors
    /// What the source fails with, a size that is not the source's, or a disk that fails.
    pub async fn land<T>(
        &self,
        named: &Named,
        id: &str,
        source: Source,
        tap: T,
    ) -> Result<(Digest, u64, T), Error>
    where
        T: io::Write + Send + 'static,
    {
        let store = &self.0;
        let failed = |cause| Error::local("keep the layer of", std::path::Path::new(id), cause);
        let size = source.size;
        let permit = store.fills.permit(PERMIT_WITHIN).await?;
        let tracker = store.tracker.clone();
        let begun = store.tier.run(move |tier| {
            let ingest = Ingest::start(tier, &tracker)?;
            ingest.reserve(size.unwrap_or(0))?;
            Ok(Arc::new(ingest))
        });
        let ingest = begun.await.map_err(failed)?;
        // Nobody knows the digest before all bytes are there.
        let mut landing = (Hashing::new(Algorithm::Sha256), tap);
        let mut chunks = source.chunks.fuse();
        loop {
            let batch = next_batch(&mut chunks).await?;
            if batch.is_empty() {
                break;
            }
            let len = batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            if size.is_some_and(|size| landing.0.len() + len > size) {
                return Err(misbehaved("a layer is longer than it was said to be").into());
            }
            let ((mut hashing, mut tap), to) = (landing, Arc::clone(&ingest));
            let written = store.tier.run(move |_| {
                to.write_at(&batch, hashing.len())?;
                for chunk in &batch {
                    tap.write_all(chunk)?;
                    hashing.update(chunk);
                }
                Ok((hashing, tap))
            });
            landing = written.await.map_err(|cause| match cause.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Refusal::Misbehaved {
                    cause: Arc::new(cause),
                }
                .into(),
                _ => failed(cause),
            })?;
        }
        let (hashing, tap) = landing;
        if size.is_some_and(|size| hashing.len() != size) {
            return Err(misbehaved("a layer is shorter than it was said to be").into());
        }
        let hashed = hashing.finish();
        let (digest, size) = (hashed.digest, hashed.len);
        let committed = store.tier.run(move |tier| match tier.holds(&digest) {
            true => Ok(()),
            false => ingest.commit(&hashed).map(drop),
        });
        committed.await.map_err(failed)?;
        let record = ContentRecord {
            origin: Some(Origin::V1Layer { id: id.into() }),
            ..ContentRecord::verified(size)
        };
        let canonical = Canonical::new(named.clone(), digest);
        store.records.put_content(&canonical, record).await;
        drop(permit);
        Ok((digest, size, tap))
    }
}

impl Inner {
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
        let (bytes, media_type) = self.load_known(&canonical).await?;
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
    async fn keep_made(self: &Arc<Self>, wanted: &Wanted, made: Converted) -> Result<Held, Error> {
        let (document, format) = wanted;
        let named = document.named();
        let Converted {
            config,
            manifest,
            media_type,
        } = made;
        let digest = Digest::sha256(&manifest);
        let config_digest = Digest::sha256(&config);
        let failed = |cause| {
            Error::local(
                "keep",
                std::path::Path::new(&config_digest.to_string()),
                cause,
            )
        };
        self.keep_whole(config_digest, config.clone())
            .await
            .map_err(failed)?;
        let fetched = Fetched {
            bytes: manifest,
            media_type: Some(media_type.as_str().to_owned()),
            digest: Some(digest),
        };
        let held = self.keep_manifest(named, digest, fetched).await?;
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

/// Whether it is what the puller makes of an image of a v1 registry.
pub(crate) fn is_ancestry(fetched: &Fetched) -> bool {
    *media_type_of(fetched.media_type.as_deref(), &fetched.bytes) == *MediaType::V1Ancestry.as_str()
}

//! Layers of legacy images: what is inside them, and bytes whose digest is known only when they are all there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore_manifest::DiffId;
use longshore_manifest::convert::LayerBlob;
use longshore_reference::{Algorithm, Canonical, Digest, Named};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Refusal};
use crate::fill::context::Context;
use crate::fill::sources::next_batch;
use crate::flights::Flights;
use crate::ingest::{Hashing, Ingest};
use crate::records::{ContentRecord, Origin, Records};
use crate::remote::Source;
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

/// The layers of legacy images.
pub(crate) struct Layers {
    context: Arc<Context>,
    records: Arc<Records>,
    /// Layers that are being looked into, by the key of their record.
    asked: Flights<String, Result<LayerBlob, Error>>,
}

impl Layers {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            records: Arc::clone(&context.records),
            asked: Flights::new(context.tracker.clone()),
            context,
        }
    }

    /// What is inside a layer; see [`Store::layer`](crate::Store::layer).
    pub(crate) async fn layer<W>(
        &self,
        named: &Named,
        source: &str,
        find: impl FnOnce() -> W,
    ) -> Result<LayerBlob, Error>
    where
        W: Future<Output = Result<LayerBlob, Error>> + Send + 'static,
    {
        let key = layout::layer(named, source);
        if let Some(record) = self.records.other::<LayerRecord>(key.clone()).await {
            return Ok(record.into());
        }
        let (flight, _) = self.asked.join(&key, || {
            let (records, key, find) = (Arc::clone(&self.records), key.clone(), find());
            async move {
                let found = find.await?;
                let record = LayerRecord::from(found);
                records.put_other(key, &record).await;
                Ok(found)
            }
        });
        flight.answer().await.unwrap_or(Err(Error::GivenUp))
    }

    /// Keeps the layer of a v1 image; see [`Store::land`](crate::Store::land).
    pub(crate) async fn land<T>(
        &self,
        named: &Named,
        id: &str,
        source: Source,
        tap: T,
    ) -> Result<(Digest, u64, T), Error>
    where
        T: io::Write + Send + 'static,
    {
        let context = &self.context;
        let failed = |cause| Error::local("keep the layer of", Path::new(id), cause);
        let size = source.size;
        let permit = context.fills.permit(PERMIT_WITHIN).await?;
        let tracker = context.tracker.clone();
        let begun = context.tier.run(move |tier| {
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
                return Err(Refusal::misbehaved("a layer is longer than it was said to be").into());
            }
            let ((mut hashing, mut tap), to) = (landing, Arc::clone(&ingest));
            let written = context.tier.run(move |_| {
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
            return Err(Refusal::misbehaved("a layer is shorter than it was said to be").into());
        }
        let hashed = hashing.finish();
        let (digest, size) = (hashed.digest, hashed.len);
        let committed = context.tier.run(move |tier| match tier.holds(&digest) {
            true => Ok(()),
            false => ingest.commit(&hashed).map(drop),
        });
        committed.await.map_err(failed)?;
        let record = ContentRecord {
            origin: Some(Origin::V1Layer { id: id.into() }),
            ..ContentRecord::verified(size)
        };
        let canonical = Canonical::new(named.clone(), digest);
        self.records.put_content(&canonical, record).await;
        drop(permit);
        Ok((digest, size, tap))
    }
}

//! An upload in parts.

use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{MultipartId, PutPayload};

use super::{Bucket, within};

/// A server may copy all parts before it answers: five minutes.
const COMPLETED_WITHIN: Duration = Duration::from_secs(300);

/// An upload in parts. Dropped without [`complete`](Self::complete) or [`abort`](Self::abort), its parts stay in the
/// bucket until a later process or a life-cycle rule aborts it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    bucket: Bucket,
    at: Path,
    id: MultipartId,
}

impl Upload {
    /// Begins an upload in parts.
    ///
    /// # Errors
    /// The bucket refuses or does not answer.
    pub(crate) async fn begin(bucket: &Bucket, key: &str) -> object_store::Result<Self> {
        let at = bucket.at(key);
        let created = bucket.clients.parts.create_multipart(&at);
        let id = bucket.in_time(0, created).await?;
        Ok(Self {
            bucket: bucket.clone(),
            at,
            id,
        })
    }

    /// An upload that an earlier process began, to abort it.
    pub(crate) fn earlier(bucket: &Bucket, key: &str, id: MultipartId) -> Self {
        Self {
            bucket: bucket.clone(),
            at: bucket.at(key),
            id,
        }
    }

    /// What identifies it beside its key.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Sends a part. Parts are numbered from 0 and may be sent in any order.
    ///
    /// # Errors
    /// The part is not there, or this is not known.
    pub(crate) async fn put(&self, number: usize, bytes: Bytes) -> object_store::Result<PartId> {
        let len = bytes.len() as u64;
        let payload = PutPayload::from_bytes(bytes);
        let parts = &self.bucket.clients.parts;
        let put = parts.put_part(&self.at, &self.id, number, payload);
        self.bucket.in_time(len, put).await
    }

    /// Makes the object of its parts.
    ///
    /// # Errors
    /// The object is not there, or this is not known.
    pub(crate) async fn complete(&self, parts: Vec<PartId>) -> object_store::Result<()> {
        let client = &self.bucket.clients.parts;
        let completed = client.complete_multipart(&self.at, &self.id, parts);
        within(COMPLETED_WITHIN, completed).await.map(|_| ())
    }

    /// Removes its parts.
    ///
    /// # Errors
    /// They may be there still.
    pub(crate) async fn abort(&self) -> object_store::Result<()> {
        let client = &self.bucket.clients.parts;
        let aborted = client.abort_multipart(&self.at, &self.id);
        match self.bucket.in_time(0, aborted).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(cause),
        }
    }
}

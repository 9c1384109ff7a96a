//! An upstream as the store's remote: what the store's questions mean to the puller, and what the puller's errors mean
//! to the store.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use longshore_manifest::v1::ImageId;
use longshore_puller::{Download, Error as Pulled, Ranges};
use longshore_reference::{Canonical, Digest, Named, Reference};
use longshore_store::{BlobAsk, Check, Fetched, Origin, Refusal, Remote, Source};

use super::Upstream;

impl Remote for Upstream {
    fn check<'a>(
        &'a self,
        reference: &'a Reference,
        known: Digest,
    ) -> BoxFuture<'a, Result<Check, Refusal>> {
        async move {
            let puller = self.puller(reference.named()).await.map_err(unusable)?;
            let head = puller.resolve(reference).await.map_err(refusal)?;
            // What stands for a v1 image in the records is its id in the form of a digest.
            let found = head.digest.or_else(|| head.v1.map(|id| id.digest()));
            Ok(compare(reference, known, found))
        }
        .boxed()
    }

    fn manifest<'a>(
        &'a self,
        reference: &'a Reference,
        _: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Fetched, Refusal>> {
        async move {
            let puller = self.puller(reference.named()).await.map_err(unusable)?;
            let fetched = puller.manifest(reference).await.map_err(refusal)?;
            Ok(Fetched {
                bytes: fetched.bytes,
                media_type: fetched.media_type,
                digest: fetched.digest.or_else(|| fetched.v1.map(|id| id.digest())),
            })
        }
        .boxed()
    }

    fn has<'a>(
        &'a self,
        blob: &'a Canonical,
        origin: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Option<u64>, Refusal>> {
        async move {
            // No registry knows its digest; the record of its origin says that it belongs to the repository.
            if origin.is_some() {
                return Ok(None);
            }
            let puller = self.puller(blob.named()).await.map_err(unusable)?;
            puller.blob_size(blob).await.map_err(refusal)
        }
        .boxed()
    }

    fn blob<'a>(&'a self, ask: BlobAsk<'a>) -> BoxFuture<'a, Result<Source, Refusal>> {
        async move {
            let named = ask.canonical.named();
            let puller = self.puller(named).await.map_err(unusable)?;
            let download = match ask.origin {
                None => {
                    let (start, end) = (ask.start, ask.end);
                    puller.blob_range(ask.canonical, start, end, ask.size).await
                }
                Some(Origin::V1Layer { id }) => {
                    let id = ImageId::parse(id).map_err(|cause| Refusal::Misbehaved {
                        cause: Arc::new(cause),
                    })?;
                    puller.v1_layer(named, &id, ask.start, ask.size).await
                }
                Some(_) => {
                    let cause = std::io::Error::other("content that no registry serves");
                    return Err(Refusal::Gone {
                        confirmed: false,
                        cause: Arc::new(cause),
                    });
                }
            };
            let source = source(download.map_err(refusal)?);
            Ok(match ask.end {
                Some(end) => cut(source, end.saturating_sub(ask.start)),
                None => source,
            })
        }
        .boxed()
    }
}

impl Upstream {
    /// The layer of a v1 image, whose digest is known when all of it is there.
    pub(crate) async fn v1_layer(&self, named: &Named, id: &ImageId) -> Result<Source, Refusal> {
        let puller = self.puller(named).await.map_err(unusable)?;
        let download = puller.v1_layer(named, id, 0, None).await;
        Ok(source(download.map_err(refusal)?))
    }
}

/// Whether a reference stands for what is known of it. Several registries send no digest: by digest they can only mean
/// the one that was asked for.
fn compare(reference: &Reference, known: Digest, found: Option<Digest>) -> Check {
    match (reference, found) {
        (_, Some(found)) if found == known => Check::Same,
        (Reference::Canonical(_), None) => Check::Same,
        (_, found) => Check::Changed(found),
    }
}

/// Ends a source after so many bytes, and its connection with it.
fn cut(source: Source, len: u64) -> Source {
    let chunks =
        futures_util::stream::unfold((source.chunks, len), |(mut chunks, left)| async move {
            if left == 0 {
                return None;
            }
            let chunk = chunks.next().await?.map(|mut chunk| {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                chunk
            });
            let left = left - chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            Some((chunk, (chunks, left)))
        });
    Source {
        chunks: chunks.boxed(),
        ..source
    }
}

/// What an upstream that cannot be used as it is configured means to the store: what is cached is served.
pub(crate) fn unusable(error: crate::error::Error) -> Refusal {
    Refusal::Unreachable {
        cause: Arc::new(error),
    }
}

/// What the puller's error means to the store.
pub(crate) fn refusal(error: Pulled) -> Refusal {
    match &error {
        Pulled::NotFound { authoritative, .. } => Refusal::Gone {
            confirmed: *authoritative,
            cause: Arc::new(error),
        },
        // No registry can have a reserved name, nor give by digest what it does not know by digest.
        Pulled::NotSupported { .. } | Pulled::Reserved { .. } => Refusal::Gone {
            confirmed: true,
            cause: Arc::new(error),
        },
        Pulled::Denied { .. } => Refusal::Denied {
            cause: Arc::new(error),
        },
        Pulled::Rejected { .. } => Refusal::Rejected {
            cause: Arc::new(error),
        },
        Pulled::Limited { retry_after, .. } => Refusal::Limited {
            retry_after: *retry_after,
            cause: Arc::new(error),
        },
        Pulled::Unreachable { .. }
        | Pulled::Config { .. }
        | Pulled::OtherRegistry { .. }
        | Pulled::NoEndpoints { .. } => Refusal::Unreachable {
            cause: Arc::new(error),
        },
        Pulled::TimedOut { .. } => Refusal::TimedOut {
            cause: Arc::new(error),
        },
        Pulled::Misbehaved { .. } | Pulled::Unusable { .. } | Pulled::OutOfRange { .. } => {
            Refusal::Misbehaved {
                cause: Arc::new(error),
            }
        }
    }
}

/// A download as the store reads it. When its stream ends the download is put aside, for `distrust` to find.
fn source(download: Download) -> Source {
    let aside = Arc::new(Mutex::new(None));
    let size = download.size();
    let whole = download.ranges() == Ranges::Ignored;
    let chunks = futures_util::stream::unfold(
        Running {
            download: Some(download),
            aside: Arc::clone(&aside),
        },
        |mut running| async {
            let chunk = running.download.as_mut()?.chunk().await.transpose()?;
            Some((chunk.map_err(refusal), running))
        },
    );
    let distrust = Box::new(move || {
        let ended: Option<Download> = aside.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(download) = ended {
            download.distrust();
        }
    });
    Source {
        size,
        whole,
        chunks: chunks.boxed(),
        distrust,
    }
}

struct Running {
    download: Option<Download>,
    aside: Arc<Mutex<Option<Download>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A connection that nobody reads any more would fill its buffers with bytes that come again.
        if let Some(download) = &mut self.download {
            download.close();
        }
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = self.download.take();
    }
}

#[cfg(test)]
mod tests;

//! Legacy images for today's clients: images of registry protocol v1, which no client takes any more, and schema 1
//! manifests by tag for clients that do not say they take them. By digest the original bytes are served.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use longshore_manifest::MediaType;
use longshore_manifest::convert::{Converted, Format, LayerBlob};
use longshore_manifest::v1::ImageId;
use longshore_puller::convert::{self, ConvertError, Layers, Unpacking};
use longshore_reference::{Canonical, Digest, Named, Reference};
use longshore_store::{
    BlobAsk, BlobRange, Cause, Check, Error, Fetched, Held, Origin, Refusal, Remote, Request,
    Source, Store,
};

use crate::upstreams::Upstream;

mod accept;

pub(crate) use accept::format_for;

/// An upstream that also has what was made of its legacy images: lost results are made again. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Converter {
    store: Store,
    upstream: Upstream,
}

/// Layers of the legacy images of a repository, each fetched and unpacked once and kept in the store.
struct StoredLayers<'a> {
    converter: &'a Converter,
    named: &'a Named,
}

impl Remote for Converter {
    fn check<'a>(
        &'a self,
        reference: &'a Reference,
        known: Digest,
    ) -> BoxFuture<'a, Result<Check, Refusal>> {
        self.upstream.check(reference, known)
    }

    fn manifest<'a>(
        &'a self,
        reference: &'a Reference,
        origin: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Fetched, Refusal>> {
        let Some(Origin::Made { of, format }) = origin else {
            return self.upstream.manifest(reference, origin);
        };
        async move {
            let made = self.remake(reference.named(), *of, *format).await?;
            Ok(Fetched {
                digest: Some(Digest::sha256(&made.manifest)),
                bytes: made.manifest,
                media_type: Some(made.media_type.as_str().to_owned()),
            })
        }
        .boxed()
    }

    fn has<'a>(
        &'a self,
        blob: &'a Canonical,
        origin: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Option<u64>, Refusal>> {
        self.upstream.has(blob, origin)
    }

    fn blob<'a>(&'a self, ask: BlobAsk<'a>) -> BoxFuture<'a, Result<Source, Refusal>> {
        let Some(Origin::Made { of, format }) = ask.origin else {
            return self.upstream.blob(ask);
        };
        async move {
            let made = self.remake(ask.canonical.named(), *of, *format).await?;
            let whole = if Digest::sha256(&made.manifest) == ask.canonical.digest() {
                made.manifest
            } else {
                made.config
            };
            let at = |at: u64| usize::try_from(at).map_or(whole.len(), |at| at.min(whole.len()));
            let end = ask.end.map_or(whole.len(), at);
            let range = whole.slice(at(ask.start).min(end)..end);
            Ok(Source {
                size: Some(whole.len() as u64),
                whole: false,
                chunks: stream::iter([Ok(range)]).boxed(),
                distrust: Box::new(|| {}),
            })
        }
        .boxed()
    }
}

impl Converter {
    pub(crate) fn new(store: &Store, upstream: &Upstream) -> Self {
        Self {
            store: store.clone(),
            upstream: upstream.clone(),
        }
    }

    /// The image that a held legacy document becomes, made now if need be, within the time that is given.
    pub(crate) async fn convert(
        &self,
        named: &Named,
        held: Held,
        format: Format,
        within: Duration,
    ) -> Result<Held, Error> {
        let document = Canonical::new(named.clone(), held.digest);
        let make = || {
            let (converter, named) = (self.clone(), named.clone());
            async move {
                converter
                    .make(&named, &held.media_type, held.bytes, format)
                    .await
            }
        };
        self.store.made(&document, format, within, make).await
    }

    /// Makes once more what was made of a legacy document and lost.
    async fn remake(
        &self,
        named: &Named,
        of: Digest,
        format: Format,
    ) -> Result<Converted, Refusal> {
        let document = Canonical::new(named.clone(), of);
        let Some((bytes, media_type)) = self.store.document(&document).await else {
            let cause = std::io::Error::other("the document it was made of is lost");
            return Err(Refusal::Gone {
                confirmed: false,
                cause: Arc::new(cause),
            });
        };
        let made = self.make(named, &media_type, bytes, format).await;
        made.map_err(|error| match error {
            Error::Refused(refusal) => refusal,
            other => Refusal::Unreachable {
                cause: Arc::new(other),
            },
        })
    }

    async fn make(
        &self,
        named: &Named,
        media_type: &str,
        document: Bytes,
        format: Format,
    ) -> Result<Converted, Error> {
        let layers = StoredLayers {
            converter: self,
            named,
        };
        let media_type = MediaType::from(media_type);
        let made = convert::image(&layers, &media_type, document, format).await;
        made.map_err(|error| match error {
            ConvertError::Document(cause) => unusable(cause),
            ConvertError::Layer(error) => error,
        })
    }

    /// Fetches the layer of a v1 image: its digest is known when all of it is there.
    async fn v1_layer(self, named: Named, id: ImageId) -> Result<LayerBlob, Error> {
        let source = self.upstream.v1_layer(&named, &id).await?;
        let landed = self
            .store
            .land(&named, id.as_str(), source, Unpacking::default());
        let (digest, size, unpacking) = landed.await?;
        unpacking.into_layer(digest, size).await.map_err(unusable)
    }

    /// Unpacks a layer whose digest is known, fetched like any blob.
    async fn schema1_layer(self, named: Named, digest: Digest) -> Result<LayerBlob, Error> {
        let policy = Arc::clone(self.upstream.policy());
        let (store, canonical) = (self.store.clone(), Canonical::new(named, digest));
        let request = Request::new(canonical, policy, Arc::new(self));
        let blob = store.blob(&request, BlobRange::All).await?;
        let mut reader = blob.read(0, None);
        let (mut unpacking, mut size) = (Unpacking::default(), 0);
        while let Some(chunk) = reader.chunk().await? {
            size += chunk.len() as u64;
            unpacking = unpacking.push(chunk).await.map_err(unusable)?;
        }
        unpacking.into_layer(digest, size).await.map_err(unusable)
    }
}

impl Layers for StoredLayers<'_> {
    type Error = Error;

    async fn of_v1(&self, id: &ImageId) -> Result<LayerBlob, Error> {
        let (converter, named) = (self.converter, self.named);
        let work = || converter.clone().v1_layer(named.clone(), id.clone());
        let layer = converter.store.layer(named, id.as_str(), work).await;
        layer.map_err(not_gone)
    }

    async fn of_schema1(&self, digest: Digest) -> Result<LayerBlob, Error> {
        let (converter, named) = (self.converter, self.named);
        let work = || converter.clone().schema1_layer(named.clone(), digest);
        let layer = converter
            .store
            .layer(named, &digest.to_string(), work)
            .await;
        layer.map_err(not_gone)
    }
}

/// An upstream that has an image but not its layers contradicts itself: it is not the image that is gone.
fn not_gone(error: Error) -> Error {
    match error {
        Error::Refused(Refusal::Gone { cause, .. }) => Refusal::Misbehaved { cause }.into(),
        other => other,
    }
}

fn unusable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    let cause: Cause = Arc::new(cause);
    Refusal::Misbehaved { cause }.into()
}

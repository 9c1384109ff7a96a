//! The upstreams at run time: what the store's questions mean to the puller, and what the puller's errors mean to the store.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use longshore_manifest::v1::ImageId;
use longshore_puller::{Download, Error as Pulled, Insecure, Upstream as Puller};
use longshore_reference::{Canonical, Digest, Named, Reference};
use longshore_store::{
    Answer, Ask, AskBlob, AskManifest, BlobAnswer, BlobAsk, Fetched, Origin, Policy, Refusal,
    Source,
};
use moka::sync::Cache;

use crate::config::{self, RateLimitStatus};
use crate::convert::Converter;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::names::UpstreamId;

mod make;

use make::{policy, puller};

/// Hosts of one wildcard upstream that are kept ready.
const WILDCARD_HOSTS_MAX: u64 = 256;

/// Every upstream that may be dialled, by its id.
pub(crate) struct Upstreams(Vec<Entry>);

struct Entry {
    id: UpstreamId,
    configured: config::Upstream,
    policy: Policy,
    insecure: Insecure,
    metrics: Arc<Metrics>,
    known: Known,
}

enum Known {
    /// Made when it is first asked for.
    One(OnceLock<Puller>),
    /// Those of a wildcard, each made when it is first asked for.
    Hosts(Cache<Box<str>, Puller>),
}

/// One upstream, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstream {
    puller: Puller,
}

impl Upstreams {
    pub(crate) fn new(
        configured: Vec<config::Upstream>,
        ids: impl Iterator<Item = UpstreamId>,
        insecure: &config::InsecureHosts,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Error> {
        let insecure = Insecure::parse(insecure.iter()).map_err(|source| Error::Upstream {
            name: "insecure".to_owned(),
            source,
        })?;
        let entry = |(configured, id): (config::Upstream, UpstreamId)| {
            let policy = policy(&configured.policy);
            let metrics = Arc::clone(metrics);
            let known = if configured.endpoints.is_empty() {
                Known::Hosts(Cache::new(WILDCARD_HOSTS_MAX))
            } else {
                Known::One(OnceLock::new())
            };
            // Reading the system's certificates takes time: only what may be configured wrongly is made at the start.
            if let Known::One(one) = &known
                && (configured.credentials.is_some() || configured.ca.is_some())
            {
                let made = puller(&configured, &configured.name, id, &insecure, &metrics)?;
                one.get_or_init(|| made);
            }
            Ok(Entry {
                id,
                configured,
                policy,
                insecure: insecure.clone(),
                metrics,
                known,
            })
        };
        configured
            .into_iter()
            .zip(ids)
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The upstream of a repository.
    pub(crate) fn find(&self, id: UpstreamId, named: &Named) -> Result<Upstream, Error> {
        let entry = self.entry(id)?;
        let make = || {
            let Entry {
                configured,
                insecure,
                metrics,
                ..
            } = entry;
            puller(configured, named.domain(), id, insecure, metrics)
        };
        // Of two that are made at once, both requests take the same one.
        let puller = match &entry.known {
            Known::One(one) => match one.get() {
                Some(puller) => puller.clone(),
                None => {
                    let made = make()?;
                    one.get_or_init(|| made).clone()
                }
            },
            Known::Hosts(hosts) => match hosts.get(named.domain()) {
                Some(puller) => puller,
                None => {
                    let made = make()?;
                    hosts.get_with(named.domain().into(), || made)
                }
            },
        };
        Ok(Upstream { puller })
    }

    /// How its content is kept and served.
    pub(crate) fn policy(&self, id: UpstreamId) -> Result<&Policy, Error> {
        self.entry(id).map(|entry| &entry.policy)
    }

    /// How long a request may take while an image is converted.
    pub(crate) fn convert_within(&self, id: UpstreamId) -> Result<Duration, Error> {
        self.entry(id)
            .map(|entry| entry.configured.policy.convert_within)
    }

    /// What a client is told when the upstream limits us.
    pub(crate) fn rate_limit_status(&self, id: UpstreamId) -> RateLimitStatus {
        self.entry(id)
            .map_or(RateLimitStatus::ServiceUnavailable, |entry| {
                entry.configured.policy.rate_limit_status
            })
    }

    fn entry(&self, id: UpstreamId) -> Result<&Entry, Error> {
        let entry = self.0.get(id.index()).filter(|entry| entry.id == id);
        entry.ok_or(Error::Refused(crate::route::Refusal::Upstream))
    }
}

impl Upstream {
    /// Asks about a manifest.
    pub(crate) fn ask_manifest(&self, reference: Reference, converter: Converter) -> AskManifest {
        let asked = Arc::new((self.puller.clone(), reference, converter));
        Arc::new(move |ask| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (puller, reference, converter) = &*asked;
                if let Reference::Canonical(canonical) = reference
                    && let Some(Origin::Made { of, format }) = converter.store.origin(canonical)
                {
                    return match converter.remake(canonical.named(), of, format).await {
                        Ok(made) => Answer::Body(Fetched {
                            bytes: made.manifest,
                            media_type: Some(made.media_type.as_str().to_owned()),
                            digest: Some(canonical.digest()),
                        }),
                        Err(error) => Answer::Refused(refused(error)),
                    };
                }
                let answer = match ask {
                    Ask::Check(digest) => puller.check(reference).await.map(|head| {
                        match (reference, head.digest) {
                            // By digest nothing else can be meant, and several registries send no digest.
                            (Reference::Canonical(_), _) => Answer::Same,
                            (Reference::Tagged(_), Some(found)) if found == digest => Answer::Same,
                            (Reference::Tagged(_), found) => Answer::Changed(found),
                        }
                    }),
                    Ask::Fetch => puller.manifest(reference).await.map(|fetched| {
                        let (bytes, media_type, digest) =
                            (fetched.bytes, fetched.media_type, fetched.digest);
                        Answer::Body(Fetched {
                            bytes,
                            media_type,
                            digest,
                        })
                    }),
                };
                answer.unwrap_or_else(|error| Answer::Refused(refusal(error)))
            }) as BoxFuture<'static, Answer>
        })
    }

    /// Asks about a blob.
    pub(crate) fn ask_blob(&self, canonical: Canonical, converter: Converter) -> AskBlob {
        let asked = Arc::new((self.puller.clone(), canonical, converter));
        Arc::new(move |ask| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (puller, canonical, converter) = &*asked;
                if let Some(origin) = converter.store.origin(canonical) {
                    let answer = from_origin(puller, canonical, converter, origin, ask).await;
                    return answer.unwrap_or_else(BlobAnswer::Refused);
                }
                let answer = match ask {
                    BlobAsk::Check => puller.blob_size(canonical).await.map(BlobAnswer::Has),
                    BlobAsk::Fetch { offset, size } => puller
                        .blob(canonical, offset, size)
                        .await
                        .map(|download| BlobAnswer::Source(source(download))),
                };
                answer.unwrap_or_else(|error| BlobAnswer::Refused(refusal(error)))
            }) as BoxFuture<'static, BlobAnswer>
        })
    }

    /// The puller, for what is passed on as it is.
    pub(crate) fn puller(&self) -> &Puller {
        &self.puller
    }
}

/// A blob that no upstream gives by its digest.
async fn from_origin(
    puller: &Puller,
    canonical: &Canonical,
    converter: &Converter,
    origin: Origin,
    ask: BlobAsk,
) -> Result<BlobAnswer, Refusal> {
    let named = canonical.named();
    match (origin, ask) {
        // It belongs to the repository: the record of its origin says so.
        (_, BlobAsk::Check) => Ok(BlobAnswer::Has(None)),
        (Origin::V1Layer { id }, BlobAsk::Fetch { offset, size }) => {
            let id = ImageId::parse(&id).map_err(|cause| Refusal::Misbehaved {
                cause: Arc::new(cause),
            })?;
            let download = puller.v1_layer(named, &id, offset, size).await;
            Ok(BlobAnswer::Source(source(download.map_err(refusal)?)))
        }
        (Origin::Made { of, format }, BlobAsk::Fetch { offset, .. }) => {
            let made = converter.remake(named, of, format).await.map_err(refused)?;
            let whole = if Digest::sha256(&made.manifest) == canonical.digest() {
                made.manifest
            } else {
                made.config
            };
            let size = whole.len() as u64;
            let start = usize::try_from(offset).map_or(whole.len(), |at| at.min(whole.len()));
            let rest = whole.slice(start..);
            Ok(BlobAnswer::Source(Source {
                size: Some(size),
                chunks: futures_util::stream::iter([Ok(rest)]).boxed(),
                distrust: Box::new(|| {}),
            }))
        }
        (_, BlobAsk::Fetch { .. }) => Err(Refusal::Gone {
            confirmed: false,
            cause: Arc::new(std::io::Error::other(
                "content of an origin that is not known",
            )),
        }),
    }
}

/// What a failed conversion means to the store's question.
fn refused(error: longshore_store::Error) -> Refusal {
    match error {
        longshore_store::Error::Refused(refusal) => refusal,
        other => Refusal::Unreachable {
            cause: Arc::new(other),
        },
    }
}

/// What the puller's error means to the store.
pub(crate) fn refusal(error: Pulled) -> Refusal {
    match &error {
        Pulled::Unknown { confirmed, .. } => Refusal::Gone {
            confirmed: *confirmed,
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
        Pulled::Unreachable { .. } | Pulled::Config { .. } | Pulled::NoEndpoints { .. } => {
            Refusal::Unreachable {
                cause: Arc::new(error),
            }
        }
        Pulled::TimedOut { .. } => Refusal::TimedOut {
            cause: Arc::new(error),
        },
        Pulled::Misbehaved { .. } | Pulled::Unusable { .. } => Refusal::Misbehaved {
            cause: Arc::new(error),
        },
    }
}

/// A download as the store reads it. When its stream ends the download is put aside, for `distrust` to find.
pub(crate) fn source(download: Download) -> Source {
    let aside = Arc::new(Mutex::new(None));
    let size = download.size();
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
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = self.download.take();
    }
}

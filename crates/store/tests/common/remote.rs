//! A remote by closures: one answers for manifests, one for blobs.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_reference::{Canonical, Digest, Reference};
use longshore_store::{BlobAsk, Check, Fetched, Origin, Policy, Refusal, Remote, Request, Source};

/// What is asked about a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Check(Digest),
    Fetch,
}

/// What is said of a manifest.
#[derive(Debug)]
pub(crate) enum Answer {
    Same,
    Changed(Option<Digest>),
    Body(Fetched),
    Refused(Refusal),
}

/// What is asked about a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BlobQuestion {
    Check,
    Fetch {
        offset: u64,
        end: Option<u64>,
        size: Option<u64>,
        origin: Option<Origin>,
    },
}

/// What is said of a blob.
#[derive(Debug)]
pub(crate) enum BlobAnswer {
    Has(Option<u64>),
    Source(Source),
    Refused(Refusal),
}

pub(crate) type AskManifest = Arc<dyn Fn(Ask) -> BoxFuture<'static, Answer> + Send + Sync>;
pub(crate) type AskBlob = Arc<dyn Fn(BlobQuestion) -> BoxFuture<'static, BlobAnswer> + Send + Sync>;

struct Scripted {
    manifest: Option<AskManifest>,
    blob: Option<AskBlob>,
}

/// A request that asks this closure about manifests.
pub(crate) fn for_manifest(
    reference: impl Into<Reference>,
    policy: &Policy,
    ask: AskManifest,
) -> Request<Reference> {
    let remote = Scripted {
        manifest: Some(ask),
        blob: None,
    };
    Request::new(reference.into(), Arc::new(policy.clone()), Arc::new(remote))
}

/// A request that asks this closure about blobs.
pub(crate) fn for_blob(canonical: &Canonical, policy: &Policy, ask: AskBlob) -> Request<Canonical> {
    let remote = Scripted {
        manifest: None,
        blob: Some(ask),
    };
    Request::new(
        canonical.clone(),
        Arc::new(policy.clone()),
        Arc::new(remote),
    )
}

impl Remote for Scripted {
    fn check<'a>(
        &'a self,
        _: &'a Reference,
        known: Digest,
    ) -> BoxFuture<'a, Result<Check, Refusal>> {
        async move {
            let ask = self.manifest.as_ref().expect("asked about a manifest");
            match ask(Ask::Check(known)).await {
                Answer::Same => Ok(Check::Same),
                Answer::Changed(digest) => Ok(Check::Changed(digest)),
                Answer::Refused(refusal) => Err(refusal),
                Answer::Body(_) => panic!("a body for a check"),
            }
        }
        .boxed()
    }

    fn manifest<'a>(
        &'a self,
        _: &'a Reference,
        _: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Fetched, Refusal>> {
        async move {
            let ask = self.manifest.as_ref().expect("asked for a manifest");
            match ask(Ask::Fetch).await {
                Answer::Body(fetched) => Ok(fetched),
                Answer::Refused(refusal) => Err(refusal),
                Answer::Same | Answer::Changed(_) => panic!("no body for a fetch"),
            }
        }
        .boxed()
    }

    fn has<'a>(
        &'a self,
        _: &'a Canonical,
        _: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Option<u64>, Refusal>> {
        async move {
            let ask = self.blob.as_ref().expect("asked about a blob");
            match ask(BlobQuestion::Check).await {
                BlobAnswer::Has(size) => Ok(size),
                BlobAnswer::Refused(refusal) => Err(refusal),
                BlobAnswer::Source(_) => panic!("bytes for a check"),
            }
        }
        .boxed()
    }

    fn blob<'a>(&'a self, ask: BlobAsk<'a>) -> BoxFuture<'a, Result<Source, Refusal>> {
        let question = BlobQuestion::Fetch {
            offset: ask.start,
            end: ask.end,
            size: ask.size,
            origin: ask.origin.cloned(),
        };
        async move {
            let ask = self.blob.as_ref().expect("asked for a blob");
            match ask(question).await {
                BlobAnswer::Source(source) => Ok(source),
                BlobAnswer::Refused(refusal) => Err(refusal),
                BlobAnswer::Has(_) => panic!("no bytes for a fetch"),
            }
        }
        .boxed()
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

//! The calls: what can be asked of an upstream.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "v1")]
use longshore_manifest::v1::ImageId;
use longshore_reference::{Canonical, Named, Reference};
use tokio::time::Instant;

#[cfg(feature = "v1")]
use crate::v1::{self, Sessions};
use crate::{
    Config, Download, Error, Fetched, Head, ListPage,
    calls::Calls,
    download::Span,
    endpoint::Endpoints,
    fallback::{Asked, admit_digest, admit_name, fallback, not_supported},
    lookup::Version,
    request::Requests,
    v2,
};

/// One configured registry: its endpoints and what was learnt of them. Cheap to clone; clones share everything but the
/// deadline of [`within`](Self::within).
#[derive(Debug, Clone)]
pub struct Upstream {
    calls: Calls,
    #[cfg(feature = "v1")]
    sessions: Arc<Sessions>,
}

impl Upstream {
    /// Prepares connections; asks nothing.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no endpoint or the certificates cannot be used.
    pub fn new(config: Config) -> Result<Self, Error> {
        let Some(origin) = config.endpoints.last() else {
            return Err(Error::config("endpoints", "none given"));
        };
        let calls = Calls {
            endpoints: Arc::new(Endpoints::new(&config, origin)),
            requests: Arc::new(Requests::new(&config)?),
            deadline: None,
        };
        Ok(Self {
            calls,
            #[cfg(feature = "v1")]
            sessions: Arc::default(),
        })
    }

    /// The same upstream, whose calls end within `total` from now, tokens, redirects, retries and all endpoints
    /// included. A call that does not is [`Error::TimedOut`] and counts against the endpoint that was asked last, which
    /// a call that is dropped does not. A [`Download`] has to be opened by then; its body takes as long as it takes.
    #[must_use]
    pub fn within(&self, total: Duration) -> Self {
        let mut within = self.clone();
        within.calls.deadline = Some(Instant::now() + total);
        within
    }

    /// The name it was configured with.
    #[must_use]
    pub fn name(&self) -> &str {
        self.calls.requests.exchange.name()
    }

    /// Asks whether the manifest is there and which it is: by HEAD, which pull limits do not count. HEAD answers carry
    /// no error body, so what the origin refuses is asked again by GET, and so is an answer that need not be about this
    /// manifest; if GET gives it, this is a success.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn resolve(&self, reference: &Reference) -> Result<Head, Error> {
        let call = move |version| async move {
            match (version, reference) {
                (Version::V2, _) => v2::manifest::resolve(&self.calls, reference).await,
                #[cfg(feature = "v1")]
                (Version::V1, Reference::Tagged(tagged)) => {
                    v1::resolve(&self.calls, &self.sessions, tagged).await
                }
                (Version::V1, _) => Err(not_supported(self.name())),
            }
        };
        fallback(self.asked(reference), call).await
    }

    /// Fetches a manifest. For a digest the bytes are verified; for a tag they are compared with the digest the
    /// registry gave, where it gave one. Of a v1 image it is the ancestry document
    /// ([`Ancestry`](longshore_manifest::v1::Ancestry)).
    ///
    /// # Errors
    /// All but [`Error::Config`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, Error> {
        let call = move |version| async move {
            match (version, reference) {
                (Version::V2, _) => v2::manifest::fetch(&self.calls, reference).await,
                #[cfg(feature = "v1")]
                (Version::V1, Reference::Tagged(tagged)) => {
                    v1::fetch(&self.calls, &self.sessions, tagged).await
                }
                (Version::V1, _) => Err(not_supported(self.name())),
            }
        };
        fallback(self.asked(reference), call).await
    }

    /// The size of a blob in bytes, without downloading it: by HEAD, where that is refused or gives no length by a
    /// GET of one byte. `None` when the registry has the blob but does not say.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn blob_size(&self, blob: &Canonical) -> Result<Option<u64>, Error> {
        admit_digest(self.name(), &self.calls.endpoints, blob)?;
        v2::blob::size(&self.calls, blob).await
    }

    /// Opens a blob at `offset` (bytes from its start). Returns once the response headers are there and right: status,
    /// no web page, and the length that `size` (the whole blob's, where it is certain) lets expect.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); [`Error::OutOfRange`] when `offset` is past `size`.
    pub async fn blob(
        &self,
        blob: &Canonical,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        self.blob_range(blob, offset, None, size).await
    }

    /// Opens the bytes from `start` to `end` (exclusive) of a blob by a range request; a cut is resumed within the range.
    /// The registry may ignore the range and send the whole ([`Download::ranges`] says so): then what precedes it is
    /// downloaded and dropped, and what follows it is not read. A range that reaches past the end of the blob ends there.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); [`Error::OutOfRange`] when `start` is past `size`.
    pub async fn blob_range(
        &self,
        blob: &Canonical,
        start: u64,
        end: Option<u64>,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        admit_digest(self.name(), &self.calls.endpoints, blob)?;
        let at = start;
        v2::blob::open(&self.calls, blob, Span { at, end, size }).await
    }

    /// Opens a blob at a URL that a manifest of this registry gives for it, from `offset` (bytes from its start). No
    /// credentials are sent, and private addresses are reached only as redirects of the registry are. The bytes are not
    /// verified.
    ///
    /// # Errors
    /// As [`blob`](Self::blob); [`Error::Misbehaved`] for what is no URL of HTTP.
    #[cfg(feature = "pull")]
    pub async fn foreign_blob(&self, url: &str, offset: u64) -> Result<Download, Error> {
        v2::foreign::open(&self.calls, url, offset).await
    }

    /// Opens the layer of a v1 image at `offset` (bytes from its start). Cuts are resumed where the registry takes
    /// ranges and the size is known: `size` (bytes), else as the registry says. A checksum the registry states for the
    /// image is compared by a download that began at 0; Docker never did.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    #[cfg(feature = "v1")]
    pub async fn v1_layer(
        &self,
        named: &Named,
        id: &ImageId,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        admit_name(self.name(), named)?;
        let span = Span {
            at: offset,
            end: None,
            size,
        };
        v1::layer::open(&self.calls, &self.sessions, named, id, span).await
    }

    /// The tags of a repository, one page; `query` (such as `n=100&last=x`) is passed on. A v1 registry knows no pages:
    /// they are cut from its whole list, in the form and the order of v2.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn tags(&self, named: &Named, query: Option<&str>) -> Result<ListPage, Error> {
        let call = move |version| async move {
            match version {
                Version::V2 => v2::list::tags(&self.calls, named, query).await,
                #[cfg(feature = "v1")]
                Version::V1 => v1::tags(&self.calls, &self.sessions, named, query).await,
                #[cfg(not(feature = "v1"))]
                Version::V1 => Err(not_supported(self.name())),
            }
        };
        let asked = Asked {
            upstream: self.name(),
            endpoints: &self.calls.endpoints,
            named,
            by_digest: false,
            reference: named,
        };
        fallback(asked, call).await
    }

    /// The manifests that refer to a digest. `None` when the registry does not know this call, which many answer with
    /// 404, 405, 501, or a web page.
    ///
    /// # Errors
    /// When it could not be asked: [`Error::Denied`], [`Error::Rejected`], [`Error::Limited`], [`Error::Unreachable`],
    /// [`Error::TimedOut`].
    pub async fn referrers(
        &self,
        subject: &Canonical,
        query: Option<&str>,
    ) -> Result<Option<ListPage>, Error> {
        admit_name(self.name(), subject.named())?;
        match self.calls.endpoints.has(Version::V2) {
            true => v2::list::referrers(&self.calls, subject, query).await,
            false => Ok(None),
        }
    }

    fn asked<'a>(&'a self, reference: &'a Reference) -> Asked<'a> {
        Asked {
            upstream: self.name(),
            endpoints: &self.calls.endpoints,
            named: reference.named(),
            by_digest: reference.digest().is_some(),
            reference,
        }
    }
}

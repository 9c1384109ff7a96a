//! Lists that are passed on: tags and referrers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use longshore_manifest::MediaType;
use longshore_reference::{Canonical, Digest, Named};

use crate::{
    Error, Event, Kind, Upstream,
    endpoint::Contact,
    error::{Fault, Reason},
    fallback::Fallback,
    http::{self as transport, Failure},
    lookup::Version,
    request::Ask,
    wire::{fields, link::Link},
};

/// A document that is passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// The document; at most [`LIST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type`, as the registry gave it.
    pub content_type: Option<String>,
    /// `Link` to the next page, if there is one. Its URL is the registry's own.
    pub link: Option<String>,
    /// `Warning`, `RateLimit-*`, `OCI-Filters-Applied`.
    pub headers: HeaderMap,
}

impl Upstream {
    /// The tags of a repository, one page; `query` (such as `n=100&last=x`) is passed on. A v1 registry knows no pages:
    /// they are cut from its whole list, in the form and the order of v2.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn tags(&self, named: &Named, query: Option<&str>) -> Result<Passed, Error> {
        let mut fallback = Fallback::new(self, named, false)?;
        while let Some(version) = fallback.next() {
            let object = "/tags/list".to_owned();
            let result = match version {
                Version::V2 => self.pass(named, Kind::Tags, object, query, None).await,
                Version::V1 => self.tags_v1(named, query).await,
            };
            if let Some(end) = fallback.told(version, result) {
                return end;
            }
        }
        Err(fallback.error(named))
    }

    /// The manifests that refer to a digest. `None` when the registry answers anything but an index: many do not know
    /// this call, and show web pages or errors of all kinds instead.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and [`Error::TimedOut`].
    pub async fn referrers(
        &self,
        subject: &Canonical,
        query: Option<&str>,
    ) -> Result<Option<Passed>, Error> {
        let object = format!("/referrers/{}", subject.digest());
        match self
            .pass(
                subject.named(),
                Kind::Referrers,
                object,
                query,
                Some(subject.digest()),
            )
            .await
        {
            Ok(passed) => Ok(Some(passed)),
            // Says nothing but that it does not know this call.
            Err(Error::Unreachable {
                reason: Reason::Status(501),
                ..
            }) => Ok(None),
            Err(error @ (Error::Unreachable { .. } | Error::TimedOut { .. })) => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn pass(
        &self,
        named: &Named,
        kind: Kind,
        object: String,
        query: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Passed, Error> {
        let ask = Ask {
            kind,
            method: Method::GET,
            repository: named.path(),
            object,
            query,
            range: None,
        };
        let mut tries = self.tries(&ask, digest);
        loop {
            let (_, contact) = tries.next().await?;
            match self.pass_from(contact, &ask).await {
                Ok(passed) => {
                    tries.succeeded(contact);
                    self.inner.confirm_v2();
                    return Ok(passed);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    async fn pass_from(&self, contact: &Contact, ask: &Ask<'_>) -> Result<Passed, Failure> {
        let response = self.inner.ask(contact, ask).await?;
        let own = |error| Failure { error, own: true };
        if ask.kind == Kind::Referrers {
            let media_type = fields::media_type(response.headers());
            if media_type.as_deref() != Some(MediaType::OciIndex.as_str()) {
                return Err(own(Error::misbehaved(
                    contact.host(),
                    Fault::Header("content-type"),
                )));
            }
        }
        let received = response.headers().clone();
        let idle = self.inner.transport.timeouts.idle;
        let body = transport::body(response, contact.host(), idle, LIST_BYTES_MAX);
        let bytes = body.await.map_err(own)?;
        self.inner.observe(Event::Bytes(bytes.len() as u64));
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(own(Error::misbehaved(contact.host(), Fault::Json)));
        }
        let mut headers = HeaderMap::new();
        for name in &PASSED {
            for value in received.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let content_type = fields::text(&received, &header::CONTENT_TYPE);
        Ok(Passed {
            bytes,
            content_type,
            link: Link::next(&received).map(|target| format!("<{target}>; rel=\"next\"")),
            headers,
        })
    }
}

/// The largest list of tags or referrers that is taken; bytes.
pub const LIST_BYTES_MAX: u64 = 16 << 20;
static PASSED: [HeaderName; 8] = [
    header::WARNING,
    HeaderName::from_static("oci-filters-applied"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("docker-ratelimit-source"),
    HeaderName::from_static("ratelimit"),
];

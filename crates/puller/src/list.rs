//! Lists that are passed on: tags and referrers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use longshore_manifest::MediaType;
use longshore_reference::{Canonical, Digest, Named};

use crate::{
    Error, Event, Kind, Upstream,
    attempt::{Rules, try_each},
    coding::Coding,
    endpoint::Contact,
    error::{Fault, Reason},
    fallback::Asked,
    http::{self as transport, Failure},
    lookup::Version,
    request::Ask,
    wire::{fields, link::Link},
};

/// One page of a list, passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListPage {
    /// The document; at most [`LIST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type`, as the registry gave it.
    pub content_type: Option<String>,
    /// The target of the `Link` to the next page, as the registry gave it: a URL of its own, perhaps relative.
    pub next: Option<String>,
    /// `Warning`, `RateLimit-*`, `OCI-Filters-Applied`.
    pub headers: HeaderMap,
}

impl Upstream {
    /// The tags of a repository, one page; `query` (such as `n=100&last=x`) is passed on. A v1 registry knows no pages:
    /// they are cut from its whole list, in the form and the order of v2.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn tags(&self, named: &Named, query: Option<&str>) -> Result<ListPage, Error> {
        let call = move |version| async move {
            match version {
                Version::V2 => {
                    let object = "/tags/list".to_owned();
                    self.list(&ask(named, Kind::Tags, object, query), None)
                        .await
                }
                Version::V1 => self.tags_v1(named, query).await,
            }
        };
        let asked = Asked {
            named,
            by_digest: false,
            reference: named,
        };
        self.fallback(asked, call).await
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
        self.admit_name(subject.named())?;
        if self.inner.endpoints(Version::V2).is_empty() {
            return Ok(None);
        }
        let object = format!("/referrers/{}", subject.digest());
        let ask = ask(subject.named(), Kind::Referrers, object, query);
        match self.list(&ask, Some(subject.digest())).await {
            Ok(page) => Ok(Some(page)),
            Err(error) if says_unsupported(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, ask: &Ask<'_>, digest: Option<Digest>) -> Result<ListPage, Error> {
        let plan = self.plan(ask, digest);
        let page = |_, contact| self.page_at(contact, ask);
        try_each(plan, Rules::DEFAULT, page).await
    }

    async fn page_at(&self, contact: &Contact, ask: &Ask<'_>) -> Result<ListPage, Failure> {
        let misbehaved = |fault| Failure {
            error: Error::misbehaved(contact.host(), fault),
            own: true,
        };
        let response = match self.inner.ask(contact, ask).await {
            // Registries without referrers redirect to a website, which may want a login or fewer callers.
            Err(failure) if ask.kind == Kind::Referrers && is_of_a_website(&failure) => {
                return Err(misbehaved(Fault::Redirect));
            }
            asked => asked?,
        };
        if ask.kind == Kind::Referrers {
            let media_type = fields::media_type(response.headers());
            if media_type.as_deref() != Some(MediaType::OciIndex.as_str()) {
                return Err(misbehaved(Fault::Header("content-type")));
            }
        }
        let received = response.headers().clone();
        let idle = self.inner.transport.timeouts.idle;
        let body = transport::body(response, contact.host(), idle, LIST_BYTES_MAX);
        let bytes = body.await.map_err(|error| Failure { error, own: true })?;
        self.inner.observe(Event::Bytes(bytes.len() as u64));
        let document = Coding::of(&received).document(&bytes, LIST_BYTES_MAX, |_| true);
        let bytes = document.ok_or_else(|| misbehaved(Fault::Json))?;
        let mut headers = HeaderMap::new();
        for name in &PASSED {
            for value in received.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        contact.confirm_v2();
        Ok(ListPage {
            bytes,
            content_type: fields::text(&received, &header::CONTENT_TYPE),
            next: Link::next(&received),
            headers,
        })
    }
}

fn ask<'a>(named: &'a Named, kind: Kind, object: String, query: Option<&'a str>) -> Ask<'a> {
    Ask {
        kind,
        method: Method::GET,
        repository: named.path(),
        object,
        query,
        range: None,
    }
}

/// Whether a call was refused by another host than the registry's.
fn is_of_a_website(failure: &Failure) -> bool {
    let refused = matches!(failure.error, Error::Limited { .. } | Error::Denied { .. });
    !failure.own && refused
}

/// Whether a registry answered a call for referrers as one that does not know the call. Whoever was not let in, or was
/// asked to come back later, has not been told that there are none.
fn says_unsupported(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } | Error::Misbehaved { .. } | Error::NotSupported { .. } => true,
        Error::Unreachable { reason, .. } => *reason == Reason::Status(501),
        Error::Denied { .. }
        | Error::Rejected { .. }
        | Error::Limited { .. }
        | Error::TimedOut { .. }
        | Error::Unusable { .. }
        | Error::Reserved { .. }
        | Error::OtherRegistry { .. }
        | Error::OutOfRange { .. }
        | Error::NoEndpoints { .. }
        | Error::Config { .. } => false,
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

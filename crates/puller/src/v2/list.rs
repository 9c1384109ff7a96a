//! Lists that are passed on: tags and referrers.

use http::{HeaderMap, HeaderName, Method, header};
use longshore_manifest::MediaType;
use longshore_reference::{Canonical, Digest, Named};

use crate::{
    Error, Event, Kind,
    answers::{LIST_BYTES_MAX, ListPage},
    ask::Ask,
    attempt::{Rules, try_each},
    calls::Calls,
    coding::Coding,
    endpoint::EndpointState,
    error::{Fault, Reason},
    http::{self as transport, Failure},
    request::Requests,
    wire::{fields, link::Link},
};

/// The tags of a repository, one page.
pub(crate) async fn tags(
    calls: &Calls,
    named: &Named,
    query: Option<&str>,
) -> Result<ListPage, Error> {
    let ask = ask(named, Kind::Tags, "/tags/list".to_owned(), query);
    page(calls, &ask, None).await
}

/// The manifests that refer to a digest, one page; `None` when the registry does not know this call.
pub(crate) async fn referrers(
    calls: &Calls,
    subject: &Canonical,
    query: Option<&str>,
) -> Result<Option<ListPage>, Error> {
    let object = format!("/referrers/{}", subject.digest());
    let ask = ask(subject.named(), Kind::Referrers, object, query);
    match page(calls, &ask, Some(subject.digest())).await {
        Ok(page) => Ok(Some(page)),
        Err(error) if says_unsupported(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn page(calls: &Calls, ask: &Ask<'_>, digest: Option<Digest>) -> Result<ListPage, Error> {
    let plan = calls.plan(ask, digest);
    let page = |_, endpoint| page_at(&calls.requests, endpoint, ask);
    try_each(plan, Rules::DEFAULT, page).await
}

async fn page_at(
    requests: &Requests,
    endpoint: &EndpointState,
    ask: &Ask<'_>,
) -> Result<ListPage, Failure> {
    let misbehaved = |fault| Failure {
        error: Error::misbehaved(endpoint.host(), fault),
        own: true,
    };
    let response = match requests.ask(endpoint, ask).await {
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
    let idle = requests.exchange.timeouts().idle;
    let body = transport::body(response, endpoint.host(), idle, LIST_BYTES_MAX);
    let bytes = body.await.map_err(|error| Failure { error, own: true })?;
    requests.exchange.observe(Event::Bytes(bytes.len() as u64));
    let document = Coding::of(&received).document(&bytes, LIST_BYTES_MAX, |_| true);
    let bytes = document.ok_or_else(|| misbehaved(Fault::Json))?;
    let mut headers = HeaderMap::new();
    for name in &PASSED {
        for value in received.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    endpoint.confirm_v2();
    Ok(ListPage {
        bytes,
        content_type: fields::text(&received, &header::CONTENT_TYPE),
        next: Link::next(&received),
        headers,
    })
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

//! Blobs that a manifest says are elsewhere: by a URL of its own.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_ENCODING, RANGE},
};
use url::Url;

use crate::{
    Download, Error, Kind,
    calls::Calls,
    download::{Opening, Parts, Span},
    error::Fault,
    http::Request,
    lookup::Version,
    wire::fields::is_html,
};

/// Opens a blob at a URL, from `at` (bytes from its start).
pub(crate) async fn open(calls: &Calls, url: &str, at: u64) -> Result<Download, Error> {
    let name = calls.requests.exchange.name().into();
    let parsed = Url::parse(url).ok().filter(is_of_http);
    let url = parsed.ok_or_else(|| Error::misbehaved(&name, Fault::Redirect))?;
    let span = Span {
        at,
        end: None,
        size: None,
    };
    let parts = Box::new(ForeignParts {
        calls: calls.clone(),
        url,
    });
    Download::open(&calls.requests, parts, span).await
}

/// The parts of a blob elsewhere.
#[derive(Debug)]
struct ForeignParts {
    calls: Calls,
    url: Url,
}

impl Parts for ForeignParts {
    fn open(&mut self, span: Span, _resumes: u32) -> Opening<'_> {
        Box::pin(async move {
            let endpoints = &self.calls.endpoints;
            let order = endpoints.order(Version::V2, None);
            let origin = order.last().and_then(|&index| endpoints.get(index));
            let Some(endpoint) = origin else {
                return Err(Error::NotSupported {
                    upstream: self.calls.requests.exchange.name().into(),
                });
            };
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let range = span.header();
            if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
                headers.insert(RANGE, range);
            }
            // On behalf of the registry: what it may not point to is refused.
            let request = Request::new(Method::GET, self.url.clone(), headers);
            let exchange = &self.calls.requests.exchange;
            let followed = exchange.send(endpoint.origin(), Kind::Blob, request).await;
            let response = followed.map_err(|failure| failure.error)?.response;
            let host = endpoint.host();
            match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
                StatusCode::RANGE_NOT_SATISFIABLE if span.at > 0 => {}
                status => {
                    let fault = Fault::Status(status.as_u16());
                    return Err(Error::misbehaved(host, fault));
                }
            }
            if is_html(response.headers()) {
                return Err(Error::misbehaved(host, Fault::Html));
            }
            let part = span.accept(host, response, false);
            part.map_err(|failure| failure.error)
        })
    }
}

fn is_of_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
}

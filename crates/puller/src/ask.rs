//! What is asked in protocol v2.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, RANGE},
};

use crate::{
    Kind, endpoint::EndpointState, health::Subject, http::Request, limit::RateClass,
    lookup::Version,
};

/// What to ask for.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) kind: Kind,
    pub(crate) method: Method,
    /// The repository, as the reference has it.
    pub(crate) repository: &'a str,
    /// What follows the repository in the path, with its slash.
    pub(crate) object: String,
    pub(crate) query: Option<&'a str>,
    /// The value of `Range`.
    pub(crate) range: Option<String>,
}

impl Ask<'_> {
    pub(crate) fn class(&self) -> RateClass {
        match (self.kind, &self.method) {
            (Kind::Manifest, &Method::HEAD) => RateClass::Check,
            (kind, _) => RateClass::of(kind),
        }
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            class: self.class(),
            repository: self.repository.into(),
            object: self.object.as_str().into(),
        }
    }

    pub(crate) fn request(
        &self,
        endpoint: &EndpointState,
        authorization: Option<HeaderValue>,
    ) -> Request<'static> {
        let mut url = endpoint.url().clone();
        let base = url.path().to_owned();
        url.set_path(&format!("{base}{}{}", self.repository, self.object));
        url.set_query(self.query.filter(|query| !query.is_empty()));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept(self.kind)));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let range = self.range.as_ref();
        if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(RANGE, range);
        }
        Request {
            authorization,
            within: Some(Version::V2.segment()),
            ..Request::new(self.method.clone(), url, headers)
        }
    }

    pub(crate) fn is_answer(&self, status: StatusCode) -> bool {
        match status {
            StatusCode::OK => true,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => self.range.is_some(),
            _ => false,
        }
    }
}

/// Always the same, in one line: a registry that is not told of a type may convert to another one, whose digest differs,
/// and some that get several lines look at one of them only.
fn accept(kind: Kind) -> &'static str {
    match kind {
        Kind::Manifest => MANIFESTS,
        Kind::Referrers => "application/vnd.oci.image.index.v1+json",
        Kind::Tags | Kind::Token => "application/json",
        Kind::Blob | Kind::Ping => "*/*",
    }
}

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, */*";

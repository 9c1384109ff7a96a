//! One exchange with one endpoint: challenges, tokens, and what a refusal means.

use std::{
    sync::Arc,
    time::{Instant as Wall, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, RANGE},
};
use tokio::time::{Instant, timeout};

use crate::{
    Error, Event, Kind,
    auth::{
        challenge::Challenge,
        session::{Sent, Session, pull_scope},
    },
    classify::{self, Meaning, Reply, Role},
    endpoint::Contact,
    error::{Fault, Reason},
    health::Subject,
    http::{Failure, Followed, Request, Response},
    limit::{LimitKey, RateClass},
    lookup::Version,
    upstream::Inner,
    wire::{fields::is_html, retry_after},
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

/// An answer other than success, read.
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) reply: Reply,
    pub(crate) own: bool,
}

impl Ask<'_> {
    pub(crate) fn class(&self) -> RateClass {
        match (self.kind, &self.method) {
            (Kind::Manifest, &Method::HEAD) => RateClass::Check,
            (Kind::Manifest, _) => RateClass::Manifest,
            (Kind::Blob, _) => RateClass::Blob,
            (Kind::Tags, _) => RateClass::Tags,
            (Kind::Referrers, _) => RateClass::Referrers,
            (Kind::Token | Kind::Ping, _) => RateClass::Index,
        }
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            class: self.class(),
            repository: self.repository.into(),
            object: self.object.as_str().into(),
        }
    }

    fn request(&self, contact: &Contact, authorization: Option<HeaderValue>) -> Request<'static> {
        let mut url = contact.url().clone();
        url.set_path(&format!(
            "{}{}{}",
            contact.url().path(),
            self.repository,
            self.object
        ));
        url.set_query(self.query.filter(|query| !query.is_empty()));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept(self.kind)));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = self
            .range
            .as_ref()
            .and_then(|range| HeaderValue::try_from(range).ok())
        {
            headers.insert(RANGE, range);
        }
        Request {
            authorization,
            within: Some(Version::V2.segment()),
            ..Request::new(self.method.clone(), url, headers)
        }
    }

    fn is_answer(&self, status: StatusCode) -> bool {
        match status {
            StatusCode::OK => true,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => self.range.is_some(),
            _ => false,
        }
    }
}

impl Inner {
    /// Asks one endpoint, with all the exchanges that need be. The answer is a 200 (with a range also 206 or 416) that
    /// is no web page.
    pub(crate) async fn ask(&self, contact: &Contact, ask: &Ask<'_>) -> Result<Response, Failure> {
        let mut session = Session::new(self, contact, ask).await;
        if session.unreadable.is_some() {
            self.observe(Event::CredentialsRejected);
        }
        for _ in 0..ROUNDS_MAX {
            let limit = (ask.class(), session.credential());
            admit(contact, limit, Instant::now())?;
            let sent = self.introduce(contact, &mut session).await?;
            let asked = Instant::now();
            let Followed { response, url } = self.send(contact, ask, &sent).await?;
            let own = contact.is_own(&url);
            let limit = (ask.class(), session.credential());
            let is_answer = ask.is_answer(response.status());
            // Whoever is behind a redirect says nothing of the endpoint; the redirect was its own answer.
            if !own || is_answer || response.status() == StatusCode::NOT_FOUND {
                contact.limits.answered(limit, Instant::now());
            }
            if is_answer {
                if own && says_v2(response.headers()) {
                    contact.confirm_v2();
                }
                return self
                    .check(contact, response)
                    .map_err(|error| Failure { error, own });
            }
            let refused = self.refused(response, own).await;
            if own && confirms_v2(ask, &refused) {
                contact.confirm_v2();
            }
            if self.again(contact, &mut session, &sent, &refused).await? {
                continue;
            }
            return Err(self.failure(contact, (limit, asked), &session, refused));
        }
        Err(Failure {
            error: self.denied(contact, &session, None, true),
            own: true,
        })
    }

    /// One request with its redirects, observed. A registry behind a redirect may want an anonymous token of its own.
    async fn send(
        &self,
        contact: &Contact,
        ask: &Ask<'_>,
        sent: &Sent,
    ) -> Result<Followed, Failure> {
        let request = ask.request(contact, sent.header().cloned());
        let followed = self.exchange(contact, ask.kind, request.clone()).await?;
        if contact.is_own(&followed.url) || followed.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(followed);
        }
        let Some(Challenge::Bearer {
            realm,
            service,
            scope,
        }) = Challenge::choose(followed.response.headers())
        else {
            return Ok(followed);
        };
        let scope = scope.unwrap_or_else(|| pull_scope(ask.repository));
        let mut followed = followed;
        for _ in 0..2 {
            let (realm, service) = (&realm, service.clone());
            let grant = self.token(contact, None, realm, service, scope.clone());
            let grant = grant.await;
            let Ok(header) = &grant.outcome.result else {
                return Ok(followed);
            };
            let again = Request {
                url: followed.url,
                authorization: Some(header.clone()),
                ..request.clone()
            };
            followed = self.exchange(contact, ask.kind, again).await?;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            if !refused.contains(&followed.response.status()) {
                break;
            }
            // A token that was held may have ended early; one that was just given will not be better.
            self.tokens.forget(&grant);
            if !grant.cached {
                break;
            }
        }
        Ok(followed)
    }

    /// [`Client::follow`](crate::http::Client::follow), observed.
    pub(crate) async fn exchange(
        &self,
        contact: &Contact,
        kind: Kind,
        request: Request<'_>,
    ) -> Result<Followed, Failure> {
        let start = Wall::now();
        // Boxed: there are many places that send a request.
        let sent = Box::pin(self.transport.follow(contact.origin(), request));
        let result = sent.await;
        let code = result
            .as_ref()
            .ok()
            .map(|followed| followed.response.status().as_u16());
        let seconds = start.elapsed().as_secs_f64();
        self.observe(Event::Request {
            endpoint: contact.host(),
            kind,
            code,
            seconds,
        });
        if let Some(remaining) = result
            .as_ref()
            .ok()
            .and_then(|f| retry_after::remaining(f.response.headers()))
        {
            self.observe(Event::RateLimit { remaining });
        }
        result
    }

    /// Refuses what is success by its status only. A `Content-Encoding` is a label: the digest decides on the bytes.
    pub(crate) fn check(&self, contact: &Contact, response: Response) -> Result<Response, Error> {
        let headers = response.headers();
        if is_html(headers) {
            return Err(Error::misbehaved(contact.host(), Fault::Html));
        }
        Ok(response)
    }

    pub(crate) async fn refused(&self, response: Response, own: bool) -> Refused {
        let (status, headers) = (response.status(), response.headers().clone());
        let whole = read_some(response, ERROR_BYTES_MAX);
        // What cannot be read in time says nothing.
        let body = timeout(self.transport.timeouts.headers, whole)
            .await
            .unwrap_or_default();
        Refused {
            status,
            headers,
            reply: Reply::parse(&body),
            own,
        }
    }

    fn failure(
        &self,
        contact: &Contact,
        (limit, asked): (LimitKey, Instant),
        session: &Session,
        refused: Refused,
    ) -> Failure {
        let Refused {
            status,
            headers,
            reply,
            own,
        } = refused;
        let endpoint = || Arc::clone(contact.host());
        let error = match classify::meaning(status, &reply) {
            // What the anonymous client does not see may be there for the credentials.
            Meaning::NotFound { .. } if session.rejected => {
                self.denied(contact, session, None, false)
            }
            Meaning::NotFound { authoritative } => Error::NotFound {
                endpoint: endpoint(),
                authoritative,
            },
            // A storage host speaks for itself, not for the registry.
            Meaning::Denied if !own && !reply.has_code() => {
                Error::misbehaved(contact.host(), Fault::Status(status.as_u16()))
            }
            Meaning::Denied => {
                let unauthorized = reply.says_unauthorized(status);
                self.denied(contact, session, reply.detail(), unauthorized)
            }
            Meaning::Limited => {
                let retry_after = retry_after::stated_wait(&headers, SystemTime::now());
                if own {
                    let now = Instant::now();
                    contact.limits.limited(limit, retry_after, asked, now);
                }
                Error::Limited {
                    endpoint: endpoint(),
                    retry_after,
                }
            }
            Meaning::Unreachable => Error::Unreachable {
                endpoint: endpoint(),
                reason: Reason::Status(status.as_u16()),
                source: None,
            },
            Meaning::Misbehaved => {
                Error::misbehaved(contact.host(), Fault::Status(status.as_u16()))
            }
        };
        Failure { error, own }
    }
}

/// Whether a refusal of HEAD is to be confirmed by GET: it had no body that could explain it, and some registries
/// refuse HEAD as such. A mirror's word is not final, so it needs no confirmation.
pub(crate) fn asks_for_body(failure: &Failure, role: Role) -> bool {
    match &failure.error {
        Error::Misbehaved {
            fault: Fault::Status(status),
            ..
        } => matches!(status, 400 | 405 | 501) || (role == Role::Origin && *status < 500),
        Error::NotFound { .. } | Error::Denied { .. } => role == Role::Origin,
        Error::Unreachable {
            reason: Reason::Status(501),
            ..
        } => true,
        _ => false,
    }
}

/// Whether the rate limits let a request through.
pub(crate) fn admit(contact: &Contact, limit: LimitKey, now: Instant) -> Result<(), Failure> {
    contact.limits.admit(limit, now).map_err(|wait| Failure {
        error: Error::Limited {
            endpoint: Arc::clone(contact.host()),
            retry_after: Some(wait),
        },
        own: true,
    })
}

/// Whether the header of a v2 registry is there: any of its values, split at white space.
fn says_v2(headers: &HeaderMap) -> bool {
    let values = headers.get_all("docker-distribution-api-version").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split_whitespace().any(|word| word == "registry/2.0"))
}

/// Whether a refusal shows that this is a v2 registry. A gateway in front of a v1 registry may send the header with its
/// own word that nothing is known or nobody is let in; a refused HEAD does not tell which word it would be.
fn confirms_v2(ask: &Ask<'_>, refused: &Refused) -> bool {
    let hidden = ask.method == Method::HEAD && matches!(refused.status.as_u16(), 401 | 404);
    says_v2(&refused.headers) && !refused.reply.leaves_v2_open() && !hidden
}

/// The first bytes of a body, as far as they come.
async fn read_some(mut response: Response, limit: usize) -> Vec<u8> {
    let mut some = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        some.extend_from_slice(
            chunk
                .get(..limit.saturating_sub(some.len()).min(chunk.len()))
                .unwrap_or_default(),
        );
        if some.len() >= limit {
            break;
        }
    }
    some
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
const ERROR_BYTES_MAX: usize = 64 << 10;
/// More than the longest chain of repetitions: challenge, stale token, other scope, rejected, anonymous, storage.
const ROUNDS_MAX: usize = 8;

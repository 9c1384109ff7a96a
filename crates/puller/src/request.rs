//! Requests of protocol v2: challenges, tokens, rate limits, and what a refusal means.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ACCEPT_ENCODING};
use tokio::time::Instant;

use crate::{
    Config, Error, Event, Kind,
    ask::Ask,
    auth::{
        authorizer::{Authorizer, Note, RefusedRequest, Step, TokenRequest, pull_scope},
        challenge::Challenge,
        login::{Login, LookupKey},
        token::Grant,
        token_endpoint::Authority,
    },
    classify::{self, Meaning, Role},
    endpoint::EndpointState,
    error::{Fault, Reason},
    exchange::Exchange,
    http::{self as transport, Failure, Followed, Request, Response},
    limit::LimitKey,
    refused::{Refused, admit, check},
    wire::retry_after,
};

/// One call to one endpoint, with all its exchanges.
struct Call<'a> {
    requests: &'a Requests,
    endpoint: &'a EndpointState,
    ask: &'a Ask<'a>,
    /// As the endpoint calls it.
    repository: &'a str,
    authorizer: Authorizer<'a>,
    /// The token that was sent last.
    grant: Option<Grant>,
    /// The last refusal: whose limit it counts for, and when it was asked.
    refused: Option<((LimitKey, Instant), Refused)>,
    rounds: u32,
}

/// Sends the requests of one upstream, authorized.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) exchange: Exchange,
    pub(crate) authority: Authority,
}

impl Requests {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            exchange: Exchange::new(config)?,
            authority: Authority::new(config),
        })
    }

    /// Asks one endpoint, with all the exchanges that need be. The answer is a 200 (with a range also 206 or 416) that
    /// is no web page.
    pub(crate) async fn ask(
        &self,
        endpoint: &EndpointState,
        ask: &Ask<'_>,
    ) -> Result<Response, Failure> {
        let repository = endpoint.repository(ask.repository);
        let (authorizer, mut step) = Authorizer::new(
            endpoint.url(),
            &self.authority.realms,
            &repository,
            endpoint.challenge(),
        );
        let mut call = Call {
            requests: self,
            endpoint,
            ask,
            repository: &repository,
            authorizer,
            grant: None,
            refused: None,
            rounds: 0,
        };
        loop {
            step = match step {
                Step::LookUp { stale } => call.look_up(stale).await,
                Step::FetchToken(wanted) => call.fetch_token(wanted).await?,
                Step::Ping => call.authorizer.on_ping(self.ping(endpoint).await?),
                Step::Send(header) => match call.send(header).await? {
                    Ok(response) => return Ok(response),
                    Err(step) => step,
                },
                Step::GiveUp => return Err(call.refusal()),
                Step::Denied => return Err(call.denied(false)),
                Step::Failed(error) => return Err(Failure { error, own: false }),
            };
            for note in call.authorizer.notes() {
                self.remember(endpoint, note, call.grant.as_ref());
            }
        }
    }

    /// Sends the request once. An inner error is a refusal.
    async fn answer(
        &self,
        endpoint: &EndpointState,
        ask: &Ask<'_>,
        limit: LimitKey,
        authorization: Option<HeaderValue>,
    ) -> Result<Result<Response, Refused>, Failure> {
        let Followed { response, url } = self.send(endpoint, ask, authorization).await?;
        let own = endpoint.is_own(&url);
        let is_answer = ask.is_answer(response.status());
        // Whoever is behind a redirect says nothing of the endpoint; the redirect was its own answer.
        if !own || is_answer || response.status() == StatusCode::NOT_FOUND {
            endpoint.limits.answered(limit, Instant::now());
        }
        if is_answer {
            if own && says_v2(response.headers()) {
                endpoint.confirm_v2();
            }
            let checked = check(endpoint.host(), response);
            return checked.map(Ok).map_err(|error| Failure { error, own });
        }
        let refused = Refused::read(response, own, &self.exchange).await;
        if own && confirms_v2(ask, &refused) {
            endpoint.confirm_v2();
        }
        Ok(Err(refused))
    }

    /// One request with its redirects. A registry behind a redirect may want an anonymous token of its own.
    async fn send(
        &self,
        endpoint: &EndpointState,
        ask: &Ask<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<Followed, Failure> {
        let (exchange, origin) = (&self.exchange, endpoint.origin());
        let request = ask.request(endpoint, authorization);
        let mut followed = exchange.send(origin, ask.kind, request.clone()).await?;
        if endpoint.is_own(&followed.url) || followed.response.status() != StatusCode::UNAUTHORIZED
        {
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
        let wanted = TokenRequest {
            login: None,
            realm,
            service,
            scope: scope.unwrap_or_else(|| pull_scope(ask.repository)),
        };
        for _ in 0..2 {
            let grant = self.authority.token(exchange, origin, wanted.clone()).await;
            let Ok(header) = grant.result() else {
                return Ok(followed);
            };
            let again = Request {
                url: followed.url,
                authorization: Some(header.clone()),
                ..request.clone()
            };
            followed = exchange.send(origin, ask.kind, again).await?;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            if !refused.contains(&followed.response.status()) {
                break;
            }
            // A token that was held may have ended early; one that was just given will not be better.
            self.authority.forget(&grant);
            if !grant.cached() {
                break;
            }
        }
        Ok(followed)
    }

    /// Whose credentials are looked for.
    pub(crate) fn lookup_key<'a>(
        &'a self,
        endpoint: &'a EndpointState,
        repository: &'a str,
    ) -> LookupKey<'a> {
        LookupKey {
            endpoint: endpoint.host(),
            upstream: (endpoint.role == Role::Origin).then_some(self.exchange.name()),
            repository,
        }
    }

    /// The challenge of `GET /v2/`.
    async fn ping(&self, endpoint: &EndpointState) -> Result<Option<Challenge>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = Request::new(Method::GET, endpoint.url().clone(), headers);
        let sent = self.exchange.send(endpoint.origin(), Kind::Ping, request);
        let response = sent.await?.response;
        let challenge = match response.status() {
            StatusCode::UNAUTHORIZED => Challenge::choose(response.headers()),
            _ => None,
        };
        transport::drain(response, self.exchange.timeouts().headers).await;
        Ok(challenge)
    }

    fn remember(&self, endpoint: &EndpointState, note: Note, grant: Option<&Grant>) {
        match note {
            Note::Challenge(challenge) => endpoint.remember_challenge(challenge),
            Note::TokenRefused => {
                if let Some(grant) = grant {
                    self.authority.forget(grant);
                }
            }
            Note::Rejected(id) => {
                if let Some(id) = id {
                    endpoint.reject(id);
                }
                self.report_rejected(endpoint);
            }
            Note::Unreadable => self.exchange.observe(Event::CredentialsRejected),
        }
    }

    pub(crate) fn report_rejected(&self, endpoint: &EndpointState) {
        let (upstream, endpoint) = (self.exchange.name(), endpoint.host());
        tracing::warn!(upstream, %endpoint, "credentials rejected, asking anonymously");
        self.exchange.observe(Event::CredentialsRejected);
    }
}

impl Call<'_> {
    async fn look_up(&mut self, stale: Option<Login>) -> Step {
        let found = match &self.endpoint.credentials {
            None => Ok(None),
            Some(credentials) => {
                let key = self.requests.lookup_key(self.endpoint, self.repository);
                credentials.login(key, stale.as_ref()).await
            }
        };
        let login = found.as_ref().ok().and_then(Option::as_ref);
        let is_bad = login.is_some_and(|login| self.endpoint.has_rejected(&login.id));
        self.authorizer.on_login(found, is_bad)
    }

    async fn fetch_token(&mut self, wanted: TokenRequest) -> Result<Step, Failure> {
        admit(self.endpoint, self.limit(), Instant::now())?;
        let Requests {
            exchange,
            authority,
        } = self.requests;
        let grant = authority
            .token(exchange, self.endpoint.origin(), wanted)
            .await;
        let step = self.authorizer.on_token(grant.result(), grant.cached());
        self.grant = Some(grant);
        Ok(step)
    }

    /// An inner error is what follows from a refusal.
    async fn send(
        &mut self,
        header: Option<HeaderValue>,
    ) -> Result<Result<Response, Step>, Failure> {
        if self.rounds == ROUNDS_MAX {
            return Err(self.denied(true));
        }
        self.rounds += 1;
        let limit = self.limit();
        admit(self.endpoint, limit, Instant::now())?;
        let asked = Instant::now();
        let answer = self.requests.answer(self.endpoint, self.ask, limit, header);
        let refused = match answer.await? {
            Ok(response) => return Ok(Ok(response)),
            Err(refused) => refused,
        };
        let step = self.authorizer.on_refusal(RefusedRequest {
            status: refused.status,
            headers: &refused.headers,
            says_expired: refused.reply.says_expired(),
            own: refused.own,
        });
        self.refused = Some(((limit, asked), refused));
        Ok(Err(step))
    }

    /// Which rate limit counts the request.
    fn limit(&self) -> LimitKey {
        (self.ask.class(), self.authorizer.credential())
    }

    /// What the last refusal means.
    fn refusal(&mut self) -> Failure {
        match self.refused.take() {
            Some((limit, refused)) => failure(self.endpoint, limit, &self.authorizer, refused),
            None => self.denied(true),
        }
    }

    fn denied(&self, own: bool) -> Failure {
        let error = self.authorizer.denied(self.endpoint.host(), None, true);
        Failure { error, own }
    }
}

fn failure(
    endpoint: &EndpointState,
    (limit, asked): (LimitKey, Instant),
    authorizer: &Authorizer<'_>,
    refused: Refused,
) -> Failure {
    let Refused {
        status,
        headers,
        reply,
        own,
    } = refused;
    let host = endpoint.host();
    let error = match classify::meaning(status, &reply) {
        // What the anonymous client does not see may be there for the credentials.
        Meaning::NotFound { .. } if authorizer.is_rejected() => {
            authorizer.denied(host, None, false)
        }
        Meaning::NotFound { authoritative } => Error::NotFound {
            endpoint: Arc::clone(host),
            authoritative,
        },
        // A storage host speaks for itself, not for the registry.
        Meaning::Denied if !own && !reply.has_code() => {
            Error::misbehaved(host, Fault::Status(status.as_u16()))
        }
        Meaning::Denied => {
            let unauthorized = reply.says_unauthorized(status);
            authorizer.denied(host, reply.detail(), unauthorized)
        }
        Meaning::Limited => {
            let retry_after = retry_after::stated_wait(&headers, SystemTime::now());
            if own {
                let now = Instant::now();
                endpoint.limits.limited(limit, retry_after, asked, now);
            }
            Error::Limited {
                endpoint: Arc::clone(host),
                retry_after,
            }
        }
        Meaning::Unreachable => Error::Unreachable {
            endpoint: Arc::clone(host),
            reason: Reason::Status(status.as_u16()),
            source: None,
        },
        Meaning::Misbehaved => Error::misbehaved(host, Fault::Status(status.as_u16())),
    };
    Failure { error, own }
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

/// More than the longest chain of repetitions: challenge, stale token, other scope, rejected, anonymous, storage.
const ROUNDS_MAX: u32 = 8;

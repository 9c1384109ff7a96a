//! How one exchange introduces itself, and what it tries when it is refused.

use std::{mem, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ACCEPT_ENCODING};
use longshore_reference::Digest;
use tokio::time::Instant;

use crate::{
    Error, Event, Kind,
    auth::{
        challenge::{Challenge, Challenges},
        credentials::Login,
        keyring::Sought,
        token::{self, Grant, Refusal},
    },
    classify::Role,
    endpoint::Contact,
    error::Source,
    http::{self as transport, Failure, Request},
    request::{Ask, Refused},
    upstream::Inner,
};

/// What one exchange knows and has used up; every repetition uses up something, so it ends.
pub(crate) struct Session {
    challenge: Option<Challenge>,
    login: Option<Login>,
    /// The configured credentials did not help.
    pub(crate) rejected: bool,
    pub(crate) unreadable: Option<Source>,
    /// As the endpoint calls it.
    repository: String,
    /// What a token must be for: our own idea until the registry names one.
    scope: String,
    /// What the registry found wrong with the token it saw last.
    complaint: Option<Arc<str>>,
    /// What the registry was sent last.
    shown: Option<HeaderValue>,
    /// A token that was held already was replaced.
    renewed: bool,
    /// Credentials that were not accepted were looked up once more.
    login_renewed: bool,
    pinged: bool,
    /// The storage behind a redirect refused, and the registry was asked for another redirect.
    redirected_again: bool,
}

/// How we introduced ourselves.
pub(crate) enum Sent {
    Nothing,
    Login(HeaderValue),
    Token(Box<Grant>, HeaderValue),
}

impl Session {
    pub(crate) async fn new(inner: &Inner, contact: &Contact, ask: &Ask<'_>) -> Self {
        let repository = contact.repository(ask.repository);
        let mut session = Self {
            challenge: contact.challenge(),
            rejected: false,
            login: None,
            unreadable: None,
            scope: pull_scope(&repository),
            repository,
            complaint: None,
            shown: None,
            renewed: false,
            login_renewed: false,
            pinged: false,
            redirected_again: false,
        };
        let login = inner.look_up(contact, &mut session, None).await;
        let known_bad = login
            .as_ref()
            .is_some_and(|login| contact.has_rejected(&login.id, Instant::now()));
        session.rejected = session.unreadable.is_some() || known_bad;
        session.login = login.filter(|_| !known_bad);
        session
    }

    /// Which credentials are in use.
    pub(crate) fn credential(&self) -> Option<Digest> {
        self.login.as_ref().map(|login| login.id)
    }

    /// Takes over a challenge of this endpoint; whether it asks for something else than before.
    fn learn(&mut self, contact: &Contact, mut learnt: Challenge) -> bool {
        let mut news = false;
        if let Challenge::Bearer { scope, .. } = &mut learnt
            && let Some(scope) = scope.take()
        {
            let scope = token::scopes(&scope);
            news |= self.scope != scope;
            self.scope = scope;
        }
        news |= self.challenge.as_ref() != Some(&learnt);
        contact.remember(&learnt);
        self.challenge = Some(learnt);
        news
    }
}

impl Sent {
    pub(crate) fn header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Nothing => None,
            Self::Login(header) | Self::Token(_, header) => Some(header),
        }
    }
}

impl Inner {
    /// What to send, by what is known of the endpoint.
    pub(crate) async fn introduce(
        &self,
        contact: &Contact,
        session: &mut Session,
    ) -> Result<Sent, Failure> {
        loop {
            if let Some(login) = session.login.as_ref().filter(|login| login.is_static())
                && let Some(header) = &login.header
            {
                return Ok(Sent::Login(header.clone()));
            }
            let (realm, service) = match &session.challenge {
                None => return Ok(Sent::Nothing),
                Some(Challenge::Basic) => return Ok(self.basic(contact, session)),
                Some(Challenge::Bearer { realm, service, .. }) => (realm.clone(), service.clone()),
            };
            let login = session
                .login
                .as_ref()
                .filter(|_| self.trusts(contact, &realm));
            let scope = session.scope.clone();
            let grant = self.token(contact, login, &realm, service, scope).await;
            match &grant.outcome.result {
                Ok(header) => {
                    let header = header.clone();
                    return Ok(Sent::Token(Box::new(grant), header));
                }
                Err(Refusal::Refused) if login.is_some() => {
                    if let Some(fresh) = self.other_login(contact, session, true).await {
                        session.login = Some(fresh);
                        continue;
                    }
                    if !grant.cached {
                        self.rejected(contact);
                    }
                    session.login = None;
                    session.rejected = true;
                }
                Err(Refusal::Refused) => {
                    return Err(Failure {
                        error: self.denied(contact, session, None, true),
                        own: false,
                    });
                }
                Err(Refusal::Failed(error)) => {
                    return Err(Failure {
                        error: error.clone(),
                        own: false,
                    });
                }
            }
        }
    }

    fn basic(&self, contact: &Contact, session: &mut Session) -> Sent {
        match session.login.take() {
            None => Sent::Nothing,
            Some(login) => match login.header.clone() {
                Some(header) => {
                    session.login = Some(login);
                    Sent::Login(header)
                }
                // An identity token is good for token endpoints only.
                None => {
                    self.rejected(contact);
                    session.rejected = true;
                    Sent::Nothing
                }
            },
        }
    }

    /// Whether asking again may help, and prepares it.
    pub(crate) async fn again(
        &self,
        contact: &Contact,
        session: &mut Session,
        sent: &Sent,
        refused: &Refused,
    ) -> Result<bool, Failure> {
        if !refused.own {
            // A presigned URL has ended: the registry can give another.
            let storage = matches!(refused.status.as_u16(), 400 | 401 | 403);
            return Ok(storage && !mem::replace(&mut session.redirected_again, true));
        }
        if !matches!(
            refused.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            return Ok(false);
        }
        let Challenges {
            chosen: mut learnt,
            complaint,
        } = Challenges::read(&refused.headers);
        session.complaint = complaint;
        session.shown = sent.header().cloned();
        if learnt.is_none()
            && session.challenge.is_none()
            && !mem::replace(&mut session.pinged, true)
        {
            learnt = self.ping(contact).await?;
        }
        let news = learnt.is_some_and(|learnt| session.learn(contact, learnt));
        Ok(match sent {
            Sent::Nothing => match &session.challenge {
                Some(Challenge::Bearer { .. }) => true,
                Some(Challenge::Basic) => session.login.is_some(),
                None => false,
            },
            Sent::Token(grant, _) => {
                self.tokens.forget(grant);
                // A new token may be complained of too: not every registry knows of it at once.
                let hope = grant.cached || news || session.complaint.is_some();
                hope && !mem::replace(&mut session.renewed, true)
            }
            Sent::Login(_) => self.login_again(contact, session, refused, news).await,
        })
    }

    /// Credentials sent as they are were refused: they may have changed, the registry may want a token instead, and
    /// when they are no good, asking without them may do.
    async fn login_again(
        &self,
        contact: &Contact,
        session: &mut Session,
        refused: &Refused,
        news: bool,
    ) -> bool {
        let Some(login) = &session.login else {
            return false;
        };
        let (id, is_static) = (login.id, login.is_static());
        let expired = refused.status == StatusCode::UNAUTHORIZED || refused.reply.says_expired();
        if let Some(fresh) = self.other_login(contact, session, expired).await {
            session.login = Some(fresh);
            return true;
        }
        if news
            && !is_static
            && matches!(session.challenge, Some(Challenge::Bearer { .. }))
            && !mem::replace(&mut session.renewed, true)
        {
            return true;
        }
        if !expired {
            return false;
        }
        contact.reject(id, Instant::now());
        self.rejected(contact);
        session.login = None;
        session.rejected = true;
        true
    }

    /// The credentials as they are now, if they are others than those that were not accepted; looked up once in an
    /// exchange. `expired`: a credential program is asked again.
    async fn other_login(
        &self,
        contact: &Contact,
        session: &mut Session,
        expired: bool,
    ) -> Option<Login> {
        if mem::replace(&mut session.login_renewed, true) {
            return None;
        }
        let old = session.login.clone()?;
        let stale = expired.then_some(&old);
        let fresh = self.look_up(contact, session, stale).await?;
        (fresh.id != old.id && !contact.has_rejected(&fresh.id, Instant::now())).then_some(fresh)
    }

    async fn look_up(
        &self,
        contact: &Contact,
        session: &mut Session,
        stale: Option<&Login>,
    ) -> Option<Login> {
        let sought = Sought {
            endpoint: contact.host(),
            upstream: (contact.role == Role::Origin).then_some(self.name.as_str()),
            repository: &session.repository,
        };
        match contact.credentials.as_ref()?.login(sought, stale).await {
            Ok(login) => login,
            Err(error) => {
                session.unreadable = Some(error);
                None
            }
        }
    }

    pub(crate) fn rejected(&self, contact: &Contact) {
        tracing::warn!(upstream = %self.name, endpoint = %contact.host(), "credentials rejected, asking anonymously");
        self.observe(Event::CredentialsRejected);
    }

    /// The challenge of `GET /v2/`, for registries whose objects answer 401 without one.
    async fn ping(&self, contact: &Contact) -> Result<Option<Challenge>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = Request::new(Method::GET, contact.url().clone(), headers);
        let followed = self.exchange(contact, Kind::Ping, request).await?;
        let challenge = match followed.response.status() {
            StatusCode::UNAUTHORIZED => Challenge::choose(followed.response.headers()),
            _ => None,
        };
        transport::drain(followed.response, self.transport.timeouts.headers).await;
        Ok(challenge)
    }

    pub(crate) fn denied(
        &self,
        contact: &Contact,
        session: &Session,
        detail: Option<Arc<str>>,
        unauthorized: bool,
    ) -> Error {
        let endpoint = Arc::clone(contact.host());
        match session.rejected {
            true => Error::Rejected {
                endpoint,
                source: session.unreadable.clone(),
            },
            false => {
                let parts = [session.complaint.as_deref(), detail.as_deref()];
                let parts: Vec<&str> = parts.into_iter().flatten().collect();
                let detail = parts.join("; ");
                let detail = (!detail.is_empty())
                    .then(|| without_echo(detail, session.shown.as_ref()).into());
                // What a challenge complains of comes before the body's errors.
                let unauthorized = match session.complaint.as_deref() {
                    Some(complaint) if complaint.starts_with("invalid_token") => true,
                    Some(complaint) if complaint.starts_with("insufficient_scope") => false,
                    _ => unauthorized,
                };
                Error::Denied {
                    endpoint,
                    detail,
                    unauthorized,
                }
            }
        }
    }
}

pub(crate) fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// A registry's words up to where they repeat the `Authorization` it was sent. They are shortened already, so the
/// beginning of a token is enough to know it by.
pub(crate) fn without_echo(words: String, sent: Option<&HeaderValue>) -> String {
    let sent = sent.and_then(|sent| sent.to_str().ok());
    let token = sent.and_then(|sent| sent.split_once(' '));
    let token = token.map_or("", |(_, token)| token);
    let start = token.get(..ECHO_CHARS).unwrap_or(token);
    match words.split_once(start) {
        Some((before, _)) if !start.is_empty() => format!("{before}…"),
        _ => words,
    }
}

/// So much of a token tells it from other words.
const ECHO_CHARS: usize = 8;

//! What to send with a request, and what to do when it is refused (no I/O, no clock).
//!
//! The caller does what a [`Step`] says and hands in what came of it, until a request is answered or the step is to give
//! up. Every repetition uses something up, so it ends.

use std::{mem, sync::Arc};

use http::{HeaderMap, HeaderValue, StatusCode};
use longshore_reference::Digest;
use url::Url;

use super::{
    challenge::{Challenge, Challenges},
    login::Login,
    realm,
    token::{self, Refusal},
};
use crate::{Error, error::Source};

/// The authorization of one request to one endpoint.
pub(crate) struct Authorizer<'a> {
    /// The URL of the endpoint.
    endpoint: &'a Url,
    /// Hosts of token endpoints that may have the credentials whatever their domain.
    realms: &'a [String],
    /// As the endpoint stated it last.
    challenge: Option<Challenge>,
    login: Option<Login>,
    /// The configured credentials did not help.
    rejected: bool,
    /// Why the credentials could not be read.
    unreadable: Option<Source>,
    /// What a token must be for: our own idea until the registry names one.
    scope: String,
    /// What the registry found wrong with the token it saw last.
    complaint: Option<Arc<str>>,
    /// What the refused request was sent with.
    shown: Option<HeaderValue>,
    sent: Sent,
    waits_for: Wait,
    /// Things to do once.
    renewed: bool,
    looked_up_again: bool,
    pinged: bool,
    redirected_again: bool,
    notes: Vec<Note>,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send the request with this `Authorization`, then [`on_refusal`](Authorizer::on_refusal).
    Send(Option<HeaderValue>),
    /// Obtain a token, then [`on_token`](Authorizer::on_token).
    FetchToken(TokenRequest),
    /// Look the credentials up, then [`on_login`](Authorizer::on_login). `stale` were not accepted: a credential program
    /// is to be asked again.
    LookUp { stale: Option<Login> },
    /// Ask for the challenge of `GET /v2/`, then [`on_ping`](Authorizer::on_ping).
    Ping,
    /// The refusal stands.
    GiveUp,
    /// The token endpoint refused the anonymous client.
    Denied,
    /// There is no token to be had.
    Failed(Error),
}

/// Which token to obtain.
#[derive(Debug, Clone)]
pub(crate) struct TokenRequest {
    /// `None` for the anonymous client.
    pub(crate) login: Option<Login>,
    pub(crate) realm: Url,
    pub(crate) service: Option<String>,
    pub(crate) scope: String,
}

/// A refused request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedRequest<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The body says that the credentials have expired.
    pub(crate) says_expired: bool,
    /// The endpoint's own host refused, not one it pointed to.
    pub(crate) own: bool,
}

/// What the caller has to remember.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The challenge of the endpoint.
    Challenge(Challenge),
    /// The token that was sent last is no good.
    TokenRefused,
    /// The credentials were not accepted, and from now on it is asked without; with an id they are left alone for a
    /// while.
    Rejected(Option<Digest>),
    /// The credentials could not be read.
    Unreadable,
}

/// How the last request was authorized.
enum Sent {
    Nothing,
    Login,
    /// A token, which may have been there already and so may have ended early.
    Token {
        cached: bool,
    },
}

/// What the next input answers.
enum Wait {
    /// The first look-up.
    Login,
    /// A look-up after the token endpoint refused credentials.
    LoginForToken { cached: bool },
    /// A look-up after the registry refused credentials.
    LoginForRegistry { expired: bool, news: bool },
    /// A token, asked for with credentials or without.
    Token { with_login: bool },
    /// The challenge after a refusal that had none.
    Ping { expired: bool },
    /// The response to the request.
    Response,
}

impl<'a> Authorizer<'a> {
    /// For a request to `endpoint`, which stated `challenge` last. The first step is to look up the credentials.
    pub(crate) fn new(
        endpoint: &'a Url,
        realms: &'a [String],
        repository: &str,
        challenge: Option<Challenge>,
    ) -> (Self, Step) {
        let authorizer = Self {
            endpoint,
            realms,
            challenge,
            login: None,
            rejected: false,
            unreadable: None,
            scope: pull_scope(repository),
            complaint: None,
            shown: None,
            sent: Sent::Nothing,
            waits_for: Wait::Login,
            renewed: false,
            looked_up_again: false,
            pinged: false,
            redirected_again: false,
            notes: Vec::new(),
        };
        (authorizer, Step::LookUp { stale: None })
    }

    /// Which credentials are in use.
    pub(crate) fn credential(&self) -> Option<Digest> {
        self.login.as_ref().map(|login| login.id)
    }

    /// Whether the configured credentials did not help.
    pub(crate) fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// What has to be remembered since this was asked last.
    pub(crate) fn notes(&mut self) -> Vec<Note> {
        mem::take(&mut self.notes)
    }

    /// The credentials that were found. `is_bad`: they were rejected a short while ago.
    pub(crate) fn on_login(&mut self, found: Result<Option<Login>, Source>, is_bad: bool) -> Step {
        let found = found.unwrap_or_else(|error| {
            self.unreadable = Some(error);
            None
        });
        let waits_for = mem::replace(&mut self.waits_for, Wait::Response);
        if matches!(waits_for, Wait::Login) {
            let is_known_bad = found.is_some() && is_bad;
            if self.unreadable.is_some() {
                self.notes.push(Note::Unreadable);
            }
            self.rejected = self.unreadable.is_some() || is_known_bad;
            self.login = found.filter(|_| !is_known_bad);
            return self.authorize();
        }
        let fresh = found.filter(|fresh| Some(fresh.id) != self.credential() && !is_bad);
        if fresh.is_some() {
            self.login = fresh;
            return self.authorize();
        }
        match waits_for {
            Wait::LoginForToken { cached } => self.without_login_for_token(cached),
            Wait::LoginForRegistry { expired, news } => self.same_login(expired, news),
            Wait::Login | Wait::Token { .. } | Wait::Ping { .. } | Wait::Response => Step::GiveUp,
        }
    }

    /// A token, or why there is none. `cached`: it was there already.
    pub(crate) fn on_token(&mut self, result: &Result<HeaderValue, Refusal>, cached: bool) -> Step {
        let waits_for = mem::replace(&mut self.waits_for, Wait::Response);
        let with_login = matches!(waits_for, Wait::Token { with_login: true });
        match result {
            Ok(header) => self.send(Sent::Token { cached }, Some(header.clone())),
            Err(Refusal::Refused) if with_login => {
                if mem::replace(&mut self.looked_up_again, true) {
                    return self.without_login_for_token(cached);
                }
                self.waits_for = Wait::LoginForToken { cached };
                let stale = self.login.clone();
                Step::LookUp { stale }
            }
            Err(Refusal::Refused) => Step::Denied,
            Err(Refusal::Failed(error)) => Step::Failed(error.clone()),
        }
    }

    /// A request was refused: whether another one may help.
    pub(crate) fn on_refusal(&mut self, refused: RefusedRequest<'_>) -> Step {
        if !refused.own {
            // A presigned URL has ended: the registry can give another.
            let is_of_storage = matches!(refused.status.as_u16(), 400 | 401 | 403);
            if is_of_storage && !mem::replace(&mut self.redirected_again, true) {
                return self.authorize();
            }
            return Step::GiveUp;
        }
        if !matches!(
            refused.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            return Step::GiveUp;
        }
        let Challenges { chosen, complaint } = Challenges::read(refused.headers);
        self.complaint = complaint;
        let expired = refused.status == StatusCode::UNAUTHORIZED || refused.says_expired;
        if chosen.is_none() && self.challenge.is_none() && !mem::replace(&mut self.pinged, true) {
            self.waits_for = Wait::Ping { expired };
            return Step::Ping;
        }
        self.after_challenge(chosen, expired)
    }

    /// The challenge of `GET /v2/`, for registries whose objects answer 401 without one.
    pub(crate) fn on_ping(&mut self, challenge: Option<Challenge>) -> Step {
        match mem::replace(&mut self.waits_for, Wait::Response) {
            Wait::Ping { expired } => self.after_challenge(challenge, expired),
            _ => Step::GiveUp,
        }
    }

    /// Why access is denied: `detail` is what the registry said.
    pub(crate) fn denied(
        &self,
        endpoint: &Arc<str>,
        detail: Option<Arc<str>>,
        unauthorized: bool,
    ) -> Error {
        let endpoint = Arc::clone(endpoint);
        if self.rejected {
            let source = self.unreadable.clone();
            return Error::Rejected { endpoint, source };
        }
        let complaint = self.complaint.as_deref();
        let needs_login = unauthorized
            && self.login.is_none()
            && matches!(self.challenge, Some(Challenge::Basic));
        let needs_login = needs_login.then_some(NO_BASIC_AUTH);
        let parts: Vec<&str> = [needs_login, complaint, detail.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let detail = parts.join("; ");
        let shown = self.shown.as_ref();
        let detail = (!detail.is_empty()).then(|| without_echo(detail, shown).into());
        // What a challenge complains of comes before the body's errors.
        let unauthorized = match complaint {
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

    /// What to send, by what is known of the endpoint.
    fn authorize(&mut self) -> Step {
        if let Some(login) = &self.login
            && login.is_static()
            && let Some(header) = login.header.clone()
        {
            return self.send(Sent::Login, Some(header));
        }
        match &self.challenge {
            None => self.send(Sent::Nothing, None),
            Some(Challenge::Basic) => self.basic(),
            Some(Challenge::Bearer { realm, service, .. }) => {
                let may_see = realm::may_have_credentials(realm, self.endpoint, self.realms);
                if !may_see && self.login.is_some() {
                    tracing::debug!(
                        endpoint = self.endpoint.host_str(),
                        realm = realm.host_str(),
                        "token endpoint of another domain gets no credentials"
                    );
                }
                let wanted = TokenRequest {
                    login: self.login.clone().filter(|_| may_see),
                    realm: realm.clone(),
                    service: service.clone(),
                    scope: self.scope.clone(),
                };
                let with_login = wanted.login.is_some();
                self.waits_for = Wait::Token { with_login };
                Step::FetchToken(wanted)
            }
        }
    }

    fn basic(&mut self) -> Step {
        let Some(login) = &self.login else {
            return self.send(Sent::Nothing, None);
        };
        match login.header.clone() {
            Some(header) => self.send(Sent::Login, Some(header)),
            // An identity token is good for token endpoints only.
            None => {
                self.reject(None);
                self.send(Sent::Nothing, None)
            }
        }
    }

    fn send(&mut self, sent: Sent, header: Option<HeaderValue>) -> Step {
        self.sent = sent;
        self.waits_for = Wait::Response;
        self.shown.clone_from(&header);
        Step::Send(header)
    }

    /// From now on without credentials.
    fn reject(&mut self, id: Option<Digest>) {
        self.notes.push(Note::Rejected(id));
        self.login = None;
        self.rejected = true;
    }

    fn without_login_for_token(&mut self, cached: bool) -> Step {
        // A refusal that was kept has been reported before.
        if !cached {
            self.notes.push(Note::Rejected(None));
        }
        self.login = None;
        self.rejected = true;
        self.authorize()
    }

    fn after_challenge(&mut self, challenge: Option<Challenge>, expired: bool) -> Step {
        let news = challenge.is_some_and(|challenge| self.learn(challenge));
        match &self.sent {
            Sent::Nothing => match &self.challenge {
                Some(Challenge::Basic) if self.login.is_none() => Step::GiveUp,
                Some(Challenge::Bearer { .. } | Challenge::Basic) => self.authorize(),
                None => Step::GiveUp,
            },
            &Sent::Token { cached } => {
                self.notes.push(Note::TokenRefused);
                // A new token may be complained of too: not every registry knows of it at once.
                let hope = cached || news || self.complaint.is_some();
                if hope && !mem::replace(&mut self.renewed, true) {
                    return self.authorize();
                }
                Step::GiveUp
            }
            Sent::Login => {
                if self.login.is_none() || mem::replace(&mut self.looked_up_again, true) {
                    return self.same_login(expired, news);
                }
                self.waits_for = Wait::LoginForRegistry { expired, news };
                let stale = self.login.clone().filter(|_| expired);
                Step::LookUp { stale }
            }
        }
    }

    /// Credentials sent as they are were refused, and there are no others: the registry may want a token instead, and
    /// when they are no good, asking without them may do.
    fn same_login(&mut self, expired: bool, news: bool) -> Step {
        let Some(login) = &self.login else {
            return Step::GiveUp;
        };
        let wants_token = matches!(self.challenge, Some(Challenge::Bearer { .. }));
        if news && wants_token && !login.is_static() && !mem::replace(&mut self.renewed, true) {
            return self.authorize();
        }
        if !expired {
            return Step::GiveUp;
        }
        self.reject(self.credential());
        self.authorize()
    }

    /// Takes over a challenge of this endpoint; whether it asks for something else than before.
    fn learn(&mut self, mut learnt: Challenge) -> bool {
        let mut news = false;
        if let Challenge::Bearer { scope, .. } = &mut learnt
            && let Some(scope) = scope.take()
        {
            let scope = token::scopes(&scope);
            news |= self.scope != scope;
            self.scope = scope;
        }
        news |= self.challenge.as_ref() != Some(&learnt);
        self.notes.push(Note::Challenge(learnt.clone()));
        self.challenge = Some(learnt);
        news
    }
}

/// The scope of a token to pull a repository with.
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

/// In the words of docker and containerd.
pub(crate) const NO_BASIC_AUTH: &str = "no basic auth credentials";

#[cfg(test)]
mod tests;

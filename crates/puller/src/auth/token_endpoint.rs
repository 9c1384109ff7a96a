//! Asks token endpoints, by GET or by POST (distribution's token specification and its OAuth 2 form).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE},
};
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::{
    authorizer::TokenRequest,
    login::{CredentialKind, Login},
    realm,
    token::{self, Answer, Grant, Key, Outcome, Refusal, Tokens},
};
use crate::{
    Config, Error, Kind,
    error::{Fault, Reason},
    exchange::Exchange,
    http::{self as transport, Origin, Request, Response},
    wire::retry_after,
};

/// The tokens of one upstream, and how they are asked for.
#[derive(Debug)]
pub(crate) struct Authority {
    tokens: Tokens,
    /// Hosts of token endpoints that may have the credentials whatever their domain.
    pub(crate) realms: Vec<String>,
    by_post: bool,
}

/// One exchange with a token endpoint.
struct Asking<'a> {
    authority: &'a Authority,
    exchange: &'a Exchange,
    /// For whom the token is.
    origin: &'a Origin,
    realm: &'a Url,
    key: &'a Key,
}

/// A form for the token endpoint, by what it proves who we are with.
enum Form<'a> {
    Refresh(&'a str),
    Password(&'a str, &'a str),
}

/// No token, and how long that holds.
type NoToken = (Refusal, Duration);

impl Authority {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            tokens: Tokens::default(),
            realms: config.realms.clone(),
            by_post: config.tokens_by_post,
        }
    }

    /// The token for these credentials and this scope: held, or asked for once however many wait for it.
    pub(crate) async fn token(
        &self,
        exchange: &Exchange,
        origin: &Origin,
        wanted: TokenRequest,
    ) -> Grant {
        let TokenRequest {
            login,
            realm,
            service,
            scope,
        } = wanted;
        let key = Key {
            login: login.as_ref().map(|login| login.id),
            realm: realm.as_str().to_owned(),
            service,
            scope: token::scopes(&scope),
        };
        let asking = Asking {
            authority: self,
            exchange,
            origin,
            realm: &realm,
            key: &key,
        };
        // Boxed: every request has room for it, and few need it.
        let outcome = Box::pin(asking.outcome(login.as_ref()));
        self.tokens.obtain(key.clone(), outcome).await
    }

    /// Drops a token that was not accepted, unless another has replaced it already.
    pub(crate) fn forget(&self, grant: &Grant) {
        self.tokens.forget(grant);
    }
}

impl Asking<'_> {
    async fn outcome(&self, login: Option<&Login>) -> Outcome {
        let start = Instant::now();
        match self.answer(login).await {
            Ok(answer) => Outcome {
                result: Ok(answer.header),
                until: start + answer.life,
            },
            Err((refusal, hold)) => Outcome {
                result: Err(refusal),
                until: Instant::now() + hold,
            },
        }
    }

    async fn answer(&self, login: Option<&Login>) -> Result<Answer, NoToken> {
        if !realm::may_be_asked(self.realm, &self.origin.url) {
            return Err(now(Error::misbehaved(&self.origin.host, Fault::Realm)));
        }
        let Some(login) = login else {
            return self.by_get(None).await;
        };
        let tokens = &self.authority.tokens;
        if let Some(held) = tokens.refresh(self.key) {
            if let Some(answer) = self.by_post(&Form::Refresh(&held)).await? {
                return Ok(answer);
            }
            tokens.forget_refresh(self.key, &held);
        }
        let form = match (login.kind(), &login.username) {
            (CredentialKind::Identity, _) => Some(Form::Refresh(login.secret())),
            (CredentialKind::Password, Some(username)) if self.authority.by_post => {
                Some(Form::Password(username, login.secret()))
            }
            (CredentialKind::Password | CredentialKind::Static, _) => None,
        };
        if let Some(form) = form
            && let Some(answer) = self.by_post(&form).await?
        {
            return Ok(answer);
        }
        match &login.header {
            Some(_) => self.by_get(Some(login)).await,
            None => Err((Refusal::Refused, REFUSED_FOR)),
        }
    }

    /// The form that distribution had first.
    async fn by_get(&self, login: Option<&Login>) -> Result<Answer, NoToken> {
        let request = Request {
            authorization: login.and_then(|login| login.header.clone()),
            ..Request::new(
                Method::GET,
                token_url(self.realm, self.key, login),
                headers(),
            )
        };
        let sent = self.exchange.send(self.origin, Kind::Token, request).await;
        let followed = sent.map_err(|failure| now(failure.error))?;
        let anonymous = login.is_some() && !transport::same_origin(&followed.url, self.realm);
        let with_credentials = login.is_some() && !anonymous;
        let mut answer = self.read(followed.response, with_credentials).await?;
        if anonymous {
            tracing::warn!(
                upstream = %self.exchange.name(), endpoint = %self.origin.host, host = followed.url.host_str(),
                "token endpoint redirects to another host, which gets no credentials"
            );
            // What an anonymous client may do is not kept as what the credentials may do.
            answer.life = Duration::ZERO;
        }
        Ok(answer)
    }

    /// The form of OAuth 2. `None` where it is refused as servers that do not know it do: 404 (GCR), 401 (Artifactory),
    /// 400 (ACR), 405; a refresh token that has ended looks the same.
    async fn by_post(&self, form: &Form<'_>) -> Result<Option<Answer>, NoToken> {
        let mut headers = headers();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let request = Request {
            form: Some(encode(self.key, form).into()),
            ..Request::new(Method::POST, self.realm.clone(), headers)
        };
        let sent = self.exchange.send(self.origin, Kind::Token, request).await;
        let response = sent.map_err(|failure| now(failure.error))?.response;
        if matches!(response.status().as_u16(), 400 | 401 | 404 | 405) {
            transport::drain(response, self.exchange.timeouts().headers).await;
            return Ok(None);
        }
        let answer = self.read(response, true).await?;
        if let Some(refresh) = &answer.refresh {
            let tokens = &self.authority.tokens;
            tokens.keep_refresh(self.key, Arc::clone(refresh));
        }
        Ok(Some(answer))
    }

    async fn read(&self, response: Response, with_credentials: bool) -> Result<Answer, NoToken> {
        let host = &self.origin.host;
        let patience = self.exchange.timeouts().headers;
        match response.status().as_u16() {
            200 => {
                let body = transport::body(response, host, patience, TOKEN_BYTES_MAX)
                    .await
                    .map_err(now)?;
                token::parse_answer(&body).ok_or_else(|| now(Error::misbehaved(host, Fault::Token)))
            }
            // Bad credentials are not tried again for a while: accounts get locked.
            401 if with_credentials => Err((Refusal::Refused, REFUSED_FOR)),
            401 | 403 => Err((Refusal::Refused, Duration::ZERO)),
            429 => {
                let retry_after = retry_after::stated_wait(response.headers(), SystemTime::now());
                let error = Error::Limited {
                    endpoint: Arc::clone(host),
                    retry_after,
                };
                let tokens = &self.authority.tokens;
                let backoff = || tokens.backoff(self.key, Instant::now());
                let wait = retry_after.unwrap_or_else(backoff);
                Err((Refusal::Failed(error), wait))
            }
            status @ (408 | 500..=599) => {
                let reason = Reason::Status(status);
                Err(now(Error::Unreachable {
                    endpoint: Arc::clone(host),
                    reason,
                    source: None,
                }))
            }
            status => Err(now(Error::misbehaved(host, Fault::Status(status)))),
        }
    }
}

/// An error that is not kept.
fn now(error: Error) -> NoToken {
    (Refusal::Failed(error), Duration::ZERO)
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ])
}

/// The fields of distribution's OAuth 2 form.
fn encode(key: &Key, form: &Form<'_>) -> String {
    let mut fields = form_urlencoded::Serializer::new(String::new());
    fields
        .append_pair("client_id", CLIENT_ID)
        .append_pair("scope", &key.scope);
    if let Some(service) = &key.service {
        fields.append_pair("service", service);
    }
    match form {
        Form::Refresh(token) => fields
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token),
        // Offline: with a refresh token, so that the password need not be sent again.
        Form::Password(username, password) => fields
            .append_pair("grant_type", "password")
            .append_pair("access_type", "offline")
            .append_pair("username", username)
            .append_pair("password", password),
    };
    fields.finish()
}

/// Query parameters in the order of their names, one `scope` each; those the realm has already stay in front.
fn token_url(realm: &Url, key: &Key, login: Option<&Login>) -> Url {
    let mut url = realm.clone();
    {
        let mut pairs = url.query_pairs_mut();
        if let Some(username) = login.and_then(|login| login.username.as_ref()) {
            pairs.append_pair("account", username);
        }
        for scope in key.scope.split_ascii_whitespace() {
            pairs.append_pair("scope", scope);
        }
        if let Some(service) = &key.service {
            pairs.append_pair("service", service);
        }
    }
    url
}

const CLIENT_ID: &str = "longshore";
const TOKEN_BYTES_MAX: u64 = 1 << 20;
const REFUSED_FOR: Duration = Duration::from_secs(60);

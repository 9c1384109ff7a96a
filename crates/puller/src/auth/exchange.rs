//! Asks a token endpoint, by GET or by POST (distribution's token specification and its OAuth 2 form).

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

use crate::{
    Error, Kind,
    auth::{
        credentials::{Login, Means},
        realm,
        token::{self, Answer, Grant, Key, Outcome, Refusal},
    },
    endpoint::Contact,
    error::{Fault, Reason},
    http::{self as transport, Request, Response},
    upstream::Inner,
    wire::retry_after,
};

/// A form for the token endpoint, by what it proves who we are with.
enum Form<'a> {
    Refresh(&'a str),
    Password(&'a str, &'a str),
}

/// No token, and how long that holds.
type NoToken = (Refusal, Duration);

impl Inner {
    /// The token for these credentials and this scope: held, or asked for once however many wait for it.
    pub(crate) async fn token(
        &self,
        contact: &Contact,
        login: Option<&Login>,
        realm: &Url,
        service: Option<String>,
        scope: String,
    ) -> Grant {
        let key = Key {
            login: login.map(|l| l.id),
            realm: realm.as_str().to_owned(),
            service,
            scope: token::scopes(&scope),
        };
        // Boxed: every request has room for it, and few need it.
        let exchange = Box::pin(self.ask_for_token(contact, login, realm, &key));
        self.tokens.obtain(key.clone(), exchange).await
    }

    /// Whether the token endpoint may see the credentials for this endpoint.
    pub(crate) fn trusts(&self, contact: &Contact, realm: &Url) -> bool {
        let trusted = realm::may_have_credentials(realm, contact.url(), &self.realms);
        if !trusted {
            tracing::debug!(
                upstream = %self.name, endpoint = %contact.host(), realm = realm.host_str(),
                "token endpoint of another domain gets no credentials"
            );
        }
        trusted
    }

    async fn ask_for_token(
        &self,
        contact: &Contact,
        login: Option<&Login>,
        realm: &Url,
        key: &Key,
    ) -> Outcome {
        let start = Instant::now();
        match self.exchange_token(contact, login, realm, key).await {
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

    async fn exchange_token(
        &self,
        contact: &Contact,
        login: Option<&Login>,
        realm: &Url,
        key: &Key,
    ) -> Result<Answer, NoToken> {
        if !realm::may_be_asked(realm, contact.url()) {
            return Err(now(Error::misbehaved(contact.host(), Fault::Realm)));
        }
        let Some(login) = login else {
            return self.token_by_get(contact, realm, key, None).await;
        };
        if let Some(held) = self.tokens.refresh(key) {
            let form = Form::Refresh(&held);
            if let Some(answer) = self.token_by_post(contact, realm, key, &form).await? {
                return Ok(answer);
            }
            self.tokens.forget_refresh(key, &held);
        }
        let form = match (login.means(), &login.username) {
            (Means::Identity, _) => Some(Form::Refresh(login.secret())),
            (Means::Password, Some(username)) if self.tokens_by_post => {
                Some(Form::Password(username, login.secret()))
            }
            (Means::Password | Means::Static, _) => None,
        };
        if let Some(form) = form
            && let Some(answer) = self.token_by_post(contact, realm, key, &form).await?
        {
            return Ok(answer);
        }
        match &login.header {
            Some(_) => self.token_by_get(contact, realm, key, Some(login)).await,
            None => Err((Refusal::Refused, REFUSED_FOR)),
        }
    }

    /// The form that distribution had first.
    async fn token_by_get(
        &self,
        contact: &Contact,
        realm: &Url,
        key: &Key,
        login: Option<&Login>,
    ) -> Result<Answer, NoToken> {
        let request = Request {
            authorization: login.and_then(|login| login.header.clone()),
            ..Request::new(Method::GET, token_url(realm, key, login), headers())
        };
        let followed = self
            .exchange(contact, Kind::Token, request)
            .await
            .map_err(|f| now(f.error))?;
        let anonymous = login.is_some() && !transport::same_origin(&followed.url, realm);
        let read = self.read_token(
            contact,
            followed.response,
            key,
            login.is_some() && !anonymous,
        );
        let mut answer = read.await?;
        if anonymous {
            tracing::warn!(
                upstream = %self.name, endpoint = %contact.host(), host = followed.url.host_str(),
                "token endpoint redirects to another host, which gets no credentials"
            );
            // What an anonymous client may do is not kept as what the credentials may do.
            answer.life = Duration::ZERO;
        }
        Ok(answer)
    }

    /// The form of OAuth 2. `None` where it is refused as servers that do not know it do: 404 (GCR), 401 (Artifactory),
    /// 400 (ACR), 405; a refresh token that has ended looks the same.
    async fn token_by_post(
        &self,
        contact: &Contact,
        realm: &Url,
        key: &Key,
        form: &Form<'_>,
    ) -> Result<Option<Answer>, NoToken> {
        let mut headers = headers();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let request = Request {
            form: Some(encode(key, form).into()),
            ..Request::new(Method::POST, realm.clone(), headers)
        };
        let followed = self.exchange(contact, Kind::Token, request).await;
        let response = followed.map_err(|f| now(f.error))?.response;
        if matches!(response.status().as_u16(), 400 | 401 | 404 | 405) {
            transport::drain(response, self.transport.timeouts.headers).await;
            return Ok(None);
        }
        let answer = self.read_token(contact, response, key, true).await?;
        if let Some(refresh) = &answer.refresh {
            self.tokens.keep_refresh(key, Arc::clone(refresh));
        }
        Ok(Some(answer))
    }

    async fn read_token(
        &self,
        contact: &Contact,
        response: Response,
        key: &Key,
        with_credentials: bool,
    ) -> Result<Answer, NoToken> {
        let host = contact.host();
        let patience = self.transport.timeouts.headers;
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
                let wait = retry_after.unwrap_or_else(|| self.tokens.backoff(key, Instant::now()));
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

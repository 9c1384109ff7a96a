//! Asks a token endpoint (distribution's token specification, the GET form).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, ACCEPT_ENCODING},
};
use tokio::time::Instant;
use url::Url;

use crate::{
    Error, Kind,
    auth::{
        credentials::Login,
        realm,
        token::{self, Grant, Key, Outcome, Refusal},
    },
    endpoint::Contact,
    error::{Fault, Reason},
    limit,
    transport::{self, Request},
    upstream::Inner,
};

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
            scope,
        };
        let url = token_url(realm, &key, login);
        self.tokens
            .obtain(key, self.ask_for_token(contact, login, url))
            .await
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

    async fn ask_for_token(&self, contact: &Contact, login: Option<&Login>, url: Url) -> Outcome {
        let start = Instant::now();
        match self.exchange_token(contact, login, url).await {
            Ok((header, life)) => Outcome {
                result: Ok(header),
                until: start + life,
            },
            Err((refusal, hold)) => Outcome {
                result: Err(refusal),
                until: Instant::now() + hold,
            },
        }
    }

    /// The token and its life, or why there is none and how long that holds.
    async fn exchange_token(
        &self,
        contact: &Contact,
        login: Option<&Login>,
        url: Url,
    ) -> Result<(HeaderValue, Duration), (Refusal, Duration)> {
        let host = contact.host();
        let now = |error: Error| (Refusal::Failed(error), Duration::ZERO);
        if contact.url().scheme() == "https" && url.scheme() != "https" {
            return Err(now(Error::misbehaved(host, Fault::Realm)));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let authorization = login.map(|login| login.header.clone());
        let request = Request {
            method: Method::GET,
            url,
            headers,
            authorization,
        };
        let followed = self
            .exchange(contact, Kind::Token, request)
            .await
            .map_err(|f| now(f.error))?;
        let response = followed.response;
        match response.status().as_u16() {
            200 => {
                let body = transport::body(
                    response,
                    host,
                    self.transport.timeouts.headers,
                    TOKEN_BYTES_MAX,
                );
                let body = body.await.map_err(now)?;
                token::parse_answer(&body).ok_or_else(|| now(Error::misbehaved(host, Fault::Token)))
            }
            // Bad credentials are not tried again for a while: accounts get locked.
            401 if login.is_some() => Err((Refusal::Refused, REFUSED_FOR)),
            401 | 403 => Err((Refusal::Refused, Duration::ZERO)),
            429 => {
                let retry_after = limit::retry_after(response.headers(), SystemTime::now());
                let error = Error::Limited {
                    endpoint: Arc::clone(host),
                    retry_after,
                };
                Err((Refusal::Failed(error), retry_after.unwrap_or(REFUSED_FOR)))
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

const TOKEN_BYTES_MAX: u64 = 1 << 20;
const REFUSED_FOR: Duration = Duration::from_secs(60);

//! One request without its redirects: a pooled connection, a new one, or both.

use std::{fmt, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{HOST, PROXY_AUTHORIZATION, USER_AGENT},
};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{
    body::Response,
    certificates,
    dial::{Access, DialError, Dialer},
    pool::{Connection, Key, Lease, Pool},
};
use crate::{Config, Error, Insecure, Timeouts};

/// The HTTP client of one upstream.
pub(crate) struct Client {
    dialer: Arc<Dialer>,
    pool: Arc<Pool>,
    /// Goes with every request to an endpoint itself.
    pub(super) meta: HeaderMap,
    pub(crate) timeouts: Timeouts,
}

/// One request to one URL.
#[derive(Debug, Clone)]
pub(super) struct Message<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: HeaderMap,
    /// A form.
    pub(super) body: Option<&'a Bytes>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("connection lost")]
    Lost(#[source] hyper::Error),
    #[error("not a url that can be sent")]
    Url,
}

type Answer = (http::Response<Incoming>, Connection);

impl Client {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            dialer: Arc::new(Dialer::new(config)?),
            pool: Arc::default(),
            meta: meta(config)?,
            timeouts: config.timeouts,
        })
    }

    /// Whether an endpoint without a scheme may be asked in plain now.
    pub(crate) async fn is_insecure(&self, url: &Url, rule: &Insecure) -> bool {
        self.dialer.is_insecure(url, rule).await
    }

    /// Sends a message and returns once its response's headers are there.
    ///
    /// An idle connection may be dead without anyone knowing. A message that may be repeated is sent on one, and if it is
    /// lost or stays silent for a while, on a new one too: once, and the first response wins. What may not be repeated
    /// goes on a new connection at once.
    pub(super) async fn send(
        &self,
        message: &Message<'_>,
        access: &Access,
    ) -> Result<Response, SendError> {
        let key = Key::new(message.url, access);
        let repeatable = message.body.is_none();
        let idle = repeatable
            .then(|| self.pool.take(&key, Instant::now()))
            .flatten();
        let (response, connection) = match idle {
            Some(idle) => self.send_hedged(message, access, &key, idle).await?,
            None => self.send_new(message, access, &key).await?,
        };
        let pool = Arc::clone(&self.pool);
        Ok(Response::new(
            response,
            Lease {
                connection,
                pool,
                key,
            },
        ))
    }

    async fn send_hedged(
        &self,
        message: &Message<'_>,
        access: &Access,
        key: &Key,
        idle: Connection,
    ) -> Result<Answer, SendError> {
        idle.reused.set();
        let patience = self.pool.patience(key);
        let mut first = pin!(self.exchange(message, key, idle));
        tokio::select! {
            answer = &mut first => match answer {
                Ok(answer) => return Ok(answer),
                Err(SendError::Lost(error)) => {
                    tracing::debug!(host = message.url.host_str(), %error, "idle connection lost");
                    self.pool.lost(key);
                    return self.send_new(message, access, key).await;
                }
                Err(error) => return Err(error),
            },
            () = sleep(patience) => {}
        }
        tracing::debug!(host = message.url.host_str(), "idle connection is silent");
        let mut second = pin!(self.send_new(message, access, key));
        tokio::select! {
            answer = &mut first => match answer {
                Ok(answer) => Ok(answer),
                Err(_) => {
                    self.pool.lost(key);
                    second.await
                }
            },
            answer = &mut second => match answer {
                Ok(answer) => {
                    self.pool.lost(key);
                    Ok(answer)
                }
                // The host takes no new connections; the old one may still answer.
                Err(_) => first.await,
            },
        }
    }

    async fn send_new(
        &self,
        message: &Message<'_>,
        access: &Access,
        key: &Key,
    ) -> Result<Answer, SendError> {
        let dialed = self.dialer.dial(message.url, access).await?;
        let reused = dialed.io.reused();
        let (mut sender, connection) = http1::handshake(TokioIo::new(dialed.io))
            .await
            .map_err(SendError::Lost)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection closed");
            }
        });
        sender.ready().await.map_err(SendError::Lost)?;
        let connection = Connection {
            sender,
            reused,
            proxy: dialed.proxy,
        };
        self.exchange(message, key, connection).await
    }

    async fn exchange(
        &self,
        message: &Message<'_>,
        key: &Key,
        mut connection: Connection,
    ) -> Result<Answer, SendError> {
        let request = request(message, connection.proxy.as_ref())?;
        let sent = Instant::now();
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(SendError::Lost)?;
        self.pool.answered(key, sent.elapsed());
        Ok((response, connection))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// The message as it is written: with the whole URL if it goes to a proxy.
fn request(
    message: &Message<'_>,
    proxy: Option<&Option<HeaderValue>>,
) -> Result<http::Request<Full<Bytes>>, SendError> {
    let url = message.url;
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let host = certificates::host(url);
    if proxy.is_some() {
        target = format!("{}://{host}{target}", url.scheme());
    }
    let mut request = http::Request::new(Full::new(message.body.cloned().unwrap_or_default()));
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = Uri::try_from(target).map_err(|_| SendError::Url)?;
    *request.headers_mut() = message.headers.clone();
    let headers = request.headers_mut();
    let host = HeaderValue::try_from(host).map_err(|_| SendError::Url)?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(Some(authorization)) = proxy {
        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}

/// The headers the caller gave, if their names are right.
fn meta(config: &Config) -> Result<HeaderMap, Error> {
    let is_meta = |name: &HeaderName| name.as_str().starts_with("x-meta-");
    match config.meta_headers.keys().all(is_meta) {
        true => Ok(config.meta_headers.clone()),
        false => Err(Error::config("meta_headers", "a name without X-Meta-")),
    }
}

const AGENT: &str = concat!("longshore/", env!("CARGO_PKG_VERSION"));

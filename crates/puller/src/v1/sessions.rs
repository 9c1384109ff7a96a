//! The sessions that are held with the indexes of v1 registries, and what indexes say of themselves.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::{
    ask::{Get, Index},
    ping::Ping,
    session::{self, BasicLogin, Session},
};
use crate::{
    Error, Event, Kind,
    answers::LIST_BYTES_MAX,
    auth::login::{CredentialKind, Login},
    error::Fault,
    http::Failure,
    lookup,
    single_flight::{Shared, SingleFlight},
};

/// The sessions of an upstream, each for a few minutes, each opened once however many want it.
pub(crate) struct Sessions {
    sessions: SingleFlight<Key, Kept<Arc<Session>>>,
    pings: SingleFlight<usize, Kept<Ping>>,
}

/// Index of the endpoint, and the repository.
type Key = (usize, Box<str>);

/// What came of asking, and until when it holds. A failure is for those alone who waited for it.
#[derive(Clone)]
struct Kept<T> {
    result: Result<T, Failure>,
    until: Instant,
}

/// A session in the hand.
pub(crate) struct Obtained {
    pub(crate) session: Arc<Session>,
    /// It was held already.
    pub(crate) held: bool,
    key: Key,
    shared: Shared<Kept<Arc<Session>>>,
}

/// How we introduce ourselves to an index. Protocol v1 knows Basic alone.
enum Way {
    /// No credentials are configured.
    Anonymous,
    Password(Box<Login>, HeaderValue),
    /// Credentials that cannot be read, or that are no password.
    NoUse,
}

impl Sessions {
    /// The session for a repository with the index at `position`.
    pub(crate) async fn obtain(
        &self,
        index: Index<'_>,
        position: usize,
        repository: &str,
    ) -> Result<Obtained, Failure> {
        let open = self.open(index, position, repository);
        self.obtain_by(position, repository, open).await
    }

    async fn obtain_by(
        &self,
        position: usize,
        repository: &str,
        open: impl Future<Output = Result<Session, Failure>>,
    ) -> Result<Obtained, Failure> {
        let key = (position, repository.into());
        let now = Instant::now();
        let open = |_| async { Kept::new(open.await.map(Arc::new), KEPT_FOR) };
        let holds = |kept: &Kept<_>| now < kept.until;
        let shared = self.sessions.obtain(&key, holds, open).await;
        Ok(Obtained {
            session: shared.value.result.clone()?,
            held: shared.held,
            key,
            shared,
        })
    }

    /// Forgets this very session: another one may have taken its place.
    pub(crate) fn forget(&self, obtained: &Obtained) {
        self.sessions.forget(&obtained.key, &obtained.shared);
    }

    /// Asks the index where the repository is, and for a token. A password that it does not accept is our own failure:
    /// it is looked up once more, then it is asked without, and the password left alone for a while, as some registries
    /// lock an account that keeps trying.
    async fn open(
        &self,
        index: Index<'_>,
        position: usize,
        repository: &str,
    ) -> Result<Session, Failure> {
        let ping = self.ping(index, position).await?;
        let mut stale: Option<Box<Login>> = None;
        let no_use = loop {
            let (login, header) = match index.login(repository, stale.as_deref()).await {
                Way::Password(login, header) => (login, header),
                Way::Anonymous => break stale.is_some(),
                Way::NoUse => break true,
            };
            if stale.as_ref().is_some_and(|stale| stale.id == login.id) {
                break true;
            }
            if !index.endpoint.has_rejected(&login.id) {
                let basic = BasicLogin {
                    header,
                    always: ping.standalone,
                    id: login.id,
                };
                match index.open(repository, Some(basic)).await {
                    Err(Failure {
                        error: Error::Rejected { .. },
                        ..
                    }) => {
                        index.endpoint.reject(login.id);
                        index.requests.report_rejected(index.endpoint);
                    }
                    opened => return opened,
                }
            }
            if stale.replace(login).is_some() {
                break true;
            }
        };
        let opened = index.open(repository, None).await;
        match no_use {
            true => opened.map(Session::without_use).map_err(session::rejected),
            false => opened,
        }
    }

    /// What the index says of itself.
    async fn ping(&self, index: Index<'_>, position: usize) -> Result<Ping, Failure> {
        if lookup::is_docker_index(index.endpoint.url()) {
            return Ok(Ping::DOCKER);
        }
        let now = Instant::now();
        let holds = |kept: &Kept<_>| now < kept.until;
        let shared = self.pings.obtain(&position, holds, |_| index.ping());
        shared.await.value.result
    }
}

impl Index<'_> {
    async fn open(&self, repository: &str, login: Option<BasicLogin>) -> Result<Session, Failure> {
        let (endpoint, own) = (self.endpoint, |error| Failure { error, own: true });
        let mut session = Session::new(endpoint.url(), login);
        let path = format!("repositories/{repository}/images");
        let mut get = Get::new(endpoint.url(), &path, Kind::Token);
        get.wants_token = true;
        let document = self.document_once(&session, &get, LIST_BYTES_MAX);
        let (headers, body) = document.await?;
        // What it lists is of no use: the checksums in it were never right. But a list it is.
        if body.trim_ascii_start().first() != Some(&b'[') {
            return Err(own(Error::misbehaved(endpoint.host(), Fault::Json)));
        }
        endpoint.see_v1();
        let named = session.take_endpoints(&headers);
        let fault = Fault::Header(session::ENDPOINTS);
        named.ok_or_else(|| own(Error::misbehaved(endpoint.host(), fault)))?;
        Ok(session)
    }

    async fn ping(&self) -> Kept<Ping> {
        let get = Get::new(self.endpoint.url(), "_ping", Kind::Ping);
        let (status, headers, body) = match self.any(&get).await {
            Ok(answer) => answer,
            Err(failure) => return Kept::new(Err(failure), Duration::ZERO),
        };
        let ping = Ping::parse(status, &headers, &body);
        // In trouble it says nothing about itself.
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Kept::new(Ok(ping), Duration::ZERO);
        }
        if ping.speaks {
            self.endpoint.see_v1();
        }
        Kept::new(Ok(ping), KEPT_FOR)
    }

    async fn login(&self, repository: &str, stale: Option<&Login>) -> Way {
        let Self { requests, endpoint } = *self;
        let Some(credentials) = &endpoint.credentials else {
            return Way::Anonymous;
        };
        let (upstream, host) = (requests.exchange.name(), endpoint.host());
        let key = requests.lookup_key(endpoint, repository);
        match credentials.login(key, stale).await {
            Ok(None) => return Way::Anonymous,
            Ok(Some(login)) => {
                if let Some(header) = login.header.clone()
                    && login.kind() == CredentialKind::Password
                {
                    return Way::Password(Box::new(login), header);
                }
                tracing::warn!(upstream, endpoint = %host, "no password among the credentials, asking anonymously");
            }
            Err(error) => {
                tracing::warn!(upstream, endpoint = %host, %error, "credentials unreadable, asking anonymously");
            }
        }
        requests.exchange.observe(Event::CredentialsRejected);
        Way::NoUse
    }
}

impl<T> Kept<T> {
    fn new(result: Result<T, Failure>, life: Duration) -> Self {
        let life = result.as_ref().map_or(Duration::ZERO, |_| life);
        Self {
            result,
            until: Instant::now() + life,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            sessions: SingleFlight::new(SESSIONS_MAX),
            pings: SingleFlight::new(SESSIONS_MAX),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.sessions.len())
            .finish()
    }
}

const SESSIONS_MAX: usize = 256;
const KEPT_FOR: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sessions_are_kept_for_minutes() {
        let index = url::Url::parse("https://i.example/v1/").unwrap();
        let sessions = Sessions::default();
        let open = || async { Ok(Session::new(&index, None)) };
        let obtain = async |position, repository| {
            let obtained = sessions.obtain_by(position, repository, open()).await;
            obtained.unwrap()
        };
        let first = obtain(0, "a").await;
        assert!(!first.held);
        assert!(obtain(0, "a").await.held);
        assert!(!obtain(1, "a").await.held);
        assert!(!obtain(0, "b").await.held);
        tokio::time::advance(KEPT_FOR).await;
        let second = obtain(0, "a").await;
        assert!(!second.held);
        // Who forgets the one before is late.
        sessions.forget(&first);
        assert!(obtain(0, "a").await.held);
        sessions.forget(&second);
        assert!(!obtain(0, "a").await.held);
        for n in 0..SESSIONS_MAX * 2 {
            obtain(n, "c").await;
            assert!(sessions.sessions.len() <= SESSIONS_MAX);
        }
        assert!(obtain(SESSIONS_MAX * 2 - 1, "c").await.held);
    }

    /// Who asks at once shares one answer, a failure too; the next one asks anew.
    #[tokio::test]
    async fn a_session_is_opened_once() {
        let sessions = Sessions::default();
        let opened = std::cell::Cell::new(0);
        let fails = || async {
            opened.set(opened.get() + 1);
            tokio::task::yield_now().await;
            let error = Error::config("endpoints", "none");
            Err(Failure { error, own: true })
        };
        let both = tokio::join!(
            sessions.obtain_by(0, "a", fails()),
            sessions.obtain_by(0, "a", fails())
        );
        assert!(both.0.is_err() && both.1.is_err());
        assert_eq!(opened.get(), 1);
        assert!(sessions.obtain_by(0, "a", fails()).await.is_err());
        assert_eq!(opened.get(), 2);
    }
}

//! An endpoint in use: what we learnt of it, and in which order endpoints are asked.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore_reference::Digest;
use tokio::time::Instant;
use url::Url;

use crate::{
    Credentials, Insecure, PrivateAddresses,
    auth::challenge::Challenge,
    classify::Role,
    health::Health,
    http::{Access, Client, Origin, Trust},
    limit::Limits,
    lookup::Version,
    v1::ping::Ping,
};

/// An endpoint with what we learnt of it.
#[derive(Debug)]
pub(crate) struct Contact {
    origin: Origin,
    pub(crate) version: Version,
    /// What it was made of was given without a scheme.
    bare: Option<Arc<Bare>>,
    pub(crate) role: Role,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) health: Health,
    pub(crate) limits: Limits,
    /// It was seen to be a v2 registry.
    v2: AtomicBool,
    challenge: Mutex<Option<Challenge>>,
    rejected: Mutex<Option<(Digest, Instant)>>,
    /// Of a v1 endpoint.
    ping: Mutex<Option<(Ping, Instant)>>,
    /// Of a v1 endpoint: it was seen to speak v1 once; an outage later does not change that.
    spoke: AtomicBool,
    /// Of a v1 endpoint: it does not speak v1, until then nobody asks whether it does.
    silent: Mutex<Option<Instant>>,
}

/// What the endpoints of one host share that was given without a scheme.
#[derive(Debug)]
pub(crate) struct Bare {
    url: Url,
    rule: Arc<Insecure>,
    insecure: Mutex<Option<(bool, Instant)>>,
    /// Until when it counts that TLS was answered.
    tls: Mutex<Option<Instant>>,
}

impl Contact {
    pub(crate) fn new(
        url: Url,
        version: Version,
        bare: Option<Arc<Bare>>,
        role: Role,
        credentials: Option<Credentials>,
        private: &PrivateAddresses,
    ) -> Self {
        let name = url.host_str().unwrap_or_default();
        let host = url
            .port()
            .map_or_else(|| name.into(), |port| format!("{name}:{port}").into());
        let rule = bare.as_ref().map(|bare| Arc::clone(&bare.rule));
        let reachable = PrivateAddresses::implied_by(&url).and(private);
        let trust = Trust {
            endpoint: Access::Endpoint(rule),
            pointed: Access::Pointed(Arc::new(reachable)),
        };
        Self {
            origin: Origin { url, host, trust },
            version,
            bare,
            role,
            credentials,
            health: Health::default(),
            limits: Limits::default(),
            v2: AtomicBool::new(false),
            challenge: Mutex::default(),
            rejected: Mutex::default(),
            ping: Mutex::default(),
            spoke: AtomicBool::new(false),
            silent: Mutex::default(),
        }
    }

    /// Host and, unless it is the scheme's own, port: how logs, metrics and errors call it.
    pub(crate) fn host(&self) -> &Arc<str> {
        &self.origin.host
    }

    /// Whom requests are made for.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `GET /v2/`, or what ends in `/v1/`.
    pub(crate) fn url(&self) -> &Url {
        &self.origin.url
    }

    pub(crate) fn is_own(&self, url: &Url) -> bool {
        self.origin.is_own(url)
    }

    /// The name a repository has there: what follows `v2/` in the base URL comes first.
    pub(crate) fn repository(&self, path: &str) -> String {
        let base = self.url().path();
        let prefix = base
            .rfind("/v2/")
            .and_then(|at| base.get(at + 4..))
            .unwrap_or_default();
        format!("{prefix}{path}")
    }

    /// Whether it may be asked at all: a plain one only if its host is insecure and does not answer over TLS.
    pub(crate) async fn is_eligible(&self, client: &Client) -> bool {
        match &self.bare {
            Some(bare) if self.url().scheme() == "http" => {
                !bare.answers_tls() && bare.is_insecure(client).await
            }
            _ => true,
        }
    }

    /// It answered something.
    pub(crate) fn answered(&self) {
        if let Some(bare) = self
            .bare
            .as_ref()
            .filter(|_| self.url().scheme() == "https")
        {
            set(&bare.tls, Some(Instant::now() + KEPT_FOR));
        }
    }

    /// It is a v2 registry.
    pub(crate) fn confirm_v2(&self) {
        self.v2.store(true, Ordering::Relaxed);
    }

    /// Whether it was seen to be a v2 registry.
    pub(crate) fn is_v2(&self) -> bool {
        self.v2.load(Ordering::Relaxed)
    }

    /// What a v1 endpoint answered to a ping a short while ago.
    pub(crate) fn pinged(&self) -> Option<Ping> {
        fresh(&self.ping)
    }

    pub(crate) fn see_ping(&self, ping: Ping) {
        set(&self.ping, Some((ping, Instant::now() + KEPT_FOR)));
        if ping.speaks {
            self.see_v1();
        }
    }

    /// It answered as a v1 registry does.
    pub(crate) fn see_v1(&self) {
        self.spoke.store(true, Ordering::Relaxed);
        set(&self.silent, None);
    }

    /// Whether it was seen to speak v1.
    pub(crate) fn speaks_v1(&self) -> bool {
        self.spoke.load(Ordering::Relaxed)
    }

    /// It does not speak v1: nobody need ask for a while.
    pub(crate) fn silence(&self) {
        set(&self.silent, Some(Instant::now() + KEPT_FOR));
    }

    pub(crate) fn is_silent(&self) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.is_some_and(|until| Instant::now() < until)
    }

    /// The challenge it answered last.
    pub(crate) fn challenge(&self) -> Option<Challenge> {
        self.challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn remember(&self, challenge: &Challenge) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
    }

    /// Whether these credentials were rejected a short while ago: some registries lock an account that keeps trying.
    pub(crate) fn has_rejected(&self, login: &Digest, now: Instant) -> bool {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        rejected
            .as_ref()
            .is_some_and(|(id, until)| id == login && now < *until)
    }

    pub(crate) fn reject(&self, login: Digest, now: Instant) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((login, now + REJECTED_FOR));
    }
}

impl Bare {
    pub(crate) fn new(url: Url, rule: Arc<Insecure>) -> Self {
        Self {
            url,
            rule,
            insecure: Mutex::default(),
            tls: Mutex::default(),
        }
    }

    /// As it was a short while ago. This decides whether to ask at all; a connection is judged by its own address.
    async fn is_insecure(&self, client: &Client) -> bool {
        if let Some(insecure) = fresh(&self.insecure) {
            return insecure;
        }
        let insecure = client.is_insecure(&self.url, &self.rule).await;
        set(
            &self.insecure,
            Some((insecure, Instant::now() + INSECURE_FOR)),
        );
        insecure
    }

    fn answers_tls(&self) -> bool {
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        tls.is_some_and(|until| Instant::now() < until)
    }
}

fn fresh<T: Copy>(kept: &Mutex<Option<(T, Instant)>>) -> Option<T> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.filter(|(_, until)| Instant::now() < *until)
        .map(|(value, _)| value)
}

fn set<T>(kept: &Mutex<T>, value: T) {
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

/// Endpoints that served wrong bytes for a digest: asked last for it for a while.
#[derive(Debug, Default)]
pub(crate) struct Distrust {
    until: Mutex<HashMap<(usize, Digest), Instant>>,
}

impl Distrust {
    pub(crate) fn add(&self, contact: usize, digest: Digest, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= DISTRUSTED_MAX {
            until.retain(|_, until| now < *until);
        }
        if until.len() >= DISTRUSTED_MAX {
            until.clear();
        }
        until.insert((contact, digest), now + DISTRUSTED_FOR);
    }

    /// The order in which these endpoints are asked for `digest`.
    pub(crate) fn order(
        &self,
        mut order: Vec<usize>,
        digest: Option<&Digest>,
        now: Instant,
    ) -> Vec<usize> {
        if let Some(digest) = digest {
            let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
            order.sort_by_key(|&index| {
                until
                    .get(&(index, *digest))
                    .is_some_and(|until| now < *until)
            });
        }
        order
    }
}

const REJECTED_FOR: Duration = Duration::from_secs(60);
/// How long is kept what was learnt of the versions and schemes a host speaks.
const KEPT_FOR: Duration = Duration::from_secs(300);
const INSECURE_FOR: Duration = Duration::from_secs(60);
const DISTRUSTED_FOR: Duration = Duration::from_secs(300);
const DISTRUSTED_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Endpoint, lookup};

    fn contacts(host: &str, rule: Insecure) -> Vec<Contact> {
        let url = lookup::host(host).unwrap().join("/v2/").unwrap();
        let bare = Arc::new(Bare::new(url.clone(), Arc::new(rule)));
        let urls = lookup::urls(&url, true).into_iter();
        urls.map(|(url, version)| {
            let (bare, none) = (Some(Arc::clone(&bare)), PrivateAddresses::default());
            Contact::new(url, version, bare, Role::Origin, None, &none)
        })
        .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn which_endpoints_of_a_bare_host_are_asked() {
        let named = Insecure::parse(["192.0.2.1:5000"]).unwrap();
        for (host, rule, insecure) in [
            ("127.0.0.1:5000", Insecure::default(), true),
            ("localhost", Insecure::default(), true),
            ("[::ffff:127.0.0.1]", Insecure::default(), true),
            ("192.0.2.1:5000", Insecure::default(), false),
            ("192.0.2.1:5000", named.clone(), true),
            ("192.0.2.1", named, false),
        ] {
            let contacts = contacts(host, rule);
            let config = Config::new("r.test", vec![Endpoint::of_host(host).unwrap()]);
            let client = Client::new(&config).unwrap();
            for contact in &contacts {
                let plain = contact.url().scheme() == "http";
                assert_eq!(
                    contact.is_eligible(&client).await,
                    !plain || insecure,
                    "{host}"
                );
            }
            // A plain answer changes nothing, one over TLS does, for a while.
            contacts[1].answered();
            assert_eq!(contacts[3].is_eligible(&client).await, insecure);
            contacts[0].answered();
            assert!(
                !contacts[1].is_eligible(&client).await && !contacts[3].is_eligible(&client).await
            );
            assert!(
                contacts[0].is_eligible(&client).await && contacts[2].is_eligible(&client).await
            );
            tokio::time::advance(KEPT_FOR).await;
            assert_eq!(contacts[1].is_eligible(&client).await, insecure);
        }
    }
}

//! An endpoint in use, and what was learnt of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore_reference::Digest;
use url::Url;

use crate::{
    Credentials, Insecure, PrivateAddresses,
    auth::challenge::Challenge,
    classify::Role,
    health::Health,
    http::{Access, Client, Origin, Trust},
    limit::Limits,
    lookup::Version,
    remembered::Remembered,
    sync::lock,
};

/// One URL of an upstream in one version of the protocol, with what was learnt of it.
#[derive(Debug)]
pub(crate) struct EndpointState {
    origin: Origin,
    pub(crate) version: Version,
    /// The host that was given without a scheme, if this was made of one.
    schemeless: Option<Arc<Schemeless>>,
    pub(crate) role: Role,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) health: Health,
    pub(crate) limits: Limits,
    /// It was seen to be a v2 registry.
    is_v2: AtomicBool,
    challenge: Mutex<Option<Challenge>>,
    rejected: Remembered<Digest>,
    /// Of a v1 endpoint: it was seen to speak v1 once; an outage later does not change that.
    speaks_v1: AtomicBool,
    /// Of a v1 endpoint: it does not speak v1, nobody need ask whether it does.
    is_silent: Remembered<()>,
}

/// What the endpoints of one host share that was given without a scheme.
#[derive(Debug)]
pub(crate) struct Schemeless {
    url: Url,
    rule: Arc<Insecure>,
    is_insecure: Remembered<bool>,
    /// TLS was answered.
    answers_tls: Remembered<()>,
}

impl EndpointState {
    pub(crate) fn new(
        url: Url,
        version: Version,
        schemeless: Option<Arc<Schemeless>>,
        role: Role,
        credentials: Option<Credentials>,
        private: &PrivateAddresses,
    ) -> Self {
        let name = url.host_str().unwrap_or_default();
        let host = url
            .port()
            .map_or_else(|| name.into(), |port| format!("{name}:{port}").into());
        let rule = schemeless.as_ref().map(|host| Arc::clone(&host.rule));
        let reachable = PrivateAddresses::implied_by(&url).and(private);
        let trust = Trust {
            endpoint: Access::Endpoint(rule),
            pointed: Access::Pointed(Arc::new(reachable)),
        };
        Self {
            origin: Origin { url, host, trust },
            version,
            schemeless,
            role,
            credentials,
            health: Health::default(),
            limits: Limits::default(),
            is_v2: AtomicBool::new(false),
            challenge: Mutex::default(),
            rejected: Remembered::default(),
            speaks_v1: AtomicBool::new(false),
            is_silent: Remembered::default(),
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
        match &self.schemeless {
            Some(host) if self.url().scheme() == "http" => {
                host.answers_tls.get().is_none() && host.is_insecure(client).await
            }
            _ => true,
        }
    }

    /// It answered something.
    pub(crate) fn answered(&self) {
        if let Some(host) = &self.schemeless
            && self.url().scheme() == "https"
        {
            host.answers_tls.set((), KEPT_FOR);
        }
    }

    /// It is a v2 registry.
    pub(crate) fn confirm_v2(&self) {
        self.is_v2.store(true, Ordering::Relaxed);
    }

    /// Whether it was seen to be a v2 registry.
    pub(crate) fn is_v2(&self) -> bool {
        self.is_v2.load(Ordering::Relaxed)
    }

    /// It answered as a v1 registry does.
    #[cfg(feature = "v1")]
    pub(crate) fn see_v1(&self) {
        self.speaks_v1.store(true, Ordering::Relaxed);
        self.is_silent.clear();
    }

    /// Whether it was seen to speak v1.
    pub(crate) fn speaks_v1(&self) -> bool {
        self.speaks_v1.load(Ordering::Relaxed)
    }

    /// It does not speak v1: nobody need ask for a while.
    pub(crate) fn silence(&self) {
        self.is_silent.set((), KEPT_FOR);
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent.get().is_some()
    }

    /// The challenge it answered last.
    pub(crate) fn challenge(&self) -> Option<Challenge> {
        lock(&self.challenge).clone()
    }

    pub(crate) fn remember_challenge(&self, challenge: Challenge) {
        *lock(&self.challenge) = Some(challenge);
    }

    /// Whether these credentials were rejected a short while ago: some registries lock an account that keeps trying.
    pub(crate) fn has_rejected(&self, login: &Digest) -> bool {
        self.rejected.get().is_some_and(|id| id == *login)
    }

    pub(crate) fn reject(&self, login: Digest) {
        self.rejected.set(login, REJECTED_FOR);
    }
}

impl Schemeless {
    pub(crate) fn new(url: Url, rule: Arc<Insecure>) -> Self {
        Self {
            url,
            rule,
            is_insecure: Remembered::default(),
            answers_tls: Remembered::default(),
        }
    }

    /// As it was a short while ago. This decides whether to ask at all; a connection is judged by its own address.
    async fn is_insecure(&self, client: &Client) -> bool {
        if let Some(insecure) = self.is_insecure.get() {
            return insecure;
        }
        let insecure = client.is_insecure(&self.url, &self.rule).await;
        self.is_insecure.set(insecure, INSECURE_FOR);
        insecure
    }
}

const REJECTED_FOR: Duration = Duration::from_secs(60);
/// How long is kept what was learnt of the versions and schemes a host speaks.
const KEPT_FOR: Duration = Duration::from_secs(300);
const INSECURE_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Endpoint, lookup};

    fn endpoints(host: &str, rule: Insecure) -> Vec<EndpointState> {
        let url = lookup::host(host).unwrap().join("/v2/").unwrap();
        let schemeless = Arc::new(Schemeless::new(url.clone(), Arc::new(rule)));
        let urls = lookup::urls(&url, true).into_iter();
        urls.map(|(url, version)| {
            let (schemeless, none) = (Some(Arc::clone(&schemeless)), PrivateAddresses::default());
            EndpointState::new(url, version, schemeless, Role::Origin, None, &none)
        })
        .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn which_endpoints_of_a_schemeless_host_are_asked() {
        let named = Insecure::parse(["192.0.2.1:5000"]).unwrap();
        for (host, rule, insecure) in [
            ("127.0.0.1:5000", Insecure::default(), true),
            ("localhost", Insecure::default(), true),
            ("[::ffff:127.0.0.1]", Insecure::default(), true),
            ("192.0.2.1:5000", Insecure::default(), false),
            ("192.0.2.1:5000", named.clone(), true),
            ("192.0.2.1", named, false),
        ] {
            let endpoints = endpoints(host, rule);
            let config = Config::new("r.test", vec![Endpoint::of_host(host).unwrap()]);
            let client = Client::new(&config).unwrap();
            for endpoint in &endpoints {
                let plain = endpoint.url().scheme() == "http";
                assert_eq!(
                    endpoint.is_eligible(&client).await,
                    !plain || insecure,
                    "{host}"
                );
            }
            // A plain answer changes nothing, one over TLS does, for a while.
            endpoints[1].answered();
            assert_eq!(endpoints[3].is_eligible(&client).await, insecure);
            endpoints[0].answered();
            assert!(
                !endpoints[1].is_eligible(&client).await
                    && !endpoints[3].is_eligible(&client).await
            );
            assert!(
                endpoints[0].is_eligible(&client).await && endpoints[2].is_eligible(&client).await
            );
            tokio::time::advance(KEPT_FOR).await;
            assert_eq!(endpoints[1].is_eligible(&client).await, insecure);
        }
    }
}

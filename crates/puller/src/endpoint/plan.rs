//! The endpoints of an upstream, and in which order they are asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use longshore_reference::Digest;
use tokio::time::Instant;

use super::state::{EndpointState, Schemeless};
use crate::{
    Api, Config, Endpoint,
    auth::realm,
    classify::Role,
    lookup::{self, Version},
    sync::lock,
};

/// The endpoints of one upstream.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// In the order in which they are asked: v2 before v1; mirrors first, the origin last.
    all: Vec<EndpointState>,
    distrust: Distrust,
}

impl Endpoints {
    /// What is asked in which order, made of what was configured. `origin` is the last endpoint.
    pub(crate) fn new(config: &Config, origin: &Endpoint) -> Self {
        let rule = Arc::new(config.insecure.clone());
        let (mut v2, mut v1) = (Vec::new(), Vec::new());
        let last = config.endpoints.len().saturating_sub(1);
        for (index, endpoint) in config.endpoints.iter().enumerate() {
            let role = match index == last {
                true => Role::Origin,
                false => Role::Mirror,
            };
            let trusted = realm::same_domain(endpoint.url(), origin.url())
                && (endpoint.url().scheme() == "https" || origin.url().scheme() == "http");
            let shared = config.credentials.as_ref().filter(|_| trusted);
            let credentials = endpoint.credentials().or(shared);
            let schemeless = endpoint.is_schemeless().then(|| {
                let url = endpoint.url().clone();
                Arc::new(Schemeless::new(url, Arc::clone(&rule)))
            });
            for (url, version) in lookup::urls(endpoint.url(), endpoint.is_schemeless()) {
                let list = match (config.api, version, role) {
                    (Api::Auto | Api::V2, Version::V2, _) => &mut v2,
                    #[cfg(feature = "v1")]
                    (Api::Auto, Version::V1, Role::Origin) | (Api::V1, Version::V1, _) => &mut v1,
                    _ => continue,
                };
                let (schemeless, credentials) = (schemeless.clone(), credentials.cloned());
                let private = &config.private_addresses;
                list.push(EndpointState::new(
                    url,
                    version,
                    schemeless,
                    role,
                    credentials,
                    private,
                ));
            }
        }
        v2.append(&mut v1);
        Self {
            all: v2,
            distrust: Distrust::default(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&EndpointState> {
        self.all.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &EndpointState> {
        self.all.iter()
    }

    /// Whether there are endpoints of this version.
    pub(crate) fn has(&self, version: Version) -> bool {
        self.all.iter().any(|endpoint| endpoint.version == version)
    }

    /// The indexes of the endpoints of this version, in the order in which they are asked for `digest`.
    pub(crate) fn order(&self, version: Version, digest: Option<&Digest>) -> Vec<usize> {
        let is_of_version = |&(_, endpoint): &(usize, &EndpointState)| endpoint.version == version;
        let found = self.all.iter().enumerate().filter(is_of_version);
        let order = found.map(|(index, _)| index).collect();
        self.distrust.order(order, digest, Instant::now())
    }

    /// This endpoint served wrong bytes for `digest`: it is asked last for it for a while.
    pub(crate) fn distrust(&self, index: usize, digest: Digest) {
        self.distrust.add(index, digest, Instant::now());
    }

    /// Whether the origin was seen to be a v2 registry: a mirror says nothing about it.
    pub(crate) fn is_v2(&self) -> bool {
        let is_origin = |endpoint: &EndpointState| endpoint.role == Role::Origin;
        self.all.iter().any(|one| is_origin(one) && one.is_v2())
    }
}

/// Endpoints that served wrong bytes for a digest, until when they are asked last for it.
#[derive(Debug, Default)]
struct Distrust {
    until: Mutex<HashMap<(usize, Digest), Instant>>,
}

impl Distrust {
    fn add(&self, index: usize, digest: Digest, now: Instant) {
        let mut until = lock(&self.until);
        if until.len() >= DISTRUSTED_MAX {
            until.retain(|_, until| now < *until);
        }
        if until.len() >= DISTRUSTED_MAX {
            until.clear();
        }
        until.insert((index, digest), now + DISTRUSTED_FOR);
    }

    fn order(&self, mut order: Vec<usize>, digest: Option<&Digest>, now: Instant) -> Vec<usize> {
        if let Some(digest) = digest {
            let until = lock(&self.until);
            let is_distrusted = |index| until.get(&(index, *digest)).is_some_and(|end| now < *end);
            order.sort_by_key(|&index| is_distrusted(index));
        }
        order
    }
}

const DISTRUSTED_FOR: Duration = Duration::from_secs(300);
const DISTRUSTED_MAX: usize = 4096;

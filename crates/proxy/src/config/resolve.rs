//! From what a file and a command line say to a whole [`Config`].

use std::path::Path;

use super::file::{self, File};
use super::{
    Api, CONNECTIONS_MAX_DEFAULT, ClientCertificate, Config, Endpoint, Error, FILLS_MAX_DEFAULT,
    LISTEN_DEFAULT, MIN_FREE_DEFAULT, Overrides, Policy, PrivateAddresses, SCRUB_DEFAULT, Store,
    StoreUrl, Upstream,
};
use crate::access::{Clients, Rule};
use crate::names::PUBLIC;
use crate::server::tls;

pub(super) fn resolve(
    file: File,
    overrides: &Overrides,
    folder: Option<&Path>,
) -> Result<Config, Error> {
    let listen = overrides
        .listen
        .or_else(|| file.listen.map(|listen| listen.0));
    let defaults = policy(&file.defaults, Policy::default());
    let store = store(file.store, overrides, folder)?;
    let mut upstreams: Vec<Upstream> = file
        .upstreams
        .into_iter()
        .map(|(name, from)| upstream(name.as_str(), from, defaults))
        .collect::<Result<_, _>>()?;
    add_overrides(&mut upstreams, overrides, defaults)?;
    complete(&mut upstreams, defaults);
    check_hosts(&upstreams)?;
    Ok(Config {
        listen: listen.unwrap_or(LISTEN_DEFAULT),
        admin_listen: file.admin.listen.map(|listen| listen.0),
        tls: file.tls.map(|tls| tls::Files {
            cert: tls.cert.0,
            key: tls.key.0,
            client_ca: tls.client_ca.map(|file| file.0),
        }),
        clients: file.clients.map(clients),
        connections_max: file
            .connections_max
            .map_or(CONNECTIONS_MAX_DEFAULT, usize::from),
        insecure: file.insecure,
        store,
        upstreams,
    })
}

fn clients(from: file::Clients) -> Clients {
    let rule = |rule: file::Rule| Rule {
        users: rule.users,
        repositories: rule.repositories.0,
    };
    Clients {
        htpasswd: from.htpasswd.0,
        realm: from
            .realm
            .map_or_else(|| "longshore".to_owned(), |realm| realm.0),
        anonymous: from.anonymous.0,
        rules: from.rules.into_iter().map(rule).collect(),
    }
}

fn upstream(name: &str, from: file::Upstream, defaults: Policy) -> Result<Upstream, Error> {
    let client_certificate = match (from.client_cert.as_ref(), from.client_key.as_ref()) {
        (Some(chain), Some(key)) => Some(ClientCertificate {
            chain: chain.0.clone(),
            key: key.0.clone(),
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Error::ClientCertificate {
                name: name.to_owned(),
            });
        }
    };
    Ok(Upstream {
        name: name.to_owned(),
        policy: policy(&from.policy(), defaults),
        endpoints: from.endpoints,
        api: from.api.unwrap_or_default(),
        credentials: from.credentials,
        ca: from.ca.map(|ca| ca.0),
        client_certificate,
        certs_dir: from.certs_dir.map(|folder| folder.0),
        hosts: from.hosts.into_iter().map(|host| host.0).collect(),
        realms: from.realms.into_iter().map(|host| host.0).collect(),
        private_addresses: from.private_addresses,
    })
}

fn policy(from: &file::Policy, defaults: Policy) -> Policy {
    Policy {
        revalidate: from.revalidate.unwrap_or(defaults.revalidate),
        max_stale: from.max_stale.unwrap_or(defaults.max_stale),
        negative_ttl: from
            .negative_ttl
            .map_or(defaults.negative_ttl, |span| span.0),
        answer_within: from
            .answer_within
            .map_or(defaults.answer_within, |span| span.0),
        convert_within: from
            .convert_within
            .map_or(defaults.convert_within, |span| span.0),
        on_deleted: from.on_deleted.unwrap_or(defaults.on_deleted),
        on_denied: from.on_denied.unwrap_or(defaults.on_denied),
        rate_limit_status: from.rate_limit_status.unwrap_or(defaults.rate_limit_status),
        stale_needs_whole: from.stale_needs_whole.unwrap_or(defaults.stale_needs_whole),
    }
}

fn store(from: file::Store, overrides: &Overrides, folder: Option<&Path>) -> Result<Store, Error> {
    let folder = || folder.map(Path::to_owned).ok_or(Error::NoFolder);
    let url = match overrides.store.clone().or(from.url) {
        Some(url) => url,
        None => StoreUrl::File(folder()?),
    };
    let spool = from.spool.map(|spool| spool.0);
    let (local, spool) = match (&url, spool) {
        (StoreUrl::File(local), Some(spool)) => (local.clone(), spool),
        (StoreUrl::File(local), None) => (local.clone(), local.join("spool")),
        (StoreUrl::Memory | StoreUrl::Bucket(_), Some(spool)) => {
            let local = spool.parent().ok_or(Error::SpoolIsRoot)?;
            (local.to_owned(), spool)
        }
        (StoreUrl::Memory | StoreUrl::Bucket(_), None) => {
            let local = folder()?;
            let spool = local.join("spool");
            (local, spool)
        }
    };
    Ok(Store {
        url,
        local,
        spool,
        capacity: from.capacity.map(|room| room.0),
        min_free: from.min_free.map_or(MIN_FREE_DEFAULT, |room| room.0),
        pins: from.pins.0,
        scrub: from.scrub.map_or(SCRUB_DEFAULT, |time| time.0),
        fills_max: from.fills_max.map_or(FILLS_MAX_DEFAULT, usize::from),
    })
}

/// `--upstream` replaces the endpoints of an upstream, and nothing else of it.
fn add_overrides(
    upstreams: &mut Vec<Upstream>,
    overrides: &Overrides,
    defaults: Policy,
) -> Result<(), Error> {
    let mut seen: Vec<&str> = Vec::new();
    for (name, endpoint) in &overrides.upstreams {
        if name.is_wildcard() {
            return Err(Error::WildcardEndpoint {
                name: name.as_str().to_owned(),
            });
        }
        let name = name.as_str();
        if !upstreams.iter().any(|upstream| upstream.name == name) {
            upstreams.push(plain(name, Vec::new(), defaults));
        }
        for upstream in upstreams
            .iter_mut()
            .filter(|upstream| upstream.name == name)
        {
            if !seen.contains(&name) {
                upstream.endpoints.clear();
            }
            upstream.endpoints.push(endpoint.clone());
        }
        seen.push(name);
    }
    Ok(())
}

/// Adds the public registries, and to every upstream without endpoints the one that its name stands for.
fn complete(upstreams: &mut Vec<Upstream>, defaults: Policy) {
    for (name, url) in PUBLIC {
        let endpoints = || {
            url.and_then(|url| Endpoint::parse(url).ok())
                .into_iter()
                .collect()
        };
        match upstreams.iter_mut().find(|upstream| upstream.name == name) {
            Some(upstream) if upstream.endpoints.is_empty() => upstream.endpoints = endpoints(),
            Some(_) => {}
            None => upstreams.push(plain(name, endpoints(), defaults)),
        }
    }
    for upstream in upstreams {
        if upstream.endpoints.is_empty() && !upstream.name.starts_with('*') {
            upstream.endpoints = upstream.endpoints_for(&upstream.name);
        }
    }
}

fn plain(name: &str, endpoints: Vec<Endpoint>, policy: Policy) -> Upstream {
    Upstream {
        name: name.to_owned(),
        endpoints,
        api: Api::default(),
        credentials: None,
        ca: None,
        client_certificate: None,
        certs_dir: None,
        hosts: Vec::new(),
        realms: Vec::new(),
        private_addresses: PrivateAddresses::default(),
        policy,
    }
}

fn check_hosts(upstreams: &[Upstream]) -> Result<(), Error> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for upstream in upstreams {
        for host in &upstream.hosts {
            if upstream.name.starts_with('*') {
                return Err(Error::WildcardHost {
                    name: upstream.name.clone(),
                });
            }
            if let Some((_, first)) = seen.iter().find(|(other, _)| other == host) {
                return Err(Error::HostTwice {
                    host: host.clone(),
                    first: (*first).to_owned(),
                    second: upstream.name.clone(),
                });
            }
            seen.push((host, &upstream.name));
        }
    }
    Ok(())
}

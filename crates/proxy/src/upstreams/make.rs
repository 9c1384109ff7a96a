//! An upstream of the configuration, ready to be asked.

use std::path::Path;
use std::sync::Arc;

use longshore_puller::{
    Api, ClientCertificate, Config, Credentials, Endpoint, Insecure, Keyring, Places, Secret,
    Upstream as Puller,
};
use longshore_store::{OnDeleted, OnDenied, Policy};

use crate::config::{self, Age};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::names::UpstreamId;

pub(super) fn puller(
    configured: &config::Upstream,
    domain: &str,
    id: UpstreamId,
    insecure: &Insecure,
    metrics: &Arc<Metrics>,
) -> Result<Puller, Error> {
    let mut settings = puller_config(configured, domain, insecure)?;
    let metrics = Arc::clone(metrics);
    settings.observer = Arc::new(move |event| metrics.upstream(id, event));
    Puller::new(settings).map_err(|source| Error::Upstream {
        name: domain.to_owned(),
        source,
    })
}

/// What the puller must know of an upstream.
pub(crate) fn puller_config(
    configured: &config::Upstream,
    domain: &str,
    insecure: &Insecure,
) -> Result<Config, Error> {
    let failed = |source| Error::Upstream {
        name: domain.to_owned(),
        source,
    };
    let endpoints = configured.endpoints_for(domain);
    let endpoints = endpoints
        .iter()
        .map(|endpoint| match endpoint.as_str() {
            url if url.contains("://") => Endpoint::parse(url),
            host => Endpoint::of_host(host),
        })
        .collect::<Result<_, _>>();
    let mut config = Config::new(domain, endpoints.map_err(failed)?);
    config.credentials = configured
        .credentials
        .as_ref()
        .map(credentials)
        .transpose()?;
    config.tokens_by_post = matches!(
        configured.credentials,
        Some(config::Credentials::Basic {
            tokens_by_post: true,
            ..
        })
    );
    config.insecure = insecure.clone();
    config.api = match configured.api {
        config::Api::Auto => Api::Auto,
        config::Api::V2 => Api::V2,
        config::Api::V1 => Api::V1,
    };
    config.realms.clone_from(&configured.realms);
    config
        .private_addresses
        .clone_from(configured.private_addresses.get());
    config.ca = configured.ca.as_deref().map(read).transpose()?;
    if let Some(config::ClientCertificate { chain, key }) = &configured.client_certificate {
        let certificate = ClientCertificate::from_pem(&read(chain)?, &read(key)?);
        config.client_certificate = Some(certificate.map_err(failed)?);
    }
    config.certs_dirs = configured.certs_dir.iter().cloned().collect();
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.display().to_string(),
        source,
    })
}

fn credentials(configured: &config::Credentials) -> Result<Credentials, Error> {
    Ok(match configured {
        config::Credentials::Basic {
            username, password, ..
        } => Credentials::Basic {
            username: username.clone(),
            password: secret(password)?,
        },
        config::Credentials::Token(token) => Credentials::Bearer(secret(token)?),
        config::Credentials::IdentityToken(token) => Credentials::Identity(secret(token)?),
        config::Credentials::DockerConfig(file) => {
            let keyring = Keyring::docker_config(file.clone(), Places::from_env());
            Credentials::Keyring(keyring)
        }
        config::Credentials::AuthFile(file) => {
            let keyring = Keyring::auth_file(file.clone(), Places::from_env());
            Credentials::Keyring(keyring)
        }
        config::Credentials::Helper(name) => {
            let keyring = Keyring::program(name, Places::from_env());
            Credentials::Keyring(keyring.map_err(|source| Error::Upstream {
                name: name.clone(),
                source,
            })?)
        }
    })
}

fn secret(configured: &config::Secret) -> Result<Secret, Error> {
    Ok(match configured {
        config::Secret::Value(value) => Secret::value(value.as_str()),
        config::Secret::File(path) => Secret::file(path.as_path()),
        config::Secret::Env(name) => {
            let value = std::env::var(name).map_err(|source| Error::Variable {
                name: name.clone(),
                source,
            })?;
            Secret::value(value)
        }
    })
}

pub(super) fn policy(configured: &config::Policy) -> Policy {
    let within = |age: Age| match age {
        Age::Within(time) => Some(time),
        Age::Forever => None,
    };
    let fixed = Policy::default();
    Policy {
        revalidate: within(configured.revalidate).unwrap_or(std::time::Duration::MAX),
        max_stale: within(configured.max_stale),
        negative_ttl: configured.negative_ttl,
        answer_within: configured.answer_within,
        on_deleted: match configured.on_deleted {
            config::OnDeleted::Forget => OnDeleted::Forget,
            config::OnDeleted::Serve => OnDeleted::Serve,
        },
        on_denied: match configured.on_denied {
            config::OnDenied::Deny => OnDenied::Deny,
            config::OnDenied::Serve => OnDenied::Serve,
        },
        stale_needs_whole: configured.stale_needs_whole,
        // No keys yet. Each field is named, so that a new one is not forgotten.
        stale_within: fixed.stale_within,
        failed_ttl: fixed.failed_ttl,
    }
}

#[cfg(test)]
mod tests;

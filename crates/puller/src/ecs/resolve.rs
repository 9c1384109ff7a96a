//! Resolves the digest of a container's image: the decisions of the agent, carried out.

use std::{error::Error as StdError, future::Future, time::Duration};

use longshore_reference::Reference;
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    CannotPullManifest, Container, Held, MANIFEST_PULL, MANIFEST_TIMEOUT, Outcome, Plan,
    PullBehavior, Retries, Skip, TimedOut, engine_resolves, from_held, from_registry, plan,
};
use crate::{Error, Registries, Resolved};

/// How digests are resolved.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// When images are pulled.
    pub behavior: PullBehavior,
    /// How long the registry may take, all tries together: see [`manifest_timeout`](super::manifest_timeout).
    pub timeout: Duration,
    /// How often it is asked.
    pub retries: Retries,
    /// The version of the engine's interface (`1.44`) where an engine pulls afterwards; `None` where none does.
    pub api_version: Option<String>,
}

/// What is held of an image, as the caller found it.
#[derive(Debug, Clone, Default)]
pub struct LocalImage {
    /// It was pulled before, by this agent and with success.
    pub pulled: bool,
    /// Its repo digests (`name@digest`), or why it cannot be inspected; `None` where it is not held.
    pub repo_digests: Option<Result<Vec<String>, String>>,
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError<C> {
    /// There are no credentials, in the words of whoever looked for them.
    #[error(transparent)]
    Credentials(C),
    /// The registry took too long.
    #[error(transparent)]
    TimedOut(TimedOut),
    /// The registry does not give the digest, or the image that is held has none of this repository.
    #[error(transparent)]
    CannotPullManifest(CannotPullManifest),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            behavior: PullBehavior::Default,
            timeout: MANIFEST_TIMEOUT,
            retries: MANIFEST_PULL,
            api_version: None,
        }
    }
}

impl LocalImage {
    fn held(&self) -> Held {
        Held {
            present: matches!(self.repo_digests, Some(Ok(_))),
            pulled: self.pulled,
        }
    }
}

/// Resolves the digest of a container's image. `connect` makes the client with its credentials; it is called only when
/// the registry has to be asked.
///
/// # Errors
/// See [`ResolveError`]. A digest that is not needed, or that cannot be relied on, is no error but [`Outcome::Skipped`].
pub async fn resolve<C, F>(
    container: &Container<'_>,
    settings: &Settings,
    local: &LocalImage,
    connect: impl FnOnce() -> F,
) -> Result<Outcome, ResolveError<C>>
where
    F: Future<Output = Result<Registries, C>>,
{
    let image = container.image;
    let outcome = match plan(container, settings.behavior, local.held()) {
        Plan::Skip(skip) => Outcome::Skipped(skip),
        Plan::Known(digest) => Outcome::Resolved {
            digest,
            from: super::Source::Reference,
        },
        Plan::LookAtHeld => look_at_held(image, local).map_err(ResolveError::CannotPullManifest)?,
        Plan::AskRegistry if is_too_old(settings) => Outcome::Skipped(Skip::ApiVersion),
        Plan::AskRegistry => {
            let registries = connect().await.map_err(ResolveError::Credentials)?;
            ask(&registries, image, settings).await?
        }
    };
    match &outcome {
        Outcome::Resolved { digest, from } => {
            tracing::info!(image, %digest, ?from, "image manifest digest");
        }
        Outcome::Skipped(skip) => tracing::info!(image, "{}", skip.as_str()),
    }
    Ok(outcome)
}

fn look_at_held(image: &str, local: &LocalImage) -> Result<Outcome, CannotPullManifest> {
    match &local.repo_digests {
        Some(Ok(digests)) => from_held(digests, image),
        Some(Err(error)) => Err(CannotPullManifest::new(image, error)),
        None => Err(CannotPullManifest::new(
            image,
            &format!("no such image: {image}"),
        )),
    }
}

fn is_too_old(settings: &Settings) -> bool {
    let version = settings.api_version.as_deref();
    version.is_some_and(|version| !engine_resolves(version))
}

/// Asks the registry until it answers, the tries end, or the time does.
async fn ask<C>(
    registries: &Registries,
    image: &str,
    settings: &Settings,
) -> Result<Outcome, ResolveError<C>> {
    let cannot =
        |error: &str| ResolveError::CannotPullManifest(CannotPullManifest::new(image, error));
    let reference = Reference::parse(image).map_err(|error| cannot(&error.to_string()))?;
    let deadline = Instant::now() + settings.timeout;
    let tries = async {
        let mut tried = 0;
        loop {
            let error = match registries.resolve(&reference).await {
                Ok(resolved) => return Ok(resolved),
                Err(error) => error,
            };
            tried += 1;
            let wait = settings.retries.delay_after(tried);
            let Some(wait) = wait.filter(|_| !is_of_no_use(&error)) else {
                return Err(error);
            };
            tracing::debug!(image, %error, tried, "resolving is tried again");
            let random = rand::rng().random();
            sleep(settings.retries.backoff.with_jitter(wait, random)).await;
        }
    };
    match timeout_at(deadline, tries).await {
        Ok(Ok(Resolved::Manifest(found))) => {
            Ok(from_registry(found.media_type.as_str(), found.digest))
        }
        Ok(Ok(Resolved::V1(_))) => Err(cannot("a registry of protocol v1 has no digests")),
        Ok(Err(error)) => Err(cannot(&with_causes(&error))),
        Err(_) => Err(ResolveError::TimedOut(TimedOut(settings.timeout))),
    }
}

/// Credentials that cannot be read will not be there the next time.
fn is_of_no_use(error: &Error) -> bool {
    matches!(
        error,
        Error::Rejected {
            source: Some(_),
            ..
        } | Error::Config { .. }
    )
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

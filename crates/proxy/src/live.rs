//! The configuration in force, and how another takes its place while requests are served.
//!
//! Each request is answered by one snapshot from its beginning to its end. A reload builds the next snapshot whole, on
//! the same store and the same metrics, and swaps it in; one that cannot be built leaves the one before in force.
//! Clients of upstreams that did not change are kept with their tokens, connections and what they learnt.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use longshore_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::access::Access;
use crate::config::{self, Config, Overrides};
use crate::convert::Converter;
use crate::error::Error;
use crate::files::Stamp;
use crate::log::Chain;
use crate::metrics::Metrics;
use crate::proxy::{Inner, Proxy};
use crate::readiness::Readiness;
use crate::upstreams::Upstreams;

#[cfg(test)]
mod tests;

/// Where a configuration comes from, to read it again.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file; without one there is nothing to read again.
    pub file: Option<PathBuf>,
    /// What the command line says instead of it.
    pub overrides: Overrides,
}

impl Source {
    /// Reads the configuration.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, config::Error> {
        Config::load(self.file.as_deref(), &self.overrides)
    }
}

/// What answers the next request.
pub(crate) struct Live {
    current: ArcSwap<Inner>,
    /// Those of the snapshot in force, for the store's events.
    metrics: Arc<ArcSwap<Metrics>>,
    /// What the snapshot in force was made of, held while another is made.
    config: Mutex<Config>,
}

impl Live {
    /// The first snapshot.
    pub(crate) fn new(
        config: Config,
        store: Store,
        metrics: Arc<ArcSwap<Metrics>>,
        readiness: Readiness,
    ) -> Result<Self, Error> {
        let upstreams = Upstreams::new(&config, &metrics.load_full(), None)?;
        let access = access(&config, None)?;
        let inner = Inner {
            names: config.names(),
            converters: converters(&store, &upstreams),
            upstreams,
            access,
            store,
            metrics: metrics.load_full(),
            readiness,
            admin_elsewhere: config.admin_listen.is_some(),
        };
        Ok(Self {
            current: ArcSwap::from_pointee(inner),
            metrics,
            config: Mutex::new(config),
        })
    }

    /// What answers a request that comes now.
    pub(crate) fn proxy(&self) -> Proxy {
        Proxy(self.current.load_full())
    }

    /// Puts another configuration in force. It reads certificates and takes a moment.
    ///
    /// # Errors
    /// An upstream cannot be used as it is configured: nothing changes then.
    pub(crate) fn replace(&self, config: Config) -> Result<Changes, Error> {
        let mut in_force = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = Changes::between(&in_force, &config);
        let before = self.current.load_full();
        let names = config.names();
        let metrics = Arc::new(before.metrics.for_names(&names));
        let upstreams = Upstreams::new(&config, &metrics, Some(&before.upstreams))?;
        let access = access(&config, before.access.as_ref())?;
        let inner = Inner {
            names,
            converters: converters(&before.store, &upstreams),
            upstreams,
            access,
            store: before.store.clone(),
            metrics: Arc::clone(&metrics),
            readiness: before.readiness.clone(),
            admin_elsewhere: before.admin_elsewhere,
        };
        self.metrics.store(metrics);
        self.current.store(Arc::new(inner));
        for name in &changes.removed {
            before.metrics.forget(name);
        }
        *in_force = config;
        Ok(changes)
    }

    /// Reads the configuration again on SIGHUP, and when its file changed, for ever.
    pub(crate) async fn follow(self: Arc<Self>, source: Source) {
        // Without the signal the file is still looked at.
        let mut hangups = signal(SignalKind::hangup()).ok();
        let mut ticks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.stamps(&source);
        loop {
            let asked = tokio::select! {
                Some(()) = next(&mut hangups) => true,
                _ = ticks.tick() => false,
            };
            let now = self.stamps(&source);
            // A file that is gone for a moment is being replaced.
            if asked || (now != seen && now.iter().all(Option::is_some)) {
                seen = now;
                self.reload(&source).await;
            }
        }
    }

    /// What tells that a file changed: the configuration's own, and that of the passwords.
    fn stamps(&self, source: &Source) -> Vec<Option<Stamp>> {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = config.clients.as_ref().map(|clients| &clients.htpasswd);
        let files = source.file.iter().chain(clients);
        files.map(|file| Stamp::of(file)).collect()
    }

    async fn reload(self: &Arc<Self>, source: &Source) {
        let (live, source) = (Arc::clone(self), source.clone());
        let replaced = tokio::task::spawn_blocking(move || {
            let config = source.load().map_err(Failed::Config)?;
            live.replace(config).map_err(Failed::Use)
        });
        let replaced = replaced.await;
        self.metrics.load().reloaded(matches!(replaced, Ok(Ok(_))));
        match replaced {
            Ok(Ok(changes)) => changes.log(),
            Ok(Err(error)) => {
                tracing::error!(error = %Chain(&error), "cannot reload the configuration, keeping the one before");
            }
            Err(error) => tracing::error!(%error, "the reload of the configuration ended early"),
        }
    }
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Config(config::Error),
    #[error(transparent)]
    Use(Error),
}

/// How two configurations differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    /// Keys that are read at the start only.
    at_restart: Vec<&'static str>,
}

impl Changes {
    fn between(before: &Config, after: &Config) -> Self {
        let find = |config: &Config, name: &str| {
            let mut upstreams = config.upstreams.iter();
            upstreams.find(|upstream| upstream.name == name).cloned()
        };
        let mut changes = Self::default();
        for upstream in &after.upstreams {
            match find(before, &upstream.name) {
                None => changes.added.push(upstream.name.clone()),
                Some(other) if other != *upstream => changes.changed.push(upstream.name.clone()),
                Some(_) => {}
            }
        }
        for upstream in &before.upstreams {
            if find(after, &upstream.name).is_none() {
                changes.removed.push(upstream.name.clone());
            }
        }
        let at_start = [
            ("listen", before.listen != after.listen),
            ("admin", before.admin_listen != after.admin_listen),
            (
                "connections_max",
                before.connections_max != after.connections_max,
            ),
            ("tls", before.tls != after.tls),
            ("store", before.store != after.store),
        ];
        let changed = at_start.into_iter().filter(|(_, changed)| *changed);
        changes.at_restart = changed.map(|(key, _)| key).collect();
        changes
    }

    fn log(&self) {
        tracing::info!(
            added = ?self.added,
            removed = ?self.removed,
            changed = ?self.changed,
            "reloaded the configuration"
        );
        if !self.at_restart.is_empty() {
            tracing::warn!(keys = ?self.at_restart, "these keys take effect at the next start");
        }
    }
}

fn converters(store: &Store, upstreams: &Upstreams) -> Vec<Arc<Converter>> {
    let converter = |upstream| Arc::new(Converter::new(store, upstream));
    upstreams.iter().map(converter).collect()
}

async fn next(signals: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

fn access(config: &Config, before: Option<&Arc<Access>>) -> Result<Option<Arc<Access>>, Error> {
    let Some(clients) = &config.clients else {
        return Ok(None);
    };
    if config.tls.is_none() {
        tracing::warn!("clients send their passwords in plain: there is no [tls]");
    }
    Ok(Some(Access::load(clients)?.or_before(before)))
}

const LOOK_EVERY: Duration = Duration::from_secs(2);

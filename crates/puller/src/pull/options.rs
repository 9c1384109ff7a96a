//! How images are pulled.

use std::time::Duration;

use longshore_manifest::{MediaType, Platform, Preference};

use crate::docker::{DOWNLOAD_ATTEMPTS, DOWNLOADS};

/// Whose rules and messages a pull follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Engine {
    /// Docker's own: falls back from digest to tag, converts schema 1.
    #[default]
    Moby,
    /// Docker on containerd: skips invalid tags, keeps the old image, refuses schema 1.
    Containerd,
}

/// How images are pulled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Whose rules and messages.
    pub engine: Engine,
    /// The platform to choose in an index; `None` for the host's.
    pub platform: Option<Platform>,
    /// Whether images of schema 1 are converted; else they are refused.
    pub schema1: bool,
    /// Types of configurations that a schema 2 manifest may have; empty: those of images.
    pub config_types: Vec<MediaType>,
    /// Layers downloaded at once; 0 for any number.
    pub downloads: usize,
    /// Tries of a layer, the first among them.
    pub attempts: u32,
    /// One step of the countdown before a layer is tried again.
    pub countdown_step: Duration,
    /// The pause before a configuration is tried again the first time; it doubles each time.
    pub config_pause: Duration,
}

impl Options {
    /// As docker's own engine.
    #[must_use]
    pub fn moby() -> Self {
        Self {
            engine: Engine::Moby,
            platform: None,
            schema1: true,
            config_types: Vec::new(),
            downloads: DOWNLOADS,
            attempts: DOWNLOAD_ATTEMPTS,
            countdown_step: Duration::from_secs(1),
            config_pause: Duration::from_millis(250),
        }
    }

    /// As docker on containerd.
    #[must_use]
    pub fn containerd() -> Self {
        Self {
            engine: Engine::Containerd,
            schema1: false,
            ..Self::moby()
        }
    }

    pub(super) fn wanted(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }

    pub(super) fn preference(&self) -> Preference {
        Preference::only(&self.wanted())
    }
}

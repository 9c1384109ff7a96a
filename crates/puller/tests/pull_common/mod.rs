//! What the tests of pulls share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use futures_util::StreamExt;
use longshore_manifest::Platform;
use longshore_puller::pull::{Content, Error, Event, EventStream, Events, LayerState};
use longshore_puller::pull::{Layout, Options, Pulled, Puller};
use longshore_puller::{Config, Endpoint, Registries};
use longshore_reference::Parsed;
use longshore_tests::{Origin, media};
use serde_json::{Value, json};

/// A registry, a puller, and the folder that it pulls into.
pub(crate) struct Rig {
    pub(crate) origin: Origin,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registries: Registries,
    pub(crate) puller: Puller,
}

impl Rig {
    pub(crate) async fn new(options: Options) -> Self {
        Self::named("registry.test", options).await
    }

    pub(crate) async fn named(name: &str, options: Options) -> Self {
        let origin = Origin::start().await;
        let registries = registries(name, &origin.url());
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path()).await.unwrap();
        let puller = Puller::new(registries.clone(), Arc::new(layout), quick(options));
        Self {
            origin,
            folder,
            registries,
            puller,
        }
    }

    /// Another puller into the same folder.
    pub(crate) async fn puller(&self, options: Options) -> Puller {
        let layout = self.layout().await;
        Puller::new(self.registries.clone(), Arc::new(layout), quick(options))
    }

    pub(crate) fn puller_into(&self, content: impl Content + 'static, options: Options) -> Puller {
        Puller::new(self.registries.clone(), Arc::new(content), quick(options))
    }

    pub(crate) async fn layout(&self) -> Layout {
        Layout::open(self.folder.path()).await.unwrap()
    }

    pub(crate) async fn pull(&self, name: &str) -> (Result<Pulled, Error>, Vec<String>) {
        pull(&self.puller, name).await
    }

    /// The lines of a pull that succeeds.
    pub(crate) async fn lines(&self, name: &str) -> Vec<String> {
        let (pulled, lines) = self.pull(name).await;
        pulled.unwrap();
        lines
    }

    /// The error of a pull, with its causes.
    pub(crate) async fn error(&self, name: &str) -> Error {
        self.pull(name).await.0.unwrap_err()
    }

    /// The requests since the last call: method and what follows the repository.
    pub(crate) fn asked(&self) -> Vec<String> {
        let requests = self.origin.requests();
        let asked = requests.iter().map(|seen| {
            let path = seen.path.rsplitn(3, '/').take(2).collect::<Vec<_>>();
            format!("{} {}/{}", seen.method, path[1], path[0])
        });
        let asked = asked.collect();
        self.origin.forget_requests();
        asked
    }
}

pub(crate) fn registries(name: &str, url: &str) -> Registries {
    let registries = Registries::new();
    let endpoint = Endpoint::parse(url).unwrap();
    registries
        .configure(Config::new(name, vec![endpoint]))
        .unwrap();
    registries
}

/// Without the pauses, for linux/amd64.
pub(crate) fn quick(mut options: Options) -> Options {
    options.countdown_step = Duration::from_millis(1);
    options.config_pause = Duration::from_millis(1);
    options
        .platform
        .get_or_insert_with(|| Platform::new("linux", "amd64", ""));
    options
}

pub(crate) async fn pull(puller: &Puller, name: &str) -> (Result<Pulled, Error>, Vec<String>) {
    let (events, stream) = Events::channel();
    let reference = Parsed::parse(name).unwrap();
    let (pulled, lines) = tokio::join!(puller.pull(&reference, events), lines(stream));
    (pulled, lines)
}

/// What docker shows, without the numbers of what moves.
async fn lines(stream: EventStream) -> Vec<String> {
    let moves = |event: &Event| {
        matches!(
            event,
            Event::Layer {
                state: LayerState::Downloading { .. } | LayerState::Extracting { .. },
                ..
            }
        )
    };
    let events: Vec<_> = stream.collect().await;
    let shown = events.iter().filter(|event| !moves(event));
    let shown = shown.map(|event| match event.message() {
        Some(message) if message.id.is_empty() => message.status,
        Some(message) => format!("{}: {}", message.id, message.status),
        None => match event {
            Event::Pulled { reference } => format!("pulled {reference}"),
            Event::Warning(warning) => format!("log: {warning}"),
            other => panic!("{other:?}"),
        },
    });
    shown.collect()
}

/// As people are shown a digest.
pub(crate) fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A document of an image that a test makes by hand.
pub(crate) struct Made {
    pub(crate) layers: Vec<Value>,
    pub(crate) diff_ids: Vec<String>,
    pub(crate) config_type: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) platform: (&'static str, &'static str),
}

impl Made {
    /// An OCI image with these layers, given as plain tars.
    pub(crate) fn of(origin: &Origin, repository: &str, plain: &[&[u8]]) -> Self {
        let mut made = Self {
            layers: Vec::new(),
            diff_ids: Vec::new(),
            config_type: media::OCI_CONFIG,
            media_type: media::OCI_MANIFEST,
            platform: ("linux", "amd64"),
        };
        for plain in plain {
            let blob = gzip(plain);
            let size = blob.len();
            let digest = origin.push_blob(repository, blob);
            made.layers.push(json!({
                "mediaType": media::OCI_LAYER, "size": size, "digest": digest,
            }));
            made.diff_ids.push(digest_of(plain));
        }
        made
    }

    /// Pushes configuration and manifest; returns both digests.
    pub(crate) fn push(
        &self,
        origin: &Origin,
        repository: &str,
        tag: Option<&str>,
    ) -> (String, String) {
        let (os, architecture) = self.platform;
        let config = json!({
            "os": os, "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        });
        self.push_with(origin, repository, tag, &config)
    }

    pub(crate) fn push_with(
        &self,
        origin: &Origin,
        repository: &str,
        tag: Option<&str>,
        config: &Value,
    ) -> (String, String) {
        let config = config.to_string();
        let size = config.len();
        let config = origin.push_blob(repository, config);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": self.media_type,
            "config": {"mediaType": self.config_type, "size": size, "digest": config},
            "layers": self.layers,
        });
        let digest = origin.push_manifest(repository, tag, manifest.to_string(), self.media_type);
        (digest, config)
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    longshore_reference::Digest::sha256(bytes).to_string()
}

/// An index of these entries.
pub(crate) fn push_index(
    origin: &Origin,
    repository: &str,
    tag: Option<&str>,
    entries: &[Value],
) -> String {
    let index = json!({
        "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries,
    });
    origin.push_manifest(repository, tag, index.to_string(), media::OCI_INDEX)
}

pub(crate) fn entry(media_type: &str, digest: &str, platform: Option<&str>) -> Value {
    let mut entry = json!({"mediaType": media_type, "digest": digest, "size": 1});
    if let Some(architecture) = platform {
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
    }
    entry
}

//! What happens during a pull, as a stream of typed events.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use longshore_reference::{Digest, Parsed};
use tokio::sync::mpsc;

use crate::docker::{self, Message, Progress};

/// Something that happens during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The manifest is there; the pull begins.
    PullingFrom {
        /// The tag or the digest that is pulled.
        id: String,
        /// The repository, without its registry.
        name: String,
    },
    /// A layer changed its state.
    Layer {
        /// Its digest, or the id of its image where a v1 registry has it.
        id: String,
        /// The state.
        state: LayerState,
    },
    /// Something that does not end the pull.
    Warning(Warning),
    /// The digest that the reference stands for: an index's, where it is one.
    Digest(Digest),
    /// The pull of a reference, or of all tags of a repository, has ended.
    Status {
        /// What was pulled.
        reference: Parsed,
        /// Whether it is newer than what was held.
        newer: bool,
    },
    /// An image was pulled: the `pull` event of docker's engine.
    Pulled {
        /// Under which reference.
        reference: Parsed,
    },
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerState {
    /// It is going to be pulled.
    PullingFsLayer,
    /// Other layers are downloaded first.
    Waiting,
    /// Its bytes come.
    Downloading {
        /// Bytes so far.
        current: u64,
        /// Bytes in all, as the registry stated them.
        total: Option<u64>,
    },
    /// The download failed and is tried again in so many seconds.
    Retrying {
        /// Seconds.
        seconds: u32,
    },
    /// All bytes are there.
    VerifyingChecksum,
    /// The bytes are right, and kept.
    DownloadComplete,
    /// It is unpacked, to compare it with the configuration.
    Extracting {
        /// Bytes read so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The layer is done.
    PullComplete,
    /// It was held before.
    AlreadyExists,
}

/// Something that does not end a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The registry does not know the manifest by the digest it gave for the tag: it is pulled by its tag.
    FallbackToTag {
        /// The registry.
        endpoint: String,
    },
    /// The image has a manifest of schema 1, at Docker Hub.
    OutdatedSchema1 {
        /// The image.
        reference: Parsed,
    },
    /// An index has an image of schema 1.
    Schema1InIndex {
        /// The index.
        reference: Parsed,
    },
    /// The image has a manifest of schema 1, which is refused by default.
    DeprecatedSchema1 {
        /// The image.
        reference: Parsed,
    },
    /// The registry listed a tag that is none; it is not pulled.
    InvalidTag {
        /// As the registry wrote it.
        tag: String,
    },
    /// The image that was held before could not be kept by its digest.
    OldImageNotKept(String),
    /// The name under which the image was kept by its digest could not be removed.
    OldNameNotRemoved(String),
    /// The lease of the image that was held before could not be deleted.
    LeaseNotDeleted(String),
}

impl Event {
    /// The line of docker's stream; `None` for what the engine only logs.
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        Some(match self {
            Self::PullingFrom { id, name } => Message::status(id, &format!("Pulling from {name}")),
            Self::Layer { id, state } => state.message(docker::short_id(id)),
            Self::Warning(warning) => return warning.message(),
            Self::Digest(digest) => Message::status("", &docker::digest_line(*digest)),
            Self::Status { reference, newer } => {
                Message::status("", &docker::status_line(reference.familiar(), *newer))
            }
            Self::Pulled { .. } => return None,
        })
    }
}

impl LayerState {
    fn message(&self, id: &str) -> Message {
        match self {
            Self::PullingFsLayer => Message::update(id, "Pulling fs layer"),
            Self::Waiting => Message::update(id, "Waiting"),
            Self::Downloading { current, total } => {
                let progress = Progress::new(*current, total.unwrap_or_default());
                Message::progress(id, "Downloading", progress)
            }
            Self::Retrying { seconds } => Message::update(id, &docker::retrying_in(*seconds)),
            Self::VerifyingChecksum => Message::update(id, "Verifying Checksum"),
            Self::DownloadComplete => Message::update(id, "Download complete"),
            Self::Extracting { current, total } => {
                Message::progress(id, "Extracting", Progress::new(*current, *total))
            }
            Self::PullComplete => Message::update(id, "Pull complete"),
            Self::AlreadyExists => Message::update(id, "Already exists"),
        }
    }
}

impl Warning {
    fn message(&self) -> Option<Message> {
        let id = match self {
            Self::FallbackToTag { .. } => "WARNING",
            Self::OutdatedSchema1 { .. }
            | Self::Schema1InIndex { .. }
            | Self::DeprecatedSchema1 { .. } => "",
            Self::InvalidTag { .. }
            | Self::OldImageNotKept(_)
            | Self::OldNameNotRemoved(_)
            | Self::LeaseNotDeleted(_) => return None,
        };
        Some(Message::status(id, &self.to_string()))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FallbackToTag { endpoint } => write!(
                f,
                "\u{26a0}\u{fe0f} Failed to pull manifest by the resolved digest. This registry does not appear to conform to the distribution registry specification; falling back to pull by tag. This fallback is DEPRECATED, and will be removed in a future release. Please contact admins of {endpoint}. \u{26a0}\u{fe0f}"
            ),
            Self::OutdatedSchema1 { reference } => write!(
                f,
                "Image {reference} uses outdated schema1 manifest format. Please upgrade to a schema2 image for better future compatibility. More information at https://docs.docker.com/registry/spec/deprecated-schema-v1/"
            ),
            Self::Schema1InIndex { reference } => write!(
                f,
                "[DEPRECATION NOTICE] v2 schema1 manifests in manifest lists are not supported and will break in a future release. Suggest author of {reference} to upgrade to v2 schema2. More information at https://docs.docker.com/registry/spec/deprecated-schema-v1/"
            ),
            Self::DeprecatedSchema1 { reference } => {
                f.write_str(&docker::schema1_refused(reference))
            }
            Self::InvalidTag { tag } => write!(f, "invalid tag, won't pull: {tag:?}"),
            Self::OldImageNotKept(error) => {
                write!(f, "failed to keep the previous image as dangling: {error}")
            }
            Self::OldNameNotRemoved(error) => write!(
                f,
                "unexpected error while removing outdated dangling image reference: {error}"
            ),
            Self::LeaseNotDeleted(error) => write!(f, "failed to delete lease: {error}"),
        }
    }
}

/// Where a pull reports what happens. Clones report to the same stream.
#[derive(Debug, Clone, Default)]
pub struct Events(Option<mpsc::Sender<Event>>);

/// What happens during a pull; it ends with the pull. Progress is left out while nobody reads, and a pull whose stream
/// is held but not read waits. Drop it to hear of nothing more.
#[derive(Debug)]
pub struct EventStream(mpsc::Receiver<Event>);

impl Events {
    /// Reports, and the stream of them.
    #[must_use]
    pub fn channel() -> (Self, EventStream) {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        (Self(Some(sender)), EventStream(receiver))
    }

    /// Reports that nobody reads.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reports an event; progress is left out where nobody reads fast enough. For those who pull by other means.
    pub async fn report(&self, event: Event) {
        match event {
            Event::Layer { id, state } => self.layer(&id, state).await,
            event => self.send(event).await,
        }
    }

    /// Reports what must not be left out.
    pub(super) async fn send(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // Nobody reads any more.
            let _ = sender.send(event).await;
        }
    }

    pub(super) async fn layer(&self, id: &str, state: LayerState) {
        let event = Event::Layer {
            id: id.to_owned(),
            state,
        };
        match &event {
            Event::Layer {
                state: LayerState::Downloading { .. } | LayerState::Extracting { .. },
                ..
            } => {
                if let Some(sender) = &self.0 {
                    // The next one says more.
                    let _ = sender.try_send(event);
                }
            }
            _ => self.send(event).await,
        }
    }

    pub(super) async fn warn(&self, warning: Warning) {
        tracing::warn!("{warning}");
        self.send(Event::Warning(warning)).await;
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_recv(cx)
    }
}

const EVENTS_MAX: usize = 1024;

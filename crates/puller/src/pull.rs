//! Pulls images: what `docker pull` does, by its own engine and by containerd, without writing to a terminal.
//!
//! A [`Puller`] takes images from [`Registries`](crate::Registries) into [`Content`], such as a [`Layout`]. Layers that
//! several pulls want are transferred once ([`Transfers`]). What happens is a stream of [`Event`]s; a pull is cancelled
//! by dropping its future.
//!
//! ```no_run
//! use std::sync::Arc;
//! use futures_util::StreamExt;
//! use longshore_puller::Registries;
//! use longshore_puller::pull::{Events, Layout, Options, Puller};
//! use longshore_reference::Parsed;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let layout = Layout::open("images").await?;
//! let puller = Puller::new(Registries::new(), Arc::new(layout), Options::moby());
//! let reference = Parsed::parse("alpine:3.22")?;
//! let (events, mut stream) = Events::channel();
//! let show = async move {
//!     while let Some(event) = stream.next().await {
//!         println!("{event:?}");
//!     }
//! };
//! let (pulled, ()) = tokio::join!(puller.pull(&reference, events), show);
//! println!("{}", pulled?.images[0].target.digest);
//! # Ok(()) }
//! ```
//!
//! Where this departs from docker: images of any platform are pulled, because none is run. Downloads are shared by digest,
//! not by the chain of layers below. An image counts as held when its layers are there too, not its configuration alone.
//! A nested index without a match leads to the next entry, and any other error of it ends the pull. Layers compressed by
//! something else than gzip are not compared with the configuration.

mod config;
mod containerd;
mod content;
mod error;
mod event;
mod image;
mod layer;
mod layers;
mod layout;
mod manifests;
mod moby;
mod old;
mod options;
mod puller;
mod tags;
mod transfers;

use longshore_reference::Parsed;

pub use content::{Content, Image, Ingest, Job, Lease, Record, Unpacked};
pub use error::{Error, ErrorKind};
pub use event::{Event, EventStream, Events, LayerState, Warning};
pub use image::{Pulled, PulledImage};
pub use layout::Layout;
pub use options::{Engine, Options};
pub use puller::Puller;
pub use transfers::{Phase, Transfer, Transfers, Watcher};

impl Puller {
    /// Pulls what a reference stands for: by its digest, else by its tag, else all tags of the repository.
    ///
    /// # Errors
    /// See [`Error`]. All tags: the first that fails ends the pull; what was pulled before stays.
    pub async fn pull(&self, reference: &Parsed, events: Events) -> Result<Pulled, Error> {
        match self.options.engine {
            Engine::Moby => moby::pull(self, reference, &events).await,
            Engine::Containerd => containerd::pull(self, reference, &events).await,
        }
    }
}

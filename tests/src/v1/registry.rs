//! A registry of protocol v1, alone or behind an index, with the quirks of the Python registry.

use super::image::V1Image;
use super::site::{Hub, Part};
use crate::request::basic;
use crate::server::{Server, lock};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// A registry of protocol v1. It ends when it is dropped.
///
/// A *standalone* one is the Python registry: one server that says so when it is pinged, its token has the word
/// `Token ` inside, and `Content-Range` is without its unit. An *indexed* one is an index that hands out tokens and
/// names the registry, a second server, which takes nothing else.
///
/// Every fault can be ordered of [`index`](Self::index) and [`registry`](Self::registry).
#[derive(Debug)]
pub struct V1Registry {
    hub: Arc<Mutex<Hub>>,
    index: Server,
    registry: Option<Server>,
}

impl V1Registry {
    /// An empty standalone registry on a free port.
    pub async fn standalone() -> Self {
        Self::standalone_at(FREE.into()).await
    }

    /// An empty standalone registry at `address`.
    pub async fn standalone_at(address: SocketAddr) -> Self {
        let hub = Arc::<Mutex<Hub>>::default();
        let site = Arc::new(Part::Standalone(Arc::clone(&hub)));
        let index = Server::start(site, address).await;
        Self {
            hub,
            index,
            registry: None,
        }
    }

    /// An index and a registry, both empty, on free ports.
    pub async fn indexed() -> Self {
        Self::indexed_at(FREE.into()).await
    }

    /// An index at `address` and a registry on a free port, both empty.
    pub async fn indexed_at(address: SocketAddr) -> Self {
        let hub = Arc::<Mutex<Hub>>::default();
        let registry = Server::start(
            Arc::new(Part::Registry(Arc::clone(&hub))),
            SocketAddr::from(FREE),
        );
        let registry = registry.await;
        lock(&hub).endpoints = vec![registry.host()];
        let index = Server::start(Arc::new(Part::Index(Arc::clone(&hub))), address).await;
        Self {
            hub,
            index,
            registry: Some(registry),
        }
    }

    /// The server whose address clients are given.
    #[must_use]
    pub fn index(&self) -> &Server {
        &self.index
    }

    /// The server that has tags, images and layers; of a standalone registry the only one.
    #[must_use]
    pub fn registry(&self) -> &Server {
        self.registry.as_ref().unwrap_or(&self.index)
    }

    /// Keeps the image and tags it.
    pub fn push(&self, repository: &str, tag: &str, image: &V1Image) {
        let mut hub = self.hub();
        let mut ancestry = Vec::new();
        for layer in &image.layers {
            ancestry.insert(0, layer.id.clone());
            hub.images
                .insert(layer.id.clone(), (layer.clone(), ancestry.clone()));
        }
        let tags = hub.repositories.entry(repository.into()).or_default();
        tags.insert(tag.into(), image.id().into());
    }

    /// Tags any id, whether there is such an image or not.
    pub fn tag(&self, repository: &str, tag: &str, id: &str) {
        let mut hub = self.hub();
        let tags = hub.repositories.entry(repository.into()).or_default();
        tags.insert(tag.into(), id.into());
    }

    /// Deletes a tag.
    pub fn forget_tag(&self, repository: &str, tag: &str) {
        if let Some(tags) = self.hub().repositories.get_mut(repository) {
            tags.remove(tag);
        }
    }

    /// Deletes an image; other images still name it as their ancestor.
    pub fn forget_image(&self, id: &str) {
        self.hub().images.remove(id);
    }

    /// Asks for this user name and password: of every request but the ping when standalone, of the index
    /// otherwise.
    pub fn require_login(&self, username: &str, password: &str) {
        self.hub().login = Some(basic(username, password));
    }

    /// From now on a token works once and sets a cookie, which is what the registry takes afterwards.
    pub fn require_cookies(&self) {
        self.hub().cookies = true;
    }

    /// Makes every token and cookie that was given out invalid.
    pub fn expire_tokens(&self) {
        let mut hub = self.hub();
        hub.tokens.clear();
        hub.sessions.clear();
    }

    /// The hosts that `X-Docker-Endpoints` names, instead of the registry's.
    pub fn name_endpoints(&self, hosts: &[String]) {
        self.hub().endpoints = hosts.to_vec();
    }

    /// Both servers stop; see [`Server::stop`].
    pub async fn stop(&self) {
        self.index.stop().await;
        if let Some(registry) = &self.registry {
            registry.stop().await;
        }
    }

    /// Both servers start again on their ports; see [`Server::restart`].
    pub async fn restart(&self) {
        self.index.restart().await;
        if let Some(registry) = &self.registry {
            registry.restart().await;
        }
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        lock(&self.hub)
    }
}

const FREE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

//! A registry v2: what a [`Server`] is, with repositories to push into.

use crate::auth::{Auth, Bearer};
use crate::content::Content;
use crate::fault::{Fault, On};
use crate::registry::Registry;
use crate::server::{Server, lock};
use crate::token::TokenServer;
use bytes::Bytes;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

/// A registry v2 on a port of 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct Origin {
    server: Server,
    registry: Arc<Mutex<Registry>>,
}

impl Origin {
    /// Starts an empty registry on a free port.
    pub async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts an empty registry at `address`.
    pub async fn start_at(address: SocketAddr) -> Self {
        let registry = Arc::<Mutex<Registry>>::default();
        Self {
            server: Server::start(Arc::clone(&registry) as _, address).await,
            registry,
        }
    }

    /// Keeps a blob in `repository`; returns its digest.
    pub fn push_blob(&self, repository: &str, content: impl Into<Content>) -> String {
        self.registry().keep_blob(repository, content.into())
    }

    /// As [`push_blob`](Self::push_blob), under this digest: one of another algorithm.
    pub fn push_blob_as(&self, repository: &str, content: impl Into<Content>, digest: &str) {
        self.registry()
            .keep_blob_as(repository, content.into(), digest);
    }

    /// Keeps a manifest in `repository` by its digest and, if given, a tag; returns its digest.
    pub fn push_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        bytes: impl Into<Bytes>,
        media_type: &str,
    ) -> String {
        self.registry()
            .keep_manifest(repository, tag, bytes.into(), media_type)
    }

    /// As [`push_manifest`](Self::push_manifest), under this digest: one of another algorithm, or that of the
    /// payload of a signed schema 1 manifest.
    pub fn push_manifest_as(
        &self,
        repository: &str,
        tag: &str,
        bytes: impl Into<Bytes>,
        media_type: &str,
        digest: &str,
    ) {
        let content = Content::from(bytes.into());
        self.registry()
            .keep_manifest_as(repository, Some(tag), content, media_type, digest);
    }

    /// Deletes a tag, or what has this digest, from `repository`.
    pub fn forget(&self, repository: &str, name: &str) {
        self.registry().forget(repository, name);
    }

    /// The bytes of a blob that was pushed.
    ///
    /// # Panics
    /// When no repository holds it.
    #[must_use]
    pub fn blob(&self, digest: &str) -> Content {
        self.registry()
            .blob(digest)
            .expect("a blob that was pushed")
    }

    /// Asks this user name and password of every request.
    pub fn require_basic(&self, username: &str, password: &str) {
        self.registry().guard.auth = Auth::Basic(username.into(), password.into());
    }

    /// Asks for tokens of the own `/token`.
    pub fn require_bearer(&self, bearer: Bearer) {
        self.registry().guard.auth = Auth::Bearer(bearer);
    }

    /// Asks for tokens of this server.
    pub fn require_tokens_of(&self, server: &TokenServer) {
        self.registry().guard.tokens_of = Some(server.tokens());
    }

    /// Makes every token that was issued invalid.
    pub fn expire_tokens(&self) {
        self.registry().guard.expire();
    }

    /// HEAD of a blob is 401 even with a token, as at ECR Public.
    pub fn refuse_blob_head(&self) {
        self.order_always(On::head("/blobs/"), Fault::error(401, "UNAUTHORIZED"));
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }
}

impl Deref for Origin {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[cfg(test)]
mod tests;

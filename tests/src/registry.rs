//! What the origin holds, and the answer an honest registry would give.

use crate::answer::{self, Answer, DIGEST, altered, error_body, whole_or_range};
use crate::auth::Guard;
use crate::content::Content;
use crate::fault::Fault;
use crate::request::Request;
use crate::server::{Site, lock};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// Media types of manifests and of what they name.
pub mod media {
    /// An image manifest of OCI.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An index of OCI.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image manifest of Docker, schema 2.
    pub const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A manifest of Docker, schema 1, signed.
    pub const SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// A manifest list of Docker.
    pub const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// An image config of OCI.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// An image config of Docker.
    pub const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer of OCI.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer of Docker.
    pub const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// The repositories of an origin.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    repositories: HashMap<String, Repository>,
    pub(crate) guard: Guard,
}

#[derive(Debug, Default)]
struct Repository {
    tags: BTreeMap<String, String>,
    manifests: HashMap<String, (Content, String)>,
    blobs: HashMap<String, Content>,
}

impl Site for Mutex<Registry> {
    fn answer(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        answer::misbehave(request, host, faults, || {
            lock(self).honest(request, host, faults)
        })
    }
}

impl Registry {
    pub(crate) fn keep_blob(&mut self, repository: &str, content: Content) -> String {
        let digest = content.digest();
        self.keep_blob_as(repository, content, &digest);
        digest
    }

    pub(crate) fn keep_blob_as(&mut self, repository: &str, content: Content, digest: &str) {
        self.repository(repository)
            .blobs
            .insert(digest.into(), content);
    }

    pub(crate) fn keep_manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        bytes: Bytes,
        media: &str,
    ) -> String {
        let content = Content::from(bytes);
        let digest = content.digest();
        self.keep_manifest_as(repository, tag, content, media, &digest);
        digest
    }

    pub(crate) fn keep_manifest_as(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        content: Content,
        media: &str,
        digest: &str,
    ) {
        let repository = self.repository(repository);
        repository
            .manifests
            .insert(digest.into(), (content, media.into()));
        if let Some(tag) = tag {
            repository.tags.insert(tag.into(), digest.into());
        }
    }

    pub(crate) fn forget(&mut self, repository: &str, name: &str) {
        let repository = self.repository(repository);
        repository
            .tags
            .retain(|tag, digest| tag != name && digest != name);
        repository.manifests.remove(name);
        repository.blobs.remove(name);
    }

    pub(crate) fn blob(&self, digest: &str) -> Option<Content> {
        self.repositories
            .values()
            .find_map(|repository| repository.blobs.get(digest))
            .cloned()
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.into()).or_default()
    }

    fn honest(&mut self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        if request.path == "/token" {
            return self.guard.token(request);
        }
        if request.method != "GET" && request.method != "HEAD" {
            return Answer::json(405, error_body("UNSUPPORTED", "read only"));
        }
        if let Some(digest) = request.path.strip_prefix("/storage/") {
            return match self.blob(digest) {
                _ if request.header("authorization").is_some() => {
                    Answer::new(400, "one mechanism only".into())
                }
                Some(content) => whole_or_range(request, content, faults),
                None => Answer::new(404, "NoSuchKey".into()),
            };
        }
        self.api(request, host, faults)
    }

    fn api(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        let Some(path) = request.path.strip_prefix("/v2/") else {
            return Answer::new(404, "404 page not found\n".into());
        };
        if path.is_empty() {
            let mut answer = self
                .guard
                .refuse(request, None, host)
                .unwrap_or_else(|| Answer::json(200, Bytes::from_static(b"{}")));
            answer.set("Docker-Distribution-Api-Version", "registry/2.0");
            return answer;
        }
        // From the right: a repository may have components like "manifests".
        let mut parts = path.rsplitn(3, '/');
        let (Some(name), Some(kind), Some(repository)) = (parts.next(), parts.next(), parts.next())
        else {
            return Answer::new(404, "404 page not found\n".into());
        };
        if let Some(refusal) = self.guard.refuse(request, Some(repository), host) {
            return refusal;
        }
        let Some(held) = self.repositories.get(repository) else {
            return Answer::json(
                404,
                error_body("NAME_UNKNOWN", "repository name not known to registry"),
            );
        };
        match kind {
            "manifests" => held.manifest(name, faults),
            "blobs" => held.blobs.get(name).map_or_else(
                || Answer::json(404, error_body("BLOB_UNKNOWN", "blob unknown to registry")),
                |content| {
                    let mut answer = whole_or_range(request, content.clone(), faults);
                    answer.set(DIGEST, name);
                    answer
                },
            ),
            "tags" => held.tags(repository, request),
            "referrers" => held.referrers(name, request),
            _ => Answer::new(404, "404 page not found\n".into()),
        }
    }
}

impl Repository {
    fn manifest(&self, name: &str, faults: &[Fault]) -> Answer {
        let digest = self.tags.get(name).map_or(name, String::as_str);
        let Some((content, media)) = self.manifests.get(digest) else {
            return Answer::json(404, error_body("MANIFEST_UNKNOWN", "manifest unknown"));
        };
        let mut answer = Answer::new(200, altered(content.clone(), faults));
        answer.set("Content-Type", media);
        answer.set(DIGEST, digest);
        answer.set("Docker-Distribution-Api-Version", "registry/2.0");
        answer
    }

    /// `n` and `last`, with a `Link` to what follows.
    fn tags(&self, repository: &str, request: &Request) -> Answer {
        let pairs: HashMap<_, _> = request.pairs().into_iter().collect();
        let last = pairs.get("last").map_or("", String::as_str);
        let limit = pairs
            .get("n")
            .and_then(|n| n.parse().ok())
            .unwrap_or(usize::MAX);
        let all: Vec<_> = self.tags.keys().filter(|tag| tag.as_str() > last).collect();
        let tags = &all[..all.len().min(limit)];
        let mut answer = Answer::json(
            200,
            json!({ "name": repository, "tags": tags })
                .to_string()
                .into(),
        );
        if let (Some(last), true) = (tags.last(), tags.len() < all.len()) {
            answer.set(
                "Link",
                &format!("</v2/{repository}/tags/list?last={last}&n={limit}>; rel=\"next\""),
            );
        }
        answer
    }

    fn referrers(&self, digest: &str, request: &Request) -> Answer {
        let filter = request
            .pairs()
            .into_iter()
            .find(|(name, _)| name == "artifactType")
            .map(|(_, value)| value);
        let mut manifests = Vec::new();
        for (held, (content, media)) in &self.manifests {
            let document: Value = serde_json::from_slice(&content.bytes()).unwrap_or_default();
            let kind = document["artifactType"].as_str().unwrap_or_default();
            if document["subject"]["digest"] == digest
                && filter.as_ref().is_none_or(|filter| filter == kind)
            {
                let size = content.len();
                manifests.push(json!({ "mediaType": media, "digest": held, "size": size, "artifactType": kind }));
            }
        }
        manifests.sort_by_key(|entry| entry["digest"].to_string());
        let index =
            json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests });
        let mut answer = Answer::new(200, index.to_string().into());
        answer.set("Content-Type", media::OCI_INDEX);
        if filter.is_some() {
            answer.set("OCI-Filters-Applied", "artifactType");
        }
        answer
    }
}

//! Files by their names, in a folder or in a tar file.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use longshore_manifest::{Descriptor, MANIFEST_BYTES_MAX, Manifest, MediaType};
use longshore_reference::Digest;

use super::{archive::Archive, content::Content, error::Error};
use crate::Document;

/// Where the files of an image are. Names are given by the formats, never by an image.
#[derive(Debug)]
pub(super) enum Tree {
    Folder(PathBuf),
    Archive(Archive),
}

impl Tree {
    /// The folder or the archive.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Archive(archive) => archive.path(),
        }
    }

    /// The bytes of a file; `None` where there is no such file.
    pub(super) async fn content(&self, name: &str) -> Result<Option<Content>, Error> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Archive(archive) => return archive.content(name).await,
        };
        let path = folder.join(name);
        let metadata = match tokio::fs::metadata(&path).await {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path, error)),
        };
        if !metadata.is_file() {
            return Err(Error::malformed(path, "not a file"));
        }
        Content::of_file(&path, 0, metadata.len()).await.map(Some)
    }

    /// All bytes of a file, at most `limit`.
    pub(super) async fn bytes(&self, name: &str, limit: usize) -> Result<Option<Bytes>, Error> {
        match self.content(name).await? {
            Some(content) => content.read(limit, name).await.map(Some),
            None => Ok(None),
        }
    }

    /// A blob, verified.
    pub(super) async fn blob(&self, name: &str, digest: Digest) -> Result<Content, Error> {
        match self.content(name).await? {
            Some(content) => Ok(content.verified(digest)),
            None => Err(self.missing(digest)),
        }
    }

    /// A manifest, verified.
    pub(super) async fn manifest(
        &self,
        name: &str,
        descriptor: &Descriptor,
    ) -> Result<Document, Error> {
        let content = self.blob(name, descriptor.digest).await?;
        let bytes = content.read(MANIFEST_BYTES_MAX, name).await?;
        let manifest = decode(Some(&descriptor.media_type), bytes)?;
        let size = manifest.bytes().len() as u64;
        let mut found =
            Descriptor::new(manifest.media_type().clone(), descriptor.digest, Some(size));
        found.platform.clone_from(&descriptor.platform);
        Ok(Document {
            descriptor: found,
            manifest,
        })
    }

    fn missing(&self, digest: Digest) -> Error {
        Error::malformed(self.path(), format!("blob {digest} is missing"))
    }
}

/// Reads a manifest.
pub(super) fn decode(media_type: Option<&MediaType>, bytes: Bytes) -> Result<Manifest, Error> {
    let media_type = media_type.map(MediaType::as_str);
    Manifest::decode(media_type, bytes).map_err(|source| Error::document("manifest", source))
}

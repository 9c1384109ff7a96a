//! Where an image is read from.

use std::path::Path;

use longshore_manifest::{Choice, Descriptor, Kind as Shape, Preference};
use longshore_reference::Digest;

use super::{
    archive::Archive,
    content::Content,
    error::Error,
    folder::Folder,
    layout::Layout,
    registry::{Access, Remote},
    saved::{Saved, SavedImage},
    tree::Tree,
};
use crate::{Document, image_name::ImageName, policy::Signature};

/// An image in any transport, opened for reading. What it gives is verified by digest.
#[derive(Debug)]
pub struct Source {
    name: ImageName,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Remote(Remote),
    Saved(Box<SavedImage>),
    Layout(Layout),
    Folder(Folder),
}

impl Source {
    /// Opens an image: of an archive or a layout its lists are read, a registry is not asked yet.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Malformed`], [`Error::NoImage`], [`Error::NotOneImage`], [`Error::Document`];
    /// [`Error::Sources`] for a registry that is blocked.
    pub async fn open(name: &ImageName, access: &Access) -> Result<Self, Error> {
        let kind = match name {
            ImageName::Docker(name) => Kind::Remote(Remote::new(name, access)?),
            ImageName::DockerArchive(name) => {
                let saved = Saved::open(Path::new(name.path())).await?;
                let at = saved.find(name.image())?;
                Kind::Saved(Box::new(saved.open_image(at).await?))
            }
            ImageName::Oci(name) => {
                let tree = Tree::Folder(name.path().into());
                Kind::Layout(Layout::open(tree, name).await?)
            }
            ImageName::OciArchive(name) => {
                let archive = Archive::open(Path::new(name.path())).await?;
                Kind::Layout(Layout::open(Tree::Archive(archive), name).await?)
            }
            ImageName::Dir(path) => Kind::Folder(Folder::new(path)),
        };
        let name = name.clone();
        Ok(Self { name, kind })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ImageName {
        &self.name
    }

    /// The names that a file of `docker save` or a layout gives the image, as written.
    #[must_use]
    pub fn given_names(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Saved(image) => image.repo_tags().iter().map(|tag| &**tag).collect(),
            Kind::Layout(layout) => layout.name().into_iter().collect(),
            Kind::Remote(_) | Kind::Folder(_) => Vec::new(),
        }
    }

    /// The manifest, or the index, that the name stands for.
    ///
    /// # Errors
    /// Those of the registry; [`Error::NoImage`], [`Error::Digest`], [`Error::Document`].
    pub async fn top(&self) -> Result<Document, Error> {
        match &self.kind {
            Kind::Remote(remote) => remote.top().await,
            Kind::Saved(image) => Ok(image.top()),
            Kind::Layout(layout) => layout.top().await,
            Kind::Folder(folder) => folder.top().await,
        }
    }

    /// Type, digest and size of what the name stands for; of a registry without fetching it, where the registry tells
    /// its digest.
    ///
    /// # Errors
    /// As [`top`](Self::top).
    pub async fn resolve(&self) -> Result<Descriptor, Error> {
        match &self.kind {
            Kind::Remote(remote) => remote.resolve().await,
            _ => Ok(self.top().await?.descriptor),
        }
    }

    /// A manifest of the index.
    ///
    /// # Errors
    /// As [`top`](Self::top).
    pub async fn manifest(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        match &self.kind {
            Kind::Remote(remote) => remote.manifest(descriptor).await,
            Kind::Saved(_) => Err(Error::Unsupported("a file of docker save has no indexes")),
            Kind::Layout(layout) => layout.manifest(descriptor).await,
            Kind::Folder(folder) => folder.manifest(descriptor).await,
        }
    }

    /// The image that `preference` chooses, where the name stands for an index; else the manifest.
    ///
    /// # Errors
    /// As [`top`](Self::top); [`Error::Document`] with [`NoMatch`](longshore_manifest::Error::NoMatch) where nothing
    /// fits.
    pub async fn image(&self, preference: Preference) -> Result<Document, Error> {
        let top = self.top().await?;
        self.choose(top, preference).await
    }

    /// The same, of an index that was read.
    pub(super) async fn choose(
        &self,
        top: Document,
        preference: Preference,
    ) -> Result<Document, Error> {
        if top.manifest.kind() != Shape::Index {
            return Ok(top);
        }
        let unusable = |source| Error::document("index", source);
        let mut choice = Choice::new(preference, &top.manifest).map_err(unusable)?;
        while let Some(entry) = choice.next() {
            let document = self.manifest(&entry).await?;
            if document.manifest.kind() != Shape::Index {
                return Ok(document);
            }
            choice.descend(&document.manifest).map_err(unusable)?;
        }
        Err(unusable(choice.no_match()))
    }

    /// A configuration or a layer. The last chunk is withheld until the digest of all bytes is right.
    ///
    /// # Errors
    /// Those of the registry; [`Error::Malformed`] where it is missing.
    pub async fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        match &self.kind {
            Kind::Remote(remote) => remote.blob(descriptor).await,
            Kind::Saved(image) => image.blob(descriptor).await,
            Kind::Layout(layout) => layout.blob(descriptor).await,
            Kind::Folder(folder) => folder.blob(descriptor).await,
        }
    }

    /// The signatures of a manifest. `is_top` says that it is what the name stands for, not one of its images. Layouts
    /// and files of `docker save` have none.
    ///
    /// # Errors
    /// Those of the registry and of the file system.
    pub async fn signatures(&self, digest: &Digest, is_top: bool) -> Result<Vec<Signature>, Error> {
        match &self.kind {
            Kind::Remote(remote) => remote.signatures(digest).await,
            Kind::Folder(folder) => folder.signatures(Some(digest).filter(|_| !is_top)).await,
            Kind::Saved(_) | Kind::Layout(_) => Ok(Vec::new()),
        }
    }
}

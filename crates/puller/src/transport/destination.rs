//! Where an image is written to.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use longshore_manifest::{
    Descriptor, DiffId, MANIFEST_BYTES_MAX, Manifest,
    docker_archive::{self, Image},
    layout,
};
use longshore_reference::{Digest, Parsed, Tagged};
use tempfile::TempDir;

use super::{
    content::{Content, blocking},
    error::Error,
    files,
    folder::{MANIFEST_FILE, VERSION, VERSION_FILE, instance_file},
};
use crate::image_name::{ArchiveImage, ArchiveName, ImageName, LayoutImage, LayoutName};

/// An image that is being written in any transport but `docker:`. A layout and a folder are written in place, blob after
/// blob; the image appears in them by [`commit`](Self::commit). A file is written as a whole by it.
#[derive(Debug)]
pub struct Destination {
    name: ImageName,
    kind: Kind,
}

/// Which manifests a destination takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Takes {
    /// Any, byte for byte.
    Any,
    /// Those of OCI.
    Oci,
    /// None: configurations and plain layers ([`Destination::put_saved`]).
    Saved,
}

#[derive(Debug)]
enum Kind {
    Layout {
        folder: PathBuf,
        /// What becomes the tar file at the end.
        staged: Option<TempDir>,
        top: Box<Mutex<Option<Descriptor>>>,
    },
    Folder {
        folder: PathBuf,
        /// The names of the files of this image; those of an image before it are removed at the end.
        written: Mutex<BTreeSet<String>>,
    },
    Saved {
        staged: TempDir,
        images: Mutex<Vec<(Image, Vec<files::Member>)>>,
    },
}

impl Destination {
    /// Prepares the destination: creates folders and looks at what is there.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a registry, and for an image by its place; [`Error::Exists`] for a file of
    /// `docker save` that is there; [`Error::NotOurs`] for a folder with something else in it; [`Error::File`].
    pub async fn open(name: &ImageName) -> Result<Self, Error> {
        let kind = match name {
            ImageName::Docker(_) => {
                return Err(Error::Unsupported("images cannot be copied to a registry"));
            }
            ImageName::Oci(layout) => open_layout(layout).await?,
            ImageName::OciArchive(layout) => open_layout_archive(layout).await?,
            ImageName::Dir(path) => open_folder(path).await?,
            ImageName::DockerArchive(archive) => open_saved(archive).await?,
        };
        let name = name.clone();
        Ok(Self { name, kind })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ImageName {
        &self.name
    }

    /// Which manifests it takes.
    #[must_use]
    pub fn takes(&self) -> Takes {
        match self.kind {
            Kind::Layout { .. } => Takes::Oci,
            Kind::Folder { .. } => Takes::Any,
            Kind::Saved { .. } => Takes::Saved,
        }
    }

    /// The length in bytes of a blob that is there already. It is read and verified.
    ///
    /// # Errors
    /// [`Error::File`]
    pub async fn holds(&self, digest: Digest) -> Result<Option<u64>, Error> {
        let found = files::holds(&self.blob_path(digest), digest).await?;
        if found.is_some() {
            self.keep(&digest.hex());
        }
        Ok(found)
    }

    /// Writes a blob, verified; returns its length in bytes.
    ///
    /// # Errors
    /// [`Error::Digest`], [`Error::File`], and those of the content.
    pub async fn put_blob(&self, digest: Digest, content: Content) -> Result<u64, Error> {
        let path = self.blob_path(digest);
        if matches!(self.kind, Kind::Layout { .. }) {
            files::create_folders(files::parent(&path)).await?;
        }
        let written = files::write(&path, digest, content).await?;
        self.keep(&digest.hex());
        Ok(written)
    }

    /// In a folder: the file of this name is part of the image.
    fn keep(&self, name: &str) {
        if let Kind::Folder { written, .. } = &self.kind {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(name.to_owned());
        }
    }

    /// Writes a manifest by its digest: what the image is (`is_top`), or one of its index.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Unsupported`] for a file of `docker save`.
    pub async fn put_manifest(
        &self,
        manifest: &Manifest,
        descriptor: &Descriptor,
        is_top: bool,
    ) -> Result<(), Error> {
        match &self.kind {
            Kind::Layout { top, .. } => {
                let content = Content::of_bytes(manifest.bytes().clone());
                let size = self.put_blob(descriptor.digest, content).await?;
                if is_top {
                    let media_type = descriptor.media_type.clone();
                    let entry = Descriptor::new(media_type, descriptor.digest, Some(size));
                    *top.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
                }
                Ok(())
            }
            Kind::Folder { folder, .. } => {
                let name = match is_top {
                    true => MANIFEST_FILE.to_owned(),
                    false => instance_file(&descriptor.digest),
                };
                files::replace(&folder.join(&name), manifest.bytes()).await?;
                self.keep(&name);
                Ok(())
            }
            Kind::Saved { .. } => Err(Error::Unsupported("a file of docker save has no manifests")),
        }
    }

    /// Adds an image to a file of `docker save`: its configuration and its layers, which were put as plain tars. It gets
    /// the tag of the destination's name, and these.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another transport.
    pub fn put_saved(
        &self,
        config: Digest,
        layers: &[DiffId],
        tags: &[Tagged],
    ) -> Result<(), Error> {
        let Kind::Saved { images, .. } = &self.kind else {
            return Err(Error::Unsupported("not a file of docker save"));
        };
        let mut image = Image::new(&config, layers);
        let own = self.name.docker_reference().and_then(tagged);
        for tag in own.iter().chain(tags) {
            image.add_name(tag);
        }
        let layers = layers.iter().map(|layer| layer.digest());
        let names = image.layers.iter().chain([&image.config]);
        let members = names.zip(layers.chain([config]));
        let members = members.map(|(name, digest)| (name.to_string(), self.blob_path(digest)));
        let members = members.collect();
        let mut images = images.lock().unwrap_or_else(PoisonError::into_inner);
        images.push((image, members));
        Ok(())
    }

    /// Ends the writing: the image appears under its name.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Document`] for an index of a layout that cannot be read.
    pub async fn commit(self) -> Result<(), Error> {
        let to = PathBuf::from(self.name.path().unwrap_or_default());
        match self.kind {
            Kind::Layout {
                folder,
                staged,
                top,
            } => {
                let top = top.into_inner().unwrap_or_else(PoisonError::into_inner);
                if let Some(top) = top {
                    enter(&folder, top, ref_name(&self.name)).await?;
                }
                if staged.is_some() {
                    files::write_archive(&to, layout_members(&folder)?).await?;
                }
                Ok(())
            }
            Kind::Folder { folder, written } => {
                let written = written.into_inner().unwrap_or_else(PoisonError::into_inner);
                files::replace(&folder.join(VERSION_FILE), VERSION).await?;
                let path = folder.clone();
                let cleared = blocking(move || clear(&folder, &written)).await;
                cleared.map_err(|source| Error::file("clear", path, source))?
            }
            Kind::Saved { staged, images } => {
                let images = images.into_inner().unwrap_or_else(PoisonError::into_inner);
                let list = staged.path().join(docker_archive::MANIFEST_FILE);
                let (images, members): (Vec<_>, Vec<_>) = images.into_iter().unzip();
                files::replace(&list, docker_archive::encode(&images)).await?;
                let mut seen = BTreeSet::new();
                let mut members: Vec<_> = members.into_iter().flatten().collect();
                members.retain(|(name, _)| seen.insert(name.clone()));
                members.push((docker_archive::MANIFEST_FILE.to_owned(), list));
                files::write_archive(&to, members).await
            }
        }
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        match &self.kind {
            Kind::Layout { folder, .. } => folder.join(layout::blob_path(&digest)),
            Kind::Folder { folder, .. } => folder.join(digest.hex().to_string()),
            Kind::Saved { staged, .. } => staged.path().join(digest.hex().to_string()),
        }
    }
}

async fn open_layout(name: &LayoutName) -> Result<Kind, Error> {
    no_index(name)?;
    let folder = PathBuf::from(name.path());
    files::create_folders(&folder).await?;
    let marker = folder.join(layout::MARKER_FILE);
    match tokio::fs::read(&marker).await {
        Ok(bytes) => layout::check_marker(&bytes)
            .map_err(|source| Error::document(layout::MARKER_FILE, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::replace(&marker, layout::MARKER).await?;
        }
        Err(error) => return Err(Error::file("read", marker, error)),
    }
    Ok(Kind::Layout {
        folder,
        staged: None,
        top: Box::default(),
    })
}

async fn open_layout_archive(name: &LayoutName) -> Result<Kind, Error> {
    no_index(name)?;
    let staged = stage(Path::new(name.path())).await?;
    let folder = staged.path().to_owned();
    files::replace(&folder.join(layout::MARKER_FILE), layout::MARKER).await?;
    Ok(Kind::Layout {
        folder,
        staged: Some(staged),
        top: Box::default(),
    })
}

async fn open_folder(path: &str) -> Result<Kind, Error> {
    let folder = PathBuf::from(path);
    files::create_folders(&folder).await?;
    let checked = folder.clone();
    let checked = blocking(move || is_ours(&checked)).await;
    match checked.map_err(|source| Error::file("read", &folder, source))?? {
        true => Ok(Kind::Folder {
            folder,
            written: Mutex::default(),
        }),
        false => Err(Error::NotOurs(folder)),
    }
}

async fn open_saved(name: &ArchiveName) -> Result<Kind, Error> {
    if let ArchiveImage::Index(_) = name.image() {
        return Err(Error::Unsupported("an image is not written by its place"));
    }
    let path = Path::new(name.path());
    let there = tokio::fs::metadata(path).await;
    if there.is_ok_and(|metadata| metadata.len() > 0) {
        return Err(Error::Exists(path.to_owned()));
    }
    Ok(Kind::Saved {
        staged: stage(path).await?,
        images: Mutex::default(),
    })
}

fn no_index(name: &LayoutName) -> Result<(), Error> {
    match name.image() {
        LayoutImage::Index(_) => Err(Error::Unsupported("an image is not written by its place")),
        LayoutImage::Only | LayoutImage::Named(_) => Ok(()),
    }
}

/// A folder beside the file that is to be written, removed in the end.
async fn stage(path: &Path) -> Result<TempDir, Error> {
    let folder = files::parent(path).to_owned();
    let create = move || {
        let mut builder = tempfile::Builder::new();
        builder.prefix(files::TEMPORARY).tempdir_in(folder)
    };
    let created = blocking(create).await.flatten();
    created.map_err(|source| Error::file("write", path, source))
}

/// Whether a folder is empty, or an image was copied to it before.
fn is_ours(folder: &Path) -> Result<bool, Error> {
    let names = files::names(folder).map_err(|source| Error::file("read", folder, source))?;
    let version = fs::read_to_string(folder.join(VERSION_FILE)).unwrap_or_default();
    Ok(names.is_empty() || version.starts_with("Directory Transport Version: "))
}

/// Removes the files of an image that was in a folder before.
fn clear(folder: &Path, written: &BTreeSet<String>) -> Result<(), Error> {
    let names = files::names(folder).map_err(|source| Error::file("read", folder, source))?;
    let others = names.difference(written);
    for name in others.filter(|name| is_of_image(name)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(|source| Error::file("remove", path, source))?;
    }
    Ok(())
}

/// Whether a file of a folder is part of an image.
fn is_of_image(name: &str) -> bool {
    let hex = name
        .strip_suffix(&[".", MANIFEST_FILE].concat())
        .unwrap_or(name);
    let is_hex = hex.len() >= 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        || name == MANIFEST_FILE
        || name.starts_with(files::TEMPORARY)
        || name.contains("signature-")
}

/// Enters an image into the index of a layout.
async fn enter(folder: &Path, top: Descriptor, name: Option<&str>) -> Result<(), Error> {
    let path = folder.join(layout::INDEX_FILE);
    let unusable = |source| Error::document(layout::INDEX_FILE, source);
    let mut index = match tokio::fs::metadata(&path).await {
        Ok(metadata) => {
            let content = Content::of_file(&path, 0, metadata.len()).await?;
            let bytes = content.read(MANIFEST_BYTES_MAX, layout::INDEX_FILE).await?;
            layout::Index::decode(bytes).map_err(unusable)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => layout::Index::new(),
        Err(error) => return Err(Error::file("read", path, error)),
    };
    index.set(top, name);
    files::replace(&path, index.encode().map_err(unusable)?).await
}

fn ref_name(name: &ImageName) -> Option<&str> {
    match name {
        ImageName::Oci(name) | ImageName::OciArchive(name) => match name.image() {
            LayoutImage::Named(name) => Some(name),
            LayoutImage::Only | LayoutImage::Index(_) => None,
        },
        ImageName::Docker(_) | ImageName::DockerArchive(_) | ImageName::Dir(_) => None,
    }
}

/// The files of a layout, sorted by their names.
fn layout_members(folder: &Path) -> Result<Vec<files::Member>, Error> {
    let failed = |source| Error::file("read", folder, source);
    let mut members = Vec::new();
    let blobs = folder.join("blobs");
    for algorithm in files::names(&blobs).map_err(failed)? {
        let of_algorithm = blobs.join(&algorithm);
        for hex in files::names(&of_algorithm).map_err(failed)? {
            let path = of_algorithm.join(&hex);
            members.push((format!("blobs/{algorithm}/{hex}"), path));
        }
    }
    for name in [layout::INDEX_FILE, layout::MARKER_FILE] {
        members.push((name.to_owned(), folder.join(name)));
    }
    Ok(members)
}

fn tagged(reference: &Parsed) -> Option<Tagged> {
    let tag = reference.tag()?.clone();
    Some(Tagged::new(reference.named().clone(), tag))
}

//! Names of images in files of `docker save`, and in the OCI image layout.

use std::fmt;

use longshore_reference::Parsed;

use super::{Error, Transport, oci::is_image_name};

/// An image in a file of `docker save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveName {
    path: String,
    image: ArchiveImage,
}

/// Which image of a file of `docker save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveImage {
    /// The only one; for a destination, one without a tag.
    Only,
    /// That with this tag.
    Tagged(Parsed),
    /// By its place in the file, from 0; of a source only.
    Index(usize),
}

/// An image in the OCI image layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutName {
    path: String,
    image: LayoutImage,
}

/// Which image of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutImage {
    /// The only one; for a destination, one without a name.
    Only,
    /// That with this `org.opencontainers.image.ref.name`.
    Named(String),
    /// By its place in the index, from 0; of a source only, and not of an archive.
    Index(usize),
}

impl ArchiveName {
    /// An image of a file.
    ///
    /// # Errors
    /// [`Error::ColonInPath`]; [`Error::ArchiveDigest`] for a reference with a digest; [`Error::NameOnly`] for one
    /// without a tag.
    pub fn new(path: &str, image: ArchiveImage) -> Result<Self, Error> {
        no_colon(path, Transport::DockerArchive)?;
        if let ArchiveImage::Tagged(reference) = &image {
            if reference.digest().is_some() {
                return Err(Error::ArchiveDigest(reference.to_string()));
            }
            if reference.tag().is_none() {
                return Err(Error::NameOnly(reference.familiar().to_string()));
            }
        }
        let path = path.to_owned();
        Ok(Self { path, image })
    }

    /// Reads `path[:reference|:@index]`.
    ///
    /// # Errors
    /// [`Error::NoPath`], [`Error::Index`], [`Error::Reference`], [`Error::ArchiveDigest`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::NoPath);
        }
        let Some((path, image)) = text.split_once(':') else {
            return Self::new(text, ArchiveImage::Only);
        };
        if let Some(number) = image.strip_prefix('@') {
            return Self::new(path, ArchiveImage::Index(index(number)?));
        }
        let reference = Parsed::parse(image).map_err(|source| Error::Reference {
            transport: Transport::DockerArchive,
            text: image.to_owned(),
            source,
        })?;
        Self::new(path, ArchiveImage::Tagged(reference.or_latest()))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which image of it.
    #[must_use]
    pub fn image(&self) -> &ArchiveImage {
        &self.image
    }
}

impl LayoutName {
    /// An image of a folder.
    ///
    /// # Errors
    /// [`Error::ColonInPath`], [`Error::LayoutImage`].
    pub fn new(path: &str, image: LayoutImage) -> Result<Self, Error> {
        no_colon(path, Transport::Oci)?;
        if let LayoutImage::Named(name) = &image
            && !is_image_name(name)
        {
            return Err(Error::LayoutImage(name.clone()));
        }
        let path = path.to_owned();
        Ok(Self { path, image })
    }

    pub(super) fn parse(text: &str, transport: Transport) -> Result<Self, Error> {
        let (path, image) = text.split_once(':').unwrap_or((text, ""));
        let image = match image.strip_prefix('@') {
            _ if image.is_empty() => LayoutImage::Only,
            Some(number) if transport == Transport::OciArchive => {
                return Err(Error::LayoutImage(["@", number].concat()));
            }
            Some(number) => LayoutImage::Index(index(number)?),
            None => LayoutImage::Named(image.to_owned()),
        };
        Self::new(path, image)
    }

    /// The folder, or the tar file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which image of it.
    #[must_use]
    pub fn image(&self) -> &LayoutImage {
        &self.image
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.image {
            ArchiveImage::Only => Ok(()),
            ArchiveImage::Tagged(reference) => write!(f, ":{reference}"),
            ArchiveImage::Index(index) => write!(f, ":@{index}"),
        }
    }
}

impl fmt::Display for LayoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        match &self.image {
            LayoutImage::Only => Ok(()),
            LayoutImage::Named(name) => f.write_str(name),
            LayoutImage::Index(index) => write!(f, "@{index}"),
        }
    }
}

fn index(number: &str) -> Result<usize, Error> {
    number.parse().map_err(|_| Error::Index(number.to_owned()))
}

fn no_colon(path: &str, transport: Transport) -> Result<(), Error> {
    match path.contains(':') {
        true => Err(Error::ColonInPath {
            transport,
            path: path.to_owned(),
        }),
        false => Ok(()),
    }
}

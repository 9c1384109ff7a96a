//! A source, and the name that its copy gets.

use std::fmt;

use longshore_reference::Parsed;

use super::{Error, decompose};
use crate::{
    image_name::{DockerName, ImageName},
    short_names::LOCALHOST,
};

/// A source and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair {
    /// How the image is called in messages.
    pub image: String,
    /// Where it is.
    pub source: ImageName,
    /// Which name it gets.
    pub destination: Destination,
}

/// The name that a copied image gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// In full, with a tag or a digest.
    Name(Parsed),
    /// None: its id, the hexadecimal digest of its configuration.
    ImageId(String),
}

impl Pair {
    /// A source and the name to give it. A name without a registry is one of `localhost`; the reference that the source
    /// carries comes before the name.
    ///
    /// # Errors
    /// [`Error::Destination`]
    pub fn new(source: ImageName, name: &str) -> Result<Self, Error> {
        let image = match decompose(name) {
            Ok(parts) if !parts.has_registry() => parts.with_registry(LOCALHOST)?.to_string(),
            Ok(_) | Err(_) => name.to_owned(),
        };
        let destination = match source.docker_reference() {
            Some(reference) => Destination::Name(reference.clone().or_latest()),
            None => Destination::parse(&image)?,
        };
        Ok(Self {
            image,
            source,
            destination,
        })
    }

    /// An image of a registry under its own name.
    pub(super) fn of_registry(reference: Parsed, image: &str) -> Result<Self, Error> {
        let source = DockerName::new(reference.or_latest()).map_err(|source| Error::Source {
            name: image.to_owned(),
            source,
        })?;
        Self::new(ImageName::Docker(source), image)
    }
}

impl Destination {
    /// Reads a name, or `@` and the 64 digits of an id.
    ///
    /// # Errors
    /// [`Error::Destination`]
    pub fn parse(name: &str) -> Result<Self, Error> {
        let is_hex = |id: &&str| {
            let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            id.len() == ID_DIGITS && id.bytes().all(digits)
        };
        if let Some(id) = name.strip_prefix('@').filter(is_hex) {
            return Ok(Self::ImageId(id.to_owned()));
        }
        let parsed = Parsed::parse(name).map_err(|source| Error::Destination {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self::Name(parsed.or_latest()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(reference) => reference.fmt(f),
            Self::ImageId(id) => write!(f, "@{id}"),
        }
    }
}

const ID_DIGITS: usize = 64;

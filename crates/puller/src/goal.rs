//! What a pull copies from where to where: libpod's pull goals.
//!
//! A [`Goal`] is a list of pairs of a source and the name the image gets, and whether all are copied or the first that
//! can be. What an archive holds has to be read first and is passed in as [`Contents`].
//!
//! ```
//! use longshore_puller::{goal::{Contents, Goal}, image_name::ImageName};
//!
//! let source: ImageName = "docker-archive:image.tar".parse()?;
//! let tags = ["app:1", "quay.io/app:latest"].map(str::to_owned);
//! let goal = Goal::from_image_name(&source, "docker-archive:image.tar", &Contents::tags(&tags))?;
//! assert!(goal.all);
//! let names: Vec<_> = goal.pairs.iter().map(|pair| pair.destination.to_string()).collect();
//! assert_eq!(names, ["localhost/app:1", "quay.io/app:latest"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Departures
//!
//! Podman goes on to the next pair after any error, also when it was cancelled, and hides the errors of all pairs where
//! one of them can be copied. Callers stop when cancelled, and report the errors beside the success.

use longshore_reference::{Parsed, Tag};

use crate::{
    image_name::ImageName,
    short_names::{LOCALHOST, Resolved},
};

mod error;
mod failure;
mod names;
mod pair;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use failure::{Failure, MultiError, trying_to_pull};
pub use names::{
    Parts, base_name, decompose, has_label, name_from_annotations, no_label, normalize_name,
    normalized_tag, strip_tag_of_digest,
};
pub use pair::{Destination, Pair};

/// What to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Goal {
    /// In this order.
    pub pairs: Vec<Pair>,
    /// Every pair is copied; else the first that can be ends the pull.
    pub all: bool,
    /// The search registries that the pairs come from; `None` where the name was not searched for.
    pub searched: Option<Vec<String>>,
}

/// What is in an archive, as far as it decides how its image is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Contents<'a> {
    /// The `RepoTags` of the first image of a file of `docker save`.
    pub repo_tags: &'a [String],
    /// The `org.opencontainers.image.ref.name` of the image of an `oci-archive`.
    pub ref_name: Option<&'a str>,
    /// The hexadecimal digest of the configuration, for an image without a name.
    pub image_id: Option<&'a str>,
}

impl<'a> Contents<'a> {
    /// Those of a file of `docker save` whose first image has these tags.
    #[must_use]
    pub fn tags(repo_tags: &'a [String]) -> Self {
        Self {
            repo_tags,
            ..Self::default()
        }
    }

    /// Those of an `oci-archive` whose image has this name.
    #[must_use]
    pub fn ref_name(name: &'a str) -> Self {
        Self {
            ref_name: Some(name),
            ..Self::default()
        }
    }

    /// Those of an archive whose image has no name.
    #[must_use]
    pub fn image_id(hex: &'a str) -> Self {
        Self {
            image_id: Some(hex),
            ..Self::default()
        }
    }

    fn id(&self) -> Result<String, Error> {
        let id = self.image_id.ok_or(Error::NoImageId)?;
        Ok(["@", id].concat())
    }
}

impl Goal {
    /// The goal for an image of a known transport; `name` is how it was given.
    ///
    /// An image of a file of `docker save` is copied once for each of its tags. One of an `oci-archive` gets the name it
    /// has there; an image without a name gets its id. A folder gets its path as its name.
    ///
    /// # Errors
    /// [`Error::Destination`] and [`Error::NoImageId`].
    pub fn from_image_name(
        source: &ImageName,
        name: &str,
        contents: &Contents<'_>,
    ) -> Result<Self, Error> {
        let single = |name: &str| Ok(Self::single(Pair::new(source.clone(), name)?));
        match source {
            ImageName::DockerArchive(_) if contents.repo_tags.is_empty() => single(&contents.id()?),
            ImageName::DockerArchive(_) => {
                let tags = contents.repo_tags.iter();
                let pairs = tags.map(|tag| Pair::new(source.clone(), tag));
                Ok(Self {
                    pairs: pairs.collect::<Result<_, _>>()?,
                    all: true,
                    searched: None,
                })
            }
            ImageName::OciArchive(_) => match contents.ref_name {
                None | Some("") => single(&contents.id()?),
                Some(name) => single(name),
            },
            ImageName::Dir(path) if path.starts_with('/') => single(&[LOCALHOST, path].concat()),
            ImageName::Dir(path) => single(path),
            ImageName::Docker(_) | ImageName::Oci(_) => single(name),
        }
    }

    /// The goal for a name that may lack its registry: then one pair for each search registry, of which the first that
    /// can be copied ends the pull. This is what libpod did before there were aliases;
    /// [`from_short_name`](Self::from_short_name) is what its successors do.
    ///
    /// # Errors
    /// [`Error::Reference`], [`Error::Source`], [`Error::Destination`].
    pub fn from_name(name: &str, search_registries: &[String]) -> Result<Self, Error> {
        let parts = decompose(name)?;
        if parts.has_registry() {
            let pair = Pair::of_registry(
                Parsed::parse(name).map_err(|source| Error::Reference {
                    name: name.to_owned(),
                    source,
                })?,
                name,
            )?;
            return Ok(Self::single(pair));
        }
        let pair = |registry: &String| {
            let reference = parts.with_registry(registry)?;
            let name = reference.to_string();
            Pair::of_registry(reference, &name)
        };
        Ok(Self {
            pairs: search_registries
                .iter()
                .map(pair)
                .collect::<Result<_, _>>()?,
            all: false,
            searched: Some(search_registries.to_vec()),
        })
    }

    /// The goal for what a short name was resolved to.
    ///
    /// # Errors
    /// [`Error::Source`] for a candidate with both a tag and a digest.
    pub fn from_short_name(resolved: &Resolved) -> Result<Self, Error> {
        let candidates = resolved.candidates().iter();
        let pair =
            |reference: &Parsed| Pair::of_registry(reference.clone(), &reference.to_string());
        Ok(Self {
            pairs: candidates
                .map(|c| pair(&c.reference))
                .collect::<Result<_, _>>()?,
            all: false,
            searched: None,
        })
    }

    /// The goal for every tag of a repository: all are copied.
    ///
    /// # Errors
    /// None that a list of valid tags can cause; those of [`from_short_name`](Self::from_short_name).
    pub fn all_tags(repository: &Parsed, tags: &[Tag]) -> Result<Self, Error> {
        let tagged = |tag: &Tag| {
            let reference = Parsed::from(repository.named().clone()).with_tag(tag.clone());
            let name = reference.to_string();
            Pair::of_registry(reference, &name)
        };
        Ok(Self {
            pairs: tags.iter().map(tagged).collect::<Result<_, _>>()?,
            all: true,
            searched: None,
        })
    }

    /// Why nothing was copied, from the errors of the pairs in their order.
    #[must_use]
    pub fn failure<E>(&self, errors: Vec<E>) -> Failure<E> {
        Failure::of(self.searched.as_deref(), errors)
    }

    fn single(pair: Pair) -> Self {
        Self {
            pairs: vec![pair],
            all: false,
            searched: None,
        }
    }
}

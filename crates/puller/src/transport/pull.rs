//! libpod's pull: from a name as people give it to images copied, one pair of a [`Goal`] after the other.

use std::path::Path;

use longshore_reference::Digest;

use super::{
    archive::Archive,
    copy::{self, Copied, Options},
    destination::Destination,
    error::Error,
    layout::Layout,
    registry::Access,
    saved::Saved,
    source::Source,
    tree::Tree,
};
use crate::{
    goal::{Contents, Failure, Goal, Pair},
    image_name::{self, ArchiveImage, ArchiveName, ImageName},
    short_names::{self, Lookup, PullErrors},
};

/// What a name stands for, and how it was understood.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Determined {
    /// What to copy.
    pub goal: Goal,
    /// What to say to a person before the pull.
    pub description: Option<String>,
    /// Why the name is not that of an image in a transport: it was taken for one of a registry.
    pub not_a_transport: Option<image_name::Error>,
}

/// How names without a registry are understood.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ShortNames<'a> {
    /// By aliases and search registries, as libpod does today.
    Resolve(Lookup<'a>),
    /// At each search registry, as libpod did before there were aliases.
    Search,
}

/// What happens in a pull.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A registry is going to be asked: see [`trying_to_pull`](crate::goal::trying_to_pull).
    Trying(&'a Pair),
    /// A pair was not copied; the next one is tried.
    Failed(&'a Pair, &'a Error),
    /// A pair was copied.
    Pulled(&'a Pair, &'a Copied),
}

/// What was pulled.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pulled {
    /// The images by their names, with what was copied.
    pub images: Vec<(String, Copied)>,
    /// What could not be copied beside them.
    pub failed: Vec<(String, Error)>,
}

/// Nothing was pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// What each pair, or the only one, said.
    #[error(transparent)]
    Failed(Failure<Error>),
    /// What each candidate of a short name said.
    #[error(transparent)]
    Candidates(PullErrors<Error>),
    /// It ended at once: the label is missing, or could not be looked for.
    #[error(transparent)]
    Ended(Error),
}

/// Finds out what a name stands for: an image in a transport, whose archive is looked into; else an image of a registry,
/// which the name may lack.
///
/// # Errors
/// Those of reading an archive; [`Error::Goal`]; [`Error::ShortName`].
pub async fn determine(
    name: &str,
    access: &Access,
    short_names: &ShortNames<'_>,
) -> Result<Determined, Error> {
    let not_a_transport = match ImageName::parse(name) {
        Ok(source) => {
            return Ok(Determined {
                goal: of_image_name(&source, name).await?,
                description: None,
                not_a_transport: None,
            });
        }
        Err(error) => error,
    };
    let failed = |source| Error::Goal {
        name: name.to_owned(),
        source,
    };
    let (goal, description) = match short_names {
        ShortNames::Search => {
            let search = access.conf().search_registries();
            (Goal::from_name(name, search).map_err(failed)?, None)
        }
        ShortNames::Resolve(lookup) => {
            let resolved = short_names::resolve(name, lookup)?;
            let goal = Goal::from_short_name(&resolved).map_err(failed)?;
            (goal, resolved.description())
        }
    };
    Ok(Determined {
        goal,
        description,
        not_a_transport: Some(not_a_transport),
    })
}

/// The goal for an image of a known transport: every tag of the images of a file of `docker save`, or of the one that
/// the name chooses.
///
/// # Errors
/// Those of reading an archive; [`Error::Goal`] for a name that no image can get.
pub async fn of_image_name(source: &ImageName, name: &str) -> Result<Goal, Error> {
    let failed = |source| Error::Goal {
        name: name.to_owned(),
        source,
    };
    match source {
        ImageName::DockerArchive(archive) => {
            let saved = Saved::open(Path::new(archive.path())).await?;
            let images = match archive.image() {
                ArchiveImage::Only => 0..saved.images().len(),
                image => {
                    let at = saved.find(image)?;
                    at..at.saturating_add(1)
                }
            };
            if images.is_empty() {
                // It has no name and no id either.
                return Err(saved
                    .find(&ArchiveImage::Only)
                    .err()
                    .unwrap_or_else(|| failed(crate::goal::Error::NoImageId)));
            }
            let mut goal: Option<Goal> = None;
            for at in images {
                let of_image = of_saved(&saved, archive, at, name).await?;
                match &mut goal {
                    None => goal = Some(of_image),
                    Some(goal) => {
                        goal.pairs.extend(of_image.pairs);
                        goal.all = true;
                    }
                }
            }
            goal.ok_or_else(|| failed(crate::goal::Error::NoImageId))
        }
        ImageName::OciArchive(archive) => {
            let tree = Tree::Archive(Archive::open(Path::new(archive.path())).await?);
            let layout = Layout::open(tree, archive).await?;
            let id = layout.top().await?;
            let id = id
                .manifest
                .config()
                .map(|config| config.digest.hex().to_string());
            let contents = Contents {
                ref_name: layout.name(),
                image_id: id.as_deref(),
                ..Contents::default()
            };
            Goal::from_image_name(source, name, &contents).map_err(failed)
        }
        ImageName::Docker(_) | ImageName::Oci(_) | ImageName::Dir(_) => {
            Goal::from_image_name(source, name, &Contents::default()).map_err(failed)
        }
    }
}

/// The goal for one image of a file of `docker save`.
async fn of_saved(
    saved: &Saved,
    archive: &ArchiveName,
    at: usize,
    name: &str,
) -> Result<Goal, Error> {
    let failed = |source| Error::Goal {
        name: name.to_owned(),
        source,
    };
    let images = saved.images();
    let image = match (archive.image(), images) {
        (ArchiveImage::Only, [_]) | (ArchiveImage::Tagged(_), _) => archive.image().clone(),
        _ => ArchiveImage::Index(at),
    };
    let tags = match (&image, images.get(at)) {
        (ArchiveImage::Tagged(reference), _) => vec![reference.to_string()],
        (_, Some(image)) => image.repo_tags.iter().map(|tag| tag.to_string()).collect(),
        (_, None) => Vec::new(),
    };
    let id = match tags.is_empty() {
        true => {
            let config = saved.config(at).await?;
            Some(Digest::sha256(&config).hex().to_string())
        }
        false => None,
    };
    let mut contents = Contents::tags(&tags);
    contents.image_id = id.as_deref();
    let source = ImageName::DockerArchive(ArchiveName::new(archive.path(), image)?);
    Goal::from_image_name(&source, name, &contents).map_err(failed)
}

/// Copies the pairs of a goal, each to where `destination` says: every one of them, or the first that can be.
///
/// An error leads to the next pair, but for [`Error::NoLabel`] and what prevents the label from being looked for, which
/// end the pull. A pull that is dropped stops.
///
/// # Errors
/// [`PullError`] when nothing was copied.
pub async fn pull(
    determined: &Determined,
    access: &Access,
    options: &Options,
    destination: impl Fn(&Pair) -> Result<ImageName, Error>,
    mut observe: impl FnMut(Step<'_>),
) -> Result<Pulled, PullError> {
    let goal = &determined.goal;
    let mut pulled = Pulled {
        images: Vec::new(),
        failed: Vec::new(),
    };
    for pair in &goal.pairs {
        if matches!(pair.source, ImageName::Docker(_)) {
            observe(Step::Trying(pair));
        }
        if options.label.is_some() {
            // What happens here ends the pull, whatever other pairs there are.
            check_label(pair, access, options)
                .await
                .map_err(PullError::Ended)?;
        }
        match pull_pair(pair, access, options, &destination).await {
            Ok(copied) => {
                observe(Step::Pulled(pair, &copied));
                pulled.images.push((pair.image.clone(), copied));
                if !goal.all {
                    return Ok(pulled);
                }
            }
            Err(error) => {
                observe(Step::Failed(pair, &error));
                pulled.failed.push((pair.image.clone(), error));
            }
        }
    }
    if !pulled.images.is_empty() {
        return Ok(pulled);
    }
    let errors: Vec<Error> = pulled.failed.into_iter().map(|(_, error)| error).collect();
    let is_searched = goal.searched.is_some() || goal.all || errors.len() < 2;
    Err(match is_searched {
        true => PullError::Failed(goal.failure(errors)),
        false => match PullErrors::new(errors) {
            Some(errors) => PullError::Candidates(errors),
            None => PullError::Failed(goal.failure(Vec::new())),
        },
    })
}

async fn check_label(pair: &Pair, access: &Access, options: &Options) -> Result<(), Error> {
    let source = Source::open(&pair.source, access).await?;
    copy::check_label(&source, &pair.image, options).await
}

async fn pull_pair(
    pair: &Pair,
    access: &Access,
    options: &Options,
    destination: &impl Fn(&Pair) -> Result<ImageName, Error>,
) -> Result<Copied, Error> {
    let source = Source::open(&pair.source, access).await?;
    let name = destination(pair)?;
    let destination = Destination::open(&name).await?;
    let mut options = options.clone();
    options.label = None;
    let copied = copy::copy(&source, &destination, &options).await?;
    destination.commit().await?;
    Ok(copied)
}

/// The name in a layout for an image with this name: what its grammar allows of it.
#[must_use]
pub fn layout_name(pair: &Pair) -> String {
    let name = pair.destination.to_string();
    name.trim_start_matches('@').to_owned()
}

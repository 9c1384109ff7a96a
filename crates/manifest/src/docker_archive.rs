//! The archive `docker save` writes: a tar with configurations, layers, and two lists of them.
//!
//! This is the part without files: the two lists, read and written.

use std::collections::BTreeMap;

use longshore_reference::{Digest, Tag, Tagged};
use serde::Deserialize;

use crate::{
    DiffId, Error, go_json,
    wire::{self, Text},
};

/// Name of the list of images.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Name of the older list, of names only.
pub const REPOSITORIES_FILE: &str = "repositories";

/// Longest list that is read, in bytes: what containers/image reads.
pub const LIST_BYTES_MAX: usize = 1024 * 1024;

/// An image in an archive: an entry of [`MANIFEST_FILE`].
///
/// ```
/// use longshore_manifest::{DiffId, docker_archive::{self, Image}};
/// use longshore_reference::Digest;
///
/// let mut image = Image::new(&Digest::sha256(b"{}"), &[DiffId::new(Digest::sha256(b"tar"))]);
/// image.add_name(&"alpine:3.22".parse()?);
/// let json = docker_archive::encode(&[image.clone()]);
/// assert!(json.contains(r#""RepoTags":["alpine:3.22"]"#));
/// assert_eq!(docker_archive::decode(json.as_bytes())?, [image]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// Name of the member with the configuration.
    pub config: Box<str>,
    /// The image's names, as written; see [`Self::names`].
    pub repo_tags: Vec<Box<str>>,
    /// Names of the members with the layers, base first; a layer may be there twice.
    pub layers: Vec<Box<str>>,
    /// Id of the image it was made from, where that is known.
    pub parent: Option<Box<str>>,
}

impl Image {
    /// An image without names. Members are called as in archives of containers/image: `<hex>.json`,
    /// and `<hex>.tar` for each layer, which is a plain tar.
    #[must_use]
    pub fn new(config: &Digest, layers: &[DiffId]) -> Self {
        let layer = |layer: &DiffId| format!("{}.tar", layer.digest().hex()).into();
        Self {
            config: format!("{}.json", config.hex()).into(),
            repo_tags: Vec::new(),
            layers: layers.iter().map(layer).collect(),
            parent: None,
        }
    }

    /// Adds a name, in the form Docker writes it: `alpine:3.22`.
    pub fn add_name(&mut self, name: &Tagged) {
        self.repo_tags.push(name.familiar().to_string().into());
    }

    /// The names, normalised.
    ///
    /// # Errors
    /// Of each name that it is no name with a tag.
    pub fn names(&self) -> impl Iterator<Item = Result<Tagged, Error>> {
        self.repo_tags.iter().map(|text| {
            text.parse().map_err(|source| Error::Name {
                name: text.clone(),
                source,
            })
        })
    }
}

/// Reads [`MANIFEST_FILE`].
///
/// # Errors
/// Over [`LIST_BYTES_MAX`], not JSON, or an image without a configuration.
pub fn decode(bytes: &[u8]) -> Result<Vec<Image>, Error> {
    check_len(bytes)?;
    let entries: Vec<Entry<'_>> = wire::read(MANIFEST_FILE, bytes)?;
    let texts = |texts: &Option<Vec<Text<'_>>>| {
        let texts = texts.as_deref().unwrap_or_default();
        texts.iter().map(|text| (*text.0).into()).collect()
    };
    let image = |entry: &Entry<'_>| match entry.config.some() {
        Some(config) => Ok(Image {
            config: config.into(),
            repo_tags: texts(&entry.repo_tags),
            layers: texts(&entry.layers),
            parent: entry.parent.some().map(Box::from),
        }),
        None => Err(Error::Absent { part: "Config" }),
    };
    entries.iter().map(image).collect()
}

/// Writes [`MANIFEST_FILE`]: always the same bytes for the same images, as Docker writes them.
#[must_use]
pub fn encode(images: &[Image]) -> String {
    let list = |texts: &[Box<str>]| {
        let texts = texts.iter().map(|text| go_json::string(text));
        format!("[{}]", texts.collect::<Vec<_>>().join(","))
    };
    let image = |image: &Image| {
        let parent = image.parent.as_deref().map(go_json::string);
        let parent = parent.map(|parent| format!(",\"Parent\":{parent}"));
        format!(
            r#"{{"Config":{},"RepoTags":{},"Layers":{}{}}}"#,
            go_json::string(&image.config),
            match image.repo_tags.as_slice() {
                [] => "null".to_owned(),
                repo_tags => list(repo_tags),
            },
            list(&image.layers),
            parent.unwrap_or_default(),
        )
    };
    let images: Vec<_> = images.iter().map(image).collect();
    format!("[{}]", images.join(","))
}

/// The older list, [`REPOSITORIES_FILE`]: names, and the id of the top v1 image of each.
///
/// ```
/// use longshore_manifest::docker_archive::Repositories;
///
/// let mut repositories = Repositories::default();
/// repositories.set(&"alpine:3.22".parse()?, "5f70bf18");
/// assert_eq!(repositories.encode(), r#"{"alpine":{"3.22":"5f70bf18"}}"#);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repositories(BTreeMap<Box<str>, BTreeMap<Box<str>, Box<str>>>);

impl Repositories {
    /// Reads the list.
    ///
    /// # Errors
    /// Over [`LIST_BYTES_MAX`], or not an object of objects of texts.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        check_len(bytes)?;
        wire::read(REPOSITORIES_FILE, bytes).map(Self)
    }

    /// Sets what a name stands for.
    pub fn set(&mut self, name: &Tagged, id: &str) {
        let repository = name.named().familiar().to_string().into();
        let tags: &mut BTreeMap<_, _> = self.0.entry(repository).or_default();
        tags.insert(name.tag().as_str().into(), id.into());
    }

    /// The names with what they stand for, in the order of their texts: repository as written,
    /// tag, id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<Tag, Error>, &str)> {
        self.0.iter().flat_map(|(repository, tags)| {
            tags.iter().map(|(tag, id)| {
                let fail = |source| Error::Name {
                    name: tag.clone(),
                    source,
                };
                (&**repository, Tag::parse(tag).map_err(fail), &**id)
            })
        })
    }

    /// Writes the list: always the same bytes for the same names.
    #[must_use]
    pub fn encode(&self) -> String {
        let object = |pairs: Vec<(&str, String)>| {
            let pairs = pairs.into_iter();
            let pairs = pairs.map(|(key, json)| format!("{}:{json}", go_json::string(key)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        let tags = |tags: &BTreeMap<Box<str>, Box<str>>| {
            object(
                tags.iter()
                    .map(|(tag, id)| (&**tag, go_json::string(id)))
                    .collect(),
            )
        };
        object(
            self.0
                .iter()
                .map(|(name, ids)| (&**name, tags(ids)))
                .collect(),
        )
    }
}

fn check_len(bytes: &[u8]) -> Result<(), Error> {
    let bytes = bytes.len();
    let bytes_max = LIST_BYTES_MAX;
    if bytes > bytes_max {
        return Err(Error::TooLarge { bytes, bytes_max });
    }
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", remote = "Self")]
struct Entry<'a> {
    #[serde(borrow)]
    config: Text<'a>,
    #[serde(borrow)]
    repo_tags: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    layers: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    parent: Text<'a>,
}

wire::from_objects!(Entry<'a>);

#[cfg(test)]
mod tests;

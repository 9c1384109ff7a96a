//! Choosing one image in an index whose entries may be indexes themselves.

use std::vec;

use crate::{Descriptor, Error, Manifest, Platform, Preference};

/// How deep indexes may be nested in indexes.
pub const INDEX_DEPTH_MAX: usize = 4;

/// How many indexes one choice may look into.
pub const INDEXES_MAX: usize = 64;

/// Choosing one image in an index whose entries may be indexes themselves, without fetching.
///
/// It is an iterator over what to fetch next. A caller that finds an index hands it to
/// [`Choice::descend`]; anything else is the image. An index in which nothing matches is left
/// for the next entry.
///
/// ```
/// use longshore_manifest::{Choice, Error, Kind, Manifest, Preference};
///
/// fn choose(
///     index: &Manifest,
///     preference: Preference,
///     fetch: impl Fn(&longshore_reference::Digest) -> Manifest,
/// ) -> Result<Manifest, Error> {
///     let mut choice = Choice::new(preference, index)?;
///     while let Some(entry) = choice.next() {
///         let found = fetch(&entry.digest);
///         if found.kind() != Kind::Index {
///             return Ok(found);
///         }
///         choice.descend(&found)?;
///     }
///     Err(choice.no_match())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Choice {
    preference: Preference,
    left: Vec<vec::IntoIter<Descriptor>>,
    available: Vec<Platform>,
    indexes: usize,
}

impl Choice {
    /// A choice among the entries of `index`.
    ///
    /// # Errors
    /// As [`Self::descend`]; a first index never fails.
    pub fn new(preference: Preference, index: &Manifest) -> Result<Self, Error> {
        let mut choice = Self {
            preference,
            left: Vec::new(),
            available: Vec::new(),
            indexes: 0,
        };
        choice.descend(index)?;
        Ok(choice)
    }

    /// Goes on with the entries of `index`, the one the last entry turned out to be.
    ///
    /// # Errors
    /// Nested deeper than [`INDEX_DEPTH_MAX`], or more than [`INDEXES_MAX`] in all.
    pub fn descend(&mut self, index: &Manifest) -> Result<(), Error> {
        self.indexes = self.indexes.saturating_add(1);
        if self.indexes > INDEXES_MAX {
            return Err(Error::TooManyIndexes {
                indexes_max: INDEXES_MAX,
            });
        }
        if self.left.len() >= INDEX_DEPTH_MAX {
            return Err(Error::TooDeep {
                depth_max: INDEX_DEPTH_MAX,
            });
        }
        let platforms = index
            .manifests()
            .filter_map(|entry| entry.platform.as_deref());
        for platform in platforms.filter(|p| !p.is_empty() && !p.is_unknown()) {
            if self.available.len() < AVAILABLE_MAX && !self.available.contains(platform) {
                self.available.push(platform.clone());
            }
        }
        let entries = self.preference.candidates(index);
        self.left
            .push(entries.into_iter().cloned().collect::<Vec<_>>().into_iter());
        Ok(())
    }

    /// What to say when nothing is left: the platform that was asked for and those that are
    /// there, as written, attestations left out; as source, that an image is for another version
    /// of Windows, in moby's words.
    #[must_use]
    pub fn no_match(&self) -> Error {
        Error::NoMatch {
            wanted: Box::new(self.preference.wanted().clone()),
            available: self.available.clone(),
            source: self.windows_version().map(Box::new),
        }
    }

    fn windows_version(&self) -> Option<Error> {
        let mut available = self.available.iter();
        if available
            .clone()
            .any(|image| self.preference.matches(image))
        {
            return None;
        }
        available.find_map(|image| self.preference.windows_version(image))
    }
}

impl Iterator for Choice {
    type Item = Descriptor;

    fn next(&mut self) -> Option<Descriptor> {
        while let Some(entries) = self.left.last_mut() {
            if let Some(entry) = entries.next() {
                return Some(entry);
            }
            self.left.pop();
        }
        None
    }
}

/// How many platforms an error names.
const AVAILABLE_MAX: usize = 100;

#[cfg(test)]
mod tests;

//! Short-name aliases: of `[aliases]` tables, and of the file that programs keep.

use std::{collections::BTreeMap, fmt::Write};

use longshore_reference::{Named, ShortName};
use serde::Deserialize;

use super::{AliasError, Error, Invalid};

/// What short names stand for, and which file says so.
///
/// ```
/// use longshore_puller::registries::Aliases;
///
/// let mut aliases = Aliases::parse("[aliases]\nfedora = \"quay.io/fedora/fedora\"", "aliases.conf")?;
/// aliases.add("web", "registry.example/web", "aliases.conf")?;
/// assert_eq!(aliases.find("web").unwrap().value.as_ref().unwrap().as_str(), "registry.example/web");
/// assert_eq!(Aliases::parse(&aliases.to_toml(), "aliases.conf")?, aliases);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(BTreeMap<ShortName, Alias>);

/// What one short name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alias {
    /// The repository; `None` where the file takes an alias of another file back (`name = ""`).
    pub value: Option<Named>,
    /// The file.
    pub origin: String,
}

impl Aliases {
    /// Reads `short-name-aliases.conf`, of which only the table `[aliases]` counts.
    ///
    /// # Errors
    /// [`Error::Syntax`]; [`Error::Invalid`] with all entries that cannot be.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Error> {
        let table: Table = toml::from_str(text).map_err(|source| Error::Syntax {
            origin: origin.to_owned(),
            source,
        })?;
        Self::read(table.aliases, origin).map_err(|source| Error::invalid(origin, source))
    }

    /// What a short name stands for. An alias without a value stands for nothing, and hides those that would be looked
    /// up after it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Alias> {
        self.0.get(&ShortName::parse(name).ok()?)
    }

    /// The same for a name that is known to be short.
    #[must_use]
    pub fn of(&self, name: &ShortName) -> Option<&Alias> {
        self.0.get(name)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ShortName, &Alias)> {
        self.0.iter()
    }

    /// How many there are, those without a value counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an alias, or changes what it stands for.
    ///
    /// # Errors
    /// [`AliasError::Name`] for what is no short name without tag and digest, [`AliasError::Value`] for what is not the
    /// full name of a repository.
    pub fn add(&mut self, name: &str, value: &str, origin: &str) -> Result<(), AliasError> {
        let name = alias_name(name)?;
        let value = Some(alias_value(value)?);
        let origin = origin.to_owned();
        self.0.insert(name, Alias { value, origin });
        Ok(())
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// [`AliasError::Name`], and [`AliasError::Unknown`] where there is no such alias in `origin`.
    pub fn remove(&mut self, name: &str, origin: &str) -> Result<(), AliasError> {
        let short = alias_name(name)?;
        match self.0.remove(&short) {
            Some(_) => Ok(()),
            None => Err(AliasError::Unknown {
                name: name.to_owned(),
                origin: origin.to_owned(),
            }),
        }
    }

    /// The file that has these aliases.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = "[aliases]\n".to_owned();
        for (name, alias) in &self.0 {
            let value = alias.value.as_ref().map_or("", Named::as_str);
            // Neither names nor values can have a character that TOML would escape.
            let _ = writeln!(text, "  \"{name}\" = \"{value}\"");
        }
        text
    }

    pub(super) fn read(table: BTreeMap<String, String>, origin: &str) -> Result<Self, Invalid> {
        let mut aliases = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, value) in table {
            let name = alias_name(&name).map_err(|error| errors.push(error));
            let value = match value.is_empty() {
                true => Ok(None),
                false => alias_value(&value).map(Some),
            };
            let value = value.map_err(|error| errors.push(error));
            if let (Ok(name), Ok(value)) = (name, value) {
                let origin = origin.to_owned();
                aliases.insert(name, Alias { value, origin });
            }
        }
        match errors.is_empty() {
            true => Ok(Self(aliases)),
            false => Err(Invalid::Aliases(errors)),
        }
    }

    pub(super) fn update(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }
}

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

/// Reads what an alias stands for.
fn alias_value(value: &str) -> Result<Named, AliasError> {
    Named::parse_qualified(value).map_err(|source| AliasError::Value {
        value: value.to_owned(),
        source,
    })
}

/// Reads the name of an alias.
fn alias_name(name: &str) -> Result<ShortName, AliasError> {
    ShortName::parse(name).map_err(|source| AliasError::Name {
        name: name.to_owned(),
        source,
    })
}

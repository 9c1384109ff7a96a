//! `registries.conf`: mirrors, blocked registries, search registries and aliases (containers-registries.conf(5)).
//!
//! A [`RegistriesConf`] is one file with its drop-ins merged into it. Everything but [`Files::load`] is pure: a text and the
//! name of the file it is from go in, facts come out.
//!
//! ```
//! use longshore_puller::registries::RegistriesConf;
//! use longshore_reference::Parsed;
//!
//! let registries = RegistriesConf::parse(
//!     r#"
//!     unqualified-search-registries = ["quay.io"]
//!     [[registry]]
//!     prefix = "docker.io"
//!     location = "docker.io"
//!     [[registry.mirror]]
//!     location = "mirror.example:5000/hub"
//!     "#,
//!     "registries.conf",
//! )?;
//! let reference = Parsed::parse("alpine:3.22")?;
//! let sources = registries.sources(&reference)?;
//! let sources: Vec<_> = sources.iter().map(|s| s.reference.to_string()).collect();
//! assert_eq!(sources, ["mirror.example:5000/hub/library/alpine:3.22", "docker.io/library/alpine:3.22"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Formats
//!
//! Version 1 (`[registries.search]` and its siblings) is read as what it means in version 2. A file that has both is
//! refused, as is a drop-in in version 1. Unknown keys are ignored. Keys are compared by case, which the Go programs
//! do not do.

use std::collections::BTreeMap;

use longshore_reference::{Named, Parsed, Raw, ShortName};

mod aliases;
mod document;
mod error;
mod files;
mod matching;
#[cfg(test)]
mod tests;

pub use aliases::{Alias, Aliases};
pub use error::{AliasError, Error, Invalid, SourceError};
pub use files::{CONFIG_BYTES_MAX, Files, Paths};
pub use matching::matched;

use document::Document;

/// The configuration of registries: one file and the drop-ins merged into it. The default is that of a missing file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistriesConf {
    /// Sorted by prefix; each prefix once.
    registries: Vec<Registry>,
    search: Option<Vec<String>>,
    search_origin: Option<String>,
    credential_helpers: Option<Vec<String>>,
    short_name_mode: Option<ShortNameMode>,
    layer_store_auth_helper: Option<String>,
    aliases: Aliases,
    origins: Vec<String>,
}

/// A `[[registry]]` table: what happens to names that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registry {
    /// What names are matched against: a host, a namespace, a repository, an image, or `*.` and a domain.
    pub prefix: String,
    /// Where the prefix leads to. Its `pull_from_mirror` is always [`PullFromMirror::Unset`].
    pub endpoint: Location,
    /// What is tried before the endpoint, in this order.
    pub mirrors: Vec<Location>,
    /// Nothing may be pulled from here.
    pub blocked: bool,
    /// Mirrors serve digests only.
    pub mirror_by_digest_only: bool,
}

/// A registry or a namespace of one, in place of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// A host with an optional port and path. Empty only under a prefix with a wildcard: the name stays as it is.
    pub location: String,
    /// Certificates are not verified and plain HTTP is allowed.
    pub insecure: bool,
    /// Which references a mirror serves.
    pub pull_from_mirror: PullFromMirror,
}

/// Which references a mirror serves (`pull-from-mirror`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum PullFromMirror {
    /// Not said: as [`All`](Self::All), unless the registry says `mirror-by-digest-only`.
    #[default]
    Unset,
    /// `all`
    All,
    /// `digest-only`
    DigestOnly,
    /// `tag-only`
    TagOnly,
}

/// Where a reference can be pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullSource {
    /// The mirror or the registry.
    pub endpoint: Location,
    /// The reference there.
    pub reference: Parsed,
}

/// What to do with a short name that several search registries may have (`short-name-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ShortNameMode {
    /// `disabled`: try every search registry in its order.
    Disabled,
    /// `permissive`: ask, and without a terminal try every search registry.
    #[default]
    Permissive,
    /// `enforcing`: ask, and fail without a terminal.
    Enforcing,
}

impl ShortNameMode {
    /// Reads the value of `short-name-mode`.
    ///
    /// # Errors
    /// [`Invalid::ShortNameMode`] for anything but `disabled`, `permissive` and `enforcing`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "disabled" => Ok(Self::Disabled),
            "permissive" => Ok(Self::Permissive),
            "enforcing" => Ok(Self::Enforcing),
            _ => Err(Invalid::ShortNameMode(text.to_owned())),
        }
    }
}

impl RegistriesConf {
    /// Reads a file in version 1 or 2. `origin` names it in errors and descriptions.
    ///
    /// # Errors
    /// [`Error::Syntax`] for what is no TOML or has a value of a wrong type, [`Error::Invalid`] for what contradicts
    /// itself.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Error> {
        let document = Document::read(text, origin)?;
        Self::assemble(document, origin).map_err(|source| Error::invalid(origin, source))
    }

    /// Merges a drop-in of `registries.conf.d`, in version 2: a registry replaces that of the same prefix, an alias that
    /// of the same name, and a list that is there replaces the whole list, also when it is empty.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse), and [`Invalid::NotV2`].
    pub fn merge_drop_in(&mut self, text: &str, origin: &str) -> Result<(), Error> {
        let document = Document::read(text, origin)?;
        if document.is_v1() {
            return Err(Error::invalid(origin, Invalid::NotV2));
        }
        let drop_in =
            Self::assemble(document, origin).map_err(|source| Error::invalid(origin, source))?;
        self.update(drop_in);
        Ok(())
    }

    /// The registry with the longest prefix that matches a host, a namespace, a repository or a reference, which must
    /// begin with its host. `None` where none does.
    #[must_use]
    pub fn find(&self, reference: &str) -> Option<&Registry> {
        let mut longest: Option<&Registry> = None;
        for registry in &self.registries {
            let length = registry.prefix.len();
            if length > longest.map_or(0, |found| found.prefix.len())
                && matched(reference, &registry.prefix).is_some()
            {
                longest = Some(registry);
            }
        }
        longest
    }

    /// Where a reference can be pulled from, in the order to try; itself alone where no registry matches.
    ///
    /// # Errors
    /// [`SourceError::Blocked`], and those of [`Registry::sources`].
    pub fn sources(&self, reference: &Parsed) -> Result<Vec<PullSource>, SourceError> {
        let Some(registry) = self.find(reference.named().as_str()) else {
            let endpoint = Location::new(reference.named().domain().to_owned());
            let reference = reference.clone();
            return Ok(vec![PullSource {
                endpoint,
                reference,
            }]);
        };
        if registry.blocked {
            return Err(SourceError::Blocked {
                prefix: registry.prefix.clone(),
                origins: self.origins.join(" or "),
            });
        }
        registry.sources(reference)
    }

    /// All registries, sorted by their prefixes.
    #[must_use]
    pub fn registries(&self) -> &[Registry] {
        &self.registries
    }

    /// Where short names without an alias are looked for, in this order (`unqualified-search-registries`).
    #[must_use]
    pub fn search_registries(&self) -> &[String] {
        self.search.as_deref().unwrap_or_default()
    }

    /// The file that set the search registries, or would have; `None` where no file was read.
    #[must_use]
    pub fn search_origin(&self) -> Option<&str> {
        self.search_origin.as_deref()
    }

    /// What to do with ambiguous short names.
    #[must_use]
    pub fn short_name_mode(&self) -> ShortNameMode {
        self.short_name_mode.unwrap_or_default()
    }

    /// Which credential helpers to ask, in this order. [`AUTH_FILES`] stands for the files of credentials and is alone
    /// in the list where no file names another.
    pub fn credential_helpers(&self) -> impl Iterator<Item = &str> {
        let named = self.credential_helpers.as_deref().unwrap_or_default();
        let default = named.is_empty().then_some(AUTH_FILES);
        named.iter().map(String::as_str).chain(default)
    }

    /// The program that is given the credentials for an additional layer store.
    #[must_use]
    pub fn layer_store_auth_helper(&self) -> Option<&str> {
        self.layer_store_auth_helper.as_deref()
    }

    /// What short names stand for.
    #[must_use]
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// The files this is read from, in the order they were merged.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    fn assemble(document: Document, origin: &str) -> Result<Self, Invalid> {
        let document = document.into_v2()?;
        let mode = Some(document.short_name_mode.as_str()).filter(|mode| !mode.is_empty());
        let registries = unique(&document.registries()?);
        let search = document.search.as_deref().map(search_hosts).transpose()?;
        Ok(Self {
            registries,
            search,
            search_origin: Some(origin.to_owned()),
            credential_helpers: document.credential_helpers,
            short_name_mode: mode.map(ShortNameMode::parse).transpose()?,
            layer_store_auth_helper: Some(document.layer_store_auth_helper)
                .filter(|helper| !helper.is_empty()),
            aliases: Aliases::read(document.aliases.unwrap_or_default(), origin)?,
            origins: vec![origin.to_owned()],
        })
    }

    fn update(&mut self, drop_in: Self) {
        let registries = self.registries.drain(..).chain(drop_in.registries);
        let by_prefix: BTreeMap<String, Registry> =
            registries.map(|r| (r.prefix.clone(), r)).collect();
        self.registries = by_prefix.into_values().collect();
        if drop_in.search.is_some() {
            self.search = drop_in.search;
            self.search_origin = drop_in.search_origin;
        }
        let helpers = self.credential_helpers.take();
        self.credential_helpers = drop_in.credential_helpers.or(helpers);
        self.short_name_mode = drop_in.short_name_mode.or(self.short_name_mode);
        let helper = self.layer_store_auth_helper.take();
        self.layer_store_auth_helper = drop_in.layer_store_auth_helper.or(helper);
        self.aliases.update(drop_in.aliases);
        self.origins.extend(drop_in.origins);
    }
}

impl Registry {
    /// Where a reference under the prefix can be pulled from: the mirrors that serve it, then the endpoint.
    ///
    /// # Errors
    /// Those of [`Location::rewrite`].
    pub fn sources(&self, reference: &Parsed) -> Result<Vec<PullSource>, SourceError> {
        let by_digest = reference.digest().is_some();
        let serves = |mirror: &&Location| match mirror.pull_from_mirror {
            _ if self.mirror_by_digest_only => by_digest,
            PullFromMirror::Unset | PullFromMirror::All => true,
            PullFromMirror::DigestOnly => by_digest,
            PullFromMirror::TagOnly => !by_digest,
        };
        let endpoints = self.mirrors.iter().filter(serves).chain([&self.endpoint]);
        endpoints
            .map(|endpoint| {
                Ok(PullSource {
                    endpoint: endpoint.clone(),
                    reference: endpoint.rewrite(reference, &self.prefix)?,
                })
            })
            .collect()
    }
}

impl Location {
    /// A place without further settings.
    #[must_use]
    pub fn new(location: String) -> Self {
        Self {
            location,
            insecure: false,
            pull_from_mirror: PullFromMirror::Unset,
        }
    }

    /// The reference with the location in place of the prefix.
    ///
    /// # Errors
    /// [`SourceError::Prefix`] where the reference is not under the prefix, [`SourceError::NoLocation`] for an empty
    /// location under a prefix without a wildcard, [`SourceError::Rewrite`] where no reference results, or none in
    /// full.
    pub fn rewrite(&self, reference: &Parsed, prefix: &str) -> Result<Parsed, SourceError> {
        let text = reference.to_string();
        let rest = matched(&text, prefix).and_then(|length| text.get(length..));
        let Some(rest) = rest else {
            let prefix = prefix.to_owned();
            return Err(SourceError::Prefix {
                prefix,
                reference: text,
            });
        };
        if self.location.is_empty() {
            return match prefix.starts_with("*.") {
                true => Ok(reference.clone()),
                false => Err(SourceError::NoLocation(prefix.to_owned())),
            };
        }
        let rewritten = [self.location.as_str(), rest].concat();
        Parsed::parse_canonical(&rewritten).map_err(|source| SourceError::Rewrite {
            reference: rewritten,
            source,
        })
    }
}

/// The first of each prefix, sorted.
fn unique(registries: &[Registry]) -> Vec<Registry> {
    let mut by_prefix: BTreeMap<&str, &Registry> = BTreeMap::new();
    for registry in registries {
        by_prefix.entry(&registry.prefix).or_insert(registry);
    }
    by_prefix.into_values().cloned().collect()
}

/// Hosts with an optional port: a namespace is refused.
fn search_hosts(entries: &[String]) -> Result<Vec<String>, Invalid> {
    let host = |entry: &String| {
        let host = document::location(entry)?;
        match is_host(&host) {
            true => Ok(host),
            false => Err(Invalid::SearchRegistry(host)),
        }
    };
    entries.iter().map(host).collect()
}

fn is_host(text: &str) -> bool {
    Raw::parse(&[text, "/x"].concat()).is_ok_and(|raw| raw.domain() == Some(text))
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

/// In a list of credential helpers: the files of containers-auth.json(5).
pub const AUTH_FILES: &str = "containers-auth.json";

//! A file with its drop-ins merged into it.

use std::collections::BTreeMap;

use longshore_reference::{Parsed, Raw};

use super::{
    Aliases, Error, Invalid, Location, PullSource, Registry, SourceError,
    document::{Document, location},
    matched,
};

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
        let host = location(entry)?;
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

/// In a list of credential helpers: the files of containers-auth.json(5).
pub const AUTH_FILES: &str = "containers-auth.json";

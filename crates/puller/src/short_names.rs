//! Short names: what `alpine` may stand for, by aliases and search registries.
//!
//! [`resolve`] gives the references that a name can be pulled from, [`resolve_locally`] those under which an image that
//! is already here may be known. Neither asks anybody: where a choice has to be made by a person, [`Resolved::must_ask`]
//! says so and [`Resolved::choose`] takes it.
//!
//! ```
//! use longshore_puller::{registries::{Aliases, RegistriesConf}, short_names::{self, Lookup}};
//!
//! let registries = RegistriesConf::parse("unqualified-search-registries = [\"quay.io\", \"docker.io\"]", "registries.conf")?;
//! let lookup = Lookup::new(&registries);
//! let resolved = short_names::resolve("app:1", &lookup)?;
//! let candidates: Vec<String> = resolved.candidates().iter().map(|c| c.reference.to_string()).collect();
//! assert_eq!(candidates, ["quay.io/app:1", "docker.io/library/app:1"]);
//! assert_eq!(
//!     resolved.description().unwrap(),
//!     "Resolving \"app\" using unqualified-search registries (registries.conf)",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use longshore_reference::{NameInput, Named, Parsed, ShortName};

use crate::registries::{Alias, Aliases, RegistriesConf, ShortNameMode};

#[cfg(test)]
mod tests;

/// Where short names are looked up, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lookup<'a> {
    /// Search registries, aliases and the mode.
    pub registries: &'a RegistriesConf,
    /// The aliases that programs keep; they come before those of the configuration.
    pub aliases: Option<&'a Aliases>,
    /// In place of the mode of the configuration.
    pub mode: Option<ShortNameMode>,
    /// Whether a person can be asked.
    pub terminal: bool,
    /// Short names are those of Docker Hub, whatever the configuration says.
    pub docker_hub_only: bool,
}

impl<'a> Lookup<'a> {
    /// By a configuration, with nobody to ask.
    #[must_use]
    pub fn new(registries: &'a RegistriesConf) -> Self {
        Self {
            registries,
            aliases: None,
            mode: None,
            terminal: false,
            docker_hub_only: false,
        }
    }

    /// The alias of a name. One without a value ends the search, as in containers/image: it takes an alias back.
    fn alias(&self, name: &ShortName) -> Option<&Alias> {
        let kept = self.aliases.and_then(|aliases| aliases.of(name));
        kept.or_else(|| self.registries.aliases().of(name))
    }
}

/// What a name can be pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    name: Option<ShortName>,
    candidates: Vec<Candidate>,
    rationale: Rationale,
    must_ask: bool,
}

/// One reference to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// In full, with a tag or a digest.
    pub reference: Parsed,
    /// Once pulled, it is to be kept as an alias: see [`Resolved::record`].
    pub record: bool,
}

/// Why a name stands for its candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rationale {
    /// The name was given in full.
    FullName,
    /// An alias, and the file it is from.
    Alias(String),
    /// The search registries, and the file they are from.
    SearchRegistries(String),
    /// A person chose.
    Choice,
    /// Short names are those of Docker Hub.
    DockerHubOnly,
}

/// Why a name cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no reference.
    #[error("cannot parse input: {name:?}")]
    Reference {
        /// The name.
        name: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_reference::Error,
    },
    /// There is no alias, and nowhere to search.
    #[error(
        "short-name {name:?} did not resolve to an alias and no unqualified-search registries are defined in {origin:?}"
    )]
    NoSearchRegistries {
        /// The name.
        name: String,
        /// The file that defines none.
        origin: String,
    },
    /// There is no alias, and no configuration.
    #[error(
        "short-name {0:?} did not resolve to an alias and no containers-registries.conf(5) was found"
    )]
    NoConfiguration(String),
    /// The mode is enforcing, the name ambiguous, and nobody can be asked.
    #[error("short-name resolution enforced but cannot prompt without a TTY")]
    NoTerminal,
    /// With this search registry it is no reference.
    #[error("creating reference with unqualified-search registry {registry:?}")]
    SearchRegistry {
        /// The registry.
        registry: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_reference::Error,
    },
}

/// Whether a name does not say which registry it is from. What is no reference is no short name.
///
/// ```
/// use longshore_puller::short_names::is_short;
///
/// assert!(is_short("library/fedora:latest"));
/// assert!(!is_short("quay.io/fedora"));
/// assert!(!is_short("docker://fedora"));
/// ```
#[must_use]
pub fn is_short(name: &str) -> bool {
    matches!(NameInput::parse(name), Ok(NameInput::Short { .. }))
}

/// What a name can be pulled from: itself if it is given in full, else its alias, else each search registry. A name
/// without tag and digest has the tag `latest`.
///
/// # Errors
/// [`Error::Reference`]; [`Error::NoSearchRegistries`] and [`Error::NoConfiguration`] where there is nowhere to search;
/// [`Error::NoTerminal`] where a person would have to choose; [`Error::SearchRegistry`].
pub fn resolve(name: &str, lookup: &Lookup<'_>) -> Result<Resolved, Error> {
    let short = match split(name)? {
        NameInput::Full(parsed) => {
            return Ok(Resolved::new(None, vec![parsed], Rationale::FullName));
        }
        NameInput::Short { name, .. } => name,
    };
    if lookup.docker_hub_only {
        let parsed = hub(name)?;
        return Ok(Resolved::new(
            Some(short),
            vec![parsed],
            Rationale::DockerHubOnly,
        ));
    }
    if let Some(alias) = lookup.alias(&short)
        && let Some(value) = &alias.value
    {
        let parsed = completed(name, value)?;
        let rationale = Rationale::Alias(alias.origin.clone());
        return Ok(Resolved::new(Some(short), vec![parsed], rationale));
    }
    let registries = lookup.registries;
    let candidates = under(name, registries.search_registries().iter())?;
    let origin = registries.search_origin();
    if candidates.is_empty() {
        let name = name.to_owned();
        return Err(match origin.map(str::to_owned) {
            Some(origin) => Error::NoSearchRegistries { name, origin },
            None => Error::NoConfiguration(name),
        });
    }
    let ambiguous = candidates.len() > 1;
    let rationale = Rationale::SearchRegistries(origin.unwrap_or_default().to_owned());
    let mut resolved = Resolved::new(Some(short), candidates, rationale);
    resolved.must_ask = match lookup.mode.unwrap_or_else(|| registries.short_name_mode()) {
        ShortNameMode::Enforcing if ambiguous && !lookup.terminal => return Err(Error::NoTerminal),
        ShortNameMode::Permissive | ShortNameMode::Enforcing => ambiguous && lookup.terminal,
        ShortNameMode::Disabled => false,
    };
    Ok(resolved)
}

/// The references under which an image that is here may be known: a full name alone; for a short one its alias, then
/// the name at `localhost`, then at each search registry. Never empty.
///
/// # Errors
/// [`Error::Reference`] and [`Error::SearchRegistry`].
pub fn resolve_locally(name: &str, lookup: &Lookup<'_>) -> Result<Vec<Parsed>, Error> {
    let short = match split(name)? {
        NameInput::Full(parsed) => return Ok(vec![parsed.or_latest()]),
        NameInput::Short { name, .. } => name,
    };
    if lookup.docker_hub_only {
        return Ok(vec![hub(name)?.or_latest()]);
    }
    let alias = lookup.alias(&short).and_then(|alias| alias.value.as_ref());
    let alias = alias.map(|value| completed(name, value)).transpose()?;
    let local = LOCALHOST.to_owned();
    let hosts = [&local]
        .into_iter()
        .chain(lookup.registries.search_registries());
    let candidates = alias.into_iter().chain(under(name, hosts)?);
    Ok(candidates.map(Parsed::or_latest).collect())
}

impl Resolved {
    fn new(name: Option<ShortName>, references: Vec<Parsed>, rationale: Rationale) -> Self {
        let candidate = |reference: Parsed| Candidate {
            reference: reference.or_latest(),
            record: false,
        };
        Self {
            name,
            candidates: references.into_iter().map(candidate).collect(),
            rationale,
            must_ask: false,
        }
    }

    /// What to pull, in the order to try. Never empty.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Why these.
    #[must_use]
    pub fn rationale(&self) -> &Rationale {
        &self.rationale
    }

    /// A person has to choose one of the candidates before any is pulled.
    #[must_use]
    pub fn must_ask(&self) -> bool {
        self.must_ask
    }

    /// The candidate that a person chose, alone; to be recorded once it is pulled. `None` for a number that no candidate
    /// has.
    #[must_use]
    pub fn choose(self, index: usize) -> Option<Self> {
        let chosen = self.candidates.into_iter().nth(index)?;
        let candidate = Candidate {
            record: true,
            ..chosen
        };
        Some(Self {
            name: self.name,
            candidates: vec![candidate],
            rationale: Rationale::Choice,
            must_ask: false,
        })
    }

    /// The alias to keep after a candidate was pulled; `None` where none is to be kept.
    #[must_use]
    pub fn record(&self, candidate: &Candidate) -> Option<(&ShortName, Named)> {
        let name = self.name.as_ref().filter(|_| candidate.record)?;
        Some((name, candidate.reference.named().clone()))
    }

    /// What to say to a person before the pull; `None` where there is nothing to say.
    #[must_use]
    pub fn description(&self) -> Option<String> {
        let name = self.name.as_ref().map_or("", |name| name.as_str());
        match &self.rationale {
            Rationale::FullName | Rationale::Choice => None,
            Rationale::Alias(origin) => Some(format!("Resolved {name:?} as an alias ({origin})")),
            Rationale::SearchRegistries(origin) => Some(format!(
                "Resolving {name:?} using unqualified-search registries ({origin})"
            )),
            Rationale::DockerHubOnly => Some(format!(
                "Resolving {name:?} to docker.io (enforced by caller)"
            )),
        }
    }
}

/// All that went wrong, where each candidate failed. One error is shown as it is.
///
/// ```
/// use longshore_puller::short_names::PullErrors;
///
/// let errors = PullErrors::new(vec!["a: denied".to_owned(), "b: not found".to_owned()]).unwrap();
/// assert_eq!(errors.to_string(), "2 errors occurred while pulling:\n * a: denied\n * b: not found");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullErrors<E>(Vec<E>);

impl<E> PullErrors<E> {
    /// `None` where there is no error.
    #[must_use]
    pub fn new(errors: Vec<E>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// The errors, in the order of the candidates.
    #[must_use]
    pub fn errors(&self) -> &[E] {
        &self.0
    }
}

impl<E: fmt::Display> fmt::Display for PullErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        write!(f, "{} errors occurred while pulling:", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|error| write!(f, "\n * {error}"))
    }
}

impl<E: std::error::Error + 'static> std::error::Error for PullErrors<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0.as_slice() {
            [only] => only.source(),
            _ => None,
        }
    }
}

fn split(name: &str) -> Result<NameInput, Error> {
    NameInput::parse(name).map_err(|source| Error::Reference {
        name: name.to_owned(),
        source,
    })
}

/// The name as Docker reads it.
fn hub(name: &str) -> Result<Parsed, Error> {
    Parsed::parse(name).map_err(|source| Error::Reference {
        name: name.to_owned(),
        source,
    })
}

/// The value of an alias with the tag and the digest that came with the name.
fn completed(name: &str, value: &Named) -> Result<Parsed, Error> {
    let mut parsed = Parsed::from(value.clone());
    if let NameInput::Short { tag, digest, .. } = split(name)? {
        if let Some(tag) = tag {
            parsed = parsed.with_tag(tag);
        }
        if let Some(digest) = digest {
            parsed = parsed.with_digest(digest);
        }
    }
    Ok(parsed)
}

/// The name at each of these registries.
fn under<'a>(
    name: &str,
    registries: impl Iterator<Item = &'a String>,
) -> Result<Vec<Parsed>, Error> {
    let at = |registry: &String| {
        Parsed::parse(&[registry.as_str(), "/", name].concat()).map_err(|source| {
            Error::SearchRegistry {
                registry: registry.clone(),
                source,
            }
        })
    };
    registries.map(at).collect()
}

/// The registry of images that were made here.
pub const LOCALHOST: &str = "localhost";

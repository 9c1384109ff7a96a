//! The keys of the file, in both versions, and the checks of version 2.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Error, Invalid, Location, PullFromMirror, Registry};

/// A file as it stands. What is `None` is not there, which differs from an empty list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Document {
    registry: Option<Vec<RegistryTable>>,
    #[serde(rename = "unqualified-search-registries")]
    pub(super) search: Option<Vec<String>>,
    pub(super) credential_helpers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) short_name_mode: String,
    #[serde(default, rename = "additional-layer-store-auth-helper")]
    pub(super) layer_store_auth_helper: String,
    pub(super) aliases: Option<BTreeMap<String, String>>,
    #[serde(default)]
    registries: V1,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct RegistryTable {
    prefix: String,
    location: String,
    insecure: bool,
    pull_from_mirror: String,
    mirror: Vec<MirrorTable>,
    blocked: bool,
    mirror_by_digest_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct MirrorTable {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct V1 {
    search: V1List,
    insecure: V1List,
    block: V1List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct V1List {
    registries: Option<Vec<String>>,
}

impl Document {
    pub(super) fn read(text: &str, origin: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|source| Error::Syntax {
            origin: origin.to_owned(),
            source,
        })
    }

    /// Whether a list of version 1 is there, be it empty.
    pub(super) fn is_v1(&self) -> bool {
        let V1 {
            search,
            insecure,
            block,
        } = &self.registries;
        [search, insecure, block]
            .iter()
            .any(|list| list.registries.is_some())
    }

    fn is_v2(&self) -> bool {
        self.registry.is_some()
            || self.search.is_some()
            || self.credential_helpers.is_some()
            || !self.short_name_mode.is_empty()
            || !self.layer_store_auth_helper.is_empty()
            || self.aliases.is_some()
    }

    /// The same in version 2.
    pub(super) fn into_v2(self) -> Result<Self, Invalid> {
        if !self.is_v1() {
            return Ok(self);
        }
        if self.is_v2() {
            return Err(Invalid::Mixed);
        }
        let mut tables: BTreeMap<String, RegistryTable> = BTreeMap::new();
        let mut table = |text: &str, set: fn(&mut RegistryTable)| {
            let location = location(text)?;
            let table = tables.entry(location.clone()).or_default();
            table.prefix.clone_from(&location);
            table.location = location;
            set(table);
            Ok::<(), Invalid>(())
        };
        for text in self.registries.block.registries.iter().flatten() {
            table(text, |table| table.blocked = true)?;
        }
        for text in self.registries.insecure.registries.iter().flatten() {
            table(text, |table| table.insecure = true)?;
        }
        Ok(Self {
            registry: Some(tables.into_values().collect()),
            search: self.registries.search.registries,
            ..Self::default()
        })
    }

    /// The registries, in the order of the file.
    pub(super) fn registries(&self) -> Result<Vec<Registry>, Invalid> {
        let tables = self.registry.iter().flatten();
        let registries: Vec<Registry> =
            tables.map(RegistryTable::read).collect::<Result<_, _>>()?;
        conflicts(&registries)?;
        // Looked for last, as in containers/image: of several mistakes the same one is shown.
        let wrong = registries.iter().find(|registry| {
            registry.prefix.starts_with("*.") && registry.prefix.contains(['/', '@', ':'])
        });
        match wrong {
            Some(registry) => Err(Invalid::Wildcard(registry.prefix.clone())),
            None => Ok(registries),
        }
    }
}

impl RegistryTable {
    fn read(&self) -> Result<Registry, Invalid> {
        let mut endpoint = Location::new(location(&self.location)?);
        endpoint.insecure = self.insecure;
        let prefix = match self.prefix.is_empty() {
            true if endpoint.location.is_empty() => return Err(Invalid::Unset),
            true => endpoint.location.clone(),
            false => location(&self.prefix)?,
        };
        if endpoint.location.is_empty() && !prefix.starts_with("*.") {
            return Err(Invalid::NoLocation);
        }
        if !self.pull_from_mirror.is_empty() {
            return Err(Invalid::PullFromMirrorOfRegistry(prefix));
        }
        let mirrors = self.mirror.iter();
        let mirrors = mirrors.map(|mirror| mirror.read(&prefix, self.mirror_by_digest_only));
        Ok(Registry {
            mirrors: mirrors.collect::<Result<_, _>>()?,
            prefix,
            endpoint,
            blocked: self.blocked,
            mirror_by_digest_only: self.mirror_by_digest_only,
        })
    }
}

impl MirrorTable {
    /// Reads a mirror of the registry with this prefix.
    fn read(&self, prefix: &str, by_digest_only: bool) -> Result<Location, Invalid> {
        let location = location(&self.location)?;
        if location.is_empty() {
            return Err(Invalid::NoMirrorLocation);
        }
        let value = &self.pull_from_mirror;
        if by_digest_only && !value.is_empty() {
            return Err(Invalid::MirrorUsageTwice {
                prefix: prefix.to_owned(),
                mirror: location,
            });
        }
        let pull_from_mirror = match value.as_str() {
            "" => PullFromMirror::Unset,
            "all" => PullFromMirror::All,
            "digest-only" => PullFromMirror::DigestOnly,
            "tag-only" => PullFromMirror::TagOnly,
            _ => {
                return Err(Invalid::PullFromMirror {
                    value: value.clone(),
                    mirror: location,
                });
            }
        };
        Ok(Location {
            location,
            insecure: self.insecure,
            pull_from_mirror,
        })
    }
}

/// Reads a location: trailing slashes are trimmed, a scheme is refused.
pub(super) fn location(text: &str) -> Result<String, Invalid> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
        return Err(Invalid::Scheme(text.to_owned()));
    }
    Ok(trimmed.to_owned())
}

/// One location may stand under several prefixes, but is secure or not, blocked or not.
fn conflicts(registries: &[Registry]) -> Result<(), Invalid> {
    let mut first: BTreeMap<&str, &Registry> = BTreeMap::new();
    for registry in registries {
        let location = &registry.endpoint.location;
        let key = match location.is_empty() {
            true => &registry.prefix,
            false => location,
        };
        let other = first.entry(key).or_insert(registry);
        let setting = match () {
            () if other.endpoint.insecure != registry.endpoint.insecure => "insecure",
            () if other.blocked != registry.blocked => "blocked",
            () => continue,
        };
        return Err(Invalid::Conflict {
            location: location.clone(),
            setting,
        });
    }
    Ok(())
}

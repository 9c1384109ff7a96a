//! `du`: how much room what takes.

use std::collections::{HashMap, HashSet};

use longshore_reference::{Digest, Named};

use super::{Inventory, InventoryError};

/// Bytes that are held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskUsage {
    /// All of them, what several repositories share counted once.
    pub bytes: u64,
    /// Number of blobs and manifests.
    pub objects: u64,
    /// Bytes that belong to no repository.
    pub unreferenced: u64,
    /// By upstream.
    pub upstreams: Vec<UpstreamUsage>,
}

/// Bytes that are held of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamUsage {
    /// Its name, such as `docker.io`.
    pub name: String,
    /// What its repositories share is counted once.
    pub bytes: u64,
    /// Bytes that no other upstream has.
    pub unique: u64,
    /// By repository.
    pub repositories: Vec<RepositoryUsage>,
}

/// Bytes that are held of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepositoryUsage {
    /// Its name.
    pub named: Named,
    /// Number of its tags.
    pub tags: u64,
    /// All that it has.
    pub bytes: u64,
    /// Bytes that no other repository has.
    pub unique: u64,
}

impl Inventory {
    /// How much room what takes.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage, InventoryError> {
        let stock = self.tier.stock();
        let repositories = self.repositories()?;
        let reached: Vec<_> = repositories.iter().map(|of| of.reach(&stock)).collect();
        let mut by_upstream: Vec<(&str, HashSet<Digest>)> = Vec::new();
        for (repository, digests) in repositories.iter().zip(&reached) {
            match by_upstream.last_mut() {
                Some((name, all)) if *name == repository.named.domain() => all.extend(digests),
                _ => by_upstream.push((repository.named.domain(), digests.clone())),
            }
        }
        let (of_repositories, of_upstreams) = (
            owners(reached.iter()),
            owners(by_upstream.iter().map(|(_, digests)| digests)),
        );
        let unique = |digests: &HashSet<Digest>, owners: &HashMap<Digest, usize>| {
            let alone = digests
                .iter()
                .filter(|digest| owners.get(digest) == Some(&1));
            alone
                .filter_map(|digest| stock.get(digest))
                .map(|item| item.size)
                .sum()
        };
        let mut usage = DiskUsage {
            unreferenced: stock
                .iter()
                .filter(|(digest, _)| !of_upstreams.contains_key(digest))
                .map(|(_, item)| item.size)
                .sum(),
            ..DiskUsage::default()
        };
        for (_, item) in stock.iter() {
            usage.bytes += item.size;
            usage.objects += 1;
        }
        for (name, digests) in &by_upstream {
            let rows = repositories.iter().zip(&reached);
            let rows = rows.filter(|(repository, _)| repository.named.domain() == *name);
            usage.upstreams.push(UpstreamUsage {
                name: (*name).to_owned(),
                bytes: stock.bytes(digests),
                unique: unique(digests, &of_upstreams),
                repositories: rows
                    .map(|(repository, digests)| RepositoryUsage {
                        named: repository.named.clone(),
                        tags: repository.tags.len() as u64,
                        bytes: stock.bytes(digests),
                        unique: unique(digests, &of_repositories),
                    })
                    .collect(),
            });
        }
        Ok(usage)
    }
}

/// How many of these sets have a digest.
fn owners<'a>(sets: impl Iterator<Item = &'a HashSet<Digest>>) -> HashMap<Digest, usize> {
    let mut owners = HashMap::new();
    for digest in sets.flatten() {
        *owners.entry(*digest).or_default() += 1;
    }
    owners
}

//! Where the references of a registry are pulled from: its mirrors, and itself.

use longshore_reference::Parsed;

use super::{SourceError, matched};

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

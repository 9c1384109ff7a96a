//! What is never evicted, as the configuration says. Pure.

use std::str::FromStr;

use longshore_reference::{Digest, Reference, matches};

/// A pin: a digest, a repository, or some tags of a repository.
///
/// `sha256:…`, `registry.example/team/app`, `registry.example/team/app:v1.*`. A `*` stands for any characters, so that
/// `registry.example/*` pins all repositories of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Digest(Digest),
    Repository { name: String, tag: Option<String> },
}

/// A text that is no [`Pin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pin is a digest, or a repository with its registry, such as docker.io/library/alpine or docker.io/library/alpine:3.*"
)]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        if let Ok(digest) = Digest::parse(text) {
            return Ok(Self(Kind::Digest(digest)));
        }
        let slash = text.rfind('/').ok_or(PinError)?;
        let (name, tag) = match text.get(slash..).and_then(|last| last.find(':')) {
            Some(colon) => {
                let (name, tag) = text.split_at(slash + colon);
                (name, tag.strip_prefix(':'))
            }
            None => (text, None),
        };
        let domain = name.split('/').next().unwrap_or_default();
        let is_text = |part: &str| !part.is_empty() && !part.contains([' ', '@']);
        if domain.is_empty() || !is_text(name) || name.ends_with('/') || !tag.is_none_or(is_text) {
            return Err(PinError);
        }
        Ok(Self(Kind::Repository {
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
        }))
    }
}

/// All pins.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins(Vec<Pin>);

impl Pins {
    pub(super) fn new(pins: Vec<Pin>) -> Self {
        Self(pins)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digests that are pinned themselves.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter().filter_map(|pin| match &pin.0 {
            Kind::Digest(digest) => Some(digest),
            Kind::Repository { .. } => None,
        })
    }

    /// Whether what a reference stands for is pinned.
    pub(super) fn hold(&self, reference: &Reference) -> bool {
        self.hold_name(&reference.to_string())
    }

    /// As [`hold`](Self::hold), for the text of a reference. A digest is its own name too.
    pub(super) fn hold_name(&self, reference: &str) -> bool {
        self.0.iter().any(|pin| match &pin.0 {
            Kind::Digest(digest) => digest.to_string() == reference,
            Kind::Repository { name, tag } => {
                let (repository, found) = split(reference);
                let tag_fits = |tag: &String| found.is_some_and(|found| matches(tag, found));
                matches(name, repository) && tag.as_ref().is_none_or(tag_fits)
            }
        })
    }
}

/// Repository and tag of a reference.
fn split(reference: &str) -> (&str, Option<&str>) {
    if let Some((repository, _)) = reference.split_once('@') {
        return (repository, None);
    }
    let slash = reference.rfind('/').unwrap_or(0);
    match reference.rfind(':').filter(|colon| *colon > slash) {
        Some(colon) => {
            let (repository, tag) = reference.split_at(colon);
            (repository, tag.strip_prefix(':'))
        }
        None => (reference, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_hold_repositories_tags_and_digests() {
        let digest = Digest::sha256(b"x");
        let pins = [
            "registry.example:5000/team/app:v*",
            "docker.io/library/*",
            &digest.to_string(),
        ];
        let pins = Pins::new(pins.iter().map(|pin| pin.parse().unwrap()).collect());
        let rows = [
            ("registry.example:5000/team/app:v1".to_owned(), true),
            ("registry.example:5000/team/app:latest".to_owned(), false),
            (format!("registry.example:5000/team/app@{digest}"), false),
            ("docker.io/library/alpine:3".to_owned(), true),
            (format!("docker.io/library/alpine@{digest}"), true),
            ("docker.io/grafana/grafana:1".to_owned(), false),
            (digest.to_string(), true),
            (Digest::sha256(b"y").to_string(), false),
        ];
        for (reference, held) in rows {
            assert_eq!(pins.hold_name(&reference), held, "{reference}");
        }
        assert_eq!(pins.digests().collect::<Vec<_>>(), [&digest]);
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for text in [
            "",
            "alpine",
            "/alpine",
            "docker.io/",
            "docker.io/a:",
            "docker.io/a b",
            "a/b@sha256:12",
        ] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text}");
        }
    }
}

//! What Docker takes a short name to mean: its registry, and the repository of official images.

use crate::grammar;

/// A text cut as Docker cuts it, before anything is checked: domain, `library/` or nothing, all that follows.
pub(crate) fn split_domain(text: &str) -> (&str, &'static str, &str) {
    let (domain, rest) = match text.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest)) if is_explicit(first) => (first, rest),
        Some(_) | None => (DEFAULT_DOMAIN, text),
    };
    (domain, library(domain, rest), rest)
}

/// The part that must be in lower case: `library/` or nothing, and what stands before the first colon.
pub(crate) fn remote(text: &str) -> (&'static str, &str) {
    let (_, library, rest) = split_domain(text);
    (library, rest.split_once(':').map_or(rest, |(path, _)| path))
}

/// Whether a first component is a domain whatever follows.
pub(crate) fn is_explicit(first: &str) -> bool {
    first == "localhost"
        || first.bytes().any(|byte| byte == b'.' || byte == b':')
        || !grammar::is_lower(first)
}

pub(crate) fn library(domain: &str, rest: &str) -> &'static str {
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        OFFICIAL_PREFIX
    } else {
        ""
    }
}

pub(crate) const DEFAULT_DOMAIN: &str = "docker.io";
pub(crate) const OFFICIAL_PREFIX: &str = "library/";
pub(crate) const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";

//! Which signed names stand for an image.

use longshore_reference::{Named, Parsed, Raw};

use super::ErrorKind;

/// Which name a signature must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityMatch {
    /// `matchExact`: that of the image, with its tag or digest.
    MatchExact,
    /// `matchRepoDigestOrExact`: the same; for an image by digest, any of its repository.
    MatchRepoDigestOrExact,
    /// `matchRepository`: any of the image's repository.
    MatchRepository,
    /// `exactReference`: this one.
    ExactReference(Parsed),
    /// `exactRepository`: any of this repository.
    ExactRepository(Named),
    /// `remapIdentity`: as `matchRepoDigestOrExact`, with another prefix in the signature.
    RemapIdentity(Remap),
}

/// A prefix of names, and what stands for it in signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    prefix: String,
    signed_prefix: String,
}

impl IdentityMatch {
    /// Whether a signature for `signed` is one for the image. An image without a reference has no signature that fits,
    /// unless the match names one; a text that is no reference fits nothing.
    ///
    /// ```
    /// use longshore_puller::policy::IdentityMatch;
    /// use longshore_reference::Parsed;
    ///
    /// let image = Parsed::parse("quay.io/app:1")?;
    /// assert!(IdentityMatch::MatchExact.matches(Some(&image), "quay.io/app:1"));
    /// assert!(!IdentityMatch::MatchExact.matches(Some(&image), "quay.io/app:2"));
    /// assert!(IdentityMatch::MatchRepository.matches(Some(&image), "quay.io/app:2"));
    /// # Ok::<(), longshore_reference::Error>(())
    /// ```
    #[must_use]
    pub fn matches(&self, image: Option<&Parsed>, signed: &str) -> bool {
        let Ok(signed) = Parsed::parse(signed) else {
            return false;
        };
        match (self, image) {
            (Self::ExactReference(wanted), _) => exact(wanted, &signed),
            (Self::ExactRepository(wanted), _) => signed.named() == wanted,
            (_, None) => false,
            (Self::MatchExact, Some(image)) => exact(image, &signed),
            (Self::MatchRepository, Some(image)) => signed.named() == image.named(),
            (Self::MatchRepoDigestOrExact, Some(image)) => {
                match_repo_digest_or_exact(image, &signed)
            }
            (Self::RemapIdentity(remap), Some(image)) => remap
                .rewrite(image)
                .is_ok_and(|image| match_repo_digest_or_exact(&image, &signed)),
        }
    }
}

/// Whether a signed name is that of an image with its tag, or of the repository of an image by digest alone. The digest
/// in the signed name is not compared with the image's: the signature says which manifest it is for.
#[must_use]
pub fn match_repo_digest_or_exact(image: &Parsed, signed: &Parsed) -> bool {
    if is_name_only(signed) {
        return false;
    }
    match (image.tag(), image.digest()) {
        (Some(_), _) => image == signed,
        (None, Some(_)) => image.named() == signed.named(),
        (None, None) => false,
    }
}

impl Remap {
    /// A prefix (a registry, a namespace or a repository) and what signatures have in its place.
    ///
    /// # Errors
    /// [`ErrorKind::Prefix`]
    pub fn new(prefix: &str, signed_prefix: &str) -> Result<Self, ErrorKind> {
        for text in [prefix, signed_prefix] {
            if !is_prefix(text) {
                return Err(ErrorKind::Prefix(text.to_owned()));
            }
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            signed_prefix: signed_prefix.to_owned(),
        })
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What stands for it in signatures.
    #[must_use]
    pub fn signed_prefix(&self) -> &str {
        &self.signed_prefix
    }

    /// Whether a reference is under the prefix. A port makes another registry.
    #[must_use]
    pub fn covers(&self, reference: &Parsed) -> bool {
        let rest = reference.named().as_str().strip_prefix(&self.prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The reference as signatures have it; itself where it is not under the prefix.
    ///
    /// # Errors
    /// Those of [`Parsed::parse_canonical`], where no reference results, or none in full.
    pub fn rewrite(&self, reference: &Parsed) -> Result<Parsed, longshore_reference::Error> {
        if !self.covers(reference) {
            return Ok(reference.clone());
        }
        let text = reference.to_string();
        let rest = text.get(self.prefix.len()..).unwrap_or_default();
        Parsed::parse_canonical(&[self.signed_prefix.as_str(), rest].concat())
    }
}

fn exact(wanted: &Parsed, signed: &Parsed) -> bool {
    !is_name_only(wanted) && wanted == signed
}

/// A domain, or a name whose first component could be one.
fn is_prefix(text: &str) -> bool {
    let is_domain = Raw::parse(&[text, "/x"].concat()).is_ok_and(|raw| raw.domain() == Some(text));
    let is_name = || Raw::parse(text).is_ok_and(|raw| raw.name() == text && raw.domain().is_some());
    is_domain || is_name()
}

/// Whether a reference has neither a tag nor a digest.
pub(super) fn is_name_only(reference: &Parsed) -> bool {
    reference.tag().is_none() && reference.digest().is_none()
}

//! Names as people give them, taken apart and completed by the conventions of Podman and its kin.

use longshore_reference::{Parsed, Raw};

use super::Error;
use crate::short_names::LOCALHOST;

/// A name as it was given, by whether it says which registry it is from. `docker.io` and `library/` are not added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts(Raw);

/// Takes a name apart.
///
/// ```
/// use longshore_puller::goal::decompose;
///
/// let parts = decompose("ns/app:1")?;
/// assert!(!parts.has_registry());
/// assert_eq!((parts.name(), parts.search_tag()), ("ns/app", "1"));
/// assert_eq!(parts.with_registry("quay.io")?.to_string(), "quay.io/ns/app:1");
/// # Ok::<(), longshore_puller::goal::Error>(())
/// ```
///
/// # Errors
/// [`Error::Reference`]
pub fn decompose(name: &str) -> Result<Parts, Error> {
    Raw::parse(name)
        .map(Parts)
        .map_err(|source| unreadable(name, source))
}

/// The last component of a name, without tag and digest.
///
/// # Errors
/// [`Error::Reference`]
pub fn base_name(name: &str) -> Result<String, Error> {
    let Parts(raw) = decompose(name)?;
    let last = raw.name().rsplit('/').next();
    Ok(last.unwrap_or_default().to_owned())
}

impl Parts {
    /// Whether the first component is a registry: it has a dot or a colon, or is `localhost`.
    #[must_use]
    pub fn has_registry(&self) -> bool {
        self.registry().is_some()
    }

    /// The registry, if there is one.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        let domain = self.0.domain()?;
        (domain.contains(['.', ':']) || domain == LOCALHOST).then_some(domain)
    }

    /// The name without its registry, tag and digest.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.has_registry() {
            true => self.0.path(),
            false => self.0.name(),
        }
    }

    /// The tag that images which are here are searched for: that of the name; `none` with a digest alone; else `latest`.
    #[must_use]
    pub fn search_tag(&self) -> &str {
        match (self.0.tag(), self.0.digest()) {
            (Some(tag), _) => tag.as_str(),
            (None, Some(_)) => "none",
            (None, None) => "latest",
        }
    }

    /// The name at a registry, normalised.
    ///
    /// # Errors
    /// [`Error::HasRegistry`]; [`Error::Reference`] where it is no reference there.
    pub fn with_registry(&self, registry: &str) -> Result<Parsed, Error> {
        if self.has_registry() {
            return Err(Error::HasRegistry(self.0.to_string()));
        }
        let qualified = format!("{registry}/{}", self.0);
        Parsed::parse(&qualified).map_err(|source| unreadable(&qualified, source))
    }

    /// A name with its registry, normalised.
    ///
    /// # Errors
    /// [`Error::NoRegistry`]; [`Error::Reference`].
    pub fn normalized(&self) -> Result<Parsed, Error> {
        let text = self.0.to_string();
        if !self.has_registry() {
            return Err(Error::NoRegistry(text));
        }
        Parsed::parse(&text).map_err(|source| unreadable(&text, source))
    }
}

/// A name for an image that is here, as libpod completes it: without a registry it is one of `localhost`, without tag
/// and digest it has the tag `latest`.
///
/// ```
/// use longshore_puller::goal::normalized_tag;
///
/// assert_eq!(normalized_tag("ns/app")?.to_string(), "localhost/ns/app:latest");
/// # Ok::<(), longshore_puller::goal::Error>(())
/// ```
///
/// # Errors
/// [`Error::Reference`]
pub fn normalized_tag(name: &str) -> Result<Parsed, Error> {
    let parts = decompose(name)?;
    let parsed = match parts.has_registry() {
        true => parts.normalized()?,
        false => parts.with_registry(LOCALHOST)?,
    };
    Ok(parsed.or_latest())
}

/// The same as libpod's successors do it: of a tag and a digest only the digest stays.
///
/// # Errors
/// [`Error::Reference`]
pub fn normalize_name(name: &str) -> Result<Parsed, Error> {
    let parsed = normalized_tag(name)?;
    Ok(match parsed.digest() {
        Some(digest) => Parsed::from(parsed.into_named()).with_digest(digest),
        None => parsed,
    })
}

/// A name without its tag, if it has a digest too: the digest alone says what is meant. Nothing else is changed.
///
/// # Errors
/// [`Error::Reference`]
pub fn strip_tag_of_digest(name: &str) -> Result<Raw, Error> {
    let Parts(raw) = decompose(name)?;
    Ok(match raw.digest() {
        Some(digest) => raw.trim().with_digest(digest),
        None => raw,
    })
}

/// The name that an index gives to an image: that of containerd and BuildKit (`io.containerd.image.name`) before
/// `org.opencontainers.image.ref.name`.
///
/// ```
/// use longshore_puller::goal::name_from_annotations;
///
/// let annotations = [("org.opencontainers.image.ref.name", "1.2")];
/// assert_eq!(name_from_annotations(|key| annotations.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)), Some("1.2"));
/// ```
pub fn name_from_annotations<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let names = [
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    ];
    names
        .into_iter()
        .filter_map(annotation)
        .find(|name| !name.is_empty())
}

/// Whether an image has a label. Names of labels are compared without regard to case.
pub fn has_label<'a>(labels: impl IntoIterator<Item = &'a str>, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    labels
        .into_iter()
        .any(|label| label.to_lowercase() == wanted)
}

/// What is said of an image without the label. It ends the pull, whatever other pairs there are.
#[must_use]
pub fn no_label(image: &str, label: &str) -> String {
    format!("{image} has no label {label}")
}

fn unreadable(name: &str, source: longshore_reference::Error) -> Error {
    Error::Reference {
        name: name.to_owned(),
        source,
    }
}

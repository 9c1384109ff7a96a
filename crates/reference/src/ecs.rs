//! What the Amazon ECS agent does with references to pin an image.

use crate::{Digest, Error, ErrorKind, Parsed, Raw};

/// The digest that an image reference carries; `None` for one without a digest, and for what is no reference.
///
/// ```
/// use longshore_reference::{Digest, ecs};
///
/// let digest = Digest::sha256(b"{}");
/// assert_eq!(ecs::digest_in(&format!("app:1@{digest}")), Some(digest));
/// assert_eq!(ecs::digest_in("app:1"), None);
/// ```
#[must_use]
pub fn digest_in(image: &str) -> Option<Digest> {
    Raw::parse(image).ok()?.digest()
}

/// The digest of the first repo digest (`name@digest`, as an engine lists them) that is of the image's repository.
///
/// Both sides are normalised; what is no reference or has no digest is passed over.
///
/// ```
/// use longshore_reference::{Digest, ecs};
///
/// let digest = Digest::sha256(b"{}");
/// let held = ["quay.io/app".to_owned(), format!("app@{digest}")];
/// assert_eq!(ecs::digest_among(&held, "docker.io/library/app:1")?, digest);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
///
/// # Errors
/// [`Image`](ErrorKind::Image) with that of [`Parsed::parse`] as its source; [`NoRepoDigest`](ErrorKind::NoRepoDigest) where none is of its repository.
pub fn digest_among<T: AsRef<str>>(
    repo_digests: impl IntoIterator<Item = T>,
    image: &str,
) -> Result<Digest, Error> {
    let wanted = Parsed::parse(image).map_err(|source| unreadable(image, source))?;
    repo_digests
        .into_iter()
        .filter_map(|held| Parsed::parse(held.as_ref()).ok())
        .find_map(|held| held.digest().filter(|_| held.named() == wanted.named()))
        .ok_or_else(|| Error::new(ErrorKind::NoRepoDigest, image))
}

/// The image pinned to a digest in place of its own tag and digest. Nothing is normalised.
///
/// ```
/// use longshore_reference::{Digest, ecs};
///
/// let digest = Digest::sha256(b"{}");
/// assert_eq!(ecs::canonical("alpine:3", digest)?.to_string(), format!("alpine@{digest}"));
/// # Ok::<(), longshore_reference::Error>(())
/// ```
///
/// # Errors
/// [`Image`](ErrorKind::Image) with that of [`Raw::parse`] as its source.
pub fn canonical(image: &str, digest: Digest) -> Result<Raw, Error> {
    let raw = Raw::parse(image).map_err(|source| unreadable(image, source))?;
    Ok(raw.trim().with_digest(digest))
}

fn unreadable(image: &str, source: Error) -> Error {
    Error::new(ErrorKind::Image, image).because(source)
}

//! The parts of a reference, cut from its text and joined again.

use std::fmt;

use crate::grammar::{PATH_BYTES_MAX, is_digest, is_domain, is_path, is_tag, lower};
use crate::{Digest, ErrorKind, Tag};

/// The parts of a reference as they stand in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) domain: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) digest: Option<Digest>,
}

/// Reads `[domain/]path[:tag][@digest]` with the errors, and in the order, of distribution/reference.
pub(crate) fn parse(text: &str) -> Result<Parts<'_>, ErrorKind> {
    let Some((name, tag, digest)) = split(text) else {
        return Err(mismatch(text));
    };
    let Some((domain, path)) = split_name(name) else {
        return Err(mismatch(text));
    };
    if path.len() > PATH_BYTES_MAX {
        return Err(ErrorKind::NameTooLong);
    }
    Ok(Parts {
        domain,
        path,
        tag,
        digest: digest.transpose()?,
    })
}

/// Name, tag and digest, the last as go-digest judges it.
pub(crate) type Split<'a> = (&'a str, Option<&'a str>, Option<Result<Digest, ErrorKind>>);

/// Cuts a reference into name, tag and digest, and checks the last two.
pub(crate) fn split(text: &str) -> Option<Split<'_>> {
    // No other part can contain an "@".
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => match Digest::read(digest) {
            // What go-digest accepts, the grammar does too.
            Err(_) if !is_digest(digest) => return None,
            digest => (rest, Some(digest)),
        },
        None => (text, None),
    };
    // A colon before the last slash is a port's, or stands in an IPv6 address.
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let colon = rest
        .as_bytes()
        .iter()
        .skip(last)
        .position(|&byte| byte == b':');
    let Some(colon) = colon.map(|colon| last + colon) else {
        return Some((rest, None, digest));
    };
    let (name, tag) = (rest.get(..colon)?, rest.get(colon + 1..)?);
    is_tag(tag).then_some((name, Some(tag), digest))
}

/// The first component is the domain whenever it can be one and a path follows.
fn split_name(name: &str) -> Option<(Option<&str>, &str)> {
    if let Some((first, rest)) = name.split_once('/')
        && is_domain(first)
    {
        return is_path(rest).then_some((Some(first), rest));
    }
    is_path(name).then_some((None, name))
}

/// Why `text` is no reference.
fn mismatch(text: &str) -> ErrorKind {
    if text.is_empty() {
        return ErrorKind::NameEmpty;
    }
    let lower: String = text.chars().map(lower).collect();
    match split(&lower).and_then(|(name, ..)| split_name(name)) {
        Some(_) => ErrorKind::Uppercase,
        None => ErrorKind::InvalidFormat,
    }
}

/// `name[:tag][@digest]`.
pub(crate) fn write(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    tag: Option<&Tag>,
    digest: Option<&Digest>,
) -> fmt::Result {
    f.write_str(name)?;
    if let Some(tag) = tag {
        f.write_str(":")?;
        f.write_str(tag.as_str())?;
    }
    if let Some(digest) = digest {
        f.write_str("@")?;
        fmt::Display::fmt(digest, f)?;
    }
    Ok(())
}

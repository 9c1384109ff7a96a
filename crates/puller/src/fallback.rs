//! From protocol v2 to v1: which is asked, when the other one is, and whose error the caller sees.

use std::fmt;

use longshore_reference::{Canonical, Named};

use crate::{Error, Upstream, classify, lookup::Version, tries::is_resting};

/// The versions of the protocol one call is made in, one after the other.
///
/// v2 comes first. v1 is asked if the error lets it ([`classify::asks_v1`]), unless the upstream was ever seen to be a
/// v2 registry, or to answer v1 with anything but v1 a short while ago. Digests are never asked for in v1.
pub(crate) struct Fallback<'a> {
    upstream: &'a Upstream,
    named: &'a Named,
    by_digest: bool,
    left: std::vec::IntoIter<Version>,
    error: Option<Error>,
}

impl<'a> Fallback<'a> {
    /// # Errors
    /// [`Error::Reserved`].
    pub(crate) fn new(
        upstream: &'a Upstream,
        named: &'a Named,
        by_digest: bool,
    ) -> Result<Self, Error> {
        admit_name(named)?;
        let versions = [Version::V2, Version::V1];
        let has = |version: &Version| !upstream.inner.endpoints(*version).is_empty();
        Ok(Self {
            upstream,
            named,
            by_digest,
            left: versions
                .into_iter()
                .filter(has)
                .collect::<Vec<_>>()
                .into_iter(),
            error: None,
        })
    }

    /// The version to ask in now.
    pub(crate) fn next(&mut self) -> Option<Version> {
        while let Some(version) = self.left.next() {
            let name = self.upstream.name();
            if version == Version::V1 && self.upstream.inner.is_v2() {
                tracing::debug!(upstream = %name, "skipping v1 endpoints because v2 registry was detected");
                continue;
            }
            if version == Version::V1 && self.error.is_some() && self.is_silent() {
                tracing::debug!(upstream = %name, "skipping v1 endpoints because none answered v1 a short while ago");
                continue;
            }
            tracing::debug!(upstream = %name, repository = %self.named, %version, "trying to pull");
            return Some(version);
        }
        None
    }

    /// What came of it. Whether that is the end of the call.
    pub(crate) fn told<T>(
        &mut self,
        version: Version,
        result: Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        let error = match result {
            Ok(value) => return Some(Ok(value)),
            Err(error) => error,
        };
        let name = self.upstream.name();
        // One that rests may be known to speak v1 alone.
        let asks_v1 = classify::asks_v1(&error) || (is_resting(&error) && self.speaks_v1());
        if version == Version::V2 && !asks_v1 {
            tracing::debug!(upstream = %name, %error, "not continuing with error");
            return Some(Err(error));
        }
        tracing::debug!(upstream = %name, %version, %error, "no answer in this version");
        let speaks = version == Version::V2 || self.speaks_v1();
        if !speaks && !self.by_digest {
            self.silence(&error);
        }
        self.error = Some(match self.error.take() {
            Some(kept) if !classify::replaces(&kept, &error, speaks) => kept,
            _ => error,
        });
        None
    }

    /// What the caller is told when no version is left.
    pub(crate) fn error(self, reference: &dyn fmt::Display) -> Error {
        self.error.unwrap_or_else(|| Error::NoEndpoints {
            reference: reference.to_string().into(),
        })
    }

    fn speaks_v1(&self) -> bool {
        let inner = &self.upstream.inner;
        let mut v1 = inner.endpoints(Version::V1).into_iter();
        v1.any(|index| inner.contacts.get(index).is_some_and(|c| c.speaks_v1()))
    }

    fn is_silent(&self) -> bool {
        let inner = &self.upstream.inner;
        let mut v1 = inner.endpoints(Version::V1).into_iter();
        v1.all(|index| inner.contacts.get(index).is_some_and(|c| c.is_silent()))
    }

    /// Nobody speaks v1 there. Where nothing answered, or what is in trouble, that is not known.
    fn silence(&self, error: &Error) {
        if classify::is_trouble(error) {
            return;
        }
        let inner = &self.upstream.inner;
        for index in inner.endpoints(Version::V1) {
            if let Some(contact) = inner.contacts.get(index) {
                contact.silence();
            }
        }
    }
}

impl Upstream {
    /// Refuses what is asked for by digest where v1 is all there is.
    pub(crate) fn admit_digest(&self, canonical: &Canonical) -> Result<(), Error> {
        admit_name(canonical.named())?;
        let has = |version| !self.inner.endpoints(version).is_empty();
        match (has(Version::V2), has(Version::V1)) {
            (true, _) => Ok(()),
            (false, true) => Err(self.not_supported()),
            (false, false) => Err(Error::NoEndpoints {
                reference: canonical.to_string().into(),
            }),
        }
    }

    pub(crate) fn not_supported(&self) -> Error {
        Error::NotSupported {
            upstream: self.name().into(),
        }
    }
}

/// `scratch` stands for no image.
fn admit_name(named: &Named) -> Result<(), Error> {
    let name = named.familiar();
    match name.name() == RESERVED {
        true => Err(Error::Reserved {
            name: RESERVED.into(),
        }),
        false => Ok(()),
    }
}

const RESERVED: &str = "scratch";

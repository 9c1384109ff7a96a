//! From protocol v2 to v1: which is asked, when the other one is, and whose error the caller sees.

use std::fmt;

use longshore_reference::{Canonical, Named};

use crate::{
    Error, Upstream, attempt::is_circuit_open, classify, classify::Role, endpoint::Contact,
    lookup::Version,
};

/// What one call is made for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) named: &'a Named,
    /// By digest: nothing of it is learnt about v1, which knows no digests.
    pub(crate) by_digest: bool,
    /// For the error.
    pub(crate) reference: &'a (dyn fmt::Display + Sync),
}

impl Upstream {
    /// Makes a call in v2, then in v1 if the error lets it ([`classify::asks_v1`]), unless the origin was ever seen to
    /// be a v2 registry, or to answer v1 with anything but v1 a short while ago.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub(crate) async fn fallback<T, F>(
        &self,
        asked: Asked<'_>,
        call: impl Fn(Version) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.admit_name(asked.named)?;
        let mut kept: Option<Error> = None;
        for version in [Version::V2, Version::V1] {
            if self.inner.endpoints(version).is_empty() || !self.may_ask(version, kept.is_some()) {
                continue;
            }
            tracing::debug!(upstream = %self.name(), repository = %asked.named, %version, "trying to pull");
            let error = match Box::pin(call(version)).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // One whose circuit is open may be known to speak v1 alone.
            let asks_v1 =
                classify::asks_v1(&error) || (is_circuit_open(&error) && self.speaks_v1());
            if version == Version::V2 && !asks_v1 {
                tracing::debug!(upstream = %self.name(), %error, "not continuing with error");
                return Err(error);
            }
            tracing::debug!(upstream = %self.name(), %version, %error, "no answer in this version");
            let speaks = version == Version::V2 || self.speaks_v1();
            if !speaks && !asked.by_digest {
                self.mark_silent(&error);
            }
            kept = Some(match kept {
                Some(kept) if !classify::replaces(&kept, &error, speaks) => kept,
                _ => error,
            });
        }
        Err(kept.unwrap_or_else(|| Error::NoEndpoints {
            reference: asked.reference.to_string().into(),
        }))
    }

    fn may_ask(&self, version: Version, failed: bool) -> bool {
        let name = self.name();
        if version == Version::V2 {
            return true;
        }
        if self.is_v2() {
            tracing::debug!(upstream = %name, "skipping v1 endpoints because v2 registry was detected");
            return false;
        }
        if failed && self.v1().all(Contact::is_silent) {
            tracing::debug!(upstream = %name, "skipping v1 endpoints because none answered v1 a short while ago");
            return false;
        }
        true
    }

    /// Whether the origin was seen to be a v2 registry: a mirror says nothing about it.
    pub(crate) fn is_v2(&self) -> bool {
        let mut contacts = self.inner.contacts.iter();
        contacts.any(|contact| contact.role == Role::Origin && contact.is_v2())
    }

    fn v1(&self) -> impl Iterator<Item = &Contact> {
        let contacts = self.inner.contacts.iter();
        contacts.filter(|contact| contact.version == Version::V1)
    }

    fn speaks_v1(&self) -> bool {
        self.v1().any(Contact::speaks_v1)
    }

    /// Nobody speaks v1 there. Where nothing answered, or what is in trouble, that is not known.
    fn mark_silent(&self, error: &Error) {
        if !classify::is_trouble(error) {
            self.v1().for_each(Contact::silence);
        }
    }

    /// Refuses what is asked for by digest where v1 is all there is.
    pub(crate) fn admit_digest(&self, canonical: &Canonical) -> Result<(), Error> {
        self.admit_name(canonical.named())?;
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

    /// Refuses a repository of another registry, and `scratch`, which stands for no image.
    pub(crate) fn admit_name(&self, named: &Named) -> Result<(), Error> {
        if named.familiar().name() == RESERVED {
            return Err(Error::Reserved {
                name: RESERVED.into(),
            });
        }
        match named.domain() == self.name() {
            true => Ok(()),
            false => Err(Error::OtherRegistry {
                upstream: self.name().into(),
                domain: named.domain().into(),
            }),
        }
    }
}

const RESERVED: &str = "scratch";

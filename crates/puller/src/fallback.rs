//! From protocol v2 to v1: which is asked, when the other one is, and whose error the caller sees.

use std::fmt;

use longshore_reference::{Canonical, Named};

use crate::{
    Error,
    attempt::is_circuit_open,
    classify,
    endpoint::{EndpointState, Endpoints},
    lookup::Version,
};

/// What one call is made for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The name of the upstream.
    pub(crate) upstream: &'a str,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) named: &'a Named,
    /// By digest: nothing of it is learnt about v1, which knows no digests.
    pub(crate) by_digest: bool,
    /// For the error.
    pub(crate) reference: &'a (dyn fmt::Display + Sync),
}

/// Makes a call in v2, then in v1 if the error lets it ([`classify::asks_v1`]), unless the origin was ever seen to be a v2
/// registry, or to answer v1 with anything but v1 a short while ago.
pub(crate) async fn fallback<T, F>(
    asked: Asked<'_>,
    call: impl Fn(Version) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let (upstream, endpoints) = (asked.upstream, asked.endpoints);
    admit_name(upstream, asked.named)?;
    let mut kept: Option<Error> = None;
    for version in [Version::V2, Version::V1] {
        if !endpoints.has(version) || !asked.may_ask(version, kept.is_some()) {
            continue;
        }
        tracing::debug!(upstream, repository = %asked.named, %version, "trying to pull");
        let error = match Box::pin(call(version)).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // One whose circuit is open may be known to speak v1 alone.
        let asks_v1 = classify::asks_v1(&error) || (is_circuit_open(&error) && asked.speaks_v1());
        if version == Version::V2 && !asks_v1 {
            tracing::debug!(upstream, %error, "not continuing with error");
            return Err(error);
        }
        tracing::debug!(upstream, %version, %error, "no answer in this version");
        let speaks = version == Version::V2 || asked.speaks_v1();
        if !speaks && !asked.by_digest {
            asked.mark_silent(&error);
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

impl Asked<'_> {
    fn may_ask(&self, version: Version, failed: bool) -> bool {
        let upstream = self.upstream;
        if version == Version::V2 {
            return true;
        }
        if self.endpoints.is_v2() {
            tracing::debug!(
                upstream,
                "skipping v1 endpoints because v2 registry was detected"
            );
            return false;
        }
        if failed && self.v1().all(EndpointState::is_silent) {
            tracing::debug!(
                upstream,
                "skipping v1 endpoints because none answered v1 a short while ago"
            );
            return false;
        }
        true
    }

    fn v1(&self) -> impl Iterator<Item = &EndpointState> {
        let is_v1 = |endpoint: &&EndpointState| endpoint.version == Version::V1;
        self.endpoints.iter().filter(is_v1)
    }

    fn speaks_v1(&self) -> bool {
        self.v1().any(EndpointState::speaks_v1)
    }

    /// Nobody speaks v1 there. Where nothing answered, or what is in trouble, that is not known.
    fn mark_silent(&self, error: &Error) {
        if !classify::is_trouble(error) {
            self.v1().for_each(EndpointState::silence);
        }
    }
}

/// Refuses what is asked for by digest where v1 is all there is.
pub(crate) fn admit_digest(
    upstream: &str,
    endpoints: &Endpoints,
    canonical: &Canonical,
) -> Result<(), Error> {
    admit_name(upstream, canonical.named())?;
    match (endpoints.has(Version::V2), endpoints.has(Version::V1)) {
        (true, _) => Ok(()),
        (false, true) => Err(not_supported(upstream)),
        (false, false) => Err(Error::NoEndpoints {
            reference: canonical.to_string().into(),
        }),
    }
}

/// What v1 alone is asked for cannot be had from it.
pub(crate) fn not_supported(upstream: &str) -> Error {
    Error::NotSupported {
        upstream: upstream.into(),
    }
}

/// Refuses a repository of another registry, and `scratch`, which stands for no image.
pub(crate) fn admit_name(upstream: &str, named: &Named) -> Result<(), Error> {
    if named.familiar().name() == RESERVED {
        return Err(Error::Reserved {
            name: RESERVED.into(),
        });
    }
    match named.domain() == upstream {
        true => Ok(()),
        false => Err(Error::OtherRegistry {
            upstream: upstream.into(),
            domain: named.domain().into(),
        }),
    }
}

const RESERVED: &str = "scratch";

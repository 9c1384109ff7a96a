//! What is signed: the payload of simple signing, as OpenPGP and sigstore signatures of images have it.

use longshore_reference::Digest;

use super::{Error, ErrorKind, strict::Object};

/// What a signature says. It is true only once the signature is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload {
    /// The manifest that is signed.
    pub digest: Digest,
    /// The name that it is signed for; any text.
    pub reference: String,
    /// Which program signed.
    pub creator: Option<String>,
    /// When, in seconds since 1970.
    pub timestamp: Option<i64>,
}

/// Which kind of signature a payload belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// `atomic container signature`, signed by OpenPGP.
    Simple,
    /// `cosign container image signature`
    Sigstore,
}

impl Payload {
    /// Reads a payload strictly: unknown and doubled keys are errors, save unknown keys of `optional`.
    ///
    /// ```
    /// use longshore_puller::policy::{Payload, PayloadKind};
    ///
    /// let digest = longshore_reference::Digest::sha256(b"{}");
    /// let json = format!(
    ///     r#"{{"critical":{{"identity":{{"docker-reference":"quay.io/app"}},
    ///         "image":{{"docker-manifest-digest":"{digest}"}},
    ///         "type":"cosign container image signature"}},"optional":null}}"#
    /// );
    /// assert_eq!(Payload::parse(&json, PayloadKind::Sigstore)?.digest, digest);
    /// # Ok::<(), longshore_puller::policy::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error`] with the place in the payload.
    pub fn parse(json: &str, kind: PayloadKind) -> Result<Self, Error> {
        let mut object = Object::read(json, "")?;
        let critical = object.needed("critical")?;
        let optional = object.needed("optional")?;
        object.end()?;
        // cosign writes null where nothing is annotated.
        let (creator, timestamp) = match (optional, kind) {
            ("null", PayloadKind::Sigstore) => (None, None),
            (optional, _) => self::optional(optional)?,
        };
        let mut critical = Object::read(critical, "critical")?;
        let signature_type = critical.text("type")?;
        let image = critical.needed("image")?;
        let identity = critical.needed("identity")?;
        critical.end()?;
        if signature_type != kind.as_str() {
            return Err(Error::new(
                "critical.type",
                ErrorKind::SignatureType(signature_type),
            ));
        }
        let text = single(image, "critical.image", "docker-manifest-digest")?;
        let digest = Digest::parse(&text)
            .map_err(|source| Error::new("critical.image", ErrorKind::Digest { text, source }))?;
        Ok(Self {
            digest,
            reference: single(identity, "critical.identity", "docker-reference")?,
            creator,
            timestamp,
        })
    }
}

impl PayloadKind {
    /// The `type` of the payload.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "atomic container signature",
            Self::Sigstore => "cosign container image signature",
        }
    }
}

fn optional(json: &str) -> Result<(Option<String>, Option<i64>), Error> {
    let mut object = Object::read(json, "optional")?;
    let creator = object.value("creator")?;
    let timestamp: Option<f64> = object.value("timestamp")?;
    Ok((creator, timestamp.map(seconds).transpose()?))
}

fn seconds(number: f64) -> Result<i64, Error> {
    let in_range = number.fract() == 0.0 && number.abs() < SECONDS_END;
    match in_range {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "it is an integer of less than 63 bits"
        )]
        true => Ok(number as i64),
        false => Err(Error::new("optional", ErrorKind::Timestamp)),
    }
}

/// The only member of an object.
fn single(json: &str, at: &str, key: &'static str) -> Result<String, Error> {
    let mut object = Object::read(json, at)?;
    let text = object.text(key)?;
    object.end()?;
    Ok(text)
}

/// 2^62: far beyond any time, and exact.
const SECONDS_END: f64 = 4_611_686_018_427_387_904.0;

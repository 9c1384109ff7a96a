//! Whether an image meets a requirement.

use bytes::Bytes;
use longshore_manifest::{MediaType, Schema1, guess};
use longshore_reference::{Digest, Parsed};

use super::{
    IdentityMatch, KeyType, Keys, Payload, PayloadKind, Policy, Rejection, Requirement,
    SIGSTORE_SIGNATURE_ANNOTATION, SIGSTORE_SIGNATURE_TYPE, SignedBy, SigstoreSignature,
    SigstoreSigned, Trust, Verifier,
};
use crate::image_name::{Identity, ImageName};

/// What is known of an image before it is used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Image<'a> {
    /// Its name in messages: `docker://quay.io/app:1`.
    pub name: String,
    /// The reference that it was asked for by, before mirrors and aliases; `None` where its transport has none.
    pub reference: Option<&'a Parsed>,
    /// The exact bytes of its manifest.
    pub manifest: &'a [u8],
    /// Its signatures.
    pub signatures: &'a [Signature],
}

/// A signature that belongs to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// A message signed by OpenPGP.
    Simple(Bytes),
    /// By sigstore, or what else cosign attaches.
    Sigstore(SigstoreSignature),
}

impl<'a> Image<'a> {
    /// An image by its name.
    #[must_use]
    pub fn new(name: &'a ImageName, manifest: &'a [u8], signatures: &'a [Signature]) -> Self {
        Self {
            name: name.to_string(),
            reference: name.docker_reference(),
            manifest,
            signatures,
        }
    }
}

impl Policy {
    /// Decides whether an image may be used: every requirement must allow it. Its layers are not looked at; whoever
    /// reads them compares their digests.
    ///
    /// # Errors
    /// [`Rejection`]: why the first requirement that does not allow it does not.
    pub fn allow(
        &self,
        identity: &Identity,
        image: &Image<'_>,
        verifier: &impl Verifier,
    ) -> Result<(), Rejection> {
        let requirements = self.requirements(identity);
        if requirements.is_empty() {
            return Err(Rejection::NoRequirements);
        }
        requirements
            .iter()
            .try_for_each(|requirement| requirement.allow(image, verifier))
    }
}

impl Requirement {
    /// Decides whether this requirement allows an image.
    ///
    /// # Errors
    /// [`Rejection`]
    pub fn allow(&self, image: &Image<'_>, verifier: &impl Verifier) -> Result<(), Rejection> {
        match self {
            Self::InsecureAcceptAnything => Ok(()),
            Self::Reject => Err(Rejection::Rejected(image.name.clone())),
            Self::SignedBaseLayer(_) => Err(Rejection::SignedBaseLayer),
            Self::SignedBy(signed_by) => self::signed_by(signed_by, image, verifier),
            Self::SigstoreSigned(signed) => sigstore_signed(signed, image, verifier),
        }
    }
}

fn signed_by(
    signed_by: &SignedBy,
    image: &Image<'_>,
    verifier: &impl Verifier,
) -> Result<(), Rejection> {
    let messages = image
        .signatures
        .iter()
        .filter_map(|signature| match signature {
            Signature::Simple(message) => Some(message),
            Signature::Sigstore(_) => None,
        });
    let mut rejections = Vec::new();
    for message in messages {
        match simple(signed_by, message, image, verifier) {
            Ok(()) => return Ok(()),
            Err(rejection) => rejections.push(rejection),
        }
    }
    Err(summary(rejections, Rejection::NoSignature))
}

fn simple(
    signed_by: &SignedBy,
    message: &[u8],
    image: &Image<'_>,
    verifier: &impl Verifier,
) -> Result<(), Rejection> {
    if signed_by.key_type != KeyType::GpgKeys {
        return Err(Rejection::KeyType(signed_by.key_type));
    }
    let keyrings = keys(&signed_by.keys, verifier)?;
    if keyrings.is_empty() {
        return Err(Rejection::NoKeys);
    }
    let content = verifier
        .verify_open_pgp(message, &keyrings)
        .map_err(Rejection::OpenPgp)?;
    let text = String::from_utf8_lossy(&content);
    let payload = Payload::parse(&text, PayloadKind::Simple).map_err(Rejection::Payload)?;
    fits(&payload, &signed_by.signed_identity, image)
}

fn sigstore_signed(
    signed: &SigstoreSigned,
    image: &Image<'_>,
    verifier: &impl Verifier,
) -> Result<(), Rejection> {
    let (mut others, mut attachments) = (0, 0);
    let mut rejections = Vec::new();
    for signature in image.signatures {
        match signature {
            Signature::Simple(_) => others += 1,
            Signature::Sigstore(s) if s.media_type != SIGSTORE_SIGNATURE_TYPE => attachments += 1,
            Signature::Sigstore(s) => match sigstore(signed, s, image, verifier) {
                Ok(()) => return Ok(()),
                Err(rejection) => rejections.push(rejection),
            },
        }
    }
    let none = match (others, attachments) {
        (0, 0) => Rejection::NoSignature,
        (others, attachments) => Rejection::OtherSignatures {
            others,
            attachments,
        },
    };
    Err(summary(rejections, none))
}

fn sigstore(
    signed: &SigstoreSigned,
    signature: &SigstoreSignature,
    image: &Image<'_>,
    verifier: &impl Verifier,
) -> Result<(), Rejection> {
    let trusted = match &signed.trust {
        Trust::Keys(keys) => keys,
        Trust::Fulcio { .. } => return Err(Rejection::Unsupported("fulcio")),
        Trust::Pki { .. } => return Err(Rejection::Unsupported("pki")),
    };
    if signed.rekor.is_some() {
        return Err(Rejection::Unsupported("rekor"));
    }
    let trusted = keys(trusted, verifier)?;
    let annotation = signature.annotations.get(SIGSTORE_SIGNATURE_ANNOTATION);
    let annotation =
        annotation.ok_or(Rejection::MissingAnnotation(SIGSTORE_SIGNATURE_ANNOTATION))?;
    verifier.verify_sigstore(&trusted, &signature.payload, annotation)?;
    let text = String::from_utf8_lossy(&signature.payload);
    let payload = Payload::parse(&text, PayloadKind::Sigstore).map_err(Rejection::Payload)?;
    fits(&payload, &signed.signed_identity, image)
}

/// Whether what is signed is this image: its manifest first, then its name.
fn fits(payload: &Payload, identity: &IdentityMatch, image: &Image<'_>) -> Result<(), Rejection> {
    let digest = manifest_digest(image.manifest).map_err(Rejection::Manifest)?;
    if payload.digest != digest {
        return Err(Rejection::Digest(payload.digest));
    }
    match identity.matches(image.reference, &payload.reference) {
        true => Ok(()),
        false => Err(Rejection::Identity(payload.reference.clone())),
    }
}

/// The digest that signatures have; that of a signed schema 1 manifest leaves its own signatures out.
fn manifest_digest(manifest: &[u8]) -> Result<Digest, longshore_manifest::Error> {
    if guess(manifest) != Some(MediaType::Schema1Signed) {
        return Ok(Digest::sha256(manifest));
    }
    let schema1 = Schema1::decode(Bytes::copy_from_slice(manifest))?;
    Ok(Digest::sha256(schema1.payload()))
}

fn keys(keys: &Keys, verifier: &impl Verifier) -> Result<Vec<Vec<u8>>, Rejection> {
    let read = |path: &String| {
        verifier
            .read_key(path)
            .map_err(|source| Rejection::ReadKey {
                path: path.clone(),
                source,
            })
    };
    match keys {
        Keys::Path(path) => Ok(vec![read(path)?]),
        Keys::Paths(paths) => paths.iter().map(read).collect(),
        Keys::Data(data) => Ok(vec![data.clone()]),
        Keys::Datas(datas) => Ok(datas.clone()),
    }
}

/// One rejection as it is, several in one.
fn summary(mut rejections: Vec<Rejection>, none: Rejection) -> Rejection {
    match rejections.len() {
        0 => none,
        1 => rejections.remove(0),
        _ => Rejection::All(rejections),
    }
}

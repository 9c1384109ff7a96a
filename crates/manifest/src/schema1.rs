//! Docker image manifest version 2, schema 1: what was served before 2016.

mod base64_url;
mod key;
mod signature;
#[cfg(feature = "signatures")]
mod verify;

use std::collections::HashSet;

use bytes::Bytes;
use longshore_reference::Digest;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::{key::Key, signature::Signature};
use crate::{
    Error,
    wire::{self, Number, Text},
};

/// The parts only schema 1 has.
///
/// ```
/// use longshore_manifest::Manifest;
///
/// let bytes = br#"{"schemaVersion":1,"name":"library/hello","tag":"latest","architecture":"amd64",
///     "fsLayers":[{"blobSum":
///         "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"}],
///     "history":[{"v1Compatibility":"{\"id\":\"5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef\"}"}]}"#;
/// let manifest = Manifest::decode(None, bytes.as_slice().into())?;
/// let schema1 = manifest.schema1().unwrap();
/// assert_eq!((schema1.name(), schema1.tag()), ("library/hello", "latest"));
/// assert_eq!(schema1.steps()?.len(), 1);
/// assert!(schema1.signatures().is_empty());
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schema1 {
    payload: Bytes,
    signatures: Vec<Signature>,
    schema_version: Option<u64>,
    name: Box<str>,
    tag: Box<str>,
    architecture: Box<str>,
    layers: Vec<Digest>,
    history: Vec<Box<str>>,
}

/// One step of the build of a schema 1 image: a blob and the v1 image that came of it.
///
/// ```
/// # use longshore_manifest::Schema1;
/// let config = br#"{"rootfs":{},"history":[{"created_by":"ENV a=b","empty_layer":true}]}"#;
/// let schema1 = Schema1::from_config("library/hello", "latest", config, &[])?;
/// let step = &schema1.steps()?[0];
/// assert_eq!(step.is_empty(), Some(true));
/// assert_eq!(step.blob.to_string(), longshore_manifest::convert::EMPTY_LAYER);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The blob; for a step that changed no file usually that of an empty tar.
    pub blob: Digest,
    /// Id of the v1 image, 64 hexadecimal digits.
    pub id: Box<str>,
    /// Id of the v1 image it was made from; empty for the base.
    pub parent: Box<str>,
    /// The v1 image as JSON, `v1Compatibility`.
    pub v1_json: &'a str,
    /// Whether the blob is to be thrown away because the step changed no file; `None` if the
    /// image does not say.
    pub throwaway: Option<bool>,
    is_windows: bool,
    /// Size in bytes the v1 image gives for what the step changed; not that of the blob.
    pub changed_bytes: Option<u64>,
}

impl Schema1 {
    /// Reads a document, signed or not: a key `signatures` decides.
    ///
    /// # Errors
    /// Not readable, a blob sum that is no digest, or signatures that do not agree on what they
    /// sign. Signatures and keys themselves are not looked at.
    pub fn decode(bytes: Bytes) -> Result<Self, Error> {
        let signed: Signed<'_> = wire::read("schema 1 manifest", &bytes)?;
        let (payload, signatures) = match signed.signatures {
            Some(signatures) => signature::parse(&bytes, signatures.get())?,
            None => (bytes, Vec::new()),
        };
        let document: Document<'_> = wire::read("schema 1 payload", &payload)?;
        let digest = |layer: &FsLayer<'_>| {
            let digest = &*layer.blob_sum.0;
            let fail = |source| Error::Digest {
                part: "fsLayers",
                digest: digest.into(),
                source,
            };
            Digest::parse(digest).map_err(fail)
        };
        let layers = document.fs_layers.as_deref().unwrap_or_default();
        let history = document.history.as_deref().unwrap_or_default();
        Ok(Self {
            schema_version: document.schema_version.0,
            name: (*document.name.0).into(),
            tag: (*document.tag.0).into(),
            architecture: (*document.architecture.0).into(),
            layers: layers.iter().map(digest).collect::<Result<_, _>>()?,
            history: history
                .iter()
                .map(|entry| (*entry.v1_compatibility.0).into())
                .collect(),
            signatures,
            payload,
        })
    }

    /// What the signatures sign and the manifest's digest is made of; the whole document if it
    /// is not signed.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The signatures, as they were found: not verified. Anybody can take them out of a document,
    /// and nothing tells then that there were any.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The repository the manifest was made for, as written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag the manifest was made for, as written.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The architecture the image is for, as written.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The steps of the build, base first, checked as moby does before it pulls: each step is
    /// the child of the one before it, and of steps repeated one behind the other the base-most
    /// stays.
    ///
    /// # Errors
    /// The schema version is not 1, there are no layers, not as many as history entries, or the
    /// chain of ids is broken. The base of a Windows image may have a parent outside.
    pub fn steps(&self) -> Result<Vec<Step<'_>>, Error> {
        let chain = |reason| Error::Chain { reason };
        if self.schema_version != Some(1) {
            return Err(Error::SchemaVersion {
                found: self.schema_version,
            });
        }
        if self.layers.len() != self.history.len() {
            return Err(chain("length of history not equal to number of layers"));
        }
        if self.layers.is_empty() {
            return Err(chain("no FSLayers in manifest"));
        }
        let mut steps = Vec::with_capacity(self.layers.len());
        for (blob, v1_json) in self.layers.iter().zip(&self.history).rev() {
            steps.push(Step::read(*blob, v1_json)?);
        }
        check_chain(&steps)?;
        steps.dedup_by(|above, below| above.id == below.id);
        Ok(steps)
    }

    /// The document in signed form, as libtrust lays it out: the payload with the signatures in
    /// it, sorted by key id.
    ///
    /// # Errors
    /// The payload is not a JSON object with keys.
    pub fn signed_form(&self) -> Result<Vec<u8>, Error> {
        signature::format(&self.payload, &self.signatures)
    }

    /// Signs the payload and returns the signed document; signatures it had are not in it.
    ///
    /// `signer` makes the raw signature of the bytes it is given by `algorithm` (`ES256`, …) with
    /// the key whose public half is `jwk`; `time` is when, as RFC 3339.
    ///
    /// # Errors
    /// The key is not readable or the payload not a JSON object with keys; inside, what `signer`
    /// fails with.
    pub fn sign<E>(
        &self,
        time: &str,
        algorithm: &str,
        jwk: &str,
        signer: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Result<Vec<u8>, E>, Error> {
        signature::sign(&self.payload, time, algorithm, jwk, signer)
    }

    /// The blobs, base first.
    pub(crate) fn layers(&self) -> impl Iterator<Item = Digest> {
        self.layers.iter().rev().copied()
    }
}

impl<'a> Step<'a> {
    fn read(blob: Digest, v1_json: &'a str) -> Result<Self, Error> {
        let v1: V1<'_> = wire::read("v1Compatibility", v1_json.as_bytes())?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if v1.id.0.len() != 64 || !v1.id.0.bytes().all(is_hex) {
            return Err(Error::ImageId {
                id: (*v1.id.0).into(),
            });
        }
        Ok(Self {
            blob,
            id: (*v1.id.0).into(),
            parent: (*v1.parent.0).into(),
            v1_json,
            throwaway: v1.throwaway,
            changed_bytes: v1.size.0,
            is_windows: v1.os.0 == "windows",
        })
    }

    /// Whether the blob is an empty tar, as far as containerd can tell without a look inside: by
    /// `throwaway`, else by the size; `None` if neither is given.
    #[must_use]
    pub fn is_empty(&self) -> Option<bool> {
        self.throwaway
            .or_else(|| self.changed_bytes.map(|bytes| bytes == 0))
    }
}

/// Refuses steps (base first) of which one is not the child of the one before it.
fn check_chain(steps: &[Step<'_>]) -> Result<(), Error> {
    let has_parent = |base: &Step<'_>| !base.parent.is_empty() && !base.is_windows;
    if steps.first().is_some_and(has_parent) {
        return Err(Error::Chain {
            reason: "invalid parent ID in the base layer of the image",
        });
    }
    let pairs = || {
        steps
            .iter()
            .zip(steps.iter().skip(1))
            .filter(|(below, step)| below.id != step.id)
    };
    let mut seen: HashSet<_> = steps.first().map(|base| &base.id).into_iter().collect();
    for (_, step) in pairs() {
        if !seen.insert(&step.id) {
            return Err(Error::RepeatedId {
                id: step.id.clone(),
            });
        }
    }
    for (below, step) in pairs() {
        if step.parent != below.id {
            let (expected, found) = (below.id.clone(), step.parent.clone());
            return Err(Error::Parent { expected, found });
        }
    }
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Signed<'a> {
    #[serde(borrow)]
    signatures: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
struct Document<'a> {
    schema_version: Number,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    tag: Text<'a>,
    #[serde(borrow)]
    architecture: Text<'a>,
    #[serde(borrow)]
    fs_layers: Option<Vec<FsLayer<'a>>>,
    #[serde(borrow)]
    history: Option<Vec<HistoryEntry<'a>>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct FsLayer<'a> {
    #[serde(borrow, default, rename = "blobSum")]
    blob_sum: Text<'a>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct HistoryEntry<'a> {
    #[serde(borrow, default, rename = "v1Compatibility")]
    v1_compatibility: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct V1<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    parent: Text<'a>,
    #[serde(borrow)]
    os: Text<'a>,
    throwaway: Option<bool>,
    #[serde(rename = "Size")]
    size: Number,
}

wire::from_objects!(
    Signed<'a>,
    Document<'a>,
    FsLayer<'a>,
    HistoryEntry<'a>,
    V1<'a>
);

#[cfg(test)]
mod tests;

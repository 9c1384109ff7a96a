//! Images of a folder with a manifest and its blobs (`dir:`).

use std::{collections::BTreeMap, path::PathBuf};

use bytes::Bytes;
use longshore_manifest::{Descriptor, MANIFEST_BYTES_MAX};
use longshore_reference::Digest;
use serde::Deserialize;

use super::{
    content::Content,
    error::Error,
    tree::{self, Tree},
};
use crate::{
    Document,
    policy::{Signature, SigstoreSignature},
};

/// What is in the file `version`.
pub(super) const VERSION: &str = "Directory Transport Version: 1.1\n";
/// Name of the file that marks the folder.
pub(super) const VERSION_FILE: &str = "version";
/// Name of the file with the manifest.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// The image of a folder.
#[derive(Debug)]
pub(super) struct Folder(Tree);

impl Folder {
    pub(super) fn new(path: &str) -> Self {
        Self(Tree::Folder(PathBuf::from(path)))
    }

    pub(super) async fn top(&self) -> Result<Document, Error> {
        let bytes = self.0.bytes(MANIFEST_FILE, MANIFEST_BYTES_MAX).await?;
        let Some(bytes) = bytes else {
            return Err(Error::NoImage {
                path: self.0.path().to_owned(),
                image: "(there is no manifest.json)".to_owned(),
            });
        };
        let manifest = tree::decode(None, bytes)?;
        let size = manifest.bytes().len() as u64;
        let (media_type, digest) = (manifest.media_type().clone(), manifest.digest());
        Ok(Document {
            descriptor: Descriptor::new(media_type, digest, Some(size)),
            manifest,
        })
    }

    pub(super) async fn manifest(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let name = instance_file(&descriptor.digest);
        self.0.manifest(&name, descriptor).await
    }

    pub(super) async fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let name = descriptor.digest.hex().to_string();
        self.0.blob(&name, descriptor.digest).await
    }

    /// The signatures of the image, or of one image of its index.
    pub(super) async fn signatures(
        &self,
        instance: Option<&Digest>,
    ) -> Result<Vec<Signature>, Error> {
        let prefix = instance.map_or_else(String::new, |digest| format!("{}.", digest.hex()));
        let mut found = Vec::new();
        while found.len() < SIGNATURES_MAX {
            let name = format!("{prefix}signature-{}", found.len().saturating_add(1));
            match self.0.bytes(&name, SIGNATURE_BYTES_MAX).await? {
                Some(bytes) => found.push(signature(&bytes)),
                None => break,
            }
        }
        Ok(found)
    }
}

/// Name of the file with a manifest of the index.
pub(super) fn instance_file(digest: &Digest) -> String {
    format!("{}.{MANIFEST_FILE}", digest.hex())
}

/// A file of a signature: a message of OpenPGP, or a format's name between zero bytes, and JSON.
fn signature(bytes: &Bytes) -> Signature {
    let sigstore = bytes.strip_prefix(SIGSTORE).and_then(|json| {
        let stored: Stored = serde_json::from_slice(json).ok()?;
        let payload = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, stored.payload);
        Some(SigstoreSignature::new(
            &stored.mime_type,
            payload.ok()?.into(),
            stored.annotations,
        ))
    });
    sigstore.map_or_else(|| Signature::Simple(bytes.clone()), Signature::Sigstore)
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "mimeType")]
    mime_type: String,
    payload: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

const SIGSTORE: &[u8] = b"\0sigstore-json\n";
/// More signatures are not looked at.
pub(super) const SIGNATURES_MAX: usize = 100;
/// Longer signatures are refused.
pub(super) const SIGNATURE_BYTES_MAX: usize = 1 << 20;

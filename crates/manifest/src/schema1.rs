//! Docker image manifest version 2, schema 1: what was served before 2016.

use bytes::Bytes;
use longshore_reference::Digest;
use serde::Deserialize;

use crate::{
    Child, Descriptor, Error, MediaType, Role,
    wire::{self, Text},
};

/// The parts only schema 1 has.
#[derive(Clone, Debug)]
pub struct Schema1 {
    payload: Bytes,
    layers: Vec<Digest>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default, rename = "fsLayers")]
    fs_layers: Option<Vec<FsLayer<'a>>>,
}

#[derive(Deserialize)]
struct FsLayer<'a> {
    #[serde(borrow, default, rename = "blobSum")]
    blob_sum: Text<'a>,
}

impl Schema1 {
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let document: Document<'_> = wire::read("schema 1 manifest", bytes)?;
        let layers = document.fs_layers.unwrap_or_default();
        let digest = |layer: &FsLayer<'_>| {
            let digest = &*layer.blob_sum.0;
            Digest::parse(digest).map_err(|source| Error::Digest {
                part: "fsLayers",
                digest: digest.into(),
                source,
            })
        };
        let layers = layers.iter().map(digest).collect::<Result<_, _>>()?;
        Ok(Self {
            payload: bytes.clone(),
            layers,
        })
    }

    /// What the signatures sign and the digest is made of; the whole document if there are none.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = Child> {
        self.layers.iter().rev().map(|digest| Child {
            role: Role::Layer,
            descriptor: Descriptor::new(MediaType::Schema2LayerGzip, *digest, None),
        })
    }
}

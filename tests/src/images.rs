//! Images and indexes, made from their sizes.

use crate::content::Content;
use crate::origin::Origin;
use crate::registry::media;
use serde_json::json;

/// An image that an origin holds.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of the manifest.
    pub digest: String,
    /// The exact bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The media type of the manifest.
    pub media_type: &'static str,
    /// The digest of the config.
    pub config: String,
    /// The digests of the layers, the base first.
    pub layers: Vec<String>,
}

impl Image {
    /// The digests of the config and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// An index that an origin holds.
#[derive(Clone, Debug)]
pub struct Index {
    /// The digest of the index.
    pub digest: String,
    /// The exact bytes of the index.
    pub manifest: Vec<u8>,
    /// The image of each platform.
    pub images: Vec<Image>,
}

impl Origin {
    /// Keeps an OCI image with layers of these sizes under `tag`. The bytes depend only on the arguments.
    pub fn image(&self, repository: &str, tag: &str, layers: &[u64]) -> Image {
        self.image_of(repository, Some(tag), layers, "amd64", &OCI)
    }

    /// As [`image`](Self::image), with Docker's media types.
    pub fn image_schema2(&self, repository: &str, tag: &str, layers: &[u64]) -> Image {
        self.image_of(repository, Some(tag), layers, "amd64", &DOCKER)
    }

    /// Keeps an OCI index of one image for each of `architectures`, with layers of these sizes, under `tag`.
    pub fn index(
        &self,
        repository: &str,
        tag: &str,
        architectures: &[&str],
        layers: &[u64],
    ) -> Index {
        let images: Vec<_> = architectures
            .iter()
            .map(|arch| self.image_of(repository, None, layers, arch, &OCI))
            .collect();
        let entries = images.iter().zip(architectures).map(|(image, architecture)| {
            let platform = json!({ "architecture": architecture, "os": "linux" });
            let size = image.manifest.len();
            json!({ "mediaType": image.media_type, "digest": image.digest, "size": size, "platform": platform })
        });
        let entries: Vec<_> = entries.collect();
        let index =
            json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries });
        let manifest = serde_json::to_vec_pretty(&index).unwrap();
        let digest = self.push_manifest(repository, Some(tag), manifest.clone(), media::OCI_INDEX);
        Index {
            digest,
            manifest,
            images,
        }
    }

    fn image_of(
        &self,
        repository: &str,
        tag: Option<&str>,
        layers: &[u64],
        arch: &str,
        types: &Types,
    ) -> Image {
        let seed = format!("{repository}:{tag:?} {arch} {layers:?}");
        let seed = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let (mut digests, mut descriptors) = (Vec::new(), Vec::new());
        for (i, size) in layers.iter().enumerate() {
            let digest = self.push_blob(repository, Content::seeded(seed ^ i as u64, *size));
            descriptors.push(json!({ "mediaType": types.layer, "size": size, "digest": digest }));
            digests.push(digest);
        }
        let rootfs = json!({ "type": "layers", "diff_ids": digests });
        let config = json!({ "architecture": arch, "os": "linux", "config": {}, "rootfs": rootfs })
            .to_string();
        let size = config.len();
        let config = self.push_blob(repository, config);
        // Two spaces of indentation, as Docker writes it: whoever serialises it again is found out.
        let manifest = serde_json::to_vec_pretty(&json!({
            "schemaVersion": 2,
            "mediaType": types.manifest,
            "config": { "mediaType": types.config, "size": size, "digest": config },
            "layers": descriptors,
        }))
        .unwrap();
        let digest = self.push_manifest(repository, tag, manifest.clone(), types.manifest);
        Image {
            digest,
            manifest,
            media_type: types.manifest,
            config,
            layers: digests,
        }
    }
}

struct Types {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: Types = Types {
    manifest: media::OCI_MANIFEST,
    config: media::OCI_CONFIG,
    layer: media::OCI_LAYER,
};
const DOCKER: Types = Types {
    manifest: media::SCHEMA2,
    config: media::CONFIG,
    layer: media::LAYER,
};

//! The images of a docker-archive: their manifests are made here.

use longshore_manifest::docker_archive::{self, LIST_BYTES_MAX, MANIFEST_FILE};
use longshore_manifest::{
    CONFIG_BYTES_MAX, Descriptor, Format, ImageConfig, ManifestBuilder, MediaType,
};
use longshore_reference::{Parsed, Tag, Tagged};

use super::InventoryError;
use super::import::{Import, document};

impl Import<'_> {
    /// The images of a docker-archive.
    pub(super) fn docker_archive(&mut self, given: Option<&Parsed>) -> Result<(), InventoryError> {
        let list = self
            .archive
            .read(MANIFEST_FILE, LIST_BYTES_MAX)?
            .ok_or_else(|| {
                let reason =
                    "it is neither an OCI layout (oci-layout) nor a docker-archive (manifest.json)";
                self.archive.refuse(reason)
            })?;
        let images = docker_archive::decode(&list);
        let images = images.map_err(|cause| document(MANIFEST_FILE, cause))?;
        if given.is_some() && images.len() != 1 {
            let reason = format!("it holds {} images: --name is for one", images.len());
            return Err(self.archive.refuse(&reason));
        }
        for image in &images {
            for layer in &image.layers {
                let bytes = self.archive.member(layer)?.map_or(0, |member| member.len());
                self.expect(bytes);
            }
        }
        for image in &images {
            let names = match given {
                Some(given) => {
                    let tag = given.tag().cloned().unwrap_or_else(Tag::latest);
                    vec![Tagged::new(given.named().clone(), tag)]
                }
                None => {
                    let names = image.names().collect::<Result<Vec<_>, _>>();
                    names.map_err(|cause| document(MANIFEST_FILE, cause))?
                }
            };
            if names.is_empty() {
                let reason = format!("it does not name the image of {}: add --name", image.config);
                return Err(self.archive.refuse(&reason));
            }
            self.image(image, names)?;
        }
        Ok(())
    }

    fn image(
        &mut self,
        image: &docker_archive::Image,
        names: Vec<Tagged>,
    ) -> Result<(), InventoryError> {
        let lacks = |name: &str| format!("it lacks {name}");
        let config = self.archive.read(&image.config, CONFIG_BYTES_MAX)?;
        let config = config.ok_or_else(|| self.archive.refuse(&lacks(&image.config)))?;
        let decoded = ImageConfig::decode(&config);
        let decoded = decoded.map_err(|cause| document(&image.config, cause))?;
        let diff_ids = decoded.diff_ids();
        let diff_ids = diff_ids.map_err(|cause| document(&image.config, cause))?;
        if diff_ids.len() != image.layers.len() {
            let reason = format!(
                "{} has {} layers, {MANIFEST_FILE} {}",
                image.config,
                diff_ids.len(),
                image.layers.len()
            );
            return Err(self.archive.refuse(&reason));
        }
        let mut layers = Vec::with_capacity(diff_ids.len());
        for (name, diff_id) in image.layers.iter().zip(diff_ids) {
            let member = self.archive.member(name)?;
            let member = member.ok_or_else(|| self.archive.refuse(&lacks(name)))?;
            let (media_type, len) = (member.media_type(), member.len());
            // A plain tar must be the one that the configuration names. What is compressed is compared by whoever
            // unpacks it.
            let expected = (media_type == MediaType::OciLayer).then(|| diff_id.digest());
            let digest = self.ingest(member, expected)?;
            if expected.is_some_and(|expected| expected != digest) {
                return Err(self
                    .archive
                    .refuse(&format!("{name} is not the layer {diff_id}")));
            }
            layers.push(Descriptor::new(media_type, digest, Some(len)));
        }
        let member = self.archive.member(&image.config)?;
        let member = member.ok_or_else(|| self.archive.refuse(&lacks(&image.config)))?;
        self.expect(member.len());
        let digest = self.ingest(member, None)?;
        let config = Descriptor::new(MediaType::OciConfig, digest, Some(config.len() as u64));
        let manifest = ManifestBuilder::new(Format::Oci, config)
            .layers(layers)
            .build();
        let manifest = manifest.map_err(|cause| document(&image.config, cause))?;
        for tagged in names {
            self.add(tagged, &manifest)?;
        }
        Ok(())
    }
}

impl super::archive::Member {
    /// Of a layer, by its first bytes.
    fn media_type(&self) -> MediaType {
        let mut start = [0; 4];
        match self.peek(&mut start) {
            4.. if start == [0x28, 0xb5, 0x2f, 0xfd] => MediaType::OciLayerZstd,
            2.. if start.starts_with(&[0x1f, 0x8b]) => MediaType::OciLayerGzip,
            _ => MediaType::OciLayer,
        }
    }
}

//! Schema 1 converted by containerd, as far as the two are meant to agree.
//!
//! Configurations are moby's here, so that an image has one id whoever converts it: keys that are
//! not known stay, and there is no white space. Their digests differ, and with them the manifests.
//! What is in them is the same: layers, diff ids, history, platform.

use longshore_manifest::{
    DiffId, ImageConfig, Manifest, MediaType, Schema1,
    convert::{Converted, Format, LayerBlob},
};
use longshore_reference::Digest;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    document: String,
    layers: Vec<Layer>,
    #[serde(rename = "type")]
    media_type: String,
    manifest: String,
    config: String,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
    size: u64,
    diff_id: String,
    gzipped: bool,
}

impl Case {
    fn convert(&self) -> Converted {
        let schema1 = Schema1::decode(self.document.clone().into()).unwrap();
        let steps = schema1.steps().unwrap();
        assert_eq!(steps.len(), self.layers.len());
        let layers = steps.iter().zip(&self.layers);
        let kept = layers.filter(|(step, _)| step.throwaway != Some(true));
        let blobs: Vec<_> = kept.map(|(_, layer)| layer.to_blob()).collect();
        let format = if self.media_type == MediaType::Schema2.as_str() {
            Format::Schema2
        } else {
            Format::Oci
        };
        schema1.convert(format, &blobs).unwrap()
    }
}

impl Layer {
    fn to_blob(&self) -> LayerBlob {
        LayerBlob {
            digest: Digest::parse(&self.digest).unwrap(),
            size: self.size,
            diff_id: DiffId::new(Digest::parse(&self.diff_id).unwrap()),
            gzipped: self.gzipped,
        }
    }
}

fn cases() -> Vec<Case> {
    super::cases(include_str!("../data/containerd.json"))
}

fn is_marked(case: &Case) -> bool {
    !matches!(case.name.as_str(), "empty by size" | "empty by content")
}

fn layers(manifest: &Manifest) -> Vec<(Digest, Option<u64>)> {
    let layers = manifest.layers();
    layers.map(|layer| (layer.digest, layer.size)).collect()
}

#[test]
fn the_same_image() {
    for case in cases().iter().filter(|case| is_marked(case)) {
        let made = case.convert();
        assert_eq!(made.media_type.as_str(), case.media_type, "{}", case.name);
        let ours = Manifest::decode(Some(&case.media_type), made.manifest).unwrap();
        let theirs = Manifest::decode(Some(&case.media_type), case.manifest.clone().into());
        let theirs = theirs.unwrap();
        assert_eq!(layers(&ours), layers(&theirs), "{}", case.name);
        if case.media_type == MediaType::Schema2.as_str() {
            let types = |m: &Manifest| m.layers().map(|l| l.media_type.clone()).collect::<Vec<_>>();
            assert_eq!(types(&ours), types(&theirs), "{}", case.name);
        }
        let ours = ImageConfig::decode(&made.config).unwrap();
        let theirs = ImageConfig::decode(case.config.as_bytes()).unwrap();
        assert_eq!(ours.diff_ids().unwrap(), theirs.diff_ids().unwrap());
        assert_eq!(ours.history(), theirs.history(), "{}", case.name);
        assert_eq!(ours.platform(), theirs.platform(), "{}", case.name);
        assert_eq!(ours.created(), theirs.created(), "{}", case.name);
    }
}

/// Without `throwaway`, containerd leaves a layer out when its size is given as zero or it holds
/// nothing but zeros; moby keeps it, and so do we. All else is the same.
#[test]
fn empty_layers_that_are_not_marked_stay() {
    let unmarked: Vec<_> = cases()
        .into_iter()
        .filter(|case| !is_marked(case))
        .collect();
    assert_eq!(unmarked.len(), 2);
    for case in unmarked {
        let made = case.convert();
        let ours = Manifest::decode(Some(&case.media_type), made.manifest).unwrap();
        let theirs = Manifest::decode(Some(&case.media_type), case.manifest.into()).unwrap();
        assert_eq!(layers(&ours)[..1], layers(&theirs), "{}", case.name);
        let ours = ImageConfig::decode(&made.config).unwrap();
        let theirs = ImageConfig::decode(case.config.as_bytes()).unwrap();
        assert_eq!(ours.history()[..1], theirs.history()[..1], "{}", case.name);
        assert!(!ours.history()[1].empty_layer && theirs.history()[1].empty_layer);
    }
}

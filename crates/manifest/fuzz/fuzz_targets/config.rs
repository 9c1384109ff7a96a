//! Reads image configurations, v1 images and their ancestry from any bytes, and turns one into the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_manifest::{
    DiffId, Error, History, ImageConfig, Schema1,
    v1::{self, Ancestry, ImageId},
};
use longshore_reference::Digest;

fuzz_target!(|bytes: &[u8]| {
    ancestry(bytes);
    if let Ok(config) = ImageConfig::decode(bytes) {
        let diff_ids = config
            .diff_ids()
            .map(<[DiffId]>::to_vec)
            .unwrap_or_default();
        assert_eq!(
            config.check_layers(&diff_ids).is_ok(),
            config.chain_ids().is_ok()
        );
        let layers: Vec<_> = diff_ids.iter().map(|diff_id| diff_id.digest()).collect();
        if let Ok(schema1) = Schema1::from_config("a/b", "c", bytes, &layers) {
            match schema1.steps() {
                Ok(steps) => assert_eq!(steps.len(), config.history().len()),
                // A parent that the configuration names itself is kept, as by Docker's tools.
                Err(error) => assert!(matches!(error, Error::Chain { .. }), "{error}"),
            }
        }
    }
    let diff_ids = [DiffId::new(Digest::sha256(b"layer"))];
    let history: Vec<_> = History::from_v1(bytes, true).into_iter().collect();
    let Ok(config) = v1::image_config(bytes, &diff_ids, &history) else {
        return;
    };
    if let Ok(read) = ImageConfig::decode(config.as_bytes()) {
        assert_eq!(read.diff_ids().unwrap(), diff_ids);
        assert_eq!(read.history(), history);
    }
    let back = v1::from_config(config.as_bytes(), "id", "", false).unwrap();
    let again = v1::image_config(back.as_bytes(), &diff_ids, &history).unwrap();
    assert_eq!(again, config, "the same bytes every time");
    let id = v1::create_id(bytes, &Digest::sha256(b"chain"), None);
    assert_eq!(
        id.is_ok(),
        !history.is_empty(),
        "the same keys are read for both"
    );
});

fn ancestry(bytes: &[u8]) {
    if let Ok(ancestry) = Ancestry::decode(bytes) {
        assert_eq!(ancestry.encode(), bytes, "one form to the byte");
        let images = ancestry.images();
        let images = images.map(|(id, v1_json)| (id.clone(), v1_json.to_vec().into()));
        assert_eq!(Ancestry::new(images.collect()).unwrap(), ancestry);
    }
    let id = ImageId::parse(&"a".repeat(64)).unwrap();
    if let Ok(ancestry) = Ancestry::new(vec![(id, bytes.to_vec().into())]) {
        assert_eq!(Ancestry::decode(&ancestry.encode()).unwrap(), ancestry);
    }
}

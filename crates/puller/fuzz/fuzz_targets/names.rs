//! Reads names of images in every transport, names for short names, and what else people type.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the whole modules are included")]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[path = "../../src"]
mod src {
    pub(crate) mod config_file;
    // Its pure parts.
    pub(crate) mod ecs {
        pub(crate) mod errors;
        pub(crate) mod plan;

        pub(crate) use errors::{CannotPullManifest, redact_layer_urls};
        pub(crate) use plan::manifest_timeout;
    }
    pub(crate) mod go_duration;
    pub(crate) mod goal;
    pub(crate) mod image_name;
    pub(crate) mod registries;
    pub(crate) mod short_names;
}

use src::{
    config_file, ecs, go_duration, goal,
    image_name::{self, ImageName},
    registries, short_names,
};

fuzz_target!(|text: &str| {
    if let Ok(name) = ImageName::parse(text) {
        let printed = name.to_string();
        assert_eq!(ImageName::parse(&printed).unwrap(), name, "{printed}");
        let identity = name
            // What is resolved has no slash twice.
            .identity_with(|path| Ok(Path::new("/root").join(path).components().collect()))
            .unwrap();
        assert!(
            identity
                .namespaces
                .iter()
                .all(|scope| !scope.is_empty() && scope != "/")
        );
    }
    if let Ok(parts) = goal::decompose(text) {
        assert_eq!(parts.has_registry(), !short_names::is_short(text));
        let _ = goal::normalize_name(text).map(|name| {
            assert!(name.tag().is_some() != name.digest().is_some());
        });
    }
    let _ = ecs::manifest_timeout(Some(text));
    let redacted = ecs::redact_layer_urls("app", text);
    assert_eq!(ecs::redact_layer_urls("app", &redacted), redacted);
});

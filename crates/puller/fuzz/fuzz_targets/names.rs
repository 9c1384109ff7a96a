//! Reads names of images in every transport, names for short names, and what else people type.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the whole modules are included")]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[path = "../../src"]
mod src {
    pub(crate) mod config_file;
    pub(crate) mod docker;
    pub(crate) mod ecs;
    pub(crate) mod go_duration;
    pub(crate) mod goal;
    pub(crate) mod image_name;
    pub(crate) mod registries;
    pub(crate) mod short_names;
}

use src::{
    config_file, docker, ecs, go_duration, goal,
    image_name::{self, ImageName},
    registries, short_names,
};

fuzz_target!(|text: &str| {
    if let Ok(name) = ImageName::parse(text) {
        let printed = name.to_string();
        assert_eq!(ImageName::parse(&printed).unwrap(), name, "{printed}");
        let identity = name
            .identity_with(|path| Ok(Path::new("/root").join(path)))
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
    assert!(docker::short_id(text).chars().count() <= 12);
});

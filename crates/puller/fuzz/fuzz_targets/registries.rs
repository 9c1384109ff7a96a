//! Reads a `registries.conf`, merges it into another, and asks both for sources and short names.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the whole modules are included")]

use libfuzzer_sys::fuzz_target;
use longshore_reference::Parsed;

#[path = "../../src"]
mod src {
    pub(crate) mod config_file;
    pub(crate) mod registries;
    pub(crate) mod short_names;
}

use src::{
    config_file,
    registries::{self, Aliases, RegistriesConf},
    short_names::{self, Lookup},
};

fuzz_target!(|text: &str| {
    let _ = Aliases::parse(text, "fuzz").map(|aliases| {
        assert_eq!(Aliases::parse(&aliases.to_toml(), "fuzz").unwrap(), aliases);
    });
    let mut merged = RegistriesConf::parse("[[registry]]\nlocation = \"a.com\"", "base").unwrap();
    let _ = merged.merge_drop_in(text, "fuzz");
    let read = RegistriesConf::parse(text, "fuzz").unwrap_or_default();
    for registries in [&merged, &read] {
        let prefixes = registries.registries().iter().map(|r| &r.prefix);
        assert!(prefixes.is_sorted(), "sorted, each prefix once");
        for name in [
            "a.com/b/c:1",
            "docker.io/library/alpine",
            "sub.example.com:5000/x",
        ] {
            let reference = Parsed::parse(name).unwrap();
            if let Ok(sources) = registries.sources(&reference) {
                assert!(!sources.is_empty());
            }
        }
        let lookup = Lookup::new(registries);
        if let Ok(resolved) = short_names::resolve("alpine:1", &lookup) {
            assert!(!resolved.candidates().is_empty());
        }
        if let Ok(local) = short_names::resolve_locally("alpine:1", &lookup) {
            assert!(!local.is_empty());
        }
    }
});

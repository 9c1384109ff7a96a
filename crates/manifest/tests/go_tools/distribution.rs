//! Schema 1 as distribution's builder makes it of a configuration.

use longshore_manifest::{Error, Schema1};
use longshore_reference::Digest;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    repository: String,
    tag: String,
    config: String,
    layers: Vec<String>,
    payload: Option<String>,
    digest: Option<String>,
    refused: Option<String>,
}

fn convert(case: &Case) -> Result<Schema1, Error> {
    let layers = case.layers.iter().map(|text| Digest::parse(text).unwrap());
    let layers: Vec<_> = layers.collect();
    Schema1::from_config(&case.repository, &case.tag, case.config.as_bytes(), &layers)
}

#[test]
fn payloads() {
    for case in super::cases::<Case>(include_str!("../data/distribution.json")) {
        let made = convert(&case);
        if case.refused.is_some() {
            assert!(made.is_err(), "{}", case.name);
            continue;
        }
        let made = made.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let payload = String::from_utf8(made.payload().to_vec()).unwrap();
        assert_eq!(Some(payload), case.payload, "{}", case.name);
        let digest = Digest::sha256(made.payload()).to_string();
        assert_eq!(Some(digest), case.digest, "{}", case.name);
    }
}

//! Documents signed by libtrust.

use std::convert::Infallible;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use longshore_manifest::{Manifest, Schema1};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    name: String,
    signed: String,
    payload: String,
    digest: String,
    keys: Vec<String>,
    algorithms: Vec<String>,
}

fn cases() -> Vec<Case> {
    super::cases(include_str!("../data/libtrust.json"))
}

fn decode(document: &str) -> Schema1 {
    Schema1::decode(document.to_owned().into()).unwrap()
}

#[test]
fn payloads_digests_and_keys() {
    for case in cases() {
        let name = &case.name;
        let schema1 = decode(&case.signed);
        assert_eq!(schema1.payload(), case.payload.as_bytes(), "{name}");
        let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let manifest = Manifest::decode(Some(media_type), case.signed.clone().into()).unwrap();
        assert_eq!(manifest.digest().to_string(), case.digest, "{name}");
        let signatures = schema1.signatures();
        let keys = signatures.iter().map(|s| s.key().unwrap().id());
        assert_eq!(keys.collect::<Vec<_>>(), case.keys, "{name}");
        let algorithms = signatures.iter().map(|s| s.algorithm().to_owned());
        assert_eq!(algorithms.collect::<Vec<_>>(), case.algorithms, "{name}");
    }
}

#[test]
fn the_signed_form_is_libtrust_s() {
    for case in cases() {
        let signed = decode(&case.signed).signed_form().unwrap();
        assert_eq!(
            String::from_utf8(signed).unwrap(),
            case.signed,
            "{}",
            case.name
        );
    }
}

/// Given libtrust's key, time and raw signature, signing makes libtrust's document.
#[test]
fn signing_makes_the_same_document() {
    let mut signed_count = 0;
    for case in cases() {
        let document: Value = serde_json::from_str(&case.signed).unwrap();
        let [signature] = document["signatures"].as_array().unwrap().as_slice() else {
            continue;
        };
        let (Some(jwk), Some(raw)) = (
            signature["header"].get("jwk"),
            signature["signature"].as_str(),
        ) else {
            continue;
        };
        let protected = signature["protected"].as_str().unwrap();
        let header = BASE64_URL_SAFE_NO_PAD.decode(protected).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        let raw = BASE64_URL_SAFE_NO_PAD.decode(raw).unwrap();
        let signer = |bytes: &[u8]| {
            assert!(bytes.starts_with(format!("{protected}.").as_bytes()));
            Ok::<_, Infallible>(raw)
        };
        let unsigned = decode(&case.payload);
        let time = header["time"].as_str().unwrap();
        let Ok(signed) = unsigned
            .sign(time, &case.algorithms[0], &jwk.to_string(), signer)
            .unwrap();
        assert_eq!(
            String::from_utf8(signed).unwrap(),
            case.signed,
            "{}",
            case.name
        );
        signed_count += 1;
    }
    assert_eq!(signed_count, 6);
}

#[cfg(feature = "signatures")]
#[test]
fn signatures_are_good() {
    for case in cases() {
        let keys = decode(&case.signed).verify();
        let keys = keys.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let ids: Vec<_> = keys.iter().map(longshore_manifest::Key::id).collect();
        assert_eq!(ids, case.keys, "{}", case.name);
    }
}

#[cfg(feature = "signatures")]
#[test]
fn a_changed_payload_is_not_signed() {
    for case in cases() {
        let changed = case
            .signed
            .replacen("schemaVersion\"", "schemaversion\"", 1);
        let error = decode(&changed).verify().unwrap_err().to_string();
        assert!(
            error.starts_with("invalid signature by key "),
            "{}",
            case.name
        );
    }
}

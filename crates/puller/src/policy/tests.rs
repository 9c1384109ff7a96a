#![allow(clippy::too_many_lines, reason = "tables")]

use std::{cell::RefCell, error::Error as StdError, io, path::Path};

use bytes::Bytes;
use longshore_reference::{Digest, Parsed};
use serde_json::{Value, json};

use super::*;
use crate::image_name::{Identity, ImageName, Transport, docker_identity, docker_namespaces};

mod identities;
mod signatures;

const DIGEST: &str = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn full(text: &str) -> String {
    text.replace("@D", DIGEST)
}

fn parse_requirement(value: &Value) -> Result<Requirement, Error> {
    let policy = json!({"default": [value]}).to_string();
    Policy::parse(&policy).map(|policy| policy.default[0].clone())
}

/// A value with members set, or taken away where they are `null` in `edits`.
fn edited(value: &Value, edits: &Value) -> Value {
    let mut value = value.clone();
    let object = value.as_object_mut().unwrap();
    for (key, edit) in edits.as_object().unwrap() {
        match edit {
            Value::Null => object.remove(key),
            edit => object.insert(key.clone(), edit.clone()),
        };
    }
    value
}

/// The text of an object with one of its members twice.
fn doubled(value: &Value, key: &str) -> String {
    let text = value.to_string();
    let text = text.strip_suffix('}').unwrap();
    format!("{text},{key:?}:{}}}", value[key])
}

/// Every edit makes the requirement invalid, as does any member that is there twice.
fn refuses(valid: &Value, edits: &[Value]) {
    parse_requirement(valid).unwrap();
    for edit in edits {
        let requirement = edited(valid, edit);
        assert!(parse_requirement(&requirement).is_err(), "{requirement}");
    }
    for key in valid.as_object().unwrap().keys() {
        let text = format!("{{\"default\":[{}]}}", doubled(valid, key));
        let error = Policy::parse(&text).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::DuplicateKey(key.clone()));
    }
}

/// Members that no requirement has, and types that do not exist.
fn common() -> Vec<Value> {
    vec![
        json!({"type": null}),
        json!({"type": 1}),
        json!({"type": "this is invalid"}),
        json!({"unexpected": 1}),
    ]
}

#[test]
fn policies_are_read() {
    let policy = Policy::parse(
        r#"{
            "default": [{"type": "reject"}],
            "transports": {
                "dir": {"": [{"type": "insecureAcceptAnything"}]},
                "docker": {
                    "example.com/production": [
                        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/keys/employees"}
                    ],
                    "example.com/hardened": [
                        {"type": "signedBy", "keyType": "signedByGPGKeys", "keyPaths": ["/a", "/b"],
                         "signedIdentity": {"type": "matchExact"}},
                        {"type": "signedBaseLayer", "baseLayerIdentity":
                            {"type": "exactRepository", "dockerRepository": "registry.example.com/base"}}
                    ],
                    "mirror:5000/vendor": [
                        {"type": "signedBy", "keyType": "GPGKeys", "keyData": "bm9uc2Vuc2U=",
                         "signedIdentity": {"type": "remapIdentity", "prefix": "mirror:5000/vendor",
                                            "signedPrefix": "vendor.example.com"}}
                    ],
                    "*.example.org": [
                        {"type": "sigstoreSigned", "keyPath": "/keys/public-key",
                         "signedIdentity": {"type": "matchRepository"}}
                    ]
                },
                "unknown": {"any scope": [{"type": "reject"}]}
            }
        }"#,
    )
    .unwrap();
    assert_eq!(policy.default, [Requirement::Reject]);
    let docker = &policy.transports["docker"];
    let Requirement::SignedBy(production) = &docker["example.com/production"][0] else {
        panic!("{docker:?}");
    };
    assert_eq!(production.key_type, KeyType::GpgKeys);
    assert_eq!(production.keys, Keys::Path("/keys/employees".to_owned()));
    assert_eq!(
        production.signed_identity,
        IdentityMatch::MatchRepoDigestOrExact
    );
    assert_eq!(docker["example.com/hardened"].len(), 2);
    let Requirement::SignedBy(remapped) = &docker["mirror:5000/vendor"][0] else {
        panic!("{docker:?}");
    };
    assert_eq!(remapped.keys, Keys::Data(b"nonsense".to_vec()));
    assert!(matches!(
        docker["*.example.org"][0],
        Requirement::SigstoreSigned(_)
    ));
    assert_eq!(policy.transports["unknown"].len(), 1);
}

#[test]
fn policies_are_read_strictly() {
    let valid = json!({
        "default": [{"type": "reject"}],
        "transports": {"docker": {"docker.io/library/busybox": [{"type": "reject"}], "": [{"type": "reject"}]}},
    });
    let read = |value: &Value| Policy::parse(&value.to_string());
    read(&valid).unwrap();
    for edit in [
        json!({"default": null}),
        json!({"unexpected": 1}),
        json!({"default": 1}),
        json!({"default": {}}),
        json!({"default": []}),
        json!({"default": [1]}),
        json!({"default": [{}]}),
        json!({"default": [{"type": "this is invalid"}]}),
        json!({"default": [{"type": "signedBy", "keyType": "this is invalid"}]}),
        json!({"transports": 1}),
        json!({"transports": []}),
        json!({"transports": {"docker": {"busybox": 1}}}),
        json!({"transports": {"docker": {"busybox": {}}}}),
        json!({"transports": {"docker": {"": 1}}}),
        json!({"transports": {"docker": {"busybox": []}}}),
        json!({"transports": {"docker": {"": []}}}),
        // No image of a folder has such a scope.
        json!({"transports": {"dir": {"docker.io/library/busybox": [{"type": "reject"}]}}}),
    ] {
        assert!(read(&edited(&valid, &edit)).is_err(), "{edit}");
    }
    for edit in [
        json!({"transports": null}),
        json!({"transports": {}}),
        json!({"transports": {"docker": {}}}),
        json!({"transports": {"atomic": {"registry.example.com/rhel7": [{"type": "reject"}]}}}),
    ] {
        read(&edited(&valid, &edit)).unwrap();
    }
    for key in ["default", "transports"] {
        assert!(Policy::parse(&doubled(&valid, key)).is_err());
    }
    let transports = doubled(&valid["transports"], "docker");
    assert!(
        Policy::parse(&format!(
            "{{\"default\":[{{\"type\":\"reject\"}}],\"transports\":{transports}}}"
        ))
        .is_err()
    );
    for text in ["", "&", "1", "{", "{} {}", "null", "[]"] {
        assert!(Policy::parse(text).is_err(), "{text}");
    }
    let null = Policy::parse(r#"{"default": [{"type": "reject"}], "transports": null}"#);
    assert!(null.is_err());
}

#[test]
fn errors_name_the_place() {
    for (text, at, kind) in [
        (
            "{}",
            "",
            "invalid policy at its top: Default policy is missing",
        ),
        (
            r#"{"default": []}"#,
            "default",
            "invalid policy at default: List of verification policy requirements must not be empty",
        ),
        (
            r#"{"default": [{"type": "reject"}], "transports": {"docker": {"a.com": [{"type": "x"}]}}}"#,
            "transports.docker[\"a.com\"][0]",
            "invalid policy at transports.docker[\"a.com\"][0]: Unknown policy requirement type \"x\"",
        ),
        (
            r#"{"default": [{"type": "reject", "x": 1}]}"#,
            "default[0]",
            "invalid policy at default[0]: Unknown key \"x\"",
        ),
    ] {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!((error.at(), error.to_string().as_str()), (at, kind));
    }
}

#[test]
fn simple_requirements_have_a_type_alone() {
    for name in ["insecureAcceptAnything", "reject"] {
        refuses(&json!({"type": name}), &common());
    }
}

#[test]
fn signed_by_has_keys_from_one_place() {
    let data = json!({
        "type": "signedBy", "keyType": "GPGKeys", "keyData": "YWJj",
        "signedIdentity": {"type": "matchRepoDigestOrExact"},
    });
    let mut edits = common();
    edits.extend([
        json!({"keyType": null}),
        json!({"keyType": "this is invalid"}),
        json!({"keyType": ""}),
        json!({"keyData": null}),
        json!({"keyPath": "/foo/bar", "keyPaths": ["/1", "/2"]}),
        json!({"keyPath": "/foo/bar", "keyPaths": ["/1", "/2"], "keyData": null}),
        json!({"keyPath": "/foo/bar"}),
        json!({"keyPaths": ["/1", "/2"]}),
        json!({"keyData": null, "keyPath": 1}),
        json!({"keyData": null, "keyPath": ""}),
        json!({"keyData": null, "keyPaths": 1}),
        json!({"keyData": null, "keyPaths": [1]}),
        json!({"keyData": 1}),
        json!({"keyData": "this is invalid base64"}),
        json!({"signedIdentity": "this is invalid"}),
    ]);
    refuses(&data, &edits);
    let text = data
        .to_string()
        .replace("{\"type\":\"matchRepoDigestOrExact\"}", "null");
    assert!(Policy::parse(&format!("{{\"default\":[{text}]}}")).is_err());
    refuses(
        &edited(&data, &json!({"keyData": null, "keyPath": "/foo/bar"})),
        &[],
    );
    refuses(
        &edited(&data, &json!({"keyData": null, "keyPaths": ["/1", "/2"]})),
        &[],
    );
    // The default.
    let without = edited(&data, &json!({"signedIdentity": null}));
    assert_eq!(parse_requirement(&without), parse_requirement(&data));
    for name in [
        "GPGKeys",
        "signedByGPGKeys",
        "X509Certificates",
        "signedByX509CAs",
    ] {
        let requirement = edited(&data, &json!({"keyType": name}));
        let Ok(Requirement::SignedBy(signed_by)) = parse_requirement(&requirement) else {
            panic!("{requirement}");
        };
        assert_eq!(signed_by.key_type.as_str(), name);
    }
    for name in ["", "this is invalid"] {
        assert_eq!(KeyType::parse(name), None);
    }
}

#[test]
fn signed_base_layer_has_an_identity() {
    let valid = json!({
        "type": "signedBaseLayer",
        "baseLayerIdentity": {"type": "exactReference", "dockerReference": "registry.example.com/base:7.2.3"},
    });
    let mut edits = common();
    edits.extend([
        json!({"baseLayerIdentity": null}),
        json!({"baseLayerIdentity": "this is invalid"}),
    ]);
    refuses(&valid, &edits);
    let null = r#"{"default": [{"type": "signedBaseLayer", "baseLayerIdentity": null}]}"#;
    assert!(Policy::parse(null).is_err());
}

fn fulcio() -> Value {
    json!({"caPath": "/ca", "oidcIssuer": "https://issuer.example", "subjectEmail": "a@example.com"})
}

fn pki() -> Value {
    json!({"caRootsPath": "/roots", "caIntermediatesPath": "/intermediates", "subjectHostname": "host.example.com"})
}

#[test]
fn sigstore_has_keys_from_one_place() {
    let data = json!({
        "type": "sigstoreSigned", "keyData": "YWJj", "signedIdentity": {"type": "matchRepoDigestOrExact"},
    });
    let mut edits = common();
    edits.extend([
        json!({"keyData": null}),
        json!({"keyPath": "/foo/bar"}),
        json!({"keyPaths": ["/foo/bar", "/foo/baz"]}),
        json!({"keyDatas": ["YWJj", "ZGVm"]}),
        json!({"fulcio": fulcio(), "rekorPublicKeyPath": "/rekor"}),
        json!({"pki": pki()}),
        json!({"keyData": null, "keyPath": 1}),
        json!({"keyData": null, "keyPath": ""}),
        json!({"keyData": null, "keyPaths": 1}),
        json!({"keyData": null, "keyPaths": {}}),
        json!({"keyData": null, "keyPaths": []}),
        json!({"keyData": 1}),
        json!({"keyData": "this is invalid base64"}),
        json!({"keyData": null, "keyDatas": 1}),
        json!({"keyData": null, "keyDatas": {}}),
        json!({"keyData": null, "keyDatas": []}),
        json!({"keyData": null, "fulcio": 1}),
        json!({"keyData": null, "fulcio": {}}),
        json!({"keyData": null, "fulcio": fulcio()}),
        json!({"keyData": null, "pki": 1}),
        json!({"keyData": null, "pki": {}}),
        json!({"keyData": null, "pki": pki(), "rekorPublicKeyPath": "/rekor"}),
        json!({"keyData": null, "pki": pki(), "fulcio": fulcio(), "rekorPublicKeyPath": "/rekor"}),
        json!({"rekorPublicKeyPath": "/foo/baz", "rekorPublicKeyData": "ZGVm"}),
        json!({"rekorPublicKeyPath": 1}),
        json!({"rekorPublicKeyPath": "/foo/baz", "rekorPublicKeyPaths": ["/a", "/b"]}),
        json!({"rekorPublicKeyPaths": 1}),
        json!({"rekorPublicKeyPaths": {}}),
        json!({"rekorPublicKeyPaths": []}),
        json!({"rekorPublicKeyData": 1}),
        json!({"rekorPublicKeyData": "this is invalid base64"}),
        json!({"rekorPublicKeyData": "ZGVm", "rekorPublicKeyDatas": ["YWJj"]}),
        json!({"rekorPublicKeyDatas": 1}),
        json!({"rekorPublicKeyDatas": {}}),
        json!({"rekorPublicKeyDatas": []}),
        json!({"signedIdentity": "this is invalid"}),
    ]);
    refuses(&data, &edits);
    for edit in [
        json!({"keyData": null, "keyPath": "/foo/bar"}),
        json!({"keyData": null, "keyPaths": ["/foo/bar", "/foo/baz"]}),
        json!({"keyData": null, "keyDatas": ["YWJj", "ZGVm"]}),
        json!({"keyData": null, "fulcio": fulcio(), "rekorPublicKeyPath": "/rekor"}),
        json!({"keyData": null, "pki": pki()}),
        json!({"rekorPublicKeyPath": "/rekor"}),
        json!({"rekorPublicKeyPaths": ["/rekor", "/other"]}),
        json!({"rekorPublicKeyData": "ZGVm"}),
        json!({"rekorPublicKeyDatas": ["ZGVm", "YWJj"]}),
    ] {
        refuses(&edited(&data, &edit), &[]);
    }
    let without = edited(&data, &json!({"signedIdentity": null}));
    assert_eq!(parse_requirement(&without), parse_requirement(&data));
}

#[test]
fn certificates_have_a_subject() {
    let with = |key: &str, value: &Value| {
        let mut requirement = json!({"type": "sigstoreSigned", key: value});
        if key == "fulcio" {
            requirement["rekorPublicKeyPath"] = json!("/rekor");
        }
        parse_requirement(&requirement)
    };
    with("fulcio", &fulcio()).unwrap();
    for edit in [
        json!({"unexpected": 1}),
        json!({"caPath": null}),
        json!({"caData": "YWJj"}),
        json!({"caPath": 1}),
        json!({"caPath": null, "caData": 1}),
        json!({"caPath": null, "caData": "this is invalid base64"}),
        json!({"oidcIssuer": null}),
        json!({"oidcIssuer": 1}),
        json!({"oidcIssuer": ""}),
        json!({"subjectEmail": null}),
        json!({"subjectEmail": 1}),
        json!({"subjectEmail": ""}),
    ] {
        assert!(with("fulcio", &edited(&fulcio(), &edit)).is_err(), "{edit}");
    }
    with(
        "fulcio",
        &edited(&fulcio(), &json!({"caPath": null, "caData": "YWJj"})),
    )
    .unwrap();
    with("pki", &pki()).unwrap();
    for edit in [
        json!({"unexpected": 1}),
        json!({"caRootsPath": null}),
        json!({"caRootsData": "YWJj"}),
        json!({"caRootsPath": 1}),
        json!({"caRootsPath": null, "caRootsData": 1}),
        json!({"caIntermediatesPath": 1}),
        json!({"caIntermediatesData": "YWJj"}),
        json!({"subjectHostname": null}),
        json!({"subjectHostname": 1}),
        json!({"subjectEmail": 1}),
    ] {
        assert!(with("pki", &edited(&pki(), &edit)).is_err(), "{edit}");
    }
    for edit in [
        json!({"caIntermediatesPath": null}),
        json!({"caRootsPath": null, "caRootsData": "YWJj"}),
        json!({"caIntermediatesPath": null, "caIntermediatesData": "YWJj"}),
        json!({"subjectEmail": "a@example.com"}),
        json!({"subjectEmail": "a@example.com", "subjectHostname": null}),
    ] {
        with("pki", &edited(&pki(), &edit)).unwrap();
    }
}

/// A policy each scope of which is met by a key of its own name.
fn scoped(scopes: &[(&str, &str)]) -> Policy {
    let mut transports = json!({});
    for (transport, scope) in scopes {
        let requirement = json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": format!("/{transport}:{scope}")});
        transports[transport][scope] = json!([requirement]);
    }
    let policy = json!({"default": [{"type": "reject"}], "transports": transports});
    Policy::parse(&policy.to_string()).unwrap()
}

#[test]
fn the_most_specific_scope_counts() {
    let policy = scoped(&[
        ("docker", ""),
        ("docker", "unmatched"),
        ("docker", "deep.com"),
        ("docker", "*.very.deep.com"),
        ("docker", "*.deep.com"),
        ("docker", "deep.com/n1"),
        ("docker", "deep.com/n1/n2"),
        ("docker", "deep.com/n1/n2/n3"),
        ("docker", "deep.com/n1/n2/n3/repo"),
        ("docker", "deep.com/n1/n2/n3/repo:tag2"),
        ("atomic", "unmatched"),
    ]);
    for (transport, name, expected) in [
        (
            Transport::Docker,
            "deep.com/n1/n2/n3/repo:tag2",
            Some("deep.com/n1/n2/n3/repo:tag2"),
        ),
        (
            Transport::Docker,
            "deep.com/n1/n2/n3/repo:nottag2",
            Some("deep.com/n1/n2/n3/repo"),
        ),
        (
            Transport::Docker,
            "deep.com/n1/n2/n3/notrepo:tag2",
            Some("deep.com/n1/n2/n3"),
        ),
        (
            Transport::Docker,
            "deep.com/n1/n2/notn3/repo:tag2",
            Some("deep.com/n1/n2"),
        ),
        (
            Transport::Docker,
            "deep.com/n1/notn2/n3/repo:tag2",
            Some("deep.com/n1"),
        ),
        (
            Transport::Docker,
            "deep.com/notn1/n2/n3/repo:tag2",
            Some("deep.com"),
        ),
        (
            Transport::Docker,
            "very.deep.com/n1/n2/n3/repo:tag2",
            Some("*.deep.com"),
        ),
        (
            Transport::Docker,
            "not.very.deep.com/n1/n2/n3/repo:tag2",
            Some("*.very.deep.com"),
        ),
        (Transport::Docker, "this.does-not/match:anything", Some("")),
        (Transport::Atomic, "this.does-not/match:anything", None),
        (Transport::Dir, "what/ever:1", None),
    ] {
        let reference = Parsed::parse(name).unwrap();
        let identity = Identity {
            transport,
            identity: docker_identity(&reference).unwrap(),
            namespaces: docker_namespaces(&reference),
        };
        let got = match policy.requirements(&identity) {
            [
                Requirement::SignedBy(SignedBy {
                    keys: Keys::Path(path),
                    ..
                }),
            ] => Some(path.clone()),
            [Requirement::Reject] => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            got,
            expected.map(|scope| format!("/docker:{scope}")),
            "{transport}:{name}"
        );
    }
}

#[test]
fn the_file_that_is_read() {
    let home = Path::new("/home/u");
    let user = Path::new("/home/u/.config/containers/policy.json");
    let system = Path::new("/etc/containers/policy.json");
    let given = Path::new("/this/is/not/the/default/path.json");
    let root = Path::new("/root/prefix");
    let rooted = Path::new("/root/prefix/etc/containers/policy.json");
    for (explicit, prefix, there, expected) in [
        (None, None, &[system][..], system),
        (Some(given), None, &[system], given),
        (None, Some(root), &[system], rooted),
        (None, None, &[user, system], user),
        (Some(given), None, &[user, system], given),
        (None, Some(root), &[user, system], user),
        (Some(given), Some(root), &[user, system], given),
        (Some(given), Some(root), &[system], given),
        (
            Some(Path::new("$HOME")),
            None,
            &[system],
            Path::new("$HOME"),
        ),
    ] {
        let path = policy_path(explicit, home, prefix, |path| there.contains(&path)).unwrap();
        assert_eq!(path, expected);
    }
    let none = policy_path(None, home, None, |_| false).unwrap_err();
    assert_eq!(
        none.to_string(),
        "no policy.json file found at any of the following: \"/home/u/.config/containers/policy.json\", \"/etc/containers/policy.json\""
    );
}

#[test]
fn a_file_is_read_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    assert!(matches!(load(&path), Err(NoPolicy::Read { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(load(&path), Err(NoPolicy::Invalid { .. })));
    std::fs::write(&path, r#"{"default": [{"type": "reject"}]}"#).unwrap();
    assert_eq!(load(&path).unwrap().default, [Requirement::Reject]);
}

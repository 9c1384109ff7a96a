//! Payloads, keys, and what becomes of an image by its signatures.

use std::collections::BTreeMap;

use super::*;

/// A key, an image and its signature as cosign made them.
const COSIGN_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFNLqFhf4fiN6o/glAuYnq2jYUeL0
vRuLu/z39pmbVwS9ff5AYnlwaP9sxREajdLY9ynM6G1sy6AAmb7Z63TsLg==
-----END PUBLIC KEY-----
";
const COSIGN_OTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwOkOF9xpfG8ghueIhnZ66ooujwt1
+ReV3HupgKnGFYnEh3Hh1YTg5L6kN1Yakkt5WltRoav8/R3hpCtUO3Rldw==
-----END PUBLIC KEY-----
";
const COSIGN_MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":1512,"digest":"sha256:961769676411f082461f9ef46626dd7a2d1e2b2a38e6a44364bcbecf51e66dd4"},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":2896510,"digest":"sha256:9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749"}]}"#;
const COSIGN_PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"192.168.64.2:5000/cosign-signed-single-sample"},"image":{"docker-manifest-digest":"sha256:634a8f35b5f16dcf4aaa0822adc0b1964bb786fca12f6831de8ddc45e5986a00"},"type":"cosign container image signature"},"optional":null}"#;
const COSIGN_SIGNATURE: &str = "MEYCIQDmtamqYPjMg81nqeBhptrPls44aA/r7PwLmspINJY4MwIhANKRpqe2E9UCBtGFdPoz/8jAbaQm4uP4h+IpwKTE6ClR";
/// By the same key, of `&` and of `{}`.
const OF_NO_JSON: &str = "MEUCIARnnxZQPALBfqkB4aNAYXad79Qs6VehcrgIeZ8p7I2FAiEAzq2HXwXlz1iJeh+ucUR3L0zpjynQk6Rk0+/gXYp49RU=";
const OF_NOTHING: &str = "MEUCIQDkySOBGxastVP0+koTA33NH5hXjwosFau4rxTPN6g48QIgb7eWKkGqfEpHMM3aT4xiqyP/170jEkdFuciuwN4mux4=";

/// Keys and signatures of `hello` as openssl made them.
const OPENSSL: [(&str, &str, &str); 4] = [
    (
        "ECDSA P-256",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXBffb0IjoyKxdkvnwybOdhOhx0hl9fgWDrAZW2SZs7TYc+rE35pHA8c9KZIBUVUTfVLvAMCPg5pOXZNEmI9TSg==",
        "MEUCIQDykkgbHcGTOYegGdFs6uPxT6p4EXteP8/EKJUVzmq25wIgJJZgMOzTLzVxrENJcv1XNoPZ2QiAa8bAi43E9GZIZzM=",
    ),
    (
        "ECDSA P-384",
        "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAErHwvfagCxa+3+9BBtP6gcSVZ2A2hI9gYtDBoELtzfUNvpm+JwFlj80BYY2M88/SU6wAvrtWDmqR+k9eOeNvU0w0LnFI8q8Katcq5YV/xWBImrkbSkqwisdbkjrnYmERx",
        "MGUCMQC6umf313wUXj182DFvGuHhSOBQNzNGDBGdFUnR0mf0wAs6ZuyHn7vGCLCXcfF17owCMET/94CLd+9/pK7oHqpLbONQ4XW/bQEHa89x3JC35lsPasMpTYhToVCxOEjq2hz1iQ==",
    ),
    (
        "Ed25519",
        "MCowBQYDK2VwAyEAEkmhKH22uv/VLJ7lT7FnG5iFkFGby4xBMVBvtqKrx9M=",
        "zoAGEGwg8nllQuYU8eFrjCPPak7XPAfk512UjW4eBfYvXAZM6bNxDnY4rrU2dCpmtfwtictmZMDaqu2vSNzTCQ==",
    ),
    (
        "RSA",
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAz6EhasyN413NdMhVb1yiWtjOUUHpQ07Ebmulr+V3QTl6x9e24Wp1t5jZ9d7vGi0J6EELn9MxYSZ+tyVeL+nJW8in1sIBLnUBpHJOquvBdrq3XYI+cuaeCpxc134Lr9FjMQhswhpTXMzGWYVDAVa/spvzIVthDfS/CiEPszAHXQyRzebuI9cIHuobCJ5VKz//CRg+eErVounEdeo3/wrjVdAu6LBrCgb8NUM4syFCjQWPCHqgqfsaenvFBEx4yFGGhj/x6EGwJp6/HKg4zanKWUVReX3rb5pzMSgMVB4WOzknGQxw8RXjZ39bnPxKsn3XzNbzDL+oIAChfkzbErWYcwIDAQAB",
        "ENLW+1z4NNPHd/orAaWu+XO+ktnJ4t39OzhxXX4coyjXqBogEJ3rFwMO641J74FD+aYqQbInKdtCRVfcb/Fl6r11m/6xT9ak6ezHGcAIHDhANPi+l4MxETlAh6kTGOiK+G2cYYg8i3boLAEKW7mRcYcT/K20vw8PGZFQ8BpEwyXl3SdZ4NXmklioV9/oTE2INAK6xTrxIV24v7Ip1Ic7CYXCo4riyW2mDpA86a4AAj644VbBxN/JjyE4Gjn6hGY72exQns+7UNu2PyW0zY2MdC2/SXoagfGEVsJQ8sg7n6OuOceLAnfmMLCegncSJdz7k35Q5G3k4fY+BxbWqzZd9Q==",
    ),
];

fn pem(base64: &str) -> Vec<u8> {
    format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n").into_bytes()
}

fn key(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn signatures_are_verified_by_any_of_the_keys() {
    let (right, wrong) = (key(COSIGN_KEY), key(COSIGN_OTHER_KEY));
    let payload = COSIGN_PAYLOAD.as_bytes();
    for keys in [
        vec![right.clone()],
        vec![right.clone(), wrong.clone()],
        vec![wrong.clone(), right.clone()],
    ] {
        verify_blob(&keys, payload, COSIGN_SIGNATURE).unwrap();
    }
    for keys in [vec![wrong.clone()], vec![wrong.clone(), wrong]] {
        assert!(matches!(
            verify_blob(&keys, payload, COSIGN_SIGNATURE),
            Err(Rejection::Signature)
        ));
    }
    assert!(matches!(
        verify_blob(&[], payload, COSIGN_SIGNATURE),
        Err(Rejection::NoKeys)
    ));
    // A key that is none is an error, whatever the others are.
    for (keys, index) in [
        (vec![b"no key".to_vec()], 1),
        (vec![b"no key".to_vec(), right.clone()], 1),
        (vec![right.clone(), b"no key".to_vec()], 2),
        (vec![right.clone(), pem("bm8ga2V5")], 2),
    ] {
        let got = verify_blob(&keys, payload, COSIGN_SIGNATURE);
        assert!(
            matches!(got, Err(Rejection::Key(at)) if at == index),
            "{got:?}"
        );
    }
    let extra = [COSIGN_SIGNATURE, "="].concat();
    let cut = &COSIGN_SIGNATURE[..COSIGN_SIGNATURE.len() - 1];
    for signature in ["&", &extra, cut, "", "aW52YWxpZCBzaWduYXR1cmU="] {
        let got = verify_blob(std::slice::from_ref(&right), payload, signature);
        assert!(matches!(got, Err(Rejection::Signature)), "{signature}");
    }
    let altered = COSIGN_PAYLOAD.replace("single", "double");
    assert!(verify_blob(&[right], altered.as_bytes(), COSIGN_SIGNATURE).is_err());
}

#[test]
fn keys_of_other_kinds_are_verified_too() {
    for (kind, public, signature) in OPENSSL {
        verify_blob(&[pem(public)], b"hello", signature).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert!(
            verify_blob(&[pem(public)], b"hellO", signature).is_err(),
            "{kind}"
        );
        assert!(
            verify_blob(&[key(COSIGN_KEY)], b"hello", signature).is_err(),
            "{kind}"
        );
    }
}

fn payload(kind: PayloadKind) -> Value {
    json!({
        "critical": {
            "type": kind.as_str(),
            "image": {"docker-manifest-digest": DIGEST.trim_start_matches('@')},
            "identity": {"docker-reference": "reference#@!"},
        },
        "optional": {"creator": "program 1.0", "timestamp": 1_458_239_713},
    })
}

#[test]
fn payloads_are_read_strictly() {
    for kind in [PayloadKind::Simple, PayloadKind::Sigstore] {
        let read = |value: &Value| Payload::parse(&value.to_string(), kind);
        let valid = payload(kind);
        let parsed = read(&valid).unwrap();
        assert_eq!(parsed.digest.to_string(), DIGEST.trim_start_matches('@'));
        assert_eq!(parsed.reference, "reference#@!");
        assert_eq!(parsed.creator.as_deref(), Some("program 1.0"));
        assert_eq!(parsed.timestamp, Some(1_458_239_713));
        let gone = Value::Null;
        for (place, key, value) in [
            ("", "critical", gone.clone()),
            ("", "optional", gone.clone()),
            ("", "unexpected", json!(1)),
            ("", "critical", json!(1)),
            ("", "optional", json!(1)),
            ("/critical", "type", gone.clone()),
            ("/critical", "image", gone.clone()),
            ("/critical", "identity", gone.clone()),
            ("/critical", "unexpected", json!(1)),
            ("/critical", "type", json!(1)),
            ("/critical", "type", json!("unexpected")),
            ("/critical", "image", json!(1)),
            ("/critical/image", "docker-manifest-digest", gone.clone()),
            ("/critical/image", "unexpected", json!(1)),
            ("/critical/image", "docker-manifest-digest", json!(1)),
            (
                "/critical/image",
                "docker-manifest-digest",
                json!("sha256:../.."),
            ),
            ("/critical", "identity", json!(1)),
            ("/critical/identity", "docker-reference", gone.clone()),
            ("/critical/identity", "unexpected", json!(1)),
            ("/critical/identity", "docker-reference", json!(1)),
            ("/optional", "creator", json!(1)),
            ("/optional", "timestamp", json!("unexpected")),
            ("/optional", "timestamp", json!(0.5)),
            ("/optional", "timestamp", json!(1e300)),
        ] {
            let mut broken = valid.clone();
            let object = broken.pointer_mut(place).unwrap();
            *object = edited(object, &json!({key: value}));
            assert!(read(&broken).is_err(), "{kind:?} {place} {key} {value}");
        }
        let mut more = valid.clone();
        more["optional"]["unexpected"] = json!(1);
        assert_eq!(read(&more).unwrap(), parsed);
        let mut less = valid.clone();
        less["optional"] = json!({});
        assert_eq!(read(&less).unwrap().creator, None);
        // cosign writes it; a simple signature may not have it.
        less["optional"] = Value::Null;
        assert_eq!(read(&less).is_ok(), kind == PayloadKind::Sigstore);
        for text in ["&", "1", "", "{}"] {
            assert!(Payload::parse(text, kind).is_err());
        }
        assert!(Payload::parse(&doubled(&valid, "optional"), kind).is_err());
    }
    let other = payload(PayloadKind::Simple).to_string();
    assert!(Payload::parse(&other, PayloadKind::Sigstore).is_err());
}

fn sigstore_signature(payload: &str, signature: &str) -> Signature {
    let annotation = (
        SIGSTORE_SIGNATURE_ANNOTATION.to_owned(),
        signature.to_owned(),
    );
    let annotations = BTreeMap::from([annotation]);
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Signature::Sigstore(SigstoreSignature::new(
        SIGSTORE_SIGNATURE_TYPE,
        payload,
        annotations,
    ))
}

fn cosign_signature() -> Signature {
    sigstore_signature(COSIGN_PAYLOAD, COSIGN_SIGNATURE)
}

fn attachment() -> Signature {
    let payload = Bytes::from_static(b"{}");
    Signature::Sigstore(SigstoreSignature::new(
        "application/spdx+json",
        payload,
        BTreeMap::new(),
    ))
}

/// What becomes of the image that cosign signed, with these signatures and another key or identity.
fn cosign(edits: &Value, name: &str, signatures: &[Signature]) -> Result<(), Rejection> {
    let valid = json!({
        "type": "sigstoreSigned",
        "keyData": BASE64.encode(COSIGN_KEY),
        "signedIdentity": {"type": "matchRepository"},
    });
    let requirement = parse_requirement(&edited(&valid, edits)).unwrap();
    let name: ImageName = name.parse().unwrap();
    let image = Image::new(&name, COSIGN_MANIFEST.as_bytes(), signatures);
    requirement.allow(&image, &BuiltIn)
}

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};

const SIGNED: &str = "docker://192.168.64.2:5000/cosign-signed-single-sample:latest";

#[test]
fn images_signed_by_cosign_are_allowed() {
    let same = json!({});
    cosign(&same, SIGNED, &[cosign_signature()]).unwrap();
    // One accepted signature is enough.
    let unsigned = sigstore_signature(COSIGN_PAYLOAD, "");
    cosign(&same, SIGNED, &[unsigned, attachment(), cosign_signature()]).unwrap();
    let both = json!({"keyData": null, "keyDatas": [BASE64.encode(COSIGN_OTHER_KEY), BASE64.encode(COSIGN_KEY)]});
    cosign(&both, SIGNED, &[cosign_signature()]).unwrap();
}

#[test]
fn images_are_refused_with_the_reason() {
    let refused = |edits: &Value, name: &str, signatures: &[Signature]| {
        cosign(edits, name, signatures).unwrap_err().to_string()
    };
    let same = &json!({});
    let signed = &[cosign_signature()];
    assert_eq!(
        refused(same, SIGNED, &[]),
        "A signature was required, but no signature exists"
    );
    assert_eq!(
        refused(
            same,
            SIGNED,
            &[attachment(), Signature::Simple(Bytes::new())]
        ),
        "A signature was required, but no signature exists (1 non-sigstore signatures, 1 sigstore non-signature attachments)"
    );
    assert_eq!(
        refused(same, "docker://192.168.64.2:5000/other:latest", signed),
        "Signature for identity \"192.168.64.2:5000/cosign-signed-single-sample\" is not accepted"
    );
    let exact = &json!({"signedIdentity": {"type": "matchExact"}});
    assert!(
        refused(exact, SIGNED, signed).contains("is not accepted"),
        "cosign signs no tags"
    );
    let other = &json!({"keyData": BASE64.encode(COSIGN_OTHER_KEY)});
    assert_eq!(
        refused(other, SIGNED, signed),
        "cryptographic signature verification failed"
    );
    assert_eq!(
        refused(other, SIGNED, &[cosign_signature(), cosign_signature()]),
        "None of the signatures were accepted, reasons: cryptographic signature verification failed; cryptographic signature verification failed"
    );
    let bare = SigstoreSignature::new(SIGSTORE_SIGNATURE_TYPE, Bytes::new(), BTreeMap::new());
    assert_eq!(
        refused(same, SIGNED, &[Signature::Sigstore(bare)]),
        "missing dev.cosignproject.cosign/signature annotation"
    );
    for (payload, signature) in [("&", OF_NO_JSON), ("{}", OF_NOTHING)] {
        let signature = sigstore_signature(payload, signature);
        assert_eq!(refused(same, SIGNED, &[signature]), "invalid signature");
    }
    let missing = &json!({"keyData": null, "keyPath": "/this/does/not/exist"});
    assert_eq!(
        refused(missing, SIGNED, signed),
        "reading the key /this/does/not/exist"
    );
    let nonsense = &json!({"keyData": "bm9uc2Vuc2U="});
    assert!(refused(nonsense, SIGNED, signed).starts_with("parsing public key 1"));
}

#[test]
fn a_signature_is_for_one_manifest() {
    let requirement = json!({
        "type": "sigstoreSigned", "keyData": BASE64.encode(COSIGN_KEY), "signedIdentity": {"type": "matchRepository"},
    });
    let requirement = parse_requirement(&requirement).unwrap();
    let name: ImageName = SIGNED.parse().unwrap();
    let signatures = [cosign_signature()];
    let modified = COSIGN_MANIFEST.replace("1512", "1513");
    let image = Image::new(&name, modified.as_bytes(), &signatures);
    let rejection = requirement.allow(&image, &BuiltIn).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "Signature for digest sha256:634a8f35b5f16dcf4aaa0822adc0b1964bb786fca12f6831de8ddc45e5986a00 does not match"
    );
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let signed = [cosign_signature()];
    for (edits, what) in [
        (
            json!({"rekorPublicKeyData": BASE64.encode(COSIGN_KEY)}),
            "rekor",
        ),
        (json!({"keyData": null, "pki": pki()}), "pki"),
        (
            json!({"keyData": null, "fulcio": fulcio(), "rekorPublicKeyPath": "/rekor"}),
            "fulcio",
        ),
    ] {
        let rejection = cosign(&edits, SIGNED, &signed).unwrap_err();
        assert_eq!(rejection.to_string(), format!("{what} is not supported"));
    }
}

/// A verifier that takes a message for its content, if it is one of the right keyring.
#[derive(Default)]
struct Fake {
    read: RefCell<Vec<String>>,
}

impl Verifier for Fake {
    fn read_key(&self, path: &str) -> io::Result<Vec<u8>> {
        self.read.borrow_mut().push(path.to_owned());
        match path {
            "/missing" => Err(io::ErrorKind::NotFound.into()),
            path => Ok(path.as_bytes().to_vec()),
        }
    }

    fn verify_open_pgp(
        &self,
        message: &[u8],
        keyrings: &[Vec<u8>],
    ) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        match keyrings.iter().any(|keyring| keyring == b"/right") {
            true => Ok(message.to_vec()),
            false => Err("signed by another key".into()),
        }
    }
}

fn simple(requirement: &Value, name: &str, payloads: &[Value]) -> Result<(), Rejection> {
    let requirement = parse_requirement(requirement).unwrap();
    let name: ImageName = name.parse().unwrap();
    let signatures: Vec<Signature> = payloads
        .iter()
        .map(|payload| Signature::Simple(payload.to_string().into()))
        .collect();
    requirement.allow(
        &Image::new(&name, b"manifest", &signatures),
        &Fake::default(),
    )
}

#[test]
fn open_pgp_is_the_callers() {
    let digest = Digest::sha256(b"manifest");
    let signed = |reference: &str| {
        let mut payload = payload(PayloadKind::Simple);
        payload["critical"]["image"]["docker-manifest-digest"] = json!(digest.to_string());
        payload["critical"]["identity"]["docker-reference"] = json!(reference);
        payload
    };
    let by = |keys: Value| edited(&json!({"type": "signedBy", "keyType": "GPGKeys"}), &keys);
    let right = by(json!({"keyPath": "/right"}));
    let name = "docker://testing/manifest:latest";
    simple(&right, name, &[signed("testing/manifest:latest")]).unwrap();
    simple(
        &by(json!({"keyPaths": ["/wrong", "/right"]})),
        name,
        &[signed("testing/manifest:latest")],
    )
    .unwrap();
    // An invalid one before a valid one.
    simple(
        &right,
        name,
        &[json!({}), signed("testing/manifest:latest")],
    )
    .unwrap();
    let refused = |requirement: &Value, payloads: &[Value]| {
        simple(requirement, name, payloads).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&right, &[]),
        "A signature was required, but no signature exists"
    );
    assert_eq!(
        refused(&right, &[signed("testing/manifest:notlatest")]),
        "Signature for identity \"testing/manifest:notlatest\" is not accepted"
    );
    let other = payload(PayloadKind::Simple);
    assert!(refused(&right, &[other]).starts_with("Signature for digest sha256:0123"));
    let sigstore = payload(PayloadKind::Sigstore);
    assert_eq!(refused(&right, &[sigstore]), "invalid signature");
    let valid = &[signed("testing/manifest:latest")];
    assert_eq!(
        refused(&by(json!({"keyPath": "/wrong"})), valid),
        "OpenPGP signature verification failed"
    );
    assert_eq!(
        refused(&by(json!({"keyPath": "/missing"})), valid),
        "reading the key /missing"
    );
    assert_eq!(
        refused(&by(json!({"keyPaths": []})), valid),
        "No public keys imported"
    );
    for key_type in ["signedByGPGKeys", "X509Certificates", "signedByX509CAs"] {
        let requirement = by(json!({"keyType": key_type, "keyPath": "/right"}));
        assert_eq!(
            refused(&requirement, valid),
            format!("Unimplemented \"keyType\" value {key_type:?}")
        );
    }
    let requirement = parse_requirement(&right).unwrap();
    let parsed: ImageName = name.parse().unwrap();
    let signatures = [Signature::Simple(valid[0].to_string().into())];
    let image = Image::new(&parsed, b"manifest", &signatures);
    let built_in = requirement.allow(&image, &BuiltIn).unwrap_err();
    assert!(matches!(built_in, Rejection::ReadKey { .. }), "{built_in}");
    let data = parse_requirement(&by(json!({"keyData": "YWJj"}))).unwrap();
    assert!(
        matches!(data.allow(&image, &BuiltIn), Err(Rejection::OpenPgp(_))),
        "nothing is accepted unseen"
    );
}

#[test]
fn every_requirement_has_to_allow() {
    let accept = json!({"type": "insecureAcceptAnything"});
    let reject = json!({"type": "reject"});
    let base = json!({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchRepository"}});
    let name: ImageName = "docker://testing/manifest:latest".parse().unwrap();
    let image = Image::new(&name, b"{}", &[]);
    for (requirements, expected) in [
        (json!([accept]), None),
        (json!([accept, accept]), None),
        (
            json!([reject]),
            Some("Running image docker://testing/manifest:latest is rejected by policy."),
        ),
        (
            json!([accept, reject]),
            Some("Running image docker://testing/manifest:latest is rejected by policy."),
        ),
        (
            json!([reject, accept]),
            Some("Running image docker://testing/manifest:latest is rejected by policy."),
        ),
        (
            json!([accept, base]),
            Some("signedBaseLayer not implemented yet!"),
        ),
    ] {
        let policy = Policy::parse(&json!({"default": requirements}).to_string()).unwrap();
        let got = policy.allow(&name.identity().unwrap(), &image, &BuiltIn);
        assert_eq!(
            got.err().map(|rejection| rejection.to_string()).as_deref(),
            expected
        );
    }
    let empty = Policy {
        default: Vec::new(),
        transports: BTreeMap::new(),
    };
    let got = empty.allow(&name.identity().unwrap(), &image, &BuiltIn);
    assert!(matches!(got, Err(Rejection::NoRequirements)));
}

use proptest::prelude::*;

use spki::der::{Encode, Tag, asn1::Any};

use super::*;
use crate::{Manifest, MediaType, guess, verify};

const EMPTY_TAR: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

/// The key of the example in distribution's documentation of schema 1.
const JWK: &str = r#"{"crv": "P-256", "kid": "OD6I:6DRK:JXEJ:KBM4:255X:NSAA:MUSF:E4VM:ZI6W:CUN2:L4Z6:LSF4",
    "kty": "EC", "x": "3gAwX48IQ5oaYQAYSxor6rYYc_6yjuLCjtQ9LUakg4A", "y": "t72ge6kIA1XOjqjVoEOiPPAURltJFBMGDSQvEGVB010"}"#;

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A document from `(id, parent, further keys)`, newest first.
fn document(steps: &[(char, &str, &str)]) -> String {
    let entry = |(digit, parent, more): &(char, &str, &str)| {
        let v1 = format!(r#"{{"id":"{}","parent":"{parent}"{more}}}"#, id(*digit));
        format!(
            r#"{{"v1Compatibility":{}}}"#,
            serde_json::to_string(&v1).unwrap()
        )
    };
    let history: Vec<_> = steps.iter().map(entry).collect();
    let layers = vec![format!(r#"{{"blobSum":"{EMPTY_TAR}"}}"#); steps.len()];
    format!(
        "{{\n   \"schemaVersion\": 1,\n   \"name\": \"a/b\",\n   \"tag\": \"c\",\n   \"architecture\": \"amd64\",\n   \
         \"fsLayers\": [{}],\n   \"history\": [{}]\n}}",
        layers.join(","),
        history.join(","),
    )
}

fn decode(document: &str) -> Result<Schema1, Error> {
    Schema1::decode(Bytes::copy_from_slice(document.as_bytes()))
}

fn ids(schema1: &Schema1) -> String {
    let steps = schema1.steps().unwrap();
    steps
        .iter()
        .map(|step| step.id.chars().next().unwrap())
        .collect()
}

fn sign(schema1: &Schema1) -> String {
    let signer = |_: &[u8]| Ok::<_, ()>(b"not a signature".to_vec());
    let signed = schema1.sign("2016-01-01T00:00:00Z", "ES256", JWK, signer);
    String::from_utf8(signed.unwrap().unwrap()).unwrap()
}

#[test]
fn steps_are_base_first_and_each_once() {
    let [a, b] = [id('a'), id('b')];
    let text = document(&[
        ('c', &b, r#","throwaway":true,"Size":5"#),
        ('b', &a, r#","Size":0"#),
        ('b', &a, r#","throwaway":false,"Size":0"#),
        ('a', "", ""),
    ]);
    let schema1 = decode(&text).unwrap();
    assert_eq!(ids(&schema1), "abc");
    let steps = schema1.steps().unwrap();
    let empty: Vec<_> = steps.iter().map(Step::is_empty).collect();
    assert_eq!(
        empty,
        [None, Some(false), Some(true)],
        "of equal ids the base-most stays"
    );
    assert_eq!(
        (schema1.name(), schema1.tag(), schema1.architecture()),
        ("a/b", "c", "amd64")
    );
}

#[test]
fn broken_chains() {
    let [a, b, c] = [id('a'), id('b'), id('c')];
    let table = [
        (
            document(&[('a', &b, "")]),
            "invalid parent ID in the base layer of the image".to_owned(),
        ),
        (
            document(&[('a', &b, ""), ('b', &a, ""), ('a', "", "")]),
            format!("ID {a} appears multiple times in manifest"),
        ),
        (
            document(&[('c', &b, ""), ('b', "", ""), ('a', "", "")]),
            format!("invalid parent ID. Expected {a}, got "),
        ),
        (document(&[]), "no FSLayers in manifest".into()),
        (
            document(&[('a', "", "")]).replace("\"history\": [", "\"history\": [{},"),
            "length of history not equal to number of layers".into(),
        ),
        (
            document(&[('a', "", "")]).replace("\"schemaVersion\": 1", "\"schemaVersion\": 2"),
            "unsupported schema version 2".into(),
        ),
        (
            document(&[('é', "", "")]),
            format!("image ID {:?} is invalid", id('é')),
        ),
        (
            document(&[('a', "", ",")]),
            "v1Compatibility is not readable".into(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            decode(&text).unwrap().steps().unwrap_err().to_string(),
            expected,
            "{text}"
        );
    }
    let windows = decode(&document(&[('a', &c, r#","os":"windows""#)])).unwrap();
    assert_eq!(ids(&windows), "a", "the base of Windows may have a parent");
}

#[test]
fn a_signed_document_gives_its_payload_back() {
    let text = document(&[('a', "", "")]);
    let signed = sign(&decode(&text).unwrap());
    let expected_start = text.strip_suffix("\n}").unwrap();
    let rest = signed.strip_prefix(expected_start).unwrap();
    assert!(
        rest.starts_with(
            ",\n   \"signatures\": [\n      {\n         \"header\": {\n            \"jwk\": {"
        ),
        "{rest}"
    );
    assert!(rest.ends_with("\n      }\n   ]\n}"), "{rest}");

    let read = decode(&signed).unwrap();
    assert_eq!(read.payload(), text.as_bytes());
    assert_eq!(read.signed_form().unwrap(), signed.as_bytes());
    let key = read.signatures()[0].key().unwrap();
    assert_eq!(
        key.id(),
        "OD6I:6DRK:JXEJ:KBM4:255X:NSAA:MUSF:E4VM:ZI6W:CUN2:L4Z6:LSF4"
    );

    let extended = signed.replace("\"signatures\"", "\"name\": \"other\", \"signatures\"");
    let read = decode(&extended).unwrap();
    assert_eq!(
        (read.name(), read.payload().as_ref()),
        ("a/b", text.as_bytes())
    );
}

/// Only what is signed has a meaning, so what repeats it behind the payload does no harm.
#[test]
fn keys_repeated_behind_the_payload_do_not_matter() {
    let text = document(&[('a', "", "")]);
    let payload = decode(&text).unwrap();
    let signed = sign(&payload);
    let keys = r#""name": "x", "name": 5, "fsLayers": null, "schemaVersion": 2, "signatures""#;
    let repeating = signed.replace("\"signatures\"", keys);
    let digest = Digest::sha256(payload.payload());
    let types = [
        None,
        Some("application/json"),
        Some(MediaType::Schema1.as_str()),
        Some(MediaType::Schema1Signed.as_str()),
    ];
    for media_type in types {
        for document in [&signed, &repeating] {
            let bytes = Bytes::from(document.clone());
            let manifest = Manifest::decode(media_type, bytes.clone()).unwrap();
            let schema1 = manifest.schema1().unwrap();
            assert_eq!((schema1.name(), schema1.steps().unwrap().len()), ("a/b", 1));
            assert_eq!(manifest.digest(), digest);
            assert!(verify(&bytes, &digest) && verify(&bytes, &Digest::sha256(&bytes)));
            assert_eq!(guess(&bytes), Some(MediaType::Schema1Signed));
        }
    }
    // Not signed, a repeated key is still one that readers disagree about; and a key of another
    // type of manifest is refused wherever it stands.
    let unsigned = text.replace("\"tag\"", "\"name\": \"x\", \"tag\"");
    let inside = sign(&decode(&text).unwrap()).replace("\"tag\"", "\"name\": 1, \"tag\"");
    let other = signed.replace("\"signatures\"", "\"layers\": [], \"signatures\"");
    for document in [unsigned, inside, other] {
        for media_type in [None, Some(MediaType::Schema1Signed.as_str())] {
            assert!(
                Manifest::decode(media_type, document.clone().into()).is_err(),
                "{document}"
            );
        }
    }
}

/// The signatures say nothing about whether there were any: this is no protection.
#[test]
fn a_removed_signature_passes() {
    let payload = decode(&document(&[('a', "", "")])).unwrap();
    let signed = decode(&sign(&payload)).unwrap();
    let removed = decode(str::from_utf8(signed.payload()).unwrap()).unwrap();
    assert!(removed.signatures().is_empty() && !signed.signatures().is_empty());
    #[cfg(feature = "signatures")]
    assert!(removed.verify().unwrap().is_empty());
}

#[test]
fn a_document_on_one_line_is_signed_on_one_line() {
    let text = r#"{"schemaVersion":1,"name":"a/b"}"#;
    let signed = sign(&decode(text).unwrap());
    assert!(
        signed.starts_with(r#"{"schemaVersion":1,"name":"a/b","signatures":[{"header":{"jwk":{"#)
    );
    assert_eq!(decode(&signed).unwrap().payload(), text.as_bytes());
}

#[test]
fn an_object_without_keys_cannot_be_signed() {
    for text in ["{}", " { }", "{\n}\n"] {
        let error = decode(text).unwrap().signed_form().unwrap_err().to_string();
        assert_eq!(error, "not an object with keys", "{text:?}");
    }
}

#[test]
fn a_payload_with_a_place_for_signatures_cannot_be_signed() {
    let schema1 = decode(r#"{"schemaVersion":1,"signatures": null }"#).unwrap();
    let signed = schema1.sign("2016-01-02T03:04:05Z", "ES256", JWK, |_| {
        Ok::<_, ()>(vec![1])
    });
    assert_eq!(
        signed.unwrap_err().to_string(),
        "the payload has a key \"signatures\" of its own"
    );
}

#[test]
fn signatures_that_do_not_agree() {
    let signed = |blocks: &[(&str, &str)]| {
        let block = |(len, tail): &(&str, &str)| {
            let protected = format!(r#"{{"formatLength":{len},"formatTail":"{tail}"}}"#);
            let protected = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE, protected);
            format!(r#"{{"protected":"{protected}"}}"#)
        };
        let blocks: Vec<_> = blocks.iter().map(block).collect();
        decode(&format!(r#"{{"a":1,"signatures":[{}]}}"#, blocks.join(",")))
    };
    assert_eq!(
        signed(&[("6", "fQ"), ("6", "f Q\\n")])
            .unwrap()
            .payload()
            .as_ref(),
        b"{\"a\":1}"
    );
    let table: [(&[(&str, &str)], &str); 7] = [
        (&[("6", "fQ"), ("5", "fQ")], "conflicting format length"),
        (&[("6", "fQ"), ("6", "IH0")], "conflicting format tail"),
        (&[("600", "fQ")], "invalid format length"),
        (&[("-6", "fQ")], "invalid format length"),
        (&[("6", "f")], "formatTail is not base64"),
        (&[], "no signatures"),
        (&[("5", "fQ")], "schema 1 payload is not readable"),
    ];
    for (blocks, expected) in table {
        assert_eq!(
            signed(blocks).unwrap_err().to_string(),
            expected,
            "{blocks:?}"
        );
    }
}

#[test]
fn keys() {
    let ec = |crv: &str, x: &str| {
        Key::from_jwk(&format!(
            r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{x}"}}"#
        ))
    };
    let table = [
        (ec("P-256", &"A".repeat(43)), None),
        (ec("P-384", &"A".repeat(64)), None),
        (ec("P-521", &"A".repeat(88)), None),
        (
            ec("P-256", "AAAA"),
            Some("wrong number of octets in a coordinate"),
        ),
        (ec("P-224", "AAAA"), Some("unknown curve")),
        (ec("P-256", "!"), Some("jwk is not base64")),
        (
            Key::from_jwk(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#),
            None,
        ),
        (Key::from_jwk(r#"{"kty":"oct"}"#), Some("unknown key type")),
        (Key::from_jwk("[]x"), Some("jwk is not readable")),
        (
            Key::from_jwk(&JWK.replace("OD6I", "OD6J")),
            Some("key id does not match"),
        ),
        (Key::from_certificate("!"), Some("x5c is not base64")),
        (
            Key::from_certificate("MAA="),
            Some("unreadable certificate"),
        ),
    ];
    for (key, expected) in table {
        match expected {
            None => {
                let key = key.unwrap();
                let read = Key::from_certificate(&certificate(&key)).unwrap();
                assert_eq!(read, key, "a certificate gives the same key");
            }
            Some(expected) => assert_eq!(key.unwrap_err().to_string(), expected),
        }
    }
}

/// Certificates and key ids made with openssl and Python.
#[test]
fn keys_of_real_certificates() {
    let ec = concat!(
        "MIIBtzCCATygAwIBAgIUHkEcpExf3RYRahAPQGAwKLUpF9kwCgYIKoZIzj0EAwMwETEPMA0GA1UEAwwGc2lnbmVyMC",
        "AXDTI2MTEyMTE0MDU1OVoYDzIxMjYxMDI4MTQwNTU5WjARMQ8wDQYDVQQDDAZzaWduZXIwdjAQBgcqhkjOPQIBBgUr",
        "gQQAIgNiAARK17TS2Y8tzFI8PwlBMCP6y097GVdBmjhVONlie7E/ThMUc+LY9STdepnyP91yn+c7bQtWwEiMZsmgH9",
        "tIpxaa3UGZrhXqJDMEcP+R3nuYyeQa+ZW+VYd8M0+Njv9dWzajUzBRMB0GA1UdDgQWBBSSA1H0n/jKLMDzpDEgBjoZ",
        "2gzegTAfBgNVHSMEGDAWgBSSA1H0n/jKLMDzpDEgBjoZ2gzegTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMDA2",
        "kAMGYCMQCzJ3w+IhScKhGCQeAZCa9lO2ejxs/lWv9/zQj+vc5bFDvHq9sxiEeVCegG5KO74GgCMQCdFS1PrwWus7rO",
        "830C4VjphIdiYv4/ivbQHmyrgkc4DgiyUWzw/0oKHDd5IYIJKpU=",
    );
    let rsa = concat!(
        "MIIC+zCCAeOgAwIBAgIUKKRbMAcplMAbjwqjWZ8YFO9Z0X4wDQYJKoZIhvcNAQELBQAwDDEKMAgGA1UEAwwBczAgFw",
        "0yNjExMjExNDA2MDBaGA8yMTI2MTAyODE0MDYwMFowDDEKMAgGA1UEAwwBczCCASIwDQYJKoZIhvcNAQEBBQADggEP",
        "ADCCAQoCggEBANI3P72RwvyWzk0sGjgvZFBzB1SDawoM1KZyAZfBCsrMU77O/75R5YYVF3LxI1JhQ81PG8QzRarMVU",
        "kNrhB0GWG5a2tkcIyk4q6gs6S+nSA04QBj0owcm5RIqTk6n2bvV+as/RNYDaPmFUpVxsz7Fu6IPJ92WTdYfSo7pC4i",
        "89suGnsuZIiHVHwwvjdnoLbYVs/rT/hEJIPsizTFWgoogJK1EzHn/F4tLFZDbB8oKeDpg1QZSmRxyLQAr8E2I2yRrc",
        "vJEoKbWhr1fx63peOz/nYsmYSfccMReTUO4mq28KXkMbjRtTxbykVmxRylDJvvfToGRqoGM6z0u4XmAdhv/f8CAwEA",
        "AaNTMFEwHQYDVR0OBBYEFHh8fwkXZwNZtc3zqOP4uj9/jNUnMB8GA1UdIwQYMBaAFHh8fwkXZwNZtc3zqOP4uj9/jN",
        "UnMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAMynXHHUsvsrLVVf/CSsAxw4eJDgc7bE6kK+Q9YF",
        "hnCER0tlLFVUhvZD3Fw5oyloDgJIycJbC1xfY+bLLMvzFAMWKuiHadtaSczIfiyI074Ubvyz6Ci25qIM8v4bBOoEpU",
        "OOumKbG2SUu4o4/Epwg4f5jYBTZ8n9ltLDJm/q8mLZC0QPT89RTBHJl8DP4PtB3nUdJO4aWmcpX9VsT69jpvgvDniC",
        "50qyp0roFAy3lUlf/+hTMFdp7EBVdIPxkgbNB039JOGGTgd2+TjEPGGB9IeoYTxBPF5szuJuEWha+5ubIAK8fjf11q",
        "VutlnrIL/9F5gxuToZz/BuBENWsQqWr7s=",
    );
    let table = [
        (
            ec,
            "GOJD:ZQQ3:HZ2L:NRWA:6657:NXQ7:U366:6B23:LWJX:DCNO:W5BJ:PJQ3",
        ),
        (
            rsa,
            "VS7S:45E5:VEUX:FMYX:KEM3:QAGO:JO5N:OLCR:KBVR:BT4W:KNQC:VCLT",
        ),
    ];
    for (certificate, id) in table {
        assert_eq!(Key::from_certificate(certificate).unwrap().id(), id);
        for len in 0..certificate.len() {
            assert!(
                Key::from_certificate(&certificate[..len / 4 * 4]).is_err(),
                "cut at {len}"
            );
        }
    }
}

/// A certificate around a key, with nothing else in it.
fn certificate(key: &Key) -> String {
    let sequence = |parts: &[&[u8]]| {
        let sequence = Any::new(Tag::Sequence, parts.concat()).unwrap();
        sequence.to_der().unwrap()
    };
    let (empty, version, serial) = (sequence(&[]), [0xa0, 3, 2, 1, 2], [2, 1, 1]);
    let parts = sequence(&[
        &version,
        &serial,
        &empty,
        &empty,
        &empty,
        &empty,
        key.info(),
    ]);
    let der = sequence(&[&parts, &empty, &[3, 1, 0]]);
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der)
}

#[cfg(feature = "signatures")]
mod signed {
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::KeySize,
        signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RsaEncoding, RsaKeyPair},
    };
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use spki::der::{self, Decode, Reader, SliceReader, asn1::UintRef};

    use super::*;

    fn signed_by_ec(algorithm: &str, crv: &str, signing: &'static EcdsaSigningAlgorithm) -> String {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let [x, y] = [x, y].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
        let jwk = format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"}}"#);
        let signer = |bytes: &[u8]| {
            Ok::<_, ()>(
                pair.sign(&SystemRandom::new(), bytes)
                    .unwrap()
                    .as_ref()
                    .to_vec(),
            )
        };
        signed(algorithm, &jwk, signer)
    }

    fn signed_by_rsa(
        algorithm: &str,
        encoding: &'static dyn RsaEncoding,
        pair: &RsaKeyPair,
    ) -> String {
        let public = pair.public_key().as_ref();
        let numbers = SliceReader::new(public).unwrap().sequence(|reader| {
            let numbers = [UintRef::decode(reader)?, UintRef::decode(reader)?];
            Ok::<_, der::Error>(numbers.map(|number| number.as_bytes()))
        });
        let [n, e] = numbers.unwrap();
        let [n, e] = [n, e].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number));
        let jwk = format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#);
        let signer = |bytes: &[u8]| {
            let mut raw = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), bytes, &mut raw)
                .unwrap();
            Ok::<_, ()>(raw)
        };
        signed(algorithm, &jwk, signer)
    }

    fn signed(
        algorithm: &str,
        jwk: &str,
        signer: impl FnOnce(&[u8]) -> Result<Vec<u8>, ()>,
    ) -> String {
        let schema1 = decode(&document(&[('a', "", "")])).unwrap();
        let signed = schema1
            .sign("2016-01-01T00:00:00Z", algorithm, jwk, signer)
            .unwrap()
            .unwrap();
        String::from_utf8(signed).unwrap()
    }

    #[test]
    fn good_signatures_verify_and_others_do_not() {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let documents = [
            signed_by_ec(
                "ES256",
                "P-256",
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            ),
            signed_by_ec(
                "ES384",
                "P-384",
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            ),
            signed_by_ec(
                "ES512",
                "P-521",
                &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
            ),
            signed_by_rsa("RS256", &signature::RSA_PKCS1_SHA256, &rsa),
            signed_by_rsa("RS384", &signature::RSA_PKCS1_SHA384, &rsa),
            signed_by_rsa("RS512", &signature::RSA_PKCS1_SHA512, &rsa),
        ];
        for document in documents {
            let schema1 = decode(&document).unwrap();
            let key = schema1.signatures()[0].key().unwrap();
            assert_eq!(
                schema1.verify().unwrap(),
                std::slice::from_ref(&key),
                "{document}"
            );

            let jwk_at = document.find("\"jwk\":").unwrap();
            let alg_at = document.find(",\n            \"alg\"").unwrap();
            let chained = format!(
                "{}\"x5c\": [\"{}\"]{}",
                &document[..jwk_at],
                certificate(&key),
                &document[alg_at..],
            );
            assert_eq!(
                decode(&chained).unwrap().verify().unwrap(),
                std::slice::from_ref(&key),
                "by certificate"
            );

            let renamed = decode(&document.replace("a/b", "x/y")).unwrap();
            let error = renamed.verify().unwrap_err().to_string();
            assert_eq!(error, format!("invalid signature by key {}", key.id()));
            let other = decode(&document.replace("\"ES", "\"RS")).unwrap();
            if other.signatures()[0].algorithm() != schema1.signatures()[0].algorithm() {
                let error = other.verify().unwrap_err().to_string();
                assert_eq!(error, "the key does not go with the algorithm");
            }
        }
    }

    #[test]
    fn nothing_to_verify() {
        assert!(
            decode(&document(&[('a', "", "")]))
                .unwrap()
                .verify()
                .unwrap()
                .is_empty()
        );
        let keyless =
            sign(&decode(&document(&[('a', "", "")])).unwrap()).replace("\"jwk\"", "\"j\"");
        assert_eq!(
            decode(&keyless).unwrap().verify().unwrap_err().to_string(),
            "missing public key"
        );
    }
}

proptest! {
    #[test]
    fn signing_keeps_any_payload(
        name in "\\PC{0,20}", indent in "[ \t]{0,4}", space in "[ \n\t]{0,4}", end in "[ \n]{0,3}",
    ) {
        let name = serde_json::to_string(&name).unwrap();
        let text = format!("{{\n{indent}\"schemaVersion\": 1, \"name\": {name}{space}}}{end}");
        let signed = sign(&decode(&text).unwrap());
        let read = decode(&signed).unwrap();
        prop_assert_eq!(read.payload(), text.as_bytes());
        prop_assert_eq!(read.signed_form().unwrap(), signed.as_bytes());
    }
}

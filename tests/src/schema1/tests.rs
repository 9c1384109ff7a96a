use super::*;
use crate::Client;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn fixture() -> Schema1 {
    Schema1::of(&V1Image::new("old", &[700, 1000, 20]), "library/old", "1")
}

/// What a reader by libtrust's rules makes of a document: the payload, and whether the signature is of it.
fn read(document: &[u8]) -> (Vec<u8>, bool) {
    let parsed: Value = serde_json::from_slice(document).unwrap();
    let block = &parsed["signatures"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let protected: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text(&block["protected"])).unwrap())
            .unwrap();
    let length = protected["formatLength"].as_u64().unwrap() as usize;
    let tail = URL_SAFE_NO_PAD
        .decode(text(&protected["formatTail"]))
        .unwrap();
    let payload = [&document[..length], &tail].concat();
    let signed = format!("{}.{}", text(&block["protected"]), base64_url(&payload));
    let signature = URL_SAFE_NO_PAD.decode(text(&block["signature"])).unwrap();
    let header = &block["header"];
    let jwk = &header["jwk"];
    let part = |name: &str| URL_SAFE_NO_PAD.decode(text(&jwk[name])).unwrap();
    let (algorithm, key): (&'static dyn VerificationAlgorithm, Vec<u8>) =
        match &*text(&header["alg"]) {
            "RS256" => {
                let key = PublicKeyComponents {
                    n: part("n"),
                    e: part("e"),
                };
                let good = key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature);
                return (payload, good.is_ok());
            }
            _ if jwk.is_null() => {
                let leaf = STANDARD.decode(text(&header["x5c"][0])).unwrap();
                // The point ends the key, which is the only bit string of 66 bytes.
                let at = leaf
                    .windows(4)
                    .position(|bytes| bytes == [0x03, 0x42, 0x00, 0x04])
                    .unwrap();
                (&ECDSA_P256_SHA256_FIXED, leaf[at + 3..at + 68].to_vec())
            }
            _ => (
                &ECDSA_P256_SHA256_FIXED,
                [&[4][..], &part("x"), &part("y")].concat(),
            ),
        };
    let good = UnparsedPublicKey::new(algorithm, key).verify(signed.as_bytes(), &signature);
    (payload, good.is_ok())
}

#[test]
fn signatures_are_of_the_payload_unless_forged() {
    let schema1 = fixture();
    for signer in [Signer::es256(), Signer::rs256(), Signer::x5c()] {
        let (payload, good) = read(&schema1.signed(&signer));
        assert!(good && payload == schema1.payload, "{signer:?}");
        for (forgery, expected) in [
            (Forgery::Signature, false),
            (Forgery::Payload, false),
            (Forgery::History, true),
        ] {
            let (document, digest) = schema1.forged(&signer, forgery);
            let (payload, good) = read(&document);
            assert_eq!(
                (good, Content::from(payload).digest()),
                (expected, digest),
                "{forgery:?}"
            );
        }
    }
}

#[test]
fn the_payload_is_a_chain_newest_first() {
    let schema1 = fixture();
    let payload: Value = serde_json::from_slice(&schema1.payload).unwrap();
    let blobs: Vec<_> = payload["fsLayers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["blobSum"])
        .collect();
    let digest = |number: usize| json!(schema1.image.layers[number].digest);
    let empty = json!("sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4");
    assert_eq!(blobs, [&empty, &digest(2), &digest(1), &empty, &digest(0)]);
    let history: Vec<Value> = payload["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| serde_json::from_str(entry["v1Compatibility"].as_str().unwrap()).unwrap())
        .collect();
    for pair in history.windows(2) {
        assert_eq!(pair[0]["parent"], pair[1]["id"]);
    }
    assert_eq!(history[4].get("parent"), None);
    let throwaway: Vec<_> = history
        .iter()
        .map(|step| step["throwaway"] == true)
        .collect();
    assert_eq!(throwaway, [true, false, false, true, false]);
    let (uneven, _) = schema1.forged(&Signer::es256(), Forgery::History);
    let uneven: Value = serde_json::from_slice(&uneven).unwrap();
    assert_eq!(uneven["history"].as_array().unwrap().len() + 1, blobs.len());
}

#[tokio::test]
async fn an_origin_serves_it_by_tag_and_by_the_digest_of_its_payload() {
    let origin = Origin::start().await;
    let schema1 = fixture();
    let document = schema1.signed(&Signer::es256());
    schema1.push(&origin, document.clone(), &schema1.digest);
    let client = Client::new(origin.host());
    for name in ["1", &schema1.digest] {
        let read = client
            .read(&format!("/v2/library/old/manifests/{name}"))
            .await;
        assert_eq!((read.status, &read.body), (200, &document.to_vec()));
        assert_eq!(read.header("content-type"), Some(media::SCHEMA1_SIGNED));
        assert_eq!(
            read.header("docker-content-digest"),
            Some(schema1.digest.as_str())
        );
    }
    for layer in &schema1.image.layers {
        let read = client
            .read(&format!("/v2/library/old/blobs/{}", layer.digest))
            .await;
        assert_eq!(read.body, layer.blob.bytes());
    }
}

/// openssl is what the rest of the world reads certificates with.
#[test]
fn certificates_form_a_chain() {
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::x5c();
    let paths = ["leaf", "root"].map(|name| folder.path().join(name));
    for (path, der) in paths.iter().zip(&signer.chain) {
        std::fs::write(path, crate::keys::pem(der)).unwrap();
    }
    let Ok(output) = Command::new("openssl")
        .arg("verify")
        .arg("-CAfile")
        .args([&paths[1], &paths[0]])
        .output()
    else {
        // Without it the real registries of the end-to-end tests still read them.
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

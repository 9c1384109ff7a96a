//! Reads schema 1 from any bytes: payload, steps, keys, and both conversions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_manifest::{
    DiffId, Manifest, Schema1,
    convert::{Format, LayerBlob},
};
use longshore_reference::Digest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(schema1) = Schema1::decode(bytes.to_vec().into()) else {
        return;
    };
    for signature in schema1.signatures() {
        if let Ok(key) = signature.key() {
            assert_eq!(key.id().len(), 59);
        }
    }
    let _ = schema1.signed_form();
    let jwk = r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#;
    let signer = |_: &[u8]| Ok::<_, ()>(vec![1]);
    if let Ok(Ok(signed)) = schema1.sign("2016-01-01T00:00:00Z", "RS256", jwk, signer) {
        let read = Schema1::decode(signed.clone().into()).unwrap();
        assert_eq!(read.payload(), schema1.payload());
        assert_eq!(read.signed_form().unwrap(), signed);
    }
    let Ok(steps) = schema1.steps() else { return };
    let layers = steps.iter().filter(|step| step.throwaway != Some(true));
    let blobs: Vec<_> = layers
        .map(|step| LayerBlob {
            digest: step.blob,
            size: 1,
            diff_id: DiffId::new(Digest::sha256(step.id.as_bytes())),
            gzipped: step.id.starts_with('a'),
        })
        .collect();
    for format in [Format::Schema2, Format::Oci] {
        let Ok(converted) = schema1.convert(format, &blobs) else {
            continue;
        };
        let media_type = converted.media_type.as_str();
        let manifest = Manifest::decode(Some(media_type), converted.manifest).unwrap();
        let config = manifest.config().unwrap();
        assert_eq!(config.digest, Digest::sha256(&converted.config));
        assert_eq!(manifest.layers().count(), blobs.len());
        let digests: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
        if let Ok(back) = Schema1::from_config("a/b", "c", &converted.config, &digests) {
            assert_eq!(back.steps().unwrap().len(), steps.len());
        }
    }
});

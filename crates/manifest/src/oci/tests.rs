use super::*;

const DIGEST: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

fn decode(document: &str) -> Manifest {
    let document = document.replace("$D", DIGEST);
    Manifest::decode(None, document.into_bytes().into()).unwrap()
}

fn full() -> Manifest {
    decode(
        r#"{"manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"$D","size":7,
        "platform":{"os":"windows","architecture":"arm","variant":"v7","os.version":"10.0.1","os.features":["win32k"]},
        "urls":["https://example.com"],"annotations":{"a":"b"},"artifactType":"c/d","data":"e30="}],
        "subject":{"mediaType":"x/y","digest":"$D","size":1},"annotations":{"e":"f"},"artifactType":"g/h"}"#,
    )
}

#[test]
fn descriptors_come_back() {
    for child in full().children() {
        let converted = oci::Descriptor::try_from(&child.descriptor).unwrap();
        assert_eq!(Descriptor::try_from(&converted).unwrap(), child.descriptor);
    }
}

#[test]
fn an_index() {
    let index = full();
    let converted = oci::ImageIndex::try_from(&index).unwrap();
    assert_eq!(converted.manifests().len(), 1);
    assert_eq!(converted.subject().as_ref().unwrap().size(), 1);
    assert_eq!(
        converted.artifact_type().as_ref().unwrap().to_string(),
        "g/h"
    );
    assert_eq!(converted.annotations().as_ref().unwrap()["e"], "f");
    assert_eq!(
        converted.media_type().as_ref().unwrap(),
        &oci::MediaType::ImageIndex
    );
    let error = oci::ImageManifest::try_from(&index)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "Index where Image is needed");
}

#[test]
fn what_oci_spec_cannot_say() {
    let refused = |document: &str| {
        oci::ImageManifest::try_from(&decode(document))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(r#"{"layers":[]}"#), "there is no config");
    assert_eq!(refused(r#"{"config":{"digest":"$D"}}"#), "there is no size");
    assert_eq!(
        refused(r#"{"config":{"digest":"x","size":1}}"#),
        "there is no digest"
    );

    let base58: oci::Digest = "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"
        .parse()
        .unwrap();
    let descriptor = oci::Descriptor::new(oci::MediaType::ImageLayer, 1, base58);
    assert!(Descriptor::try_from(&descriptor).is_err());
}

#[test]
fn media_types_survive() {
    for text in [
        "",
        "a/b",
        MediaType::List.as_str(),
        MediaType::OciEmpty.as_str(),
        MediaType::OciLayerZstd.as_str(),
    ] {
        let media_type = MediaType::from(text);
        assert_eq!(
            MediaType::from(&oci::MediaType::from(&media_type)),
            media_type
        );
    }
}

use proptest::prelude::*;

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
fn a_configuration() {
    let bytes = format!(
        r#"{{ "os":"windows","architecture":"arm64","variant":"v8","os.version":"10.0.1","os.features":["win32k"],"author":"me",
        "created":"2016-01-01T00:00:00.10Z","config":{{"Env":["A=b"],"Cmd":null,"OnBuild":["x"]}},"x-unknown":{{"b":1,"a":[]}},
        "rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}},"history":[{{"created_by":"c","empty_layer":true}},{{"comment":"d"}}]}}"#
    );
    let config = ImageConfig::decode(bytes.as_bytes()).unwrap();
    let converted = oci::ImageConfiguration::try_from(&config).unwrap();
    assert_eq!(config.bytes(), bytes.as_bytes(), "unknown keys survive");
    let env = converted.config().as_ref().and_then(|c| c.env().clone());
    assert_eq!(env, Some(vec!["A=b".to_owned()]));
    let back = ImageConfig::try_from(&converted).unwrap();
    assert_eq!(back.platform(), config.platform());
    assert_eq!(back.diff_ids().unwrap(), config.diff_ids().unwrap());
    assert_eq!(back.history(), config.history());
    assert_eq!(
        (back.created(), back.author()),
        (config.created(), Some("me"))
    );

    for document in [
        r#"{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
        r#"{"architecture":"a","os":"b"}"#,
    ] {
        let config = ImageConfig::decode(document.as_bytes()).unwrap();
        let refused = oci::ImageConfiguration::try_from(&config).unwrap_err();
        assert_eq!(refused.to_string(), "image configuration is not readable");
    }
    let mut bad = converted;
    bad.rootfs_mut().diff_ids_mut().push("sha256:x".to_owned());
    assert!(matches!(
        ImageConfig::try_from(&bad),
        Err(Error::Digest { .. })
    ));
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

#[test]
fn versions_are_written_under_a_wrong_key() {
    let mut platform = Platform::new("windows", "amd64", "");
    platform.os_version = "10.0.1".into();
    let json = serde_json::to_string(&oci::Platform::from(&platform)).unwrap();
    assert!(
        json.contains("\"os_version\""),
        "oci-spec writes it right now: {json}"
    );
}

fn any_descriptor() -> impl Strategy<Value = Descriptor> {
    let known = [
        MediaType::OciLayerGzip,
        MediaType::Schema2ForeignLayer,
        MediaType::OciEmpty,
    ];
    let media_type = prop_oneof![
        prop::sample::select(known.to_vec()),
        "\\PC{0,12}".prop_map(|text| MediaType::from(text.as_str())),
    ];
    let text = || any::<String>().prop_map(String::into_boxed_str);
    let platform = ("[a-z]{1,6}", "[a-z]{1,6}", "[a-z0-9]{0,3}");
    let platform = platform
        .prop_map(|(os, architecture, variant)| Platform::new(&os, &architecture, &variant));
    let annotations = prop::collection::btree_map(text(), text(), 0..3);
    let urls = prop::collection::vec(text(), 0..3);
    let digest = any::<u64>().prop_map(|number| Digest::sha256(&number.to_be_bytes()));
    (
        media_type,
        digest,
        any::<u64>(),
        prop::option::of(platform),
        annotations,
        urls,
    )
        .prop_map(|(media_type, digest, size, platform, annotations, urls)| {
            let mut descriptor = Descriptor::new(media_type, digest, Some(size));
            descriptor.platform = platform.map(Box::new);
            descriptor.annotations = annotations;
            descriptor.urls = urls;
            descriptor
        })
}

proptest! {
    #[test]
    fn what_oci_spec_writes_is_read(
        config in any_descriptor(), layers in prop::collection::vec(any_descriptor(), 0..4),
        subject in prop::option::of(any_descriptor()),
    ) {
        let convert = |descriptor: &Descriptor| oci::Descriptor::try_from(descriptor).unwrap();
        let mut written = oci::ImageManifestBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(oci::MediaType::ImageManifest)
            .config(convert(&config))
            .layers(layers.iter().map(convert).collect::<Vec<_>>())
            .build()
            .unwrap();
        written.set_subject(subject.as_ref().map(convert));
        let bytes = serde_json::to_vec_pretty(&written).unwrap();
        let manifest = Manifest::decode(None, bytes.into()).unwrap();
        prop_assert_eq!(manifest.config(), Some(&config));
        prop_assert_eq!(manifest.layers().cloned().collect::<Vec<_>>(), layers);
        prop_assert_eq!(manifest.subject(), subject.as_ref());
        prop_assert_eq!(oci::ImageManifest::try_from(&manifest).unwrap(), written);
    }
}

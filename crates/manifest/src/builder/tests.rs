use longshore_reference::Digest;
use proptest::prelude::*;

use super::*;
use crate::{Kind, verify};

fn blob(media_type: MediaType, text: &str) -> Descriptor {
    let size = text.len() as u64;
    Descriptor::new(media_type, Digest::sha256(text.as_bytes()), Some(size))
}

#[test]
fn an_oci_manifest_byte_for_byte() {
    let manifest = ManifestBuilder::new(Format::Oci, blob(MediaType::OciEmpty, "{}"))
        .layer(blob(MediaType::OciLayerGzip, "a"))
        .artifact_type(MediaType::from("a/b"))
        .subject(blob(MediaType::OciManifest, "s"))
        .annotation("z", "<1>")
        .annotation("a", "2")
        .build()
        .unwrap();
    let digest = |text: &str| Digest::sha256(text.as_bytes());
    let expected = [
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","#,
        &format!(r#""config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"#, digest("{}")),
        &format!(r#""layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":1}}],"#, digest("a")),
        &format!(r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":1}},"#, digest("s")),
        r#""annotations":{"a":"2","z":"\u003c1\u003e"}}"#,
    ]
    .concat();
    assert_eq!(str::from_utf8(manifest.bytes()).unwrap(), expected);
    assert_eq!(manifest.artifact_type().unwrap().as_str(), "a/b");
}

#[test]
fn a_manifest_list_byte_for_byte() {
    let mut entry = blob(MediaType::Schema2, "a");
    let mut platform = Platform::new("windows", "arm64", "v8");
    platform.os_version = "10.0.1".into();
    platform.os_features = vec!["win32k".into()];
    entry.platform = Some(Box::new(platform));
    let list = IndexBuilder::new(Format::Schema2)
        .manifest(entry)
        .build()
        .unwrap();
    let expected = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","#,
            r#""manifests":[{{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":1,"#,
            r#""digest":"{}","platform":{{"architecture":"arm64","os":"windows","os.version":"10.0.1","#,
            r#""os.features":["win32k"],"variant":"v8"}}}}]}}"#
        ),
        Digest::sha256(b"a")
    );
    assert_eq!(str::from_utf8(list.bytes()).unwrap(), expected);
}

#[test]
fn refusals() {
    let config = || blob(MediaType::Schema2Config, "{}");
    let schema2 = || ManifestBuilder::new(Format::Schema2, config());
    let unsized_layer = Descriptor::new(MediaType::OciLayer, Digest::sha256(b""), None);
    let mut with_data = config();
    with_data.data = Some("e30=".into());
    let refused = [
        (
            schema2().annotation("a", "b").build(),
            "schema 2 has no annotations",
        ),
        (
            schema2().subject(config()).build(),
            "schema 2 has no subject",
        ),
        (
            schema2().artifact_type(MediaType::OciEmpty).build(),
            "schema 2 has no artifactType",
        ),
        (schema2().layer(with_data).build(), "schema 2 has no data"),
        (schema2().layer(unsized_layer).build(), "there is no size"),
        (
            schema2().layer(blob(MediaType::from(""), "a")).build(),
            "there is no mediaType",
        ),
    ];
    for (built, expected) in refused {
        assert_eq!(built.unwrap_err().to_string(), expected);
    }
    let long = "x".repeat(crate::MANIFEST_BYTES_MAX);
    let built = IndexBuilder::new(Format::Oci)
        .annotation("a", &long)
        .build();
    assert!(matches!(built, Err(Error::TooLarge { .. })));
}

fn descriptors() -> impl Strategy<Value = Vec<Descriptor>> {
    let texts = || prop::collection::vec("\\PC{0,8}", 0..3);
    let annotations = prop::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..3);
    let one = (
        "[a-z+./]{1,20}",
        any::<u64>(),
        texts(),
        annotations,
        texts(),
    )
        .prop_map(|(media_type, size, urls, annotations, platform)| {
            let mut descriptor = blob(MediaType::from(&*media_type), &media_type);
            descriptor.size = Some(size);
            descriptor.urls = urls.iter().map(|url| url.as_str().into()).collect();
            let pairs = annotations.iter();
            descriptor.annotations = pairs
                .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
                .collect();
            if let [os, architecture, ..] = platform.as_slice() {
                let mut platform = Platform::new(os, architecture, "v1");
                platform.os_features = urls;
                descriptor.platform = Some(Box::new(platform));
            }
            descriptor
        });
    prop::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(descriptors in descriptors()) {
        for format in [Format::Oci, Format::Schema2] {
            let index = IndexBuilder::new(format).manifests(descriptors.clone()).build().unwrap();
            prop_assert_eq!(index.kind(), Kind::Index);
            prop_assert!(index.manifests().eq(&descriptors));
            let config = blob(format.config_type(), "{}");
            let manifest = ManifestBuilder::new(format, config).layers(descriptors.clone());
            let manifest = manifest.build().unwrap();
            prop_assert!(manifest.layers().eq(&descriptors));
            prop_assert!(verify(manifest.bytes(), &manifest.digest()));
        }
    }

    /// One canonical form for both ways to write a descriptor.
    #[test]
    fn serde_writes_what_the_builder_writes(descriptors in descriptors()) {
        for given in descriptors {
            let by_serde = go_json::compact(&serde_json::to_string(&given).unwrap());
            prop_assert_eq!(descriptor(Format::Oci, &given).unwrap(), by_serde);
        }
    }
}

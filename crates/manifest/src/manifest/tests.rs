use super::*;
use crate::{DEPTH_MAX, ENTRIES_MAX};

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const D: &str = "sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

fn decode(media_type: &str, document: &str) -> Result<Manifest, Error> {
    let document = document
        .replace("$A", A)
        .replace("$B", B)
        .replace("$C", C)
        .replace("$D", D);
    Manifest::decode(Some(media_type), document.into_bytes().into())
}

fn roles(manifest: &Manifest) -> Vec<(Role, String)> {
    let child = |child: &Child| (child.role, child.descriptor.digest.to_string());
    manifest.children().iter().map(child).collect()
}

fn expected(children: &[(Role, &str)]) -> Vec<(Role, String)> {
    children
        .iter()
        .map(|(role, digest)| (*role, (*digest).to_owned()))
        .collect()
}

#[test]
fn image() {
    let document = r#"{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7, "digest": "$A"},
        "layers": [
            {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 8, "digest": "$B",
             "urls": ["https://example.com/\u006cayer"]},
            {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": -1, "digest": "$C"}
        ], "subject": {"digest": "$D", "size": 1.5}, "annotations": {"a": "b", "c": 1}, "x": [{"y": null}]}"#;
    let manifest = decode(MediaType::Schema2.as_str(), document).unwrap();
    assert_eq!(manifest.kind(), Kind::Image);
    let children = [
        (Role::Config, A),
        (Role::ForeignLayer, B),
        (Role::Layer, C),
        (Role::Subject, D),
    ];
    assert_eq!(roles(&manifest), expected(&children));
    assert_eq!(manifest.config().unwrap().size, Some(7));
    let layers: Vec<_> = manifest.layers().collect();
    assert_eq!(&*layers[0].urls[0], "https://example.com/layer");
    assert_eq!((layers[0].size, layers[1].size), (Some(8), None));
    assert_eq!(
        manifest.subject().unwrap().media_type,
        MediaType::Other("".into())
    );
    assert_eq!(manifest.annotations().len(), 1);
    assert_eq!(manifest.artifact_type(), None);
    assert_eq!(manifest.digest(), Digest::sha256(manifest.bytes()));
}

#[test]
fn index() {
    let document = r#"{"manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7, "digest": "$A", "platform":
            {"os": "windows", "architecture": "amd64", "os.version": "10.0.1", "os.features": ["win32k"], "variant": null}},
        null,
        {"digest": "sha256:short"},
        {"digest": "$B", "artifactType": "a/b", "data": "e30="}
    ]}"#;
    let manifest = decode(MediaType::OciIndex.as_str(), document).unwrap();
    assert_eq!(manifest.kind(), Kind::Index);
    assert_eq!(
        roles(&manifest),
        expected(&[(Role::Manifest, A), (Role::Manifest, B)])
    );
    let skipped: Vec<_> = manifest
        .skipped()
        .iter()
        .map(|s| (s.position, &*s.digest))
        .collect();
    assert_eq!(skipped, [(1, ""), (2, "sha256:short")]);
    let entries: Vec<_> = manifest.manifests().collect();
    let platform = entries[0].platform.as_ref().unwrap();
    assert_eq!(platform.to_string(), "windows/amd64");
    assert_eq!(platform.os_version, "10.0.1");
    assert_eq!(platform.os_features, ["win32k"]);
    assert_eq!(entries[1].artifact_type.as_ref().unwrap().as_str(), "a/b");
    assert_eq!(entries[1].data.as_deref(), Some("e30="));
}

#[test]
fn artifact() {
    let document =
        r#"{"artifactType": "a/b", "blobs": [{"digest": "$A"}], "subject": {"digest": "$B"}}"#;
    let manifest = decode("", document).unwrap();
    assert_eq!(manifest.media_type(), &MediaType::OciArtifact);
    assert_eq!(
        roles(&manifest),
        expected(&[(Role::Layer, A), (Role::Subject, B)])
    );
    assert_eq!(manifest.artifact_type().unwrap().as_str(), "a/b");

    let document = r#"{"config": {"mediaType": "c/d", "digest": "$A"}, "layers": []}"#;
    let manifest = decode(MediaType::OciManifest.as_str(), document).unwrap();
    assert_eq!(manifest.artifact_type().unwrap().as_str(), "c/d");
}

#[test]
fn schema1_children_are_base_first() {
    let document = r#"{"schemaVersion": 1, "fsLayers": [{"blobSum": "$A"}, {"blobSum": "$B"}],
        "history": [{"v1Compatibility": "{}"}, {"v1Compatibility": "{}"}]}"#;
    let manifest = decode("application/json", document).unwrap();
    assert_eq!(manifest.media_type(), &MediaType::Schema1);
    assert_eq!(
        roles(&manifest),
        expected(&[(Role::Layer, B), (Role::Layer, A)])
    );
}

#[test]
fn a_null_list_is_no_list() {
    let manifest = decode(MediaType::OciManifest.as_str(), r#"{"layers": null}"#).unwrap();
    assert!(manifest.children().is_empty());
}

#[test]
fn refusals() {
    let list = MediaType::List.as_str();
    let index = MediaType::OciIndex.as_str();
    let oci = MediaType::OciManifest.as_str();
    let schema2 = MediaType::Schema2.as_str();
    let table = [
        ("", "{}", "media-type: cannot determine"),
        ("text/html", "<html>", "manifest is not readable"),
        (oci, r#"{"layers": "x"}"#, "manifest is not readable"),
        (
            oci,
            r#"{"layers": [], "layers": []}"#,
            "manifest is not readable",
        ),
        (
            oci,
            r#"{"manifests": []}"#,
            r#"media-type: "application/vnd.oci.image.manifest.v1+json" should not have "manifests" or "fsLayers""#,
        ),
        (
            index,
            r#"{"manifests": [], "config": {}}"#,
            r#"media-type: "application/vnd.oci.image.index.v1+json" should not have "config", "layers", or "fsLayers""#,
        ),
        (
            schema2,
            r#"{"mediaType": "x"}"#,
            "mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' not 'x'",
        ),
        (
            list,
            r#"{"mediaType": "x"}"#,
            "mediaType in manifest list should be 'application/vnd.docker.distribution.manifest.list.v2+json' not 'x'",
        ),
    ];
    for (media_type, document, expected) in table {
        let error = decode(media_type, document).unwrap_err();
        assert_eq!(error.to_string(), expected, "{document}");
    }
}

#[test]
fn limits() {
    let spaces = Bytes::from(vec![b' '; MANIFEST_BYTES_MAX + 1]);
    let error = Manifest::decode(None, spaces).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes, .. } if bytes == MANIFEST_BYTES_MAX + 1));

    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        decode(
            MediaType::OciIndex.as_str(),
            &format!(r#"{{"x]]": {open}"\"]]"{close}}}"#),
        )
    };
    assert!(nested(DEPTH_MAX - 1).is_ok());
    assert!(matches!(nested(DEPTH_MAX), Err(Error::TooDeep { .. })));
}

/// Documents within the limit of bytes whose entries would take hundreds of megabytes when read.
#[test]
fn lists_have_a_limit_of_entries() {
    let document = |media_type: &MediaType, key: &str, entries: usize| {
        let entries = vec!["{}"; entries].join(",");
        format!(r#"{{"schemaVersion":1,"mediaType":"{media_type}","{key}":[{entries}]}}"#)
    };
    let table = [
        (MediaType::OciIndex, "manifests"),
        (MediaType::List, "manifests"),
        (MediaType::OciManifest, "layers"),
        (MediaType::Schema2, "layers"),
        (MediaType::OciArtifact, "blobs"),
        (MediaType::Schema1, "fsLayers"),
        (MediaType::Schema1, "history"),
        (MediaType::OciIndex, "unknown"),
    ];
    for (media_type, key) in table {
        let is_refused = |entries| {
            let document = document(&media_type, key, entries);
            assert!(document.len() <= MANIFEST_BYTES_MAX);
            let read = Manifest::decode(Some(media_type.as_str()), document.into());
            matches!(read, Err(Error::TooManyEntries { entries_max }) if entries_max == ENTRIES_MAX)
        };
        assert!(!is_refused(ENTRIES_MAX), "{key}");
        assert!(is_refused(ENTRIES_MAX + 1), "{key}");
        assert!(is_refused(1_390_000), "{key}");
    }
    for key in ["history", "unknown"] {
        let config = document(&MediaType::OciConfig, key, ENTRIES_MAX + 1);
        let read = crate::ImageConfig::decode(config.as_bytes());
        assert!(matches!(read, Err(Error::TooManyEntries { .. })), "{key}");
    }
}

/// What names its content cannot reach the limit: a digest for each is over that of bytes first.
#[test]
fn no_list_of_digests_has_too_many_entries() {
    let shortest = format!(r#"{{"digest":"{A}"}},"#).len();
    assert!(MANIFEST_BYTES_MAX / shortest < ENTRIES_MAX);
}

/// A derived reader takes a list for the values of the keys in their order.
#[test]
fn a_list_is_never_an_object() {
    let digest = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";
    let (oci, index) = (MediaType::OciManifest, MediaType::OciIndex);
    let table = [
        (&oci, "[]".to_owned()),
        (&oci, format!(r#"[2,"{oci}"]"#)),
        (&oci, format!(r#"{{"config":["x/y","{digest}",2]}}"#)),
        (&oci, format!(r#"{{"layers":[["x/y","{digest}",2]]}}"#)),
        (&index, format!(r#"{{"manifests":[["x/y","{digest}",2]]}}"#)),
        (
            &index,
            format!(r#"{{"manifests":[{{"digest":"{digest}","platform":["linux","arm64"]}}]}}"#),
        ),
        (
            &MediaType::Schema1,
            format!(r#"{{"schemaVersion":1,"fsLayers":[["{digest}"]],"history":[]}}"#),
        ),
        (
            &MediaType::Schema1,
            r#"{"schemaVersion":1,"fsLayers":[],"history":[["{}"]]}"#.to_owned(),
        ),
    ];
    for (media_type, document) in table {
        let read = Manifest::decode(Some(media_type.as_str()), document.clone().into());
        assert!(matches!(read, Err(Error::Json { .. })), "{document}");
    }
    for config in ["[]", r#"{"rootfs":[[]]}"#, r#"{"history":[["2016"]]}"#] {
        let read = crate::ImageConfig::decode(config.as_bytes());
        assert!(matches!(read, Err(Error::Json { .. })), "{config}");
    }
}

#[test]
fn bytes_are_verified_in_the_algorithm_of_the_digest() {
    let bytes = Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#);
    let manifest = Manifest::decode(None, bytes.clone()).unwrap();
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, &bytes);
        assert_eq!(manifest.digest_by(algorithm), digest);
        assert!(verify(&bytes, &digest));
        assert!(!verify(&bytes.slice(1..), &digest));
    }
    assert!(verify(
        &Bytes::from_static(b"<html>"),
        &Digest::sha256(b"<html>")
    ));
}

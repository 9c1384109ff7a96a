use super::*;

#[test]
fn guesses() {
    let docker_config =
        r#"{"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}"#;
    let table: &[(&str, Option<MediaType>)] = &[
        ("", None),
        ("null", None),
        ("[]", None),
        ("{}", None),
        ("<html></html>", None),
        (r#"{"manifests":[]}"#, Some(MediaType::OciIndex)),
        (r#"{"manifests":null}"#, None),
        (r#"{"layers":[]}"#, Some(MediaType::OciManifest)),
        (
            r#"{"config":{},"schemaVersion":2}"#,
            Some(MediaType::OciManifest),
        ),
        (docker_config, Some(MediaType::Schema2)),
        (r#"{"config":{},"manifests":[]}"#, None),
        (r#"{"fsLayers":[],"manifests":[]}"#, None),
        (r#"{"fsLayers":[]}"#, Some(MediaType::Schema1)),
        (r#"{"schemaVersion":1}"#, Some(MediaType::Schema1)),
        (
            r#"{"schemaVersion":1,"signatures":[]}"#,
            Some(MediaType::Schema1Signed),
        ),
        (
            r#"{"artifactType":"a/b","blobs":[]}"#,
            Some(MediaType::OciArtifact),
        ),
        (r#"{"blobs":[]}"#, None),
        (
            r#"{"mediaType":"text/html","layers":[]}"#,
            Some(MediaType::OciManifest),
        ),
    ];
    for (document, expected) in table {
        assert_eq!(guess(document.as_bytes()), *expected, "{document}");
    }
}

#[test]
fn the_type_inside_counts_first() {
    for media_type in [MediaType::List, MediaType::Schema2, MediaType::OciArtifact] {
        let document = format!(r#"{{"schemaVersion":1,"mediaType":"{media_type}"}}"#);
        assert_eq!(guess(document.as_bytes()), Some(media_type));
    }
}

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

/// A document with a `mediaType` and these keys, each `null`.
fn with(media_type: &str, keys: &str) -> Vec<u8> {
    let keys = keys
        .split_whitespace()
        .map(|key| format!(",\"{key}\":null"));
    format!(
        r#"{{"mediaType":"{media_type}"{}}}"#,
        keys.collect::<String>()
    )
    .into_bytes()
}

#[test]
fn rules_of_moby() {
    let ok = |media_type: &MediaType| Ok(media_type.clone());
    let image = r#"should not have "manifests" or "fsLayers""#;
    let index = r#"should not have "config", "layers", or "fsLayers""#;
    let schema1 = r#"should not have "manifests" or "layers""#;
    let undetermined = "media-type: cannot determine";
    let schema2 = MediaType::Schema2;
    let list = MediaType::List;
    let table = [
        (schema2.as_str(), "config layers", ok(&schema2)),
        (schema2.as_str(), "manifests", Err(image)),
        (schema2.as_str(), "fsLayers", Err(image)),
        (
            MediaType::OciManifest.as_str(),
            "config manifests",
            Err(image),
        ),
        (list.as_str(), "manifests", ok(&list)),
        (list.as_str(), "config", Err(index)),
        (MediaType::OciIndex.as_str(), "layers", Err(index)),
        (MediaType::OciIndex.as_str(), "fsLayers", Err(index)),
        (MediaType::Schema1.as_str(), "layers", Err(schema1)),
        (
            MediaType::Schema1.as_str(),
            "fsLayers",
            ok(&MediaType::Schema1),
        ),
        (
            MediaType::Schema1Signed.as_str(),
            "layers",
            ok(&MediaType::Schema1Signed),
        ),
        ("a/b", "layers manifests", Ok(MediaType::from("a/b"))),
        ("", "fsLayers history", ok(&MediaType::Schema1)),
        ("", "config", ok(&MediaType::OciManifest)),
        ("", "layers", ok(&MediaType::OciManifest)),
        ("", "manifests", ok(&MediaType::OciIndex)),
        ("", "", ok(&MediaType::OciIndex)),
        ("", "config manifests", Err(undetermined)),
        ("", "fsLayers config", Err(undetermined)),
    ];
    for (media_type, keys, expected) in table {
        match (moby(&with(media_type, keys)), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{media_type} {keys}"),
            (Err(error), Err(expected)) => {
                assert!(
                    error.to_string().ends_with(expected),
                    "{media_type} {keys}: {error}"
                );
            }
            (found, _) => panic!("{media_type} {keys}: {found:?}"),
        }
    }
    let error = moby(&with(schema2.as_str(), "manifests"))
        .unwrap_err()
        .to_string();
    assert_eq!(error, format!("media-type: \"{schema2}\" {image}"));
    assert!(moby(b"<html>").is_err());
}

#[test]
fn rules_of_containerd() {
    let image = MediaType::OciManifest;
    let index = MediaType::OciIndex;
    let table = [
        (&image, "", "config layers", ""),
        (
            &image,
            "",
            "manifests",
            "media-type: expected manifest but found index (application/vnd.oci.image.manifest.v1+json)",
        ),
        (
            &image,
            index.as_str(),
            "",
            "media-type: expected manifest but found index (application/vnd.oci.image.manifest.v1+json)",
        ),
        (&index, "", "manifests", ""),
        (
            &index,
            "",
            "config",
            "media-type: expected index but found manifest (application/vnd.oci.image.index.v1+json)",
        ),
        (
            &index,
            "",
            "layers",
            "media-type: expected index but found manifest (application/vnd.oci.image.index.v1+json)",
        ),
        (
            &index,
            image.as_str(),
            "",
            "media-type: expected index but found manifest (application/vnd.oci.image.index.v1+json)",
        ),
        (&index, "", "fsLayers", "media-type: schema 1 not supported"),
        (&MediaType::OciConfig, "", "layers manifests", ""),
    ];
    for (media_type, inside, keys, expected) in table {
        let found = containerd(&with(inside, keys), media_type);
        assert_eq!(
            found.map_or_else(|error| error.to_string(), |()| String::new()),
            expected
        );
    }
}

#[test]
fn guesses_of_containers_image() {
    let table: [(&str, Option<MediaType>); 14] = [
        ("x", None),
        ("{}", None),
        (r#"{"schemaVersion":3}"#, None),
        (
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":1}"#,
            Some(MediaType::OciIndex),
        ),
        (
            r#"{"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}"#,
            None,
        ),
        (
            r#"{"schemaVersion":1,"signatures":null}"#,
            Some(MediaType::Schema1),
        ),
        (
            r#"{"schemaVersion":1,"signatures":[]}"#,
            Some(MediaType::Schema1Signed),
        ),
        (r#"{"schemaVersion":2}"#, Some(MediaType::OciManifest)),
        (
            r#"{"schemaVersion":2,"manifests":[]}"#,
            Some(MediaType::OciManifest),
        ),
        (
            r#"{"schemaVersion":2,"manifests":[{}]}"#,
            Some(MediaType::OciIndex),
        ),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"a/b"},"manifests":[{}]}"#,
            Some(MediaType::from("a/b")),
        ),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"a/b"}}"#,
            Some(MediaType::OciManifest),
        ),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}"#,
            Some(MediaType::Schema2),
        ),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"manifests":[{}]}"#,
            Some(MediaType::OciManifest),
        ),
    ];
    for (document, expected) in table {
        assert_eq!(containers(document.as_bytes()), expected, "{document}");
    }
}

#[test]
fn types_of_servers() {
    for known in [
        MediaType::Schema1,
        MediaType::Schema1Signed,
        MediaType::Schema2,
        MediaType::List,
        MediaType::OciManifest,
        MediaType::OciIndex,
    ] {
        assert_eq!(server_type(known.as_str()), known);
    }
    for other in [
        "",
        "application/json",
        "text/plain",
        "x",
        MediaType::OciArtifact.as_str(),
    ] {
        assert_eq!(server_type(other), MediaType::Schema1Signed, "{other}");
    }
}

#[test]
fn digests_leave_signatures_out_only_of_schema1() {
    let signed = br#"{"schemaVersion":1,"signatures":[{"protected":"eyJmb3JtYXRMZW5ndGgiOjE4LCJmb3JtYXRUYWlsIjoiZlEifQ"}]}"#;
    assert_eq!(
        containers_digest(signed).unwrap(),
        Digest::sha256(br#"{"schemaVersion":1}"#)
    );
    let other = String::from_utf8(signed.to_vec())
        .unwrap()
        .replace("\":1,", "\":2,");
    assert_eq!(
        containers_digest(other.as_bytes()).unwrap(),
        Digest::sha256(other.as_bytes())
    );
    assert!(containers_digest(br#"{"schemaVersion":1,"signatures":[]}"#).is_err());
}

#[test]
fn rules_of_distribution() {
    let refused = |media_type: &MediaType, document: &str| {
        let found = distribution(document.as_bytes(), media_type);
        found.map_or_else(|error| error.to_string(), |()| String::new())
    };
    let (schema2, list) = (MediaType::Schema2, MediaType::List);
    let (image, index) = (MediaType::OciManifest, MediaType::OciIndex);
    let table = [
        (
            &schema2,
            "{}",
            format!("mediaType in manifest should be '{schema2}' not ''"),
        ),
        (
            &list,
            "{}",
            format!("mediaType in manifest list should be '{list}' not ''"),
        ),
        (&image, "{}", String::new()),
        (&index, "{}", String::new()),
        (
            &image,
            r#"{"mediaType":"x"}"#,
            format!("if present, mediaType in manifest should be '{image}' not 'x'"),
        ),
        (
            &index,
            r#"{"mediaType":"x"}"#,
            format!("if present, mediaType in image index should be '{index}' not 'x'"),
        ),
        (
            &image,
            r#"{"manifests":[]}"#,
            "ocimanifest: expected manifest but found index".into(),
        ),
        (
            &index,
            r#"{"layers":[]}"#,
            "index: expected index but found manifest".into(),
        ),
        (
            &list,
            r#"{"config":{}}"#,
            "index: expected index but found manifest".into(),
        ),
        (&MediaType::Schema1, r#"{"mediaType":"x"}"#, String::new()),
    ];
    for (media_type, document, expected) in table {
        assert_eq!(refused(media_type, document), expected, "{document}");
    }
    let named = format!(r#"{{"mediaType":"{schema2}","manifests":[]}}"#);
    assert_eq!(refused(&schema2, &named), "", "schema 2 may have manifests");
}

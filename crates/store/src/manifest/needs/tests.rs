use super::*;

const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

/// A descriptor of the content that this text is.
fn descriptor(media_type: &str, text: &str, more: &str) -> String {
    let digest = digest(text);
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":2{more}}}"#)
}

fn image(config: &str, layers: &[String], more: &str) -> Needs {
    let layers = layers.join(",");
    of(
        "application/vnd.oci.image.manifest.v1+json",
        &format!(r#"{{"schemaVersion":2{more},"config":{config},"layers":[{layers}]}}"#),
    )
}

fn index(entries: &[String]) -> Needs {
    let entries = entries.join(",");
    of(
        "application/vnd.oci.image.index.v1+json",
        &format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#),
    )
}

fn of(media_type: &str, text: &str) -> Needs {
    let bytes = text.to_owned().into();
    Needs::of(&Manifest::decode(Some(media_type), bytes).unwrap())
}

fn all(texts: &[&str]) -> Needs {
    Needs::All(texts.iter().map(|text| digest(text)).collect())
}

fn any(texts: &[&str]) -> Needs {
    Needs::Any(texts.iter().map(|text| digest(text)).collect())
}

#[test]
fn an_image_needs_its_config_and_layers() {
    let config = descriptor(IMAGE, "config", "");
    let layers = [
        descriptor(TAR, "a", ""),
        descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "b", ""),
        descriptor("application/vnd.oci.image.layer.nydus.blob.v1", "c", ""),
        descriptor(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "foreign",
            "",
        ),
    ];
    assert_eq!(image(&config, &layers, ""), all(&["config", "a", "b", "c"]));
    assert_eq!(image(&config, &[], ""), all(&["config"]));
    // Attestations of buildkit have the configuration of an image and layers that are none.
    let unreadable = r#"{"mediaType":"x","digest":"blake3:af13","size":2}"#.to_owned();
    let broken = [descriptor(TAR, "a", ""), unreadable];
    assert_eq!(image(&config, &broken, ""), Needs::Impossible);
    let inside = descriptor(IMAGE, "{\"a\":1}", r#","data":"eyJhIjoxfQ==""#);
    assert_eq!(image(&inside, &layers[..1], ""), all(&["a"]));
    let wrong = descriptor(IMAGE, "config", r#","data":"eyJhIjoxfQ==""#);
    assert_eq!(image(&wrong, &layers[..1], ""), all(&["config", "a"]));
}

#[test]
fn an_artifact_needs_one_of_its_layers() {
    let empty = descriptor(
        "application/vnd.oci.empty.v1+json",
        "{}",
        r#","data":"e30=""#,
    );
    let bare = descriptor("application/vnd.oci.empty.v1+json", "{}", "");
    let unknown = descriptor("application/vnd.unknown.config.v1+json", "c", "");
    let helm = descriptor("application/vnd.cncf.helm.config.v1+json", "c", "");
    let wasm = descriptor("application/vnd.wasm.config.v0+json", "c", "");
    let file = descriptor("application/vnd.oci.image.layer.v1.tar", "file", "");
    let chart = descriptor(
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "chart",
        "",
    );
    let module = descriptor("application/wasm", "module", "");
    let signed = descriptor(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "signed",
        "",
    );
    let cosign = descriptor(IMAGE, "config", "");
    let subject = format!(
        r#","artifactType":"a/b","subject":{}"#,
        descriptor(TAR, "subject", "")
    );
    for (config, layers, more, expected) in [
        (&empty, vec![file.clone()], "", any(&["file"])),
        (&bare, vec![file.clone()], "", any(&["file"])),
        (
            &unknown,
            vec![file, chart.clone()],
            "",
            any(&["file", "chart"]),
        ),
        (&helm, vec![chart], "", any(&["chart"])),
        (&wasm, vec![module], "", any(&["module"])),
        (&cosign, vec![signed.clone()], "", any(&["signed"])),
        (&empty, vec![signed], &subject, any(&["signed"])),
        (&empty, vec![bare.clone()], &subject, all(&[])),
        (&unknown, vec![], "", all(&[])),
        (
            &unknown,
            vec![descriptor("text/plain", "hi", r#","data":"aGk=""#)],
            "",
            all(&[]),
        ),
    ] {
        assert_eq!(
            image(config, &layers, more),
            expected,
            "{config} {layers:?}"
        );
    }
    let blobs = descriptor("text/plain", "blob", "");
    let artifact = format!(r#"{{"artifactType":"a/b","blobs":[{blobs}]}}"#);
    assert_eq!(
        of("application/vnd.oci.artifact.manifest.v1+json", &artifact),
        any(&["blob"])
    );
}

#[test]
fn an_index_needs_one_whole_image() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let one_of = |texts: &[&str]| Needs::OneOf(texts.iter().map(|text| digest(text)).collect());
    let amd64 = descriptor(
        MANIFEST,
        "amd64",
        r#","platform":{"os":"linux","architecture":"amd64"}"#,
    );
    let arm64 = descriptor(
        MANIFEST,
        "arm64",
        r#","platform":{"os":"linux","architecture":"arm64"}"#,
    );
    let attestation = descriptor(
        MANIFEST,
        "attestation",
        r#","platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#,
    );
    let referrer = descriptor(MANIFEST, "referrer", r#","artifactType":"a/b""#);
    for (entries, expected) in [
        (vec![amd64.clone(), arm64], one_of(&["amd64", "arm64"])),
        (vec![amd64.clone(), attestation.clone()], one_of(&["amd64"])),
        (vec![attestation], one_of(&["attestation"])),
        (
            vec![amd64, referrer.clone()],
            one_of(&["amd64", "referrer"]),
        ),
        (vec![referrer.clone(), referrer], all(&[])),
        (vec![], all(&[])),
    ] {
        assert_eq!(index(&entries), expected, "{entries:?}");
    }
}

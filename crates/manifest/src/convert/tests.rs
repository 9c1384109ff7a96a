use super::*;
use crate::{Kind, Manifest};

fn blob(text: &str, gzipped: bool) -> LayerBlob {
    let diff_id = DiffId::new(Digest::sha256(format!("{text} unpacked").as_bytes()));
    LayerBlob {
        digest: Digest::sha256(text.as_bytes()),
        size: 7,
        diff_id,
        gzipped,
    }
}

fn schema1() -> Schema1 {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["A=<b>"]}},"rootfs":{{"type":"layers","diff_ids":["{}","{}"]}},
        "history":[{{"created":"2016-01-01T00:00:00.10Z","created_by":"ADD a && b","comment":"c"}},
        {{"created_by":"ENV x","empty_layer":true,"author":"me"}},{{"created":"2016-01-02T00:00:00Z"}}]}}"#,
        blob("a", true).diff_id,
        blob("b", true).diff_id,
    );
    let layers = [blob("a", true).digest, blob("b", true).digest];
    Schema1::from_config("library/x", "v1", config.as_bytes(), &layers).unwrap()
}

#[test]
fn configuration_to_schema1() {
    let schema1 = schema1();
    let steps = schema1.steps().unwrap();
    let [a, b] = [blob("a", true).digest, blob("b", true).digest];
    let blobs: Vec<_> = steps.iter().map(|step| step.blob.to_string()).collect();
    assert_eq!(
        blobs,
        [a.to_string(), EMPTY_LAYER.to_owned(), b.to_string()]
    );
    let hex = |text: String| Digest::sha256(text.as_bytes()).hex().to_string();
    let first = hex(format!("{} ", a.hex()));
    let second = hex(format!("{} {first}", &EMPTY_LAYER[7..]));
    assert_eq!(
        (&*steps[0].id, &*steps[1].id, &*steps[2].parent),
        (&*first, &*second, &*second)
    );
    assert_eq!(
        steps[0].v1_json,
        format!(
            r#"{{"id":"{first}","comment":"c","created":"2016-01-01T00:00:00.1Z","container_config":{{"Cmd":["ADD a \u0026\u0026 b"]}}}}"#
        )
    );
    assert_eq!(
        steps[1].v1_json,
        format!(
            r#"{{"id":"{second}","parent":"{first}","created":"0001-01-01T00:00:00Z","container_config":{{"Cmd":["ENV x"]}},"author":"me","throwaway":true}}"#
        )
    );
    assert_eq!(
        steps[2].v1_json,
        format!(
            r#"{{"architecture":"amd64","config":{{"Env":["A=\u003cb\u003e"]}},"id":"{}","os":"linux","parent":"{second}"}}"#,
            steps[2].id
        )
    );
    let start = "{\n   \"schemaVersion\": 1,\n   \"name\": \"library/x\",\n   \"tag\": \"v1\",\n   \"architecture\": \"amd64\",\n   \
                 \"fsLayers\": [\n      {\n         \"blobSum\": \"";
    assert!(schema1.payload().starts_with(start.as_bytes()));
}

#[test]
fn the_base_of_windows_has_a_parent_outside() {
    let config = br#"{"os":"windows","rootfs":{"type":"layers","base_layer":"windowsservercore","diff_ids":[]},
        "history":[{"empty_layer":true},{"empty_layer":true}]}"#;
    let schema1 = Schema1::from_config("x", "y", config, &[]).unwrap();
    let payload = String::from_utf8(schema1.payload().to_vec()).unwrap();
    let outside = Digest::of(Algorithm::Sha384, b"windowsservercore")
        .hex()
        .to_string();
    assert!(payload.contains(&format!(r#"\"parent\":\"{}\""#, &outside[..64])));
}

#[test]
fn schema1_to_images() {
    let blobs = [blob("a", true), blob("b", false)];
    let schema1 = schema1();
    for (format, last_layer) in [
        (Format::Schema2, MediaType::Schema2Layer),
        (Format::Oci, MediaType::OciLayer),
    ] {
        let converted = schema1.convert(format, &blobs).unwrap();
        assert_eq!(
            schema1.convert(format, &blobs).unwrap(),
            converted,
            "always the same bytes"
        );
        let manifest =
            Manifest::decode(Some(converted.media_type.as_str()), converted.manifest).unwrap();
        assert_eq!(manifest.kind(), Kind::Image);
        let config = manifest.config().unwrap();
        assert_eq!(config.digest, Digest::sha256(&converted.config));
        assert_eq!(config.size, Some(converted.config.len() as u64));
        assert_eq!(manifest.layers().last().unwrap().media_type, last_layer);

        let config = ImageConfig::decode(&converted.config).unwrap();
        config
            .check_layers(&blobs.map(|blob| blob.diff_id))
            .unwrap();
        assert_eq!(config.platform().to_string(), "linux/amd64");
        let history: Vec<_> = config
            .history()
            .iter()
            .map(|h| (&*h.created_by, h.empty_layer))
            .collect();
        assert_eq!(
            history,
            [("ADD a && b", false), ("ENV x", true), ("", false)]
        );
    }
}

#[test]
fn manifests_byte_for_byte() {
    let layer = V1Layer {
        v1_json: br#"{"docker_version":"1.10.0"}"#,
        blob: Some(blob("a", true)),
    };
    let converted = image(Format::Schema2, &[layer]).unwrap();
    let expected = format!(
        r#"{{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {{
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": {},
      "digest": "{}"
   }},
   "layers": [
      {{
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 7,
         "digest": "{}"
      }}
   ]
}}"#,
        converted.config.len(),
        Digest::sha256(&converted.config),
        blob("a", true).digest,
    );
    assert_eq!(converted.manifest, expected.as_bytes());
    let oci = image(Format::Oci, &[layer]).unwrap();
    assert_eq!(oci.config, converted.config);
    let text = String::from_utf8(oci.manifest.to_vec()).unwrap();
    let at = |key: &str| text.find(key).unwrap();
    assert!(at("\"digest\"") < at("\"size\"") && at("\"mediaType\"") < at("\"config\""));
}

#[test]
fn refusals() {
    let schema1 = schema1();
    let [a, b] = [blob("a", true), blob("b", true)];
    let refused =
        |blobs: &[LayerBlob]| schema1.convert(Format::Oci, blobs).unwrap_err().to_string();
    assert_eq!(refused(&[a]), "1 layers where there should be 2");
    assert_eq!(
        refused(&[b, a]),
        "layers from manifest don't match image configuration"
    );
    assert_eq!(
        image(Format::Oci, &[]).unwrap_err().to_string(),
        "no layers"
    );

    let digests = [a.digest];
    let table: [(&str, &[Digest], &str); 4] = [
        (
            r#"{"rootfs":{}}"#,
            &[],
            "empty history when trying to create schema1 manifest",
        ),
        (
            r#"{"history":[{}]}"#,
            &[],
            "invalid rootfs in image configuration",
        ),
        (
            r#"{"rootfs":{},"history":[{}]}"#,
            &[],
            "too many non-empty layers in History section",
        ),
        (
            r#"{"rootfs":{},"history":[{}]}"#,
            &digests,
            "1 layers where there should be 0",
        ),
    ];
    for (config, layers, expected) in table {
        let error = Schema1::from_config("x", "y", config.as_bytes(), layers).unwrap_err();
        assert_eq!(error.to_string(), expected, "{config}");
    }
}

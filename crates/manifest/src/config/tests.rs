use super::*;

fn diff_id(text: &str) -> DiffId {
    DiffId::new(Digest::sha256(text.as_bytes()))
}

fn config(diff_ids: &[DiffId]) -> ImageConfig {
    let list: Vec<_> = diff_ids
        .iter()
        .map(|diff_id| format!("\"{diff_id}\""))
        .collect();
    let json = format!(
        r#"{{"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        list.join(",")
    );
    ImageConfig::decode(json.as_bytes()).unwrap()
}

#[test]
fn everything() {
    let json = br#"{"created":"2020-01-01T00:00:00Z","author":"me","os":"windows","os.version":"10.0.1",
        "os.features":["win32k"],"architecture":"amd64","variant":5,"config":{"Cmd":null},"rootfs":{"diff_ids":null},
        "history":[{"created":"x","author":"a","created_by":"b","comment":"c"},{"empty_layer":true}]}"#;
    let config = ImageConfig::decode(json).unwrap();
    assert_eq!(config.platform().full(), "windows(10.0.1+win32k)/amd64");
    assert_eq!(
        (config.created(), config.author()),
        (Some("2020-01-01T00:00:00Z"), Some("me"))
    );
    assert_eq!(config.diff_ids().unwrap(), []);
    let [first, second] = config.history() else {
        panic!()
    };
    assert_eq!(
        (&*first.author, &*first.created_by, &*first.comment),
        ("a", "b", "c")
    );
    assert!(!first.empty_layer && second.empty_layer && second.created.is_none());
}

#[test]
fn layers_must_be_those_of_the_configuration() {
    let [a, b] = [diff_id("a"), diff_id("b")];
    let config = config(&[a, b]);
    config.check_layers(&[a, b]).unwrap();
    for other in [&[a][..], &[b, a], &[a, a], &[a, b, b], &[]] {
        let error = config.check_layers(other).unwrap_err().to_string();
        assert_eq!(
            error,
            "layers from manifest don't match image configuration"
        );
    }
    let without = ImageConfig::decode(b"{}").unwrap();
    let error = without.check_layers(&[]).unwrap_err().to_string();
    assert_eq!(error, "invalid rootfs in image configuration");
}

#[test]
fn chain_ids() {
    let [a, b] = [diff_id("a"), diff_id("b")];
    let chain = config(&[a, b]).chain_ids().unwrap();
    assert_eq!(
        chain,
        [a.digest(), Digest::sha256(format!("{a} {b}").as_bytes())]
    );
    assert!(config(&[]).chain_ids().unwrap().is_empty());
}

#[test]
fn refusals() {
    let refused = |json: &[u8]| ImageConfig::decode(json).unwrap_err().to_string();
    assert_eq!(refused(b"[1"), "image configuration is not readable");
    assert_eq!(
        refused(br#"{"rootfs":{"diff_ids":["x"]}}"#),
        "diff_ids has an unreadable digest \"x\""
    );
    let large = vec![b' '; CONFIG_BYTES_MAX + 1];
    assert!(matches!(
        ImageConfig::decode(&large),
        Err(Error::TooLarge { .. })
    ));
}

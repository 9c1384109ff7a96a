use proptest::prelude::*;

use super::*;

fn diff_id() -> DiffId {
    DiffId::new(Digest::sha256(b"layer"))
}

#[test]
fn which_dockers_are_old() {
    let table = [
        ("", true),
        ("1", true),
        ("1.8", true),
        ("1.8.2", true),
        ("1.8.2-fc22", true),
        ("1.8.3-rc1", true),
        ("1.8.3", false),
        ("1.8.10", false),
        ("1.9", false),
        ("1.10.0-dev", false),
        ("17.03.1-ce", false),
        ("0.99.99", true),
        ("1.7.9", true),
        ("2", false),
        ("1.8.3.1", false),
        ("1.8.3.0.-1", true),
        ("1.8.2.9", true),
        ("99999999999999999999", false),
        ("1.-99999999999999999999", true),
    ];
    for (version, expected) in table {
        assert_eq!(is_old(version), expected, "{version}");
    }
}

#[test]
fn unknown_keys_survive_from_1_8_3_on() {
    let v1_json = br#"{ "id": "i", "parent": "p", "Size": 5, "parent_id": "x", "layer_id": "y", "throwaway": true,
        "docker_version": "1.9.1", "com.example": [1, {"b": 1, "a": "<"}], "os": "linux", "created": "2016-01-01T00:00:00.500Z",
        "config": {"Healthcheck": null} }"#;
    let history = History::from_v1(v1_json, true).unwrap();
    let config = image_config(v1_json, &[diff_id()], &[history]).unwrap();
    let expected = format!(
        "{}{}{}",
        r#"{"com.example":[1,{"b":1,"a":"\u003c"}],"config":{"Healthcheck":null},"created":"2016-01-01T00:00:00.500Z","#,
        r#""docker_version":"1.9.1","history":[{"created":"2016-01-01T00:00:00.5Z","empty_layer":true}],"#,
        format_args!(
            r#""os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            diff_id()
        ),
    );
    assert_eq!(config, expected);
}

#[test]
fn older_images_are_written_anew() {
    let v1_json = br#"{"id":"i","docker_version":"1.8.2","unknown":1,"architecture":"amd64","author":"<a>","comment":"",
        "created":"2015-01-01T00:00:00.10Z","config":null,"Size":7,
        "container_config":{"Cmd":"true","Env":["A=b"],"ExposedPorts":{"80/tcp":{"x":1}},"Volumes":{},"Labels":{"b":"","a":null},
        "Tty":true,"Hostname":"h","OnBuild":[],"VolumeDriver":"","MacAddress":"","StopSignal":"TERM"}}"#;
    let history = [History::from_v1(v1_json, false).unwrap()];
    let config = image_config(v1_json, &[], &history).unwrap();
    let expected = concat!(
        r#"{"architecture":"amd64","author":"\u003ca\u003e","container_config":{"Hostname":"h","Domainname":"","User":"","#,
        r#""AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":{"80/tcp":{}},"Tty":true,"#,
        r#""OpenStdin":false,"StdinOnce":false,"Env":["A=b"],"Cmd":["true"],"Image":"","Volumes":{},"WorkingDir":"","#,
        r#""Entrypoint":null,"OnBuild":[],"Labels":{"a":"","b":""},"StopSignal":"TERM"},"#,
        r#""created":"2015-01-01T00:00:00.1Z","docker_version":"1.8.2","#,
        r#""history":[{"created":"2015-01-01T00:00:00.1Z","author":"\u003ca\u003e","created_by":"true"}],"#,
        r#""rootfs":{"type":"layers"}}"#,
    );
    assert_eq!(config, expected);
}

#[test]
fn an_empty_image_has_go_s_zero_values() {
    let config = image_config(b"{}", &[], &[History::from_v1(b"{}", false).unwrap()]).unwrap();
    assert!(config.contains(
        r#""created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"}]"#
    ));
    assert!(config.contains(r#""Env":null,"Cmd":null,"#) && !config.contains("\"config\""));
}

#[test]
fn ids() {
    let chain_id = Digest::sha256(b"chain");
    let parent = Digest::sha256(b"parent");
    let id = create_id(br#"{"id":"i","os":"linux","x":1,"Size":4,"created":"2015-01-01T00:00:00Z","parent":"old"}"#, &chain_id, Some(&parent));
    let container = concat!(
        r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"#,
        r#""OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","#,
        r#""Entrypoint":null,"OnBuild":null,"Labels":null}"#,
    );
    let written = format!(
        r#"{{"Size":4,"container_config":{container},"created":"2015-01-01T00:00:00Z","layer_id":"{chain_id}","os":"linux","parent":"{parent}"}}"#
    );
    assert_eq!(id.unwrap(), Digest::sha256(written.as_bytes()));
}

#[test]
fn refusals() {
    let refused = |json: &str| {
        image_config(json.as_bytes(), &[], &[])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused("null"), "v1 image is not readable");
    assert_eq!(refused(r#"{"os":1}"#), "v1 image is not readable");
    assert_eq!(refused(r#"{"created":"now"}"#), "\"now\" is not a time");
}

proptest! {
    #[test]
    fn a_configuration_comes_back_from_its_v1_image(
        os in "\\PC{0,8}", extra in "\\PC{0,8}", id in "[a-f0-9]{64}", parent in "([a-f0-9]{64})?", throwaway in any::<bool>(),
    ) {
        let [os, extra] = [os, extra].map(|text| go_json::string(&text));
        let v1_json = format!(r#"{{"docker_version":"1.12.0","os":{os},"x-extra":{extra}}}"#);
        let config = image_config(v1_json.as_bytes(), &[diff_id()], &[]).unwrap();
        let back = from_config(config.as_bytes(), &id, &parent, throwaway).unwrap();
        prop_assert_eq!(back.contains("\"throwaway\":true"), throwaway);
        let again = image_config(back.as_bytes(), &[diff_id()], &[]).unwrap();
        prop_assert_eq!(again, config);
    }
}

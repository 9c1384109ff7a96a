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

#[test]
fn how_to_run_a_container() {
    let json = br#"{"config":{"User":"1000:1000","ExposedPorts":{"80/tcp":{},"443/tcp":null},
        "Env":["PATH=/bin",5,"A="],"Entrypoint":["/init"],"Cmd":"sh","Volumes":{"/data":{}},"WorkingDir":"/srv",
        "Labels":{"b":"2","a":"1","c":3},"StopSignal":"SIGQUIT","OnBuild":null,"Healthcheck":{
        "Test":["CMD-SHELL","true"],"Interval":1500000000,"Timeout":0,"StartPeriod":-1,"Retries":3}}}"#;
    let config = ImageConfig::decode(json).unwrap();
    let run = config.run();
    let texts = |list: &[Box<str>]| list.join(" ");
    assert_eq!(
        (&*run.user, &*run.working_dir, &*run.stop_signal),
        ("1000:1000", "/srv", "SIGQUIT")
    );
    assert_eq!(texts(&run.exposed_ports), "443/tcp 80/tcp");
    assert_eq!(texts(&run.env), "PATH=/bin A=");
    assert_eq!(
        (texts(&run.entrypoint), texts(&run.cmd)),
        ("/init".into(), "sh".into())
    );
    assert_eq!(texts(&run.volumes), "/data");
    assert_eq!(run.labels.len(), 2);
    assert_eq!((config.label("a"), config.label("A")), (Some("1"), None));
    let healthcheck = run.healthcheck.as_ref().unwrap();
    assert_eq!(healthcheck.interval.unwrap().as_millis(), 1500);
    assert_eq!(
        (healthcheck.timeout, healthcheck.start_period),
        (None, None)
    );
    assert_eq!(healthcheck.retries, Some(3));
}

/// An empty `config`, `null` ones and lists that are `null`: Go writes all of them.
#[test]
fn nothing_said_about_running() {
    let nulls = r#"{"config":{"ExposedPorts":null,"Env":null,"Cmd":null,"Volumes":null,"Labels":null,
        "Entrypoint":null,"Healthcheck":null,"User":null}}"#;
    for json in ["{}", r#"{"config":null}"#, r#"{"config":{}}"#, nulls] {
        let config = ImageConfig::decode(json.as_bytes()).unwrap();
        assert_eq!(*config.run(), RunConfig::default(), "{json}");
    }
    for json in [
        r#"{"config":[]}"#,
        r#"{"config":{"Cmd":{}}}"#,
        r#"{"config":{"Labels":[]}}"#,
    ] {
        assert!(ImageConfig::decode(json.as_bytes()).is_err(), "{json}");
    }
}

use std::time::Duration;

use longshore_store::Amount;

use super::*;

const FOLDER: &str = "/var/lib/longshore";

fn parse_with(text: &str, overrides: &Overrides) -> Result<Config, Error> {
    Config::parse(
        Path::new("a.toml"),
        text,
        overrides,
        Some(Path::new(FOLDER)),
    )
}

fn parse(text: &str) -> Config {
    parse_with(text, &Overrides::default()).unwrap()
}

fn upstream(config: &Config, name: &str) -> Upstream {
    let mut found = config
        .upstreams
        .iter()
        .filter(|upstream| upstream.name == name);
    let upstream = found.next().unwrap().clone();
    assert_eq!(found.next(), None, "{name} twice");
    upstream
}

fn endpoints(config: &Config, name: &str) -> Vec<String> {
    let upstream = upstream(config, name);
    upstream.endpoints.iter().map(Endpoint::to_string).collect()
}

#[test]
fn empty_file_is_all_defaults() {
    let config = parse("");
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.admin_listen, None);
    assert_eq!(config.store.url, StoreUrl::File(FOLDER.into()));
    assert_eq!(config.store.local, Path::new(FOLDER));
    assert_eq!(config.store.spool, Path::new("/var/lib/longshore/spool"));
    assert_eq!(config.store.fills_max, 64);
    assert_eq!(config.store.capacity, None);
    assert_eq!(config.store.min_free, MIN_FREE_DEFAULT);
    assert_eq!(config.store.scrub, SCRUB_DEFAULT);
    assert!(config.store.pins.is_empty());
    assert_eq!(config.upstreams.len(), 12);
    assert_eq!(config.upstreams[0].policy, Policy::default());
    assert_eq!(
        endpoints(&config, "docker.io"),
        ["https://registry-1.docker.io"]
    );
    assert_eq!(endpoints(&config, "*.pkg.dev"), [""; 0]);
    let wildcard = upstream(&config, "*.pkg.dev");
    assert_eq!(
        wildcard.endpoints_for("us-docker.pkg.dev"),
        [Endpoint::parse("https://us-docker.pkg.dev").unwrap()]
    );
}

#[test]
fn example_file_says_the_defaults() {
    let example = include_str!("../../../../deploy/longshore.toml");
    assert_eq!(parse(example), parse(""));
}

/// Keys without a default stand in the example behind a "#".
#[test]
fn example_file_is_valid_with_its_comments_taken_away() {
    let example = include_str!("../../../../deploy/longshore.toml");
    let is_key = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ")
            && key
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let mut uncommented = 0;
    let lines: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_key(rest) || rest.starts_with('[') => {
                uncommented += 1;
                rest
            }
            _ => line,
        })
        .collect();
    assert_eq!(uncommented, 16);
    let config = parse(&lines.join("\n"));
    assert_eq!(config.admin_listen.unwrap().port(), 9600);
    let tls = config.tls.as_ref().unwrap();
    assert_eq!(tls.cert, Path::new("/etc/longshore/tls.crt"));
    let clients = config.clients.as_ref().unwrap();
    assert_eq!(clients.anonymous, ["docker.io/library/*"]);
    assert_eq!(clients.rules[0].users, ["ci-*"]);
    let capacity = Amount::Bytes(100 << 30);
    assert_eq!(config.store.capacity, Some(capacity));
    let hub = upstream(&config, "docker.io");
    assert_eq!(hub.ca.as_deref(), Some(Path::new("/etc/ssl/corp.pem")));
    let certificate = hub.client_certificate.as_ref().unwrap();
    assert_eq!(certificate.key, Path::new("/etc/longshore/client-key.pem"));
    let certs_dir = Path::new("/etc/docker/certs.d");
    assert_eq!(hub.certs_dir.as_deref(), Some(certs_dir));
    assert_eq!(
        hub.credentials,
        Some(basic("name", Secret::File("/run/secrets/hub".into())))
    );
    // The other ways to log in.
    let others = example
        .lines()
        .filter_map(|line| line.strip_prefix("#     credentials = "));
    let all: Vec<Credentials> = others
        .map(|inner| {
            let config = parse(&format!("[upstreams.\"a.b\"]\ncredentials = {inner}"));
            upstream(&config, "a.b").credentials.unwrap()
        })
        .collect();
    let expected = [
        Credentials::Token(Secret::File("/run/secrets/token".into())),
        Credentials::IdentityToken(Secret::File("/run/secrets/acr".into())),
        Credentials::Helper("ecr-login".to_owned()),
        Credentials::DockerConfig(Some("/etc/longshore/docker.json".into())),
        Credentials::AuthFile(None),
    ];
    assert_eq!(all, expected);
}

fn basic(username: &str, password: Secret) -> Credentials {
    Credentials::Basic {
        username: username.to_owned(),
        password,
        tokens_by_post: false,
    }
}

const INHERITING: &str = r#"
        [defaults]
        revalidate = "1h 30m"
        max_stale = "2days"
        on_deleted = "serve"
        rate_limit_status = 429
        [upstreams."Registry.Corp.example:5000"]
        endpoints = ["http://mirror.corp.example:80/prefix/", "https://registry.corp.example"]
        revalidate = "forever"
        api = "v1"
        on_denied = "serve"
        answer_within = "3s"
        convert_within = "20s"
        stale_needs_whole = false
        hosts = ["Corp.Mirror.example"]
        realms = ["auth.corp.example"]
        private_addresses = ["10.0.0.0/8", "storage.corp.example"]
        credentials = { username = "u", password_env = "CORP_PASSWORD" }
        [upstreams."quay.io"]
        negative_ttl = "0s"
        [upstreams."*.azurecr.io"]
        credentials = { username = "u", password = "p" }
        [upstreams."index.docker.io"]
        endpoints = ["https://hub.corp.example"]
        [upstreams."plain.example"]
        "#;

#[test]
fn endpoints_may_be_hosts() {
    let config = parse(
        r#"
        insecure = ["10.0.0.0/8", "Registry.corp.example:5000"]
        [upstreams."registry.corp.example:5000"]
        endpoints = ["Mirror.corp.example", "registry.corp.example:5000"]
        "#,
    );
    assert_eq!(
        endpoints(&config, "registry.corp.example:5000"),
        ["mirror.corp.example", "registry.corp.example:5000"]
    );
    assert_eq!(
        config.insecure.iter().collect::<Vec<_>>(),
        ["10.0.0.0/8", "Registry.corp.example:5000"]
    );
}

#[test]
fn upstreams_inherit_and_override() {
    let config = parse(INHERITING);
    let corp = upstream(&config, "registry.corp.example:5000");
    assert_eq!(
        endpoints(&config, "registry.corp.example:5000"),
        [
            "http://mirror.corp.example:80/prefix",
            "https://registry.corp.example"
        ]
    );
    assert_eq!(
        corp.policy,
        Policy {
            revalidate: Age::Forever,
            max_stale: Age::Within(Duration::from_secs(2 * 86400)),
            negative_ttl: Duration::from_secs(10),
            answer_within: Duration::from_secs(3),
            convert_within: Duration::from_secs(20),
            on_deleted: OnDeleted::Serve,
            on_denied: OnDenied::Serve,
            rate_limit_status: RateLimitStatus::TooManyRequests,
            stale_needs_whole: false,
        }
    );
    assert_eq!(corp.api, Api::V1);
    assert_eq!(upstream(&config, "quay.io").api, Api::Auto);
    assert_eq!(corp.hosts, ["corp.mirror.example"]);
    assert_eq!(corp.realms, ["auth.corp.example"]);
    let private = ["10.0.0.0/8".to_owned(), "storage.corp.example".to_owned()];
    assert_eq!(
        corp.private_addresses,
        PrivateAddresses::try_from(private.to_vec()).unwrap()
    );
    assert_eq!(
        corp.credentials,
        Some(basic("u", Secret::Env("CORP_PASSWORD".to_owned())))
    );
}

#[test]
fn upstreams_are_completed() {
    let config = parse(INHERITING);
    let quay = upstream(&config, "quay.io");
    assert_eq!(quay.policy.negative_ttl, Duration::ZERO);
    assert_eq!(
        quay.policy.revalidate,
        Age::Within(Duration::from_secs(5400))
    );
    assert_eq!(endpoints(&config, "quay.io"), ["https://quay.io"]);
    assert_eq!(
        endpoints(&config, "docker.io"),
        ["https://hub.corp.example"]
    );
    assert_eq!(
        endpoints(&config, "plain.example"),
        ["https://plain.example"]
    );
    assert_eq!(endpoints(&config, "*.azurecr.io"), [""; 0]);
    assert_eq!(
        upstream(&config, "ghcr.io").policy,
        Policy {
            negative_ttl: Duration::from_secs(10),
            ..quay.policy
        }
    );
}

#[test]
fn names_lead_to_upstreams() {
    let config = parse(INHERITING);
    let names = config.names();
    let mut buffer = crate::names::Buffer::default();
    let (id, _) = names
        .find("REGISTRY.corp.example:5000", &mut buffer)
        .unwrap();
    assert_eq!(
        config.upstreams[id.index()].name,
        "registry.corp.example:5000"
    );
    let id = names
        .by_host("corp.mirror.example:5000", &mut buffer)
        .unwrap();
    assert_eq!(
        config.upstreams[id.index()].name,
        "registry.corp.example:5000"
    );
}

#[test]
fn where_the_store_is() {
    for (text, local, spool) in [
        (
            "[store]\nurl = \"file:///data%20x\"",
            "/data x",
            "/data x/spool",
        ),
        (
            "[store]\nurl = \"file:///data\"\nspool = \"/fast/spool\"",
            "/data",
            "/fast/spool",
        ),
        (
            "[store]\nurl = \"s3://bucket/prefix/\"",
            FOLDER,
            "/var/lib/longshore/spool",
        ),
        (
            "[store]\nurl = \"gs://b\"\nspool = \"/cache/spool\"",
            "/cache",
            "/cache/spool",
        ),
        (
            "[store]\nurl = \"memory://\"",
            FOLDER,
            "/var/lib/longshore/spool",
        ),
    ] {
        let store = parse(text).store;
        assert_eq!(store.local, Path::new(local), "{text}");
        assert_eq!(store.spool, Path::new(spool), "{text}");
    }
    let none = |text: &str| Config::parse(Path::new("a"), text, &Overrides::default(), None);
    assert!(matches!(none(""), Err(Error::NoFolder)));
    assert!(none("[store]\nurl = \"file:///data\"").is_ok());
    assert!(none("[store]\nurl = \"az://c\"\nspool = \"/cache/spool\"").is_ok());
    assert!(matches!(
        none("[store]\nurl = \"az://c\"\nspool = \"/\""),
        Err(Error::SpoolIsRoot)
    ));
}

#[test]
fn the_command_line_wins() {
    let name = |name: &str| name.parse::<UpstreamName>().unwrap();
    let endpoint = |url: &str| url.parse::<Endpoint>().unwrap();
    let overrides = Overrides {
        listen: Some("0.0.0.0:1".parse().unwrap()),
        store: Some("file:///else".parse().unwrap()),
        upstreams: vec![
            (name("up.test"), endpoint("http://127.0.0.1:5100")),
            (name("docker.io"), endpoint("http://a")),
            (name("Docker.io"), endpoint("http://b")),
        ],
    };
    let text = "listen = \"127.0.0.1:2\"\n[store]\nurl = \"memory://\"\n[upstreams.\"docker.io\"]\n\
                endpoints = [\"https://c\"]\nca = \"/ca\"\n[defaults]\nrevalidate = \"5s\"";
    let config = parse_with(text, &overrides).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.store.local, Path::new("/else"));
    assert_eq!(endpoints(&config, "docker.io"), ["http://a", "http://b"]);
    assert!(upstream(&config, "docker.io").ca.is_some());
    assert_eq!(endpoints(&config, "up.test"), ["http://127.0.0.1:5100"]);
    assert_eq!(
        upstream(&config, "up.test").policy.revalidate,
        Age::Within(Duration::from_secs(5))
    );
    let overrides = Overrides {
        upstreams: vec![(name("*.pkg.dev"), endpoint("http://a"))],
        ..Overrides::default()
    };
    let error = parse_with("", &overrides).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`*.pkg.dev` stands for many registries and has no endpoints"
    );
}

#[test]
fn a_client_certificate_has_its_key() {
    for key in ["client_cert", "client_key"] {
        let text = format!("[upstreams.\"a.b\"]\n{key} = \"/c.pem\"");
        let error = parse_with(&text, &Overrides::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "upstream `a.b` has one of `client_cert` and `client_key` without the other"
        );
    }
}

const ERRORS: &[(&str, &str)] = &[
    (
        "lisen = \"x\"",
        "a.toml:1:1: unknown key `lisen`, did you mean `listen`?",
    ),
    (
        "\n[store]\n  uri = \"x\"",
        "a.toml:3:3: unknown key `uri`, did you mean `url`?",
    ),
    (
        "[stores]",
        "a.toml:1:2: unknown key `stores`, did you mean `store`?",
    ),
    (
        "[store]\ncompletely_else = 1",
        "a.toml:2:1: unknown key `completely_else`, there are `url`, `spool`, `capacity`, `min_free`, `pins`, `scrub`, `fills_max`",
    ),
    (
        "[upstreams.\"a.b\"]\nendpoint = \"x\"",
        "a.toml:2:1: unknown key `endpoint`, did you mean `endpoints`?",
    ),
    (
        "[upstreams.\"a.b\"]\ncredentials = { username = \"u\", pasword = \"hunter2\" }",
        "a.toml:2:33: unknown key `pasword`, did you mean `password`?",
    ),
    (
        "listen = \":5000\"",
        "a.toml:1:10: `listen`: an address is an IP and a port, like \"127.0.0.1:5000\" or \"[::]:5000\"",
    ),
    (
        "connections_max = 0",
        "a.toml:1:19: `connections_max`: invalid value: integer `0`, expected a nonzero usize",
    ),
    (
        "[defaults]\nrevalidate = \"1 fortnight\"",
        "a.toml:2:14: `revalidate`: a duration like \"90s\" or \"1h 30m\", or \"forever\"",
    ),
    (
        "[defaults]\nnegative_ttl = \"forever\"",
        "a.toml:2:16: `negative_ttl`: a duration like \"90s\" or \"1h 30m\"",
    ),
    (
        "[defaults]\nmax_stale = 90",
        "a.toml:2:13: `max_stale`: invalid type: integer `90`, expected a duration like \"90s\" or \"1h 30m\", or \"forever\"",
    ),
    (
        "[upstreams.\"x.example\"]\napi = \"v3\"",
        "a.toml:2:7: `api`: unknown variant `v3`, expected one of `auto`, `v2`, `v1`",
    ),
    (
        "insecure = [\"ftp://x\"]",
        "a.toml:1:12: `insecure`: insecure registries are networks like \"10.0.0.0/8\" and hosts like \"registry.example:5000\"",
    ),
    (
        "[defaults]\nanswer_within = \"29s\"",
        "a.toml:2:17: `answer_within`: more than nothing and at most 28s: containerd gives up after 30s",
    ),
    (
        "[defaults]\non_deleted = \"keep\"",
        "a.toml:2:14: `on_deleted`: unknown variant `keep`, expected `forget` or `serve`",
    ),
    (
        "[defaults]\nrate_limit_status = 500",
        "a.toml:2:21: `rate_limit_status`: the status is 503 or 429",
    ),
    (
        "[store]\nurl = \"ftp://x\"",
        "a.toml:2:7: `url`: a store is file:///folder, s3://bucket, gs://bucket, az://container or memory://",
    ),
    (
        "[store]\nspool = \"x\"",
        "a.toml:2:9: `spool`: a path is absolute",
    ),
    (
        "[upstreams.hub]\nendpoints = [\"https://x\"]",
        "a.toml:1:12: an upstream is named as in the names of its images: a host with a dot or a port, like \"registry.example\"",
    ),
    (
        "[upstreams.\"a.b\"]\nendpoints = [\"https://x\", \"x\"]",
        "a.toml:2:27: `endpoints`: an endpoint is a URL like \"https://registry.example\", or a host like \"registry.example:5000\"",
    ),
    (
        "[upstreams.\"a.b\"]\ncredentials = { username = \"u\" }",
        "a.toml:2:15: `credentials`: credentials have one of `password`, `password_file` and `password_env`",
    ),
    (
        "[upstreams.\"a.b\"]\ncredentials = { username = \"u\", password = \"hunter2\", password_env = \"X\" }",
        "a.toml:2:15: `credentials`: credentials have one of `password`, `password_file` and `password_env`",
    ),
    (
        "[upstreams.\"a.b\"]\nhosts = [\"http://x\"]",
        "a.toml:2:10: `hosts`: a host is a name with an optional port, like \"hub.mirror.example\"",
    ),
    (
        "listen = ",
        "a.toml:1:10: `listen`: string values must be quoted, expected literal string",
    ),
];

#[test]
fn errors_say_where_and_what() {
    let mut wrong = Vec::new();
    for (text, expected) in ERRORS {
        let error = parse_with(text, &Overrides::default()).unwrap_err();
        if error.to_string() != *expected {
            wrong.push(error.to_string());
        }
    }
    assert_eq!(wrong, [""; 0]);
    let error = |text: &str| {
        parse_with(text, &Overrides::default())
            .unwrap_err()
            .to_string()
    };
    let twice = error("[upstreams.\"docker.io\"]\n[upstreams.\"Index.docker.io\"]");
    assert!(
        twice.contains("upstream `docker.io` is given twice"),
        "{twice}"
    );
    let hosts = error("[upstreams.\"a.b\"]\nhosts = [\"h\"]\n[upstreams.\"c.d\"]\nhosts = [\"H\"]");
    assert_eq!(
        hosts,
        "host `h` is given to upstream `a.b` and to upstream `c.d`"
    );
    let many = error("[upstreams.\"*.b.c\"]\nhosts = [\"h\"]");
    assert_eq!(
        many,
        "`*.b.c` stands for many registries and has no `hosts`"
    );
    let many = error("[upstreams.\"*.b.c\"]\nendpoints = [\"http://h\"]");
    assert!(
        many.ends_with("`*.b.c` stands for many registries and has no endpoints"),
        "{many}"
    );
    let missing = Config::load(
        Some(Path::new("/nonexistent/x.toml")),
        &Overrides::default(),
    );
    assert_eq!(
        missing.unwrap_err().to_string(),
        "cannot read /nonexistent/x.toml"
    );
}

#[test]
fn secrets_are_never_printed() {
    let config = parse(
        "[upstreams.\"a.b\"]\ncredentials = { username = \"mallory\", password = \"hunter2\" }",
    );
    assert_eq!(
        upstream(&config, "a.b").credentials,
        Some(basic("mallory", Secret::Value("hunter2".to_owned())))
    );
    let text = format!("{config:?}");
    assert!(
        text.contains("a.b") && !text.contains("hunter2") && !text.contains("mallory"),
        "{text}"
    );
    for text in [
        "[upstreams.\"a.b\"]\ncredentials = \"hunter2\"",
        "[upstreams.\"a.b\"]\ncredentials = { username = \"u\", password = 77777 }",
        "[upstreams.\"a.b\"]\ncredentials = { username = \"u\", password = [\"hunter2\", \"77777\"] }",
        "[upstreams.\"a.b\".credentials]\nusername = \"u\"\npassword = 77777",
        "[upstreams.\"a.b\"]\ncredentials = { username = \"u\", password = \"hunter2 }",
        "[upstreams.\"a.b\"]\ncredentials = { token = 77777 }",
        "[upstreams.\"a.b\"]\ncredentials = { identity_token = 77777 }",
        "[upstreams.\"a.b\"]\ncredentials = { token = \"hunter2\", helper = \"ecr-login\" }",
        "[upstreams.\"a.b\"]\nendpoints = [\"https://u:hunter2@x\"]",
        "[store]\nurl = \"s3://u:hunter2@x\"",
    ] {
        let error = parse_with(text, &Overrides::default()).unwrap_err();
        for text in [format!("{error}"), format!("{error:?}")] {
            assert!(
                !text.contains("hunter2") && !text.contains("77777"),
                "{text}"
            );
        }
    }
}

#[test]
fn endpoints_and_stores_that_are_refused() {
    for url in [
        "",
        "x",
        "x/y:5000",
        "u@x:5000",
        "ftp://x",
        "https://",
        "https:///x",
        "https://x?y",
        "https://x#y",
        "https://u@x",
        "https://x/v2",
        "https://x/v2/",
        "https://x:",
        "https://x y",
    ] {
        assert!(Endpoint::parse(url).is_err(), "{url}");
    }
    for (url, kept) in [
        ("X:5000", "x:5000"),
        ("https://x/", "https://x"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://[::1]:5000/a/b//", "http://[::1]:5000/a/b"),
    ] {
        assert_eq!(Endpoint::parse(url).unwrap().as_str(), kept);
    }
    for url in [
        "",
        "/data",
        "file:/data",
        "file://data",
        "s3://",
        "s3:///x",
        "memory://x",
        "s3://b?x",
        "http://x",
    ] {
        assert!(StoreUrl::parse(url).is_err(), "{url}");
    }
    for name in [
        "",
        "x",
        "x.y/z",
        "https://x.y",
        "*",
        "*.",
        "*.y",
        "x.*",
        "*.*.y",
        "x.y:z",
        "u@x.y",
    ] {
        assert!(UpstreamName::parse(name).is_err(), "{name}");
    }
    for name in [
        "x.y",
        "localhost",
        "localhost:5000",
        "x:5000",
        "*.x.y",
        "[::1]:5000",
    ] {
        assert!(UpstreamName::parse(name).is_ok(), "{name}");
    }
}

#[test]
fn one_way_to_log_in() {
    let credentials = |inner: &str| {
        let text = format!("[upstreams.\"a.b\"]\ncredentials = {{ {inner} }}");
        let config = parse_with(&text, &Overrides::default());
        config.map(|config| upstream(&config, "a.b").credentials)
    };
    let env = || Secret::Env("X".to_owned());
    for (inner, expected) in [
        ("username = \"u\", password_env = \"X\"", basic("u", env())),
        (
            "username = \"u\", password = \"p\", tokens_by_post = true",
            Credentials::Basic {
                username: "u".to_owned(),
                password: Secret::Value("p".to_owned()),
                tokens_by_post: true,
            },
        ),
        (
            "token = \"t\"",
            Credentials::Token(Secret::Value("t".to_owned())),
        ),
        (
            "token_file = \"/t\"",
            Credentials::Token(Secret::File("/t".into())),
        ),
        ("token_env = \"X\"", Credentials::Token(env())),
        (
            "identity_token = \"t\"",
            Credentials::IdentityToken(Secret::Value("t".to_owned())),
        ),
        (
            "identity_token_file = \"/t\"",
            Credentials::IdentityToken(Secret::File("/t".into())),
        ),
        (
            "identity_token_env = \"X\"",
            Credentials::IdentityToken(env()),
        ),
        ("docker_config = true", Credentials::DockerConfig(None)),
        (
            "docker_config = \"/etc/docker/config.json\"",
            Credentials::DockerConfig(Some("/etc/docker/config.json".into())),
        ),
        ("auth_file = true", Credentials::AuthFile(None)),
        (
            "auth_file = \"/run/auth.json\"",
            Credentials::AuthFile(Some("/run/auth.json".into())),
        ),
        (
            "helper = \"ecr-login\"",
            Credentials::Helper("ecr-login".to_owned()),
        ),
    ] {
        assert_eq!(credentials(inner).unwrap(), Some(expected), "{inner}");
    }
    let mut wrong = Vec::new();
    for (inner, expected) in REFUSED {
        let error = credentials(inner).unwrap_err().to_string();
        if !error.ends_with(expected) {
            wrong.push(error);
        }
    }
    assert_eq!(wrong, [""; 0]);
}

const REFUSED: &[(&str, &str)] = &[
    (
        "",
        "a.toml:2:15: `credentials`: credentials are a `username` and a password, or one of `token`, `identity_token`, `docker_config`, `auth_file` and `helper`",
    ),
    (
        "username = \"u\", password = \"p\", token = \"t\"",
        "a.toml:2:15: `credentials`: `username` and `token` are two ways to log in, give one",
    ),
    (
        "docker_config = true, helper = \"x\"",
        "`credentials`: `docker_config` and `helper` are two ways to log in, give one",
    ),
    (
        "token_env = \"X\", identity_token_file = \"/t\"",
        "`credentials`: `token` and `identity_token` are two ways to log in, give one",
    ),
    (
        "token = \"t\", token_file = \"/t\"",
        "`credentials`: credentials have one of `token`, `token_file` and `token_env`",
    ),
    (
        "identity_token = \"t\", identity_token_env = \"X\"",
        "`credentials`: credentials have one of `identity_token`, `identity_token_file` and `identity_token_env`",
    ),
    (
        "password = \"p\"",
        "`credentials`: `password` goes with a `username`",
    ),
    (
        "token = \"t\", tokens_by_post = true",
        "`credentials`: `tokens_by_post` goes with a `username`",
    ),
    (
        "docker_config = false",
        "a.toml:2:33: `docker_config`: invalid value: boolean `false`, expected true, or the absolute path of a file",
    ),
    (
        "auth_file = \"auth.json\"",
        "a.toml:2:29: `auth_file`: a path is absolute",
    ),
    (
        "helper = \"docker-credential-ecr-login\"",
        "`helper`: a helper is what follows docker-credential- in the name of a program, like \"ecr-login\"",
    ),
    (
        "helper = \"../x\"",
        "`helper`: a helper is what follows docker-credential- in the name of a program, like \"ecr-login\"",
    ),
    (
        "helpr = \"x\"",
        "a.toml:2:17: unknown key `helpr`, did you mean `helper`?",
    ),
];

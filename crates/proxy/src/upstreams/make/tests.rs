use std::path::Path;

use super::*;
use crate::config::Overrides;

/// The puller's credentials for what stands in the configuration.
fn made(inner: &str) -> Result<Credentials, Error> {
    let text = format!("[upstreams.\"a.b\"]\ncredentials = {{ {inner} }}");
    let folder = Some(Path::new("/"));
    let config = config::Config::parse(Path::new("a"), &text, &Overrides::default(), folder);
    let upstreams = config.unwrap().upstreams;
    let upstream = upstreams.iter().find(|upstream| upstream.name == "a.b");
    credentials(upstream.unwrap().credentials.as_ref().unwrap())
}

#[test]
fn every_way_to_log_in() {
    for (inner, expected) in [
        (
            "username = \"u\", password = \"hunter2\"",
            "Basic { username: \"u\", password: Secret(..) }",
        ),
        (
            "username = \"u\", password_file = \"/p\"",
            "Basic { username: \"u\", password: Secret(\"/p\") }",
        ),
        ("token = \"hunter2\"", "Bearer(Secret(..))"),
        ("token_file = \"/t\"", "Bearer(Secret(\"/t\"))"),
        ("token_env = \"PATH\"", "Bearer(Secret(..))"),
        ("identity_token_file = \"/t\"", "Identity(Secret(\"/t\"))"),
        (
            "docker_config = \"/c.json\"",
            "Keyring(Keyring([\"/c.json\"]))",
        ),
        ("auth_file = \"/a.json\"", "Keyring(Keyring([\"/a.json\"]))"),
        ("helper = \"ecr-login\"", "Keyring(Keyring(\"ecr-login\"))"),
    ] {
        assert_eq!(format!("{:?}", made(inner).unwrap()), expected);
    }
    let absent = made("token_env = \"LONGSHORE_NO_SUCH_VARIABLE\"").unwrap_err();
    assert!(matches!(absent, Error::Variable { name, .. } if name == "LONGSHORE_NO_SUCH_VARIABLE"));
}

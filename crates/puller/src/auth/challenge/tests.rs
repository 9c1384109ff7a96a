use http::HeaderValue;
use rand::RngExt;

use super::*;

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_bytes(line.as_bytes()).unwrap(),
        );
    }
    headers
}

fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
    Some(Challenge::Bearer {
        realm: Url::parse(realm).unwrap(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    })
}

#[test]
fn what_registries_write() {
    let hub = bearer(
        "https://auth.docker.io/token",
        Some("registry.docker.io"),
        Some("repository:library/nginx:pull"),
    );
    let plain = || bearer("https://a.example/t", Some("s"), None);
    let table: &[(&[&str], Option<Challenge>)] = &[
        (
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
            ],
            hub,
        ),
        (
            &[r#"bearer realm="https://a.example/t", service="s""#],
            plain(),
        ),
        (
            &[r#"BEARER  Realm = "https://a.example/t" , SERVICE = "s""#],
            plain(),
        ),
        (&[r#"Bearer realm=https://a.example/t,service=s"#], plain()),
        (
            &[r#"Bearer realm="https://a.example/t" service="s""#],
            plain(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t";service="s""#],
            plain(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t",service="s",scope="""#],
            plain(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t",error="invalid_token",service="s"#],
            plain(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t",service="a \"b\", c""#],
            bearer("https://a.example/t", Some(r#"a "b", c"#), None),
        ),
        (
            &[r#"Bearer realm="https://a.example/t?x=1,2",service=s"#],
            bearer("https://a.example/t?x=1,2", Some("s"), None),
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(Challenge::choose(&headers(lines)), *expected, "{lines:?}");
    }
}

#[test]
fn which_of_several() {
    let plain = || bearer("https://a.example/t", Some("s"), None);
    let table: &[(&[&str], Option<Challenge>)] = &[
        (&[r#"Basic realm="r""#], Some(Challenge::Basic)),
        (&["Basic"], Some(Challenge::Basic)),
        (
            &[r#"Basic realm="r", Bearer realm="https://a.example/t",service="s""#],
            plain(),
        ),
        (
            &[
                r#"Basic realm="r""#,
                r#"Bearer realm="https://a.example/t",service="s""#,
            ],
            plain(),
        ),
        (
            &["Negotiate abc==", r#"Basic realm="r""#],
            Some(Challenge::Basic),
        ),
        (
            &[r#"Negotiate, Bearer realm="https://a.example/t",service="s""#],
            plain(),
        ),
        // A bearer challenge that cannot be followed does not hide a basic one.
        (
            &[r#"Bearer service="s", Basic realm="r""#],
            Some(Challenge::Basic),
        ),
        (
            &[r#"Bearer realm="file:///etc/passwd", Basic"#],
            Some(Challenge::Basic),
        ),
        (&[r#"Bearer realm="/token""#], None),
        (&["Digest realm=r"], None),
        (&["", ",,,", "=", "\"", "=\"x"], None),
        (&[], None),
    ];
    for (lines, expected) in table {
        assert_eq!(Challenge::choose(&headers(lines)), *expected, "{lines:?}");
    }
}

#[test]
fn never_panics() {
    let pieces = [
        "Bearer",
        "Basic",
        "realm",
        "=",
        "\"",
        "\\",
        ",",
        ";",
        " ",
        "\t",
        "https://a/",
        "\u{e9}",
        "scope",
        "==",
        "service",
    ];
    let mut rng = rand::rng();
    for _ in 0..20_000 {
        let mut line = String::new();
        for _ in 0..rng.random_range(0..14) {
            match rng.random_range(0..4) {
                0 => line.push(rng.random_range('\u{0}'..'\u{ff}')),
                _ => line.push_str(pieces[rng.random_range(0..pieces.len())]),
            }
        }
        let _ = parse(&line);
        if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, value);
            let _ = Challenge::choose(&headers);
        }
    }
}

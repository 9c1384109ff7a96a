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
            &[r#"Bearer realm="https://a.example/t",error="invalid_token",service="s""#],
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
        (&["Negotiate YII=, Basic"], Some(Challenge::Basic)),
        (
            &[r#"Digest nonce="a, Bearer realm=x", Basic realm="r""#],
            Some(Challenge::Basic),
        ),
        (&[r#"Bearer realm="https://u:p@a.example/t""#], None),
        (&[r#"Bearer realm="https://u@a.example/t""#], None),
    ];
    for (lines, expected) in table {
        assert_eq!(Challenge::choose(&headers(lines)), *expected, "{lines:?}");
    }
}

/// Specification of distribution's client: parsing stops at the first malformed piece and keeps what was read.
#[test]
fn malformed_pieces_end_their_line() {
    let realm_only = || bearer("https://a.example/t", None, None);
    let whole = || bearer("https://a.example/t", Some("s"), None);
    let table: &[(&[&str], Option<Challenge>)] = &[
        (
            &[r#"Bearer realm="https://a.example/t",service="s"#],
            realm_only(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t",service="s\"#],
            realm_only(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t",="x",service="s""#],
            realm_only(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t","x",service="s""#],
            realm_only(),
        ),
        (
            &[r#"Bearer realm="https://a.example/t",scope="a"b,service="s""#],
            realm_only(),
        ),
        (
            &["Bearer realm=\"https://a.example/t\",\u{e9}=x,service=s"],
            realm_only(),
        ),
        (
            &[
                r#"Bearer realm="https://a.example/t"#,
                r#"Bearer realm="https://a.example/t",service=s"#,
            ],
            whole(),
        ),
        (&[r#"realm="https://a.example/t", Basic"#], None),
        (
            &[r#"Bearer scope=,error="",realm="https://a.example/t",service="s""#],
            whole(),
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(Challenge::choose(&headers(lines)), *expected, "{lines:?}");
    }
}

#[test]
fn complaints() {
    let long = format!(
        r#"Bearer error=invalid_token,error_description="{}""#,
        "x".repeat(500)
    );
    for (line, expected) in [
        (
            r#"Bearer realm="https://a.example/t",error="insufficient_scope""#,
            Some("insufficient_scope"),
        ),
        (
            r#"Bearer error="invalid_token",error_description="The access token\	expired""#,
            Some("invalid_token: The access tokenexpired"),
        ),
        (r#"Bearer error="",error_description="x""#, None),
        (r#"Basic realm="r",error="invalid_token""#, None),
        (r#"Bearer realm="https://a.example/t""#, None),
    ] {
        assert_eq!(
            Challenges::read(&headers(&[line])).complaint.as_deref(),
            expected,
            "{line}"
        );
    }
    let complaint = Challenges::read(&headers(&[&long])).complaint.unwrap();
    assert_eq!(complaint.len(), 200);
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

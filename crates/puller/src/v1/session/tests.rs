use longshore_tests::Origin;

use super::*;
use crate::{
    Api, Config, Endpoint, Kind, PrivateAddresses,
    endpoint::Endpoints,
    error::Fault,
    request::Requests,
    v1::ask::{Get, Index},
};

fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn where_a_repository_is() {
    for (index, values, expected) in [
        (
            "https://i.example/v1/",
            &[][..],
            Some("https://i.example/v1/"),
        ),
        (
            "https://i.example/p/v1/",
            &["r.example"][..],
            Some("https://r.example/v1/"),
        ),
        (
            "https://i.example/v1/",
            &["a.example:5000, b.example", "c.example,a.example:5000"][..],
            Some("https://a.example:5000/v1/ https://b.example/v1/ https://c.example/v1/"),
        ),
        (
            "http://i.example/v1/",
            &["a.example:443"][..],
            Some("http://a.example:443/v1/"),
        ),
        (
            "http://i.example/v1/",
            &["[::1]:5000"][..],
            Some("http://[::1]:5000/v1/"),
        ),
        (
            "https://i.example/v1/",
            &["u@evil.example, evil.example/x?y, http://evil.example, good.example"][..],
            Some("https://good.example/v1/"),
        ),
        ("https://i.example/v1/", &[""][..], None),
        ("https://i.example/v1/", &["a b"][..], None),
    ] {
        let found = endpoints(&url(index), &headers(ENDPOINTS, values));
        let shown = found.map(|urls| urls.iter().map(Url::as_str).collect::<Vec<_>>().join(" "));
        assert_eq!(shown.as_deref(), expected, "{index} {values:?}");
    }
    let many: Vec<_> = (0..100).map(|n| format!("r{n}.example")).collect();
    let many = headers(ENDPOINTS, &[&many.join(",")]);
    let found = endpoints(&url("https://i.example/v1/"), &many);
    assert_eq!(found.unwrap().len(), ENDPOINTS_MAX);
}

#[test]
fn tokens() {
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    for (values, expected) in [
        (&[][..], None),
        (&[""][..], None),
        (
            &["signature=1,repository=\"a/b\",access=read"][..],
            Some("Token signature=1,repository=\"a/b\",access=read"),
        ),
        (&["a", "b"][..], Some("Token a,b")),
        (&["Token signature=1"][..], Some("Token Token signature=1")),
        (&[long.as_str()][..], None),
    ] {
        let found = token(&headers(TOKEN, values));
        let shown = found.as_ref().map(|v| v.to_str().unwrap());
        assert_eq!(shown, expected, "{values:?}");
        assert!(found.is_none_or(|v| v.is_sensitive()));
    }
}

#[test]
fn who_gets_what() {
    let index = url("https://index.example/v1/");
    let login = HeaderValue::from_static("Basic x");
    for (always, token, to, wants_token, expected) in WHO {
        let (always, token, wants_token, expected) = (*always, *token, *wants_token, *expected);
        let mut session = Session::new(
            &index,
            Some(BasicLogin {
                header: login.clone(),
                always,
                id: Digest::sha256(b""),
            }),
        );
        session.endpoints = ["https://listed.other/v1/", "https://cdn.index.example/v1/"]
            .map(url)
            .to_vec();
        if token {
            session.learn(&headers(TOKEN, &["t"]));
        }
        let found = session.authorization(&url(&format!("{to}x")), wants_token, &[]);
        let shown = found.as_ref().map(|v| v.to_str().unwrap());
        assert_eq!(shown, expected, "{to} {always} {token} {wants_token}");
    }
}

/// An index may not name a private address, but for what the configuration allows.
#[tokio::test]
async fn whom_an_index_may_name() {
    let named = Origin::start().await;
    let port = named.host().rsplit_once(':').unwrap().1.to_owned();
    for (host, allowed) in [
        ("127.0.0.1", false),
        ("localhost", false),
        ("127.0.0.1", true),
    ] {
        let index = Endpoint::parse("http://index.test").unwrap();
        let mut config = Config::new("r.test", vec![index]);
        config.api = Api::V1;
        if allowed {
            config.private_addresses = PrivateAddresses::parse(["127.0.0.0/8"]).unwrap();
        }
        let endpoints = Endpoints::new(&config, &config.endpoints[0]);
        let index = Index {
            requests: &Requests::new(&config).unwrap(),
            endpoint: endpoints.get(0).unwrap(),
        };
        let session = Session::new(index.endpoint.url(), None);
        let endpoint = url(&format!("http://{host}:{port}/v1/"));
        let get = Get::new(&endpoint, "images/x/layer", Kind::Blob);
        let failure = index.ask(&session, &get).await.unwrap_err();
        let refused = matches!(
            failure.error,
            Error::Misbehaved {
                fault: Fault::PrivateAddress,
                ..
            }
        );
        assert_eq!(refused, !allowed, "{host}: {failure:?}");
        assert_eq!(named.requests().len(), usize::from(allowed), "{host}");
    }
}

/// Whether credentials go everywhere, whether there is a token, where to, whether a token is asked for, what goes.
const WHO: &[(bool, bool, &str, bool, Option<&str>)] = &[
    (
        false,
        false,
        "https://index.example/v1/",
        true,
        Some("Basic x"),
    ),
    (false, false, "https://index.example/v1/", false, None),
    (
        true,
        false,
        "https://index.example/v1/",
        false,
        Some("Basic x"),
    ),
    (
        true,
        true,
        "https://index.example/v1/",
        false,
        Some("Basic x"),
    ),
    (
        false,
        true,
        "https://index.example/v1/",
        false,
        Some("Token t"),
    ),
    (
        false,
        true,
        "https://listed.other/v1/",
        false,
        Some("Token t"),
    ),
    (
        true,
        true,
        "https://listed.other/v1/",
        false,
        Some("Token t"),
    ),
    (true, false, "https://listed.other/v1/", false, None),
    (
        true,
        true,
        "https://cdn.index.example/v1/",
        false,
        Some("Basic x"),
    ),
    (true, true, "https://evil.other/v1/", true, None),
    (true, true, "http://index.example/v1/", true, None),
];

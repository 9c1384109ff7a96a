use longshore_tests::{Fault as Order, On, Origin};

use super::*;
use crate::{Endpoint, classify::Role, lookup::Version};

#[test]
fn where_a_redirect_may_lead() {
    let from = "https://r.example/v2/a/blobs/sha256:0";
    for (from, location, to) in [
        (
            from,
            "https://cdn.example/x?sig=1",
            Some("https://cdn.example/x?sig=1"),
        ),
        (from, "/artifacts/x", Some("https://r.example/artifacts/x")),
        (from, "//cdn.example/x", Some("https://cdn.example/x")),
        (from, "sha256:1", None),
        (
            from,
            "./sha256:1",
            Some("https://r.example/v2/a/blobs/sha256:1"),
        ),
        (
            from,
            "https://cdn.example/x#part",
            Some("https://cdn.example/x"),
        ),
        (from, "http://cdn.example/x", None),
        (from, "http://r.example/x", None),
        (from, "https://user:secret@cdn.example/x", None),
        (from, "ftp://cdn.example/x", None),
        (from, "file:///etc/passwd", None),
        (from, "https://", None),
        (
            "http://r.example/a",
            "http://cdn.example/x",
            Some("http://cdn.example/x"),
        ),
        (
            "http://r.example/a",
            "https://cdn.example/x",
            Some("https://cdn.example/x"),
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(location).unwrap());
        let found = redirect(&Url::parse(from).unwrap(), &headers);
        assert_eq!(found.as_ref().map(Url::as_str), to, "{from} to {location}");
    }
    assert_eq!(
        redirect(&Url::parse(from).unwrap(), &HeaderMap::new()),
        None
    );
}

#[test]
fn origins() {
    for (a, b, same) in [
        ("https://r.example/a", "https://r.example:443/b", true),
        ("https://R.example/a", "https://r.example/b", true),
        ("https://r.example/a", "https://r.example:8443/a", false),
        ("https://r.example/a", "http://r.example/a", false),
        ("https://r.example/a", "https://cdn.r.example/a", false),
        ("http://127.0.0.1:1/a", "http://127.0.0.1:2/a", false),
    ] {
        assert_eq!(
            same_origin(&Url::parse(a).unwrap(), &Url::parse(b).unwrap()),
            same,
            "{a} {b}"
        );
    }
}

/// A registry that redirects a blob to `location`, seen as one outside or inside.
async fn follow(location: String, inside: bool) -> Result<Followed, Failure> {
    let origin = Origin::start().await;
    origin.order(On::get("/v2/"), [Order::Redirect(location, 307)]);
    let endpoint = Endpoint::parse(&origin.url()).unwrap();
    let config = Config::new("r.example", vec![endpoint.clone()]);
    let url = endpoint.url().clone();
    let contact = Contact::new(url, Version::V2, None, Role::Origin, None);
    contact.see_inside(inside);
    let request = Request {
        method: Method::GET,
        url: contact.url().clone(),
        headers: HeaderMap::new(),
        authorization: None,
    };
    Transport::new(&config)
        .unwrap()
        .follow(&contact, request)
        .await
}

#[tokio::test]
async fn an_endpoint_outside_may_not_point_inside() {
    let target = Origin::start().await;
    let port = target.host().rsplit_once(':').unwrap().1.to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "127.1",
        "0.0.0.0",
    ] {
        let location = format!("http://{host}:{port}/v2/");
        let failure = follow(location.clone(), false).await.unwrap_err();
        let is_refused = matches!(
            failure.error,
            Error::Misbehaved {
                fault: Fault::Redirect,
                ..
            }
        );
        assert!(is_refused, "{host}: {failure:?}");
        assert_eq!(target.requests().len(), 0, "{host}");
    }
    for host in ["127.0.0.1", "localhost"] {
        let followed = follow(format!("http://{host}:{port}/v2/"), true)
            .await
            .unwrap();
        assert_eq!(followed.response.status(), 200, "{host}");
    }
}

#[test]
fn causes_are_found_inside_io_errors() {
    let inner = io::Error::other(client::Inside);
    let outer = io::Error::other(inner);
    assert!(find::<client::Inside>(&outer));
    assert!(!find::<rustls::Error>(&outer));
}

#[test]
fn errors_do_not_show_urls() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(async {
        Client::new()
            .get("http://127.0.0.1:1/x?X-Amz-Signature=secret")
            .send()
            .await
            .unwrap_err()
    });
    assert!(format!("{error:?} {error}").contains("secret"));
    let error = from_reqwest(&"r.example".into(), error);
    let mut shown = format!("{error:?} {error}");
    let mut at = error.source();
    while let Some(source) = at {
        shown.push_str(&format!(" {source:?} {source}"));
        at = source.source();
    }
    assert!(!shown.contains("secret"), "{shown}");
    assert!(
        matches!(
            error,
            Error::Unreachable {
                reason: Reason::Connect,
                ..
            }
        ),
        "{error:?}"
    );
}

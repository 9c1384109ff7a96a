use crate::common::*;
use crate::script::{Said, Script};

const TAGS: &str = "/v2/library/app/tags/list";

#[tokio::test]
async fn tags_are_passed_on() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    origin.order(
        On::get(TAGS),
        [Fault::All(vec![
            Fault::Header(
                "Link".into(),
                Some("</v2/library/app/tags/list?n=1&last=1>; rel=\"next\"".into()),
            ),
            Fault::Header("Warning".into(), Some("299 - \"going away\"".into())),
            Fault::Header("Set-Cookie".into(), Some("a=b".into())),
        ])],
    );
    let named = tagged("library/app:1").named().clone();
    let passed = upstream(&[&origin])
        .tags(&named, Some("n=1"))
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&passed.bytes).contains("\"tags\""));
    assert!(passed.link.unwrap().contains("last=1"));
    assert_eq!(passed.headers.len(), 1);
    assert_eq!(
        passed.headers.get("warning").unwrap(),
        "299 - \"going away\""
    );
    assert_eq!(origin.requests()[0].query, "n=1");
    let missing = tagged("library/none:1").named().clone();
    let error = upstream(&[&origin]).tags(&missing, None).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unknown {
                confirmed: true,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn referrers_are_an_index_or_nothing() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let subject = canonical("library/app", &image.digest);
    let path = format!("/v2/library/app/referrers/{}", image.digest);
    let upstream = upstream(&[&origin]);
    let index = Fault::Status(
        200,
        vec![
            ("Content-Type".into(), "application/vnd.oci.image.index.v1+json".into()),
            ("OCI-Filters-Applied".into(), "artifactType".into()),
        ],
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#.into(),
    );
    origin.order(On::get(&path), [index]);
    let passed = upstream
        .referrers(&subject, Some("artifactType=x"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        passed.content_type.as_deref(),
        Some("application/vnd.oci.image.index.v1+json")
    );
    assert_eq!(
        passed.headers.get("oci-filters-applied").unwrap(),
        "artifactType"
    );
    let page = Origin::start().await;
    page.order_always(On::path("/"), Fault::Html200);
    for fault in [
        Fault::bare(404, &[]),
        Fault::bare(400, &[]),
        Fault::bare(405, &[]),
        Fault::error(403, "DENIED"),
        Fault::Html200,
        Fault::Redirect(format!("{}/login", page.url()), 303),
        Fault::Status(
            200,
            vec![("Content-Type".into(), "application/json".into())],
            "{}".into(),
        ),
        Fault::bare(429, &[]),
    ] {
        origin.order(On::get(&path), [fault.clone()]);
        assert_eq!(
            upstream.referrers(&subject, None).await.unwrap(),
            None,
            "{fault:?}"
        );
    }
    origin.stop().await;
    let fresh = Upstream::new(config(&[&origin])).unwrap();
    let error = fresh.referrers(&subject, None).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

/// What does not know the call is well all the same, and is not left alone.
#[tokio::test]
async fn a_registry_without_referrers_is_no_failure() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let subject = canonical("library/app", &image.digest);
    let path = format!("/v2/library/app/referrers/{}", image.digest);
    origin.order_always(On::get(&path), Fault::bare(501, &[]));
    let upstream = upstream(&[&origin]);
    for asked in 1..=8 {
        assert_eq!(upstream.referrers(&subject, None).await.unwrap(), None);
        assert_eq!(origin.count("GET", &path), asked);
    }
}

/// All values of all `Link` lines are read, and only the link to the next page is passed on.
#[tokio::test]
async fn the_next_page_is_found_behind_a_previous_one() {
    let lines: [&[&str]; 2] = [
        &[
            r#"</v2/library/app/tags/list?n=1>; rel="prev", <https://up.example/v2/library/app/tags/list?last=b>; rel="next""#,
        ],
        &[
            r#"</v2/library/app/tags/list?n=1>; rel="prev""#,
            r#"<https://up.example/v2/library/app/tags/list?last=b>; rel="next""#,
        ],
    ];
    for lines in lines {
        let headers: Vec<_> = lines.iter().map(|l| ("Link", (*l).to_owned())).collect();
        let server = Script::start(move |_| Said {
            status: 200,
            headers: headers.clone(),
            body: r#"{"name":"library/app","tags":["a"]}"#.into(),
        })
        .await;
        let endpoint = Endpoint::parse(&server.url()).unwrap();
        let upstream = Upstream::new(Config::new("registry.test", vec![endpoint])).unwrap();
        let named = tagged("library/app:1").named().clone();
        let passed = upstream.tags(&named, None).await.unwrap();
        assert_eq!(
            passed.link.as_deref(),
            Some(r#"<https://up.example/v2/library/app/tags/list?last=b>; rel="next""#),
            "{lines:?}"
        );
    }
}

use crate::common::*;

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
    assert!(passed.next.unwrap().contains("last=1"));
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
            Error::NotFound {
                authoritative: true,
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
        Fault::Html200,
        Fault::Redirect(format!("{}/login", page.url()), 303),
        Fault::Status(
            200,
            vec![("Content-Type".into(), "application/json".into())],
            "{}".into(),
        ),
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

/// "Could not ask" is never "there are none": whoever looks for signatures would find none.
#[tokio::test]
async fn referrers_that_could_not_be_asked_for_are_an_error() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let subject = canonical("library/app", &image.digest);
    let path = format!("/v2/library/app/referrers/{}", image.digest);
    for (fault, expected) in [
        (Fault::error(401, "UNAUTHORIZED"), "Denied"),
        (Fault::bare(401, &[]), "Denied"),
        (Fault::error(403, "DENIED"), "Denied"),
        (Fault::bare(429, &[("Retry-After", "9")]), "Limited"),
        (Fault::bare(429, &[]), "Limited"),
        (Fault::bare(503, &[]), "Unreachable"),
    ] {
        let upstream = upstream(&[&origin]);
        origin.order_always(On::get(&path), fault.clone());
        // Also while a limit is only remembered.
        for _ in 0..2 {
            let error = upstream.referrers(&subject, None).await.unwrap_err();
            let found = format!("{error:?}");
            assert!(found.starts_with(expected), "{fault:?}: {found}");
        }
        origin.behave();
    }
}

/// Only the first value of the first `Link` line was read.
#[tokio::test]
async fn the_next_page_is_found_among_all_links() {
    let named = tagged("library/app:1").named().clone();
    let list = r#"{"name":"library/app","tags":["1"]}"#;
    for (links, expected) in [
        (
            &["</t?last=0>; rel=\"prev\", <https://up.example/t?last=1>; rel=\"next\""][..],
            Some("https://up.example/t?last=1"),
        ),
        (
            &["</t?last=0>; rel=prev", "</t?last=1>; rel=next"],
            Some("/t?last=1"),
        ),
        (&["</t?last=0>; rel=prev"], None),
    ] {
        let links = links
            .iter()
            .map(|link| ("Link".to_owned(), (*link).to_owned()));
        let origin = Origin::start().await;
        origin.order(
            On::get(TAGS),
            [Fault::Status(200, links.collect(), list.into())],
        );
        let page = upstream(&[&origin]).tags(&named, None).await.unwrap();
        assert_eq!(page.next.as_deref(), expected);
    }
}

/// Servers that compress whatever they send are understood: the label is not passed on.
#[tokio::test]
async fn lists_that_are_labelled_as_encoded() {
    let named = tagged("library/app:1").named().clone();
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    let label = Fault::Header("Content-Encoding".into(), Some("gzip".into()));
    for fault in [Fault::GzipEncoded, label] {
        origin.order(On::get(TAGS), [fault.clone()]);
        let page = upstream(&[&origin]).tags(&named, None).await.unwrap();
        assert!(page.bytes.starts_with(b"{"), "{fault:?}");
        assert!(page.headers.is_empty(), "{fault:?}");
    }
}

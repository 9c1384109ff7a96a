use crate::{Bearer, Client, Content, End, Fault, Gate, On, Origin, media};
use std::sync::Arc;
use std::time::Duration;

const BLOB: u64 = 300_000;

/// An origin with one blob of [`BLOB`] bytes, a client, the blob's path and content.
async fn fixture() -> (Arc<Origin>, Client, String, Content) {
    let origin = Origin::start().await;
    let content = Content::seeded(1, BLOB);
    let path = format!("/v2/r/blobs/{}", origin.push_blob("r", content.clone()));
    let client = Client::new(origin.host());
    (Arc::new(origin), client, path, content)
}

#[tokio::test]
async fn an_honest_registry() {
    let (origin, client, path, content) = fixture().await;
    let image = origin.image_schema2("r", "1", &[10, 20]);
    assert_eq!(
        client
            .read("/v2/")
            .await
            .header("docker-distribution-api-version"),
        Some("registry/2.0")
    );
    let manifest = client.read("/v2/r/manifests/1").await;
    assert_eq!((manifest.status, &manifest.body), (200, &image.manifest));
    assert_eq!(manifest.header("content-type"), Some(media::SCHEMA2));
    assert_eq!(
        manifest.header("docker-content-digest"),
        Some(image.digest.as_str())
    );
    let by_digest = client
        .read(&format!("/v2/r/manifests/{}", image.digest))
        .await;
    assert_eq!(by_digest.body, image.manifest);
    for blob in image.blobs() {
        assert_eq!(
            client.read(&format!("/v2/r/blobs/{blob}")).await.body,
            origin.blob(blob).bytes()
        );
    }
    let head = client.head(&path).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some("300000"), 0)
    );
    let read = client.read(&path).await;
    assert_eq!((read.body, read.end), (content.bytes(), End::Complete));
    assert_eq!(
        (origin.count("GET", &path), origin.count("HEAD", &path)),
        (1, 1)
    );
    assert_eq!(origin.bytes_sent(&path), BLOB);
    for (path, code) in [
        ("/v2/none/manifests/1", "NAME_UNKNOWN"),
        ("/v2/r/manifests/2", "MANIFEST_UNKNOWN"),
        ("/v2/r/blobs/sha256:0", "BLOB_UNKNOWN"),
    ] {
        let read = client.read(path).await;
        assert_eq!(
            (read.status, read.codes()),
            (404, vec![code.to_owned()]),
            "{path}"
        );
    }
    let odd = origin.image("a/manifests/b/blobs", "1", &[3]);
    let path = format!("/v2/a/manifests/b/blobs/blobs/{}", odd.layers[0]);
    assert_eq!(client.read(&path).await.body.len(), 3);
    origin.forget("r", &image.digest);
    assert_eq!(client.read("/v2/r/manifests/1").await.status, 404);
}

#[tokio::test]
async fn ranges() {
    let (_origin, client, path, content) = fixture().await;
    let whole = content.bytes();
    for (range, slice) in [
        ("0-0", 0..1),
        ("10-19", 10..20),
        ("299990-", 299_990..300_000),
        ("-7", 299_993..300_000),
        ("5-900000", 5..300_000),
    ] {
        let read = client.range(range).read(&path).await;
        assert_eq!(
            (read.status, &read.body[..]),
            (206, &whole[slice.clone()]),
            "{range}"
        );
        let expected = format!("bytes {}-{}/300000", slice.start, slice.end - 1);
        assert_eq!(read.header("content-range"), Some(expected.as_str()));
    }
    let past = client.range("300000-").read(&path).await;
    assert_eq!(
        (past.status, past.header("content-range")),
        (416, Some("bytes */300000"))
    );
}

#[tokio::test]
async fn index_tags_and_referrers() {
    let (origin, client, ..) = fixture().await;
    let index = origin.index("r", "all", &["amd64", "arm64"], &[5]);
    assert_eq!(
        client.read("/v2/r/manifests/all").await.body,
        index.manifest
    );
    assert_ne!(index.images[0].digest, index.images[1].digest);
    origin.image("r", "b", &[1]);
    let page = client.read("/v2/r/tags/list?n=1").await;
    assert_eq!(page.body, br#"{"name":"r","tags":["all"]}"#);
    assert_eq!(
        page.header("link"),
        Some(r#"</v2/r/tags/list?last=all&n=1>; rel="next""#)
    );
    let rest = client.read("/v2/r/tags/list?n=5&last=all").await;
    assert_eq!(
        (&rest.body[..], rest.header("link")),
        (&br#"{"name":"r","tags":["b"]}"#[..], None)
    );
    let subject = format!(
        r#"{{"artifactType":"a/b","subject":{{"digest":"{}"}}}}"#,
        index.digest
    );
    let referrer = origin.push_manifest("r", None, subject, media::OCI_MANIFEST);
    let found = client
        .read(&format!(
            "/v2/r/referrers/{}?artifactType=a%2Fb",
            index.digest
        ))
        .await;
    assert!(
        String::from_utf8(found.body.clone())
            .unwrap()
            .contains(&referrer)
    );
    assert_eq!(found.header("oci-filters-applied"), Some("artifactType"));
    let none = client
        .read(&format!("/v2/r/referrers/{}?artifactType=c", index.digest))
        .await;
    assert!(!String::from_utf8(none.body).unwrap().contains(&referrer));
}

/// Whether an answer shows the fault that was ordered.
type Check = fn(&crate::Read, &Content) -> bool;

#[tokio::test]
async fn each_fault_of_status_or_delivery_really_happens() {
    let elsewhere = String::from("http://127.0.0.1:1/x");
    let cases: Vec<(Fault, Check)> = vec![
        (Fault::None, |read, content| {
            read.status == 200 && read.body == content.bytes()
        }),
        (Fault::error(429, "TOOMANYREQUESTS"), |read, _| {
            read.status == 429 && read.codes() == ["TOOMANYREQUESTS"]
        }),
        (Fault::bare(503, &[("Retry-After", "7")]), |read, _| {
            read.status == 503 && read.header("retry-after") == Some("7") && read.codes().is_empty()
        }),
        (Fault::Html200, |read, _| {
            read.status == 200 && read.header("content-type") == Some("text/html; charset=utf-8")
        }),
        (Fault::Redirect(elsewhere, 302), |read, _| {
            read.status == 302 && read.header("location").is_some_and(|to| to.ends_with("/x"))
        }),
        (Fault::CutAt(0), |read, _| {
            read.status == 200 && read.body.is_empty() && read.end == End::Cut
        }),
        (Fault::CutAt(100_001), |read, content| {
            read.body == content.slice(0, 100_001) && read.end == End::Cut && read.status == 200
        }),
        (Fault::CutAt(BLOB - 1), |read, _| {
            read.body.len() as u64 == BLOB - 1 && read.end == End::Cut
        }),
        (Fault::ResetAt(1000), |read, _| {
            read.body.len() <= 1000 && read.end == End::Cut
        }),
        (Fault::Reset, |read, _| {
            read.status == 0 && read.end == End::Cut
        }),
        (Fault::SlowHeaders(Duration::from_millis(1)), |read, _| {
            read.status == 200
        }),
        (Fault::Pace(100_000_000), |read, _| {
            read.end == End::Complete
        }),
    ];
    obeyed_once(cases).await;
}

#[tokio::test]
async fn each_fault_of_content_or_headers_really_happens() {
    let cases: Vec<(Fault, Check)> = vec![
        (Fault::WrongBytes(70_000), |read, content| {
            read.end == End::Complete && read.body == content.clone().flipped_at(70_000).bytes()
        }),
        (Fault::Short(3), |read, content| {
            read.end == End::Complete
                && read.body == content.slice(0, BLOB - 3)
                && length(read) == Some(BLOB - 3)
        }),
        (Fault::Long(3), |read, _| {
            read.end == End::Complete
                && read.body.ends_with(b"XXX")
                && length(read) == Some(BLOB + 3)
        }),
        (Fault::LengthLies(5), |read, content| {
            length(read) == Some(BLOB + 5) && read.end == End::Cut && read.body == content.bytes()
        }),
        (Fault::LengthLies(-5), |read, content| {
            length(read) == Some(BLOB - 5)
                && read.end == End::Complete
                && read.body == content.slice(0, BLOB - 5)
        }),
        (Fault::Chunked, |read, content| {
            length(read).is_none() && read.end == End::Complete && read.body == content.bytes()
        }),
        (
            Fault::All(vec![Fault::Chunked, Fault::CutAt(9)]),
            |read, _| read.end == End::Cut && read.body.len() == 9,
        ),
        (Fault::UntilClose, |read, content| {
            length(read).is_none()
                && read.header("transfer-encoding").is_none()
                && read.body == content.bytes()
        }),
        (Fault::NoDigestHeader, |read, _| {
            read.header("docker-content-digest").is_none() && read.status == 200
        }),
        (Fault::WrongDigestHeader, |read, content| {
            read.header("docker-content-digest")
                .is_some_and(|digest| digest != content.digest())
        }),
        (
            Fault::Header("Content-Type".into(), Some("a/b".into())),
            |read, _| read.header("content-type") == Some("a/b"),
        ),
        (Fault::Header("Content-Type".into(), None), |read, _| {
            read.header("content-type").is_none()
        }),
        (Fault::GzipEncoded, |read, content| {
            read.header("content-encoding") == Some("gzip")
                && read.body.len() > content.len() as usize
        }),
    ];
    obeyed_once(cases).await;
}

/// Each order is obeyed once, seen as ordered, and forgotten: the next answer is honest.
async fn obeyed_once(cases: Vec<(Fault, Check)>) {
    let (origin, client, path, content) = fixture().await;
    for (fault, check) in cases {
        origin.order(On::get("/blobs/"), [fault.clone()]);
        let read = client.read(&path).await;
        assert!(
            check(&read, &content),
            "{fault:?}: {} {:?} {:?}",
            read.status,
            read.headers,
            read.end
        );
        assert_eq!(origin.orders_left(), 0);
        let after = client.read(&path).await;
        assert_eq!(
            (after.status, after.end, after.body == content.bytes()),
            (200, End::Complete, true),
            "{fault:?}"
        );
        assert_eq!(
            after.header("docker-content-digest"),
            Some(content.digest().as_str())
        );
    }
}

fn length(read: &crate::Read) -> Option<u64> {
    read.header("content-length")
        .map(|len| len.parse().unwrap())
}

#[tokio::test]
async fn faults_of_ranges() {
    let (origin, client, path, content) = fixture().await;
    let client = client.range("100-");
    origin.order(
        On::get(&path),
        [
            Fault::IgnoreRange,
            Fault::WrongBytes(150),
            Fault::CutAt(10),
            Fault::WrongBytes(99),
        ],
    );
    let whole = client.read(&path).await;
    assert_eq!((whole.status, whole.body.len() as u64), (200, BLOB));
    assert_eq!(
        client.read(&path).await.body[..60],
        content.clone().flipped_at(150).slice(100, 160)
    );
    assert_eq!(client.read(&path).await.body, content.slice(100, 110));
    assert_eq!(client.read(&path).await.body, content.slice(100, BLOB));
}

#[tokio::test]
async fn orders_add_up_and_last_until_withdrawn() {
    let (origin, client, path, _) = fixture().await;
    origin.order_always(On::path("/blobs/"), Fault::NoDigestHeader);
    origin.order(On::get("/blobs/"), [Fault::CutAt(5), Fault::CutAt(6)]);
    for len in [5, 6, BLOB] {
        let read = client.read(&path).await;
        assert_eq!(
            (read.body.len() as u64, read.header("docker-content-digest")),
            (len, None)
        );
    }
    origin.refuse_blob_head();
    assert_eq!(client.head(&path).await.status, 401);
    origin.behave();
    assert_eq!(client.head(&path).await.status, 200);
    origin.refuse_head();
    assert_eq!(client.head("/v2/r/manifests/1").await.status, 405);
}

#[tokio::test]
async fn a_gate_holds_a_body_at_its_byte() {
    let (origin, client, path, content) = fixture().await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(1234, gate.clone())]);
    let mut reply = client.get(&path).await;
    assert_eq!(reply.take(1234).await, content.slice(0, 1234));
    gate.reached().await;
    assert_eq!(origin.bytes_sent(&path), 1234);
    assert!(!origin.requests()[0].ended);
    gate.open();
    assert_eq!(reply.read().await.body, content.slice(1234, BLOB));
    origin.until(|seen| seen[0].ended).await;
    assert_eq!(origin.bytes_sent(&path), BLOB);
}

#[tokio::test]
async fn headers_are_held_or_never_come_and_a_client_may_leave() {
    let (origin, client, path, _) = fixture().await;
    let gate = Gate::new();
    origin.order(
        On::get(&path),
        [Fault::HoldHeaders(gate.clone()), Fault::HangBeforeHeaders],
    );
    let held = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { client.read(&path).await.status }
    });
    gate.reached().await;
    assert!(!held.is_finished());
    gate.open();
    assert_eq!(held.await.unwrap(), 200);
    let hung = tokio::spawn(async move { client.read(&path).await });
    origin.until(|seen| seen.len() == 2).await;
    hung.abort();
    origin.until(|seen| seen[1].ended).await;
    assert_eq!(origin.requests()[1].status, 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_seen() {
    let (origin, client, path, _) = fixture().await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(10, gate)]);
    let mut reply = client.get(&path).await;
    reply.take(10).await;
    drop(reply);
    origin.until(|seen| seen[0].ended).await;
    assert_eq!(origin.bytes_sent(&path), 10);
}

#[tokio::test]
async fn redirects_lead_to_storage_that_refuses_authorization() {
    let (origin, client, path, content) = fixture().await;
    let faults = [true, false].map(|relative| Fault::RedirectToStorage {
        status: 307,
        relative,
    });
    origin.order(On::get(&path), faults);
    let relative = client.read(&path).await;
    assert_eq!(relative.status, 307);
    let to = relative.header("location").unwrap().to_owned();
    assert!(to.starts_with("/storage/sha256:") && to.contains('?'));
    let absolute = client.read(&path).await;
    assert_eq!(
        absolute.header("location").unwrap(),
        format!("{}{to}", origin.url())
    );
    assert_eq!(client.read(&to).await.body, content.bytes());
    assert_eq!(
        client.range("5-9").read(&to).await.body,
        content.slice(5, 10)
    );
    assert_eq!(
        client
            .with("Authorization", "Bearer x")
            .read(&to)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn stop_refuses_and_cuts_and_restart_keeps_port_and_content() {
    let (origin, client, path, content) = fixture().await;
    origin.order(On::get(&path), [Fault::Stall(1000, Gate::new())]);
    let mut reply = client.get(&path).await;
    reply.take(1000).await;
    let (host, url) = (origin.host(), origin.url());
    origin.stop().await;
    assert_eq!(reply.read().await.end, End::Cut);
    assert!(tokio::net::TcpStream::connect(&host).await.is_err());
    assert_eq!(client.read(&path).await.status, 0);
    origin.restart().await;
    assert_eq!(origin.url(), url);
    assert_eq!(client.read(&path).await.body, content.bytes());
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let (origin, client, path, _) = fixture().await;
    let one = format!("GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-3\r\n\r\n");
    let last = "GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n";
    client
        .send_raw(format!("{one}{one}{last}").as_bytes(), false)
        .await
        .read()
        .await;
    origin.until(|seen| seen.len() == 3 && seen[2].ended).await;
    assert_eq!(origin.connections(), 1);
    let seen = origin.requests();
    assert_eq!(
        (seen[1].status, seen[1].range(), seen[1].connection),
        (206, Some("bytes=0-3"), 0)
    );
}

#[tokio::test]
async fn basic_auth() {
    let (origin, client, path, _) = fixture().await;
    origin.require_basic("ann", "secret");
    let refused = client.read(&path).await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some(r#"Basic realm="origin""#))
    );
    assert_eq!(
        client
            .with("Authorization", "Basic YW5uOnNlY3JldA==")
            .read(&path)
            .await
            .status,
        200
    );
    assert_eq!(
        client
            .with("Authorization", "Basic YW5uOndyb25n")
            .read(&path)
            .await
            .status,
        401
    );
    assert_eq!(client.read("/v2/").await.status, 401);
}

#[tokio::test]
async fn bearer_auth() {
    let (origin, client, path, _) = fixture().await;
    origin.require_bearer(Bearer {
        field: "access_token",
        ..Bearer::default()
    });
    let refused = client.read(&path).await;
    let challenge = refused.header("www-authenticate").unwrap();
    let expected = format!(
        r#"Bearer realm="{}/token",service="origin",scope="repository:r:pull""#,
        origin.url()
    );
    assert_eq!((refused.status, challenge), (401, expected.as_str()));
    let asked = "/token?service=origin&scope=repository%3Ar%3Apull";
    let token = client.read(asked).await;
    assert_eq!(
        token.body,
        br#"{"access_token":"token-1","expires_in":300}"#
    );
    let with = client.with("Authorization", "Bearer token-1");
    assert_eq!(with.read(&path).await.status, 200);
    assert_eq!(with.read("/v2/").await.status, 200);
    assert_eq!(
        with.read("/v2/other/blobs/x").await.status,
        401,
        "the scope is checked"
    );
    origin.expire_tokens();
    assert_eq!(with.read(&path).await.status, 401);
    assert_eq!(
        client.read("/token?scope=repository:r:pull").await.status,
        400,
        "the service is checked"
    );
}

#[tokio::test]
async fn tokens_for_credentials() {
    let (origin, client, path, _) = fixture().await;
    let asked = "/token?service=origin&scope=repository%3Ar%3Apull";
    let credentials = Some(("ann".into(), "secret".into()));
    let mut bearer = Bearer {
        credentials,
        expires_in: Some(0),
        challenge_on_objects: false,
        ..Bearer::default()
    };
    origin.require_bearer(bearer.clone());
    assert_eq!(client.read(&path).await.header("www-authenticate"), None);
    assert!(
        client
            .read("/v2/")
            .await
            .header("www-authenticate")
            .is_some()
    );
    assert_eq!(client.read(asked).await.status, 401);
    assert_eq!(
        client
            .with("Authorization", "Basic YW5uOnNlY3JldA==")
            .read(asked)
            .await
            .status,
        200
    );
    assert_eq!(
        client
            .with("Authorization", "Bearer token-1")
            .read(&path)
            .await
            .status,
        401,
        "it ended at once"
    );
    bearer.anonymous = true;
    origin.require_bearer(bearer);
    assert_eq!(client.read(asked).await.status, 200);
    assert_eq!(
        client
            .with("Authorization", "Basic YW5uOndyb25n")
            .read(asked)
            .await
            .status,
        401
    );
    assert_eq!(client.send("POST", "/token").await.status, 405);
}

#[tokio::test]
async fn a_large_blob_is_never_in_memory_and_can_be_compared() {
    let origin = Origin::start().await;
    let content = Content::seeded(3, 64 << 20);
    let path = format!("/v2/r/blobs/{}", origin.push_blob("r", content.clone()));
    let client = Client::new(origin.host());
    origin.order(On::get(&path), [Fault::None, Fault::WrongBytes(60 << 20)]);
    assert_eq!(
        client.get(&path).await.compare(&content, 0, None).await,
        (64 << 20, true, End::Complete)
    );
    assert_eq!(
        client.get(&path).await.compare(&content, 0, None).await,
        (64 << 20, false, End::Complete)
    );
    let tail = client.range("1000-").get(&path).await;
    assert_eq!(
        tail.compare(&content, 1000, Some(1 << 30)).await,
        ((64 << 20) - 1000, true, End::Complete)
    );
}

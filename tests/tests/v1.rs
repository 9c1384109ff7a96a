//! Images of registries of protocol v1, pulled by clients that know only v2.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use longshore_tests::{
    Client, Content, Fault, Gate, On, Origin, Proxy, Read, Settings, V1Image, V1Registry, V1Style,
    media,
};
use serde_json::Value;

const PREFIX: &str = "/v2/old.test/library/app";

/// A proxy whose `old.test` is this registry.
fn before(v1: &V1Registry, api: &str) -> Settings {
    Settings::default().upstream("old.test", &[v1.index()], &format!("api = \"{api}\""))
}

/// A standalone registry with an image of three layers under the tag 1, and that image.
async fn fixture() -> (V1Registry, V1Image) {
    let v1 = V1Registry::standalone().await;
    let image = V1Image::new("app", &[700, 0, 300_000]);
    v1.push("library/app", "1", &image);
    (v1, image)
}

fn asking_for(client: &Client, types: &[&str]) -> Client {
    client.with("Accept", &types.join(", "))
}

fn schema2(proxy: &Proxy) -> Client {
    asking_for(&proxy.client(), &[media::SCHEMA2, media::LIST])
}

fn oci(proxy: &Proxy) -> Client {
    asking_for(&proxy.client(), &[media::OCI_MANIFEST, media::OCI_INDEX])
}

async fn manifest(client: &Client, name: &str) -> Read {
    client.read(&format!("{PREFIX}/manifests/{name}")).await
}

/// Pulls by `name`, and checks everything that can be known: the digest that it was given.
async fn pull(client: &Client, name: &str, image: &V1Image, style: V1Style) -> String {
    let read = manifest(client, name).await;
    let what = String::from_utf8_lossy(&read.body).into_owned();
    assert_eq!(read.status, 200, "{name}: {what}");
    let digest = read.header("docker-content-digest").unwrap().to_owned();
    assert_eq!(Content::from(read.body.clone()).digest(), digest);
    let document: Value = serde_json::from_slice(&read.body).unwrap();
    let media_type = read.header("content-type").unwrap();
    assert_eq!(document["mediaType"], media_type);
    let expected = match (media_type, style.gzipped) {
        (media::SCHEMA2, true) => media::LAYER,
        (media::SCHEMA2, false) => "application/vnd.docker.image.rootfs.diff.tar",
        (_, true) => media::OCI_LAYER,
        (_, false) => "application/vnd.oci.image.layer.v1.tar",
    };
    let layers = document["layers"].as_array().unwrap();
    assert_eq!(layers.len(), image.layers.len(), "{what}");
    for (layer, held) in layers.iter().zip(&image.layers) {
        assert_eq!(layer["mediaType"], expected);
        assert_eq!(layer["digest"], held.digest, "as the registry sends it");
        assert_eq!(layer["size"], held.blob.len());
        let path = format!("{PREFIX}/blobs/{}", held.digest);
        client.pull_blob(&path, &held.blob).await;
    }
    let config = document["config"]["digest"].as_str().unwrap();
    let read = client.read(&format!("{PREFIX}/blobs/{config}")).await;
    assert_eq!(Content::from(read.body.clone()).digest(), config);
    assert_eq!(document["config"]["size"], read.body.len());
    check_config(&read.body, image, style);
    digest
}

/// The configuration is made of the top image's JSON.
fn check_config(bytes: &[u8], image: &V1Image, style: V1Style) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(
        text.contains(r"\u003c\u0026\u003e"),
        "as Go escapes: {text}"
    );
    let config: Value = serde_json::from_str(&text).unwrap();
    let diff_ids: Vec<_> = image
        .layers
        .iter()
        .map(|layer| layer.diff_id.as_str())
        .collect();
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(diff_ids));
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.len(), image.layers.len());
    for (number, step) in history.iter().enumerate() {
        assert_eq!(step["created_by"], V1Image::created_by(number));
        assert_eq!(step.get("empty_layer"), None, "{text}");
    }
    for gone in ["id", "parent", "Size"] {
        assert_eq!(config.get(gone), None, "{gone}: {text}");
    }
    assert_eq!(config["architecture"], "amd64");
    let is_old = style.docker_version == "1.7.1";
    assert_eq!(config.get("x-unknown").is_none(), is_old, "{text}");
}

fn layer_gets(v1: &V1Registry, image: &V1Image) -> Vec<usize> {
    let paths = image
        .layers
        .iter()
        .map(|layer| format!("/v1/images/{}/layer", layer.id));
    paths
        .map(|path| v1.registry().count("GET", &path))
        .collect()
}

fn fetched_once(v1: &V1Registry, image: &V1Image) {
    let once = vec![1; image.layers.len()];
    assert_eq!(
        layer_gets(v1, image),
        once,
        "{:#?}",
        v1.registry().requests()
    );
}

/// Both kinds of registry, layers and JSON; each layer comes once, whatever is asked for in which order.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_as_the_client_likes_it() {
    let old = V1Style {
        gzipped: false,
        docker_version: "1.7.1",
    };
    for (api, indexed, style) in [
        ("v1", false, V1Style::default()),
        ("auto", false, old),
        ("v1", true, old),
        ("auto", true, V1Style::default()),
    ] {
        let v1 = if indexed {
            V1Registry::indexed().await
        } else {
            V1Registry::standalone().await
        };
        let image = V1Image::styled("app", &[700, 0, 300_000], style);
        v1.push("library/app", "1", &image);
        let proxy = before(&v1, api).start().await;
        let (docker, plain) = (schema2(&proxy), oci(&proxy));
        let by_tag = pull(&docker, "1", &image, style).await;
        let head = docker.head(&format!("{PREFIX}/manifests/1")).await;
        assert_eq!(
            (
                head.header("docker-content-digest"),
                head.header("content-type")
            ),
            (Some(&*by_tag), Some(media::SCHEMA2)),
            "{api} {indexed}"
        );
        assert_eq!(pull(&docker, &by_tag, &image, style).await, by_tag);
        let other = pull(&plain, "1", &image, style).await;
        assert_ne!(other, by_tag);
        let read = manifest(&plain, "1").await;
        assert_eq!(read.header("content-type"), Some(media::OCI_MANIFEST));
        // By digest the bytes are what was given out, whatever `Accept` says.
        assert_eq!(pull(&plain, &by_tag, &image, style).await, by_tag);
        assert_eq!(pull(&docker, &other, &image, style).await, other);
        // containerd, dockerd and podman take both, and are given one of them.
        let both = [
            media::SCHEMA2,
            media::LIST,
            media::OCI_MANIFEST,
            media::OCI_INDEX,
            "*/*",
        ];
        let given = pull(&asking_for(&proxy.client(), &both), "1", &image, style).await;
        assert!([by_tag, other].contains(&given), "{given}");
        fetched_once(&v1, &image);
        assert!(
            api == "auto"
                || v1
                    .index()
                    .requests()
                    .iter()
                    .all(|seen| !seen.path.starts_with("/v2/")),
            "with `v1` nothing else is asked"
        );
    }
}

#[tokio::test]
async fn tags_are_listed_as_v2_lists_them() {
    for api in ["v1", "auto"] {
        let (v1, image) = fixture().await;
        v1.push("library/app", "0.9", &image);
        let proxy = before(&v1, api).start().await;
        let read = proxy.client().read(&format!("{PREFIX}/tags/list")).await;
        assert_eq!(read.status, 200, "{api}");
        let body: Value = serde_json::from_slice(&read.body).unwrap();
        assert_eq!(body["name"], "library/app");
        assert_eq!(body["tags"], serde_json::json!(["0.9", "1"]), "{api}");
        let first = proxy
            .client()
            .read(&format!("{PREFIX}/tags/list?n=1"))
            .await;
        assert_eq!(
            first.header("link"),
            Some(&*format!("<{PREFIX}/tags/list?last=0.9&n=1>; rel=\"next\"")),
            "{api}"
        );
        let read = proxy
            .client()
            .read("/v2/old.test/library/none/tags/list")
            .await;
        assert_eq!(
            (read.status, read.codes()),
            (404, vec!["NAME_UNKNOWN".to_owned()]),
            "{api}"
        );
    }
}

/// "always the same bytes for the same image, so that digests are stable".
#[tokio::test(flavor = "multi_thread")]
async fn digests_are_the_same_everywhere() {
    let (v1, image) = fixture().await;
    let style = V1Style::default();
    let mut given = Vec::new();
    for _ in 0..2 {
        let proxy = before(&v1, "v1").start().await;
        let docker = pull(&schema2(&proxy), "1", &image, style).await;
        given.push((docker, pull(&oci(&proxy), "1", &image, style).await));
    }
    assert_eq!(given[0], given[1]);
    assert_eq!(
        layer_gets(&v1, &image),
        [2; 3],
        "the second store was empty"
    );
}

/// With the registry gone, and after a restart, the image is pulled again by tag and by every digest given out.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_gone_is_not_missed() {
    let (v1, image) = fixture().await;
    let style = V1Style::default();
    let mut proxy = before(&v1, "auto")
        .defaults("revalidate = \"0s\"")
        .start()
        .await;
    let docker = pull(&schema2(&proxy), "1", &image, style).await;
    let plain = pull(&oci(&proxy), "1", &image, style).await;
    proxy.settled().await;
    v1.stop().await;
    for restarted in [false, true] {
        if restarted {
            proxy.restart().await;
        }
        assert_eq!(
            pull(&schema2(&proxy), "1", &image, style).await,
            docker,
            "{restarted}"
        );
        assert_eq!(
            pull(&oci(&proxy), "1", &image, style).await,
            plain,
            "{restarted}"
        );
        pull(&proxy.client(), &docker, &image, style).await;
        pull(&proxy.client(), &plain, &image, style).await;
        let read = manifest(&schema2(&proxy), "1").await;
        assert_eq!(read.header("x-cache"), Some("stale"), "{restarted}");
    }
    v1.restart().await;
    pull(&schema2(&proxy), "1", &image, style).await;
    fetched_once(&v1, &image);
}

/// Lost bytes are had again by the digests that were given out, whatever another process said of the layers since.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_had_again() {
    let (v1, image) = fixture().await;
    let style = V1Style::default();
    let mut proxy = before(&v1, "auto").start().await;
    let docker = pull(&schema2(&proxy), "1", &image, style).await;
    proxy.settled().await;
    proxy.restart().await;
    // Made of the layers that the process before had fetched.
    let plain = pull(&oci(&proxy), "1", &image, style).await;
    proxy.settled().await;
    fetched_once(&v1, &image);
    let blobs = proxy.store().join("blobs");
    fs::remove_dir_all(&blobs).unwrap();
    for digest in [&docker, &plain] {
        pull(&proxy.client(), digest, &image, style).await;
    }
    proxy.settled().await;
    assert_eq!(layer_gets(&v1, &image), [2; 3]);

    // With the document lost as well, the tag brings it back.
    proxy.kill();
    fs::remove_dir_all(&blobs).unwrap();
    proxy.restart().await;
    for (client, digest) in [(schema2(&proxy), &docker), (oci(&proxy), &plain)] {
        assert_eq!(pull(&client, "1", &image, style).await, *digest);
        pull(&proxy.client(), digest, &image, style).await;
    }
    assert_eq!(layer_gets(&v1, &image), [3; 3]);
}

/// A tag that moved is followed; what was given out before is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_followed() {
    let (v1, image) = fixture().await;
    let style = V1Style::default();
    let proxy = before(&v1, "v1")
        .defaults("revalidate = \"0s\"")
        .start()
        .await;
    let first = pull(&schema2(&proxy), "1", &image, style).await;
    let moved = V1Image::new("moved", &[5000]);
    v1.push("library/app", "1", &moved);
    let second = pull(&schema2(&proxy), "1", &moved, style).await;
    assert_ne!(first, second);
    assert_eq!(pull(&schema2(&proxy), &first, &image, style).await, first);
    fetched_once(&v1, &image);
    fetched_once(&v1, &moved);
}

/// Many clients at once, by tag and in both formats: one conversion, each layer once.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_causes_one_conversion() {
    let (v1, image) = fixture().await;
    let proxy = before(&v1, "v1").start().await;
    let gate = Gate::new();
    let held = format!("/v1/images/{}/layer", image.layers[1].id);
    v1.registry()
        .order(On::get(&held), [Fault::HoldHeaders(gate.clone())]);
    let clients: Vec<_> = (0..16)
        .map(|number| {
            if number % 2 == 0 {
                schema2(&proxy)
            } else {
                oci(&proxy)
            }
        })
        .collect();
    let pulls = clients.into_iter().map(|client| {
        let image = image.clone();
        tokio::spawn(async move { pull(&client, "1", &image, V1Style::default()).await })
    });
    let pulls: Vec<_> = pulls.collect();
    gate.reached().await;
    gate.open();
    let mut given = Vec::new();
    for pull in pulls {
        given.push(pull.await.unwrap());
    }
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 2, "one digest for each format");
    fetched_once(&v1, &image);
}

/// Layers and JSON that come in a bad way come in the end, and are the right ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_overcome_is() {
    let header =
        |name: &str, value: Option<&str>| Fault::Header(name.into(), value.map(Into::into));
    let cases: Vec<(&str, &str, Vec<Fault>)> = vec![
        ("no size", "/json", vec![header("X-Docker-Size", None); 3]),
        (
            "wrong size",
            "/json",
            vec![header("X-Docker-Size", Some("1")); 3],
        ),
        ("cut once", "LAYER", vec![Fault::CutAt(100_000)]),
        ("cut at once", "LAYER", vec![Fault::CutAt(0)]),
        ("cut thrice", "LAYER", vec![Fault::CutAt(100_000); 3]),
        (
            "json fails once",
            "/json",
            vec![Fault::error(503, "UNAVAILABLE")],
        ),
        ("json fails thrice", "/json", vec![Fault::bare(500, &[]); 3]),
        ("no Content-Length", "/layer", vec![Fault::Chunked; 3]),
    ];
    for indexed in [false, true] {
        for (what, on, faults) in &cases {
            let v1 = if indexed {
                V1Registry::indexed().await
            } else {
                V1Registry::standalone().await
            };
            let image = V1Image::new("app", &[700, 0, 300_000]);
            v1.push("library/app", "1", &image);
            let path = match *on {
                "LAYER" => format!("/v1/images/{}/layer", image.id()),
                on => on.to_owned(),
            };
            v1.registry().order(On::get(&path), faults.clone());
            let proxy = before(&v1, "v1").start().await;
            let read = manifest(&schema2(&proxy), "1").await;
            assert_eq!(
                read.status,
                200,
                "{what}: {}",
                String::from_utf8_lossy(&read.body)
            );
            pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
            assert_eq!(v1.registry().orders_left(), 0, "{what}");
            if what.starts_with("cut thrice") {
                assert_eq!(
                    v1.registry().bytes_sent(&path),
                    image.layers[2].blob.len(),
                    "{what}: each byte once"
                );
            }
        }
    }
}

/// A redirect of a layer is followed, without what the registry let us in by.
#[tokio::test]
async fn layers_may_be_elsewhere() {
    let v1 = V1Registry::indexed().await;
    let image = V1Image::new("app", &[700, 5000]);
    v1.push("library/app", "1", &image);
    v1.require_login("ann", "s3cr3t-word");
    let storage = Origin::start().await;
    for layer in &image.layers {
        let digest = storage.push_blob("any", layer.blob.clone());
        let to = format!("{}/storage/{digest}?X-Signature=hidden", storage.url());
        let path = format!("/v1/images/{}/layer", layer.id);
        v1.registry()
            .order_always(On::get(&path), Fault::Redirect(to, 302));
    }
    let proxy = Settings::default()
        .upstream("old.test", &[v1.index()], &format!("api = \"v1\"\n{ANN}"))
        .start()
        .await;
    pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
    let requests = storage.requests();
    assert_eq!(requests.len(), 2);
    for seen in requests {
        assert_eq!(
            (seen.header("authorization"), seen.header("cookie")),
            (None, None)
        );
    }
    let log = proxy.log();
    assert!(
        !log.contains("hidden") && !log.contains("s3cr3t-word") && !log.contains("signature="),
        "{log}"
    );
}

const ANN: &str = r#"credentials = { username = "ann", password = "s3cr3t-word" }"#;

/// Tokens, cookies, passwords; who is refused, and how.
#[tokio::test]
async fn every_way_in() {
    let mut refused = Vec::new();
    for api in ["v1", "auto"] {
        ways_in(api, &mut refused).await;
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Adds what was answered in another way than expected.
async fn ways_in(api: &str, refused: &mut Vec<String>) {
    let wrong = r#"credentials = { username = "ann", password = "wrong" }"#;
    for (what, indexed, login, cookies, lines, status) in [
        ("token", true, false, false, "", 200),
        ("token and cookie", true, false, true, "", 200),
        ("password at the index", true, true, false, ANN, 200),
        (
            "password at the index, then a cookie",
            true,
            true,
            true,
            ANN,
            200,
        ),
        ("password for everything", false, true, false, ANN, 200),
        ("no password for the index", true, true, false, "", 403),
        ("no password", false, true, false, "", 403),
        (
            "wrong password for the index",
            true,
            true,
            false,
            wrong,
            502,
        ),
        ("wrong password", false, true, false, wrong, 502),
    ] {
        let v1 = if indexed {
            V1Registry::indexed().await
        } else {
            V1Registry::standalone().await
        };
        let image = V1Image::new("app", &[700, 5000]);
        v1.push("library/app", "1", &image);
        if login {
            v1.require_login("ann", "s3cr3t-word");
        }
        if cookies {
            v1.require_cookies();
        }
        let proxy = Settings::default()
            .upstream(
                "old.test",
                &[v1.index()],
                &format!("api = \"{api}\"\n{lines}"),
            )
            .start()
            .await;
        let read = manifest(&schema2(&proxy), "1").await;
        assert_eq!(read.header("www-authenticate"), None, "{what}");
        if read.status != status {
            let body = String::from_utf8_lossy(&read.body).into_owned();
            refused.push(format!(
                "{api}: {what}: not {status} but {}: {body}",
                read.status
            ));
            continue;
        }
        if status == 200 {
            pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
            fetched_once(&v1, &image);
        }
        if status == 403 {
            assert_eq!(read.codes(), ["DENIED"], "{what}");
        }
    }
}

/// A token that ended in the middle of a pull is asked for once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_end_in_the_middle() {
    let v1 = V1Registry::indexed().await;
    let image = V1Image::new("app", &[700, 5000]);
    v1.push("library/app", "1", &image);
    let proxy = before(&v1, "v1").start().await;
    let gate = Gate::new();
    // By now what the image consists of is known, and its layers are on their way.
    let base = format!("/v1/images/{}/layer", image.layers[0].id);
    v1.registry()
        .order(On::get(&base), [Fault::HoldHeaders(gate.clone())]);
    let client = schema2(&proxy);
    let pulled = tokio::spawn(async move { manifest(&client, "1").await });
    gate.reached().await;
    v1.expire_tokens();
    gate.open();
    let read = pulled.await.unwrap();
    assert_eq!(read.status, 200, "{}", String::from_utf8_lossy(&read.body));
    let look_up = "/v1/repositories/library/app/images";
    assert_eq!(v1.index().count("GET", look_up), 2, "one new one");
}

/// What is wrong, with which requests, how, and what the client is told.
type Beyond = (&'static str, &'static str, Fault, u16);

fn layers_beyond_help() -> Vec<Beyond> {
    vec![
        ("layers are lost", "/layer", Fault::Reset, 502),
        ("layers fail for ever", "/layer", Fault::bare(500, &[]), 502),
        (
            "a layer is not there",
            "/layer",
            Fault::json(404, "{}"),
            502,
        ),
        ("a layer is a web page", "/layer", Fault::Html200, 502),
    ]
}

fn documents_beyond_help() -> Vec<Beyond> {
    vec![
        (
            "an ancestry that is no list",
            "/ancestry",
            Fault::json(200, r#"{"a":1}"#),
            502,
        ),
        (
            "an empty ancestry",
            "/ancestry",
            Fault::json(200, "[]"),
            502,
        ),
        (
            "a bad id in it",
            "/ancestry",
            Fault::json(200, r#"["../../etc/passwd"]"#),
            502,
        ),
        (
            "no ancestry",
            "/ancestry",
            Fault::json(404, r#"{"error":"Image not found"}"#),
            502,
        ),
        (
            "json that is none",
            "/json",
            Fault::json(200, "<html>"),
            502,
        ),
        ("a web page", "/json", Fault::Html200, 502),
        (
            "a size that is no number",
            "/json",
            Fault::Header("X-Docker-Size".into(), Some("many".into())),
            502,
        ),
        ("json fails for ever", "/json", Fault::bare(500, &[]), 502),
        (
            "a checksum of something else",
            "/json",
            Fault::Header(
                "X-Docker-Checksum-Payload".into(),
                Some(Content::from("other").digest()),
            ),
            502,
        ),
        ("the index fails", "/images", Fault::bare(500, &[]), 502),
        (
            "a bad id for the tag",
            "/tags",
            Fault::json(200, r#"{"1":"xyz"}"#),
            502,
        ),
        (
            "tags that are no map",
            "/tags",
            Fault::json(200, "[1]"),
            502,
        ),
        (
            "too many requests",
            "/repositories/",
            Fault::bare(429, &[("Retry-After", "7")]),
            503,
        ),
        ("nobody may", "/repositories/", Fault::json(403, "{}"), 403),
    ]
}

/// What cannot be had is refused with the status that says whose fault it is, and nothing of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_refused() {
    let mut wrong = Vec::new();
    for (what, on, fault, status) in documents_beyond_help()
        .into_iter()
        .chain(layers_beyond_help())
    {
        let (v1, image) = fixture().await;
        v1.registry().order_always(On::get(on), fault);
        let proxy = before(&v1, "v1").start().await;
        let read = manifest(&schema2(&proxy), "1").await;
        if read.status != status || read.codes().is_empty() {
            let body = String::from_utf8_lossy(&read.body).into_owned();
            wrong.push((what, status, read.status, body));
        }
        v1.registry().behave();
        if status == 502 {
            // No word of it is believed afterwards.
            let proxy = before(&v1, "v1").store(proxy.store()).start().await;
            pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Not found is 404 with a code; a digest that was never given out is not asked for, since v1 has none.
#[tokio::test]
async fn what_is_not_there() {
    let (v1, image) = fixture().await;
    let proxy = before(&v1, "v1").start().await;
    let client = schema2(&proxy);
    assert_eq!(manifest(&client, "2").await.status, 404);
    let read = client.read("/v2/old.test/library/none/manifests/1").await;
    assert_eq!(read.status, 404);
    let asked = v1.index().requests().len();
    let unknown = Content::from("unknown").digest();
    let refused = manifest(&client, &unknown).await;
    let text = String::from_utf8_lossy(&refused.body);
    assert_eq!(refused.status, 404);
    assert!(
        text.contains("Cannot pull by digest with v1 registry"),
        "{text}"
    );
    assert_eq!(
        v1.index().requests().len(),
        asked,
        "pull by digest never goes to v1"
    );
    // The image holds together by ids: with one gone it cannot be had, which is not "not found".
    v1.forget_image(&image.layers[0].id);
    assert_eq!(manifest(&client, "1").await.status, 502);
}

/// Endpoints that the index names are asked for tags in turn.
#[tokio::test]
async fn the_index_names_endpoints() {
    let v1 = V1Registry::indexed().await;
    let image = V1Image::new("app", &[700]);
    v1.push("library/app", "1", &image);
    let broken = V1Registry::standalone().await;
    broken
        .index()
        .order_always(On::path("/v1/"), Fault::bare(500, &[]));
    v1.name_endpoints(&[broken.index().host(), v1.registry().host()]);
    let proxy = before(&v1, "v1").start().await;
    pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
    let tags = broken
        .index()
        .requests()
        .iter()
        .filter(|seen| seen.path.contains("/tags"))
        .count();
    assert!(tags >= 1, "the first one was asked first");
    fetched_once(&v1, &image);
}

/// v2 comes first; what answers as v2 is never asked v1, and with `v2` nothing is.
#[tokio::test]
async fn v2_before_v1() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100]);
    for (api, tag, status) in [("auto", "1", 200), ("v2", "1", 200), ("v2", "2", 404)] {
        origin.forget_requests();
        let lines = format!("api = \"{api}\"");
        let proxy = Settings::default()
            .upstream("old.test", &[&origin], &lines)
            .start()
            .await;
        assert_eq!(
            manifest(&proxy.client(), tag).await.status,
            status,
            "{api} {tag}"
        );
        if status == 200 {
            proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
        }
        let v1: Vec<_> = origin
            .requests()
            .into_iter()
            .filter(|seen| seen.path.starts_with("/v1/"))
            .collect();
        assert!(v1.is_empty(), "{api} {tag}: {v1:?}");
    }
    // These say that v2 does not have it, which leaves v1 to be asked by tag.
    for code in ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "UNAUTHORIZED"] {
        let (v1, image) = fixture().await;
        let status = if code == "UNAUTHORIZED" { 401 } else { 404 };
        v1.index()
            .order_always(On::path("/v2/library/"), Fault::error(status, code));
        let proxy = before(&v1, "auto").start().await;
        pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
        fetched_once(&v1, &image);
    }
    let (v1, _) = fixture().await;
    let proxy = before(&v1, "v2").start().await;
    let read = manifest(&schema2(&proxy), "1").await;
    assert!(matches!(read.status, 404 | 502), "{}", read.status);
    assert!(
        v1.index()
            .requests()
            .iter()
            .all(|seen| !seen.path.starts_with("/v1/"))
    );
}

/// A conversion that takes longer than a client waits: 503 with `Retry-After`; it goes on, and the next try has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_outlives_the_patience_of_its_client() {
    let (v1, image) = fixture().await;
    let proxy = before(&v1, "v1").start().await;
    let gate = Gate::new();
    let top = format!("/v1/images/{}/layer", image.id());
    v1.registry()
        .order(On::get(&top), [Fault::Stall(100_000, gate.clone())]);
    let read = manifest(&schema2(&proxy), "1").await;
    assert_eq!(read.status, 503, "{}", String::from_utf8_lossy(&read.body));
    let wait: u64 = read.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(gate.held(), 1, "the layer is still on its way");
    gate.open();
    pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
    fetched_once(&v1, &image);
}

/// A client that leaves does not end the conversion.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_nothing() {
    let (v1, image) = fixture().await;
    let proxy = before(&v1, "v1").start().await;
    let gate = Gate::new();
    let top = format!("/v1/images/{}/layer", image.id());
    v1.registry()
        .order(On::get(&top), [Fault::Stall(100_000, gate.clone())]);
    let client = schema2(&proxy);
    let left = tokio::spawn(async move { manifest(&client, "1").await });
    gate.reached().await;
    left.abort();
    drop(left.await);
    gate.open();
    pull(&schema2(&proxy), "1", &image, V1Style::default()).await;
    fetched_once(&v1, &image);
}

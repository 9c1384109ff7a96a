use crate::{Client, End, Fault, On, Origin, V1Image, V1Registry, V1Style};
use serde_json::{Value, json};

const REPOSITORY: &str = "library/app";

async fn standalone() -> (V1Registry, Client, V1Image) {
    let v1 = V1Registry::standalone().await;
    let image = V1Image::new("app", &[700, 0, 100_000]);
    v1.push(REPOSITORY, "1", &image);
    let client = Client::new(v1.index().host());
    (v1, client, image)
}

fn body(read: &crate::Read) -> Value {
    serde_json::from_slice(&read.body).unwrap_or_default()
}

#[tokio::test]
async fn a_standalone_registry_speaks_v1_only() {
    let (_v1, client, image) = standalone().await;
    let ping = client.read("/v1/_ping").await;
    assert_eq!((ping.status, &ping.body[..]), (200, &b"true"[..]));
    assert_eq!(ping.header("x-docker-registry-standalone"), Some("True"));
    assert_eq!(client.read("/v2/").await.status, 404);
    let tags = client.read("/v1/repositories/library/app/tags").await;
    assert_eq!(
        (tags.status, body(&tags)),
        (200, json!({ "1": image.id() }))
    );
    for path in [
        "/v1/repositories/app/tags/1",
        "/v1/repositories/library/app/tags/1",
    ] {
        assert_eq!(body(&client.read(path).await), json!(image.id()), "{path}");
    }
    let top = format!("/v1/images/{}", image.id());
    let ancestry = client.read(&format!("{top}/ancestry")).await;
    let ids: Vec<_> = image.layers.iter().rev().map(|layer| &layer.id).collect();
    assert_eq!(body(&ancestry), json!(ids), "the image first");
    for layer in &image.layers {
        let read = client.read(&format!("/v1/images/{}/json", layer.id)).await;
        assert_eq!(read.body, layer.json);
        let size = layer.blob.len().to_string();
        assert_eq!(read.header("x-docker-size"), Some(size.as_str()));
        assert!(
            read.header("x-docker-checksum-payload")
                .unwrap()
                .starts_with("sha256:")
        );
        let read = client.read(&format!("/v1/images/{}/layer", layer.id)).await;
        assert_eq!((read.status, &read.body), (200, &layer.blob.bytes()));
        assert_eq!(read.header("accept-ranges"), Some("bytes"));
    }
    for (path, status) in [
        ("/v1/repositories/none/tags", 404),
        ("/v1/repositories/app/tags/2", 404),
        ("/v1/repositories/none/images", 404),
        ("/v1/images/xyz/json", 404),
        ("/v1/images/0123456789abcdef/json", 404),
        ("/v1/search", 404),
    ] {
        assert_eq!(client.read(path).await.status, status, "{path}");
    }
}

/// The word inside the token, and the forms of ranges.
#[tokio::test]
async fn quirks_of_the_python_registry() {
    let (v1, client, image) = standalone().await;
    let images = client
        .with("X-Docker-Token", "true")
        .read("/v1/repositories/library/app/images")
        .await;
    assert_eq!(
        images.header("x-docker-token"),
        Some(r#"Token signature=0000000000000001,repository="library/app",access=read"#)
    );
    assert_eq!(
        images.header("x-docker-endpoints"),
        Some(v1.index().host().as_str())
    );
    let layer = &image.layers[2];
    let (path, total) = (format!("/v1/images/{}/layer", layer.id), layer.blob.len());
    for (range, expected) in [
        ("5-9", Some((5, 9, 5))),
        ("5-", Some((5, total, total - 5))),
        (&format!("7-{total}"), Some((7, total, total - 7))),
        ("-7", None),
        ("9-5", None),
        ("x-", None),
    ] {
        let read = client.range(range).read(&path).await;
        let Some((first, last, length)) = expected else {
            assert_eq!(read.status, 416, "{range}");
            continue;
        };
        assert_eq!(read.status, 206, "{range}");
        let header = format!("{first}-{last}/{total}");
        assert_eq!(read.header("content-range"), Some(header.as_str()));
        assert_eq!(
            read.body,
            layer.blob.slice(first, first + length),
            "{range}"
        );
    }
}

#[tokio::test]
async fn a_standalone_registry_may_ask_for_a_password_each_time() {
    let (v1, client, image) = standalone().await;
    v1.require_login("ann", "secret");
    let with = client.with("Authorization", "Basic YW5uOnNlY3JldA==");
    let wrong = client.with("Authorization", "Basic YW5uOndyb25n");
    assert_eq!(client.read("/v1/_ping").await.status, 200);
    for path in [
        "/v1/repositories/app/tags".to_owned(),
        "/v1/repositories/app/images".to_owned(),
        format!("/v1/images/{}/layer", image.id()),
    ] {
        assert_eq!(client.read(&path).await.status, 401, "{path}");
        assert_eq!(wrong.read(&path).await.status, 401, "{path}");
        assert_eq!(with.read(&path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_index_names_its_registry_which_takes_its_tokens() {
    let v1 = V1Registry::indexed().await;
    let image = V1Image::new("app", &[700]);
    v1.push(REPOSITORY, "1", &image);
    v1.push("library/other", "1", &image);
    let (index, registry) = (
        Client::new(v1.index().host()),
        Client::new(v1.registry().host()),
    );
    assert_eq!(
        index
            .read("/v1/_ping")
            .await
            .header("x-docker-registry-standalone"),
        Some("False")
    );
    v1.require_login("ann", "secret");
    let look_up = "/v1/repositories/library/app/images";
    let index = index.with("X-Docker-Token", "true");
    assert_eq!(index.read(look_up).await.status, 401);
    let index = index.with("Authorization", "Basic YW5uOnNlY3JldA==");
    let read = index.read(look_up).await;
    assert_eq!(
        read.header("x-docker-endpoints"),
        Some(v1.registry().host().as_str())
    );
    let token = read.header("x-docker-token").unwrap();
    assert!(token.starts_with("signature="), "{token}");
    let with = registry.with("Authorization", &format!("Token {token}"));
    let tags = "/v1/repositories/library/app/tags";
    let layer = format!("/v1/images/{}/layer", image.id());
    for path in [tags, &layer] {
        let refused = registry.read(path).await;
        assert_eq!(
            (refused.status, refused.header("www-authenticate")),
            (401, Some("Token"))
        );
        assert_eq!(with.read(path).await.status, 200, "{path}");
    }
    let doubled = registry.with("Authorization", &format!("Token Token {token}"));
    assert_eq!(doubled.read(&layer).await.status, 200);
    assert_eq!(
        with.read("/v1/repositories/library/other/tags")
            .await
            .status,
        401
    );
    let part = with.range("5-").read(&layer).await;
    let total = image.layers[0].blob.len();
    let expected = format!("bytes 5-{}/{total}", total - 1);
    assert_eq!(part.header("content-range"), Some(expected.as_str()));
    v1.expire_tokens();
    assert_eq!(with.read(&layer).await.status, 401);
}

#[tokio::test]
async fn a_token_may_be_good_for_one_request_and_a_cookie() {
    let v1 = V1Registry::indexed().await;
    let image = V1Image::new("app", &[700]);
    v1.push(REPOSITORY, "1", &image);
    v1.require_cookies();
    let look_up = Client::new(v1.index().host()).with("X-Docker-Token", "true");
    let read = look_up.read("/v1/repositories/library/app/images").await;
    let token = format!("Token {}", read.header("x-docker-token").unwrap());
    let registry = Client::new(v1.registry().host());
    let with = registry.with("Authorization", &token);
    let tags = with.read("/v1/repositories/library/app/tags").await;
    let cookie = tags
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let layer = format!("/v1/images/{}/layer", image.id());
    assert_eq!(with.read(&layer).await.status, 401, "the token is spent");
    assert_eq!(
        registry.with("Cookie", cookie).read(&layer).await.status,
        200
    );
    assert_eq!(
        registry
            .with("Cookie", "session=of-x")
            .read(&layer)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn it_misbehaves_on_order_and_starts_again() {
    let (v1, client, image) = standalone().await;
    let storage = Origin::start().await;
    let layer = &image.layers[2];
    let digest = storage.push_blob("any", layer.blob.clone());
    let to = format!("{}/storage/{digest}", storage.url());
    let (json, path) = (
        format!("/v1/images/{}/json", layer.id),
        format!("/v1/images/{}/layer", layer.id),
    );
    let server = v1.registry();
    server.order(
        On::get(&json),
        [
            Fault::Header("X-Docker-Size".into(), None),
            Fault::Header("X-Docker-Size".into(), Some("1".into())),
            Fault::error(503, "UNAVAILABLE"),
        ],
    );
    assert_eq!(client.read(&json).await.header("x-docker-size"), None);
    assert_eq!(client.read(&json).await.header("x-docker-size"), Some("1"));
    assert_eq!(client.read(&json).await.status, 503);
    server.order(
        On::get(&path),
        [Fault::CutAt(5000), Fault::Redirect(to, 302)],
    );
    let cut = client.read(&path).await;
    assert_eq!((cut.end, cut.body.len()), (End::Cut, 5000));
    let location = client
        .read(&path)
        .await
        .header("location")
        .unwrap()
        .to_owned();
    assert!(location.starts_with(&storage.url()));
    server.order(On::get("/ancestry"), [Fault::json(200, r#"{"a":1}"#)]);
    let ancestry = format!("/v1/images/{}/ancestry", image.id());
    assert_eq!(body(&client.read(&ancestry).await), json!({ "a": 1 }));
    v1.forget_image(&image.layers[0].id);
    let base = format!("/v1/images/{}/json", image.layers[0].id);
    assert_eq!(client.read(&base).await.status, 404);
    assert_eq!(
        client.read(&ancestry).await.status,
        200,
        "it still names the base"
    );
    assert_eq!(server.orders_left(), 0);
    v1.stop().await;
    assert_eq!(client.read(&json).await.status, 0);
    v1.restart().await;
    assert_eq!(client.read(&json).await.body, layer.json);
    assert_eq!(
        server.count("GET", &json),
        4,
        "what was refused was not seen"
    );
}

#[test]
fn images_depend_only_on_their_arguments() {
    let image = V1Image::new("app", &[700, 100]);
    let again = V1Image::new("app", &[700, 100]);
    let all = |image: &V1Image| {
        let layers = image.layers.iter();
        layers
            .map(|layer| (layer.id.clone(), layer.json.clone(), layer.digest.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(&image), all(&again));
    assert_ne!(image.id(), V1Image::new("other", &[700, 100]).id());
    let parsed: Value = serde_json::from_slice(&image.layers[1].json).unwrap();
    assert_eq!(parsed["parent"], json!(image.layers[0].id));
    let base: Value = serde_json::from_slice(&image.layers[0].json).unwrap();
    assert_eq!(base.get("parent"), None);
    let words = parsed["container_config"]["Cmd"].as_array().unwrap();
    let words: Vec<_> = words.iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words.join(" "), V1Image::created_by(1));
    assert_ne!(image.layers[0].digest, image.layers[0].diff_id);
    let style = V1Style {
        gzipped: false,
        docker_version: "1.7.1",
    };
    let plain = V1Image::styled("app", &[700, 100], style);
    assert_eq!(plain.layers[0].digest, plain.layers[0].diff_id);
    let parsed: Value = serde_json::from_slice(&plain.layers[0].json).unwrap();
    assert_eq!(parsed["docker_version"], "1.7.1");
    assert_eq!(plain.bytes(), 2 * (512 + 1024 + 1024) - 512);
}

//! Schema 1 manifests: the original bytes for who asks for them, converted for everyone else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{
    Client, Content, Fault, Forgery, On, Origin, Proxy, Schema1, Signer, V1Image, media,
};
use serde_json::{Value, json};

const PREFIX: &str = "/v2/library/old";
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";

fn fixture() -> Schema1 {
    Schema1::of(
        &V1Image::new("old", &[700, 1000, 300_000]),
        "library/old",
        "1",
    )
}

fn signers() -> [(&'static str, Signer); 3] {
    [
        ("es256", Signer::es256()),
        ("rs256", Signer::rs256()),
        ("x5c", Signer::x5c()),
    ]
}

fn asking_for(proxy: &Proxy, types: &[&str]) -> Client {
    proxy.client().with("Accept", &types.join(", "))
}

/// Those that do not take schema 1, and what they are given. containerd says `*/*` as well and means it of anything
/// but schema 1.
fn newer(proxy: &Proxy) -> [(Client, &'static str); 3] {
    let containerd = [
        media::SCHEMA2,
        media::LIST,
        media::OCI_MANIFEST,
        media::OCI_INDEX,
        "*/*",
    ];
    [
        (
            asking_for(proxy, &[media::SCHEMA2, media::LIST]),
            media::SCHEMA2,
        ),
        (
            asking_for(proxy, &[media::OCI_MANIFEST, media::OCI_INDEX]),
            media::OCI_MANIFEST,
        ),
        (asking_for(proxy, &containerd), ""),
    ]
}

/// Those that take schema 1: Docker 20.10 and Podman do.
fn older(proxy: &Proxy) -> [Client; 2] {
    [
        asking_for(proxy, &[media::SCHEMA1_SIGNED]),
        asking_for(
            proxy,
            &[
                media::SCHEMA2,
                SCHEMA1,
                media::SCHEMA1_SIGNED,
                media::OCI_MANIFEST,
                "*/*",
            ],
        ),
    ]
}

/// Pulls by `name` what was converted, and checks everything that can be known; its digest.
async fn pull_converted(
    client: &Client,
    name: &str,
    schema1: &Schema1,
    media_type: &str,
) -> String {
    let path = format!("{PREFIX}/manifests/{name}");
    let read = client.read(&path).await;
    let what = String::from_utf8_lossy(&read.body).into_owned();
    assert_eq!(read.status, 200, "{name}: {what}");
    let digest = read.header("docker-content-digest").unwrap().to_owned();
    assert_eq!(Content::from(read.body.clone()).digest(), digest);
    assert_eq!(
        client.head(&path).await.header("docker-content-digest"),
        Some(&*digest)
    );
    let document: Value = serde_json::from_slice(&read.body).unwrap();
    let given = read.header("content-type").unwrap();
    assert_eq!(
        (&document["schemaVersion"], &document["mediaType"]),
        (&json!(2), &json!(given))
    );
    assert!(media_type.is_empty() || given == media_type, "{given}");
    let digests: Vec<_> = document["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["digest"])
        .collect();
    let layers = &schema1.image.layers;
    let held: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(
        json!(digests),
        json!(held),
        "what changed nothing is left out"
    );
    for layer in layers {
        client
            .pull_blob(&format!("{PREFIX}/blobs/{}", layer.digest), &layer.blob)
            .await;
    }
    let config = document["config"]["digest"].as_str().unwrap();
    let read = client.read(&format!("{PREFIX}/blobs/{config}")).await;
    assert_eq!(Content::from(read.body.clone()).digest(), config);
    let config: Value = serde_json::from_slice(&read.body).unwrap();
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
    assert_eq!(config["rootfs"]["diff_ids"], json!(diff_ids));
    let history = config["history"].as_array().unwrap();
    let empty: Vec<_> = history
        .iter()
        .map(|step| step["empty_layer"] == true)
        .collect();
    assert_eq!(empty, [false, true, false, false, true]);
    assert_eq!(config["config"]["Env"], json!(["a=b"]), "the newest step's");
    digest
}

async fn pull_original(client: &Client, name: &str, schema1: &Schema1, document: &[u8]) {
    let path = format!("{PREFIX}/manifests/{name}");
    for read in [client.read(&path).await, client.head(&path).await] {
        assert_eq!(
            read.status,
            200,
            "{name}: {}",
            String::from_utf8_lossy(&read.body)
        );
        assert_eq!(
            read.header("content-type"),
            Some(media::SCHEMA1_SIGNED),
            "{name}"
        );
        assert_eq!(
            read.header("docker-content-digest"),
            Some(&*schema1.digest),
            "{name}"
        );
        assert!(read.body.is_empty() || read.body == document, "{name}");
    }
}

/// Who takes the original pulls every blob it names, also those of steps that changed nothing.
async fn pull_blobs(client: &Client, schema1: &Schema1) {
    let payload: Value = serde_json::from_slice(&schema1.payload).unwrap();
    for layer in payload["fsLayers"].as_array().unwrap() {
        let digest = layer["blobSum"].as_str().unwrap();
        let read = client.read(&format!("{PREFIX}/blobs/{digest}")).await;
        assert_eq!(Content::from(read.body).digest(), digest);
    }
}

/// By tag as `Accept` says; by digest always what has that digest. All of it once more with the registry gone.
#[tokio::test(flavor = "multi_thread")]
async fn signed_manifests_for_old_and_new_clients() {
    for (what, signer) in signers() {
        let origin = Origin::start().await;
        let schema1 = fixture();
        let document = schema1.signed(&signer);
        schema1.push(&origin, document.clone(), &schema1.digest);
        let mut proxy = Proxy::unsure(&origin).start().await;
        for round in ["cold", "gone", "restarted"] {
            if round == "gone" {
                proxy.settled().await;
                origin.stop().await;
            }
            if round == "restarted" {
                proxy.restart().await;
            }
            for (client, media_type) in newer(&proxy) {
                let digest = pull_converted(&client, "1", &schema1, media_type).await;
                assert_ne!(digest, schema1.digest, "{what} {round}");
                // By digest the bytes are those that have it, for any client.
                for client in older(&proxy) {
                    let again = pull_converted(&client, &digest, &schema1, media_type).await;
                    assert_eq!(again, digest, "{what} {round}");
                }
                pull_original(&client, &schema1.digest, &schema1, &document).await;
            }
            for client in older(&proxy) {
                pull_original(&client, "1", &schema1, &document).await;
                pull_original(&client, &schema1.digest, &schema1, &document).await;
                pull_blobs(&client, &schema1).await;
            }
        }
        for layer in &schema1.image.layers {
            let path = format!("{PREFIX}/blobs/{}", layer.digest);
            assert_eq!(origin.count("GET", &path), 1, "{what}");
        }
    }
}

/// Blobs that a converted image does not have are nothing to wait for when the registry is gone.
#[tokio::test]
async fn a_converted_image_is_whole_without_what_was_thrown_away() {
    let origin = Origin::start().await;
    let schema1 = fixture();
    schema1.push(&origin, schema1.signed(&Signer::es256()), &schema1.digest);
    let proxy = Proxy::unsure(&origin).start().await;
    let [(client, media_type), ..] = newer(&proxy);
    let digest = pull_converted(&client, "1", &schema1, media_type).await;
    proxy.settled().await;
    origin.stop().await;
    for name in ["1", &*digest] {
        let again = pull_converted(&client, name, &schema1, media_type).await;
        assert_eq!(again, digest, "{name}");
    }
}

/// Without signatures the digest is that of the bytes; everything else is the same.
#[tokio::test]
async fn a_plain_manifest_is_converted_as_well() {
    let origin = Origin::start().await;
    let schema1 = fixture();
    schema1.push(&origin, schema1.signed(&Signer::es256()), &schema1.digest);
    origin.push_manifest("library/old", Some("1"), schema1.payload.clone(), SCHEMA1);
    let proxy = Proxy::start(&origin).await;
    for (client, media_type) in newer(&proxy) {
        pull_converted(&client, "1", &schema1, media_type).await;
    }
    for client in older(&proxy) {
        let read = client.read(&format!("{PREFIX}/manifests/1")).await;
        assert_eq!(
            (read.status, read.header("content-type")),
            (200, Some(SCHEMA1))
        );
        assert_eq!(read.body, schema1.payload);
        assert_eq!(read.header("docker-content-digest"), Some(&*schema1.digest));
    }
}

/// The signature is not part of what is converted: whoever signed, and wherever, the digest is the same.
#[tokio::test]
async fn digests_are_the_same_everywhere() {
    let mut given = Vec::new();
    for (_, signer) in signers() {
        let origin = Origin::start().await;
        let schema1 = fixture();
        schema1.push(&origin, schema1.signed(&signer), &schema1.digest);
        let proxy = Proxy::start(&origin).await;
        let [(docker, _), (oci, _), _] = newer(&proxy);
        let docker = pull_converted(&docker, "1", &schema1, media::SCHEMA2).await;
        given.push((
            docker,
            pull_converted(&oci, "1", &schema1, media::OCI_MANIFEST).await,
        ));
    }
    assert!(given.windows(2).all(|pair| pair[0] == pair[1]), "{given:?}");
}

/// A signature of something else, a payload that was changed, lists that do not match: 502, and nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn forged_manifests_are_refused() {
    let mut wrong = Vec::new();
    for (what, signer) in signers() {
        for forgery in [Forgery::Signature, Forgery::Payload, Forgery::History] {
            let origin = Origin::start().await;
            let schema1 = fixture();
            let (document, digest) = schema1.forged(&signer, forgery);
            schema1.push(&origin, document, &digest);
            let proxy = Proxy::unsure(&origin).start().await;
            let [first, second] = older(&proxy);
            let clients = newer(&proxy)
                .map(|(client, _)| client)
                .into_iter()
                .chain([first, second]);
            for client in clients {
                for name in ["1", &*digest] {
                    let read = client.read(&format!("{PREFIX}/manifests/{name}")).await;
                    let text = String::from_utf8_lossy(&read.body);
                    let reason = match forgery {
                        Forgery::Signature | Forgery::Payload => "signature",
                        Forgery::History => "history",
                    };
                    if read.status != 502 || read.codes().is_empty() || !text.contains(reason) {
                        wrong.push(format!("{what} {forgery:?} {name}: {} {text}", read.status));
                    }
                }
            }
            if !wrong.is_empty() {
                continue;
            }
            assert!(!proxy.keeps(&digest), "{what} {forgery:?}");
            let blobs = proxy
                .files()
                .into_iter()
                .filter(|file| file.starts_with("blobs"));
            assert_eq!(blobs.count(), 0, "{what} {forgery:?}");
            // The registry mends it: it is believed again.
            schema1.push(&origin, schema1.signed(&signer), &schema1.digest);
            let [(client, media_type), ..] = newer(&proxy);
            pull_converted(&client, "1", &schema1, media_type).await;
        }
    }
    assert!(wrong.is_empty(), "not 502: {wrong:#?}");
}

/// What was asked by digest must be that payload, even if it is well signed.
#[tokio::test]
async fn another_payload_than_the_digest_asked_for_is_refused() {
    let origin = Origin::start().await;
    let schema1 = fixture();
    let other = Schema1::of(&V1Image::new("other", &[10]), "library/old", "1");
    schema1.push(&origin, other.signed(&Signer::es256()), &schema1.digest);
    let proxy = Proxy::start(&origin).await;
    for client in older(&proxy) {
        let read = client
            .read(&format!("{PREFIX}/manifests/{}", schema1.digest))
            .await;
        assert_eq!(read.status, 502);
    }
    assert!(!proxy.keeps(&schema1.digest));
}

/// The conversion hashes what it is given: a layer that is not what the manifest says ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_lies_is_no_part_of_an_image() {
    let mut wrong = Vec::new();
    for (lie, status) in [
        (Fault::WrongBytes(500), 502),
        (Fault::Short(10), 502),
        (Fault::bare(500, &[]), 502),
        (Fault::error(404, "BLOB_UNKNOWN"), 502),
    ] {
        let origin = Origin::start().await;
        let schema1 = fixture();
        schema1.push(&origin, schema1.signed(&Signer::es256()), &schema1.digest);
        let layer = &schema1.image.layers[1].digest;
        origin.order_always(On::path(layer), lie.clone());
        let proxy = Proxy::unsure(&origin).start().await;
        let [(client, _), ..] = newer(&proxy);
        let read = client.read(&format!("{PREFIX}/manifests/1")).await;
        if read.status != status {
            wrong.push((format!("{lie:?}"), read.status));
        }
        assert!(!proxy.keeps(layer), "{lie:?}");
        // The original can be had all the same.
        let [old, _] = older(&proxy);
        assert_eq!(
            old.read(&format!("{PREFIX}/manifests/1")).await.status,
            200,
            "{lie:?}"
        );
        origin.behave();
        // A failure may be remembered for a while, by the process that met it; nothing of it may be kept.
        let proxy = Proxy::unsure(&origin).store(proxy.store()).start().await;
        let [(client, media_type), ..] = newer(&proxy);
        pull_converted(&client, "1", &schema1, media_type).await;
    }
    assert!(wrong.is_empty(), "not 502: {wrong:?}");
}

//! `longshore pull`, as users run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Output;

use longshore_tests::{
    Fault, On, Origin, Proxy, Schema1, Server, Settings, Signer, V1Image, V1Registry, binary,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

const PREFIX: &str = "/v2/library/app";

/// Runs `longshore pull` with this registry as `docker.io` and a store in `home`.
async fn pull(home: &Path, server: &Server, args: &[&str]) -> Output {
    let upstream = format!("docker.io={}", server.url());
    let store = format!("file://{}", home.join("store").display());
    let own = ["pull", "--store", &store, "--upstream", &upstream];
    Command::new(binary())
        .args(own.iter().chain(args))
        .env_clear()
        .env("HOME", home)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

fn stdout(output: &Output) -> Vec<&str> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().collect()
}

fn assert_success(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What was pulled is served while upstream is gone.
#[tokio::test]
async fn a_pull_warms_the_store_that_serve_serves_from() {
    let origin = Origin::start().await;
    let index = origin.index("library/app", "1", &["arm64", "amd64"], &[1000, 300_000]);
    let home = TempDir::new().unwrap();
    let args = ["--platform", "linux/amd64", "app:1"];
    let output = pull(home.path(), &origin, &args).await;
    assert_success(&output);
    let lines = stdout(&output);
    assert_eq!(lines[0], "1: Pulling from library/app");
    let digest = format!("Digest: {}", index.digest);
    let last = [
        digest.as_str(),
        "Status: Downloaded newer image for app:1",
        "docker.io/library/app:1",
    ];
    assert_eq!(lines[lines.len() - 3..], last, "{lines:?}");
    let output = pull(home.path(), &origin, &args).await;
    assert!(stdout(&output).contains(&"Status: Image is up to date for app:1"));
    let image = &index.images[1];
    for blob in image.blobs() {
        assert_eq!(origin.count("GET", &format!("{PREFIX}/blobs/{blob}")), 1);
    }
    origin.stop().await;
    let settings = Proxy::with(&origin).store(&home.path().join("store"));
    let proxy = settings.start().await;
    let client = proxy.client();
    let read = client.read(&format!("{PREFIX}/manifests/1")).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.body, index.manifest);
    client.pull(&origin, PREFIX, image, &image.digest, "").await;
}

/// A server and a pull share a folder.
#[tokio::test]
async fn a_pull_into_the_store_of_a_running_server() {
    let origin = Origin::start().await;
    let first = origin.image("library/app", "1", &[1000]);
    let second = origin.image("library/app", "2", &[300_000]);
    let home = TempDir::new().unwrap();
    let settings = Proxy::with(&origin).store(&home.path().join("store"));
    let proxy = settings.start().await;
    let client = proxy.client();
    client.pull(&origin, PREFIX, &first, "1", "").await;
    let output = pull(home.path(), &origin, &["--all-tags", "app"]).await;
    assert_success(&output);
    assert!(stdout(&output).contains(&"Status: Downloaded newer image for app"));
    origin.forget_requests();
    client.pull(&origin, PREFIX, &second, "2", "").await;
    for blob in second.blobs() {
        assert_eq!(origin.count("GET", &format!("{PREFIX}/blobs/{blob}")), 0);
    }
    client.pull(&origin, PREFIX, &first, "1", "").await;
}

#[tokio::test]
async fn old_images_are_converted_in_the_store() {
    let v1 = V1Registry::standalone().await;
    let image = V1Image::new("app", &[700, 0, 30_000]);
    v1.push("library/app", "1", &image);
    let home = TempDir::new().unwrap();
    let output = pull(home.path(), v1.index(), &["app:1"]).await;
    assert_success(&output);
    v1.stop().await;
    let settings = Settings::default().upstream("docker.io", &[v1.index()], "");
    let proxy = settings.store(&home.path().join("store")).start().await;
    let read = proxy.client().read(&format!("{PREFIX}/manifests/1")).await;
    assert_eq!(read.status, 200);
    let manifest: Value = serde_json::from_slice(&read.body).unwrap();
    for (layer, expected) in manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&image.layers)
    {
        let digest = layer["digest"].as_str().unwrap();
        assert_eq!(digest, expected.digest);
        let path = format!("{PREFIX}/blobs/{digest}");
        proxy.client().pull_blob(&path, &expected.blob).await;
    }
}

#[tokio::test]
async fn a_layout_for_other_programs() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000, 2000]);
    let schema1 = Schema1::of(&V1Image::new("old", &[1000]), "library/old", "1");
    let document = schema1.signed(&Signer::es256());
    schema1.push(&origin, document, &schema1.digest);
    let home = TempDir::new().unwrap();
    let folder = home.path().join("images");
    let to = format!("oci:{}", folder.display());
    let args = ["--platform", "linux/amd64", "--to", &to];
    for engine in ["docker", "containerd"] {
        let args = [&args[..], &["--engine", engine, "app:1"]].concat();
        let output = pull(home.path(), &origin, &args).await;
        assert_success(&output);
        let lines = stdout(&output);
        assert_eq!(lines[0], "1: Pulling from library/app");
        assert_eq!(lines[lines.len() - 1], "docker.io/library/app:1");
    }
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"][0]["digest"], image.digest.as_str());
    for digest in image.blobs().chain([&image.digest]) {
        let path = folder.join("blobs").join(digest.replace(':', "/"));
        assert!(path.exists(), "{digest}");
    }
    assert!(!home.path().join("store").exists(), "no store is opened");
    let refused = [&args[..], &["--schema1", "false", "old:1"]].concat();
    let output = pull(home.path(), &origin, &refused).await;
    assert_eq!(output.status.code(), Some(1));
    let converted = [&args[..], &["old:1"]].concat();
    assert_success(&pull(home.path(), &origin, &converted).await);
}

#[tokio::test]
async fn json_and_quiet() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let home = TempDir::new().unwrap();
    let to = format!("oci:{}:mine", home.path().join("images").display());
    let json = ["--to", &to, "--output", "json", "app:1"];
    let output = pull(home.path(), &origin, &json).await;
    assert_success(&output);
    let parse = |line: &&str| serde_json::from_str::<Value>(line).unwrap();
    let lines = stdout(&output);
    let messages: Vec<Value> = lines.iter().map(parse).collect();
    assert_eq!(messages[0]["status"], "Pulling from library/app");
    assert_eq!(messages[0]["id"], "1");
    let digest = format!("Digest: {}", image.digest);
    assert!(
        messages
            .iter()
            .any(|message| message["status"] == digest.as_str())
    );
    let missing = ["--to", &to, "--output", "json", "app:9"];
    let output = pull(home.path(), &origin, &missing).await;
    let last = stdout(&output).last().map(parse).unwrap();
    assert!(
        last["error"]
            .as_str()
            .unwrap()
            .starts_with("manifest for app:9 not found")
    );
    let output = pull(home.path(), &origin, &["--to", &to, "--quiet", "app:1"]).await;
    assert_eq!(stdout(&output), ["docker.io/library/app:1"]);
}

#[tokio::test]
async fn exit_codes_tell_failures_apart() {
    for to_layout in [true, false] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[2_000_000]);
        let home = TempDir::new().unwrap();
        let to = format!("oci:{}", home.path().join("images").display());
        let run = async |args: &[&str]| {
            let to: &[&str] = if to_layout { &["--to", &to] } else { &[] };
            let output = pull(home.path(), &origin, &[to, args].concat()).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.code(), said)
        };
        let (code, said) = run(&["app:9"]).await;
        assert_eq!(code, Some(3), "{said}");
        assert!(said.starts_with("longshore: "), "{said}");
        assert_eq!(run(&["--no-such-flag"]).await.0, Some(2));
        assert_eq!(run(&["Not A Reference"]).await.0, Some(2));
        origin.order_always(On::get(&image.layers[0]), Fault::WrongBytes(1_000_000));
        let (code, said) = run(&["app:1"]).await;
        assert_eq!(code, Some(6), "{said}");
        origin.behave();
        origin.order_always(On::path("/manifests/"), Fault::error(403, "DENIED"));
        let (code, said) = run(&["app:2"]).await;
        assert_eq!(code, Some(4), "{said}");
        origin.stop().await;
        let (code, said) = run(&["app:3"]).await;
        assert_eq!(code, Some(5), "{said}");
    }
}

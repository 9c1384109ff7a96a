//! `longshore copy`, `digest`, `inspect` and `tags`, as a person or a script meets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Fault, Image, On, Origin, binary};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

/// Runs a command with nothing of this machine's configuration.
async fn longshore(home: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env_clear().current_dir(home.path());
    command
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path());
    command.env(
        "CONTAINERS_REGISTRIES_CONF",
        home.path().join("registries.conf"),
    );
    let conf = home.path().join("registries.conf");
    if !conf.exists() {
        fs::write(conf, "").unwrap();
    }
    command.args(args).output().await.unwrap()
}

/// The standard output of a command that succeeds.
async fn says(home: &TempDir, args: &[&str]) -> String {
    let output = longshore(home, args).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and the standard error of a command that fails.
async fn fails(home: &TempDir, args: &[&str]) -> (i32, String) {
    let output = longshore(home, args).await;
    assert!(output.stdout.is_empty(), "{args:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), errors)
}

fn home() -> TempDir {
    TempDir::new().unwrap()
}

/// An image and its full name.
async fn image() -> (Origin, Image, String) {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000, 70_000]);
    let name = format!("{}/library/app:1", origin.host());
    (origin, image, name)
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[tokio::test]
async fn a_digest_without_a_download() {
    let (origin, image, name) = image().await;
    let home = home();
    assert_eq!(
        says(&home, &["digest", &name]).await,
        format!("{}\n", image.digest)
    );
    let with_transport = format!("docker://{name}");
    let json = says(&home, &["digest", "--output", "json", &with_transport]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["digest"], *image.digest);
    assert_eq!(json["mediaType"], image.media_type);
    assert_eq!(json["size"], image.manifest.len());
    assert_eq!(origin.count("GET", "/v2/library/app/manifests/1"), 0);

    let index = origin.index("library/app", "2", &["amd64", "arm64"], &[10]);
    let name = format!("{}/library/app:2", origin.host());
    assert_eq!(says(&home, &["digest", &name]).await.trim(), index.digest);
    let args = ["digest", "--platform", "linux/arm64", &name];
    assert_eq!(says(&home, &args).await.trim(), index.images[1].digest);
}

#[tokio::test]
async fn tags_of_a_repository() {
    let (origin, ..) = image().await;
    origin.image("library/app", "2", &[10]);
    let home = home();
    let repository = format!("{}/library/app", origin.host());
    assert_eq!(says(&home, &["tags", &repository]).await, "1\n2\n");
    let json = says(&home, &["tags", "--output", "json", &repository]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["name"], *repository);
    assert_eq!(json["tags"], serde_json::json!(["1", "2"]));
}

#[tokio::test]
async fn an_image_is_inspected() {
    let (origin, image, name) = image().await;
    let home = home();
    let raw = says(&home, &["inspect", "--raw", &name]).await;
    assert_eq!(raw.as_bytes(), image.manifest);
    let config = says(&home, &["inspect", "--config", &name]).await;
    assert_eq!(config.as_bytes(), origin.blob(&image.config).bytes());
    let text = says(&home, &["inspect", &name]).await;
    assert!(
        text.contains(&format!("Digest:      {}\n", image.digest)),
        "{text}"
    );
    let json = says(&home, &["inspect", "--output", "json", &name]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["layers"][1]["digest"], *image.layers[1]);
    assert_eq!(json["platform"], "linux/amd64");

    let index = origin.index("library/app", "2", &["amd64", "arm64"], &[10]);
    let name = format!("{}/library/app:2", origin.host());
    let raw = says(&home, &["inspect", "--raw", &name]).await;
    assert_eq!(raw.as_bytes(), index.manifest);
    let args = ["inspect", "--raw", "--platform", "linux/arm64", &name];
    assert_eq!(
        says(&home, &args).await.as_bytes(),
        index.images[1].manifest
    );
}

/// From the registry through a layout and an archive into a folder: the same bytes, and the digest on standard output.
#[tokio::test]
async fn an_image_is_copied() {
    let (origin, image, name) = image().await;
    let home = home();
    let registry = format!("docker://{name}");
    for (from, to) in [
        (&*registry, "oci:layout:v1"),
        ("oci:layout:v1", "oci-archive:layout.tar:v1"),
        ("oci-archive:layout.tar", "dir:folder"),
    ] {
        let said = says(&home, &["copy", from, to]).await;
        assert_eq!(said.trim(), image.digest, "{from} {to}");
    }
    assert_eq!(
        read(home.path().join("folder/manifest.json")),
        image.manifest
    );
    for blob in image.blobs() {
        let hex = blob.strip_prefix("sha256:").unwrap();
        assert_eq!(
            read(home.path().join("folder").join(hex)),
            origin.blob(blob).bytes()
        );
    }
    let output = longshore(&home, &["copy", "--quiet", &registry, "dir:quiet"]).await;
    assert!(output.stderr.is_empty(), "{output:?}");
    let args = [
        "copy",
        "--output",
        "json",
        &registry,
        "docker-archive:a.tar:app:1",
    ];
    let json: Value = serde_json::from_str(&says(&home, &args).await).unwrap();
    assert_eq!(json["source"], *image.digest);
    assert_eq!(json["digest"], *image.config);
    let args = ["copy", "--all", "docker-archive:a.tar", "oci:all"];
    says(&home, &args).await;
    let digest = says(&home, &["digest", "oci:all"]).await;
    assert!(digest.starts_with("sha256:"), "{digest}");
}

/// Scripts tell by the exit code what went wrong.
#[tokio::test]
async fn exit_codes() {
    let (origin, image, name) = image().await;
    let home = home();
    let registry = format!("docker://{name}");
    let missing = format!("docker://{}/library/app:2", origin.host());
    let cases = |cases: &[(i32, &[&str])]| {
        let owned = |(code, args): &(i32, &[&str])| {
            (
                *code,
                args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(),
            )
        };
        cases.iter().map(owned).collect::<Vec<_>>()
    };
    fs::write(
        home.path().join("reject.json"),
        r#"{"default":[{"type":"reject"}]}"#,
    )
    .unwrap();
    fs::write(home.path().join("bad.json"), "{}").unwrap();
    for (code, args) in cases(&[
        (2, &["copy", &registry]),
        (2, &["copy", &registry, "ostree:x"]),
        (2, &["copy", "--policy", "bad.json", &registry, "oci:x"]),
        (
            2,
            &["copy", "--registries-conf", "missing", &registry, "oci:x"],
        ),
        (2, &["digest", "UPPER"]),
        (2, &["inspect", "--raw", "--config", &name]),
        (3, &["copy", &missing, "oci:x"]),
        (3, &["digest", &missing]),
        (3, &["inspect", "oci:missing"]),
        (3, &["inspect", "docker-archive:missing.tar"]),
        (5, &["digest", "127.0.0.1:1/app"]),
        (6, &["copy", "--policy", "reject.json", &registry, "oci:x"]),
        (1, &["copy", "--label", "vendor", &registry, "oci:x"]),
        (1, &["copy", &registry, &registry]),
    ]) {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let (found, errors) = fails(&home, &args).await;
        assert_eq!(found, code, "{args:?}: {errors}");
    }
    origin.order_always(On::get(&image.layers[1]), Fault::WrongBytes(10));
    let (code, errors) = fails(&home, &["copy", &registry, "oci:x"]).await;
    assert_eq!(code, 6, "{errors}");
    assert!(!home.path().join("x/index.json").exists());

    origin.require_basic("user", "password");
    let (code, errors) = fails(&home, &["digest", &name]).await;
    assert_eq!(code, 4, "{errors}");
    let (code, errors) = fails(&home, &["digest", "--creds", "user:other", &name]).await;
    assert_eq!(code, 4, "{errors}");
    assert!(!errors.contains("other"), "{errors}");
    let args = ["digest", "--creds", "user:password", &name];
    assert_eq!(says(&home, &args).await.trim(), image.digest);
}

/// `--auth-file`, and the files of podman and docker in their order.
#[tokio::test]
async fn credentials_of_files() {
    let (origin, image, name) = image().await;
    origin.require_basic("user", "password");
    let home = home();
    let file = format!(
        r#"{{"auths":{{"{}":{{"auth":"dXNlcjpwYXNzd29yZA=="}}}}}}"#,
        origin.host()
    );
    fs::write(home.path().join("mine.json"), &file).unwrap();
    let args = ["digest", "--auth-file", "mine.json", &name];
    assert_eq!(says(&home, &args).await.trim(), image.digest);
    fs::create_dir(home.path().join(".docker")).unwrap();
    fs::write(home.path().join(".docker/config.json"), &file).unwrap();
    assert_eq!(says(&home, &["digest", &name]).await.trim(), image.digest);
    let (code, errors) = fails(&home, &["digest", "--no-creds", &name]).await;
    assert_eq!(code, 4, "{errors}");
}

/// Mirrors, short names and blocked registries of a registries.conf.
#[tokio::test]
async fn registries_conf() {
    let (origin, image, _) = image().await;
    let home = home();
    let conf = format!(
        "unqualified-search-registries = [\"blocked.test\", \"{host}\"]\n\
         [[registry]]\nlocation = \"blocked.test\"\nblocked = true\n\
         [[registry]]\nprefix = \"quay.test\"\nlocation = \"{host}/library\"\n",
        host = origin.host()
    );
    fs::write(home.path().join("mine.conf"), conf).unwrap();
    for name in [
        "library/app:1",
        "quay.test/app:1",
        "docker://quay.test/app:1",
    ] {
        let args = ["digest", "--registries-conf", "mine.conf", name];
        assert_eq!(says(&home, &args).await.trim(), image.digest, "{name}");
    }
    let args = [
        "digest",
        "--registries-conf",
        "mine.conf",
        "blocked.test/app:1",
    ];
    let (code, errors) = fails(&home, &args).await;
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("is blocked in"), "{errors}");
}

#[tokio::test]
async fn help_has_examples() {
    let home = home();
    for command in ["copy", "digest", "inspect", "tags"] {
        let help = says(&home, &[command, "--help"]).await;
        assert!(help.contains("Examples:\n  longshore "), "{help}");
        assert!(help.contains("6 verification failure"), "{help}");
    }
}

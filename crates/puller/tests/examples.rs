//! The examples as their readers run them: as programs, against a registry that wants tokens, with docker's credentials.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use longshore_manifest::layout;
use longshore_reference::Digest;
use longshore_tests::{Bearer, Index, Origin};
use tempfile::TempDir;
use tokio::process::Command;

/// A registry that gives tokens to one user, and that user's docker configuration.
struct Setting {
    origin: Origin,
    index: Index,
    docker: TempDir,
}

impl Setting {
    async fn new() -> Self {
        let origin = Origin::start().await;
        let platforms = ["amd64", "arm64"];
        let index = origin.index("library/app", "1", &platforms, &[1000, 200_000]);
        let (user, password) = ("puller".to_owned(), "secret".to_owned());
        let auth = STANDARD.encode(format!("{user}:{password}"));
        origin.require_bearer(Bearer {
            credentials: Some((user, password)),
            ..Bearer::default()
        });
        let docker = tempfile::tempdir().unwrap();
        let config = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, origin.host());
        std::fs::write(docker.path().join("config.json"), config).unwrap();
        Self {
            origin,
            index,
            docker,
        }
    }

    fn name(&self) -> String {
        format!("{}/library/app:1", self.origin.host())
    }

    async fn run(&self, example: &str, arguments: &[&str]) -> Output {
        let program = program(example);
        assert!(
            program.exists(),
            "{} is not there: `cargo test -p longshore-puller` builds the examples",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DOCKER_CONFIG", self.docker.path());
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example} {arguments:?}: {said}");
        output
    }

    /// The image of this machine's platform.
    fn image(&self) -> &longshore_tests::Image {
        match std::env::consts::ARCH {
            "aarch64" => &self.index.images[1],
            _ => &self.index.images[0],
        }
    }
}

/// Beside the folder of the tests' own program.
fn program(example: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(2).unwrap();
    target.join("examples").join(example)
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap().trim_end()
}

fn assert_is(path: &Path, digest: &str) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(
        Digest::sha256(&bytes).to_string(),
        digest,
        "{}",
        path.display()
    );
}

#[tokio::test]
async fn resolves_a_digest() {
    let setting = Setting::new().await;
    let output = setting.run("resolve", &[&setting.name()]).await;
    let (name, digest) = text(&output).split_once('@').unwrap();
    assert_eq!(name, format!("{}/library/app", setting.origin.host()));
    assert_eq!(digest, setting.index.digest);
}

#[tokio::test]
async fn pulls_an_image_to_a_folder() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    setting.run("pull", &[&setting.name(), path]).await;
    let image = setting.image();
    assert_is(&folder.path().join("manifest.json"), &image.digest);
    for blob in image.blobs() {
        let (_, hex) = blob.split_once(':').unwrap();
        assert_is(&folder.path().join(hex), blob);
    }
}

#[tokio::test]
async fn streams_a_layer() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer");
    let path = file.to_str().unwrap();
    setting.run("layer", &[&setting.name(), "1", path]).await;
    assert_is(&file, &setting.image().layers[1]);
}

#[tokio::test]
async fn copies_to_an_oci_layout() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    setting.run("layout", &[&setting.name(), path]).await;
    let index = std::fs::read(folder.path().join(layout::INDEX_FILE)).unwrap();
    let index = layout::Index::decode(index.into()).unwrap();
    let found = index.find(Some(&setting.name())).unwrap();
    let image = setting.image();
    assert_eq!(found.digest.to_string(), image.digest);
    for blob in image.blobs().chain([&image.digest]) {
        let digest = Digest::parse(blob).unwrap();
        assert_is(&folder.path().join(layout::blob_path(&digest)), blob);
    }
}

#[tokio::test]
async fn lists_tags() {
    let setting = Setting::new().await;
    setting.origin.image("library/app", "2", &[10]);
    let name = setting.name();
    let (repository, _) = name.rsplit_once(':').unwrap();
    let output = setting.run("tags", &[repository]).await;
    assert_eq!(text(&output), "1\n2");
}

#[tokio::test]
async fn inspects_a_configuration() {
    let setting = Setting::new().await;
    for platform in ["linux/amd64", "linux/arm64"] {
        let output = setting.run("inspect", &[&setting.name(), platform]).await;
        let first = text(&output).lines().next().unwrap();
        assert!(
            first.starts_with(&format!("platform: {platform}")),
            "{first}"
        );
    }
}

//! The command line, the configuration file and the log, as an operator meets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Client, Origin, Proxy, binary};
use std::net::SocketAddr;
use std::process::{Command, Output};
use tempfile::TempDir;
use tokio::net::TcpSocket;

fn longshore(home: &TempDir, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .env("HOME", home.path())
        .output()
        .unwrap()
}

/// "an unknown key is refused by name".
#[test]
fn an_unknown_key_is_refused_by_name() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("longshore.toml");
    std::fs::write(
        &file,
        "listen = \"127.0.0.1:0\"\n[defaults]\nrevalidatee = \"1m\"\n",
    )
    .unwrap();
    for command in [&["check-config"][..], &["serve", "--config"]] {
        let args = [command, &[file.to_str().unwrap()]].concat();
        let output = longshore(&home, &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?}");
        assert!(
            said.contains("revalidatee") && said.contains("longshore.toml"),
            "{said}"
        );
    }
    std::fs::write(&file, "").unwrap();
    let output = longshore(&home, &["check-config", file.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "an empty file works: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The version, and usage errors.
#[test]
fn version_and_usage() {
    let home = TempDir::new().unwrap();
    let version = longshore(&home, &["--version"]);
    let text = String::from_utf8(version.stdout).unwrap();
    assert!(
        version.status.success() && text.contains(env!("CARGO_PKG_VERSION")),
        "{text}"
    );
    let wrong = longshore(&home, &["serve", "--no-such-flag"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--no-such-flag"));
}

/// "with no file and no set-up"; `--listen`, `--store`, `--upstream NAME=URL` are the short form.
#[tokio::test]
async fn serve_by_flags_alone() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let home = TempDir::new().unwrap();
    let port = TcpSocket::new_v4().unwrap();
    port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    port.set_reuseaddr(true).unwrap();
    let address = port.local_addr().unwrap().to_string();
    let mut child = Command::new(binary())
        .args(["serve", "--listen", &address])
        .args([
            "--store",
            &format!("file://{}/store", home.path().display()),
        ])
        .args(["--upstream", &format!("docker.io={}", origin.url())])
        .env("HOME", home.path())
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let client = Client::new(address);
    let ready = async {
        while client.read("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(longshore_tests::PATIENCE, ready).await;
    if in_time.is_ok() {
        client
            .pull(&origin, "/v2/library/app", &image, "1", "")
            .await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    in_time.expect("it becomes ready");
    assert!(home.path().join("store/blobs").is_dir());
}

/// "Access log and events through `tracing`, text on a terminal, JSON elsewhere; secrets and URL queries
/// never logged."
#[tokio::test]
async fn the_log_is_json_without_queries() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let proxy = Proxy::start(&origin).await;
    let query = "?ns=docker.io&signature=hidden-word";
    proxy
        .client()
        .pull(&origin, "/v2/library/app", &image, "1", query)
        .await;
    proxy
        .client()
        .with("Authorization", "Bearer hidden-word")
        .read("/v2/other/manifests/1?hidden-word")
        .await;
    let log = proxy.log();
    assert!(!log.contains("hidden-word"), "{log}");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for outcome in ["miss", "hit"] {
        assert!(
            lines
                .iter()
                .any(|line| line["fields"]["outcome"] == outcome || line["outcome"] == outcome),
            "{log}"
        );
    }
    assert!(log.contains("library/app"), "{log}");
}

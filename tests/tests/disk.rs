//! The disk: files that are not what was committed are never served, and the store stays within its bounds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use longshore_tests::{Content, Image, Origin, Proxy};

const SIZE: u64 = (2 << 20) + 7;

/// Where the store keeps a digest.
fn path_of(proxy: &Proxy, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    proxy.store().join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// Changes a file in place, keeping its modification time.
fn change(path: &PathBuf, how: &str) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    match how {
        "emptied" => bytes.clear(),
        "cut in half" => bytes.truncate(bytes.len() / 2),
        "grown" => bytes.push(1),
        _ => bytes[SIZE as usize / 3] ^= 4,
    }
    fs::write(path, bytes).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
}

/// "The file of a blob is emptied, cut, or one bit of it flips, while nothing runs or under the running proxy: the
/// body is right, from every repository, and so are HEAD and ranges".
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_never_served() {
    for (seed, how) in ["emptied", "cut in half", "grown", "one bit"]
        .into_iter()
        .enumerate()
    {
        for stopped in [true, false] {
            let origin = Origin::start().await;
            let content = Content::seeded(seed as u64, SIZE);
            let digest = origin.push_blob("library/app", content.clone());
            origin.push_blob("library/other", content.clone());
            let path = |repository| format!("/v2/library/{repository}/blobs/{digest}");
            let mut proxy = Proxy::start(&origin).await;
            proxy.client().pull_blob(&path("app"), &content).await;
            proxy.settled().await;
            if stopped {
                proxy.kill();
            }
            change(&path_of(&proxy, &digest), how);
            if stopped {
                proxy.restart().await;
            }
            let head = proxy.client().head(&path("other")).await;
            assert_eq!(
                head.header("content-length"),
                Some(&*SIZE.to_string()),
                "{how}"
            );
            proxy.client().pull_blob(&path("other"), &content).await;
            proxy.client().pull_blob(&path("app"), &content).await;
            proxy.settled().await;
            assert!(proxy.keeps(&digest), "{how}: fetched again");
            let quarantined = proxy.metric("longshore_store_quarantined_total", &[]).await;
            assert_eq!(quarantined, 1.0, "{how}");
        }
    }
}

/// Whether manifest, configuration and layers of an image are all on disk.
fn whole(proxy: &Proxy, image: &Image) -> bool {
    proxy.keeps(&image.digest) && image.blobs().all(|blob| proxy.keeps(blob))
}

async fn pull(proxy: &Proxy, repository: &str, image: &Image) {
    let manifest = format!("/v2/{repository}/manifests/latest");
    assert_eq!(proxy.client().read(&manifest).await.status, 200);
    for blob in image.blobs() {
        let read = proxy
            .client()
            .read(&format!("/v2/{repository}/blobs/{blob}"))
            .await;
        assert_eq!(read.status, 200, "{blob}");
    }
    proxy.settled().await;
}

/// "`capacity` bounds the store: whole images go, pinned ones stay, and what is left is served without upstream".
#[tokio::test(flavor = "multi_thread")]
async fn the_store_stays_within_its_capacity() {
    let origin = Origin::start().await;
    let names: Vec<_> = (0..8)
        .map(|number| format!("library/app{number}"))
        .collect();
    let images: Vec<_> = names
        .iter()
        .map(|name| origin.image(name, "latest", &[400_000, 600_000]))
        .collect();
    let proxy = Proxy::with(&origin)
        .store_line("capacity = \"3500kB\"")
        .store_line("pins = [\"docker.io/library/app0:latest\"]")
        .defaults("revalidate = \"forever\"")
        .start()
        .await;
    for (name, image) in names.iter().zip(&images) {
        pull(&proxy, name, image).await;
    }
    proxy
        .until_metric("longshore_store_bytes", &[], |bytes| bytes <= 3_500_000.0)
        .await;
    let evicted = [("reason", "capacity")];
    let evicted = proxy
        .metric("longshore_evicted_bytes_total", &evicted)
        .await;
    assert!(evicted >= 4_000_000.0, "{evicted}");
    assert!(whole(&proxy, &images[0]), "pinned");
    for image in &images {
        assert!(
            whole(&proxy, image) || !proxy.keeps(&image.digest),
            "images go whole"
        );
    }
    origin.stop().await;
    let left: Vec<_> = (0..8).filter(|at| whole(&proxy, &images[*at])).collect();
    assert!(left.len() >= 2);
    for at in left {
        pull(&proxy, &names[at], &images[at]).await;
    }
}

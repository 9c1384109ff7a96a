//! Names and digests that try to leave the store, or to confuse who parses them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Origin, Proxy};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What is in the folder that holds the store, the proxy's own log and configuration aside.
fn surroundings(proxy: &Proxy) -> BTreeSet<PathBuf> {
    fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            found.insert(entry.path());
            if entry.path().is_dir() {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(proxy.store().parent().unwrap(), &mut found);
    found
}

fn paths() -> Vec<String> {
    let (long, deep) = ("a".repeat(300), "a/".repeat(200));
    let mut paths: Vec<_> = OTHERS.iter().map(|path| (*path).to_owned()).collect();
    for name in NAMES.iter().copied().chain([long.as_str(), &deep]) {
        for prefix in ["/v2/", "/v2/docker.io/", "/docker.io/v2/"] {
            paths.push(format!("{prefix}{name}/manifests/1"));
            paths.push(format!("{prefix}{name}/blobs/sha256:{HEX}"));
            paths.push(format!("{prefix}{name}/tags/list"));
        }
    }
    let huge = format!("sha256:{}", "a".repeat(10_000));
    let upper = format!("sha256:{}", HEX.to_uppercase());
    for digest in DIGESTS
        .iter()
        .map(|digest| digest.replace("HEX", HEX))
        .chain([huge, upper])
    {
        paths.push(format!("/v2/library/app/blobs/{digest}"));
        paths.push(format!("/v2/library/app/referrers/{digest}"));
        paths.push(format!("/v2/library/app/manifests/{digest}"));
    }
    for tag in TAGS.iter().copied().chain([&long[..129]]) {
        paths.push(format!("/v2/library/app/manifests/{tag}"));
    }
    paths
}

/// No names of repositories.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "..", "../..", "../../etc", "a/../b", "a/..", ".", "a/./b", "a//b", "/a", "a/", "%2e%2e", "%2e%2e/%2e%2e",
    "..%2f..%2fetc", "a%2f..%2fb", "a%2fb", "a%2fb%00", "%00", "a%00b", "a%2e%2e", "..%5c..", "a\\b", "A", "library/APP",
    "a b", "a%20b", "a\tb", "ａ", "%ef%bd%81", "é", "%c3%a9", "\u{202e}a", "%e2%80%ae", "a\u{0301}", "%ff%fe", "%",
    "%2", "%zz", "-a", "a-", "_a", "a__", "a___b", "a..b", "a._b", "~", "~root", "$HOME", "`id`", "a;b", "a:b", "a@b",
    "%252e%252e", "%252f",
];

/// No digests; `HEX` stands for 64 good digits.
#[rustfmt::skip]
const DIGESTS: &[&str] = &[
    "sha256:..", "sha256:../../../etc/passwd", "sha256:..%2f..%2f..%2fetc%2fpasswd", "sha256:", ":", "sha256:%00", "..",
    "%2e%2e", "../../etc/passwd", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "md5:d41d8cd98f00b204e9800998ecf8427e",
    "sha256:HEX0", "sha256:HEX/..", "sha256:HEX%2f..", "SHA256:HEX", "sha512:HEX", "../sha256:HEX", "sha256:é",
];

/// No tags.
#[rustfmt::skip]
const TAGS: &[&str] = &[
    ".hidden", ".", "-a", "a/b", "a%2fb", "a%00", "é", "%c3%a9", "a b", "a%20b", "@", "a@b", "", "a:b",
];

/// No routes.
#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/v2/../../etc/passwd", "/v1/_ping", "/v2/_catalog", "/v3/", "//v2/", "/v2//",
    "/v2/library/app", "/v2/library/app/", "/v2/manifests/1", "/v2/blobs/", "/v2/library/app/blobs/uploads/", "/..",
    "/v2/library/app/tags/", "/v2/library/app/tags/other", "/metrics/../v2/../../etc/passwd", "/v2/library/app/blobs/sha256",
    "/v2/library/app/manifests/1?ns=../../etc", "/v2/library/app/manifests/1?ns=%2e%2e%2f", "/v2/library/app/manifests/1?ns=%00",
    "/v2/library/app/manifests/1?ns=%ff", "/../v2/library/app/manifests/1", "/%2e%2e/v2/library/app/manifests/1",
];

/// "Names and digests that try to leave the store (`..`, encoded slashes, huge names, odd Unicode) get 400/404
/// and touch nothing."
#[tokio::test]
async fn nothing_leaves_the_store() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100]);
    let proxy = Proxy::start(&origin).await;
    proxy
        .client()
        .pull(&origin, "/v2/library/app", &image, "1", "")
        .await;
    proxy.settled().await;
    let (before, asked) = (surroundings(&proxy), origin.requests().len());
    for path in paths() {
        for method in ["GET", "HEAD"] {
            let read = proxy.client().send(method, &path).await.read().await;
            // hyper itself refuses what is not a URI, with a bare 400.
            assert!(
                read.status == 400 || read.status == 404,
                "{method} {path:?}: {} {:?}",
                read.status,
                String::from_utf8_lossy(&read.body)
            );
        }
    }
    assert_eq!(surroundings(&proxy), before);
    let after: Vec<_> = origin.requests().split_off(asked);
    assert!(after.is_empty(), "{after:#?}");
    proxy
        .client()
        .pull(&origin, "/v2/library/app", &image, "1", "")
        .await;
}

/// Names that look like parts of the protocol are names.
#[tokio::test]
async fn names_that_look_like_routes() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    for name in [
        "blobs/app",
        "manifests/app",
        "tags/list",
        "v2/app",
        "a/manifests/b/blobs",
        "referrers/x",
    ] {
        let image = origin.image(name, "1", &[10]);
        proxy
            .client()
            .pull(&origin, &format!("/v2/docker.io/{name}"), &image, "1", "")
            .await;
        proxy
            .client()
            .pull(
                &origin,
                &format!("/v2/{name}"),
                &image,
                "1",
                "?ns=docker.io",
            )
            .await;
    }
}

//! The pull of docker on containerd: each branch of its flow.
#![cfg(feature = "pull")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

mod pull_common;

use std::io;

use bytes::Bytes;
use futures_util::FutureExt;
use longshore_manifest::{MediaType, Platform};
use longshore_puller::docker::labels;
use longshore_puller::pull::{
    Content, ErrorKind, Image, Ingest, Job, Layout, Lease, Options, Record, Unpacked,
};
use longshore_reference::{Digest, Named};
use longshore_tests::{Bearer, Fault, On, Schema1, Signer, V1Image, media};
use pull_common::*;

const APP: &str = "registry.test/library/app:1";

fn status(what: &str) -> String {
    format!("Status: {what} for {APP}")
}

#[tokio::test]
async fn an_image_that_is_new() {
    let rig = Rig::new(Options::containerd()).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    let (pulled, lines) = rig.pull(APP).await;
    let layer = short(&image.layers[0]);
    assert_eq!(
        lines,
        [
            "1: Pulling from library/app".to_owned(),
            format!("{layer}: Pulling fs layer"),
            format!("{layer}: Download complete"),
            format!("pulled {APP}"),
            format!("Digest: {}", image.digest),
            status("Downloaded newer image"),
        ]
    );
    let pulled = pulled.unwrap();
    let labels = pulled.images[0].snapshot_labels();
    assert_eq!(labels[0][labels::IMAGE_REF], APP);
    assert_eq!(labels[0][labels::MANIFEST_DIGEST], image.digest);
    assert_eq!(labels[0][labels::LAYER_DIGEST], image.layers[0]);
}

#[tokio::test]
async fn an_image_that_is_held() {
    let rig = Rig::new(Options::containerd()).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    rig.lines(APP).await;
    let layer = short(&image.layers[0]);
    assert_eq!(
        rig.lines(APP).await,
        [
            "1: Pulling from library/app".to_owned(),
            format!("{layer}: Pulling fs layer"),
            format!("{layer}: Already exists"),
            format!("pulled {APP}"),
            format!("Digest: {}", image.digest),
            status("Image is up to date"),
        ]
    );
    let name = format!("registry.test/library/app@{}", image.digest);
    let lines = rig.lines(&name).await;
    assert_eq!(lines[0], format!("{name}: Pulling from library/app"));
    let both = format!("{APP}@{}", image.digest);
    let lines = rig.lines(&both).await;
    assert_eq!(lines[0], "1: Pulling from library/app", "the tag is shown");
}

#[tokio::test]
async fn the_old_image_is_kept_by_its_digest() {
    let rig = Rig::new(Options::containerd()).await;
    let old = rig.origin.image("library/app", "1", &[1000]);
    rig.lines(APP).await;
    let new = rig.origin.image("library/app", "1", &[2000]);
    let lines = rig.lines(APP).await;
    assert_eq!(lines.last(), Some(&status("Downloaded newer image")));
    let layout = rig.layout().await;
    let held = async |digest: &str| {
        let name = labels::dangling_name(Digest::parse(digest).unwrap());
        layout.image(&name).await.unwrap()
    };
    let kept = held(&old.digest).await.unwrap();
    assert_eq!(kept.target.digest.to_string(), old.digest);
    assert!(held(&new.digest).await.is_none());
    let leases = rig.folder.path().join(".longshore/leases");
    assert_eq!(std::fs::read_dir(leases).unwrap().count(), 0);
    // The tag moves back: then the digest needs no name of its own.
    rig.origin
        .push_manifest("library/app", Some("1"), old.manifest, old.media_type);
    rig.lines(APP).await;
    assert!(held(&old.digest).await.is_none());
    assert!(held(&new.digest).await.is_some());
}

#[tokio::test]
async fn a_pull_that_fails_leaves_the_old_image() {
    let rig = Rig::new(Options::containerd()).await;
    let old = rig.origin.image("library/app", "1", &[1000]);
    rig.lines(APP).await;
    rig.origin.image("library/app", "1", &[2000]);
    rig.origin
        .order_always(On::get("/blobs/"), Fault::error(404, "BLOB_UNKNOWN"));
    let (error, lines) = rig.pull(APP).await;
    error.unwrap_err();
    assert!(!lines.iter().any(|line| line.starts_with("Status")));
    let held = rig.layout().await.image(APP).await.unwrap().unwrap();
    assert_eq!(held.target.digest.to_string(), old.digest);
}

#[tokio::test]
async fn all_tags_but_those_that_are_none() {
    let rig = Rig::new(Options::containerd()).await;
    rig.origin.image("library/app", "1", &[1000]);
    rig.origin.image("library/app", "2", &[2000]);
    let list = |tags: &str| Fault::json(200, &format!(r#"{{"tags":{tags}}}"#));
    rig.origin
        .order(On::path("/tags/list"), [list(r#"["1","not a tag","2"]"#)]);
    let (pulled, lines) = rig.pull("registry.test/library/app").await;
    assert_eq!(pulled.unwrap().images.len(), 2);
    let logged = "log: invalid tag, won't pull: \"not a tag\"".to_owned();
    assert!(lines.contains(&logged), "{lines:?}");
    let statuses = lines.iter().filter(|line| line.starts_with("Status"));
    assert_eq!(statuses.count(), 2, "one for each");
    rig.origin
        .order(On::path("/tags/list"), [list(r#"["0","1"]"#)]);
    let (error, lines) = rig.pull("registry.test/library/app").await;
    let error = with_causes(&error.unwrap_err());
    let expected =
        "error pulling registry.test/library/app:0: registry.test/library/app:0: not found: ";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(lines, [""; 0], "the first that fails ends it");
    let error = rig.error("registry.test/gone").await.to_string();
    assert_eq!(error, "repository registry.test/gone not found");
}

#[tokio::test]
async fn errors_are_told_apart() {
    let rig = Rig::new(Options::containerd()).await;
    rig.origin.index("library/app", "1", &["arm64"], &[1000]);
    let error = rig.error(APP).await;
    assert!(
        error
            .to_string()
            .starts_with("no matching manifest for linux/amd64 in the manifest list entries: no match for platform in manifest sha256:"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = rig.error("registry.test/library/app:9").await;
    assert_eq!(error.to_string(), "registry.test/library/app:9: not found");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    rig.origin
        .order_always(On::path("/manifests/"), Fault::error(503, "UNAVAILABLE"));
    assert_eq!(rig.error(APP).await.kind(), ErrorKind::Upstream);
    rig.origin.behave();

    let rig = Rig::new(Options::containerd()).await;
    rig.origin.require_bearer(Bearer::default());
    rig.origin
        .order_always(On::path("/manifests/"), Fault::error(403, "DENIED"));
    let error = rig.error(APP).await;
    assert_eq!(
        error.to_string(),
        "pull access denied for registry.test/library/app, repository does not exist or may require 'docker login'"
    );
    let rig = Rig::new(Options::containerd()).await;
    rig.origin.require_basic("me", "secret");
    let error = rig.error(APP).await;
    assert_eq!(error.to_string(), "no basic auth credentials");
}

#[tokio::test]
async fn only_the_first_entry_that_fits_is_used() {
    let rig = Rig::new(Options::containerd()).await;
    let origin = &rig.origin;
    let made = Made::of(origin, "app", &[b"layer"]);
    let image = made.push(origin, "app", None).0;
    let other = [entry(media::OCI_MANIFEST, &image, Some("s390x"))];
    let other = push_index(origin, "app", None, &other);
    let fits = entry(media::OCI_MANIFEST, &image, Some("amd64"));
    let nested = entry(media::OCI_INDEX, &other, Some("amd64"));
    push_index(origin, "app", Some("1"), &[nested, fits.clone()]);
    let error = rig.error("registry.test/app:1").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let nested = push_index(origin, "app", None, &[fits]);
    let nested = [entry(media::OCI_INDEX, &nested, None)];
    let index = push_index(origin, "app", Some("2"), &nested);
    let (pulled, lines) = rig.pull("registry.test/app:2").await;
    assert_eq!(pulled.unwrap().images[0].manifest.digest.to_string(), image);
    assert!(lines.contains(&format!("Digest: {index}")));
    // Where no index names the platform, the configuration decides.
    let unnamed = [entry(media::OCI_MANIFEST, &image, None)];
    push_index(origin, "app", Some("3"), &unnamed);
    rig.lines("registry.test/app:3").await;
    let mut options = Options::containerd();
    options.platform = Some(Platform::new("linux", "s390x", ""));
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).await.unwrap();
    let puller = rig.puller_into(layout, options);
    let error = pull(&puller, "registry.test/app:3").await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn an_artifact_has_no_layers_to_compare() {
    let rig = Rig::new(Options::containerd()).await;
    let mut made = Made::of(&rig.origin, "app", &[b"data"]);
    made.config_type = "application/vnd.example+json";
    made.diff_ids.clear();
    made.push(&rig.origin, "app", Some("1"));
    rig.lines("registry.test/app:1").await;
}

#[tokio::test]
async fn schema_1_is_refused_unless_asked_for() {
    let rig = Rig::new(Options::containerd()).await;
    let schema1 = Schema1::of(&V1Image::new("app", &[1000]), "library/app", "1");
    let document = schema1.signed(&Signer::es256());
    schema1.push(&rig.origin, document, &schema1.digest);
    let error = rig.error(APP).await;
    let text = "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 support is disabled by default";
    assert!(error.to_string().starts_with(text), "{error}");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let mut options = Options::containerd();
    options.schema1 = true;
    let puller = rig.puller(options).await;
    let (pulled, lines) = pull(&puller, APP).await;
    let pulled = &pulled.unwrap().images[0];
    assert_eq!(pulled.manifest.media_type, MediaType::Schema2);
    assert!(pulled.snapshot_labels().is_empty());
    let notices = lines.iter().filter(|line| line.starts_with(text));
    assert_eq!(notices.count(), 1);
}

/// A layout whose leases and names fail on order.
#[derive(Debug)]
struct Failing {
    layout: Layout,
    lease: Option<bool>,
    names: bool,
    removal: bool,
}

fn refused<T: Send + 'static>() -> Job<'static, T> {
    async { Err(io::Error::other("ordered by the test")) }.boxed()
}

impl Content for Failing {
    fn size(&self, digest: Digest) -> Job<'_, Option<u64>> {
        self.layout.size(digest)
    }
    fn read(&self, digest: Digest) -> Job<'_, Option<Bytes>> {
        self.layout.read(digest)
    }
    fn open(&self, digest: Digest) -> Job<'_, Box<dyn io::Read + Send>> {
        Content::open(&self.layout, digest)
    }
    fn ingest(&self) -> Job<'_, Box<dyn Ingest>> {
        self.layout.ingest()
    }
    fn record(&self, key: &str) -> Job<'_, Record> {
        self.layout.record(key)
    }
    fn add_source(&self, key: &str, named: &Named) -> Job<'_, ()> {
        self.layout.add_source(key, named)
    }
    fn set_unpacked(&self, key: &str, unpacked: Unpacked) -> Job<'_, ()> {
        self.layout.set_unpacked(key, unpacked)
    }
    fn image(&self, name: &str) -> Job<'_, Option<Image>> {
        self.layout.image(name)
    }
    fn set_image(&self, name: &str, image: &Image) -> Job<'_, ()> {
        match self.names && name.starts_with("moby-dangling") {
            true => refused(),
            false => self.layout.set_image(name, image),
        }
    }
    fn remove_image(&self, name: &str) -> Job<'_, bool> {
        match self.removal {
            true => refused(),
            false => self.layout.remove_image(name),
        }
    }
    fn lease(&self, digests: Vec<Digest>) -> Job<'_, Box<dyn Lease>> {
        match self.lease {
            Some(true) => refused(),
            Some(false) => async { Ok(Box::new(Stubborn) as Box<dyn Lease>) }.boxed(),
            None => self.layout.lease(digests),
        }
    }
}

struct Stubborn;

impl Lease for Stubborn {
    fn delete(self: Box<Self>) -> Job<'static, ()> {
        refused()
    }
}

#[tokio::test]
async fn only_a_lease_that_cannot_be_made_ends_the_pull() {
    let rig = Rig::new(Options::containerd()).await;
    rig.origin.image("library/app", "1", &[1000]);
    rig.lines(APP).await;
    let mut size = 2000;
    for (lease, names, removal, logged) in [
        (Some(false), false, false, "log: failed to delete lease: "),
        (
            None,
            true,
            false,
            "log: failed to keep the previous image as dangling: ",
        ),
        (
            None,
            false,
            true,
            "log: unexpected error while removing outdated dangling image reference: ",
        ),
    ] {
        size += 1;
        rig.origin.image("library/app", "1", &[size]);
        let layout = rig.layout().await;
        let failing = Failing {
            layout,
            lease,
            names,
            removal,
        };
        let puller = rig.puller_into(failing, Options::containerd());
        let (pulled, lines) = pull(&puller, APP).await;
        assert!(pulled.unwrap().images[0].newer);
        let warnings: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("log"))
            .collect();
        assert_eq!(warnings, [&format!("{logged}ordered by the test")]);
    }
    let failing = Failing {
        layout: rig.layout().await,
        lease: Some(true),
        names: false,
        removal: false,
    };
    let puller = rig.puller_into(failing, Options::containerd());
    let (error, lines) = pull(&puller, APP).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "failed to create lease");
    assert_eq!(error.kind(), ErrorKind::Local);
    assert!(lines.is_empty());
}

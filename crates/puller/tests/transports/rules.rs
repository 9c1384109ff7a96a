//! What decides whether an image is copied, and from where.

use std::sync::{Arc, Mutex};

use longshore_manifest::DiffId;
use longshore_puller::{
    policy::Policy,
    transport::{Progress, Uncompressed},
};
use longshore_reference::Digest;
use longshore_tests::{Fault, On, Origin};

use crate::fixture::*;

fn policy(json: &str) -> Options {
    let mut options = amd64();
    options.policy = Some(Arc::new(Policy::parse(json).unwrap()));
    options
}

#[tokio::test]
async fn a_policy_decides_before_anything_is_copied() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    let layout = at(&folder, "oci", "layout");
    let host = origin.host();
    for (json, is_allowed) in [
        (
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
            true,
        ),
        (r#"{"default":[{"type":"reject"}]}"#.to_owned(), false),
        (
            format!(
                r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"{host}/library":[{{"type":"insecureAcceptAnything"}}]}}}}}}"#
            ),
            true,
        ),
        (
            r#"{"default":[{"type":"sigstoreSigned","keyData":"eA=="}]}"#.to_owned(),
            false,
        ),
        (
            r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":"eA=="}]}"#.to_owned(),
            false,
        ),
    ] {
        let before = origin.count("GET", "/v2/library/app/blobs/");
        let result = copied(&registry, &layout, &policy(&json)).await;
        match (&result, is_allowed) {
            (Ok(_), true) => {}
            (Err(Error::Policy { .. }), false) => {
                assert_eq!(origin.count("GET", "/v2/library/app/blobs/"), before);
            }
            _ => panic!("{json}: {result:?}"),
        }
    }
    // A folder is known by its path.
    let dir = at(&folder, "dir", "image");
    copied(&registry, &dir, &amd64()).await.unwrap();
    let path = folder.path().canonicalize().unwrap();
    let path = path.display();
    let json = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"dir":{{"{path}":[{{"type":"insecureAcceptAnything"}}]}}}}}}"#
    );
    copied(&dir, &layout, &policy(&json)).await.unwrap();
}

#[tokio::test]
async fn a_label_by_any_case() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    let layout = at(&folder, "oci", "layout");
    let mut options = amd64();
    options.label = Some("MAINTAINER".to_owned());
    copied(&registry, &layout, &options).await.unwrap();
    options.label = Some("vendor".to_owned());
    let error = copied(&registry, &layout, &options).await.unwrap_err();
    assert!(
        error.to_string().ends_with("has no label vendor"),
        "{error}"
    );
}

/// Mirrors first, then the registry; a blocked one is not asked.
#[tokio::test]
async fn sources_come_from_registries_conf() {
    let (mirror, origin) = (Origin::start().await, Origin::start().await);
    let made = push(&mirror, "hub/app", Some("1"), "amd64", OCI);
    let conf = format!(
        "[[registry]]\nprefix = \"example.test/library\"\nlocation = \"{}/library\"\n\
         [[registry.mirror]]\nlocation = \"{}/hub\"\ninsecure = true\n\
         [[registry]]\nprefix = \"blocked.test\"\nlocation = \"blocked.test\"\nblocked = true\n",
        origin.host(),
        mirror.host(),
    );
    let access = access(&conf);
    let name = "docker://example.test/library/app:1".parse().unwrap();
    let source = Source::open(&name, &access).await.unwrap();
    let top = source.top().await.unwrap();
    assert_eq!(top.descriptor.digest.to_string(), made.digest);
    assert_eq!(origin.requests().len(), 0);
    // What the mirror lost comes from the registry.
    push(&origin, "library/app", Some("1"), "amd64", OCI);
    let layer = top.manifest.layers().next().unwrap();
    mirror.forget("hub/app", &layer.digest.to_string());
    let mut content = source.blob(layer).await.unwrap();
    while content.chunk().await.unwrap().is_some() {}
    assert_ne!(origin.requests().len(), 0);

    mirror.order_always(
        On::get("/manifests/"),
        Fault::error(404, "MANIFEST_UNKNOWN"),
    );
    source.top().await.unwrap();
    let name = "docker://blocked.test/app:1".parse().unwrap();
    let error = Source::open(&name, &access).await.unwrap_err();
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        error.contains("blocked.test is blocked in registries.conf"),
        "{error}"
    );
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_fetched() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut options = amd64();
    options.observer = {
        let seen = Arc::clone(&seen);
        Arc::new(move |progress| seen.lock().unwrap().push(progress.clone()))
    };
    copied(&registry, &at(&folder, "oci", "layout:1"), &options)
        .await
        .unwrap();
    let count = |wanted: fn(&Progress) -> bool| {
        seen.lock()
            .unwrap()
            .iter()
            .filter(|progress| wanted(progress))
            .count()
    };
    assert_eq!(
        count(|progress| matches!(progress, Progress::Done { .. })),
        4
    );
    assert_eq!(
        count(|progress| matches!(progress, Progress::Manifest { .. })),
        1
    );
    copied(&registry, &at(&folder, "oci", "layout:2"), &options)
        .await
        .unwrap();
    assert_eq!(
        count(|progress| matches!(progress, Progress::Present { .. })),
        4
    );
    assert_eq!(
        count(|progress| matches!(progress, Progress::Started { .. })),
        4
    );
}

/// What layers are when unpacked is remembered, also in a file; what is wrong there does no harm.
#[tokio::test]
async fn known_uncompressed_digests_are_remembered() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    let options = amd64();
    copied(&registry, &at(&folder, "docker-archive", "a.tar"), &options)
        .await
        .unwrap();
    let file = folder.path().join("cache/known");
    options.uncompressed.save(&file).await.unwrap();
    let known = Uncompressed::load(&file);
    for (layer, tar) in made.layers.iter().zip(&made.tars) {
        let inside = known.of(&Digest::sha256(layer));
        assert_eq!(inside, Some(DiffId::new(Digest::sha256(tar))));
    }
    let mut options = amd64();
    let (packed, wrong) = (
        Digest::sha256(&made.layers[0]),
        DiffId::new(Digest::sha256(b"x")),
    );
    options.uncompressed = known;
    options.uncompressed.remember(packed, wrong);
    copied(&registry, &at(&folder, "docker-archive", "b.tar"), &options)
        .await
        .unwrap();
    assert_ne!(options.uncompressed.of(&packed), Some(wrong));
    std::fs::write(&file, "nonsense\nsha256:1 sha256:2\n").unwrap();
    assert_eq!(Uncompressed::load(&file).of(&packed), None);
}

use super::*;
use crate::uploads::Uploads;
use bytes::Bytes;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn named() -> Named {
    Named::new("registry.example", "app").unwrap()
}

fn canonical(text: &str) -> Canonical {
    Canonical::new(named(), Digest::sha256(text.as_bytes()))
}

fn open(root: &tempfile::TempDir, bucket: Option<&Bucket>) -> Records {
    Records::new(Tier::of(root.path(), None).unwrap(), bucket.cloned())
}

/// Records of digests on disk.
fn written(root: &tempfile::TempDir) -> usize {
    let folder = "repositories/registry.example/app/_content/sha256";
    std::fs::read_dir(root.path().join(folder)).map_or(0, Iterator::count)
}

/// A manifest of so many layers, kept in the local tier as a manifest of the repository.
async fn manifest(root: &tempfile::TempDir, records: &Records, layers: usize) -> Manifest {
    let layer = |n: usize| {
        let digest = canonical(&format!("layer {n}")).digest();
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":7}}"#)
    };
    let foreign = format!(
        r#"{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{}","size":7}}"#,
        canonical("foreign").digest()
    );
    let layers: Vec<_> = (0..layers).map(layer).chain([foreign]).collect();
    let text = format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","));
    let bytes = Bytes::from(text);
    let digest = Digest::sha256(&bytes);
    let path = root.path().join(layout::blob(&digest));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &bytes).unwrap();
    let manifest = Manifest::decode(Some(MANIFEST), bytes).unwrap();
    let record = ContentRecord {
        media_type: Some(MANIFEST.into()),
        ..ContentRecord::verified(manifest.bytes().len() as u64)
    };
    records
        .put_content(&Canonical::new(named(), digest), record)
        .await;
    records.put_children(&named(), digest, false, || Child::of(&manifest));
    manifest
}

#[tokio::test]
async fn a_manifest_of_many_layers_is_one_record() {
    let root = tempfile::tempdir().unwrap();
    let records = open(&root, None);
    manifest(&root, &records, 1000).await;
    assert_eq!(written(&root), 1);
    let layer = canonical("layer 999");
    assert_eq!(records.content(&layer).await.unwrap().size, Some(7));
    // What a fill verifies is no record of its own either.
    records
        .put_content(&layer, ContentRecord::verified(8))
        .await;
    assert_eq!(records.content(&layer).await.unwrap().size, Some(8));
    assert_eq!(written(&root), 1);
    // Another process finds the layers by the manifest.
    let again = open(&root, None);
    assert_eq!(again.content(&layer).await.unwrap().size, Some(7));
    assert!(again.content(&canonical("layer 1000")).await.is_none());
}

#[tokio::test]
async fn a_foreign_layer_does_not_belong() {
    let root = tempfile::tempdir().unwrap();
    let records = open(&root, None);
    manifest(&root, &records, 1).await;
    assert!(records.content(&canonical("foreign")).await.is_none());
}

#[tokio::test]
async fn a_manifest_that_is_not_held_names_nothing() {
    let root = tempfile::tempdir().unwrap();
    let kept = manifest(&root, &open(&root, None), 1).await;
    let path = root.path().join(layout::blob(&kept.digest()));
    std::fs::write(path, b"damaged").unwrap();
    let records = open(&root, None);
    assert!(records.content(&canonical("layer 0")).await.is_none());
}

#[tokio::test]
async fn no_claim_is_written_down() {
    let root = tempfile::tempdir().unwrap();
    let claimed = ContentRecord {
        size: Some(1),
        ..ContentRecord::confirmed()
    };
    let records = open(&root, None);
    let blob = canonical("blob");
    records.put_content(&blob, claimed.clone()).await;
    let held = open(&root, None).content(&blob).await.unwrap();
    assert_eq!((held.size, held.confirmed), (None, true));
    // A verified size stays.
    records.put_content(&blob, ContentRecord::verified(7)).await;
    records.put_content(&blob, claimed).await;
    for records in [records, open(&root, None)] {
        let held = records.content(&blob).await.unwrap();
        assert_eq!((held.size, held.verified), (Some(7), true));
    }
}

/// Earlier versions wrote a record for each child of a manifest.
#[tokio::test]
async fn records_of_an_earlier_version_are_believed_where_they_state_facts() {
    let root = tempfile::tempdir().unwrap();
    for (text, line) in [
        ("claimed", r#"{"size":7}"#),
        ("nothing", "{}"),
        ("verified", r#"{"size":7,"verified":true}"#),
        ("manifest", r#"{"size":7,"media_type":"a/b"}"#),
        ("layer", r#"{"size":7,"origin":{"v1_layer":{"id":"1"}}}"#),
    ] {
        let path = root.path().join(layout::content(&canonical(text)));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, line).unwrap();
    }
    let records = open(&root, None);
    for (text, belongs) in [
        ("claimed", false),
        ("nothing", false),
        ("verified", true),
        ("manifest", true),
        ("layer", true),
    ] {
        let known = records.content(&canonical(text)).await;
        assert_eq!(known.is_some(), belongs, "{text}");
    }
}

#[tokio::test]
async fn what_another_process_knows_is_in_the_bucket() {
    let url = "memory:///".parse().unwrap();
    let bucket = Bucket::open(&url, Arc::new(|_| {})).unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let known = ContentRecord {
        media_type: Some("a/b".into()),
        stored: Some(Digest::sha256(b"elsewhere")),
        origin: Some(Origin::V1Layer { id: "1".into() }),
        ..ContentRecord::verified(7)
    };
    let canonical = canonical("manifest");
    let tier = Tier::before_bucket(first.path()).unwrap();
    let outbox = Arc::clone(tier.outbox().unwrap());
    let records = Records::new(tier.clone(), Some(bucket.clone()));
    records.put_content(&canonical, known.clone()).await;
    let uploads = Uploads::start(bucket.clone(), Arc::clone(&outbox), tier, stays);
    uploads.close().await;
    assert_eq!(outbox.backlog().entries, 0);

    let records = open(&second, Some(&bucket));
    // A blob costs no look-up.
    assert!(records.content(&canonical).await.is_none());
    assert_eq!(*records.manifest(&canonical).await.unwrap(), known);
    assert_eq!(*records.content(&canonical).await.unwrap(), known);
    let records = open(&second, None);
    assert_eq!(*records.content(&canonical).await.unwrap(), known);
}

#[tokio::test]
async fn a_blob_is_the_upstreams_that_sent_it() {
    let root = tempfile::tempdir().unwrap();
    let records = open(&root, None);
    manifest(&root, &records, 2).await;
    let layer = canonical("layer 0");
    assert!(!records.belongs(&layer).await, "nobody sent it");
    let elsewhere = |domain: &str| {
        let named = Named::new(domain, "other").unwrap();
        Canonical::new(named, layer.digest())
    };
    let verified = ContentRecord::verified(7);
    records
        .put_content(&elsewhere("other.example"), verified.clone())
        .await;
    assert!(!records.belongs(&layer).await, "another upstream sent it");
    records
        .put_content(&elsewhere("registry.example"), verified)
        .await;
    for records in [records, open(&root, None)] {
        assert!(records.belongs(&layer).await);
        assert!(records.content(&layer).await.unwrap().belongs());
        assert!(!records.belongs(&canonical("layer 1")).await);
    }
}

#[tokio::test]
async fn what_an_evicted_manifest_named_belongs_no_longer() {
    let root = tempfile::tempdir().unwrap();
    let records = open(&root, None);
    let evicted = manifest(&root, &records, 1).await;
    let layer = canonical("layer 0");
    assert!(records.content(&layer).await.is_some());
    std::fs::remove_file(root.path().join(layout::blob(&evicted.digest()))).unwrap();
    records.forget_manifest(&evicted.digest());
    assert!(records.content(&layer).await.is_none());
}

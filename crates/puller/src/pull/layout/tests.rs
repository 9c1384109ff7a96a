//! The layout in a folder.

use longshore_manifest::MediaType;

use super::*;

async fn layout() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).await.unwrap();
    (folder, layout)
}

fn held_image(text: &str) -> Image {
    let digest = Digest::sha256(text.as_bytes());
    let manifest = Descriptor::new(MediaType::OciManifest, digest, Some(text.len() as u64));
    Image {
        target: manifest.clone(),
        id: digest,
        manifest,
    }
}

fn writes_under_way(folder: &tempfile::TempDir) -> usize {
    fs::read_dir(folder.path().join(OWN).join("ingest"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn a_blob_is_there_as_a_whole_or_not_at_all() {
    let (folder, layout) = layout().await;
    let digest = Digest::sha256(b"hello");
    let mut ingest = layout.ingest().await.unwrap();
    ingest.write(Bytes::from_static(b"wrong")).await.unwrap();
    assert_eq!(ingest.offset(), 5);
    ingest.truncate().await.unwrap();
    ingest.write(Bytes::from_static(b"hel")).await.unwrap();
    ingest.write(Bytes::from_static(b"lo")).await.unwrap();
    assert_eq!(layout.size(digest).await.unwrap(), None);
    ingest.commit(digest).await.unwrap();
    assert_eq!(layout.size(digest).await.unwrap(), Some(5));
    assert_eq!(&layout.read(digest).await.unwrap().unwrap()[..], b"hello");
    let mut given_up = layout.ingest().await.unwrap();
    given_up.write(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(writes_under_way(&folder), 1);
    drop(given_up);
    assert_eq!(writes_under_way(&folder), 0);
}

#[tokio::test]
async fn an_image_has_its_names() {
    let (folder, layout) = layout().await;
    let mut image = held_image("manifest");
    image.target = Descriptor::new(MediaType::OciIndex, Digest::sha256(b"index"), Some(5));
    assert_eq!(layout.image("app:1").await.unwrap(), None);
    layout.set_image("app:1", &image).await.unwrap();
    let again = Layout::open(folder.path()).await.unwrap();
    assert_eq!(again.image("app:1").await.unwrap(), Some(image.clone()));
    let other = held_image("other");
    layout.set_image("app:1", &other).await.unwrap();
    assert_eq!(layout.image("app:1").await.unwrap(), Some(other));
    assert!(layout.remove_image("app:1").await.unwrap());
    assert!(!layout.remove_image("app:1").await.unwrap());
    let mine = layout.with_name("mine");
    mine.set_image("app:1", &image).await.unwrap();
    assert_eq!(again.image("mine").await.unwrap(), Some(image));
}

#[tokio::test]
async fn a_folder_with_something_else_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("important"), "data").unwrap();
    let error = Layout::open(folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(layout::MARKER_FILE), "{}").unwrap();
    let error = Layout::open(folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn what_is_remembered_of_a_blob_survives() {
    let (folder, layout) = layout().await;
    let key = "v1:registry.test:5000/abc";
    let named = Named::new("registry.test", "app").unwrap();
    let unpacked = Unpacked {
        digest: Digest::sha256(b"layer"),
        size: 5,
        diff_id: Some(Digest::sha256(b"plain")),
        gzipped: true,
    };
    assert_eq!(layout.record(key).await.unwrap(), Record::default());
    layout.add_source(key, &named).await.unwrap();
    layout.add_source(key, &named).await.unwrap();
    layout.set_unpacked(key, unpacked).await.unwrap();
    let again = Layout::open(folder.path()).await.unwrap();
    let record = again.record(key).await.unwrap();
    assert!(record.has_source(&named));
    assert_eq!(record.sources.len(), 1);
    assert_eq!(record.unpacked, Some(unpacked));
}

#[tokio::test]
async fn a_lease_ends() {
    let (folder, layout) = layout().await;
    let leases = || {
        fs::read_dir(folder.path().join(OWN).join("leases"))
            .unwrap()
            .count()
    };
    let lease = layout.lease(vec![Digest::sha256(b"a")]).await.unwrap();
    assert_eq!(leases(), 1);
    lease.delete().await.unwrap();
    assert_eq!(leases(), 0);
    drop(layout.lease(vec![Digest::sha256(b"a")]).await.unwrap());
    assert_eq!(leases(), 0);
}

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use longshore_manifest::layout::{self as oci, MARKER, MARKER_FILE};
use longshore_manifest::{
    Descriptor, Format, IndexBuilder, Manifest, ManifestBuilder, MediaType, Platform,
};
use longshore_reference::{Canonical, Digest, Parsed, Reference, Tagged};
use tempfile::TempDir;

use super::*;
use crate::options::Options;
use crate::tier::{Pin, layout};

/// An OCI layout in the making.
struct Layout {
    folder: TempDir,
    index: oci::Index,
}

impl Layout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MARKER_FILE), MARKER).unwrap();
        Self {
            folder,
            index: oci::Index::new(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn blob(&self, bytes: &[u8], media_type: MediaType) -> Descriptor {
        let digest = Digest::sha256(bytes);
        let path = self.path().join(oci::blob_path(&digest));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        Descriptor::new(media_type, digest, Some(bytes.len() as u64))
    }

    /// An image with these layers.
    fn image(&self, config: &str, layers: &[&str]) -> Descriptor {
        self.manifest(&self.builder(config, layers).build().unwrap())
    }

    fn builder(&self, config: &str, layers: &[&str]) -> ManifestBuilder {
        let config = self.blob(config.as_bytes(), MediaType::OciConfig);
        let layers = layers
            .iter()
            .map(|layer| self.blob(layer.as_bytes(), MediaType::OciLayer));
        ManifestBuilder::new(Format::Oci, config).layers(layers)
    }

    fn manifest(&self, manifest: &Manifest) -> Descriptor {
        self.blob(manifest.bytes(), manifest.media_type().clone())
    }

    fn name(&mut self, entry: &Descriptor, name: Option<&str>) {
        self.index.set(entry.clone(), name);
        let index = self.index.encode().unwrap();
        fs::write(self.path().join(oci::INDEX_FILE), index).unwrap();
    }

    /// All files by their names.
    fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let at = entry.unwrap().path();
                match at.is_dir() {
                    true => folders.push(at),
                    false => {
                        let name = at.strip_prefix(path).unwrap().to_owned();
                        files.insert(name, fs::read(&at).unwrap());
                    }
                }
            }
        }
        files
    }
}

fn store() -> (TempDir, Inventory) {
    let folder = tempfile::tempdir().unwrap();
    let store = Inventory::create(&Options::new(folder.path())).unwrap();
    (folder, store)
}

fn reopen(folder: &TempDir) -> Inventory {
    Inventory::open(&Options::new(folder.path())).unwrap()
}

fn import(store: &Inventory, layout: &Layout) -> Imported {
    store.import(layout.path(), None, &|_| {}).unwrap()
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn tagged(text: &str) -> Tagged {
    text.parse().unwrap()
}

fn blob_file(folder: &TempDir, digest: &Digest) -> PathBuf {
    folder.path().join(layout::blob(digest))
}

#[test]
fn a_layout_comes_and_goes_byte_for_byte() {
    let mut layout = Layout::new();
    let image = layout.image("{}", &["one", "two"]);
    layout.name(&image, Some("registry.example/app:1"));
    let (_folder, store) = store();
    let imported = import(&store, &layout);
    let name = tagged("registry.example/app:1");
    assert_eq!(imported.images, [(name.clone(), image.digest)]);
    assert_eq!(imported.bytes, 2 + 3 + 3 + image.size.unwrap());
    assert_eq!(import(&store, &layout).bytes, 0, "nothing is new");

    let to = tempfile::tempdir().unwrap();
    let (folder, tar) = (to.path().join("layout"), to.path().join("a.tar"));
    let name = Reference::Tagged(name);
    for (path, format) in [
        (&folder, ExportFormat::Oci),
        (&tar, ExportFormat::OciArchive),
    ] {
        let exported = store.export(&name, path, format, &|_| {}).unwrap();
        assert_eq!(
            (exported.digest, exported.bytes),
            (image.digest, imported.bytes)
        );
        let (_other, other) = self::store();
        let again = other.import(path, None, &|_| {}).unwrap();
        assert_eq!(
            (again.images, again.bytes),
            (imported.images.clone(), imported.bytes)
        );
    }
    let (mut before, mut after) = (Layout::files(layout.path()), Layout::files(&folder));
    // The entry is named for containerd too.
    let index = before.remove(Path::new(oci::INDEX_FILE)).unwrap();
    assert_ne!(after.remove(Path::new(oci::INDEX_FILE)).unwrap(), index);
    assert_eq!(before, after);
    for path in [&tar, &folder.join("blobs")] {
        let error = store.export(&name, path, ExportFormat::OciArchive, &|_| {});
        assert!(matches!(error, Err(InventoryError::Exists { .. })));
    }
    let error = store.export(&name, to.path(), ExportFormat::Oci, &|_| {});
    assert!(
        matches!(error, Err(InventoryError::Exists { .. })),
        "no layout"
    );
}

#[test]
fn a_second_image_is_added_to_a_layout() {
    let mut layout = Layout::new();
    for (config, name) in [("{}", "a.example/app:1"), ("{ }", "b.example/app:1")] {
        let image = layout.image(config, &["shared"]);
        layout.name(&image, Some(name));
    }
    let (_folder, store) = store();
    import(&store, &layout);
    let to = tempfile::tempdir().unwrap();
    for name in ["a.example/app:1", "b.example/app:1"] {
        store
            .export(&reference(name), to.path(), ExportFormat::Oci, &|_| {})
            .unwrap();
    }
    let (_other, other) = self::store();
    let imported = other.import(to.path(), None, &|_| {}).unwrap();
    assert_eq!(imported.images.len(), 2);
    let blobs = |path: &Path| {
        let mut files = Layout::files(path);
        files.remove(Path::new(oci::INDEX_FILE));
        files
    };
    assert_eq!(blobs(to.path()), blobs(layout.path()));
}

#[test]
fn signatures_and_what_refers_to_them_come_along() {
    let mut layout = Layout::new();
    let image = layout.image("{}", &["layer"]);
    let signature = layout.builder("{ }", &["signature"]).subject(image.clone());
    let signature = layout.manifest(&signature.build().unwrap());
    let note = layout.builder("{  }", &["note"]).subject(signature.clone());
    let note = layout.manifest(&note.build().unwrap());
    let cosign = layout.image("{   }", &["cosign"]);
    layout.name(&image, Some("registry.example/app:1"));
    // The one that needs the other comes first.
    layout.name(&note, None);
    layout.name(&signature, None);
    let tag = format!("registry.example/app:sha256-{}.sig", &*image.digest.hex());
    layout.name(&cosign, Some(&tag));
    let (folder, store) = store();
    let imported = import(&store, &layout);
    assert_eq!((imported.images.len(), imported.referrers), (2, 2));
    assert!(imported.skipped.is_empty());
    let list = folder.path().join(layout::lists(
        reference("registry.example/app").named(),
        Some(&image.digest),
    ));
    let list = fs::read_dir(list).unwrap().next().unwrap().unwrap().path();
    let list = fs::read_to_string(list).unwrap();
    assert!(list.contains(&signature.digest.to_string()), "{list}");
    assert!(!list.contains(&note.digest.to_string()), "{list}");

    let to = tempfile::tempdir().unwrap();
    let tar = to.path().join("a.tar");
    let name = reference("registry.example/app:1");
    let exported = store
        .export(&name, &tar, ExportFormat::OciArchive, &|_| {})
        .unwrap();
    assert_eq!(exported.referrers, 3);
    let (_other, other) = self::store();
    let again = other.import(&tar, None, &|_| {}).unwrap();
    assert_eq!((again.bytes, again.referrers), (imported.bytes, 2));
}

#[test]
fn of_an_index_what_is_there_comes() {
    let mut layout = Layout::new();
    let mut entries = ["amd64", "arm64"].map(|architecture| {
        let mut image = layout.image(
            &format!("{{\"architecture\":\"{architecture}\"}}"),
            &[architecture],
        );
        image.platform = Some(Box::new(Platform::new("linux", architecture, "")));
        image
    });
    let index = IndexBuilder::new(Format::Oci)
        .manifests(entries.clone())
        .build()
        .unwrap();
    let index = layout.manifest(&index);
    layout.name(&index, Some("registry.example/app:1"));
    let absent = entries[1].digest;
    fs::remove_file(layout.path().join(oci::blob_path(&absent))).unwrap();
    let (folder, store) = store();
    let imported = import(&store, &layout);
    assert_eq!(imported.skipped.len(), 1);
    let to = tempfile::tempdir().unwrap();
    let path = to.path().join("layout");
    let name = reference("registry.example/app:1");
    let exported = store
        .export(&name, &path, ExportFormat::Oci, &|_| {})
        .unwrap();
    assert_eq!(exported.digest, index.digest);
    assert!(
        exported.skipped[0].contains("linux/arm64"),
        "{:?}",
        exported.skipped
    );
    // Nothing whole is left of it.
    fs::remove_file(blob_file(&folder, &Digest::sha256(b"amd64"))).unwrap();
    let error = store.export(&name, &to.path().join("more"), ExportFormat::Oci, &|_| {});
    assert!(
        matches!(error, Err(InventoryError::NotWhole { missing: 2, .. })),
        "{error:?}"
    );
    entries[0].platform = None;
}

#[test]
fn what_is_not_whole_or_right_is_refused() {
    let digest = Digest::sha256(b"layer");
    for (spoil, expected) in [
        (None, "lacks the blob"),
        (Some(&b"other"[..]), "another digest"),
    ] {
        let mut layout = Layout::new();
        let image = layout.image("{}", &["layer"]);
        layout.name(&image, Some("registry.example/app:1"));
        let path = layout.path().join(oci::blob_path(&digest));
        match spoil {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let (folder, store) = store();
        let error = store.import(layout.path(), None, &|_| {}).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(store.tags().unwrap().is_empty());
        assert!(!blob_file(&folder, &digest).exists());
        let left = fs::read_dir(folder.path().join(layout::SPOOL)).unwrap();
        let left = left.filter(|entry| entry.as_ref().unwrap().path().is_dir());
        for entry in left {
            assert_eq!(
                fs::read_dir(entry.unwrap().path()).unwrap().count(),
                1,
                "the lock"
            );
        }
    }
    let (_folder, store) = store();
    let empty = tempfile::tempdir().unwrap();
    let error = store.import(empty.path(), None, &|_| {}).unwrap_err();
    assert!(
        error.to_string().contains("neither an OCI layout"),
        "{error}"
    );
}

#[test]
fn names_are_those_of_the_archive_or_given() {
    let one = |own: Option<&str>, given: Option<&str>| {
        let mut layout = Layout::new();
        let image = layout.image("{}", &["layer"]);
        layout.name(&image, own);
        let (_folder, store) = store();
        let given = given.map(|given| Parsed::parse(given).unwrap());
        let imported = store.import(layout.path(), given.as_ref(), &|_| {});
        imported.map(|imported| imported.images[0].0.to_string())
    };
    for (own, given, expected) in [
        (Some("a.example/app:2"), None, "a.example/app:2"),
        (Some("alpine:3"), None, "docker.io/library/alpine:3"),
        (Some("3"), Some("b.example/app"), "b.example/app:3"),
        (Some("3"), Some("b.example/app:4"), "b.example/app:4"),
        (
            Some("a.example/app:2"),
            Some("b.example/app"),
            "b.example/app:2",
        ),
        (None, Some("alpine"), "docker.io/library/alpine:latest"),
    ] {
        assert_eq!(one(own, given).unwrap(), expected, "{own:?} {given:?}");
    }
    for own in [Some("3"), None] {
        assert!(
            one(own, None)
                .unwrap_err()
                .to_string()
                .contains("add --name")
        );
    }
    let mut layout = Layout::new();
    for config in ["{}", "{ }"] {
        let image = layout.image(config, &["layer"]);
        layout.name(&image, None);
    }
    let (_folder, store) = store();
    for (given, expected) in [
        ("a.example/app:1", "without a tag"),
        ("a.example/app", "no tag"),
    ] {
        let given = Parsed::parse(given).unwrap();
        let error = store
            .import(layout.path(), Some(&given), &|_| {})
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A docker-archive of one image with these layers; the diff ids are those of `diffs`.
fn docker_archive(path: &Path, layers: &[&[u8]], diffs: &[&[u8]], names: &str) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let ids: Vec<_> = diffs
        .iter()
        .map(|diff| format!("\"{}\"", Digest::sha256(diff)))
        .collect();
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let members: Vec<_> = (0..layers.len())
        .map(|at| format!("\"{at}/layer.tar\""))
        .collect();
    add("config.json", config.as_bytes());
    for (at, layer) in layers.iter().enumerate() {
        add(&format!("{at}/layer.tar"), layer);
    }
    let list = format!(
        r#"[{{"Config":"config.json","RepoTags":{names},"Layers":[{}]}}]"#,
        members.join(",")
    );
    add("manifest.json", list.as_bytes());
    tar.finish().unwrap();
}

#[test]
fn a_docker_archive_comes_and_goes() {
    let to = tempfile::tempdir().unwrap();
    let path = to.path().join("a.tar");
    let gzip = &[0x1f, 0x8b, 8, 0, 1][..];
    let names = r#"["alpine:3","registry.example/app:1"]"#;
    docker_archive(&path, &[b"plain", gzip], &[b"plain", b"unpacked"], names);
    let (folder, store) = store();
    let imported = store.import(&path, None, &|_| {}).unwrap();
    let digest = imported.images[0].1;
    let names: Vec<_> = imported
        .images
        .iter()
        .map(|(tagged, _)| tagged.to_string())
        .collect();
    assert_eq!(
        names,
        ["docker.io/library/alpine:3", "registry.example/app:1"]
    );
    let manifest = fs::read(blob_file(&folder, &digest)).unwrap();
    let manifest = Manifest::decode(None, Bytes::from(manifest)).unwrap();
    let layers: Vec<_> = manifest
        .layers()
        .map(|layer| layer.media_type.clone())
        .collect();
    assert_eq!(layers, [MediaType::OciLayer, MediaType::OciLayerGzip]);

    let out = to.path().join("b.tar");
    let name = reference("alpine:3");
    store
        .export(&name, &out, ExportFormat::DockerArchive, &|_| {})
        .unwrap();
    let (_other, other) = self::store();
    let again = other.import(&out, None, &|_| {}).unwrap();
    assert_eq!(
        again.images,
        [(tagged("alpine:3"), digest)],
        "the same image"
    );
    assert_eq!(again.bytes, imported.bytes);

    docker_archive(&path, &[b"plain"], &[b"another"], "null");
    let (_folder, store) = self::store();
    let error = store.import(&path, None, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("add --name"), "{error}");
    let given = Parsed::parse("registry.example/app:1").unwrap();
    let error = store.import(&path, Some(&given), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("is not the layer"), "{error}");
    assert!(store.tags().unwrap().is_empty());
}

#[test]
fn tags_are_listed_with_their_sizes_and_shared_bytes_count_once() {
    let mut layout = Layout::new();
    let (one, two) = (
        layout.image("{}", &["shared", "a"]),
        layout.image("{ }", &["shared", "bc"]),
    );
    layout.name(&one, Some("a.example/app:1"));
    layout.name(&two, Some("b.example/team/app:2"));
    let (_folder, store) = store();
    import(&store, &layout);
    let tags = store.tags().unwrap();
    let sizes: Vec<_> = tags.iter().map(|tag| tag.size).collect();
    let expected = [2 + 6 + 1 + one.size.unwrap(), 3 + 6 + 2 + two.size.unwrap()];
    assert_eq!(sizes, expected);
    assert!(tags.iter().all(|tag| tag.used.is_some()));
    for (pattern, count) in [
        ("*", 2),
        ("a.example/app", 1),
        ("a.example/app:1", 1),
        ("a.example/app:2", 0),
        ("*/app:*", 2),
        ("app", 0),
    ] {
        let found = tags.iter().filter(|tag| tag.matches(pattern)).count();
        assert_eq!(found, count, "{pattern}");
    }
    let usage = store.disk_usage().unwrap();
    assert_eq!(usage.bytes, expected.iter().sum::<u64>() - 6);
    assert_eq!((usage.objects, usage.unreferenced), (7, 0));
    let upstreams: Vec<_> = usage
        .upstreams
        .iter()
        .map(|of| (&*of.name, of.bytes, of.unique))
        .collect();
    assert_eq!(
        upstreams,
        [
            ("a.example", expected[0], expected[0] - 6),
            ("b.example", expected[1], expected[1] - 6)
        ]
    );
    assert_eq!(usage.upstreams[1].repositories[0].bytes, expected[1]);
}

#[test]
fn damage_is_found_and_moved_away() {
    let mut layout = Layout::new();
    let image = layout.image("{}", &["layer", "other"]);
    layout.name(&image, Some("registry.example/app:1"));
    let (folder, store) = store();
    import(&store, &layout);
    let verified = store.verify(false, 3, &|_| {}).unwrap();
    assert_eq!((verified.objects, verified.damaged.len()), (4, 0));
    let digest = Digest::sha256(b"layer");
    let file = blob_file(&folder, &digest);
    fs::write(&file, "lay3r").unwrap();
    let (mut last, steps) = (Progress::default(), std::sync::Mutex::new(Vec::new()));
    let verified = store
        .verify(false, 3, &|step| steps.lock().unwrap().push(step))
        .unwrap();
    for step in steps.into_inner().unwrap() {
        last.done = last.done.max(step.done);
        last.total = step.total;
    }
    assert_eq!((last.done, last.total), (verified.bytes, verified.bytes));
    assert_eq!(verified.damaged[0].digest, digest);
    assert!(!verified.damaged[0].quarantined && file.exists());
    let verified = store.verify(true, 3, &|_| {}).unwrap();
    assert!(verified.damaged[0].quarantined && !file.exists());
    assert!(folder.path().join(layout::quarantine(&digest)).exists());
    assert!(
        reopen(&folder)
            .verify(false, 1, &|_| {})
            .unwrap()
            .damaged
            .is_empty()
    );
}

#[test]
fn only_what_nothing_refers_to_is_pruned() {
    let mut layout = Layout::new();
    let image = layout.image("{}", &["layer"]);
    layout.name(&image, Some("registry.example/app:1"));
    let (folder, store) = store();
    import(&store, &layout);
    let (alone, pinned) = (Digest::sha256(b"alone"), Digest::sha256(b"pinned"));
    for (digest, bytes) in [(&alone, "alone"), (&pinned, "pinned")] {
        let file = blob_file(&folder, digest);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    let open = || {
        Inventory::open(&Options {
            pins: vec![pinned.to_string().parse::<Pin>().unwrap()],
            ..Options::new(folder.path())
        })
        .unwrap()
    };
    let young = open()
        .remove_unreferenced(Duration::from_secs(3600), false)
        .unwrap();
    assert!(young.removed.is_empty());
    let planned = open().remove_unreferenced(Duration::ZERO, true).unwrap();
    assert!(blob_file(&folder, &alone).exists());
    let pruned = open().remove_unreferenced(Duration::ZERO, false).unwrap();
    assert_eq!(pruned, planned);
    let gone: Vec<_> = pruned
        .removed
        .iter()
        .map(|removed| removed.digest)
        .collect();
    assert_eq!((gone, pruned.bytes()), (vec![alone], 5));
    assert!(!blob_file(&folder, &alone).exists() && blob_file(&folder, &pinned).exists());
    assert_eq!(open().disk_usage().unwrap().bytes, pruned.left);
    store
        .export(
            &reference("registry.example/app:1"),
            &folder.path().join("x"),
            ExportFormat::Oci,
            &|_| {},
        )
        .unwrap();
}

#[test]
fn images_go_whole_until_the_store_is_small_enough() {
    let mut layout = Layout::new();
    let images: Vec<_> = (0..4)
        .map(|number| {
            let image = layout.image(
                &format!("{{\"a\":{number}}}"),
                &["shared", &format!("layer {number}")],
            );
            layout.name(&image, Some(&format!("registry.example/app:{number}")));
            image
        })
        .collect();
    let (folder, store) = store();
    import(&store, &layout);
    let total = store.disk_usage().unwrap().bytes;
    let each = 7 + 7 + images[0].size.unwrap();
    drop(store);
    let planned = reopen(&folder).evict_to(total - each, true).unwrap();
    assert_eq!(
        reopen(&folder).disk_usage().unwrap().bytes,
        total,
        "a dry run"
    );
    let pruned = reopen(&folder).evict_to(total - each, false).unwrap();
    assert_eq!(pruned, planned);
    assert_eq!(
        (pruned.bytes(), pruned.left, pruned.removed.len()),
        (each, total - each, 3)
    );
    assert_eq!(
        pruned.removed[0].tags,
        ["registry.example/app:0"],
        "the manifest goes first"
    );
    for number in 1..4 {
        let path = folder.path().join(number.to_string());
        let name = reference(&format!("registry.example/app:{number}"));
        reopen(&folder)
            .export(&name, &path, ExportFormat::Oci, &|_| {})
            .unwrap();
    }
    let pruned = reopen(&folder).evict_to(0, false).unwrap();
    assert_eq!(
        (pruned.left, reopen(&folder).disk_usage().unwrap().objects),
        (0, 0)
    );
    assert!(
        reopen(&folder)
            .tags()
            .unwrap()
            .iter()
            .all(|tag| tag.used.is_none() && tag.size == 0)
    );
}

#[test]
fn a_purge_leaves_what_others_refer_to() {
    let mut layout = Layout::new();
    let (one, two) = (
        layout.image("{}", &["shared", "a"]),
        layout.image("{ }", &["shared", "b"]),
    );
    layout.name(&one, Some("registry.example/app:1"));
    layout.name(&one, Some("registry.example/app:also"));
    layout.name(&two, Some("registry.example/app:2"));
    layout.name(&one, Some("other.example/app:1"));
    let (folder, store) = store();
    import(&store, &layout);
    drop(store);
    let held = |digest: &Digest| blob_file(&folder, digest).exists();
    let purge = |name: &str| reopen(&folder).purge(&reference(name));
    let first = purge("registry.example/app:also").unwrap();
    assert_eq!(
        (first.tags.len(), first.objects),
        (1, 0),
        "another tag stands for it"
    );
    let by_digest = purge(&format!("registry.example/app@{}", one.digest)).unwrap();
    assert_eq!(by_digest.tags, [tagged("registry.example/app:1")]);
    assert_eq!(by_digest.objects, 0, "another repository has it");
    let record = |name: &str| {
        let canonical = Canonical::new(reference(name).named().clone(), one.digest);
        folder.path().join(layout::content(&canonical)).exists()
    };
    assert!(!record("registry.example/app") && record("other.example/app"));
    let last = purge("other.example/app:1").unwrap();
    assert_eq!((last.objects, last.bytes), (3, 2 + 1 + one.size.unwrap()));
    assert!(!held(&one.digest) && held(&two.digest) && held(&Digest::sha256(b"shared")));
    for name in ["other.example/app:1", "registry.example/app:9"] {
        assert!(purge(name).unwrap_err().is_absent());
    }
    let absent = purge(&format!("registry.example/app@{}", one.digest));
    assert!(absent.unwrap_err().is_absent());
    assert_eq!(reopen(&folder).disk_usage().unwrap().unreferenced, 0);
}

#[test]
fn a_refreshed_tag_is_unchecked_and_nothing_else() {
    let mut layout = Layout::new();
    let image = layout.image("{}", &["layer"]);
    layout.name(&image, Some("registry.example/app:1"));
    let (folder, store) = store();
    import(&store, &layout);
    let name = tagged("registry.example/app:1");
    let path = folder.path().join(layout::tag(&name));
    let imported = fs::read_to_string(&path).unwrap();
    assert!(imported.contains("\"unchecked\":true"), "{imported}");
    fs::write(&path, imported.replace(",\"unchecked\":true", "")).unwrap();
    store.refresh(&name).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), imported);
    assert!(
        store
            .refresh(&tagged("registry.example/app:2"))
            .unwrap_err()
            .is_absent()
    );
}

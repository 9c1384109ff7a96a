use super::*;

#[test]
fn what_docker_save_writes_is_read() {
    // As docker 25 writes it, with keys that are not known here.
    let json = br#"[{"Config":"blobs/sha256/ab","RepoTags":["alpine:3.22","quay.io/a/b:1"],
        "Layers":["blobs/sha256/cd","blobs/sha256/cd"],"LayerSources":{"sha256:cd":{"size":1}}},
        {"Config":"x.json","RepoTags":null,"Layers":null,"Parent":"sha256:ef"}]
"#;
    let images = decode(json).unwrap();
    let [first, second] = images.as_slice() else {
        panic!("{images:?}")
    };
    assert_eq!(&*first.config, "blobs/sha256/ab");
    let names: Vec<_> = first
        .names()
        .map(|name| name.unwrap().to_string())
        .collect();
    assert_eq!(names, ["docker.io/library/alpine:3.22", "quay.io/a/b:1"]);
    assert_eq!(first.layers.len(), 2);
    assert_eq!(second.parent.as_deref(), Some("sha256:ef"));
    assert!(second.repo_tags.is_empty() && second.layers.is_empty());
    assert_eq!(decode(encode(&images).as_bytes()).unwrap(), images);
}

#[test]
fn lists_are_written_as_go_writes_them() {
    let image = Image {
        config: "a<b.json".into(),
        ..Image::default()
    };
    assert_eq!(
        encode(&[image]),
        r#"[{"Config":"a\u003cb.json","RepoTags":null,"Layers":[]}]"#
    );
    assert_eq!(encode(&[]), "[]");
}

#[test]
fn refusals() {
    let long = vec![b' '; LIST_BYTES_MAX + 1];
    for bytes in [&long[..], b"{}", b"[[]]", b"[{}]", br#"[{"Config":1}]"#] {
        assert!(decode(bytes).is_err());
    }
    for bytes in [&long[..], b"[]", br#"{"a":"b"}"#, br#"{"a":{"b":1}}"#] {
        assert!(Repositories::decode(bytes).is_err());
    }
    let image = |name: &str| Image {
        repo_tags: vec![name.into()],
        ..Image::default()
    };
    let digest = format!("a@{}", Digest::sha256(b""));
    for name in ["A", "", &digest] {
        let image = image(name);
        let error = image.names().next().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{name:?} is not the name of an image")
        );
    }
}

#[test]
fn repositories_read_back() {
    let mut repositories = Repositories::default();
    repositories.set(&"b:2".parse().unwrap(), "22");
    repositories.set(&"quay.io/a:1".parse().unwrap(), "11");
    repositories.set(&"b:1".parse().unwrap(), "00");
    repositories.set(&"b:1".parse().unwrap(), "21");
    let json = repositories.encode();
    assert_eq!(json, r#"{"b":{"1":"21","2":"22"},"quay.io/a":{"1":"11"}}"#);
    let read = Repositories::decode(json.as_bytes()).unwrap();
    assert_eq!(read, repositories);
    let list: Vec<_> = read
        .iter()
        .map(|(name, tag, id)| format!("{name}:{}={id}", tag.unwrap()))
        .collect();
    assert_eq!(list, ["b:1=21", "b:2=22", "quay.io/a:1=11"]);
}

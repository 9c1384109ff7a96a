use proptest::prelude::*;

use super::*;
use crate::{Manifest, MediaType};

fn id(n: usize) -> ImageId {
    ImageId::parse(&format!("{n:064x}")).unwrap()
}

fn image(n: usize, v1_json: &str) -> (ImageId, Bytes) {
    (id(n), v1_json.to_owned().into())
}

#[test]
fn ids() {
    let text = "0123456789abcdef".repeat(4);
    let good = ImageId::parse(&text).unwrap();
    assert_eq!(good.as_str(), text);
    assert_eq!(good.to_string(), text);
    assert_eq!(good.digest().to_string(), format!("sha256:{text}"));
    for bad in [
        String::new(),
        text.to_uppercase(),
        text.replace('0', "g"),
        text[1..].to_owned(),
        format!("{text}0"),
        format!("sha256:{text}"),
        format!("{}/../x", &text[5..]),
    ] {
        assert!(
            matches!(ImageId::parse(&bad), Err(Error::ImageId { .. })),
            "{bad}"
        );
    }
}

#[test]
fn one_form_to_the_byte() {
    let top = format!("{{ \"id\":\"{}\",\n\"x\":\"\\u00e9\u{e9}<\" }}", id(2));
    let ancestry = Ancestry::new(vec![image(1, "{}"), image(2, &top)]).unwrap();
    let expected = format!(
        r#"{{"id":"{b}","images":[{{"id":"{a}","v1Image":"{{}}"}},{{"id":"{b}","v1Image":"{{ \"id\":\"{b}\",\n\"x\":\"\\u00e9é\u003c\" }}"}}]}}"#,
        a = id(1),
        b = id(2),
    );
    assert_eq!(ancestry.encode(), expected);
    let read = Ancestry::decode(expected.as_bytes()).unwrap();
    let images: Vec<_> = read.images().collect();
    assert_eq!(
        images,
        [(&id(1), b"{}".as_slice()), (&id(2), top.as_bytes())]
    );
    assert_eq!(read.id(), &id(2));
    assert!(Ancestry::decode(format!(" {expected}").as_bytes()).is_err());
    assert!(Manifest::decode(Some(MediaType::V1Ancestry.as_str()), expected.into()).is_err());
}

#[test]
fn what_an_image_says_of_itself_must_be_so() {
    let (one, two) = (id(1), id(2));
    let named = |id: &str, parent: &str| format!(r#"{{"id":{id},"parent":{parent}}}"#);
    let quoted = |id: &ImageId| format!("\"{id}\"");
    for (base, top, good) in [
        ("{}".to_owned(), "{}".to_owned(), true),
        (named(&quoted(&one), "null"), named("null", "\"\""), true),
        (
            named(&quoted(&one), "\"\""),
            named(&quoted(&two), &quoted(&one)),
            true,
        ),
        (named(&quoted(&two), "null"), "{}".into(), false),
        (named("null", &quoted(&two)), "{}".into(), false),
        ("{}".into(), named("null", &quoted(&two)), false),
        ("{}".into(), named(&quoted(&one), "null"), false),
        ("{}".into(), named("7", "null"), false),
        ("{}".into(), "[]".into(), false),
        ("{}".into(), r#"["a","b"]"#.into(), false),
        ("{}".into(), "null".into(), false),
        ("".into(), "{}".into(), false),
        ("{".into(), "{}".into(), false),
    ] {
        let made = Ancestry::new(vec![image(1, &base), image(2, &top)]);
        assert_eq!(made.is_ok(), good, "{base} below {top}: {made:?}");
    }
    let foreign = format!(r#"{{"parent":"{two}"}}"#);
    let text = Ancestry::new(vec![image(1, "{}"), image(3, &foreign)])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains(one.as_str()) && text.contains(two.as_str()),
        "{text}"
    );
    let foreign = format!(r#"{{"id":"{two}"}}"#);
    let text = Ancestry::new(vec![image(1, &foreign)])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains(one.as_str()) && text.contains(two.as_str()),
        "{text}"
    );
    let not_utf8 = (id(1), Bytes::from_static(b"{\"x\":\"\xff\"}"));
    assert!(Ancestry::new(vec![not_utf8]).is_err());
}

#[test]
fn limits() {
    let many = |count| (0..count).map(|n| image(n, "{}")).collect::<Vec<_>>();
    assert!(matches!(
        Ancestry::new(Vec::new()),
        Err(Error::Absent { .. })
    ));
    assert_eq!(
        Ancestry::new(many(IMAGES_MAX)).unwrap().images().len(),
        1024
    );
    assert!(matches!(
        Ancestry::new(many(IMAGES_MAX + 1)),
        Err(Error::TooManyImages { images: 1025, .. })
    ));
    assert!(matches!(
        Ancestry::new(vec![image(1, "{}"), image(1, "{}")]),
        Err(Error::RepeatedId { .. })
    ));
    let frame = Ancestry::new(vec![image(1, "{}")]).unwrap().encode().len() - 2;
    let filled = |len: usize| format!("{{{}}}", " ".repeat(len - 2));
    let fits = Ancestry::new(vec![image(1, &filled(MANIFEST_BYTES_MAX - frame))]).unwrap();
    assert_eq!(fits.encode().len(), MANIFEST_BYTES_MAX);
    for images in [
        vec![image(1, &filled(MANIFEST_BYTES_MAX - frame + 1))],
        vec![image(1, &filled(MANIFEST_BYTES_MAX)), image(2, "{}")],
    ] {
        assert!(matches!(Ancestry::new(images), Err(Error::TooLarge { .. })));
    }
    let long = " ".repeat(MANIFEST_BYTES_MAX + 1);
    assert!(matches!(
        Ancestry::decode(long.as_bytes()),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn documents_of_others_are_refused() {
    let good = String::from_utf8(
        Ancestry::new(vec![image(1, "{}"), image(2, "{}")])
            .unwrap()
            .encode()
            .to_vec(),
    )
    .unwrap();
    for bad in [
        good.replacen(id(2).as_str(), id(1).as_str(), 1),
        good.replace("\"images\"", "\"layers\""),
        good.replace("]}", "],\"x\":1}"),
        good.replace("\"{}\"", "{}"),
        good.replace(id(1).as_str(), "a"),
        good.replace(id(1).as_str(), id(2).as_str()),
        good.replace(',', ", "),
        "{}".into(),
        "[]".into(),
        String::new(),
        "<html>".into(),
    ] {
        assert!(Ancestry::decode(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(Ancestry::decode(good.as_bytes()).is_ok());
}

/// Ids in any order, none twice, and JSON that says of itself what is so, or nothing.
fn images() -> impl Strategy<Value = Vec<(ImageId, Bytes)>> {
    let ids = prop::collection::hash_set("[0-9a-f]{64}", 1..6);
    let says = prop::collection::vec((any::<[bool; 3]>(), ".{0,20}"), 6);
    (ids, says).prop_map(|(ids, says)| {
        let mut below = String::new();
        let mut images = Vec::new();
        for (id, ([names_id, names_parent, spaced], text)) in ids.into_iter().zip(says) {
            let mut json = serde_json::json!({ "comment": text });
            if names_id {
                json["id"] = id.as_str().into();
            }
            if names_parent {
                json["parent"] = below.into();
            }
            let json = match spaced {
                true => serde_json::to_vec_pretty(&json).unwrap(),
                false => serde_json::to_vec(&json).unwrap(),
            };
            images.push((ImageId::parse(&id).unwrap(), json.into()));
            below = id;
        }
        images
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(images in images()) {
        let ancestry = Ancestry::new(images.clone()).unwrap();
        let read = Ancestry::decode(&ancestry.encode()).unwrap();
        prop_assert_eq!(&read, &ancestry);
        prop_assert_eq!(read.encode(), ancestry.encode());
        let expected: Vec<_> = images.iter().map(|(id, json)| (id, &**json)).collect();
        prop_assert_eq!(read.images().collect::<Vec<_>>(), expected);
        prop_assert_eq!(Some(read.id()), images.last().map(|(id, _)| id));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        images in images(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), Just(b' ')],
        more in any::<bool>(),
    ) {
        let mut bytes = Ancestry::new(images).unwrap().encode().to_vec();
        let at = at.index(bytes.len());
        match more {
            true => bytes.insert(at, byte),
            false => bytes[at] = byte,
        }
        if let Ok(read) = Ancestry::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

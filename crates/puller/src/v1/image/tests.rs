use longshore_reference::Digest;

use super::*;

fn id(n: usize) -> ImageId {
    ImageId::parse(&format!("{n:064x}")).unwrap()
}

#[test]
fn chains() {
    let list = |ids: &[usize]| {
        let ids: Vec<_> = ids.iter().map(|&n| format!("\"{}\"", id(n))).collect();
        format!("[{}]", ids.join(","))
    };
    for (body, expected) in [
        (list(&[3]), Some(vec![id(3)])),
        (list(&[3, 2, 1]), Some(vec![id(1), id(2), id(3)])),
        (list(&[2, 3]), None),
        (list(&[3, 2, 2]), None),
        (list(&[3, 1, 3]), None),
        ("[]".into(), None),
        ("{}".into(), None),
        ("".into(), None),
        (format!("[\"{}\",\"../x\"]", id(3)), None),
        (format!("[\"{}\",null]", id(3)), None),
        (
            list(&(0..IMAGES_MAX).map(|n| n + 3).collect::<Vec<_>>()),
            Some((0..IMAGES_MAX).rev().map(|n| id(n + 3)).collect()),
        ),
        (
            list(&(0..=IMAGES_MAX).map(|n| n + 3).collect::<Vec<_>>()),
            None,
        ),
    ] {
        let found = chain(body.as_bytes(), &id(3));
        assert!(found == expected, "{:.200}: {found:?}", body);
    }
}

#[test]
fn what_headers_say_of_a_layer() {
    let payload = Digest::sha256(b"{}\nlayer").to_string();
    for (size, checksum, expected) in [
        (None, None, Ok((None, None))),
        (Some("5"), None, Ok((Some(5), None))),
        (Some("0"), None, Ok((Some(0), None))),
        (Some("-1"), None, Ok((None, None))),
        (Some("x"), None, Err(SIZE)),
        (Some(""), None, Err(SIZE)),
        (Some("1.5"), None, Err(SIZE)),
        (None, Some(payload.as_str()), Ok((None, Some(true)))),
        (
            None,
            Some("sha256:0000000000000000000000000000000000000000000000000000000000000000"),
            Ok((None, Some(false))),
        ),
        (None, Some("tarsum+sha256:00"), Ok((None, None))),
        (None, Some("sha256:00"), Err(CHECKSUM)),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(size) = size {
            headers.insert(SIZE, size.parse().unwrap());
        }
        if let Some(checksum) = checksum {
            headers.insert(CHECKSUM, checksum.parse().unwrap());
        }
        let found = facts(&headers, b"{}").map(|facts| {
            let mut hasher = facts.hasher;
            hasher.update(b"layer");
            let found = hasher.finish();
            let right = facts.checksum.map(|checksum| checksum == found);
            (facts.size, right)
        });
        assert_eq!(found, expected, "{size:?} {checksum:?}");
    }
}

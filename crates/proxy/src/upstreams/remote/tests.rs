use super::*;
use bytes::Bytes;

#[test]
fn a_check_by_digest_compares_what_is_answered() {
    let (asked, other) = (Digest::sha256(b"asked"), Digest::sha256(b"other"));
    let tag = Reference::parse("registry.example/app:1").unwrap();
    let digest = Reference::parse(&format!("registry.example/app@{asked}")).unwrap();
    for (reference, found, expected) in [
        (&tag, Some(asked), Check::Same),
        (&tag, Some(other), Check::Changed(Some(other))),
        (&tag, None, Check::Changed(None)),
        (&digest, Some(asked), Check::Same),
        (&digest, Some(other), Check::Changed(Some(other))),
        (&digest, None, Check::Same),
    ] {
        assert_eq!(
            compare(reference, asked, found),
            expected,
            "{reference} {found:?}"
        );
    }
}

#[tokio::test]
async fn a_source_ends_where_the_range_ends() {
    for (len, expected) in [(0, ""), (2, "ab"), (3, "abc"), (4, "abcd"), (9, "abcdef")] {
        let chunks = ["abc", "def"].map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
        let source = Source {
            size: Some(6),
            whole: false,
            chunks: futures_util::stream::iter(chunks).boxed(),
            distrust: Box::new(|| {}),
        };
        let got: Vec<_> = cut(source, len).chunks.map(Result::unwrap).collect().await;
        assert_eq!(got.concat(), expected.as_bytes(), "{len}");
    }
}

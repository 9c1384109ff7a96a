//! Layers of v1 images.

use longshore_puller::{Api, Fault as Wrong};

use super::*;

const PATH: &str = "/layer";

async fn registry(layer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> (Server, Upstream) {
    let server = Server::start(move |seen| match seen.path.ends_with(PATH) {
        true => layer(seen),
        false => standalone(seen),
    })
    .await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    (server, upstream)
}

async fn open(upstream: &Upstream, offset: u64, size: Option<u64>) -> Result<Download, Error> {
    let named = tagged("library/app:1").named().clone();
    sent(upstream.v1_layer(&named, &id(2), offset, size)).await
}

/// The rest of the layer, as the answer to a ranged request; `end` is what the header calls its last byte.
fn part(from: usize, unit: &str, end: usize) -> Answer {
    let range = format!("{unit}{from}-{end}/{}", LAYER.len());
    Answer::new(206, &LAYER[from..]).with("Content-Range", range)
}

fn ranged(answer: Answer) -> Answer {
    answer.with("Accept-Ranges", "bytes")
}

#[tokio::test]
async fn a_layer_from_any_byte_on() {
    let (server, upstream) = registry(|seen| match seen.from() {
        Some(from) => part(from, "bytes ", LAYER.len() - 1),
        None => Answer::new(200, LAYER),
    })
    .await;
    let mut download = open(&upstream, 0, None).await.unwrap();
    assert_eq!(download.size(), Some(36));
    assert_eq!(read(&mut download).await.unwrap(), LAYER);
    let mut download = open(&upstream, 10, Some(36)).await.unwrap();
    assert_eq!(read(&mut download).await.unwrap(), &LAYER[10..]);
    let mut download = open(&upstream, 36, Some(36)).await.unwrap();
    assert_eq!(read(&mut download).await.unwrap(), b"");
    assert_eq!(server.count(PATH), 2);
    assert_eq!(server.count("/json"), 1, "what is known is not asked again");
    let error = open(&upstream, 0, Some(35)).await.unwrap_err();
    let lied = matches!(
        error,
        Error::Misbehaved {
            fault: Wrong::Length {
                expected: 35,
                found: 36
            },
            ..
        }
    );
    assert!(lied, "{error:?}");
}

/// A first request that is lost or meets trouble that passes is repeated, twice at the most.
#[tokio::test]
async fn the_first_request_of_a_layer_is_tried_again() {
    for status in [0, 503] {
        for failures in [1, 2, 3] {
            let (server, upstream) = registry(move |seen| match seen.nth < failures {
                true => Answer::new(status, ""),
                false => Answer::new(200, LAYER),
            })
            .await;
            match open(&upstream, 0, None).await {
                Ok(mut download) => assert_eq!(read(&mut download).await.unwrap(), LAYER),
                Err(error) => {
                    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
                    assert_eq!(failures, 3);
                }
            }
            assert_eq!(server.count(PATH), (failures + 1).min(3), "{status}");
        }
    }
}

#[tokio::test]
async fn cuts_are_mended_by_ranges_as_old_registries_write_them() {
    for (unit, end) in [("bytes ", 35), ("", 35), ("", 36), ("bytes ", 36)] {
        let (server, upstream) = registry(move |seen| match seen.from() {
            None => ranged(Answer::new(200, LAYER)).cut_at(7),
            Some(7) => part(7, unit, end).cut_at(5),
            Some(from) => part(from, unit, end),
        })
        .await;
        let mut download = open(&upstream, 0, None).await.unwrap();
        assert_eq!(read(&mut download).await.unwrap(), LAYER, "{unit:?} {end}");
        let ranges: Vec<_> = server.requests().iter().filter_map(Seen::from).collect();
        assert_eq!(ranges, [7, 12]);
    }
}

#[tokio::test]
async fn a_size_that_only_the_json_tells_is_enough() {
    let (_server, upstream) = registry(|seen| match seen.from() {
        None => ranged(Answer::new(200, "5\r\n01234\r\n").with("Transfer-Encoding", "chunked")),
        Some(from) => part(from, "", 36),
    })
    .await;
    let mut download = open(&upstream, 0, None).await.unwrap();
    assert_eq!(read(&mut download).await.unwrap(), LAYER);
}

#[tokio::test]
async fn nothing_starts_anew_in_the_middle() {
    type Cut = fn(&Seen) -> Answer;
    let cases: [(&str, Cut, usize); 4] = [
        // No ranges: not even asked for.
        ("no ranges", |_| Answer::new(200, LAYER).cut_at(7), 1),
        (
            "everything again",
            |_| ranged(Answer::new(200, LAYER)).cut_at(7),
            2,
        ),
        (
            "another place",
            |seen| match seen.from() {
                None => ranged(Answer::new(200, LAYER)).cut_at(7),
                Some(_) => part(8, "bytes ", 35),
            },
            2,
        ),
        (
            "another size",
            |seen| match seen.from() {
                None => ranged(Answer::new(200, LAYER)).cut_at(7),
                Some(_) => Answer::new(206, "x").with("Content-Range", "7-7/8"),
            },
            2,
        ),
    ];
    for (name, layer, requests) in cases {
        let (server, upstream) = registry(layer).await;
        let mut download = open(&upstream, 0, None).await.unwrap();
        let mut all = Vec::new();
        let error = loop {
            match download.chunk().await {
                Ok(bytes) => all.extend_from_slice(&bytes.unwrap()),
                Err(error) => break error,
            }
        };
        assert_eq!(all, &LAYER[..7], "{name}: {error:?}");
        assert_eq!(server.count(PATH), requests, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn five_failures_end_it() {
    let (server, upstream) = registry(|seen| match seen.from() {
        None => ranged(Answer::new(200, LAYER)).cut_at(7),
        Some(_) => Answer::new(503, ""),
    })
    .await;
    let mut download = open(&upstream, 0, None).await.unwrap();
    let error = read(&mut download).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(server.count(PATH), 1 + 5);
}

#[tokio::test]
async fn storage_elsewhere_sees_no_secrets() {
    let storage = Server::start(|seen| match seen.from() {
        Some(from) => part(from, "bytes ", 35),
        None => ranged(Answer::new(200, LAYER)).cut_at(7),
    })
    .await;
    let location = format!("{}/v1/bucket?signature=1", storage.url());
    let server = Server::start(move |seen| match seen.path.ends_with(PATH) {
        true => Answer::new(302, "").with("Location", &location),
        false => standalone(seen)
            .with("Set-Cookie", "a=b")
            .with("X-Docker-Token", "t"),
    })
    .await;
    let upstream = upstream_of(&[&server.url()], Api::V1);
    let mut download = open(&upstream, 0, None).await.unwrap();
    assert_eq!(read(&mut download).await.unwrap(), LAYER);
    let asked = server.requests();
    let layers: Vec<_> = asked.iter().filter(|s| s.path.ends_with(PATH)).collect();
    assert_eq!(layers.len(), 2);
    for seen in layers {
        assert_eq!(seen.header("authorization"), Some("Token t"));
        assert_eq!(seen.header("cookie"), Some("a=b"));
    }
    assert_eq!(storage.requests().len(), 2);
    for seen in storage.requests() {
        assert_eq!(seen.header("authorization"), None);
        assert_eq!(seen.header("cookie"), None);
    }
}

#[tokio::test]
async fn only_success_is_a_layer() {
    for (status, requests) in [(404, 1), (204, 1), (206, 1), (302, 1)] {
        let (server, upstream) = registry(move |_| Answer::new(status, "")).await;
        let error = open(&upstream, 0, None).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(!error.is_transient(), "{status} {shown}");
        assert_eq!(server.count(PATH), requests, "{status} {shown}");
    }
}

#[tokio::test]
async fn a_checksum_that_is_stated_is_compared() {
    let json = v1_json(id(2).as_str());
    let payload = [json.as_bytes(), b"\n", LAYER].concat();
    let right = Digest::sha256(&payload).to_string();
    let wrong = Digest::sha256(b"x").to_string();
    for (of_json, of_layer, good) in [
        (Some(&right), None, true),
        (None, Some(&right), true),
        (Some(&right), Some(&right), true),
        (None, None, true),
        (Some(&wrong), None, false),
        (None, Some(&wrong), false),
    ] {
        let stated = |answer: Answer, checksum: Option<&String>| match checksum {
            Some(checksum) => answer.with("X-Docker-Checksum-Payload", checksum),
            None => answer,
        };
        let (of_json, of_layer) = (of_json.cloned(), of_layer.cloned());
        let server = Server::start(move |seen| match seen.path.rsplit('/').next() {
            Some("json") => stated(standalone(seen), of_json.as_ref()),
            Some("layer") => stated(standalone(seen), of_layer.as_ref()),
            _ => standalone(seen),
        })
        .await;
        let upstream = upstream_of(&[&server.url()], Api::V1);
        let mut download = open(&upstream, 0, None).await.unwrap();
        let mut result = read(&mut download).await;
        for _ in 0..2 {
            match (&result, good) {
                (Ok(bytes), true) => assert_eq!(bytes, LAYER),
                (Err(error), false) => {
                    let wrong = matches!(
                        error,
                        Error::Misbehaved {
                            fault: Wrong::Digest,
                            ..
                        }
                    );
                    assert!(wrong, "{error:?}");
                    // And stays wrong.
                    result = read(&mut download).await;
                }
                (result, _) => panic!("{result:?}"),
            }
        }
        let mut tail = open(&upstream, 5, None).await.unwrap();
        assert_eq!(
            read(&mut tail).await.unwrap(),
            &LAYER[5..],
            "a part says nothing"
        );
    }
}

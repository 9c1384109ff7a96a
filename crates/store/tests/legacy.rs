//! Legacy images in the store: layers whose digest is not known before, conversions, and documents that are known by
//! another digest than that of their bytes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

mod common;

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{
    Answer, Ask, AskManifest, Upstream, canonical, chunked, content, for_manifest, gone, named,
    open, path_of, read, store, unreachable,
};
use futures_util::{FutureExt, StreamExt};
use longshore_manifest::convert::{Converted, Format, LayerBlob};
use longshore_manifest::{DiffId, MediaType};
use longshore_reference::{Canonical, Digest, Reference, Tag, Tagged};
use longshore_store::{Error, Fetched, Origin, Outcome, Policy, Refusal, Source, Store};
use tokio::sync::Notify;

const ID: &str = "aa22cd34aa22cd34aa22cd34aa22cd34aa22cd34aa22cd34aa22cd34aa22cd34";

fn source(bytes: &Bytes, size: Option<u64>) -> Source {
    Source {
        whole: false,
        size,
        chunks: chunked(bytes),
        distrust: Box::new(|| {}),
    }
}

fn converted() -> Converted {
    Converted {
        config: Bytes::from_static(br#"{"os":"linux"}"#),
        manifest: Bytes::from_static(br#"{"schemaVersion":2,"config":{},"layers":[]}"#),
        media_type: MediaType::Schema2,
    }
}

fn document() -> Canonical {
    canonical("app", b"a legacy document")
}

#[tokio::test]
async fn a_layer_lands_under_the_digest_it_turns_out_to_have() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(&folder).await;
    let bytes = content(700_001);
    let given = source(&bytes, Some(bytes.len() as u64));
    let (digest, size, tapped) = kept
        .land(&named("app"), ID, given, Vec::new())
        .await
        .unwrap();
    assert_eq!((digest, size), (Digest::sha256(&bytes), 700_001));
    assert_eq!(tapped, bytes);
    // Another process finds it, and where it came from.
    drop(kept);
    let again = store(&folder).await;
    let layer = canonical("app", &bytes);
    let nothing = Upstream::refusing(unreachable);
    let blob = open(&again, &layer, &nothing).await.unwrap();
    assert_eq!(blob.outcome(), Outcome::Hit);
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    // Lost, it is asked for by where it came from.
    fs::remove_file(path_of(folder.path(), digest)).unwrap();
    let upstream = Upstream::of(&bytes);
    let blob = open(&again, &layer, &upstream).await.unwrap();
    assert_eq!(read(&blob, 0, None).await.unwrap(), bytes);
    let origin = Origin::V1Layer { id: ID.into() };
    assert_eq!(*upstream.origins.lock().unwrap(), [Some(origin)]);
}

/// Says of what it is given that it is damaged.
struct Damaged;

impl Write for Damaged {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::InvalidData, "on purpose"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_layer_that_is_cut_or_lies_or_cannot_be_read_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let bytes = content(300_000);
    for size in [299_999, 300_001] {
        let given = source(&bytes, Some(size));
        let landed = store.land(&named("app"), ID, given, Vec::new()).await;
        assert!(matches!(
            landed,
            Err(Error::Refused(Refusal::Misbehaved { .. }))
        ));
    }
    let cut = Source {
        whole: false,
        chunks: chunked(&bytes)
            .chain(futures_util::stream::iter([Err(unreachable())]))
            .boxed(),
        ..source(&bytes, None)
    };
    let landed = store.land(&named("app"), ID, cut, Vec::new()).await;
    assert!(matches!(
        landed,
        Err(Error::Refused(Refusal::Unreachable { .. }))
    ));
    let landed = store
        .land(&named("app"), ID, source(&bytes, None), Damaged)
        .await;
    assert!(matches!(
        landed,
        Err(Error::Refused(Refusal::Misbehaved { .. }))
    ));
    let refused = open(&store, &canonical("app", &bytes), &Upstream::refusing(gone)).await;
    assert!(refused.is_err());
    assert_eq!(store.usage().objects, 0);
}

#[tokio::test]
async fn a_layer_is_looked_into_once_however_many_ask() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(&folder).await;
    let (found, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let blob = LayerBlob {
        digest: Digest::sha256(b"gz"),
        size: 2,
        diff_id: DiffId::new(Digest::sha256(b"tar")),
        gzipped: true,
    };
    let ask = |store: Store| {
        let (found, gate) = (Arc::clone(&found), Arc::clone(&gate));
        async move {
            let find = || async move {
                gate.notified().await;
                found.fetch_add(1, Ordering::SeqCst);
                Ok(blob)
            };
            store.layer(&named("app"), ID, find).await.unwrap()
        }
    };
    let open = async {
        tokio::task::yield_now().await;
        gate.notify_one();
    };
    let (first, second, ()) = tokio::join!(ask(kept.clone()), ask(kept.clone()), open);
    assert_eq!((first, second), (blob, blob));
    drop(kept);
    assert_eq!(ask(store(&folder).await).await, blob);
    assert_eq!(found.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_was_made_is_kept_with_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, document) = (store(&folder).await, document());
    let within = Duration::from_secs(60);
    let make = || async { Ok(converted()) };
    let held = kept
        .made(&document, Format::Schema2, within, make)
        .await
        .unwrap();
    assert_eq!(
        (held.outcome, &held.bytes),
        (Outcome::Miss, &converted().manifest)
    );
    drop(kept);
    let again = store(&folder).await;
    let never = || async { panic!("made once more") };
    let held = again
        .made(&document, Format::Schema2, within, never)
        .await
        .unwrap();
    assert_eq!(
        (held.outcome, &*held.media_type),
        (Outcome::Hit, MediaType::Schema2.as_str())
    );
    // By the digests that were given out, upstream gone.
    let ask: AskManifest = Arc::new(|_| async { Answer::Refused(unreachable()) }.boxed());
    let manifest = canonical("app", &converted().manifest);
    let request = for_manifest(manifest, &Policy::default(), ask);
    let by_digest = again.manifest(&request).await.unwrap();
    assert_eq!(by_digest.bytes, converted().manifest);
    let config = canonical("app", &converted().config);
    let nothing = Upstream::refusing(unreachable);
    let blob = open(&again, &config, &nothing).await.unwrap();
    assert_eq!(read(&blob, 0, None).await.unwrap(), converted().config);
    // Lost, it is asked for by what it was made of.
    fs::remove_file(path_of(folder.path(), config.digest())).unwrap();
    let upstream = Upstream::of(&converted().config);
    open(&again, &config, &upstream).await.unwrap();
    let origins = upstream.origins.lock().unwrap().clone();
    let origin = Origin::Made {
        of: document.digest(),
        format: Format::Schema2,
    };
    assert_eq!(origins, [Some(origin)]);
    // The other form is another conversion.
    let refused = again.made(&document, Format::Oci, within, || async {
        Err(gone().into())
    });
    assert!(matches!(
        refused.await,
        Err(Error::Refused(Refusal::Gone { .. }))
    ));
}

#[tokio::test]
async fn a_conversion_outlives_the_patience_of_those_who_ask() {
    let folder = tempfile::tempdir().unwrap();
    let (store, document) = (store(&folder).await, document());
    let (gate, made) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let make = || {
        let (gate, made) = (Arc::clone(&gate), Arc::clone(&made));
        async move {
            gate.notified().await;
            made.fetch_add(1, Ordering::SeqCst);
            Ok(converted())
        }
    };
    for _ in 0..2 {
        let asked = store.made(&document, Format::Oci, Duration::ZERO, make);
        assert!(matches!(asked.await, Err(Error::Converting)));
    }
    gate.notify_one();
    let held = store.made(&document, Format::Oci, Duration::from_secs(60), make);
    assert_eq!(held.await.unwrap().bytes, converted().manifest);
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

/// Signed by nobody, but in the form that libtrust gives: the payload ends before the signatures.
fn signed() -> (Bytes, Digest) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL;
    let payload = "{\n   \"schemaVersion\": 1,\n   \"name\": \"app\",\n   \"tag\": \"1\",\n   \"fsLayers\": [],\n   \"history\": []\n}";
    let length = payload.len() - 2;
    let tail = URL.encode("\n}");
    let protected = URL.encode(format!(
        r#"{{"formatLength":{length},"formatTail":"{tail}","time":"2016-01-02T03:04:05Z"}}"#
    ));
    let head = &payload[..length];
    let document = format!(
        "{head},\n   \"signatures\": [{{\"header\":{{\"alg\":\"ES256\"}},\"signature\":\"AAAA\",\"protected\":\"{protected}\"}}]\n}}"
    );
    (document.into(), Digest::sha256(payload.as_bytes()))
}

#[tokio::test]
async fn a_signed_document_is_known_by_its_payload() {
    let (bytes, payload) = signed();
    assert_ne!(Digest::sha256(&bytes), payload);
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let given = bytes.clone();
    let ask: AskManifest = Arc::new(move |ask| {
        let fetched = Fetched {
            bytes: given.clone(),
            media_type: Some(MediaType::Schema1Signed.as_str().to_owned()),
            digest: Some(payload),
        };
        async move {
            match ask {
                Ask::Fetch => Answer::Body(fetched),
                Ask::Check(_) => Answer::Same,
            }
        }
        .boxed()
    });
    let tagged = Tagged::new(named("app"), Tag::parse("1").unwrap());
    let by_tag = Reference::Tagged(tagged);
    let by_digest = |path| Reference::Canonical(Canonical::new(named(path), payload));
    let policy = Policy::default();
    for (reference, outcome) in [
        (by_tag.clone(), Outcome::Miss),
        (by_tag, Outcome::Hit),
        (by_digest("app"), Outcome::Hit),
        (by_digest("other"), Outcome::Miss),
    ] {
        let request = for_manifest(reference.clone(), &policy, Arc::clone(&ask));
        let held = store.manifest(&request).await.unwrap();
        assert_eq!(
            (held.digest, held.outcome),
            (payload, outcome),
            "{reference}"
        );
        assert_eq!(held.bytes, bytes);
    }
}

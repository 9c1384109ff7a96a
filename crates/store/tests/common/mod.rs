//! An upstream by script: it counts what it is asked, and gives bytes when the test says so.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fixture that fails is a failed test"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use longshore_reference::{Canonical, Digest, Named};
use longshore_store::{
    Blob, BlobRange, Error, Options, Origin, Policy, Refusal, Request, Source, Store,
};
use tokio::sync::mpsc;

mod remote;

pub(crate) use remote::{
    Answer, Ask, AskBlob, AskManifest, BlobAnswer, BlobQuestion, for_blob, for_manifest,
};

pub(crate) const MIB: usize = 1 << 20;

/// Bytes that differ from place to place.
pub(crate) fn content(len: usize) -> Bytes {
    (0..len as u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

pub(crate) fn named(path: &str) -> Named {
    Named::new("registry.example", path).unwrap()
}

pub(crate) fn canonical(path: &str, bytes: &[u8]) -> Canonical {
    Canonical::new(named(path), Digest::sha256(bytes))
}

/// Where a blob is kept.
pub(crate) fn path_of(root: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex().to_string();
    root.join("blobs/sha256").join(&hex[..2]).join(hex)
}

pub(crate) async fn store(folder: &tempfile::TempDir) -> Store {
    Store::open(Options::new(folder.path())).await.unwrap()
}

pub(crate) fn unreachable() -> Refusal {
    Refusal::Unreachable {
        cause: Arc::new(std::io::Error::other("on purpose")),
    }
}

pub(crate) fn gone() -> Refusal {
    Refusal::Gone {
        confirmed: true,
        cause: Arc::new(std::io::Error::other("on purpose")),
    }
}

type Chunks = BoxStream<'static, Result<Bytes, Refusal>>;
type Give = Arc<dyn Fn(u64) -> Result<(Option<u64>, Chunks), Refusal> + Send + Sync>;

/// What a scripted upstream was asked.
#[derive(Clone)]
pub(crate) struct Upstream {
    give: Give,
    pub(crate) fetched: Arc<Mutex<Vec<u64>>>,
    /// The origins that came with the questions for bytes.
    pub(crate) origins: Arc<Mutex<Vec<Option<Origin>>>>,
    checked: Arc<AtomicUsize>,
    pub(crate) distrusted: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn new(
        give: impl Fn(u64) -> Result<(Option<u64>, Chunks), Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self {
            give: Arc::new(give),
            fetched: Arc::default(),
            origins: Arc::default(),
            checked: Arc::default(),
            distrusted: Arc::default(),
        }
    }

    /// Gives all of it, in chunks.
    pub(crate) fn of(bytes: &Bytes) -> Self {
        let bytes = bytes.clone();
        Self::new(move |offset| {
            let rest = bytes.slice(offset as usize..);
            Ok((Some(bytes.len() as u64), chunked(&rest)))
        })
    }

    /// Gives what the test sends, as often as there are receivers.
    pub(crate) fn by_hand(
        size: Option<u64>,
    ) -> (Self, mpsc::UnboundedSender<Result<Bytes, Refusal>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let receiver = Mutex::new(Some(receiver));
        let upstream = Self::new(move |_| {
            let receiver = receiver.lock().unwrap().take().expect("asked once");
            let chunks = futures_util::stream::unfold(receiver, |mut receiver| async {
                Some((receiver.recv().await?, receiver))
            });
            Ok((size, chunks.boxed()))
        });
        (upstream, sender)
    }

    pub(crate) fn refusing(refusal: impl Fn() -> Refusal + Send + Sync + 'static) -> Self {
        Self::new(move |_| Err(refusal()))
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetched.lock().unwrap().len()
    }

    pub(crate) fn checked(&self) -> usize {
        self.checked.load(Ordering::SeqCst)
    }

    pub(crate) fn request(&self, canonical: &Canonical) -> Request<Canonical> {
        for_blob(canonical, &Policy::default(), self.ask())
    }

    pub(crate) fn ask(&self) -> AskBlob {
        let upstream = self.clone();
        Arc::new(move |ask| {
            let upstream = upstream.clone();
            async move {
                let offset = match ask {
                    BlobQuestion::Check => {
                        upstream.checked.fetch_add(1, Ordering::SeqCst);
                        0
                    }
                    BlobQuestion::Fetch {
                        offset, ref origin, ..
                    } => {
                        upstream.origins.lock().unwrap().push(origin.clone());
                        upstream.fetched.lock().unwrap().push(offset);
                        offset
                    }
                };
                match ((upstream.give)(offset), ask) {
                    (Ok((size, _)), BlobQuestion::Check) => BlobAnswer::Has(size),
                    (Ok((size, chunks)), BlobQuestion::Fetch { .. }) => {
                        let distrusted = Arc::clone(&upstream.distrusted);
                        let distrust = Box::new(move || {
                            distrusted.fetch_add(1, Ordering::SeqCst);
                        });
                        BlobAnswer::Source(Source {
                            whole: false,
                            size,
                            chunks,
                            distrust,
                        })
                    }
                    (Err(refusal), _) => BlobAnswer::Refused(refusal),
                }
            }
            .boxed()
        })
    }
}

pub(crate) fn chunked(bytes: &Bytes) -> Chunks {
    let chunks: Vec<_> = bytes
        .chunks(100_000)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    // One that panics when it is polled after its end, as streams may.
    let chunks = futures_util::stream::unfold(chunks.into_iter(), |mut chunks| async {
        Some((chunks.next()?, chunks))
    });
    chunks.boxed()
}

pub(crate) async fn open(
    store: &Store,
    canonical: &Canonical,
    upstream: &Upstream,
) -> Result<Blob, Error> {
    store
        .blob(&upstream.request(canonical), BlobRange::All)
        .await
}

pub(crate) async fn read(
    blob: &Blob,
    start: u64,
    end: Option<u64>,
) -> Result<Vec<u8>, (Vec<u8>, Error)> {
    let mut reader = blob.read(start, end);
    let mut all = Vec::new();
    loop {
        match reader.chunk().await {
            Ok(Some(bytes)) => all.extend_from_slice(&bytes),
            Ok(None) => return Ok(all),
            Err(error) => return Err((all, error)),
        }
    }
}

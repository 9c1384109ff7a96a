//! The transfer of one layer: download, verify, keep, unpack.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use longshore_manifest::{Descriptor, MediaType, v1::ImageId};
use longshore_reference::{Algorithm, Canonical, Digest, Hasher, Named};
use tokio::time::{Instant, sleep};

use super::{Content, Error, Ingest, Phase, Puller, Transfer, Unpacked, error::is_final};
use crate::{
    Download, Error as Asked, Ranges, Upstream,
    convert::Unpacking,
    docker::{Countdown, Throttle},
};

/// What is transferred.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// A blob of protocol v2.
    Blob {
        blob: Canonical,
        media_type: MediaType,
        /// Where else it is, for a layer that a registry need not have.
        urls: Vec<Box<str>>,
    },
    /// The layer of an image of protocol v1, whose digest is not known before.
    V1 { named: Named, id: ImageId },
}

impl Wanted {
    pub(super) fn layer(named: &Named, layer: &Descriptor) -> Self {
        Self::Blob {
            blob: Canonical::new(named.clone(), layer.digest),
            media_type: layer.media_type.clone(),
            urls: layer.urls.clone(),
        }
    }

    pub(super) fn named(&self) -> &Named {
        match self {
            Self::Blob { blob, .. } => blob.named(),
            Self::V1 { named, .. } => named,
        }
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Blob { blob, .. } => Some(blob.digest()),
            Self::V1 { .. } => None,
        }
    }

    /// What it is called in events.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Blob { blob, .. } => blob.digest().to_string(),
            Self::V1 { id, .. } => id.to_string(),
        }
    }

    /// What it is transferred and remembered under.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Blob { blob, .. } => blob.digest().to_string(),
            Self::V1 { named, id } => format!("v1:{}/{id}", named.domain()),
        }
    }

    fn hasher(&self) -> Hasher {
        let digest = self.digest();
        let algorithm = digest.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        algorithm.hasher()
    }

    pub(super) fn is_unpacked(&self) -> bool {
        match self {
            Self::Blob { media_type, .. } => is_layer(media_type),
            Self::V1 { .. } => true,
        }
    }
}

/// The layers that can be unpacked here. Those that nobody gave a type are tried.
fn is_layer(media_type: &MediaType) -> bool {
    match media_type {
        MediaType::Schema2Layer
        | MediaType::Schema2LayerGzip
        | MediaType::Schema2ForeignLayer
        | MediaType::Schema2ForeignLayerGzip
        | MediaType::OciLayer
        | MediaType::OciLayerGzip
        | MediaType::OciForeignLayer
        | MediaType::OciForeignLayerGzip => true,
        other => other.as_str().is_empty(),
    }
}

/// Downloads a layer, as often as the options allow, verifies it and finds out what it is when unpacked.
pub(super) async fn transfer(
    puller: Puller,
    wanted: Wanted,
    transfer: Arc<Transfer>,
) -> Result<Unpacked, Error> {
    let slot = transfer.slot().await;
    let content = puller.content.as_ref();
    let (ingest, digest) = download(&puller, &wanted, &transfer).await?;
    let size = ingest.offset();
    let committed = ingest.commit(digest).await;
    committed.map_err(Error::content("keep a layer"))?;
    transfer.report(Phase::Downloaded);
    drop(slot);
    let plain = Unpacked {
        digest,
        size,
        diff_id: None,
        gzipped: false,
    };
    let unpacked = match wanted.is_unpacked() {
        true => unpack(content, plain, Some(transfer)).await?,
        false => plain,
    };
    remember(content, &wanted.key(), wanted.named(), unpacked).await;
    Ok(unpacked)
}

/// Memory for the next pull: nothing is lost without it.
pub(super) async fn remember(content: &dyn Content, key: &str, named: &Named, unpacked: Unpacked) {
    let remembered = async {
        content.set_unpacked(key, unpacked).await?;
        content.add_source(key, named).await
    };
    if let Err(error) = remembered.await {
        tracing::warn!(key, %error, "a layer is not remembered");
    }
}

/// A download and its tries. What has come is kept for the next try, with its hash.
struct Job<'a> {
    upstream: Upstream,
    wanted: &'a Wanted,
    transfer: &'a Transfer,
    ingest: Box<dyn Ingest>,
    hasher: Hasher,
}

/// Why a try failed.
enum Failed {
    /// Another is of no use.
    Finally(Error),
    /// Another may succeed.
    Again(Error),
    /// Another may succeed, but not with what has come so far.
    Anew(Error),
}

async fn download(
    puller: &Puller,
    wanted: &Wanted,
    transfer: &Transfer,
) -> Result<(Box<dyn Ingest>, Digest), Error> {
    let registry = puller.registries.registry(wanted.named());
    let ingest = puller.content.ingest().await;
    let mut job = Job {
        upstream: registry.map_err(|error| Error::of_call(wanted.named(), error))?,
        wanted,
        transfer,
        ingest: ingest.map_err(Error::content("create a download file"))?,
        hasher: wanted.hasher(),
    };
    let mut tries = Countdown::new(puller.options.attempts);
    loop {
        let (error, anew) = match job.attempt().await {
            Ok(digest) => return Ok((job.ingest, digest)),
            Err(Failed::Finally(error)) => return Err(error),
            Err(Failed::Again(error)) => (error, false),
            Err(Failed::Anew(error)) => (error, true),
        };
        let Some(lines) = tries.failed() else {
            return Err(error);
        };
        tracing::debug!(id = wanted.id(), %error, anew, "a layer is tried again");
        if anew {
            job.hasher = wanted.hasher();
            let truncated = job.ingest.truncate().await;
            truncated.map_err(Error::content("truncate a download file"))?;
        }
        let seconds = u32::try_from(lines.count()).unwrap_or(u32::MAX);
        for seconds in (1..=seconds).rev() {
            transfer.report(Phase::Retrying { seconds });
            sleep(puller.options.countdown_step).await;
        }
    }
}

impl Job<'_> {
    /// One try: what is missing, then the check of all.
    async fn attempt(&mut self) -> Result<Digest, Failed> {
        let start = self.ingest.offset();
        let mut download = match self.open(start).await {
            Ok(download) => download,
            Err(error) => return Err(self.failed(error, start)),
        };
        let total = download.size();
        let mut throttle = Throttle::new(total.unwrap_or_default().saturating_sub(start));
        let begun = Instant::now();
        self.transfer.report(Phase::Downloading {
            current: start,
            total,
        });
        loop {
            let chunk = match download.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Err(self.failed(error, start)),
            };
            self.hasher.update(&chunk);
            let bytes = chunk.len() as u64;
            let written = self.ingest.write(chunk).await;
            written.map_err(|error| Failed::Finally(Error::content("write a layer")(error)))?;
            if let Some(current) = throttle.read(bytes, false, begun.elapsed()) {
                let current = start.saturating_add(current);
                self.transfer.report(Phase::Downloading { current, total });
            }
        }
        let Some(expected) = self.wanted.digest() else {
            return Ok(self.hasher.clone().finish());
        };
        self.transfer.report(Phase::Verifying);
        if self.hasher.clone().finish() == expected {
            return Ok(expected);
        }
        download.distrust();
        let error = Error::Verification {
            what: "filesystem layer",
            digest: expected,
        };
        tracing::error!("{error}");
        // Bytes of before may not go with those that came now.
        match start > 0 || download.ranges() != Ranges::Unknown {
            true => Err(Failed::Anew(error)),
            false => Err(Failed::Finally(error)),
        }
    }

    /// Opens the layer at the registry, else where its manifest says that it is.
    async fn open(&self, at: u64) -> Result<Download, Asked> {
        let (blob, urls) = match self.wanted {
            Wanted::V1 { named, id } => return self.upstream.v1_layer(named, id, at, None).await,
            Wanted::Blob { blob, urls, .. } => (blob, urls),
        };
        let mut opened = self.upstream.blob(blob, at, None).await;
        for url in urls {
            if opened.is_ok() {
                break;
            }
            tracing::debug!(digest = %blob.digest(), url = url.split('?').next(), "pulling from a foreign url");
            opened = self.upstream.foreign_blob(url, at).await;
        }
        opened
    }

    fn failed(&self, error: Asked, start: u64) -> Failed {
        let is_range = matches!(error, Asked::Misbehaved { .. } | Asked::OutOfRange { .. });
        let finally = is_final(&error);
        let error = Error::of_call(self.wanted.named(), error);
        match (finally, is_range && start > 0) {
            (true, _) => Failed::Finally(error),
            (false, true) => Failed::Anew(error),
            (false, false) => Failed::Again(error),
        }
    }
}

/// What a layer that is held is when unpacked.
pub(super) async fn unpack(
    content: &dyn Content,
    layer: Unpacked,
    transfer: Option<Arc<Transfer>>,
) -> Result<Unpacked, Error> {
    let reader = content.open(layer.digest).await;
    let reader = reader.map_err(Error::content("read a layer"))?;
    let Unpacked { digest, size, .. } = layer;
    let work = tokio::task::spawn_blocking(move || unpack_now(reader, size, transfer.as_deref()));
    let worked = work.await.map_err(io::Error::other).flatten();
    let failed = |error: io::Error| Error::Unpack(Arc::new(error));
    let Some(unpacking) = worked.map_err(failed)? else {
        return Ok(layer);
    };
    let found = unpacking.into_layer(digest, size).await.map_err(failed)?;
    Ok(Unpacked {
        diff_id: Some(found.diff_id.digest()),
        gzipped: found.gzipped,
        ..layer
    })
}

/// `None` for what is compressed in a way that is not known here.
fn unpack_now(
    mut reader: Box<dyn Read + Send>,
    size: u64,
    transfer: Option<&Transfer>,
) -> io::Result<Option<Unpacking>> {
    let mut unpacking = Unpacking::default();
    let mut buffer = vec![0; UNPACK_BYTES];
    let mut throttle = Throttle::new(size);
    let begun = std::time::Instant::now();
    let mut is_first = true;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some(unpacking)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if std::mem::take(&mut is_first) && COMPRESSED.iter().any(|magic| bytes.starts_with(magic))
        {
            return Ok(None);
        }
        unpacking.write_all(bytes)?;
        if let Some(current) = throttle.read(read as u64, false, begun.elapsed())
            && let Some(transfer) = transfer
        {
            let total = size;
            transfer.report(Phase::Extracting { current, total });
        }
    }
}

const UNPACK_BYTES: usize = 256 << 10;

/// How layers begin that are compressed by zstd, bzip2, xz.
const COMPRESSED: [&[u8]; 3] = [
    &[0x28, 0xb5, 0x2f, 0xfd],
    b"BZh",
    &[0xfd, b'7', b'z', b'X', b'Z', 0],
];

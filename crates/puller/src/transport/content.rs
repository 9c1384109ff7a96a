//! The bytes of a blob on their way from a source to a destination.

use std::{
    fmt,
    io::{self, SeekFrom, Write},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use longshore_reference::{Digest, Verifier};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, Take},
};

use super::error::Error;

/// The bytes of a blob, chunk after chunk. Memory is bounded: what is not wanted is not read.
pub struct Content {
    size: Option<u64>,
    chunks: BoxStream<'static, Result<Bytes, Error>>,
}

impl Content {
    /// Any stream of bytes; `size` in bytes is what is expected of it, a claim.
    pub fn new(
        size: Option<u64>,
        chunks: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    ) -> Self {
        let chunks = chunks.boxed();
        Self { size, chunks }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn of_bytes(bytes: Bytes) -> Self {
        let size = Some(bytes.len() as u64);
        Self::new(size, stream::iter([Ok(bytes)]))
    }

    /// `len` bytes of a file, from `offset`.
    pub(super) async fn of_file(path: &Path, offset: u64, len: u64) -> Result<Self, Error> {
        let failed = |source| Error::file("read", path, source);
        let mut file = File::open(path).await.map_err(failed)?;
        file.set_max_buf_size(CHUNK_BYTES);
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        let part = Part {
            file: file.take(len),
            path: path.to_owned(),
        };
        let next = |mut part: Part| async {
            let chunk = part.next().await.transpose()?;
            Some((chunk, part))
        };
        Ok(Self::new(Some(len), stream::unfold(part, next).fuse()))
    }

    /// The expected size in bytes, where one is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.chunks.next().await.transpose()
    }

    /// All bytes, at most `limit`; `what` names them in the error.
    pub(super) async fn read(mut self, limit: usize, what: &str) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            let bytes = all.len().saturating_add(chunk.len());
            if bytes > limit {
                let bytes_max = limit;
                let source = longshore_manifest::Error::TooLarge { bytes, bytes_max };
                return Err(Error::document(what, source));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The same bytes, of which the last chunk is withheld until the digest of all is right.
    pub(super) fn verified(self, digest: Digest) -> Self {
        let size = self.size;
        let verified = Verified {
            content: self,
            verifier: Some(Verifier::new(digest)),
            held: None,
        };
        let next = |mut verified: Verified| async {
            let chunk = verified.next().await.transpose()?;
            Some((chunk, verified))
        };
        Self::new(size, stream::unfold(verified, next))
    }

    /// What is inside, if the bytes are gzipped; else the bytes as they are.
    pub(super) fn unpacked(self) -> Self {
        let unpacking = Unpacking {
            content: self,
            state: State::Start,
            produced: 0,
        };
        let next = |mut unpacking: Unpacking| async {
            let chunk = unpacking.next().await.transpose()?;
            Some((chunk, unpacking))
        };
        Self::new(None, stream::unfold(unpacking, next))
    }
}

impl Stream for Content {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(cx)
    }
}

impl From<crate::Blob> for Content {
    fn from(blob: crate::Blob) -> Self {
        let size = blob.size();
        Self::new(size, blob.map(|chunk| chunk.map_err(Error::Registry)))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Content");
        f.field("size", &self.size).finish_non_exhaustive()
    }
}

/// Work that takes the processor's or the disk's time: not on the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
}

struct Part {
    file: Take<File>,
    path: PathBuf,
}

impl Part {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.file.limit() == 0 {
            return Ok(None);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = self.file.read_buf(&mut chunk).await;
        let read = read.and_then(|read| match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        });
        if let Err(source) = read {
            self.file.set_limit(0);
            return Err(Error::file("read", &self.path, source));
        }
        Ok(Some(chunk.freeze()))
    }
}

struct Verified {
    content: Content,
    /// `None` at the end.
    verifier: Option<Verifier>,
    /// The chunk that is withheld.
    held: Option<Bytes>,
}

impl Verified {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(verifier) = &mut self.verifier {
            match self.content.chunk().await {
                Ok(Some(chunk)) => {
                    verifier.update(&chunk);
                    if let Some(before) = self.held.replace(chunk) {
                        return Ok(Some(before));
                    }
                }
                Ok(None) => {
                    let expected = verifier.expected();
                    let is_right = self.verifier.take().is_some_and(Verifier::verify);
                    return match is_right {
                        true => Ok(self.held.take()),
                        false => Err(Error::Digest(expected)),
                    };
                }
                Err(error) => {
                    self.verifier = None;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }
}

struct Unpacking {
    content: Content,
    state: State,
    /// Bytes so far.
    produced: u64,
}

enum State {
    /// Nothing was seen yet.
    Start,
    Plain(Option<Bytes>),
    /// The decoder, and what it has not seen of the last chunk.
    Gzip(Decoder, Bytes),
    End,
}

type Decoder = Box<MultiGzDecoder<Vec<u8>>>;

impl Unpacking {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.step().await;
        if let Ok(Some(chunk)) = &next {
            self.produced = self.produced.saturating_add(chunk.len() as u64);
            if self.produced > UNPACKED_BYTES_MAX {
                self.state = State::End;
                let problem = "it unpacks to more than 256 GiB";
                return Err(Error::Unpack(io::Error::other(problem)));
            }
        }
        next
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match std::mem::replace(&mut self.state, State::End) {
                State::Start => self.begin().await?,
                State::Plain(Some(first)) => {
                    self.state = State::Plain(None);
                    return Ok(Some(first));
                }
                State::Plain(None) => {
                    let chunk = self.content.chunk().await?;
                    self.state = State::Plain(None);
                    return Ok(chunk);
                }
                State::Gzip(decoder, rest) => {
                    let out = self.gunzip(decoder, rest).await?;
                    if !out.is_empty() {
                        return Ok(Some(out));
                    }
                }
                State::End => return Ok(None),
            }
        }
    }

    /// Looks at the first bytes.
    async fn begin(&mut self) -> Result<(), Error> {
        let mut start = BytesMut::new();
        while start.len() < MAGIC_BYTES {
            match self.content.chunk().await? {
                Some(chunk) => start.extend_from_slice(&chunk),
                None => break,
            }
        }
        let start = start.freeze();
        let other = COMPRESSIONS
            .iter()
            .find(|(magic, _)| start.starts_with(magic));
        if let Some((_, name)) = other {
            let problem = format!("it is compressed by {name}, which cannot be unpacked here");
            return Err(Error::Unpack(io::Error::new(
                io::ErrorKind::Unsupported,
                problem,
            )));
        }
        self.state = match start.starts_with(GZIP) {
            true => State::Gzip(Box::new(MultiGzDecoder::new(Vec::new())), start),
            false => State::Plain(Some(start).filter(|start| !start.is_empty())),
        };
        Ok(())
    }

    async fn gunzip(&mut self, decoder: Decoder, mut rest: Bytes) -> Result<Bytes, Error> {
        if rest.is_empty() {
            let Some(chunk) = self.content.chunk().await? else {
                let out = blocking(move || decoder.finish()).await;
                let out = out.flatten().map_err(Error::Unpack)?;
                return Ok(out.into());
            };
            rest = chunk;
        }
        let decoded = blocking(move || decode(decoder, rest)).await.flatten();
        let (decoder, rest, out) = decoded.map_err(Error::Unpack)?;
        self.state = State::Gzip(decoder, rest);
        Ok(out)
    }
}

/// Decodes until there is a chunk's worth of output. Little goes in at once, because it may become a thousand times as
/// much.
fn decode(mut decoder: Decoder, mut rest: Bytes) -> io::Result<(Decoder, Bytes, Bytes)> {
    while !rest.is_empty() && decoder.get_ref().len() < CHUNK_BYTES {
        let some = rest.split_to(rest.len().min(DECODED_AT_ONCE));
        decoder.write_all(&some)?;
    }
    let out = std::mem::take(decoder.get_mut());
    Ok((decoder, rest, out.into()))
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const COMPRESSIONS: [(&[u8], &str); 3] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (b"BZh", "bzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
];
/// The longest beginning that tells a compression.
const MAGIC_BYTES: usize = 6;
const CHUNK_BYTES: usize = 256 << 10;
const DECODED_AT_ONCE: usize = 4 << 10;
/// More than any layer unpacks to.
const UNPACKED_BYTES_MAX: u64 = 256 << 30;

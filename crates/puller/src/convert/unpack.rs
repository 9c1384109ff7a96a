//! What is inside a layer: the digest of the plain tar, found while the layer's bytes go by.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use longshore_manifest::DiffId;
use longshore_manifest::convert::LayerBlob;
use longshore_reference::{Algorithm, Digest, Hasher};

/// More than any layer unpacks to: a small one that unpacks to more was made to harm.
const UNPACKED_BYTES_MAX: u64 = 256 << 30;
/// The longest beginning that tells a compression.
const MAGIC_BYTES: usize = 6;

/// Finds out what a manifest must say of a layer, while its bytes pass: the digest of the plain tar, and whether it is
/// gzipped. Memory is constant.
///
/// ```
/// use longshore_puller::convert::Unpacking;
/// use longshore_reference::Digest;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let tar = bytes::Bytes::from_static(b"a plain tar");
/// let (digest, size) = (Digest::sha256(&tar), 11);
/// let layer = Unpacking::default().push(tar).await?.into_layer(digest, size).await?;
/// assert_eq!((layer.diff_id.digest(), layer.gzipped), (digest, false));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Unpacking(State);

#[derive(Debug)]
enum State {
    /// Too little was seen to tell.
    Unknown(Vec<u8>),
    Gzipped(Box<MultiGzDecoder<Hashing>>),
    Plain(Box<Hashing>),
}

/// Hashes what is written to it.
#[derive(Debug)]
struct Hashing {
    hasher: Hasher,
    len: u64,
    max: u64,
}

impl Unpacking {
    /// Takes in the next bytes of a layer, on a thread for blocking work.
    ///
    /// # Errors
    /// The layer cannot be unpacked, or unpacks to more than 256 GiB.
    pub async fn push(mut self, bytes: Bytes) -> io::Result<Self> {
        blocking(move || self.write_all(&bytes).map(|()| self)).await
    }

    /// What a manifest says of the layer whose bytes were taken in, and have this digest and size.
    ///
    /// # Errors
    /// The layer cannot be unpacked, or is cut.
    pub async fn into_layer(self, digest: Digest, size: u64) -> io::Result<LayerBlob> {
        let (diff_id, gzipped) = blocking(move || self.finish()).await?;
        Ok(LayerBlob {
            digest,
            size,
            diff_id,
            gzipped,
        })
    }

    /// The digest of the plain tar, and whether it was gzipped.
    fn finish(self) -> io::Result<(DiffId, bool)> {
        let state = match self.0 {
            State::Unknown(start) => State::begin(&start)?,
            begun => begun,
        };
        let (hashing, gzipped) = match state {
            State::Gzipped(decoder) => (decoder.finish()?, true),
            State::Plain(hashing) => (*hashing, false),
            State::Unknown(_) => return Err(bad("a layer that cannot be read")),
        };
        Ok((DiffId::new(hashing.hasher.finish()), gzipped))
    }
}

impl Default for Unpacking {
    fn default() -> Self {
        Self(State::Unknown(Vec::new()))
    }
}

impl Write for Unpacking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            State::Unknown(start) => {
                start.extend_from_slice(bytes);
                if start.len() >= MAGIC_BYTES {
                    self.0 = State::begin(start)?;
                }
                Ok(bytes.len())
            }
            State::Gzipped(decoder) => decoder.write(bytes),
            State::Plain(hashing) => hashing.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn begin(start: &[u8]) -> io::Result<Self> {
        let hashing = Hashing {
            hasher: Algorithm::Sha256.hasher(),
            len: 0,
            max: UNPACKED_BYTES_MAX,
        };
        let mut state = if start.starts_with(&[0x1f, 0x8b]) {
            Self::Gzipped(Box::new(MultiGzDecoder::new(hashing)))
        } else if start.starts_with(b"BZh") {
            return Err(bad(
                "a layer compressed by bzip2, which no image manifest can name",
            ));
        } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            return Err(bad(
                "a layer compressed by xz, which no image manifest can name",
            ));
        } else {
            Self::Plain(Box::new(hashing))
        };
        match &mut state {
            Self::Gzipped(decoder) => decoder.write_all(start)?,
            Self::Plain(hashing) => hashing.write_all(start)?,
            Self::Unknown(_) => {}
        }
        Ok(state)
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += bytes.len() as u64;
        if self.len > self.max {
            return Err(bad("a layer that unpacks to more than 256 GiB"));
        }
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacking takes the processor's time: away from the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(io::Error::other).flatten()
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8], at_once: usize) -> io::Result<(DiffId, bool)> {
        let mut unpacking = Unpacking::default();
        for chunk in bytes.chunks(at_once) {
            unpacking.write_all(chunk)?;
        }
        unpacking.finish()
    }

    #[test]
    fn finds_the_plain_tar_however_it_comes() {
        let tar: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let diff_id = DiffId::new(Digest::sha256(&tar));
        let mut two_members = gzip(&tar[..1000]);
        two_members.extend(gzip(&tar[1000..]));
        for (bytes, gzipped) in [
            (gzip(&tar), true),
            (two_members, true),
            (tar.clone(), false),
        ] {
            for at_once in [1, 7, 4096, usize::MAX] {
                assert_eq!(unpack(&bytes, at_once).unwrap(), (diff_id, gzipped));
            }
        }
        for short in [&b""[..], b"abc"] {
            let diff_id = DiffId::new(Digest::sha256(short));
            assert_eq!(unpack(short, 1).unwrap(), (diff_id, false));
        }
    }

    #[test]
    fn refuses_what_is_cut_damaged_or_of_another_kind() {
        let whole = gzip(b"a tar, more or less");
        assert!(unpack(&whole[..whole.len() - 1], 5).is_err(), "cut");
        let mut damaged = whole;
        damaged[12] ^= 0x55;
        assert!(unpack(&damaged, 5).is_err(), "damaged");
        assert!(unpack(b"BZh91AY&SY", 3).is_err(), "bzip2");
        assert!(unpack(b"\xfd7zXZ\0\0", 3).is_err(), "xz");
    }

    #[test]
    fn refuses_what_unpacks_to_too_much() {
        let mut hashing = Hashing {
            hasher: Algorithm::Sha256.hasher(),
            len: 0,
            max: 10,
        };
        assert!(hashing.write(b"0123456789").is_ok());
        assert!(hashing.write(b"x").is_err());
    }
}

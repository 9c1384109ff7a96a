//! How facts of the index are written in the files of the index.

use std::io::Read;

use longshore_reference::{Algorithm, Digest};

use super::index::{Fact, Held, Index};
use super::policy::Queue;
use super::stamp::Stamp;

/// What every file of the index starts with: another version is not read.
pub(super) const MAGIC: &[u8] = b"longshore index 1\n";
/// A record is never longer: 4 MiB, a manifest of 50,000 children.
const RECORD_BYTES_MAX: usize = 4 << 20;

/// Something to be written to the journal.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// A fact of the index.
    Fact(Fact<'a>),
    /// A blob is gone.
    Gone(&'a Digest),
    /// A blob was used at this time.
    Used(&'a Digest, u32),
}

/// Reads the records of a file, up to one that is cut off or broken.
pub(super) fn replay(mut from: impl Read, index: &mut Index) {
    let mut magic = [0; MAGIC.len()];
    if from.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return;
    }
    let mut body = Vec::new();
    while read_frame(&mut from, &mut body).is_some() {
        if apply(&body, index).is_none() {
            tracing::warn!("a record of the index cannot be understood: skipped");
        }
    }
}

/// Bytes of the frame and body of a record of a blob with a sha256.
pub(super) const HELD_BYTES: usize = 8 + 2 + 32 + 32 + 8 + 1;

const KIND_HELD: u8 = 1;
const KIND_GONE: u8 = 2;
const KIND_IMAGE: u8 = 3;
const KIND_USED: u8 = 4;
const KIND_PIN: u8 = 5;
const KIND_GHOST: u8 = 6;
const KIND_SEAT: u8 = 7;

/// Appends a record in its frame: length, checksum, body.
pub(super) fn encode(record: &Record<'_>, to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[0; 8]);
    match record {
        Record::Fact(Fact::Held(digest, held)) => {
            put_digest(KIND_HELD, digest, to);
            let Stamp {
                inode,
                size,
                modified,
                changed,
            } = held.stamp;
            to.extend_from_slice(&inode.to_le_bytes());
            to.extend_from_slice(&size.to_le_bytes());
            to.extend_from_slice(&modified.to_le_bytes());
            to.extend_from_slice(&changed.to_le_bytes());
            to.extend_from_slice(&held.used.to_le_bytes());
            to.extend_from_slice(&held.scrubbed.to_le_bytes());
            to.push(held.trusted.into());
        }
        Record::Fact(Fact::Seat(digest, queue, uses)) => {
            put_digest(KIND_SEAT, digest, to);
            to.extend_from_slice(&[u8::from(*queue == Queue::Main), *uses]);
        }
        Record::Fact(Fact::Image(digest, children)) => {
            put_digest(KIND_IMAGE, digest, to);
            for child in children {
                to.push(algorithm_number(child.algorithm()));
                to.extend_from_slice(child.as_bytes());
            }
        }
        Record::Fact(Fact::Pin(name, digest)) => {
            put_digest(KIND_PIN, digest, to);
            to.extend_from_slice(name.as_bytes());
        }
        Record::Fact(Fact::Ghost(name)) => {
            to.push(KIND_GHOST);
            to.extend_from_slice(&name.to_le_bytes());
        }
        Record::Gone(digest) => put_digest(KIND_GONE, digest, to),
        Record::Used(digest, used) => {
            put_digest(KIND_USED, digest, to);
            to.extend_from_slice(&used.to_le_bytes());
        }
    }
    let body = to.get(start + 8..).unwrap_or_default();
    let (len, sum) = (body.len() as u64, checksum(body));
    let frame = (len << 32 | u64::from(sum)).to_le_bytes();
    if let Some(place) = to.get_mut(start..start + 8) {
        place.copy_from_slice(&frame);
    }
}

/// Reads the next body; `None` at the end, and where the rest cannot be a record.
fn read_frame(from: &mut impl Read, body: &mut Vec<u8>) -> Option<()> {
    let mut head = [0; 8];
    from.read_exact(&mut head).ok()?;
    let head = u64::from_le_bytes(head);
    let len = usize::try_from(head >> 32).ok()?;
    if len > RECORD_BYTES_MAX {
        return None;
    }
    body.resize(len, 0);
    from.read_exact(body).ok()?;
    (u64::from(checksum(body)) == head & u64::from(u32::MAX)).then_some(())
}

fn apply(mut body: &[u8], index: &mut Index) -> Option<()> {
    let rest = &mut body;
    let [kind] = *take(rest)?;
    if kind == KIND_GHOST {
        index.restore_ghost(u64::from_le_bytes(*take(rest)?));
        return Some(());
    }
    let digest = take_digest(rest)?;
    match kind {
        KIND_HELD => {
            let stamp = Stamp {
                inode: u64::from_le_bytes(*take(rest)?),
                size: u64::from_le_bytes(*take(rest)?),
                modified: i64::from_le_bytes(*take(rest)?),
                changed: i64::from_le_bytes(*take(rest)?),
            };
            let held = Held {
                stamp,
                used: u32::from_le_bytes(*take(rest)?),
                scrubbed: u32::from_le_bytes(*take(rest)?),
                trusted: *take(rest)? == [1],
            };
            index.insert(&digest, held);
        }
        KIND_SEAT => {
            let [is_main, uses] = *take(rest)?;
            let queue = match is_main {
                0 => Queue::Small,
                _ => Queue::Main,
            };
            index.restore_seat(&digest, queue, uses);
        }
        KIND_IMAGE => {
            let mut children = Vec::new();
            while !rest.is_empty() {
                children.push(take_digest(rest)?);
            }
            index.image(&digest, &children);
        }
        KIND_PIN => {
            index.pin(std::str::from_utf8(rest).ok()?, &digest);
        }
        KIND_GONE => {
            index.remove(&digest);
        }
        KIND_USED => {
            index.touch(&digest, u32::from_le_bytes(*take(rest)?));
        }
        _ => return None,
    }
    Some(())
}

fn put_digest(kind: u8, digest: &Digest, to: &mut Vec<u8>) {
    to.extend_from_slice(&[kind, algorithm_number(digest.algorithm())]);
    to.extend_from_slice(digest.as_bytes());
}

fn take_digest(rest: &mut &[u8]) -> Option<Digest> {
    let [number] = *take(rest)?;
    let algorithm = Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm_number(*algorithm) == number)?;
    let bytes = rest.split_off(..algorithm.hex_len() / 2)?;
    Digest::from_bytes(algorithm, bytes)
}

fn algorithm_number(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha384 => 2,
        Algorithm::Sha512 => 3,
    }
}

fn take<'a, const LEN: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; LEN]> {
    rest.split_off(..LEN)?.first_chunk()
}

/// FNV-1a: it tells a record that was cut off from one that is whole.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

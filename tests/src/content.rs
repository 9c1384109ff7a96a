//! Bytes of any length that can be made again at any offset, so that neither side keeps a large blob in memory.

use bytes::Bytes;
use sha2::{Digest as Hasher, Sha256, Sha512};
use std::fmt::Write as _;
use std::sync::Arc;

/// The bytes of an object, given or made from a seed.
#[derive(Clone)]
pub struct Content {
    source: Source,
    len: u64,
    flipped: Option<u64>,
}

#[derive(Clone)]
enum Source {
    Given(Bytes),
    /// One block repeated, with a number at the start of each page: no two pages are equal, so bytes that landed in
    /// the wrong place are told from the right ones.
    Seeded {
        seed: u64,
        block: Arc<[u8]>,
        len: u64,
    },
}

impl Content {
    /// `len` bytes that depend only on `seed`.
    #[must_use]
    pub fn seeded(seed: u64, len: u64) -> Self {
        let mut state = seed;
        let mut block = Vec::with_capacity(BLOCK as usize);
        while (block.len() as u64) < BLOCK {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            block.extend_from_slice(&mix(state).to_le_bytes());
        }
        let source = Source::Seeded {
            seed,
            block: block.into(),
            len,
        };
        Self {
            source,
            len,
            flipped: None,
        }
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the bytes that start at `offset` over the whole of `buffer`; bytes after the end are `X`.
    pub fn fill(&self, offset: u64, buffer: &mut [u8]) {
        match &self.source {
            Source::Given(bytes) => {
                let from = (offset.min(bytes.len() as u64)) as usize;
                let given = buffer.len().min(bytes.len() - from);
                buffer[..given].copy_from_slice(&bytes[from..from + given]);
                buffer[given..].fill(b'X');
            }
            Source::Seeded { seed, block, len } => {
                let given = (buffer.len() as u64).min(len.saturating_sub(offset)) as usize;
                fill_seeded(*seed, block, offset, &mut buffer[..given]);
                buffer[given..].fill(b'X');
            }
        }
        if let Some(at) = self.flipped
            && (offset..offset + buffer.len() as u64).contains(&at)
        {
            buffer[(at - offset) as usize] ^= 0xff;
        }
    }

    /// The bytes from `start` up to `end`, in memory.
    #[must_use]
    pub fn slice(&self, start: u64, end: u64) -> Vec<u8> {
        let mut bytes = vec![0; (end - start) as usize];
        self.fill(start, &mut bytes);
        bytes
    }

    /// All bytes, in memory.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.slice(0, self.len)
    }

    /// Whether `bytes` are what stands at `offset`.
    #[must_use]
    pub fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        offset + bytes.len() as u64 <= self.len
            && self.slice(offset, offset + bytes.len() as u64) == bytes
    }

    /// `sha256:<hex>` of all bytes.
    #[must_use]
    pub fn digest(&self) -> String {
        self.hashed::<Sha256>("sha256")
    }

    /// `sha512:<hex>` of all bytes.
    #[must_use]
    pub fn digest_sha512(&self) -> String {
        self.hashed::<Sha512>("sha512")
    }

    fn hashed<H: Hasher>(&self, algorithm: &str) -> String {
        let mut hasher = H::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut offset = 0;
        while offset < self.len {
            let take = (self.len - offset).min(buffer.len() as u64) as usize;
            self.fill(offset, &mut buffer[..take]);
            hasher.update(&buffer[..take]);
            offset += take as u64;
        }
        let mut text = format!("{algorithm}:");
        for byte in hasher.finalize() {
            write!(text, "{byte:02x}").unwrap();
        }
        text
    }

    /// The same bytes, but for the one at `at`.
    #[must_use]
    pub fn flipped_at(mut self, at: u64) -> Self {
        self.flipped = Some(at);
        self
    }

    /// The same start, with another length; bytes past the old end are `X`.
    #[must_use]
    pub fn resized(mut self, len: u64) -> Self {
        self.len = len;
        self
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.len)
    }
}

impl<B: Into<Bytes>> From<B> for Content {
    fn from(bytes: B) -> Self {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        Self {
            source: Source::Given(bytes),
            len,
            flipped: None,
        }
    }
}

fn fill_seeded(seed: u64, block: &[u8], offset: u64, buffer: &mut [u8]) {
    let end = offset + buffer.len() as u64;
    let mut at = offset;
    while at < end {
        let in_block = (at % BLOCK) as usize;
        let take = (block.len() - in_block).min((end - at) as usize);
        let to = (at - offset) as usize;
        buffer[to..to + take].copy_from_slice(&block[in_block..in_block + take]);
        at += take as u64;
    }
    for page in offset / PAGE..=end / PAGE {
        let number = mix(seed ^ (page + 1).rotate_left(32)).to_le_bytes();
        for (i, byte) in number.into_iter().enumerate() {
            let at = page * PAGE + i as u64;
            if (offset..end).contains(&at) {
                buffer[(at - offset) as usize] = byte;
            }
        }
    }
}

/// The finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const BLOCK: u64 = 64 * 1024;
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_slice_equals_that_part_of_the_whole() {
        let content = Content::seeded(7, 200_000);
        let whole = content.bytes();
        for (start, end) in [
            (0, 1),
            (0, 200_000),
            (3, 9),
            (4090, 4105),
            (65_530, 65_550),
            (199_999, 200_000),
            (5, 5),
        ] {
            assert_eq!(
                content.slice(start, end),
                whole[start as usize..end as usize],
                "{start}..{end}"
            );
        }
    }

    #[test]
    fn pages_and_seeds_differ() {
        let content = Content::seeded(7, 1 << 20);
        let first = content.slice(0, PAGE);
        for page in 1..(1 << 20) / PAGE {
            assert_ne!(content.slice(page * PAGE, (page + 1) * PAGE), first);
        }
        assert_ne!(content.digest(), Content::seeded(8, 1 << 20).digest());
        assert!(content.matches(77, &content.slice(77, 5000)));
        assert!(!content.matches(78, &content.slice(77, 5000)));
    }

    #[test]
    fn alterations_change_only_what_they_name() {
        let given = Content::from(&b"hello"[..]);
        assert_eq!(
            given.digest(),
            "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(given.clone().resized(7).bytes(), b"helloXX");
        assert_eq!(given.clone().resized(2).bytes(), b"he");
        assert_eq!(
            given.flipped_at(1).bytes(),
            [b'h', b'e' ^ 0xff, b'l', b'l', b'o']
        );
        let seeded = Content::seeded(1, 5000);
        assert_eq!(seeded.clone().resized(5002).slice(4999, 5002)[1..], *b"XX");
        assert_ne!(
            seeded.clone().flipped_at(4500).slice(4500, 4501),
            seeded.slice(4500, 4501)
        );
    }
}

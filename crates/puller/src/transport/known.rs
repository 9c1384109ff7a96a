//! What layers are when unpacked, remembered from one copy to the next.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use longshore_manifest::DiffId;
use longshore_reference::Digest;

use super::{error::Error, files};
use crate::config_file;

/// Digests of packed layers and of what is inside, as copies found them: with them a layer that is there unpacked is known
/// without a download. Cheap to clone; clones share what they know.
///
/// A file with them is a hint, which a copy does not rely on.
#[derive(Debug, Clone, Default)]
pub struct Uncompressed(Arc<Mutex<HashMap<Digest, DiffId>>>);

impl Uncompressed {
    /// Reads what was saved; nothing where there is no such file. Lines that cannot be read are left out.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let text = config_file::read(path, FILE_BYTES_MAX).ok().flatten();
        let text = text.unwrap_or_default();
        let pairs = text.lines().filter_map(|line| {
            let (packed, inside) = line.split_once(' ')?;
            let inside = DiffId::new(Digest::parse(inside).ok()?);
            Some((Digest::parse(packed).ok()?, inside))
        });
        Self(Arc::new(Mutex::new(pairs.take(DIGESTS_MAX).collect())))
    }

    /// Writes a file that [`load`](Self::load) reads: always the same bytes for the same digests.
    ///
    /// # Errors
    /// [`Error::File`]
    pub async fn save(&self, path: &Path) -> Result<(), Error> {
        let mut lines: Vec<String> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let lines = known
                .iter()
                .map(|(packed, inside)| format!("{packed} {inside}\n"));
            lines.collect()
        };
        lines.sort_unstable();
        files::create_folders(files::parent(path)).await?;
        files::replace(path, lines.concat()).await
    }

    /// What is inside a layer.
    #[must_use]
    pub fn of(&self, packed: &Digest) -> Option<DiffId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(packed).copied()
    }

    /// Remembers what is inside a layer. Of very many, some are forgotten.
    pub fn remember(&self, packed: Digest, inside: DiffId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DIGESTS_MAX {
            known.clear();
        }
        known.insert(packed, inside);
    }
}

const DIGESTS_MAX: usize = 50_000;
const FILE_BYTES_MAX: u64 = 16 << 20;

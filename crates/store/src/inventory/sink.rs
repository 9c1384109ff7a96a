//! Archives of images, written: a folder, or a tar.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use longshore_manifest::MANIFEST_BYTES_MAX;
use longshore_manifest::layout::MARKER_FILE;
use longshore_reference::{Digest, Verifier};

use super::InventoryError;

/// Where an export goes. One that is dropped before [`finish`](Self::finish) leaves no tar, and of a folder no index.
#[derive(Debug)]
pub(super) struct Sink {
    path: PathBuf,
    to: To,
}

enum To {
    Folder,
    Tar {
        tar: tar::Builder<BufWriter<File>>,
        partial: Partial,
    },
}

/// A file that is removed unless it is complete.
#[derive(Debug)]
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            drop(fs::remove_file(path));
        }
    }
}

impl Sink {
    /// A folder: a new one, an empty one, or an OCI layout.
    pub(super) fn folder(path: &Path) -> Result<Self, InventoryError> {
        let fail = |cause| InventoryError::file("make folder", path, cause);
        fs::create_dir_all(path).map_err(fail)?;
        let is_empty = fs::read_dir(path).map_err(fail)?.next().is_none();
        if !is_empty && !path.join(MARKER_FILE).exists() {
            return Err(exists(path));
        }
        Ok(Self {
            path: path.to_owned(),
            to: To::Folder,
        })
    }

    /// A new tar.
    pub(super) fn tar(path: &Path) -> Result<Self, InventoryError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial)
            .map_err(|cause| InventoryError::file("write", &partial, cause))?;
        let tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
        let partial = Partial(Some(partial));
        Ok(Self {
            path: path.to_owned(),
            to: To::Tar { tar, partial },
        })
    }

    /// What is in the folder under this name already.
    pub(super) fn existing(&self, name: &str) -> Result<Option<Vec<u8>>, InventoryError> {
        let path = self.path.join(name);
        match (&self.to, File::open(&path)) {
            (To::Tar { .. }, _) => Ok(None),
            (To::Folder, Err(cause)) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            (To::Folder, opened) => {
                let mut bytes = Vec::new();
                let read = opened
                    .and_then(|file| file.take(MANIFEST_BYTES_MAX as u64).read_to_end(&mut bytes));
                read.map_err(|cause| InventoryError::file("read", &path, cause))?;
                Ok(Some(bytes))
            }
        }
    }

    /// Writes a small member.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), InventoryError> {
        self.put(name, bytes, bytes.len() as u64)
    }

    /// Copies a blob. Returns whether its bytes are the digest's; if not, the folder does not have it.
    pub(super) fn copy(
        &mut self,
        name: &str,
        from: impl Read,
        len: u64,
        digest: &Digest,
        on_progress: impl FnMut(u64),
    ) -> Result<bool, InventoryError> {
        let mut checked = Checked {
            from: from.take(len),
            verifier: Verifier::new(*digest),
            done: 0,
            on_progress,
        };
        self.put(name, &mut checked, len)?;
        let is_right = checked.verifier.verify();
        if !is_right && matches!(self.to, To::Folder) {
            drop(fs::remove_file(self.path.join(name)));
        }
        Ok(is_right)
    }

    fn put(&mut self, name: &str, mut from: impl Read, len: u64) -> Result<(), InventoryError> {
        let path = self.path.join(name);
        let put = match &mut self.to {
            To::Tar { tar, .. } => {
                let mut header = tar::Header::new_gnu();
                header.set_size(len);
                header.set_mode(0o644);
                tar.append_data(&mut header, name, from)
            }
            To::Folder => put_file(&path, &mut from),
        };
        put.map_err(|cause| InventoryError::file("write", &path, cause))
    }

    /// Writes the last member, which makes the export visible.
    pub(super) fn finish(mut self, last: Option<(&str, &[u8])>) -> Result<(), InventoryError> {
        if let Some((name, bytes)) = last {
            self.write(name, bytes)?;
        }
        let To::Tar { tar, mut partial } = self.to else {
            return Ok(());
        };
        let finished = tar.into_inner().and_then(|mut file| {
            file.flush()?;
            file.get_ref().sync_data()?;
            if let Some(partial) = &partial.0 {
                fs::rename(partial, &self.path)?;
            }
            Ok(())
        });
        finished.map_err(|cause| InventoryError::file("write", &self.path, cause))?;
        partial.0 = None;
        Ok(())
    }
}

/// Writes a file under another name first, so that it is whole or absent.
fn put_file(path: &Path, from: &mut impl Read) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut partial = Partial(Some(partial.into()));
    if let Some(name) = &partial.0 {
        let mut file = File::create(name)?;
        io::copy(from, &mut file)?;
        file.sync_data()?;
        fs::rename(name, path)?;
    }
    partial.0 = None;
    Ok(())
}

fn exists(path: &Path) -> InventoryError {
    InventoryError::Exists {
        path: path.display().to_string(),
    }
}

/// Hashes what is read.
struct Checked<R, P> {
    from: R,
    verifier: Verifier,
    done: u64,
    on_progress: P,
}

impl<R: Read, P: FnMut(u64)> Read for Checked<R, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        self.verifier.update(buffer.get(..len).unwrap_or_default());
        self.done += len as u64;
        (self.on_progress)(self.done);
        Ok(len)
    }
}

impl std::fmt::Debug for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder => f.write_str("Folder"),
            Self::Tar { partial, .. } => f.debug_tuple("Tar").field(partial).finish(),
        }
    }
}

//! Files of a destination: nothing is visible under its name before its bytes are whole and verified.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use longshore_reference::{Digest, Verifier};
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

use super::{
    content::{Content, blocking},
    error::Error,
};

/// A file that is being written.
struct Writing {
    file: NamedTempFile,
    verifier: Verifier,
    len: u64,
}

impl Writing {
    fn write(mut self, chunk: &[u8]) -> io::Result<Self> {
        self.file.write_all(chunk)?;
        self.verifier.update(chunk);
        self.len = self.len.saturating_add(chunk.len() as u64);
        Ok(self)
    }
}

/// Writes content that has this digest; returns its length in bytes.
pub(super) async fn write(path: &Path, digest: Digest, mut content: Content) -> Result<u64, Error> {
    let failed = |source| Error::file("write", path, source);
    let folder = parent(path).to_owned();
    let create = move || temporary(&folder);
    let mut writing = Writing {
        file: blocking(create).await.flatten().map_err(failed)?,
        verifier: Verifier::new(digest),
        len: 0,
    };
    while let Some(chunk) = content.chunk().await? {
        let written = blocking(move || writing.write(&chunk)).await.flatten();
        writing = written.map_err(failed)?;
    }
    if !writing.verifier.verify() {
        return Err(Error::Digest(digest));
    }
    let (file, to) = (writing.file, path.to_owned());
    let persist = move || file.persist(to).map(drop).map_err(|error| error.error);
    blocking(persist).await.flatten().map_err(failed)?;
    Ok(writing.len)
}

/// Writes a small file in place of what was there.
pub(super) async fn replace(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    let (to, bytes) = (path.to_owned(), bytes.as_ref().to_vec());
    let replace = move || {
        let mut file = temporary(parent(&to))?;
        file.write_all(&bytes)?;
        file.persist(&to).map(drop).map_err(|error| error.error)
    };
    let replaced = blocking(replace).await.flatten();
    replaced.map_err(|source| Error::file("write", path, source))
}

/// The length of a file, if it has this digest; what is there and does not is no reason to trust it.
pub(super) async fn holds(path: &Path, digest: Digest) -> Result<Option<u64>, Error> {
    let len = match tokio::fs::metadata(path).await {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return Ok(None),
    };
    let mut content = Content::of_file(path, 0, len).await?.verified(digest);
    loop {
        match content.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(len)),
            Err(Error::Digest(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Creates folders.
pub(super) async fn create_folders(path: &Path) -> Result<(), Error> {
    let created = tokio::fs::create_dir_all(path).await;
    created.map_err(|source| Error::file("create", path, source))
}

/// A file of a tar file that is to be written: its name there, and where its bytes are.
pub(super) type Member = (String, PathBuf);

/// Writes a tar file of these files in this order, with the folders above them: always the same bytes for the same
/// files. It is visible when it is whole.
pub(super) async fn write_archive(path: &Path, members: Vec<Member>) -> Result<(), Error> {
    let to = path.to_owned();
    let written = blocking(move || archive(&to, &members)).await.flatten();
    written.map_err(|source| Error::file("write", path, source))
}

fn archive(path: &Path, members: &[Member]) -> io::Result<()> {
    let file = temporary(parent(path))?;
    let mut builder = tar::Builder::new(io::BufWriter::with_capacity(BUFFER_BYTES, file));
    let mut folders = BTreeSet::new();
    for (name, from) in members {
        for (at, _) in name.match_indices('/') {
            let folder = name.get(..=at).unwrap_or_default();
            if folders.insert(folder) {
                let mut header = header(EntryType::Directory, 0o755, 0);
                builder.append_data(&mut header, folder, io::empty())?;
            }
        }
        let bytes = File::open(from)?;
        let mut header = header(EntryType::Regular, 0o644, bytes.metadata()?.len());
        builder.append_data(&mut header, name, bytes)?;
    }
    let file = builder.into_inner()?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file without a name in this folder that others may read later, as far as the umask lets them.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder.permissions(Permissions::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// The folder a file is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The files of a folder, by their names.
pub(super) fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// How the names of files begin that are being written.
pub(super) const TEMPORARY: &str = ".longshore-";
const BUFFER_BYTES: usize = 256 << 10;

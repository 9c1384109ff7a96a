//! Notes of uploads in parts: what a process leaves unfinished, the next one aborts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::entry::{ENTRY_BYTES_MAX, remove_all, unique};

/// Folder of the uploads in parts.
const UPLOADS: &str = "uploads";

/// The notes in one folder.
#[derive(Debug)]
pub(crate) struct Notes(PathBuf);

/// The note of an upload in parts. Dropped without [`end`](Self::end), it stays for the next process.
#[derive(Debug)]
pub(crate) struct UploadNote {
    path: PathBuf,
    /// Its lock says that the process lives.
    _file: File,
}

impl UploadNote {
    /// The upload is completed or aborted.
    pub(crate) fn end(self) {
        remove_all(std::slice::from_ref(&self.path));
    }
}

impl Notes {
    /// Opens or makes the folder below that of the outbox.
    pub(super) fn open(outbox: &Path) -> io::Result<Self> {
        let folder = outbox.join(UPLOADS);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Writes down an upload in parts, so that the next process aborts it if this one ends before it does.
    pub(crate) fn begin(&self, key: &str, id: &str) -> io::Result<UploadNote> {
        let path = self.0.join(unique());
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        file.lock()?;
        file.write_all(format!("{key}\n{id}\n").as_bytes())?;
        Ok(UploadNote { path, _file: file })
    }

    /// The uploads in parts that processes left unfinished: their keys and ids. Each is locked by this process now.
    pub(crate) fn unfinished(&self) -> io::Result<Vec<(String, String, UploadNote)>> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            let Ok(file) = File::open(&path) else {
                continue;
            };
            if file.try_lock().is_err() {
                continue;
            }
            let mut text = String::new();
            let read = (&file).take(ENTRY_BYTES_MAX).read_to_string(&mut text);
            let note = UploadNote { path, _file: file };
            match (
                read,
                text.strip_suffix('\n')
                    .and_then(|text| text.split_once('\n')),
            ) {
                (Ok(_), Some((key, id))) => found.push((key.to_owned(), id.to_owned(), note)),
                // Not all of it was written: no part was sent.
                _ => note.end(),
            }
        }
        Ok(found)
    }
}

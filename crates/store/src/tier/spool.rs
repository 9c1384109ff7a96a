//! The spool: one locked folder a process, removed by the next start when its process is gone.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::layout;

/// Name of the file that a process locks for as long as it lives, and of the spool's own.
const LOCK: &str = "lock";

/// Makes and locks a folder of our own in the spool, and removes those whose process is gone.
///
/// All of it happens under the spool's own lock: between making a folder and locking it nobody may take it for a leftover.
pub(super) fn enter(spools: &Path) -> io::Result<(PathBuf, File)> {
    let gate = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(spools.join(LOCK))?;
    gate.lock()?;
    for entry in fs::read_dir(spools)? {
        let entry = entry?;
        let folder = entry.path();
        // The spool may be a folder that others use too, such as `/var/tmp`.
        if !entry.file_type()?.is_dir() || !is_own_name(&entry.file_name()) || !is_ours(&folder) {
            continue;
        }
        let free = match File::open(folder.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        if free {
            tracing::info!(folder = %folder.display(), "removing what a process left in the spool");
            fs::remove_dir_all(&folder)?;
        }
    }
    let own = spools.join(own_name(std::process::id(), rand::random()));
    fs::create_dir(&own)?;
    let lock = File::create(own.join(LOCK))?;
    lock.lock()?;
    Ok((own, lock))
}

/// Name of a process's folder in the spool.
fn own_name(process: u32, random: u32) -> String {
    format!("{process}-{random:08x}")
}

/// Whether a name is one that [`own_name`] gives.
fn is_own_name(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.split_once('-'));
    parts.is_some_and(|(process, random)| {
        let random = u32::from_str_radix(random, 16).ok();
        let made = process.parse().ok().zip(random);
        made.is_some_and(|(process, random)| *name == *own_name(process, random))
    })
}

/// Whether a folder holds nothing but what a process puts into its own one: the lock and numbered files.
fn is_ours(folder: &Path) -> bool {
    let numbered = |name: &OsStr| {
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
        number.is_some_and(|number| *name == *number.to_string())
    };
    let ours = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            let is_file = entry.file_type().is_ok_and(|found| found.is_file());
            is_file && (name == LOCK || numbered(&name))
        })
    };
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(ours))
}

/// Whether a spool would lie among the content of the store.
pub(super) fn is_among_content(root: &Path, spools: &Path) -> io::Result<bool> {
    let (root, spools) = (root.canonicalize()?, spools.canonicalize()?);
    let content = [
        layout::BLOBS,
        layout::INDEX,
        layout::REPOSITORIES,
        layout::QUARANTINE,
    ];
    Ok(spools == root
        || content
            .iter()
            .any(|folder| spools.starts_with(root.join(folder))))
}

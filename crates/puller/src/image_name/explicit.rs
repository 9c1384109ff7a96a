//! Paths as policies know them: absolute, without symbolic links, dots and doubled slashes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A path made absolute and free of symbolic links. All of it must exist, save its last component.
///
/// # Errors
/// Those of the file system; [`NotFound`](io::ErrorKind::NotFound) where the folder is missing, or where a symbolic link
/// leads nowhere.
pub fn explicit_path(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(_) => fs::canonicalize(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(file) = path.file_name() else {
                return Err(error);
            };
            let folder = match path.parent() {
                Some(folder) if folder != Path::new("") => folder,
                Some(_) | None => Path::new("."),
            };
            Ok(fs::canonicalize(folder)?.join(file))
        }
        Err(error) => Err(error),
    }
}

/// The shortest way to write an absolute path, without looking at the file system.
pub(super) fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            component => kept.push(component),
        }
    }
    ["/", &kept.join("/")].concat()
}

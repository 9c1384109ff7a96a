//! Archives of images, read: a folder, or a tar that is a plain file. Members are read where they are; nothing is
//! unpacked, and no name in an archive ever becomes a name of a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::InventoryError;

/// Members of a tar that are looked at.
const MEMBERS_MAX: usize = 200_000;
/// Links that are followed from one member to the next.
const LINKS_MAX: usize = 8;
/// Start of a file that gzip compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An archive that is open.
#[derive(Debug)]
pub(super) enum Archive {
    Folder(PathBuf),
    Tar {
        path: PathBuf,
        file: File,
        members: HashMap<String, Place>,
    },
}

/// Where a member of a tar is.
#[derive(Debug)]
pub(super) enum Place {
    Bytes {
        at: u64,
        len: u64,
    },
    /// It is another name of this member.
    Link(String),
}

/// A member that is being read.
#[derive(Debug)]
pub(super) struct Member {
    file: File,
    at: u64,
    left: u64,
}

impl Member {
    /// Bytes that are left.
    pub(super) fn len(&self) -> u64 {
        self.left
    }

    /// The next bytes, which stay to be read. Returns how many there are.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> usize {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..wanted);
        buffer
            .and_then(|buffer| self.file.read_at(buffer, self.at).ok())
            .unwrap_or(0)
    }
}

impl Read for Member {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let len = self.file.read_at(buffer, self.at)?;
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive is cut off",
            ));
        }
        self.at += len as u64;
        self.left -= len as u64;
        Ok(len)
    }
}

impl Archive {
    /// Opens a folder or a tar.
    pub(super) fn open(path: &Path) -> Result<Self, InventoryError> {
        let fail = |cause| InventoryError::file("read", path, cause);
        let file = File::open(path).map_err(fail)?;
        if file.metadata().map_err(fail)?.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut start = [0; 2];
        if file.read_exact_at(&mut start, 0).is_ok() && start == GZIP {
            return Err(refuse(
                path,
                "it is compressed: decompress it with gunzip first",
            ));
        }
        let members = members(&file).map_err(|cause| match cause.kind() {
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                refuse(path, &format!("it is neither a folder nor a tar ({cause})"))
            }
            _ => fail(cause),
        })?;
        Ok(Self::Tar {
            path: path.to_owned(),
            file,
            members,
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Tar { path, .. } => path,
        }
    }

    /// A member, `None` where there is none of that name.
    pub(super) fn member(&self, name: &str) -> Result<Option<Member>, InventoryError> {
        match self {
            Self::Folder(path) => {
                // Names come from us or are made of digests, never from a document: `docker save` writes no folders.
                let path = path.join(name);
                let opened = match File::open(&path) {
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
                    opened => opened.and_then(|file| Ok((file.metadata()?, file))),
                };
                let (found, file) =
                    opened.map_err(|cause| InventoryError::file("read", &path, cause))?;
                Ok(found.is_file().then(|| Member {
                    file,
                    at: 0,
                    left: found.len(),
                }))
            }
            Self::Tar {
                path,
                file,
                members,
            } => {
                let mut name = normal(name);
                for _ in 0..LINKS_MAX {
                    match members.get(&name) {
                        None => return Ok(None),
                        Some(Place::Link(other)) => name.clone_from(other),
                        Some(Place::Bytes { at, len }) => {
                            let file = file.try_clone();
                            let file =
                                file.map_err(|cause| InventoryError::file("read", path, cause))?;
                            return Ok(Some(Member {
                                file,
                                at: *at,
                                left: *len,
                            }));
                        }
                    }
                }
                Err(refuse(
                    path,
                    &format!("{name} is a link that leads nowhere"),
                ))
            }
        }
    }

    /// All bytes of a small member; one of more than `bytes_max` is an error.
    pub(super) fn read(
        &self,
        name: &str,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, InventoryError> {
        let Some(mut member) = self.member(name)? else {
            return Ok(None);
        };
        if member.len() > bytes_max as u64 {
            return Err(self.refuse(&format!("{name} is larger than {bytes_max} bytes")));
        }
        let mut bytes = Vec::new();
        let read = member.read_to_end(&mut bytes);
        read.map_err(|cause| InventoryError::file("read", self.path(), cause))?;
        Ok(Some(bytes))
    }

    pub(super) fn refuse(&self, reason: &str) -> InventoryError {
        refuse(self.path(), reason)
    }
}

fn refuse(path: &Path, reason: &str) -> InventoryError {
    InventoryError::Archive {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// Where the members of a tar are, by their names.
fn members(file: &File) -> io::Result<HashMap<String, Place>> {
    let mut members = HashMap::new();
    let mut tar = tar::Archive::new(file);
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        let name = normal(&String::from_utf8_lossy(&entry.path_bytes()));
        let link = || {
            entry
                .link_name_bytes()
                .map(|link| String::from_utf8_lossy(&link).into_owned())
        };
        let place = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => Place::Bytes {
                at: entry.raw_file_position(),
                len: entry.size(),
            },
            tar::EntryType::Link => Place::Link(normal(&link().unwrap_or_default())),
            tar::EntryType::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                Place::Link(normal(&format!("{folder}/{}", link().unwrap_or_default())))
            }
            _ => continue,
        };
        if members.len() >= MEMBERS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "too many members",
            ));
        }
        members.insert(name, place);
    }
    Ok(members)
}

/// A name without `.` and `..`: it is only looked up.
fn normal(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (name, expected) in [
            ("./a/b", "a/b"),
            ("/a//b/", "a/b"),
            ("a/../../etc/passwd", "etc/passwd"),
            ("x/../y", "y"),
        ] {
            assert_eq!(normal(name), expected);
        }
    }

    fn tar_of(fill: impl FnOnce(&mut tar::Builder<File>)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        fill(&mut tar);
        tar.finish().unwrap();
        (folder, path)
    }

    fn add(tar: &mut tar::Builder<File>, name: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }

    #[test]
    fn links_are_followed_and_never_for_ever() {
        let link = |tar: &mut tar::Builder<File>, kind, name: &str, to: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            tar.append_link(&mut header, name, to).unwrap();
        };
        let (_folder, path) = tar_of(|tar| {
            add(tar, "a/layer.tar", b"bytes");
            link(
                tar,
                tar::EntryType::Symlink,
                "b/layer.tar",
                "../a/layer.tar",
            );
            link(tar, tar::EntryType::Link, "c/layer.tar", "a/layer.tar");
            link(tar, tar::EntryType::Symlink, "d", "e");
            link(tar, tar::EntryType::Symlink, "e", "d");
            link(tar, tar::EntryType::Symlink, "f", "/etc/passwd");
        });
        let archive = Archive::open(&path).unwrap();
        for name in ["a/layer.tar", "./b/layer.tar", "c/layer.tar"] {
            assert_eq!(archive.read(name, 10).unwrap().unwrap(), b"bytes", "{name}");
        }
        assert!(archive.read("d", 10).is_err());
        assert!(archive.read("f", 10).unwrap().is_none());
        assert!(archive.read("a/layer.tar", 4).is_err());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let (_folder, path) = tar_of(|tar| add(tar, "a", &[7; 5000]));
        let bytes = std::fs::read(&path).unwrap();
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08"[..], "gunzip"),
            (&[b'x'; 2000], "neither a folder nor a tar"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Archive::open(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        // Cut within a member.
        std::fs::write(&path, &bytes[..3000]).unwrap();
        let read = Archive::open(&path).and_then(|archive| archive.read("a", 10_000));
        assert!(read.is_err());
    }
}

//! Tar files, read where they are: nothing is ever extracted.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tar::{EntryType, Header, PaxExtensions};
use tempfile::{NamedTempFile, TempPath};

use super::{
    content::{Content, blocking},
    error::Error,
};

/// A tar file and where its members are. A file that is gzipped as a whole is unpacked beside the system's other
/// temporary files.
#[derive(Debug)]
pub(super) struct Archive {
    /// As it was given, for messages.
    path: PathBuf,
    /// What was unpacked, removed at the end.
    plain: Option<TempPath>,
    members: HashMap<Box<str>, Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    File {
        offset: u64,
        len: u64,
    },
    /// Another member, by its name from the root of the archive.
    Link(Box<str>),
    /// Several members have this name.
    Ambiguous,
}

impl Archive {
    /// Reads the headers of all members.
    pub(super) async fn open(path: &Path) -> Result<Self, Error> {
        let given = path.to_owned();
        let read = blocking(move || Self::read(given)).await;
        read.map_err(|source| Error::file("read", path, source))?
    }

    fn read(path: PathBuf) -> Result<Self, Error> {
        let failed = |source| Error::file("read", &path, source);
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::malformed(&path, "not a file"));
        }
        let mut magic = [0; 2];
        let is_gzipped = file.read_exact_at(&mut magic, 0).is_ok() && magic == [0x1f, 0x8b];
        let plain = match is_gzipped {
            true => Some(gunzip(&file, &path)?),
            false => None,
        };
        let (file, len) = match &plain {
            None => (file, metadata.len()),
            Some(plain) => {
                let len = plain.as_file().metadata().map_err(failed)?.len();
                (plain.reopen().map_err(failed)?, len)
            }
        };
        let headers = Headers {
            file,
            len,
            at: 0,
            next: Extended::default(),
        };
        let members = headers.members().map_err(|problem| match problem {
            Problem::Read(source) => failed(source),
            Problem::Malformed(problem) => Error::malformed(&path, problem),
        })?;
        Ok(Self {
            plain: plain.map(NamedTempFile::into_temp_path),
            path,
            members,
        })
    }

    /// As it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a member; a link is followed once, as containers/image does.
    pub(super) async fn content(&self, name: &str) -> Result<Option<Content>, Error> {
        let Some((offset, len)) = self.find(name)? else {
            return Ok(None);
        };
        let file = self.plain.as_deref().unwrap_or(&self.path);
        Content::of_file(file, offset, len).await.map(Some)
    }

    /// All bytes of a member, at most `limit`.
    pub(super) async fn bytes(&self, name: &str, limit: usize) -> Result<Option<Bytes>, Error> {
        match self.content(name).await? {
            Some(content) => content.read(limit, name).await.map(Some),
            None => Ok(None),
        }
    }

    /// Where a member's bytes are.
    fn find(&self, name: &str) -> Result<Option<(u64, u64)>, Error> {
        let malformed = |problem| Err(Error::malformed(&self.path, problem));
        let name = name.strip_prefix("./").unwrap_or(name);
        let member = match self.members.get(name) {
            Some(Member::Link(target)) => match self.members.get(target) {
                None => {
                    return malformed(format!("{name} is a link to {target}, which is missing"));
                }
                Some(Member::Link(_)) => return malformed(format!("{name} is a link to a link")),
                found => found,
            },
            found => found,
        };
        match member {
            None => Ok(None),
            Some(&Member::File { offset, len }) => Ok(Some((offset, len))),
            Some(_) => malformed(format!("several members are called {name}")),
        }
    }
}

/// Why headers cannot be read.
enum Problem {
    Read(io::Error),
    Malformed(String),
}

/// The headers of a file, one after the other.
struct Headers {
    file: File,
    /// Of the file; bytes.
    len: u64,
    at: u64,
    next: Extended,
}

/// What extended headers say of the member behind them.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Headers {
    fn members(mut self) -> Result<HashMap<Box<str>, Member>, Problem> {
        let mut members = HashMap::new();
        let mut seen = 0_usize;
        while self.at < self.len {
            let mut block = [0; BLOCK];
            let read = self.file.read_exact_at(&mut block, self.at);
            read.map_err(|error| self.cut(error))?;
            self.at = self.at.saturating_add(BLOCK as u64);
            if block.iter().all(|&byte| byte == 0) {
                break;
            }
            seen = seen.saturating_add(1);
            if seen > MEMBERS_MAX {
                let problem = format!("more than {MEMBERS_MAX} members");
                return Err(Problem::Malformed(problem));
            }
            let header = Header::from_byte_slice(&block);
            if let Some((name, member)) = self.member(header)? {
                let known = members.entry(name);
                known
                    .and_modify(|known| *known = Member::Ambiguous)
                    .or_insert(member);
            }
        }
        Ok(members)
    }

    fn member(&mut self, header: &Header) -> Result<Option<(Box<str>, Member)>, Problem> {
        if header.cksum().ok() != Some(sum(header.as_bytes())) {
            return Err(Problem::Malformed(
                "not a tar file: a wrong checksum".into(),
            ));
        }
        let size = header.entry_size();
        let size = size.map_err(|_| Problem::Malformed("a member without a size".into()))?;
        let kind = header.entry_type();
        if is_extended(kind) {
            self.extended(kind, size)?;
            return Ok(None);
        }
        let extended = std::mem::take(&mut self.next);
        let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
        let size = match kind {
            EntryType::Link | EntryType::Symlink | EntryType::Directory => 0,
            _ => extended.size.unwrap_or(size),
        };
        let offset = self.skip(size)?;
        let name = extended
            .name
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let name = clean(&text(name)?, "")?;
        let member = match kind {
            _ if is_file => Member::File { offset, len: size },
            EntryType::Link | EntryType::Symlink => {
                let target = header.link_name_bytes().map(|target| target.into_owned());
                let target = text(extended.link.or(target).unwrap_or_default())?;
                // A symbolic link starts where it stands, a hard one at the root.
                let folder = match kind {
                    EntryType::Symlink => name.rsplit_once('/').map_or("", |(folder, _)| folder),
                    _ => "",
                };
                Member::Link(clean(&target, folder)?)
            }
            EntryType::Directory => return Ok(None),
            _ => {
                let problem = format!("{name} is neither a file nor a folder nor a link");
                return Err(Problem::Malformed(problem));
            }
        };
        Ok(Some((name, member)))
    }

    /// Reads what an extended header says of the next member.
    fn extended(&mut self, kind: EntryType, size: u64) -> Result<(), Problem> {
        if size > EXTENDED_BYTES_MAX {
            let problem = format!("an extended header of more than {EXTENDED_BYTES_MAX} bytes");
            return Err(Problem::Malformed(problem));
        }
        let offset = self.skip(size)?;
        let mut data = vec![0; usize::try_from(size).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut data, offset);
        read.map_err(|error| self.cut(error))?;
        let trimmed = |mut data: Vec<u8>| {
            let end = data.iter().position(|&byte| byte == 0);
            data.truncate(end.unwrap_or(data.len()));
            data
        };
        match kind {
            EntryType::GNULongName => self.next.name = Some(trimmed(data)),
            EntryType::GNULongLink => self.next.link = Some(trimmed(data)),
            EntryType::XHeader => self.records(&data)?,
            // A header for all members says nothing that is read here.
            _ => {}
        }
        Ok(())
    }

    fn records(&mut self, data: &[u8]) -> Result<(), Problem> {
        let unreadable = || Problem::Malformed("an unreadable extended header".into());
        for record in PaxExtensions::new(data) {
            let record = record.map_err(|_| unreadable())?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.next.name = Some(value.to_vec()),
                b"linkpath" => self.next.link = Some(value.to_vec()),
                b"size" => {
                    let text = std::str::from_utf8(value).map_err(|_| unreadable())?;
                    self.next.size = Some(text.parse().map_err(|_| unreadable())?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Problem::Malformed("a sparse file".into()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes over a member's bytes, which have to be there; returns where they begin.
    fn skip(&mut self, size: u64) -> Result<u64, Problem> {
        let offset = self.at;
        let end = offset.checked_add(size).filter(|&end| end <= self.len);
        let end = end.ok_or_else(|| Problem::Malformed("a member that is cut".into()))?;
        self.at = end.next_multiple_of(BLOCK as u64);
        Ok(offset)
    }

    fn cut(&self, error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Malformed("not a tar file, or cut".into()),
            _ => Problem::Read(error),
        }
    }
}

fn is_extended(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::XHeader
            | EntryType::XGlobalHeader
    )
}

/// The checksum of a header: the sum of its bytes, with spaces in its own place.
fn sum(header: &[u8; BLOCK]) -> u32 {
    let (before, rest) = header.split_at(148);
    let after = rest.get(8..).unwrap_or_default();
    let bytes = before.iter().chain(&[b' '; 8]).chain(after);
    bytes.map(|&byte| u32::from(byte)).sum()
}

fn text(name: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(name).map_err(|_| Problem::Malformed("a name that is not UTF-8".into()))
}

/// A name from the root of the archive, seen from `folder`. One that leads out of the archive is refused.
fn clean(name: &str, folder: &str) -> Result<Box<str>, Problem> {
    let outside = || Problem::Malformed(format!("{name:?} leads out of the archive"));
    if name.starts_with('/') {
        return Err(outside());
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." if folder.is_empty() => return Err(outside()),
            ".." => {
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/").into())
}

/// Unpacks a file that is gzipped as a whole.
fn gunzip(file: &File, path: &Path) -> Result<NamedTempFile, Error> {
    let failed = |source| Error::file("unpack", path, source);
    let mut plain = NamedTempFile::new().map_err(failed)?;
    let mut decoder = MultiGzDecoder::new(BufReader::new(file)).take(PLAIN_BYTES_MAX);
    let copied = io::copy(&mut decoder, &mut plain).map_err(failed)?;
    if copied == PLAIN_BYTES_MAX {
        return Err(Error::malformed(path, "it unpacks to more than 1 TiB"));
    }
    plain.flush().map_err(failed)?;
    Ok(plain)
}

const BLOCK: usize = 512;
/// More members than any archive of images has.
const MEMBERS_MAX: usize = 200_000;
/// Longer than any name.
const EXTENDED_BYTES_MAX: u64 = 64 << 10;
const PLAIN_BYTES_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the headers of a tar file; the problem as text.
    fn members(tar: &[u8]) -> Result<HashMap<Box<str>, Member>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(tar).unwrap();
        let headers = Headers {
            file,
            len: tar.len() as u64,
            at: 0,
            next: Extended::default(),
        };
        headers.members().map_err(|problem| match problem {
            Problem::Read(error) => error.to_string(),
            Problem::Malformed(problem) => problem,
        })
    }

    /// A tar file of these members: name, link target, bytes.
    fn archive(entries: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, target, bytes) in entries {
            let mut header = Header::new_gnu();
            // Written as it is: the crate itself would refuse some of these.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(target) = target {
                header.set_entry_type(EntryType::Symlink);
                header.set_link_name_literal(target).unwrap();
            }
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_by_name() {
        let tar = archive(&[
            ("./a", None, b"one"),
            ("b/c", None, b""),
            ("d/layer.tar", Some("../b/c"), b""),
        ]);
        let members = members(&tar).unwrap();
        assert_eq!(
            members["a"],
            Member::File {
                offset: 512,
                len: 3
            }
        );
        assert_eq!(
            members["b/c"],
            Member::File {
                offset: 1536,
                len: 0
            }
        );
        assert_eq!(members["d/layer.tar"], Member::Link("b/c".into()));
    }

    #[test]
    fn what_leads_out_of_the_archive_is_refused() {
        for (name, target) in [
            ("../a", None),
            ("a/../../b", None),
            ("/etc/passwd", None),
            ("a", Some("/etc/passwd")),
            ("a/b", Some("../../c")),
        ] {
            let error = members(&archive(&[(name, target, b"")])).unwrap_err();
            assert!(
                error.contains("leads out of the archive"),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn what_is_cut_or_damaged_is_refused() {
        let whole = archive(&[("a", None, &[7; 600])]);
        assert_eq!(members(&whole[..1000]).unwrap_err(), "a member that is cut");
        assert_eq!(
            members(&whole[..100]).unwrap_err(),
            "not a tar file, or cut"
        );
        let mut damaged = whole;
        damaged[0] ^= 1;
        let error = members(&damaged).unwrap_err();
        assert!(error.contains("checksum"), "{error}");
    }

    #[test]
    fn long_names_are_read_and_huge_ones_refused() {
        let long = "x".repeat(300);
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(2);
        builder.append_data(&mut header, &long, &b"ab"[..]).unwrap();
        let members_of_long = members(&builder.into_inner().unwrap()).unwrap();
        assert!(members_of_long.contains_key(long.as_str()));

        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(1 << 20);
        header.set_cksum();
        builder.append(&header, &vec![b'x'; 1 << 20][..]).unwrap();
        let error = members(&builder.into_inner().unwrap()).unwrap_err();
        assert!(error.contains("extended header"), "{error}");
    }

    #[test]
    fn a_name_that_is_there_twice_is_ambiguous() {
        let tar = archive(&[("a", None, b"1"), ("./a", None, b"2")]);
        assert_eq!(members(&tar).unwrap()["a"], Member::Ambiguous);
    }

    #[test]
    fn devices_are_refused() {
        let mut header = Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_entry_type(EntryType::Char);
        header.set_size(0);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, io::empty()).unwrap();
        assert!(members(&builder.into_inner().unwrap()).is_err());
    }
}

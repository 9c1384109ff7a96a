//! Reads the records of all repositories.

use std::collections::HashSet;
use std::io;

use longshore_reference::{Digest, Named, Tag, Tagged};
use serde::de::DeserializeOwned;

use crate::records::{ContentRecord, TagRecord};
use crate::tier::{Stock, Tier, layout};

/// A record is a line of JSON; more is none.
const RECORD_BYTES_MAX: u64 = 16 << 10;
/// Folders are not followed deeper than a repository's path can be.
const DEPTH_MAX: usize = 130;

/// The records of one repository.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) named: Named,
    pub(super) tags: Vec<(Tag, TagRecord)>,
    /// Its manifests, and blobs that no manifest names.
    pub(super) contents: Vec<(Digest, ContentRecord)>,
}

impl Repository {
    /// Where the bytes are of what its records name.
    pub(super) fn roots(&self) -> impl Iterator<Item = Digest> + '_ {
        let tags = self.tags.iter().map(|(_, record)| bytes_of(record));
        let contents = self.contents.iter();
        tags.chain(contents.map(|(digest, record)| record.stored.unwrap_or(*digest)))
    }

    /// What is held of it.
    pub(super) fn reach(&self, stock: &Stock) -> HashSet<Digest> {
        stock.reach(self.roots())
    }

    pub(super) fn tagged(&self, tag: &Tag) -> Tagged {
        Tagged::new(self.named.clone(), tag.clone())
    }
}

/// Where the bytes of a tag's manifest are.
pub(super) fn bytes_of(record: &TagRecord) -> Digest {
    record.stored.unwrap_or(record.digest)
}

/// All repositories, in the order of their names. Records that cannot be understood are left out.
pub(super) fn repositories(tier: &Tier) -> io::Result<Vec<Repository>> {
    let mut found = Vec::new();
    let mut folders = vec![(layout::REPOSITORIES.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let names = names(tier, &folder)?;
        let (records, below): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.starts_with('_'));
        if !records.is_empty()
            && let Some(named) = named(&folder)
        {
            found.push(repository(tier, named)?);
        }
        if depth < DEPTH_MAX {
            let below = below.into_iter();
            folders.extend(below.map(|name| (format!("{folder}/{name}"), depth + 1)));
        }
    }
    found.sort_by(|one, other| one.named.as_str().cmp(other.named.as_str()));
    Ok(found)
}

/// The records of one repository; none where it is not known.
pub(super) fn repository(tier: &Tier, named: Named) -> io::Result<Repository> {
    let mut tags = Vec::new();
    for name in names(tier, &layout::tags(&named))? {
        if let Ok(tag) = Tag::parse(&name)
            && let Some(record) =
                read(tier, &layout::tag(&Tagged::new(named.clone(), tag.clone())))?
        {
            tags.push((tag, record));
        }
    }
    tags.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let mut contents = Vec::new();
    let folder = layout::contents(&named);
    for algorithm in names(tier, &folder)? {
        for hex in names(tier, &format!("{folder}/{algorithm}"))? {
            let Ok(digest) = Digest::parse(&format!("{algorithm}:{hex}")) else {
                continue;
            };
            let record = read::<ContentRecord>(tier, &format!("{folder}/{algorithm}/{hex}"))?;
            if let Some(record) = record.filter(ContentRecord::is_membership) {
                contents.push((digest, record));
            }
        }
    }
    Ok(Repository {
        named,
        tags,
        contents,
    })
}

/// Reads one record; one that cannot be understood is none.
pub(super) fn read<T: DeserializeOwned>(tier: &Tier, key: &str) -> io::Result<Option<T>> {
    let bytes = match tier.read(key, RECORD_BYTES_MAX) {
        Err(cause) if cause.kind() == io::ErrorKind::FileTooLarge => None,
        read => read?,
    };
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// What is in a folder of records; a file has nothing in it.
fn names(tier: &Tier, key: &str) -> io::Result<Vec<String>> {
    match tier.names(key) {
        Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        names => names,
    }
}

/// The repository whose records are in a folder.
fn named(folder: &str) -> Option<Named> {
    let rest = folder
        .strip_prefix(layout::REPOSITORIES)?
        .strip_prefix('/')?;
    let (domain, path) = rest.split_once('/')?;
    Named::new(domain, path).ok()
}

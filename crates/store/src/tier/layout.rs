//! Where things are kept: the keys of objects, the same below the local folder and in a bucket.
//!
//! ```text
//! longshore-store                                     marker: the layout's version
//! blobs/<algorithm>/<2 hex>/<hex>                     verified content, manifests included
//! repositories/<domain>/<path>/_tags/<tag>            what a tag stood for, and when upstream last said so
//! repositories/<domain>/<path>/_content/<alg>/<hex>   that this digest belongs to this repository
//! repositories/<domain>/_sent/<alg>/<hex>             that this upstream sent this blob
//! repositories/<domain>/<path>/_lists/<of>/<place>   a page of a list of tags or of referrers
//! repositories/<domain>/<path>/_made/<format>/<hex>   what the legacy document with this sha256 was made into
//! repositories/<domain>/<path>/_layers/<source>       what is inside a layer of a legacy image
//! index/                                              what is recorded of each blob's file   (local only)
//! spool/<process>/                                    writes under way, locked by their process   (local only)
//! outbox/                                             what the bucket does not have yet   (local only)
//! quarantine/<algorithm>-<hex>                        files that could not be read or were not whole   (local only)
//! changed                                             replaced when a command has changed the store   (local only)
//! ```
//! A component of a repository's path starts with a letter or a digit, so `_tags` can never be one.

use longshore_reference::{Canonical, Digest, Named, Tagged};

/// Name of the marker file.
pub(crate) const MARKER: &str = "longshore-store";
/// What the marker says: another version of the layout is refused.
pub(crate) const MARKER_TEXT: &str = "longshore store, layout 1\n";
/// Folder of verified content.
pub(crate) const BLOBS: &str = "blobs";
/// Folder of records.
pub(crate) const REPOSITORIES: &str = "repositories";
/// Default folder of writes under way.
pub(crate) const SPOOL: &str = "spool";
/// Folder of what the bucket does not have yet.
pub(crate) const OUTBOX: &str = "outbox";
/// Folder of what is recorded of each blob's file.
pub(crate) const INDEX: &str = "index";
/// Folder of files that failed.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Key of the file that is replaced when a command has changed the store.
pub(crate) const CHANGED: &str = "changed";

/// Key of a blob's bytes.
pub(crate) fn blob(digest: &Digest) -> String {
    let hex = digest.hex();
    let fan: &str = hex.get(..2).unwrap_or("00");
    format!("{BLOBS}/{}/{fan}/{}", digest.algorithm().as_str(), &*hex)
}

/// Whether a key is one of a record: below `repositories/`, without a component that leads elsewhere.
pub(crate) fn is_record(key: &str) -> bool {
    let mut parts = key.split('/');
    parts.next() == Some(REPOSITORIES)
        && parts.clone().next().is_some()
        && parts.all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a key is one of a tag record.
pub(crate) fn is_tag(key: &str) -> bool {
    is_record(key) && key.rsplit('/').nth(1) == Some("_tags")
}

/// Key of a tag record.
pub(crate) fn tag(tagged: &Tagged) -> String {
    let named = tagged.named();
    format!(
        "{REPOSITORIES}/{}/{}/_tags/{}",
        named.domain(),
        named.path(),
        tagged.tag()
    )
}

/// Key of the record that a digest belongs to a repository.
pub(crate) fn content(canonical: &Canonical) -> String {
    let (named, digest) = (canonical.named(), canonical.digest());
    format!(
        "{REPOSITORIES}/{}/{}/_content/{}/{}",
        named.domain(),
        named.path(),
        digest.algorithm().as_str(),
        &*digest.hex()
    )
}

/// Key of the record that an upstream sent a blob.
pub(crate) fn sent(domain: &str, digest: &Digest) -> String {
    format!(
        "{REPOSITORIES}/{domain}/_sent/{}/{}",
        digest.algorithm().as_str(),
        &*digest.hex()
    )
}

/// Key of a page of a list: of the tags, or of the referrers of a manifest.
pub(crate) fn list(named: &Named, subject: Option<&Digest>, place: u64) -> String {
    format!("{}/{place}", lists(named, subject))
}

/// Folder of the tag records of a repository.
pub(crate) fn tags(named: &Named) -> String {
    format!("{REPOSITORIES}/{}/{}/_tags", named.domain(), named.path())
}

/// Folder of the pages of lists: of the tags, or of the referrers of a manifest.
pub(crate) fn lists(named: &Named, subject: Option<&Digest>) -> String {
    let of = subject.map_or_else(
        || "tags".to_owned(),
        |subject| format!("{}-{}", subject.algorithm().as_str(), &*subject.hex()),
    );
    format!(
        "{REPOSITORIES}/{}/{}/_lists/{of}",
        named.domain(),
        named.path()
    )
}

/// Folder of the records that digests belong to a repository.
pub(crate) fn contents(named: &Named) -> String {
    format!(
        "{REPOSITORIES}/{}/{}/_content",
        named.domain(),
        named.path()
    )
}

/// Key of the record of what a legacy document was made into.
pub(crate) fn made(named: &Named, of: &Digest, format: &str) -> String {
    format!(
        "{REPOSITORIES}/{}/{}/_made/{format}/{}",
        named.domain(),
        named.path(),
        &*of.hex()
    )
}

/// Key of the record of what is inside a layer; `source` is a digest or the id of a v1 image.
pub(crate) fn layer(named: &Named, source: &str) -> String {
    let source = source.replace(':', "-");
    format!(
        "{REPOSITORIES}/{}/{}/_layers/{source}",
        named.domain(),
        named.path()
    )
}

/// Key of a file that failed.
pub(crate) fn quarantine(digest: &Digest) -> String {
    format!(
        "{QUARANTINE}/{}-{}",
        digest.algorithm().as_str(),
        &*digest.hex()
    )
}

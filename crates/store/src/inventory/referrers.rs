//! Lists of referrers that an archive brought: kept as if upstream had sent them, for the time when it is gone.

use std::sync::Arc;

use bytes::Bytes;
use longshore_manifest::{Descriptor, Format, IndexBuilder, Manifest};
use longshore_reference::{Digest, Named};

use super::{Inventory, InventoryError};
use crate::list::{List, ListName, ListRecord};
use crate::records::seconds;

/// A page that is larger is not kept: 4 MiB and what JSON adds to it.
const RECORD_BYTES_MAX: u64 = 9 << 20;

/// What a list of referrers says of one: as registries make it of the referrer's manifest.
pub(super) fn descriptor(manifest: &Manifest, digest: Digest) -> Descriptor {
    let size = manifest.bytes().len() as u64;
    let mut descriptor = Descriptor::new(manifest.media_type().clone(), digest, Some(size));
    descriptor.artifact_type = manifest.artifact_type().cloned();
    descriptor.annotations = manifest.annotations().clone();
    descriptor
}

impl Inventory {
    /// Adds referrers to the kept list of a manifest.
    pub(super) fn add_referrers(
        &self,
        named: &Named,
        subject: Digest,
        referrers: Vec<Descriptor>,
    ) -> Result<(), InventoryError> {
        let name = ListName {
            named: named.clone(),
            subject: Some(subject),
            query: String::new(),
        };
        let key = name.key();
        let mut entries = self.kept_referrers(&name)?;
        for referrer in referrers {
            if !entries.iter().any(|entry| entry.digest == referrer.digest) {
                entries.push(referrer);
            }
        }
        let index = IndexBuilder::new(Format::Oci).manifests(entries).build();
        let index = index.map_err(|cause| InventoryError::Document {
            name: format!("the referrers of {subject}"),
            cause,
        })?;
        let record = ListRecord {
            query: name.query,
            checked: seconds(self.now()),
            list: Arc::new(List {
                text: String::from_utf8_lossy(index.bytes()).into_owned(),
                link: None,
                headers: Vec::new(),
            }),
        };
        let line = serde_json::to_vec(&record).unwrap_or_default();
        self.tier
            .write_record(&key, &line)
            .map_err(|cause| self.failed("write", &key, cause))
    }

    /// The entries of the kept list of all referrers.
    fn kept_referrers(&self, name: &ListName) -> Result<Vec<Descriptor>, InventoryError> {
        let key = name.key();
        let bytes = self.tier.read(&key, RECORD_BYTES_MAX);
        let bytes = bytes.map_err(|cause| self.failed("read", &key, cause))?;
        let record = bytes.and_then(|bytes| serde_json::from_slice::<ListRecord>(&bytes).ok());
        let record = record.filter(|record| record.query == name.query);
        let manifest = record
            .and_then(|record| Manifest::decode(None, Bytes::from(record.list.text.clone())).ok());
        Ok(manifest.map_or_else(Vec::new, |manifest| manifest.manifests().cloned().collect()))
    }
}

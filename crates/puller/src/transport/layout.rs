//! Images of an OCI image layout (`oci:`) and of a tar file of one (`oci-archive:`).

use longshore_manifest::{Descriptor, MANIFEST_BYTES_MAX, layout};

use super::{content::Content, error::Error, tree::Tree};
use crate::{
    Document,
    image_name::{LayoutImage, LayoutName},
};

/// One image of a layout.
#[derive(Debug)]
pub(super) struct Layout {
    tree: Tree,
    entry: Descriptor,
}

impl Layout {
    /// Finds the image in the index of the layout.
    pub(super) async fn open(tree: Tree, name: &LayoutName) -> Result<Self, Error> {
        if let Some(marker) = tree.bytes(layout::MARKER_FILE, MARKER_BYTES_MAX).await? {
            let checked = layout::check_marker(&marker);
            checked.map_err(|source| Error::document(layout::MARKER_FILE, source))?;
        }
        let index = tree.bytes(layout::INDEX_FILE, MANIFEST_BYTES_MAX).await?;
        let Some(index) = index else {
            return Err(Error::NoImage {
                path: tree.path().to_owned(),
                image: "(there is no index.json)".to_owned(),
            });
        };
        let unusable = |source| Error::document(layout::INDEX_FILE, source);
        let index = layout::Index::decode(index).map_err(unusable)?;
        let entry = match name.image() {
            LayoutImage::Only => index.find(None).map_err(unusable)?,
            LayoutImage::Named(name) => index.find(Some(name)).map_err(unusable)?,
            LayoutImage::Index(at) => {
                let entry = index.entries().get(*at);
                entry.ok_or_else(|| Error::NoImage {
                    path: tree.path().to_owned(),
                    image: format!("@{at}"),
                })?
            }
        };
        let entry = entry.clone();
        Ok(Self { tree, entry })
    }

    /// The name that the layout gives the image.
    pub(super) fn name(&self) -> Option<&str> {
        layout::Index::name(&self.entry)
    }

    pub(super) async fn top(&self) -> Result<Document, Error> {
        self.manifest(&self.entry).await
    }

    pub(super) async fn manifest(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let name = layout::blob_path(&descriptor.digest);
        self.tree.manifest(&name, descriptor).await
    }

    pub(super) async fn blob(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let name = layout::blob_path(&descriptor.digest);
        self.tree.blob(&name, descriptor.digest).await
    }
}

const MARKER_BYTES_MAX: usize = 4 << 10;

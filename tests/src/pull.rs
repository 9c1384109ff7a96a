//! A pull as every runtime does it: the manifest by tag, by digest, then its config and layers.

use crate::client::{Client, End};
use crate::content::Content;
use crate::images::Image;
use crate::origin::Origin;

impl Client {
    /// Pulls `image` by `name` (a tag or its digest) below `prefix` (`/v2/library/app`), each byte checked.
    ///
    /// # Panics
    /// When anything is not as it was pushed.
    pub async fn pull(
        &self,
        origin: &Origin,
        prefix: &str,
        image: &Image,
        name: &str,
        query: &str,
    ) {
        let path = format!("{prefix}/manifests/{name}{query}");
        let head = self.head(&path).await;
        let length = image.manifest.len().to_string();
        for (what, read) in [("HEAD", &head), ("GET", &self.read(&path).await)] {
            assert_eq!(
                read.status,
                200,
                "{what} {path}: {:?}",
                String::from_utf8_lossy(&read.body)
            );
            assert_eq!(
                read.header("docker-content-digest"),
                Some(image.digest.as_str()),
                "{what} {path}"
            );
            assert_eq!(
                read.header("content-type"),
                Some(image.media_type),
                "{what} {path}"
            );
            assert_eq!(
                read.header("content-length"),
                Some(length.as_str()),
                "{what} {path}"
            );
        }
        let by_digest = self
            .read(&format!("{prefix}/manifests/{}{query}", image.digest))
            .await;
        assert_eq!(
            (by_digest.status, &by_digest.body),
            (200, &image.manifest),
            "{prefix} by digest"
        );
        for blob in image.blobs() {
            self.pull_blob(&format!("{prefix}/blobs/{blob}{query}"), &origin.blob(blob))
                .await;
        }
    }

    /// Pulls one blob and checks each byte.
    ///
    /// # Panics
    /// When anything is not as it should be.
    pub async fn pull_blob(&self, path: &str, content: &Content) {
        let reply = self.get(path).await;
        let length = content.len().to_string();
        if reply.status != 200 {
            let refused = reply.read().await;
            panic!(
                "{path}: {} {:?}",
                refused.status,
                String::from_utf8_lossy(&refused.body)
            );
        }
        assert_eq!(
            reply.header("content-length"),
            Some(length.as_str()),
            "{path}"
        );
        assert_eq!(
            reply.compare(content, 0, None).await,
            (content.len(), true, End::Complete),
            "{path}"
        );
    }
}

//! How a bucket is reached: by its URL and its usual environment variables.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, Result, RetryConfig, parse_url_opts};
use url::Url;

/// Tries of a look-up after the first one. A client waits for it, and upstream can be asked instead.
const LOOKUP_RETRIES: usize = 2;

/// The clients of one bucket.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// For what a request waits for.
    pub(super) lookups: Arc<dyn ObjectStore>,
    /// For what has time: tried again for minutes.
    pub(super) writes: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
}

impl Clients {
    /// Makes no request.
    pub(super) fn new(
        url: &Url,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        // The library's total time-out includes the body; streams have an idle deadline of their own here.
        let limits = [("timeout", "365days"), ("connect_timeout", "5s")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let options: Vec<_> = options.into_iter().chain(limits).collect();
        let lookup_tries = RetryConfig {
            max_retries: LOOKUP_RETRIES,
            ..RetryConfig::default()
        };
        // The library's own choice by URL takes no retries: its builders have no trait in common.
        macro_rules! clients {
            ($builder:ty, $prefix:expr) => {{
                let unset = <$builder>::new().with_url(url.as_str());
                let builder = options.iter().fold(unset, |builder, (key, value)| {
                    match key.to_ascii_lowercase().parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    }
                });
                Self {
                    lookups: Arc::new(builder.clone().with_retry(lookup_tries).build()?),
                    writes: Arc::new(builder.build()?),
                    prefix: Path::parse($prefix)?,
                }
            }};
        }
        let (scheme, prefix) = ObjectStoreScheme::parse(url)?;
        Ok(match scheme {
            ObjectStoreScheme::AmazonS3 => clients!(AmazonS3Builder, prefix),
            ObjectStoreScheme::GoogleCloudStorage => clients!(GoogleCloudStorageBuilder, prefix),
            ObjectStoreScheme::MicrosoftAzure => clients!(MicrosoftAzureBuilder, prefix),
            _ => {
                let (objects, prefix) = parse_url_opts(url, options)?;
                let objects: Arc<dyn ObjectStore> = Arc::from(objects);
                Self {
                    lookups: Arc::clone(&objects),
                    writes: objects,
                    prefix,
                }
            }
        })
    }
}

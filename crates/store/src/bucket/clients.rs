//! Clients of an object store, configured by its URL and its documented environment variables.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, Result, RetryConfig};
use url::Url;

/// Retries of a look-up. A client waits for it, and upstream can be asked instead.
const LOOKUP_RETRIES: usize = 2;
/// Default time to connect; the variable of the backend overrides it.
const CONNECT_TIMEOUT: (&str, &str) = ("connect_timeout", "5s");
/// The library's total timeout includes the body. Streams have an idle deadline here, requests one by their size.
const TIMEOUT: (&str, &str) = ("timeout", "365days");

/// The clients of one bucket.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// For what a request waits for.
    pub(super) lookups: Arc<dyn ObjectStore>,
    /// For background work, which retries for minutes.
    pub(super) writes: Arc<dyn ObjectStore>,
    /// Uploads in parts.
    pub(super) parts: Parts,
    /// Prefix of every key.
    pub(super) prefix: Path,
}

/// A client for uploads in parts.
#[derive(Clone)]
pub(super) struct Parts(Arc<dyn MultipartStore>);

impl std::ops::Deref for Parts {
    type Target = dyn MultipartStore;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl Clients {
    /// Sends no request.
    pub(super) fn new(
        url: &Url,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let lookup_retries = RetryConfig {
            max_retries: LOOKUP_RETRIES,
            ..RetryConfig::default()
        };
        let (scheme, prefix) = ObjectStoreScheme::parse(url)?;
        let settings = settings(&scheme, variables);
        // The builders have no trait in common, and the library's own choice by URL takes no retries.
        macro_rules! clients {
            ($builder:ty) => {{
                let unset = <$builder>::new().with_url(url.as_str());
                let builder =
                    settings
                        .iter()
                        .fold(unset, |builder, (key, value)| match key.parse() {
                            Ok(key) => builder.with_config(key, value),
                            Err(_) => builder,
                        });
                let writes = builder.clone().build()?;
                Self {
                    lookups: Arc::new(builder.with_retry(lookup_retries).build()?),
                    parts: Parts(Arc::new(writes.clone())),
                    writes: Arc::new(writes),
                    prefix: Path::parse(prefix)?,
                }
            }};
        }
        Ok(match scheme {
            ObjectStoreScheme::AmazonS3 => clients!(AmazonS3Builder),
            ObjectStoreScheme::GoogleCloudStorage => clients!(GoogleCloudStorageBuilder),
            ObjectStoreScheme::MicrosoftAzure => clients!(MicrosoftAzureBuilder),
            ObjectStoreScheme::Memory => {
                let objects = Arc::new(InMemory::new());
                Self {
                    lookups: Arc::<InMemory>::clone(&objects),
                    parts: Parts(Arc::<InMemory>::clone(&objects)),
                    writes: objects,
                    prefix,
                }
            }
            _ => {
                return Err(object_store::Error::NotSupported {
                    source: "neither s3, gs, az nor memory".into(),
                });
            }
        })
    }
}

/// The settings of a backend, by the keys of its builder: its own variables alone, and our limits.
///
/// The builders also parse keys without a prefix, such as `token` or `endpoint`. A variable of that name belongs to
/// another program.
fn settings(
    scheme: &ObjectStoreScheme,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let (prefix, others): (_, &[&str]) = match scheme {
        ObjectStoreScheme::AmazonS3 => ("AWS_", &[]),
        ObjectStoreScheme::GoogleCloudStorage => ("GOOGLE_", &[]),
        // App Service and Functions set it for a managed identity.
        ObjectStoreScheme::MicrosoftAzure => ("AZURE_", &["IDENTITY_ENDPOINT"]),
        _ => return Vec::new(),
    };
    let own = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix) || others.contains(&name.as_str()))
        .map(|(name, value)| (name.to_ascii_lowercase(), value));
    let limit = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    std::iter::once(limit(CONNECT_TIMEOUT))
        .chain(own)
        .chain([limit(TIMEOUT)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::aws::AmazonS3ConfigKey;

    #[test]
    fn only_the_variables_of_the_backend_configure_it() {
        let foreign = [
            "TOKEN",
            "ENDPOINT",
            "REGION",
            "SKIP_SIGNATURE",
            "BUCKET",
            "ACCESS_KEY",
            "SERVICE_ACCOUNT",
            "BASE_URL",
            "PROXY_URL",
            "ALLOW_HTTP",
            "aws_token",
            "XAWS_TOKEN",
        ];
        let own = [
            (
                ObjectStoreScheme::AmazonS3,
                &["AWS_REGION", "AWS_ENDPOINT_URL_S3"][..],
            ),
            (
                ObjectStoreScheme::GoogleCloudStorage,
                &["GOOGLE_SERVICE_ACCOUNT"],
            ),
            (
                ObjectStoreScheme::MicrosoftAzure,
                &["AZURE_STORAGE_ACCOUNT_NAME", "IDENTITY_ENDPOINT"],
            ),
            (ObjectStoreScheme::Memory, &[]),
        ];
        let all = own.iter().flat_map(|(_, names)| names.iter());
        let variables: Vec<_> = foreign
            .iter()
            .chain(all)
            .map(|name| ((*name).to_owned(), "value".to_owned()))
            .collect();
        for (scheme, names) in &own {
            let kept: Vec<_> = settings(scheme, variables.clone())
                .into_iter()
                .map(|(key, _)| key)
                .filter(|key| ![TIMEOUT.0, CONNECT_TIMEOUT.0].contains(&key.as_str()))
                .collect();
            let names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            assert_eq!(kept, names, "{scheme:?}");
        }
    }

    #[test]
    fn the_library_understands_the_keys() {
        for name in [
            "aws_region",
            "aws_endpoint_url_s3",
            "aws_allow_http",
            CONNECT_TIMEOUT.0,
            TIMEOUT.0,
        ] {
            assert!(name.parse::<AmazonS3ConfigKey>().is_ok(), "{name}");
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["http://server/bucket", "file:///folder", "ftp://server/x"] {
            assert!(Clients::new(&url.parse().unwrap(), []).is_err(), "{url}");
        }
    }
}

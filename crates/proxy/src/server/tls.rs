//! TLS towards clients: certificates from files, read again when these change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::files::Stamp;
use crate::log::Chain;

/// The files that TLS is configured with, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate, then its intermediates.
    pub cert: PathBuf,
    /// The key of the certificate: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// Authorities of client certificates. Clients without a certificate of theirs are refused.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, or is no PEM of what it should hold.
    #[error("cannot read {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A file of certificates has none.
    #[error("no certificate in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate is no authority.
    #[error("cannot use the authorities in {}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key do not belong together, or the key cannot be used.
    #[error("cannot use the certificate in {}", path.display())]
    Certificate {
        /// The file of the certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// What connections are accepted with.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn load(files: Files) -> Result<Self, Error> {
        let config = ArcSwap::from_pointee(config(&files)?);
        Ok(Self { files, config })
    }

    /// For the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Looks at the files every ten seconds, for ever, and takes those that changed. Files that cannot be used are
    /// logged once, and the ones before stay in use.
    pub async fn watch(&self) {
        let mut seen = stamps(&self.files);
        let mut ticks = interval_at(Instant::now() + WATCH_EVERY, WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(&mut seen);
        }
    }

    fn look(&self, seen: &mut Stamps) {
        let now = stamps(&self.files);
        if now != *seen {
            *seen = now;
            self.reload();
        }
    }

    fn reload(&self) {
        match config(&self.files) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!(cert = %self.files.cert.display(), "reloaded the certificate");
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "cannot reload the certificate, keeping the one before");
            }
        }
    }
}

fn config(files: &Files) -> Result<ServerConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem_of(&files.key))?;
    let unusable = |source| Error::Certificate {
        path: files.cert.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions are resumed without memory for each of them here.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
    Ok(config)
}

fn verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Error> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Authority {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots
            .add(authority)
            .map_err(|error| unusable(error.into()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(error.into()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem_of(path))?;
    if found.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn pem_of(path: &Path) -> impl FnOnce(pem::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Pem { path, source }
}

type Stamps = [Option<Stamp>; 3];

fn stamps(files: &Files) -> Stamps {
    [
        Stamp::of(&files.cert),
        Stamp::of(&files.key),
        files.client_ca.as_deref().and_then(Stamp::of),
    ]
}

#[cfg(test)]
mod tests;

const WATCH_EVERY: Duration = Duration::from_secs(10);

/// Whether a failed handshake is worth a line in the log: a client that hangs up is not.
pub(super) fn is_worth_logging(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

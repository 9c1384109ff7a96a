//! Certificates from files: authorities in PEM or DER, client certificates, and `certs.d` folders.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use url::Url;

use crate::Error;

/// A certificate to show to servers, and its key.
#[derive(Clone)]
pub struct Client {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<PrivateKeyDer<'static>>,
}

/// What a host is known by, and what it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates {
    pub(super) ca: Vec<CertificateDer<'static>>,
    pub(super) client: Option<Client>,
}

impl Client {
    /// Reads a chain of certificates, the client's own first, and its key; both PEM.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no certificate or no key in them.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(unusable(CLIENT, "not certificates in pem"))?;
        if chain.is_empty() {
            return Err(Error::config(CLIENT, "no certificate in it"));
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(unusable(CLIENT, "not a key in pem"))?;
        Ok(Self {
            chain,
            key: Arc::new(key),
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Those of a host: from the first of `folders` that has one named `host[:port]`, as containers/image looks for them.
    pub(super) fn of_host(folders: &[PathBuf], host: &str) -> Result<Option<Self>, Error> {
        let found = folders.iter().map(|folder| folder.join(host));
        match found.into_iter().find(|folder| folder.is_dir()) {
            Some(folder) => Self::read(&folder).map(Some),
            None => Ok(None),
        }
    }

    /// Docker's rules: `*.crt` are authorities, `*.cert` client certificates with a `*.key` of the same name each.
    fn read(folder: &Path) -> Result<Self, Error> {
        let mut files = fs::read_dir(folder)
            .and_then(|files| {
                files
                    .map(|file| Ok(file?.path()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .map_err(unusable(CERTS_D, "the folder cannot be read"))?;
        files.sort();
        let mut found = Self::default();
        for file in files.iter().take(FILES_MAX) {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.ca.extend(read_ca(&bytes(file)?)?),
                Some("cert") => {
                    let key = file.with_extension("key");
                    if !files.contains(&key) {
                        return Err(Error::config(
                            CERTS_D,
                            "a client certificate without its key",
                        ));
                    }
                    let client = Client::from_pem(&bytes(file)?, &bytes(&key)?)?;
                    found.client.get_or_insert(client);
                }
                Some("key") if !files.contains(&file.with_extension("cert")) => {
                    return Err(Error::config(
                        CERTS_D,
                        "a key without its client certificate",
                    ));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// What is missing here is taken from `other`; authorities of both count.
    pub(super) fn or(mut self, other: &Self) -> Self {
        self.ca.extend(other.ca.iter().cloned());
        self.client = self.client.or_else(|| other.client.clone());
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ca.is_empty() && self.client.is_none()
    }
}

/// Certificates in PEM, with whatever else stands between them, or one in DER.
pub(super) fn read_ca(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    // DER begins with a SEQUENCE of a long length; text never does.
    if let [0x30, 0x81..=0x84, ..] = bytes {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let found = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable("ca", "not certificates in pem"))?;
    match found.is_empty() {
        true => Err(Error::config("ca", "no certificate in it")),
        false => Ok(found),
    }
}

/// Host and, unless it is the scheme's own, port.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn bytes(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(unusable(CERTS_D, "a file that cannot be read"))
}

fn unusable<E: std::error::Error + Send + Sync + 'static>(
    key: &'static str,
    problem: &'static str,
) -> impl FnOnce(E) -> Error {
    move |source| Error::Config {
        key,
        problem,
        source: Some(Arc::new(source)),
    }
}

const CLIENT: &str = "client_certificate";
const CERTS_D: &str = "certs_dirs";
const FILES_MAX: usize = 256;

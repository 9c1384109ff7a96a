//! What a policy needs of the outside: key files, and OpenPGP.

use std::{error::Error, fs::File, io, io::Read};

use super::Rejection;

/// Reads keys and verifies signatures for a policy.
pub trait Verifier {
    /// The content of a key file.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_key(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut key = Vec::new();
        File::open(path)?
            .take(KEY_BYTES_MAX + 1)
            .read_to_end(&mut key)?;
        match key.len() as u64 > KEY_BYTES_MAX {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(key),
        }
    }

    /// Verifies a message that is signed by OpenPGP against the keys of these keyrings, and gives its content.
    ///
    /// # Errors
    /// Any; the message is not accepted then. [`BuiltIn`] has no OpenPGP and accepts none.
    fn verify_open_pgp(
        &self,
        message: &[u8],
        keyrings: &[Vec<u8>],
    ) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let (_, _) = (message, keyrings);
        Err("OpenPGP is not built in".into())
    }

    /// Verifies that a payload was signed by one of these keys, in PEM; the signature is in base64.
    ///
    /// # Errors
    /// Those of [`verify_blob`](super::verify_blob).
    fn verify_sigstore(
        &self,
        keys: &[Vec<u8>],
        payload: &[u8],
        signature: &str,
    ) -> Result<(), Rejection> {
        super::verify_blob(keys, payload, signature)
    }
}

/// Keys in files, signatures of sigstore; no OpenPGP.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltIn;

impl Verifier for BuiltIn {}

/// Larger key files are refused.
pub const KEY_BYTES_MAX: u64 = 4 << 20;

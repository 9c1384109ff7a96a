//! Files of users and hashed passwords, as `htpasswd -B` writes them.

use std::collections::HashMap;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};

/// The users of a file.
#[derive(PartialEq, Eq)]
pub(super) struct Htpasswd {
    hashes: HashMap<Box<str>, Hash>,
    /// For users that do not exist, so that they take as long as others.
    stand_in: Hash,
}

#[derive(Clone, PartialEq, Eq)]
enum Hash {
    Bcrypt(Box<str>),
    Argon2(Box<str>),
}

/// Why a line of a file of passwords is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It is not `user:hash`.
    #[error("not of the form user:hash")]
    Form,
    /// The same user stands above.
    #[error("a user that stands above already")]
    Twice,
    /// The hash is of a kind that is too weak, or none.
    #[error("the hash is neither bcrypt nor argon2: make it with `htpasswd -B`")]
    Kind,
    /// The hash asks for more than a check may cost.
    #[error("the hash costs too much: at most cost 14 of bcrypt, 256 MiB and 16 rounds of argon2")]
    Cost,
}

impl Htpasswd {
    /// The error says which line.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, LineError)> {
        let mut hashes = HashMap::new();
        let mut stand_in = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |error| (index + 1, error);
            let (user, hash) = match line.split_once(':') {
                Some((user, hash)) if !user.is_empty() => (user, hash),
                _ => return Err(at(LineError::Form)),
            };
            let hash = Hash::parse(hash).map_err(at)?;
            stand_in.get_or_insert_with(|| hash.clone());
            if hashes.insert(user.into(), hash).is_some() {
                return Err(at(LineError::Twice));
            }
        }
        // Without users nobody waits for a hash.
        let stand_in = stand_in.unwrap_or_else(|| Hash::Bcrypt("".into()));
        Ok(Self { hashes, stand_in })
    }

    /// Whether this is the user's password. It takes some 100 ms.
    pub(super) fn verify(&self, user: &str, password: &[u8]) -> bool {
        let hash = self.hashes.get(user);
        let right = hash.unwrap_or(&self.stand_in).verify(password);
        right && hash.is_some()
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, LineError> {
        if BCRYPT.iter().any(|prefix| text.starts_with(prefix)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| LineError::Kind)?;
            if parts.get_cost() > BCRYPT_COST_MAX {
                return Err(LineError::Cost);
            }
            return Ok(Self::Bcrypt(text.into()));
        }
        let hash = PasswordHash::new(text).map_err(|_| LineError::Kind)?;
        if !hash.algorithm.as_str().starts_with("argon2") {
            return Err(LineError::Kind);
        }
        let params = Params::try_from(&hash).map_err(|_| LineError::Kind)?;
        if params.m_cost() > ARGON2_KIB_MAX || params.t_cost() > ARGON2_ROUNDS_MAX {
            return Err(LineError::Cost);
        }
        Ok(Self::Argon2(text.into()))
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2(hash) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        }
    }
}

const BCRYPT: [&str; 4] = ["$2y$", "$2a$", "$2b$", "$2x$"];
/// About 1 s.
const BCRYPT_COST_MAX: u32 = 14;
const ARGON2_KIB_MAX: u32 = 256 << 10;
const ARGON2_ROUNDS_MAX: u32 = 16;

//! Keys as a policy names them.

/// `keyType`; only [`GpgKeys`](Self::GpgKeys) can be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `GPGKeys`
    GpgKeys,
    /// `signedByGPGKeys`
    SignedByGpgKeys,
    /// `X509Certificates`
    X509Certificates,
    /// `signedByX509CAs`
    SignedByX509Cas,
}

/// Keys, in files or in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// `keyPath`
    Path(String),
    /// `keyPaths`
    Paths(Vec<String>),
    /// `keyData`
    Data(Vec<u8>),
    /// `keyDatas`
    Datas(Vec<Vec<u8>>),
}

impl KeyType {
    /// Reads the value of `keyType`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::GpgKeys,
            Self::SignedByGpgKeys,
            Self::X509Certificates,
            Self::SignedByX509Cas,
        ];
        all.into_iter().find(|key_type| key_type.as_str() == text)
    }

    /// The value of `keyType`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GpgKeys => "GPGKeys",
            Self::SignedByGpgKeys => "signedByGPGKeys",
            Self::X509Certificates => "X509Certificates",
            Self::SignedByX509Cas => "signedByX509CAs",
        }
    }
}

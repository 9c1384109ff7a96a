//! What a request came to.

/// How content was had. The words are those of the metrics' label and of `X-Cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was held.
    Hit,
    /// Upstream was asked for it.
    Miss,
    /// Another request was already asking upstream for it.
    Joined,
    /// Upstream failed; what was held is served.
    Stale,
    /// It was held, and upstream says that it still holds.
    Revalidated,
    /// It went through without being kept.
    Bypass,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Bypass => "bypass",
        }
    }
}

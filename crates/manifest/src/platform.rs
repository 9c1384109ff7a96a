//! What an image runs on.

use std::fmt;

/// What an image runs on (image-spec, `image-index.md`).
///
/// ```
/// use longshore_manifest::Platform;
///
/// let pi = Platform::new("linux", "arm", "v7");
/// assert_eq!(pi.to_string(), "linux/arm/v7");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Platform {
    /// Operating system, as `GOOS` names it.
    pub os: String,
    /// Architecture, as `GOARCH` names it.
    pub architecture: String,
    /// Variant of the architecture; may be empty.
    pub variant: String,
    /// Version of the operating system; of use on Windows only, else empty.
    pub os_version: String,
    /// Features the image asks of the operating system.
    pub os_features: Vec<String>,
}

impl Platform {
    /// A platform without version and features; an empty `variant` is none.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Self::default()
        }
    }

    /// Whether nothing at all is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this is `unknown/unknown`, which builders give to attestations.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    /// `os/architecture/variant` without the empty parts; an empty OS is `unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.os.is_empty() {
            "unknown"
        } else {
            &self.os
        })?;
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

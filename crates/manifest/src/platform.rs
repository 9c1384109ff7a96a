//! What an image runs on: the type and its canonical form.
//!
//! The rules are those of containerd/platforms.

use std::{env::consts, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};

use crate::wire::PlatformEntry;

mod specifier;

/// What an image runs on (image-spec, `image-index.md`).
///
/// ```
/// use longshore_manifest::Platform;
///
/// let pi: Platform = "linux/armhf".parse()?;
/// assert_eq!(pi, Platform::new("linux", "arm", ""));
/// assert_eq!(pi.normalised().to_string(), "linux/arm/v7");
///
/// let server: Platform = "windows(10.0.17763+win32k)/x86_64".parse()?;
/// assert_eq!(server.to_string(), "windows/amd64");
/// assert_eq!(server.full(), "windows(10.0.17763+win32k)/amd64");
/// # Ok::<(), longshore_manifest::Error>(())
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
    /// Features the image asks of the operating system, or the host has.
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

    /// The platform this program was built for, without a variant.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match consts::ARCH {
            "x86" => "386",
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new(host_os(), architecture, "")
    }

    /// The platform of this machine with the level its processor has (amd64 `v2` to `v4`): what
    /// moby asks for where the client does not say.
    #[must_use]
    pub fn host_best() -> Self {
        let mut host = Self::host();
        host.variant = processor_level().to_owned();
        host
    }

    /// This platform with what it leaves open taken from [`Self::host_best`], as moby does.
    ///
    /// ```
    /// # use longshore_manifest::Platform;
    /// let asked = Platform::new("windows", "", "").or_host();
    /// assert_eq!((asked.os.as_str(), asked.architecture), ("windows", Platform::host().architecture));
    /// ```
    #[must_use]
    pub fn or_host(&self) -> Self {
        let host = Self::host_best();
        let mut filled = self.clone();
        if filled.os.is_empty() {
            filled.os = host.os;
        }
        if filled.architecture.is_empty() {
            filled.architecture = host.architecture;
            filled.variant = host.variant;
        }
        filled
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

    /// The canonical form: one spelling for each operating system, architecture and variant,
    /// features sorted and each once. An empty operating system becomes the host's.
    ///
    /// ```
    /// # use longshore_manifest::Platform;
    /// let written = Platform::new("Linux", "aarch64", "v8");
    /// assert_eq!(written.normalised(), Platform::new("linux", "arm64", ""));
    /// ```
    #[must_use]
    pub fn normalised(&self) -> Self {
        let (architecture, variant) = normalise_architecture(&self.architecture, &self.variant);
        let mut os_features = self.os_features.clone();
        os_features.sort_unstable();
        os_features.dedup();
        Self {
            os: normalise_os(&self.os),
            architecture,
            variant,
            os_version: self.os_version.clone(),
            os_features,
        }
    }

    /// Like `Display`, with version and features in parentheses behind the operating system;
    /// all but letters, digits, `_`, `.` and `-` in them is percent-encoded, so that it parses back.
    #[must_use]
    pub fn full(&self) -> String {
        if self.os.is_empty() {
            return self.to_string();
        }
        let mut features: Vec<_> = self.os_features.iter().collect();
        features.sort_unstable();
        let mut options = String::new();
        encode_option(&self.os_version, &mut options);
        for feature in features {
            options.push('+');
            encode_option(feature, &mut options);
        }
        let mut text = self.os.clone();
        if !options.is_empty() {
            text = format!("{text}({options})");
        }
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                text.push('/');
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Display for Platform {
    /// `os/architecture/variant` without the empty parts; `unknown` without an operating system.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() {
            return f.write_str("unknown");
        }
        f.write_str(&self.os)?;
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

impl Platform {
    pub(crate) fn from_entry(entry: &PlatformEntry<'_>) -> Self {
        let features = entry.os_features.as_deref().unwrap_or_default();
        Self {
            os: (*entry.os.0).to_owned(),
            architecture: (*entry.architecture.0).to_owned(),
            variant: (*entry.variant.0).to_owned(),
            os_version: (*entry.os_version.0).to_owned(),
            os_features: features.iter().map(|f| (*f.0).to_owned()).collect(),
        }
    }
}

impl Serialize for Platform {
    /// As a descriptor has it, with the keys in the order Go writes them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("architecture", &self.architecture)?;
        map.serialize_entry("os", &self.os)?;
        if !self.os_version.is_empty() {
            map.serialize_entry("os.version", &self.os_version)?;
        }
        if !self.os_features.is_empty() {
            map.serialize_entry("os.features", &self.os_features)?;
        }
        if !self.variant.is_empty() {
            map.serialize_entry("variant", &self.variant)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Platform {
    /// As leniently as in a manifest: keys that are missing or of another type read as empty.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PlatformEntry::deserialize(deserializer).map(|entry| Self::from_entry(&entry))
    }
}

fn host_os() -> &'static str {
    match consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

#[cfg(target_arch = "x86_64")]
fn processor_level() -> &'static str {
    macro_rules! has {
        ($($feature:tt)*) => { $(std::is_x86_feature_detected!($feature))&&* };
    }
    // The levels of the x86-64 psABI, without what every processor of the level has besides.
    if !has!("cmpxchg16b" "popcnt" "sse3" "sse4.1" "sse4.2" "ssse3") {
        ""
    } else if !has!("avx" "avx2" "bmi1" "bmi2" "f16c" "fma" "lzcnt" "movbe" "xsave") {
        "v2"
    } else if !has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl") {
        "v3"
    } else {
        "v4"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_level() -> &'static str {
    ""
}

fn normalise_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => host_os().to_owned(),
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

fn normalise_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

/// Encodes more than containerd, which leaves characters that do not parse back.
fn encode_option(option: &str, text: &mut String) {
    for byte in option.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
                text.push(char::from(byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
}

#[cfg(test)]
mod tests;

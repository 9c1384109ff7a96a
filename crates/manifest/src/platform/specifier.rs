//! The specifier syntax, `linux/arm/v7`.

use std::str::FromStr;

use super::{Platform, host_os, normalise_architecture, normalise_os};
use crate::Error;

impl FromStr for Platform {
    type Err = Error;

    /// Parses `os[(version[+feature]*)][/architecture[/variant]]`, or an architecture alone.
    ///
    /// Other than [`Platform::normalised`], `arm` and `armhf` stay without the variant `v7` where
    /// none is written, and `arm64/v8` keeps its `v8`. What is not written comes from the host.
    fn from_str(specifier: &str) -> Result<Self, Error> {
        let refuse = |reason| Error::Platform {
            specifier: specifier.into(),
            reason,
        };
        if specifier.contains('*') {
            return Err(refuse("wildcards are not supported"));
        }
        let mut parts = specifier.splitn(4, '/');
        let first = parts.next().unwrap_or_default();
        let rest: Vec<_> = parts.collect();
        let mut platform =
            parse_os(first).ok_or_else(|| refuse("invalid operating system component"))?;
        if !rest.iter().all(|part| is_component(part)) {
            return Err(refuse("invalid component"));
        }
        match rest.as_slice() {
            [] if OPERATING_SYSTEMS.contains(&platform.os.as_str()) => {
                platform.architecture = Self::host().architecture;
            }
            [] => {
                (platform.architecture, platform.variant) = parse_architecture(first);
                if !ARCHITECTURES.contains(&platform.architecture.as_str()) {
                    return Err(refuse("unknown operating system or architecture"));
                }
                host_os().clone_into(&mut platform.os);
            }
            [architecture] => {
                (platform.architecture, platform.variant) = parse_architecture(architecture);
            }
            [architecture, variant] => {
                let parts = normalise_architecture(architecture, variant);
                (platform.architecture, platform.variant) = parts;
                if platform.architecture == "arm64" && platform.variant.is_empty() {
                    "v8".clone_into(&mut platform.variant);
                }
            }
            _ => return Err(refuse("more than three components")),
        }
        Ok(platform)
    }
}

/// An architecture without a variant: `v7` stays unwritten.
fn parse_architecture(architecture: &str) -> (String, String) {
    let (architecture, mut variant) = normalise_architecture(architecture, "");
    if architecture == "arm" && variant == "v7" {
        variant.clear();
    }
    (architecture, variant)
}

/// Parses `os[(version[+feature]*)]`.
fn parse_os(component: &str) -> Option<Platform> {
    let (os, options) = match component.split_once('(') {
        Some((os, options)) => (os, options.strip_suffix(')')?),
        None => (component, ""),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_option = |byte: u8| is_name(byte) || matches!(byte, b'.' | b'%' | b'+');
    if os.is_empty() || !os.bytes().all(is_name) || !options.bytes().all(is_option) {
        return None;
    }
    let mut options = options.split('+');
    let os_version = decode_option(options.next().unwrap_or_default())?;
    let feature = |feature: &str| decode_option(feature).filter(|feature| !feature.is_empty());
    let os_features = options.map(feature).collect::<Option<_>>()?;
    Some(Platform {
        os: normalise_os(os),
        os_version,
        os_features,
        ..Platform::default()
    })
}

fn is_component(part: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !part.is_empty() && part.bytes().all(is_valid)
}

fn decode_option(option: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(option.len());
    let mut bytes = option.bytes();
    let digit = |byte: Option<u8>| {
        char::from(byte?)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (digit(bytes.next())? << 4) | digit(bytes.next())?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

/// What Go calls operating systems.
const OPERATING_SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// What Go calls architectures.
const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

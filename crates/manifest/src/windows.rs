//! Which Windows runs which: containers share the host's kernel.

use crate::Error;

/// Whether a host of version `host` runs images of version `image`, as containerd has it.
///
/// An empty version fits every other. Major and minor version must be equal. Below build 20348
/// (Server 2022) the builds must be equal too; from there on, an image runs from the last
/// long-term build *before* the host's up to the host's own.
pub(crate) fn runs(host: &str, image: &str) -> bool {
    let (Some(host), false) = (version(host), image.is_empty()) else {
        return true;
    };
    let image = version(image).unwrap_or_default();
    if (host.major, host.minor) != (image.major, image.minor) {
        return false;
    }
    if host.build < LONG_TERM_BUILDS[0] {
        return host.build == image.build;
    }
    let before = LONG_TERM_BUILDS.iter().rfind(|build| **build < host.build);
    let lowest = *before.unwrap_or(&LONG_TERM_BUILDS[0]);
    (lowest..=host.build).contains(&image.build)
}

/// Why a host of version `host` does not run images of version `image`; `None` if it does, or
/// nothing can be said of the versions.
pub(crate) fn refusal(host: &str, image: &str) -> Option<Error> {
    if runs(host, image) {
        return None;
    }
    let (image, host) = (build(image)?.into(), build(host)?.into());
    Some(Error::WindowsVersion { image, host })
}

/// A version up to its build, `major.minor.build`.
fn build(text: &str) -> Option<&str> {
    version(text)?;
    let end = text.match_indices('.').nth(2).map(|(end, _)| end);
    text.get(..end.unwrap_or(text.len()))
}

#[derive(Default)]
struct Version {
    major: u8,
    minor: u8,
    build: u16,
}

/// `major.minor.build`, with anything behind a further dot; `None` if it is nothing like it.
fn version(text: &str) -> Option<Version> {
    let mut parts = text.splitn(4, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let build = parts.next()?.parse().ok()?;
    ((major, minor, build) != (0, 0, 0)).then_some(Version {
        major,
        minor,
        build,
    })
}

/// Server 2022 and Server 2025: builds whose interface to containers is stable, lowest first.
const LONG_TERM_BUILDS: [u16; 2] = [20348, 26100];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let table = [
            ("", "10.0.17763.1", true),
            ("10.0.17763.1", "", true),
            ("nonsense", "10.0.1", true),
            ("10.0.17763", "10.0.17763.2", true),
            ("10.0.17763", "10.0.17134", false),
            ("10.0.17763", "10.0", false),
            ("10.0.17763", "11.0.17763", false),
            ("10.0.17763", "10.1.17763", false),
            ("10.0.20348", "10.0.20348", true),
            ("10.0.20348", "10.0.17763", false),
            ("10.0.22621", "10.0.20348", true),
            ("10.0.22621", "10.0.22622", false),
            ("10.0.26100", "10.0.20348", true),
            ("10.0.26100", "10.0.20347", false),
            ("10.0.26200", "10.0.26100", true),
            ("10.0.26200", "10.0.25398", false),
        ];
        for (host, image, expected) in table {
            assert_eq!(runs(host, image), expected, "{image} on {host}");
        }
    }
}

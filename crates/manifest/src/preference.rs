//! Which of several platforms to take: containerd's order, and that of containers/image.

use std::cmp::{Ordering, Reverse};

use crate::{Descriptor, Error, Manifest, Platform, windows};

/// Which platforms will do, the best first.
///
/// ```
/// use longshore_manifest::{Platform, Preference};
///
/// let preference = Preference::only(&Platform::new("linux", "arm", "v7"));
/// let (v6, v7) = (Platform::new("linux", "arm", "v6"), Platform::new("linux", "arm", ""));
/// assert!(preference.matches(&v6) && preference.matches(&v7));
/// assert!(preference.compare(&v7, &v6).is_lt());
/// assert!(!preference.matches(&Platform::new("linux", "arm64", "")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    wanted: Platform,
    vector: Vec<Platform>,
    exact: bool,
}

impl Preference {
    /// A platform and all that run on it too, as containerd has it (`Only`): amd64 runs lower
    /// levels and 386, arm lower versions, arm64 lower versions and 32-bit arm.
    ///
    /// arm64 variants are `v8` to `v8.9` and `v9` to `v9.9`; any other matches nothing.
    #[must_use]
    pub fn only(wanted: &Platform) -> Self {
        Self {
            vector: vector(&wanted.normalised()),
            wanted: wanted.clone(),
            exact: false,
        }
    }

    /// A platform and no other (`OnlyStrict`).
    #[must_use]
    pub fn strict(wanted: &Platform) -> Self {
        Self {
            vector: vec![wanted.normalised()],
            wanted: wanted.clone(),
            exact: false,
        }
    }

    /// Several platforms and no others, in this order; the first is the one that errors name.
    #[must_use]
    pub fn ordered(platforms: &[Platform]) -> Self {
        let vector: Vec<_> = platforms.iter().map(Platform::normalised).collect();
        let wanted = platforms.first().cloned().unwrap_or_default();
        Self {
            vector,
            wanted,
            exact: false,
        }
    }

    /// The order of containers/image (Podman, CRI-O, skopeo): operating system, architecture and
    /// variant must be equal as written; version and features do not count; amd64 has no lower
    /// levels and no 386. Without a variant, arm64 takes none, then `v8`; arm takes none, then `v8`
    /// down to `v5`.
    #[must_use]
    pub fn containers(wanted: &Platform) -> Self {
        let lower: &[&str] = match (wanted.architecture.as_str(), wanted.variant.as_str()) {
            ("arm64", "") => &["", "v8"],
            ("arm", "") => &["", "v8", "v7", "v6", "v5"],
            ("arm", "v8") => &["v8", "v7", "v6", "v5", ""],
            ("arm", "v7") => &["v7", "v6", "v5", ""],
            ("arm", "v6") => &["v6", "v5", ""],
            (_, "") => &[""],
            (_, variant) => &[variant, ""],
        };
        let platform = |variant: &&str| Platform::new(&wanted.os, &wanted.architecture, variant);
        let vector = lower.iter().map(platform).collect();
        Self {
            vector,
            wanted: wanted.clone(),
            exact: true,
        }
    }

    /// The platform that was asked for, as it was given: not normalised.
    #[must_use]
    pub fn wanted(&self) -> &Platform {
        &self.wanted
    }

    /// All that will do, the best first.
    #[must_use]
    pub fn vector(&self) -> &[Platform] {
        &self.vector
    }

    /// Whether an image for `platform` will do.
    #[must_use]
    pub fn matches(&self, platform: &Platform) -> bool {
        let image = self.readable(platform);
        self.vector
            .iter()
            .any(|host| self.fits(host, &image) && self.has_features(host, &image))
    }

    /// Which of two platforms is better (`Less` comes first). Where neither matches, they are
    /// compared as if they asked for no features.
    #[must_use]
    pub fn compare(&self, a: &Platform, b: &Platform) -> Ordering {
        self.rank(a).cmp(&self.rank(b))
    }

    /// The entries of an index that will do, the best first; those that name no platform last.
    ///
    /// moby tries them in this order; containerd and containers/image take the first. Entries
    /// that are typed as something other than a manifest are left out.
    ///
    /// ```
    /// # use longshore_manifest::{Manifest, Platform, Preference};
    /// # let bytes = br#"{"schemaVersion":2,"manifests":[{"size":7,
    /// #     "mediaType":"application/vnd.oci.image.manifest.v1+json",
    /// #     "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    /// #     "platform":{"os":"linux","architecture":"arm64"}}]}"#;
    /// # let index = Manifest::decode(None, bytes.as_slice().into())?;
    /// let preference = Preference::only(&"linux/arm64/v8".parse()?);
    /// assert_eq!(preference.candidates(&index)[0].size, Some(7));
    /// # Ok::<(), longshore_manifest::Error>(())
    /// ```
    #[must_use]
    pub fn candidates<'a>(&self, index: &'a Manifest) -> Vec<&'a Descriptor> {
        let is_manifest = |entry: &&Descriptor| {
            entry.media_type.is_manifest() || entry.media_type.as_str().is_empty()
        };
        let ranked = |entry: &'a Descriptor| {
            let platform = entry
                .platform
                .as_deref()
                .filter(|platform| !platform.is_empty());
            let rank = platform.map_or(Rank::Unnamed, |platform| self.rank(platform));
            matches!(rank, Rank::Matches(..) | Rank::Unnamed).then_some((rank, entry))
        };
        let entries = index.manifests().filter(is_manifest);
        let mut ranked: Vec<_> = entries.filter_map(ranked).collect();
        ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }

    /// That `image` will not do because of its version of Windows alone.
    pub(crate) fn windows_version(&self, image: &Platform) -> Option<Error> {
        let image = self.readable(image);
        let alike = |host: &&Platform| {
            image.os == "windows"
                && host.os == image.os
                && host.architecture == image.architecture
                && host.variant == image.variant
        };
        let host = self.vector.iter().find(alike).filter(|_| !self.exact)?;
        windows::refusal(&host.os_version, &image.os_version)
    }

    /// The image's platform, in the form it is compared in.
    fn readable(&self, platform: &Platform) -> Platform {
        if self.exact {
            return platform.clone();
        }
        let mut platform = platform.normalised();
        if platform.os == "windows" {
            platform.os_features.retain(|feature| feature != "win32k");
        }
        platform
    }

    fn fits(&self, host: &Platform, image: &Platform) -> bool {
        host.os == image.os
            && host.architecture == image.architecture
            && host.variant == image.variant
            && (self.exact
                || host.os != "windows"
                || windows::runs(&host.os_version, &image.os_version))
    }

    fn has_features(&self, host: &Platform, image: &Platform) -> bool {
        self.exact
            || image
                .os_features
                .iter()
                .all(|feature| host.os_features.contains(feature))
    }

    fn rank(&self, platform: &Platform) -> Rank {
        let image = self.readable(platform);
        let place = |asks: &dyn Fn(&Platform) -> bool| {
            self.vector
                .iter()
                .position(|host| self.fits(host, &image) && asks(host))
        };
        let features = Reverse(if self.exact {
            0
        } else {
            image.os_features.len()
        });
        let version = Reverse(if image.os == "windows" && !self.exact {
            image.os_version.clone()
        } else {
            String::new()
        });
        let ignored = |_: &Platform| true;
        match place(&|host| self.has_features(host, &image)) {
            Some(place) => Rank::Matches(place, version, features),
            None => place(&ignored).map_or(Rank::Nothing, |place| {
                Rank::LacksFeatures(place, version, features)
            }),
        }
    }
}

/// Where a platform stands; the least is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Matches(usize, Reverse<String>, Reverse<usize>),
    LacksFeatures(usize, Reverse<String>, Reverse<usize>),
    Nothing,
    /// An entry of an index that names no platform.
    Unnamed,
}

/// A normalised platform and all that run on it, the best first.
fn vector(wanted: &Platform) -> Vec<Platform> {
    let with = |architecture: &str, variant: &str| Platform {
        architecture: architecture.to_owned(),
        variant: if variant == "v1" && architecture == "amd64" {
            ""
        } else {
            variant
        }
        .to_owned(),
        ..wanted.clone()
    };
    let number = |text: &str| text.strip_prefix('v')?.parse::<u8>().ok();
    let below = |architecture: &str, from: u8, to: u8| -> Vec<Platform> {
        (to..from)
            .rev()
            .map(|n| with(architecture, &format!("v{n}")))
            .collect()
    };
    let mut vector = vec![wanted.clone()];
    match wanted.architecture.as_str() {
        "amd64" => {
            vector.extend(below("amd64", number(&wanted.variant).unwrap_or(1), 1));
            vector.push(with("386", ""));
        }
        "arm" => vector.extend(below("arm", number(&wanted.variant).unwrap_or(5), 5)),
        "arm64" => {
            let Some((major, minor)) = arm64_version(&wanted.variant) else {
                return Vec::new();
            };
            let variant = |major: u8, minor: u8| match (major, minor) {
                (8, 0) => String::new(),
                (major, 0) => format!("v{major}"),
                (major, minor) => format!("v{major}.{minor}"),
            };
            vector.extend(
                (0..minor)
                    .rev()
                    .map(|minor| with("arm64", &variant(major, minor))),
            );
            if major == 9 {
                // Armv9.n has all of Armv8.(n+5), and Armv8 ends at .9.
                let highest = minor.saturating_add(5).min(9);
                vector.extend(
                    (0..=highest)
                        .rev()
                        .map(|minor| with("arm64", &variant(8, minor))),
                );
            }
            vector.extend(below("arm", 9, 5));
        }
        _ => {}
    }
    vector
}

/// Major and minor version of a normalised arm64 variant.
fn arm64_version(variant: &str) -> Option<(u8, u8)> {
    match variant.as_bytes() {
        [] => Some((8, 0)),
        b"v9" => Some((9, 0)),
        [b'v', major @ (b'8' | b'9'), b'.', minor @ b'0'..=b'9'] => {
            Some((major - b'0', minor - b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

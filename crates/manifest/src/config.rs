//! Image configurations: what an image runs on and what its layers are when unpacked.

mod run;

use std::fmt;

use bytes::Bytes;
use longshore_reference::Digest;
use serde::Deserialize;

pub use self::run::{Healthcheck, RunConfig};
use crate::{
    CONFIG_BYTES_MAX, Error, Platform, go_json,
    wire::{self, PlatformEntry, Text},
};

/// An image configuration, Docker's or OCI's (image-spec, `config.md`).
///
/// ```
/// use longshore_manifest::ImageConfig;
///
/// let config = ImageConfig::decode(br#"{"os":"linux","architecture":"arm","variant":"v7",
///     "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"ENV a=b","empty_layer":true}]}"#)?;
/// assert_eq!(config.platform().to_string(), "linux/arm/v7");
/// assert!(config.history()[0].empty_layer);
/// config.check_layers(&[])?;
///
/// let config = ImageConfig::decode(br#"{"config":{"Env":["A=b"],"Labels":{"maintainer":"me"}}}"#)?;
/// assert_eq!(config.run().env, ["A=b".into()]);
/// assert_eq!(config.label("maintainer"), Some("me"));
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    bytes: Bytes,
    platform: Platform,
    created: Option<Box<str>>,
    author: Option<Box<str>>,
    diff_ids: Option<Vec<DiffId>>,
    history: Vec<History>,
    run: RunConfig,
}

/// Digest of a layer when unpacked: of the plain tar.
///
/// ```
/// use longshore_manifest::DiffId;
/// use longshore_reference::Digest;
///
/// let diff_id = DiffId::new(Digest::sha256(b"a tar"));
/// assert_eq!(diff_id.to_string(), diff_id.digest().to_string());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiffId(Digest);

/// One step of how an image was built, as configurations list it.
///
/// ```
/// use longshore_manifest::History;
///
/// let v1_json = br#"{"created":"2016-01-02T03:04:05.60Z","container_config":{"Cmd":["sh","-c","true"]}}"#;
/// let history = History::from_v1(v1_json, false)?;
/// assert_eq!(&*history.created_by, "sh -c true");
/// assert_eq!(history.created.as_deref(), Some("2016-01-02T03:04:05.6Z"));
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// When (RFC 3339), as written.
    pub created: Option<Box<str>>,
    /// By whom; may be empty.
    pub author: Box<str>,
    /// By which command; may be empty.
    pub created_by: Box<str>,
    /// Comment; may be empty.
    pub comment: Box<str>,
    /// Whether the step made no layer.
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a configuration. Keys that are absent, `null` or of the wrong type count as empty.
    ///
    /// # Errors
    /// Over [`CONFIG_BYTES_MAX`] or [`ENTRIES_MAX`](crate::ENTRIES_MAX), not a JSON object, or a diff
    /// id that is no digest.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(Error::TooLarge {
                bytes: bytes.len(),
                bytes_max: CONFIG_BYTES_MAX,
            });
        }
        let platform: PlatformEntry<'_> = wire::read("image configuration", bytes)?;
        let config: Config<'_> = wire::read("image configuration", bytes)?;
        let diff_id = |text: &Text<'_>| {
            let text = &*text.0;
            let fail = |source| Error::Digest {
                part: "diff_ids",
                digest: text.into(),
                source,
            };
            Digest::parse(text).map(DiffId).map_err(fail)
        };
        let diff_ids = |rootfs: &RootFs<'_>| {
            let diff_ids = rootfs.diff_ids.as_deref().unwrap_or_default();
            diff_ids.iter().map(diff_id).collect::<Result<_, _>>()
        };
        let history = config.history.as_deref().unwrap_or_default();
        Ok(Self {
            bytes: Bytes::copy_from_slice(bytes),
            platform: Platform::from_entry(&platform),
            created: config.created.some().map(Box::from),
            author: config.author.some().map(Box::from),
            diff_ids: config.rootfs.as_ref().map(diff_ids).transpose()?,
            history: history.iter().map(HistoryEntry::to_history).collect(),
            run: config.config.unwrap_or_default().to_run_config(),
        })
    }

    /// The exact bytes: keys that are not known here survive in them.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the image runs on, as written.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// When the image was made (RFC 3339), as written.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.created.as_deref()
    }

    /// Who made the image.
    #[must_use]
    pub fn author(&self) -> Option<&str> {
        self.author.as_deref()
    }

    /// How to run a container of the image: command, environment, labels, and so on.
    #[must_use]
    pub fn run(&self) -> &RunConfig {
        &self.run
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.run.labels.get(key).map(|value| &**value)
    }

    /// How the image was built, base first.
    #[must_use]
    pub fn history(&self) -> &[History] {
        &self.history
    }

    /// The layers when unpacked, base first.
    ///
    /// # Errors
    /// There is no `rootfs`.
    pub fn diff_ids(&self) -> Result<&[DiffId], Error> {
        self.diff_ids.as_deref().ok_or(Error::RootFs)
    }

    /// Checks that the layers of a manifest, unpacked, are the ones this configuration names.
    ///
    /// # Errors
    /// Another number, another order, other content, or no `rootfs`.
    pub fn check_layers(&self, unpacked: &[DiffId]) -> Result<(), Error> {
        if self.diff_ids()? == unpacked {
            Ok(())
        } else {
            Err(Error::LayerMismatch)
        }
    }

    /// The chain ids: for each layer the digest that stands for it and all below it
    /// (image-spec, "Layer ChainID").
    ///
    /// # Errors
    /// There is no `rootfs`.
    pub fn chain_ids(&self) -> Result<Vec<Digest>, Error> {
        let mut chain: Vec<Digest> = Vec::new();
        for diff_id in self.diff_ids()? {
            chain.push(match chain.last() {
                Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
                None => diff_id.0,
            });
        }
        Ok(chain)
    }
}

impl DiffId {
    /// A diff id from the digest of a plain tar.
    #[must_use]
    pub fn new(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest of the plain tar.
    #[must_use]
    pub fn digest(self) -> Digest {
        self.0
    }
}

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl History {
    /// As Go writes it: a time is always there, empty keys are not.
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        let created = go_json::time(self.created.as_deref())?;
        let mut json = format!("{{\"created\":{}", go_json::string(&created));
        let texts = [
            ("author", &self.author),
            ("created_by", &self.created_by),
            ("comment", &self.comment),
        ];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            json.push_str(&format!(",\"{key}\":{}", go_json::string(text)));
        }
        json.push_str(if self.empty_layer {
            ",\"empty_layer\":true}"
        } else {
            "}"
        });
        Ok(json)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Config<'a> {
    #[serde(borrow)]
    config: Option<run::Entry<'a>>,
    #[serde(borrow)]
    created: Text<'a>,
    #[serde(borrow)]
    author: Text<'a>,
    #[serde(borrow)]
    rootfs: Option<RootFs<'a>>,
    #[serde(borrow)]
    history: Option<Vec<HistoryEntry<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct RootFs<'a> {
    #[serde(borrow)]
    diff_ids: Option<Vec<Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct HistoryEntry<'a> {
    #[serde(borrow)]
    created: Text<'a>,
    #[serde(borrow)]
    author: Text<'a>,
    #[serde(borrow)]
    created_by: Text<'a>,
    #[serde(borrow)]
    comment: Text<'a>,
    empty_layer: Option<bool>,
}

wire::from_objects!(Config<'a>, RootFs<'a>, HistoryEntry<'a>);

impl HistoryEntry<'_> {
    fn to_history(&self) -> History {
        History {
            created: self.created.some().map(Box::from),
            author: (*self.author.0).into(),
            created_by: (*self.created_by.0).into(),
            comment: (*self.comment.0).into(),
            empty_layer: self.empty_layer.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;

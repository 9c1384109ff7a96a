//! Manifests and their descriptors, before anything in them is looked at.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess},
};
use serde_json::value::RawValue;

use super::leaf::{Annotations, FromMap, Number, Text, from_objects, object};

/// Any manifest: what it is shows in which keys are there.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
pub(crate) struct Document<'a> {
    pub(crate) schema_version: Number,
    #[serde(borrow)]
    pub(crate) media_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) artifact_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) config: Option<Entry<'a>>,
    #[serde(borrow)]
    pub(crate) layers: Option<Vec<Option<Entry<'a>>>>,
    #[serde(borrow)]
    pub(crate) manifests: Option<Vec<Option<Entry<'a>>>>,
    #[serde(borrow)]
    pub(crate) blobs: Option<Vec<Option<Entry<'a>>>>,
    #[serde(borrow)]
    pub(crate) subject: Option<Entry<'a>>,
    #[serde(borrow)]
    pub(crate) annotations: Annotations<'a>,
    #[serde(borrow)]
    pub(crate) fs_layers: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) signatures: Option<&'a RawValue>,
}

/// A descriptor whose digest has not been looked at.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
pub(crate) struct Entry<'a> {
    #[serde(borrow)]
    pub(crate) media_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) digest: Text<'a>,
    pub(crate) size: Number,
    #[serde(borrow)]
    pub(crate) urls: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) platform: Option<PlatformEntry<'a>>,
    #[serde(borrow)]
    pub(crate) annotations: Annotations<'a>,
    #[serde(borrow)]
    pub(crate) artifact_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) data: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
pub(crate) struct PlatformEntry<'a> {
    #[serde(borrow)]
    pub(crate) os: Text<'a>,
    #[serde(borrow)]
    pub(crate) architecture: Text<'a>,
    #[serde(borrow)]
    pub(crate) variant: Text<'a>,
    #[serde(borrow, rename = "os.version")]
    pub(crate) os_version: Text<'a>,
    #[serde(borrow, rename = "os.features")]
    pub(crate) os_features: Option<Vec<Text<'a>>>,
}

from_objects!(Document<'a>, Entry<'a>, PlatformEntry<'a>);

/// Which keys an object has; `null` is none. A key may be there twice.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) manifests: bool,
    pub(crate) layers: bool,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer)
    }
}

impl<'de> FromMap<'de> for Keys {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut keys = Self::default();
        while let Some((Text(key), value)) = map.next_entry::<Text<'de>, Option<IgnoredAny>>()? {
            match &*key {
                "manifests" => keys.manifests |= value.is_some(),
                "layers" => keys.layers |= value.is_some(),
                _ => {}
            }
        }
        Ok(keys)
    }
}

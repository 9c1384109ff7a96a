//! The keys of a v1 image Docker knows, in the order and form it writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

use crate::{Error, go_json, go_json::Object, wire};

#[derive(Default, Deserialize, Serialize)]
#[serde(default, remote = "Self")]
pub(super) struct Image {
    #[serde(skip_serializing_if = "Or::is_default")]
    id: Or<String>,
    #[serde(skip_serializing_if = "Or::is_default")]
    parent: Or<String>,
    #[serde(skip_serializing_if = "Or::is_default")]
    pub(super) comment: Or<String>,
    created: Option<String>,
    #[serde(skip_serializing_if = "Or::is_default")]
    container: Or<String>,
    container_config: Or<Container>,
    #[serde(skip_serializing_if = "Or::is_default")]
    pub(super) docker_version: Or<String>,
    #[serde(skip_serializing_if = "Or::is_default")]
    pub(super) author: Or<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Container>,
    #[serde(skip_serializing_if = "Or::is_default")]
    architecture: Or<String>,
    #[serde(skip_serializing_if = "Or::is_default")]
    variant: Or<String>,
    #[serde(skip_serializing_if = "Or::is_default")]
    os: Or<String>,
    #[serde(rename = "Size", skip_serializing_if = "Or::is_default")]
    size: Or<i64>,
}

#[derive(Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "PascalCase", remote = "Self")]
struct Container {
    hostname: Or<String>,
    domainname: Or<String>,
    user: Or<String>,
    attach_stdin: Or<bool>,
    attach_stdout: Or<bool>,
    attach_stderr: Or<bool>,
    #[serde(skip_serializing_if = "Or::is_default")]
    exposed_ports: Or<BTreeMap<String, Empty>>,
    tty: Or<bool>,
    open_stdin: Or<bool>,
    stdin_once: Or<bool>,
    env: Option<Vec<Or<String>>>,
    cmd: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "Or::is_default")]
    args_escaped: Or<bool>,
    image: Or<String>,
    volumes: Option<BTreeMap<String, Empty>>,
    working_dir: Or<String>,
    entrypoint: Option<Words>,
    #[serde(skip_serializing_if = "Or::is_default")]
    network_disabled: Or<bool>,
    #[serde(skip_serializing_if = "Or::is_default")]
    mac_address: Or<String>,
    on_build: Option<Vec<Or<String>>>,
    labels: Option<BTreeMap<String, Or<String>>>,
    #[serde(skip_serializing_if = "Or::is_default")]
    stop_signal: Or<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Words::is_none")]
    shell: Option<Words>,
}

/// Times in nanoseconds.
#[derive(Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "PascalCase", remote = "Self")]
struct Healthcheck {
    #[serde(skip_serializing_if = "Or::is_default")]
    test: Or<Vec<Or<String>>>,
    #[serde(skip_serializing_if = "Or::is_default")]
    interval: Or<i64>,
    #[serde(skip_serializing_if = "Or::is_default")]
    timeout: Or<i64>,
    #[serde(skip_serializing_if = "Or::is_default")]
    start_period: Or<i64>,
    #[serde(skip_serializing_if = "Or::is_default")]
    retries: Or<i64>,
}

wire::from_objects!(Image, Container, Healthcheck);

macro_rules! to_objects {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )*};
}

to_objects!(Image, Container, Healthcheck);

impl Image {
    /// The time as Go writes it.
    pub(super) fn created(&self) -> Result<String, Error> {
        go_json::time(self.created.as_deref())
    }

    /// The command of the container the image was made from, its words joined by a space.
    pub(super) fn command(&self) -> String {
        let words = self
            .container_config
            .0
            .cmd
            .as_ref()
            .map(|words| words.0.as_slice());
        let words = words.unwrap_or_default().iter();
        words
            .map(|word| word.0.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub(super) fn to_object(&self) -> Result<Object, Error> {
        let fail = |source| Error::json("v1 image", source);
        let json = serde_json::to_vec(self).map_err(fail)?;
        let mut object = Object::parse("v1 image", &json)?;
        object.set("created", go_json::string(&self.created()?));
        Ok(object)
    }
}

/// A value for which `null` stands for Go's zero value.
#[derive(Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Or<T>(pub(super) T);

impl<T: Default + PartialEq> Or<T> {
    fn is_default(&self) -> bool {
        self.0 == T::default()
    }
}

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Or<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| Self(value.unwrap_or_default()))
    }
}

/// A list of strings, or one string alone.
#[derive(PartialEq, Serialize)]
#[serde(transparent)]
struct Words(Vec<Or<String>>);

impl Words {
    /// Whether Go leaves the list out of a document.
    fn is_none(words: &Option<Self>) -> bool {
        words.as_ref().is_none_or(|words| words.0.is_empty())
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<Or<String>>),
            Word(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::List(words) => words,
            Written::Word(word) => vec![Or(word)],
        }))
    }
}

/// Go's `struct{}`: any object, or `null`, reads as `{}`.
#[derive(Default, PartialEq, Serialize)]
struct Empty {}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer).map(|_| Self {})
    }
}

//! Every type as the text it prints: `Display` out, `FromStr` in.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::{
    Algorithm, AnyReference, Canonical, Digest, Named, Parsed, Raw, Reference, ShortName, Tag,
    Tagged,
};

macro_rules! as_text {
    ($($type:ty: $expecting:literal,)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text { expecting: $expecting, result: PhantomData })
            }
        }
    )*};
}

as_text! {
    Algorithm: "a digest algorithm",
    AnyReference: "an image reference or a digest",
    Canonical: "an image reference with a digest",
    Digest: "a digest",
    Named: "a repository name",
    Parsed: "an image reference",
    Raw: "an image reference",
    Reference: "an image reference",
    ShortName: "a short name",
    Tag: "a tag",
    Tagged: "an image reference with a tag",
}

struct Text<T> {
    expecting: &'static str,
    result: PhantomData<T>,
}

impl<T: FromStr<Err = crate::Error>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

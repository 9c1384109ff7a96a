//! JSON objects read strictly: no key twice, none that is unknown.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Error, ErrorKind};

/// The members of an object that are not taken yet.
pub(super) struct Object<'a> {
    at: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Reads an object; `at` is its place in the document.
    pub(super) fn read(json: &'a str, at: &str) -> Result<Self, Error> {
        let members: Members<'a> = serde_json::from_str(json).map_err(|e| Error::json(at, &e))?;
        let mut unique = BTreeMap::new();
        for (key, value) in members.0 {
            if unique.contains_key(&key) {
                return Err(Error::new(at, ErrorKind::DuplicateKey(key)));
            }
            unique.insert(key, value);
        }
        Ok(Self {
            at: at.to_owned(),
            members: unique,
        })
    }

    /// Where it is.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// The place of a member.
    pub(super) fn place(&self, key: &str) -> String {
        match self.at.is_empty() {
            true => key.to_owned(),
            false => [self.at.as_str(), ".", key].concat(),
        }
    }

    /// A member as it stands.
    pub(super) fn raw(&mut self, key: &str) -> Option<&'a str> {
        self.members.remove(key).map(RawValue::get)
    }

    /// A member that has to be there.
    pub(super) fn needed(&mut self, key: &'static str) -> Result<&'a str, Error> {
        self.raw(key)
            .ok_or_else(|| Error::new(&self.at, ErrorKind::MissingKey(key)))
    }

    /// A member of this type, if it is there. `null` is of no type.
    pub(super) fn value<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Error> {
        let Some(json) = self.raw(key) else {
            return Ok(None);
        };
        let value = serde_json::from_str(json).map_err(|e| Error::json(&self.place(key), &e))?;
        Ok(Some(value))
    }

    /// A text that has to be there.
    pub(super) fn text(&mut self, key: &'static str) -> Result<String, Error> {
        let missing = Error::new(&self.at, ErrorKind::MissingKey(key));
        self.value(key)?.ok_or(missing)
    }

    /// Bytes in base64, if they are there.
    pub(super) fn bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let text: Option<String> = self.value(key)?;
        let place = self.place(key);
        text.map(|text| decode(&text, &place)).transpose()
    }

    /// A list of bytes in base64, if it is there.
    pub(super) fn many_bytes(&mut self, key: &str) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let texts: Option<Vec<String>> = self.value(key)?;
        let place = self.place(key);
        texts
            .map(|texts| texts.iter().map(|text| decode(text, &place)).collect())
            .transpose()
    }

    /// The members that are left, by key.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, &'a str)> {
        self.members
            .into_iter()
            .map(|(key, value)| (key, value.get()))
    }

    /// Refuses what is left.
    pub(super) fn end(self) -> Result<(), Error> {
        match self.members.into_keys().next() {
            Some(key) => Err(Error::new(&self.at, ErrorKind::UnknownKey(key))),
            None => Ok(()),
        }
    }
}

/// As Go reads it: line ends count for nothing, nor do the bits after the last byte.
fn decode(text: &str, at: &str) -> Result<Vec<u8>, Error> {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    let text = text.replace(['\r', '\n'], "");
    engine
        .decode(text)
        .map_err(|_| Error::new(at, ErrorKind::Base64))
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.len() == MEMBERS_MAX {
                return Err(de::Error::custom("too many members"));
            }
            members.push((key, map.next_value::<&'de RawValue>()?));
        }
        Ok(Members(members))
    }
}

/// More members than any policy has.
const MEMBERS_MAX: usize = 65_536;

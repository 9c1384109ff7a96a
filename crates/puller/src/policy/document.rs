//! The document of a policy.

use std::collections::BTreeMap;

use longshore_reference::Parsed;
use serde_json::value::RawValue;

use super::{
    Error, ErrorKind, IdentityMatch, KeyType, Keys, Policy, Remap, Requirement, SignedBy,
    SigstoreSigned, Trust, identity::is_name_only, strict::Object,
};
use crate::image_name::{Transport, validate_scope};

type Scopes = BTreeMap<String, Vec<Requirement>>;

impl Policy {
    /// Reads a policy. Keys that are unknown or there twice, missing keys and empty lists of requirements are errors,
    /// as is a scope that its transport cannot have.
    ///
    /// # Errors
    /// [`Error`] with the place in the document.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut object = Object::read(json, "")?;
        let default = object
            .raw("default")
            .ok_or_else(|| Error::new("", ErrorKind::NoDefault))?;
        let default = requirements(default, "default")?;
        let transports = match object.raw("transports") {
            Some(json) => transports(json)?,
            None => BTreeMap::new(),
        };
        object.end()?;
        Ok(Self {
            default,
            transports,
        })
    }
}

fn transports(json: &str) -> Result<BTreeMap<String, Scopes>, Error> {
    let object = Object::read(json, "transports")?;
    let scopes = object.rest().map(|(name, json)| {
        let at = ["transports.", name.as_str()].concat();
        Ok((name.clone(), scopes(json, &at, Transport::of_name(&name))?))
    });
    scopes.collect()
}

/// The scopes of a transport, which may be one that does not exist.
fn scopes(json: &str, at: &str, transport: Option<Transport>) -> Result<Scopes, Error> {
    let object = Object::read(json, at)?;
    let requirements = object.rest().map(|(scope, json)| {
        let at = format!("{at}[{scope:?}]");
        if let Some(transport) = transport {
            validate_scope(transport, &scope)
                .map_err(|error| Error::new(&at, ErrorKind::Scope(error)))?;
        }
        Ok((scope, requirements(json, &at)?))
    });
    requirements.collect()
}

fn requirements(json: &str, at: &str) -> Result<Vec<Requirement>, Error> {
    let list: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| Error::json(at, &e))?;
    if list.is_empty() {
        return Err(Error::new(at, ErrorKind::NoRequirements));
    }
    let requirements = list.iter().enumerate();
    requirements
        .map(|(index, json)| requirement(json.get(), &format!("{at}[{index}]")))
        .collect()
}

fn requirement(json: &str, at: &str) -> Result<Requirement, Error> {
    let mut object = Object::read(json, at)?;
    let requirement = match object.text("type")?.as_str() {
        "insecureAcceptAnything" => Requirement::InsecureAcceptAnything,
        "reject" => Requirement::Reject,
        "signedBy" => Requirement::SignedBy(signed_by(&mut object)?),
        "signedBaseLayer" => {
            let json = object.needed("baseLayerIdentity")?;
            let at = object.place("baseLayerIdentity");
            Requirement::SignedBaseLayer(identity_match(json, &at)?)
        }
        "sigstoreSigned" => Requirement::SigstoreSigned(sigstore_signed(&mut object)?),
        other => return Err(Error::new(at, ErrorKind::RequirementType(other.to_owned()))),
    };
    object.end()?;
    Ok(requirement)
}

fn signed_by(object: &mut Object<'_>) -> Result<SignedBy, Error> {
    let key_type = object.text("keyType")?;
    let Some(parsed) = KeyType::parse(&key_type) else {
        return Err(Error::new(object.at(), ErrorKind::KeyType(key_type)));
    };
    let path = path(object, "keyPath")?;
    let paths = object.value("keyPaths")?.map(Keys::Paths);
    let data = object.bytes("keyData")?.map(Keys::Data);
    Ok(SignedBy {
        key_type: parsed,
        keys: exactly_one([path, paths, data], object, "keyPath, keyPaths and keyData")?,
        signed_identity: signed_identity(object)?,
    })
}

fn sigstore_signed(object: &mut Object<'_>) -> Result<SigstoreSigned, Error> {
    let path = path(object, "keyPath")?;
    let paths = entries(object.value("keyPaths")?, object, "keyPaths")?;
    let data = object.bytes("keyData")?;
    let datas = entries(object.many_bytes("keyDatas")?, object, "keyDatas")?;
    let keys = [
        path,
        paths.map(Keys::Paths),
        data.map(Keys::Data),
        datas.map(Keys::Datas),
    ];
    let keys = keys.map(|keys| keys.map(Trust::Keys));
    let fulcio = object.raw("fulcio");
    let fulcio = fulcio.map(|json| self::fulcio(json, &object.place("fulcio")));
    let pki = object.raw("pki");
    let pki = pki.map(|json| self::pki(json, &object.place("pki")));
    let others = [fulcio.transpose()?, pki.transpose()?];
    let all = keys.into_iter().chain(others);
    let trust = exactly_one(
        all,
        object,
        "keyPath, keyPaths, keyData, keyDatas, fulcio, and pki",
    )?;
    let rekor = rekor(object)?;
    match (&trust, &rekor) {
        (Trust::Fulcio { .. }, None) => return Err(Error::new(object.at(), ErrorKind::NoRekor)),
        (Trust::Pki { .. }, Some(_)) => {
            return Err(Error::new(object.at(), ErrorKind::RekorOfPki));
        }
        _ => {}
    }
    Ok(SigstoreSigned {
        trust,
        rekor,
        signed_identity: signed_identity(object)?,
    })
}

fn rekor(object: &mut Object<'_>) -> Result<Option<Keys>, Error> {
    let path = path(object, "rekorPublicKeyPath")?;
    let paths = object.value("rekorPublicKeyPaths")?;
    let paths = entries(paths, object, "rekorPublicKeyPaths")?;
    let data = object.bytes("rekorPublicKeyData")?;
    let datas = object.many_bytes("rekorPublicKeyDatas")?;
    let datas = entries(datas, object, "rekorPublicKeyDatas")?;
    let keys = [
        path,
        paths.map(Keys::Paths),
        data.map(Keys::Data),
        datas.map(Keys::Datas),
    ];
    let mut keys = keys.into_iter().flatten();
    match (keys.next(), keys.next()) {
        (keys, None) => Ok(keys),
        (_, Some(_)) => Err(Error::new(
            object.at(),
            ErrorKind::Several(
                "rekorPublicKeyPath, rekorPublicKeyPaths, rekorPublicKeyData and rekorPublicKeyDatas",
            ),
        )),
    }
}

fn fulcio(json: &str, at: &str) -> Result<Trust, Error> {
    let mut object = Object::read(json, at)?;
    let path = path(&mut object, "caPath")?;
    let data = object.bytes("caData")?.map(Keys::Data);
    let trust = Trust::Fulcio {
        ca: exactly_one([path, data], &object, "caPath and caData")?,
        oidc_issuer: filled(&mut object, "oidcIssuer")?,
        subject_email: filled(&mut object, "subjectEmail")?,
    };
    object.end()?;
    Ok(trust)
}

fn pki(json: &str, at: &str) -> Result<Trust, Error> {
    let mut object = Object::read(json, at)?;
    let roots = [
        path(&mut object, "caRootsPath")?,
        object.bytes("caRootsData")?.map(Keys::Data),
    ];
    let ca_roots = exactly_one(roots, &object, "caRootsPath and caRootsData")?;
    let path = path(&mut object, "caIntermediatesPath")?;
    let data = object.bytes("caIntermediatesData")?.map(Keys::Data);
    let ca_intermediates = match (path, data) {
        (Some(_), Some(_)) => {
            let keys = "caIntermediatesPath and caIntermediatesData";
            return Err(Error::new(at, ErrorKind::Several(keys)));
        }
        (path, data) => path.or(data),
    };
    let mut subject = |key| -> Result<Option<String>, Error> {
        Ok(object.value::<String>(key)?.filter(|text| !text.is_empty()))
    };
    let subject_email = subject("subjectEmail")?;
    let subject_hostname = subject("subjectHostname")?;
    if subject_email.is_none() && subject_hostname.is_none() {
        let keys = "subjectEmail or subjectHostname";
        return Err(Error::new(at, ErrorKind::NotSpecified(keys)));
    }
    object.end()?;
    Ok(Trust::Pki {
        ca_roots,
        ca_intermediates,
        subject_email,
        subject_hostname,
    })
}

fn signed_identity(object: &mut Object<'_>) -> Result<IdentityMatch, Error> {
    match object.raw("signedIdentity") {
        Some(json) => identity_match(json, &object.place("signedIdentity")),
        None => Ok(IdentityMatch::MatchRepoDigestOrExact),
    }
}

pub(super) fn identity_match(json: &str, at: &str) -> Result<IdentityMatch, Error> {
    let mut object = Object::read(json, at)?;
    let matches = match object.text("type")?.as_str() {
        "matchExact" => IdentityMatch::MatchExact,
        "matchRepoDigestOrExact" => IdentityMatch::MatchRepoDigestOrExact,
        "matchRepository" => IdentityMatch::MatchRepository,
        "exactReference" => {
            let (text, parsed) = reference(&mut object, "dockerReference")?;
            if is_name_only(&parsed) {
                return Err(Error::new(at, ErrorKind::NameOnly(text)));
            }
            IdentityMatch::ExactReference(parsed)
        }
        "exactRepository" => {
            let (_, parsed) = reference(&mut object, "dockerRepository")?;
            IdentityMatch::ExactRepository(parsed.into_named())
        }
        "remapIdentity" => {
            let prefix = object.text("prefix")?;
            let signed_prefix = object.text("signedPrefix")?;
            let remap = Remap::new(&prefix, &signed_prefix);
            IdentityMatch::RemapIdentity(remap.map_err(|kind| Error::new(at, kind))?)
        }
        other => return Err(Error::new(at, ErrorKind::IdentityType(other.to_owned()))),
    };
    object.end()?;
    Ok(matches)
}

fn reference(object: &mut Object<'_>, key: &'static str) -> Result<(String, Parsed), Error> {
    let text = object.text(key)?;
    match Parsed::parse(&text) {
        Ok(parsed) => Ok((text, parsed)),
        Err(source) => Err(Error::new(
            object.at(),
            ErrorKind::Reference { key, text, source },
        )),
    }
}

/// A path; an empty one counts as none.
fn path(object: &mut Object<'_>, key: &str) -> Result<Option<Keys>, Error> {
    let path: Option<String> = object.value(key)?;
    Ok(path.filter(|path| !path.is_empty()).map(Keys::Path))
}

/// A text that is there and not empty.
fn filled(object: &mut Object<'_>, key: &'static str) -> Result<String, Error> {
    let text: Option<String> = object.value(key)?;
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| Error::new(object.at(), ErrorKind::NotSpecified(key)))
}

/// A list that is not empty, if it is there.
fn entries<T>(
    list: Option<Vec<T>>,
    object: &Object<'_>,
    key: &'static str,
) -> Result<Option<Vec<T>>, Error> {
    match list {
        Some(list) if list.is_empty() => Err(Error::new(object.at(), ErrorKind::NoEntries(key))),
        list => Ok(list),
    }
}

fn exactly_one<T>(
    all: impl IntoIterator<Item = Option<T>>,
    object: &Object<'_>,
    keys: &'static str,
) -> Result<T, Error> {
    let mut all = all.into_iter().flatten();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) | (Some(_), Some(_)) => Err(Error::new(object.at(), ErrorKind::NotOne(keys))),
    }
}

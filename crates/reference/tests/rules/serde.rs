//! The `serde` feature: the text, nothing else.

use std::fmt::{Debug, Display};

use longshore_reference::{
    Algorithm, AnyReference, Canonical, Digest, Named, Parsed, Raw, Reference, ShortName, Tag,
    Tagged,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::SHA256;

fn is_its_text<T>(text: &str) -> serde_json::Result<()>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Display,
{
    let json = format!("{text:?}");
    let value: T = serde_json::from_str(&json)?;
    assert_eq!(value.to_string(), text);
    assert_eq!(serde_json::to_string(&value)?, json);
    assert_eq!(serde_json::from_reader::<_, T>(json.as_bytes())?, value);
    Ok(())
}

#[test]
fn every_type_is_its_text() -> serde_json::Result<()> {
    is_its_text::<Algorithm>("sha512")?;
    is_its_text::<AnyReference>(SHA256)?;
    is_its_text::<Canonical>(&format!("quay.io/a@{SHA256}"))?;
    is_its_text::<Digest>(SHA256)?;
    is_its_text::<Named>("quay.io/a")?;
    is_its_text::<Parsed>(&format!("quay.io/a:1@{SHA256}"))?;
    is_its_text::<Raw>("a/b:1")?;
    is_its_text::<Reference>("quay.io/a:1")?;
    is_its_text::<ShortName>("a/b")?;
    is_its_text::<Tag>("1")?;
    is_its_text::<Tagged>("quay.io/a:1")
}

#[test]
fn what_is_invalid_is_refused() {
    let error = serde_json::from_str::<Digest>("\"sha256:1\"").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("invalid checksum digest length"),
        "{error}"
    );
    let error = serde_json::from_str::<Digest>("1").unwrap_err();
    assert!(error.to_string().contains("expected a digest"), "{error}");
}

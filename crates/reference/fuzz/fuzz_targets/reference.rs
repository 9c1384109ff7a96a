//! Holds every parser of references against the published grammar, written as regular expressions.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use longshore_reference::{
    AnyReference, Canonical, Digest, ErrorKind, Named, Parsed, Raw, Reference, ShortName, NameInput,
    Tag, Tagged, ecs, sort,
};
use regex::Regex;

static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    anchored(&format!(
        "((?:(?:{DOMAIN})/)?{PATH})(?::({tag}))?(?:@({digest}))?"
    ))
});
static SPLIT_NAME: LazyLock<Regex> =
    LazyLock::new(|| anchored(&format!("(?:({DOMAIN})/)?({PATH})")));
static IDENTIFIER: LazyLock<Regex> = LazyLock::new(|| anchored("[a-f0-9]{64}"));

const DOMAIN: &str = r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?";
const PATH: &str =
    "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*";

type Parts = (String, String, Option<String>, Option<Digest>);

fuzz_target!(|text: &str| {
    let expected = plain(text);
    let raw = Raw::parse(text);
    assert_eq!(
        raw.as_ref().map(raw_parts).map_err(|error| error.kind()),
        expected,
        "{text:?}"
    );
    if let Ok(raw) = &raw {
        assert_eq!(raw.to_string(), text);
        assert_eq!(ecs::digest_in(text), raw.digest());
        assert_eq!(raw.clone().trim().to_string(), raw.name());
    }

    let parsed = Parsed::parse(text);
    assert_eq!(
        parsed
            .as_ref()
            .map(parsed_parts)
            .map_err(|error| error.kind()),
        normalised(text),
        "{text:?}"
    );
    match &parsed {
        Ok(parsed) => round_trips(text, parsed),
        Err(error) => assert!(!error.to_string().is_empty() && error.input().len() <= 1024),
    }
    match NameInput::parse(text) {
        Ok(NameInput::Short { name, .. }) => {
            assert_eq!(ShortName::parse(name.as_str()).unwrap(), name);
            if let Ok(named) = name.under("quay.io") {
                assert_eq!(named.path(), name.as_str());
            }
        }
        Ok(NameInput::Full(full)) => assert_eq!(Some(&full), parsed.as_ref().ok()),
        Err(_) => {}
    }
    let sorted = sort(text.split(' '));
    assert_eq!(sort(&sorted), sorted, "{text:?}");
});

fn round_trips(text: &str, parsed: &Parsed) {
    let printed = parsed.to_string();
    assert_eq!(Parsed::parse_canonical(&printed).as_ref(), Ok(parsed));
    assert_eq!(Parsed::parse_canonical(text).is_ok(), printed == text);
    let named = parsed.named();
    assert_eq!(named.to_string().parse::<Named>().as_ref(), Ok(named));
    assert_eq!(Named::new(named.domain(), named.path()).as_ref(), Ok(named));
    assert_eq!(
        Named::parse_qualified(named.as_str()).is_ok(),
        named.domain().contains(['.', ':']) || named.domain() == "localhost"
    );
    if let Some(tag) = parsed.tag() {
        assert_eq!(Tag::parse(tag.as_str()).as_ref(), Ok(tag));
    }
    let reference = Reference::from(parsed.clone());
    assert_eq!(
        reference.to_string().parse::<Reference>().as_ref(),
        Ok(&reference)
    );
    assert_eq!(text.parse::<Reference>().as_ref(), Ok(&reference));
    assert_eq!(text.parse::<Tagged>().is_ok(), parsed.digest().is_none());
    assert_eq!(text.parse::<Canonical>().is_ok(), parsed.digest().is_some());
    let any = AnyReference::parse(text).unwrap();
    assert_eq!(any.to_string().parse::<AnyReference>().as_ref(), Ok(&any));
    let familiar = parsed.familiar();
    assert!(printed.ends_with(&familiar.to_string()));
    let escaped: String = familiar
        .to_string()
        .chars()
        .flat_map(|char| ['\\', char])
        .collect();
    assert!(familiar.matches(&escaped).unwrap());
}

/// `Parse`, from the regular expressions.
fn plain(text: &str) -> Result<Parts, ErrorKind> {
    let Some(groups) = REFERENCE.captures(text) else {
        if text.is_empty() {
            return Err(ErrorKind::NameEmpty);
        }
        let lower = text.replace('\u{130}', "i").to_lowercase();
        return Err(if REFERENCE.is_match(&lower) {
            ErrorKind::Uppercase
        } else {
            ErrorKind::InvalidFormat
        });
    };
    let name = SPLIT_NAME.captures(&groups[1]).unwrap();
    let domain = name
        .get(1)
        .map_or(String::new(), |domain| domain.as_str().to_owned());
    let path = name[2].to_owned();
    if path.len() > 255 {
        return Err(ErrorKind::NameTooLong);
    }
    let digest = groups
        .get(3)
        .map(|digest| Digest::parse(digest.as_str()).map_err(|error| error.kind()))
        .transpose()?;
    Ok((
        domain,
        path,
        groups.get(2).map(|tag| tag.as_str().to_owned()),
        digest,
    ))
}

/// `ParseNormalizedNamed`, step by step; a name that ends up without a domain is refused.
fn normalised(text: &str) -> Result<Parts, ErrorKind> {
    if IDENTIFIER.is_match(text) {
        return Err(ErrorKind::Identifier);
    }
    let (mut domain, mut rest) = ("docker.io".to_owned(), text.to_owned());
    if let Some((first, after)) = text.split_once('/') {
        if first == "index.docker.io" {
            rest = after.to_owned();
        } else if first == "localhost"
            || first.contains('.')
            || first.contains(':')
            || first.to_lowercase() != first
        {
            (domain, rest) = (first.to_owned(), after.to_owned());
        }
    }
    if domain == "docker.io" && !rest.contains('/') {
        rest = format!("library/{rest}");
    }
    let remote = rest.split(':').next().unwrap();
    if remote.to_lowercase() != remote {
        return Err(ErrorKind::PathUppercase);
    }
    let parts = plain(&format!("{domain}/{rest}"))?;
    if parts.0.is_empty() {
        Err(ErrorKind::InvalidFormat)
    } else {
        Ok(parts)
    }
}

fn raw_parts(raw: &Raw) -> Parts {
    let domain = raw.domain().unwrap_or_default().to_owned();
    (
        domain,
        raw.path().to_owned(),
        raw.tag().map(Tag::to_string),
        raw.digest(),
    )
}

fn parsed_parts(parsed: &Parsed) -> Parts {
    let named = parsed.named();
    (
        named.domain().to_owned(),
        named.path().to_owned(),
        parsed.tag().map(Tag::to_string),
        parsed.digest(),
    )
}

fn anchored(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).unwrap()
}

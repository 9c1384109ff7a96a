//! What is printed is read back as the same, and nothing that is read panics.

use longshore_reference::{
    Algorithm, AnyReference, Canonical, Digest, NameInput, Named, Parsed, Raw, Reference,
    ShortName, Tag, Tagged, Verifier, sort,
};
use proptest::prelude::*;

const PATH: &str = "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}){0,3}";
const DOMAIN: &str = "([a-zA-Z0-9]{1,5}(-{1,2}[a-zA-Z0-9]{1,4})?(\\.[a-zA-Z0-9]{1,5}){0,3}|\\[[0-9a-fA-F:]{1,20}\\]|localhost|docker\\.io|index\\.docker\\.io)(:[0-9]{1,5})?";
const TAG: &str = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";

fn digest() -> impl Strategy<Value = Digest> {
    (0..3_usize, any::<[u8; 8]>()).prop_map(|(n, content)| Digest::of(Algorithm::ALL[n], &content))
}

fn tail() -> impl Strategy<Value = String> {
    (prop::option::of(TAG), prop::option::of(digest())).prop_map(|(tag, digest)| {
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = digest
            .map(|digest| format!("@{digest}"))
            .unwrap_or_default();
        tag + &digest
    })
}

fn text() -> impl Strategy<Value = String> {
    (prop::option::of(DOMAIN), PATH, tail()).prop_map(|(domain, path, tail)| {
        let domain = domain.map(|domain| domain + "/").unwrap_or_default();
        domain + &path + &tail
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn digest_texts(digest in digest()) {
        prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        prop_assert_eq!(Digest::from_hex(digest.algorithm(), &digest.hex()), Ok(digest));
    }

    #[test]
    fn one_wrong_byte_is_noticed(mut content in prop::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), n in 0..3_usize) {
        let mut verifier = Verifier::new(Digest::of(Algorithm::ALL[n], &content));
        let at = at.index(content.len());
        content[at] ^= 1;
        verifier.update(&content);
        prop_assert!(!verifier.verify());
    }

    #[test]
    fn tag_texts(text in TAG) {
        let tag = Tag::parse(&text).unwrap();
        prop_assert_eq!(tag.as_str(), &text);
        prop_assert_eq!(tag.to_string().parse(), Ok(tag));
    }

    #[test]
    fn raw_texts(text in text()) {
        let raw = Raw::parse(&text).unwrap();
        prop_assert_eq!(raw.to_string(), &*text);
        let domain = raw.domain().map(|domain| format!("{domain}/")).unwrap_or_default();
        prop_assert_eq!(raw.name(), domain + raw.path());
    }

    #[test]
    fn normalising_twice_is_normalising_once(text in text()) {
        let Ok(parsed) = Parsed::parse(&text) else { return Ok(()) };
        prop_assert_eq!(Parsed::parse_canonical(&parsed.to_string()), Ok(parsed.clone()));
        let named = parsed.named();
        prop_assert_eq!(&named.to_string().parse::<Named>().unwrap(), named);
        prop_assert_eq!(&Named::new(named.domain(), named.path()).unwrap(), named);
        let any = AnyReference::from(parsed.clone());
        prop_assert_eq!(any.to_string().parse(), Ok(any));
        let reference = Reference::from(parsed);
        prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
        match &reference {
            Reference::Tagged(tagged) => prop_assert_eq!(&tagged.to_string().parse::<Tagged>().unwrap(), tagged),
            Reference::Canonical(canonical) => {
                prop_assert_eq!(&canonical.to_string().parse::<Canonical>().unwrap(), canonical);
            }
        }
    }

    #[test]
    fn a_checked_name_reads_back(domain in DOMAIN, path in PATH) {
        let Ok(named) = Named::new(&domain, &path) else { return Ok(()) };
        prop_assert_eq!(named.to_string().parse(), Ok(named.clone()));
        prop_assert_eq!(Parsed::parse(&format!("{domain}/{path}")).unwrap().into_named(), named);
    }

    #[test]
    fn a_familiar_form_reads_back(path in PATH, tail in tail()) {
        // Save where Docker's own short form is ambiguous: a first component that looks like a domain, or an image id.
        let parsed = Parsed::parse(&format!("docker.io/{path}{tail}")).unwrap();
        let first = path.split_once('/').map_or("", |(first, _)| first);
        prop_assume!(!first.contains('.') && first != "localhost");
        prop_assert_eq!(Parsed::parse(&parsed.familiar().to_string()), Ok(parsed));
    }

    #[test]
    fn a_short_name_is_found_again(text in text()) {
        if let NameInput::Short { name, .. } = NameInput::parse(&text).unwrap_or_else(|_| NameInput::Full(Parsed::parse("a").unwrap())) {
            prop_assert_eq!(&name.to_string().parse::<ShortName>().unwrap(), &name);
            if let Ok(named) = name.under("quay.io/x") {
                prop_assert_eq!(named.path(), format!("x/{name}"));
            }
        }
    }

    #[test]
    fn a_literal_matches_itself(text in text()) {
        let Ok(parsed) = Parsed::parse(&text) else { return Ok(()) };
        let literal = parsed.familiar().to_string().replace('[', "\\[");
        prop_assert_eq!(parsed.familiar().matches(&literal), Ok(true));
        prop_assert_eq!(parsed.familiar().matches(&format!("{literal}?")), Ok(false));
    }

    #[test]
    fn sorting_keeps_all_and_is_stable(texts in prop::collection::vec(text(), 0..20)) {
        let sorted = sort(&texts);
        prop_assert_eq!(sorted.len(), texts.len());
        prop_assert_eq!(sort(sorted.iter().rev()), sorted);
    }

    #[test]
    fn anything_is_answered(text in "\\PC*|[a-zA-Z0-9:/@._\\[\\]-]{0,80}") {
        let _ = (Raw::parse(&text), Digest::parse(&text), Tag::parse(&text), NameInput::parse(&text));
        if let Err(error) = AnyReference::parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
        let _ = Reference::parse("a").unwrap().familiar().matches(&text);
    }
}

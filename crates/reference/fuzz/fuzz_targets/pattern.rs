//! Matches patterns against references: the first line is the reference, the rest the pattern.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_reference::{ErrorKind, Parsed};

fuzz_target!(|text: &str| {
    let (reference, pattern) = text.split_once('\n').unwrap_or(("alpine", text));
    let Ok(parsed) = Parsed::parse(reference) else {
        return;
    };
    let other = Parsed::parse("quay.io/other/name:tag").unwrap();
    let familiar = parsed.familiar();
    match familiar.matches(pattern) {
        Ok(matched) => {
            assert!(other.familiar().matches(pattern).is_ok(), "{pattern:?}");
            if !pattern.contains(['*', '?', '[', '\\']) {
                assert_eq!(
                    matched,
                    familiar.to_string() == pattern || familiar.name() == pattern
                );
            }
            if matched && !pattern.contains(['[', '\\']) {
                assert!(slashes_agree(pattern, &familiar.to_string()), "{pattern:?}");
            }
            if matched && familiar.to_string() == familiar.name() {
                assert!(
                    familiar.matches(&format!("{pattern}*")).unwrap(),
                    "{pattern:?}"
                );
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Pattern);
            assert!(other.familiar().matches(pattern).is_err(), "{pattern:?}");
            assert!(pattern.contains(['[', '\\']), "{pattern:?}");
        }
    }
});

/// Neither star nor question mark matches a slash, so without classes and escapes both sides have as many.
fn slashes_agree(pattern: &str, text: &str) -> bool {
    pattern.matches('/').count() == text.matches('/').count()
}

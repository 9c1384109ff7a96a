//! Parses, formats and compares platforms made of any text: one specifier per line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_manifest::{Platform, Preference};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let parsed: Vec<Platform> = text
        .lines()
        .take(3)
        .filter_map(|line| line.parse().ok())
        .collect();
    for platform in &parsed {
        let read: Platform = platform.full().parse().unwrap();
        assert_eq!(read.normalised(), platform.normalised());
        let normalised = platform.normalised();
        assert_eq!(normalised.normalised(), normalised);
    }
    let [wanted, a, b] = parsed.as_slice() else {
        return;
    };
    let preferences = [
        Preference::only(wanted),
        Preference::strict(wanted),
        Preference::containers(wanted),
    ];
    for preference in preferences {
        let order = preference.compare(a, b);
        assert_eq!(preference.compare(b, a), order.reverse());
        if preference.matches(a) && !preference.matches(b) {
            assert!(order.is_lt());
        }
    }
});

//! Decodes any bytes as every type of manifest, and holds what comes out against the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_manifest::{Choice, Kind, Manifest, MediaType, Platform, Preference, guess, verify};

fuzz_target!(|bytes: &[u8]| {
    let guessed = guess(bytes);
    let types = [
        MediaType::Schema1,
        MediaType::Schema1Signed,
        MediaType::Schema2,
        MediaType::List,
        MediaType::OciManifest,
        MediaType::OciIndex,
        MediaType::OciArtifact,
    ];
    for media_type in types {
        let decoded = Manifest::decode(Some(media_type.as_str()), bytes.to_vec().into());
        let Ok(manifest) = decoded else { continue };
        assert_eq!(manifest.bytes(), bytes);
        assert_eq!(manifest.media_type(), &media_type);
        check(&manifest);
        if media_type.is_index() {
            choose(&manifest);
        }
    }
    if let Ok(manifest) = Manifest::decode(None, bytes.to_vec().into()) {
        assert_eq!(Some(manifest.media_type()), guessed.as_ref());
    }
});

fn check(manifest: &Manifest) {
    assert!(verify(manifest.bytes(), &manifest.digest()) || manifest.schema1().is_some());
    let roles = manifest.children().iter().map(|child| child.role);
    let blobs = roles.clone().filter(|role| role.is_blob()).count();
    match manifest.kind() {
        Kind::Index => assert_eq!(blobs, 0),
        Kind::Image | Kind::Artifact | Kind::Schema1 => assert_eq!(manifest.manifests().count(), 0),
        _ => unreachable!("a new kind"),
    }
    let last = roles.count().checked_sub(1);
    if let Some(subject) = manifest.subject() {
        assert_eq!(
            manifest.children().last().map(|child| &child.descriptor),
            Some(subject)
        );
        assert!(last.is_some());
    }
}

fn choose(index: &Manifest) {
    let preference = Preference::only(&Platform::new("linux", "arm64", "v9.1"));
    let mut choice = Choice::new(preference.clone(), index).unwrap();
    let mut last: Option<Platform> = None;
    for entry in &mut choice {
        let Some(platform) = entry.platform.filter(|platform| !platform.is_empty()) else {
            continue;
        };
        assert!(preference.matches(&platform));
        if let Some(last) = last {
            assert!(preference.compare(&last, &platform).is_le());
        }
        last = Some(*platform);
    }
    let _ = choice.no_match().to_string();
}

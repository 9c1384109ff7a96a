use super::*;
use crate::MediaType;

fn index(entries: &[(char, &str, &str)]) -> Manifest {
    let entry = |(digit, media_type, platform): &(char, &str, &str)| {
        let digest = digit.to_string().repeat(64);
        let platform: Vec<_> = platform.split('/').collect();
        let platform = match platform.as_slice() {
            [os, architecture] => {
                format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
            }
            _ => String::new(),
        };
        format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{digest}"{platform}}}"#)
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    let document = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
    Manifest::decode(None, document.into_bytes().into()).unwrap()
}

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn digits(choice: &mut Choice) -> String {
    choice
        .map(|entry| entry.digest.to_string().chars().nth(7).unwrap())
        .collect()
}

#[test]
fn best_first_and_without_platform_last() {
    let index = index(&[
        ('1', IMAGE, "linux/386"),
        ('2', IMAGE, ""),
        ('3', IMAGE, "linux/amd64"),
        ('4', IMAGE, "linux/arm64"),
        ('5', "text/plain", "linux/amd64"),
        ('6', IMAGE, "unknown/unknown"),
        ('7', IMAGE, "linux/x86_64"),
    ]);
    let preference = Preference::only(&Platform::new("linux", "amd64", ""));
    let mut choice = Choice::new(preference, &index).unwrap();
    assert_eq!(digits(&mut choice), "3712");
    assert_eq!(
        choice.no_match().to_string(),
        "no matching manifest for linux/amd64 in the manifest list entries \
         (there are: linux/386, linux/amd64, linux/arm64, linux/x86_64)"
    );
}

#[test]
fn a_nested_index_without_a_match_is_left_for_the_next_entry() {
    let outer = index(&[
        ('1', INDEX, ""),
        ('2', INDEX, "linux/arm64"),
        ('3', INDEX, ""),
    ]);
    let other = index(&[('4', IMAGE, "linux/s390x")]);
    let same = index(&[('5', IMAGE, "linux/s390x"), ('6', IMAGE, "linux/arm64")]);
    let preference = Preference::only(&Platform::new("linux", "arm64", ""));
    let mut choice = Choice::new(preference, &outer).unwrap();
    let mut next = || {
        choice
            .next()
            .map(|entry| (entry.media_type, entry.digest.to_string()))
    };
    assert_eq!(next().unwrap().1.as_bytes()[7], b'2');
    choice.descend(&other).unwrap();
    assert_eq!(
        choice.next().unwrap().digest.to_string().as_bytes()[7],
        b'1'
    );
    choice.descend(&same).unwrap();
    let found = choice.next().unwrap();
    assert_eq!(
        (found.media_type, found.digest.to_string().as_bytes()[7]),
        (MediaType::OciManifest, b'6')
    );
    assert_eq!(digits(&mut choice), "3");
    assert!(choice.next().is_none());
}

/// The source's text is moby's, which its users know.
#[test]
fn windows_of_another_version() {
    let windows = |architecture: &str, version: &str| {
        format!(
            r#"{{"mediaType":"{IMAGE}","digest":"sha256:{}","platform":{{"os":"windows","architecture":"{architecture}","os.version":"{version}"}}}}"#,
            "1".repeat(64)
        )
    };
    let incompatible = |image: &str| {
        format!("a Windows version {image}-based image is incompatible with a 10.0.17763 host")
    };
    let table = [
        (&[("amd64", "10.0.20348.2")][..], Some("10.0.20348")),
        (&[("amd64", "10.0.14393")], Some("10.0.14393")),
        (
            &[
                ("arm64", "10.0.1.1"),
                ("amd64", "10.0.26100.1"),
                ("amd64", "10.0.20348.2"),
            ],
            Some("10.0.26100"),
        ),
        (&[("arm64", "10.0.20348.2")], None),
        (&[("amd64", "10.0")], None),
        (
            &[("amd64", "10.0.20348.2"), ("amd64", "10.0.17763.9")],
            None,
        ),
        (&[], None),
    ];
    let mut host = Platform::new("windows", "amd64", "");
    host.os_version = "10.0.17763.5".to_owned();
    for (entries, expected) in table {
        let list: Vec<_> = entries.iter().map(|(a, v)| windows(a, v)).collect();
        let document = format!(r#"{{"manifests":[{}]}}"#, list.join(","));
        let index = Manifest::decode(None, document.into_bytes().into()).unwrap();
        let choice = Choice::new(Preference::only(&host), &index).unwrap();
        let error = choice.no_match();
        let start = "no matching manifest for windows(10.0.17763.5)/amd64 in the manifest list";
        assert!(error.to_string().starts_with(start), "{error}");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source, expected.map(incompatible), "{entries:?}");
        let choice = Choice::new(Preference::containers(&host), &index).unwrap();
        assert!(std::error::Error::source(&choice.no_match()).is_none());
    }
}

#[test]
fn limits() {
    let nested = index(&[('1', INDEX, "")]);
    let preference = Preference::only(&Platform::host());
    let mut choice = Choice::new(preference.clone(), &nested).unwrap();
    for _ in 1..INDEX_DEPTH_MAX {
        assert!(choice.next().is_some());
        choice.descend(&nested).unwrap();
    }
    assert!(matches!(
        choice.descend(&nested),
        Err(Error::TooDeep { .. })
    ));

    let empty = index(&[]);
    let mut choice = Choice::new(preference, &empty).unwrap();
    let mut descend = || {
        assert!(choice.next().is_none());
        choice.descend(&empty)
    };
    for _ in 1..INDEXES_MAX {
        descend().unwrap();
    }
    assert!(matches!(descend(), Err(Error::TooManyIndexes { .. })));
    assert!(choice.no_match().to_string().ends_with("(there are: none)"));
}

#[test]
fn the_error_names_the_platform_asked_for() {
    let index = index(&[('1', IMAGE, "linux/s390x")]);
    for (asked, named) in [
        (Platform::new("linux", "aarch64", "v8"), "linux/aarch64/v8"),
        (Platform::new("linux", "arm", ""), "linux/arm"),
        (Platform::new("linux", "amd64", "v1"), "linux/amd64/v1"),
    ] {
        for preference in [
            Preference::only(&asked),
            Preference::strict(&asked),
            Preference::containers(&asked),
            Preference::ordered(std::slice::from_ref(&asked)),
        ] {
            let choice = Choice::new(preference, &index).unwrap();
            let error = choice.no_match().to_string();
            let expected = format!("no matching manifest for {named} in the manifest list");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

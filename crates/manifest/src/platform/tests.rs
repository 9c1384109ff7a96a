use proptest::prelude::*;

use super::*;
use crate::Error;

#[test]
fn normalised() {
    let table = [
        ("linux", "amd64", "", "linux/amd64"),
        ("Linux", "AMD64", "V1", "linux/amd64"),
        ("macOS", "x86_64", "v3", "darwin/amd64/v3"),
        ("linux", "x86-64", "", "linux/amd64"),
        ("linux", "i386", "v1", "linux/386"),
        ("linux", "aarch64", "8", "linux/arm64"),
        ("linux", "arm64", "v8", "linux/arm64"),
        ("linux", "arm64", "v8.0", "linux/arm64"),
        ("linux", "arm64", "9", "linux/arm64/v9"),
        ("linux", "arm64", "9.0", "linux/arm64/v9"),
        ("linux", "arm64", "v9.0", "linux/arm64/v9"),
        ("linux", "arm64", "v8.4", "linux/arm64/v8.4"),
        ("linux", "armhf", "", "linux/arm/v7"),
        ("linux", "armel", "", "linux/arm/v6"),
        ("linux", "arm", "", "linux/arm/v7"),
        ("linux", "arm", "7", "linux/arm/v7"),
        ("linux", "arm", "5", "linux/arm/v5"),
        ("linux", "arm", "6", "linux/arm/v6"),
        ("linux", "arm", "8", "linux/arm/v8"),
        ("linux", "arm", "v5", "linux/arm/v5"),
        ("linux", "s390x", "z", "linux/s390x/z"),
    ];
    for (os, architecture, variant, expected) in table {
        let platform = Platform::new(os, architecture, variant).normalised();
        assert_eq!(
            platform.to_string(),
            expected,
            "{os}/{architecture}/{variant}"
        );
    }
    assert_eq!(Platform::default().normalised().os, Platform::host().os);
    let mut platform = Platform::new("windows", "amd64", "");
    platform.os_features = vec!["b".into(), "a".into(), "b".into()];
    assert_eq!(platform.normalised().os_features, ["a", "b"]);
}

#[test]
fn specifiers() {
    let host = Platform::host();
    let (os, architecture) = (&host.os, &host.architecture);
    let table = [
        ("linux", format!("linux/{architecture}")),
        ("macos", format!("darwin/{architecture}")),
        (
            "Windows(10.0.17763)",
            format!("windows(10.0.17763)/{architecture}"),
        ),
        ("arm64", format!("{os}/arm64")),
        ("armhf", format!("{os}/arm")),
        ("armel", format!("{os}/arm/v6")),
        ("x86_64", format!("{os}/amd64")),
        ("linux/arm", "linux/arm".into()),
        ("linux/arm/v7", "linux/arm/v7".into()),
        ("linux/arm/7", "linux/arm/v7".into()),
        ("linux/arm64", "linux/arm64".into()),
        ("linux/arm64/v8", "linux/arm64/v8".into()),
        ("linux/arm64/v9", "linux/arm64/v9".into()),
        ("linux/amd64/v1", "linux/amd64".into()),
        ("foo/bar", "foo/bar".into()),
        ("foo/bar/baz", "foo/bar/baz".into()),
        ("windows(+win32k)/amd64", "windows(+win32k)/amd64".into()),
        ("windows(10.0+b+a)/amd64", "windows(10.0+a+b)/amd64".into()),
        ("windows(a%2fb%25)/amd64", "windows(a%2Fb%25)/amd64".into()),
    ];
    for (specifier, expected) in table {
        let platform: Platform = specifier.parse().unwrap();
        assert_eq!(platform.full(), expected, "{specifier}");
    }
}

#[test]
fn refused_specifiers() {
    let table = [
        "",
        "*",
        "linux/*",
        "linux/",
        "/amd64",
        "nonsense",
        "linux/a/b/c",
        "linux/a/b/c/d",
        "linux//v1",
        "li nux/amd64",
        "linux/am(d)64",
        "windows(1/amd64",
        "windows(1)x/amd64",
        "windows(%zz)/amd64",
        "windows(%2)/amd64",
        "windows(%ff)/amd64",
        "windows(1+)/amd64",
        "linux.x/amd64",
        "windows((1))/amd64",
    ];
    for specifier in table {
        assert!(specifier.parse::<Platform>().is_err(), "{specifier}");
    }
    let error = "nonsense".parse::<Platform>().unwrap_err().to_string();
    assert_eq!(
        error,
        "\"nonsense\": unknown operating system or architecture"
    );
}

#[test]
fn without_an_operating_system_nothing_is_known() {
    let platform = Platform::new("", "amd64", "v2");
    assert_eq!(
        (platform.to_string(), platform.full()),
        ("unknown".into(), "unknown".into())
    );
}

proptest! {
    #[test]
    fn full_parses_back(
        os in "[a-z0-9_-]{1,8}", architecture in "[a-z0-9_.-]{1,8}", variant in "[a-z0-9_.-]{1,4}",
        version in any::<String>(), features in prop::collection::vec("[a-z%+()/\\n]{1,4}", 0..3),
    ) {
        let mut platform = Platform::new(&os, &architecture, &variant).normalised();
        platform.os_version = version;
        platform.os_features = features;
        platform.os_features.sort();
        let parsed: Platform = platform.full().parse().unwrap();
        prop_assert_eq!(parsed.normalised().full(), platform.normalised().full());
    }

    #[test]
    fn normalising_again_changes_nothing(
        os in "[A-Za-z]{0,6}", architecture in "arm|arm64|amd64|x86_64|[a-z0-9]{1,5}",
        variant in "v?[0-9](\\.[0-9])?|[a-zA-Z0-9]{0,3}",
    ) {
        let once = Platform::new(&os, &architecture, &variant).normalised();
        prop_assert_eq!(once.normalised(), once);
    }

    #[test]
    fn any_text_is_parsed_or_refused(specifier in "\\PC{0,40}") {
        let _: Result<Platform, Error> = specifier.parse();
    }
}

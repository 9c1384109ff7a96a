use proptest::prelude::*;

use super::*;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn texts(vector: &[Platform]) -> String {
    let short = |p: &Platform| p.to_string().trim_start_matches("linux/").to_owned();
    vector.iter().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn vectors() {
    let v8 = "arm/v8 arm/v7 arm/v6 arm/v5";
    let table = [
        ("linux/amd64", "amd64 386".to_owned()),
        ("linux/amd64/v3", "amd64/v3 amd64/v2 amd64 386".to_owned()),
        ("linux/386", "386".to_owned()),
        ("linux/s390x", "s390x".to_owned()),
        ("linux/arm", "arm/v7 arm/v6 arm/v5".to_owned()),
        ("linux/arm/v8", v8.to_owned()),
        ("linux/arm/v5", "arm/v5".to_owned()),
        ("linux/arm64", format!("arm64 {v8}")),
        (
            "linux/arm64/v8.2",
            format!("arm64/v8.2 arm64/v8.1 arm64 {v8}"),
        ),
        (
            "linux/arm64/v9",
            format!("arm64/v9 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 arm64/v8.1 arm64 {v8}"),
        ),
        ("linux/arm64/v10", String::new()),
        ("linux/arm64/foo", String::new()),
    ];
    for (wanted, expected) in table {
        assert_eq!(
            texts(Preference::only(&platform(wanted)).vector()),
            expected,
            "{wanted}"
        );
    }
    let capped = Preference::only(&platform("linux/arm64/v9.6"));
    assert_eq!(capped.vector()[7].to_string(), "linux/arm64/v8.9");
    assert_eq!(
        texts(Preference::strict(&platform("linux/amd64/v3")).vector()),
        "amd64/v3"
    );
}

#[test]
fn orders_of_containers_image() {
    let table = [
        ("linux/amd64", "amd64"),
        ("linux/amd64/v2", "amd64/v2 amd64"),
        ("linux/arm64", "arm64 arm64/v8"),
        ("linux/arm64/v8", "arm64/v8 arm64"),
        ("linux/arm", "arm arm/v8 arm/v7 arm/v6 arm/v5"),
        ("linux/arm/v7", "arm/v7 arm/v6 arm/v5 arm"),
        ("linux/arm/v9", "arm/v9 arm"),
    ];
    for (wanted, expected) in table {
        assert_eq!(
            texts(Preference::containers(&platform(wanted)).vector()),
            expected,
            "{wanted}"
        );
    }
    let preference = Preference::containers(&platform("linux/amd64"));
    assert!(
        !preference.matches(&Platform::new("Linux", "amd64", "")),
        "as written"
    );
    assert!(
        preference.matches(&platform("linux(1+feature)/amd64")),
        "features do not count"
    );
}

#[test]
fn arm_without_a_variant_finds_entries_that_name_one() {
    let entry = |variant: &str, digit: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}",
            "platform":{{"os":"linux","architecture":"arm","variant":"{variant}"}}}}"#,
            digit.repeat(64)
        )
    };
    let entries = [entry("v5", "5"), entry("v7", "7"), entry("v6", "6")].join(",");
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
    let index = Manifest::decode(None, index.into()).unwrap();
    for preference in [Preference::containers, Preference::only] {
        let candidates = preference(&platform("linux/arm")).candidates(&index).len();
        assert_eq!(candidates, 3);
        let best = preference(&platform("linux/arm"));
        let best = best.candidates(&index)[0].platform.clone().unwrap();
        assert_eq!(best.variant, "v7");
    }
}

#[test]
fn features_of_the_host_decide() {
    let preference = Preference::only(&platform("linux(+a+b)/amd64"));
    let [none, a, ab, c] = [
        "linux/amd64",
        "linux(+a)/amd64",
        "linux(+b+a)/amd64",
        "linux(+c)/amd64",
    ]
    .map(platform);
    assert!(preference.matches(&none) && preference.matches(&a) && preference.matches(&ab));
    assert!(!preference.matches(&c));
    assert!(preference.compare(&ab, &a).is_lt() && preference.compare(&a, &none).is_lt());
    assert!(preference.compare(&none, &c).is_lt());
    let i386 = platform("linux(+c)/386");
    assert!(
        preference.compare(&c, &i386).is_lt(),
        "neither matches: features are ignored"
    );
    assert!(preference.compare(&i386, &platform("plan9/mips")).is_lt());
}

#[test]
fn windows() {
    let preference = Preference::only(&platform("windows(10.0.26100.1)/amd64"));
    let [old, new, same] = [
        "windows(10.0.17763)/amd64",
        "windows(10.0.20348+win32k)/amd64",
        "windows(10.0.26100)/amd64",
    ]
    .map(platform);
    assert!(!preference.matches(&old));
    assert!(preference.matches(&new) && preference.matches(&same));
    assert!(preference.compare(&same, &new).is_lt());
    assert!(preference.compare(&new, &old).is_lt());
}

fn any_platform() -> impl Strategy<Value = Platform> {
    let os = prop::sample::select(vec!["linux", "windows", "", "darwin"]);
    let architecture = prop::sample::select(vec!["amd64", "arm", "arm64", "386", "s390x"]);
    let variant = prop::sample::select(vec![
        "", "v1", "v2", "v5", "v7", "v8", "v8.3", "v9", "v9.2", "x",
    ]);
    let version = prop::sample::select(vec!["", "10.0.17763", "10.0.20348", "10.0.26100"]);
    let features = prop::collection::vec(prop::sample::select(vec!["a", "b", "win32k"]), 0..3);
    (os, architecture, variant, version, features).prop_map(
        |(os, architecture, variant, version, f)| {
            let mut platform = Platform::new(os, architecture, variant);
            platform.os_version = version.to_owned();
            platform.os_features = f.into_iter().map(str::to_owned).collect();
            platform
        },
    )
}

proptest! {
    #[test]
    fn a_platform_matches_itself(platform in any_platform()) {
        prop_assert!(Preference::strict(&platform).matches(&platform));
    }

    #[test]
    fn the_order_is_an_order(
        wanted in any_platform(), a in any_platform(), b in any_platform(), c in any_platform(),
    ) {
        let preference = Preference::only(&wanted);
        prop_assert_eq!(preference.compare(&a, &b), preference.compare(&b, &a).reverse());
        if preference.compare(&a, &b).is_le() && preference.compare(&b, &c).is_le() {
            prop_assert!(preference.compare(&a, &c).is_le());
        }
        if preference.matches(&a) && !preference.matches(&b) {
            prop_assert!(preference.compare(&a, &b).is_lt());
        }
    }
}

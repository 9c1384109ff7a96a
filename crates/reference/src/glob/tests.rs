use super::{Malformed, matches};

#[test]
fn matches_as_go_does() {
    let table = [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^b-d]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("a[^a]b", "a/b", true),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "-", true),
        ("[z-a]", "b", false),
        ("*x", "xxx", true),
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("**", "ab", true),
        ("?", "", false),
        ("[*]", "*", true),
        ("a]", "a]", true),
    ];
    for (pattern, name, expected) in table {
        assert_eq!(matches(pattern, name), Ok(expected), "{pattern:?} {name:?}");
    }
}

#[test]
fn malformed_whatever_the_name() {
    let patterns = [
        "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "a\\", "[a",
        "[a-", "[\\",
    ];
    for pattern in patterns {
        for name in ["", "a", "-", "x", "zzz/zzz"] {
            assert_eq!(
                matches(pattern, name),
                Err(Malformed),
                "{pattern:?} {name:?}"
            );
            assert_eq!(
                matches(&format!("a*b{pattern}"), name),
                Err(Malformed),
                "{pattern:?} {name:?}"
            );
        }
    }
}

#[test]
fn a_long_pattern_of_stars_ends() {
    assert_eq!(matches(&"a*".repeat(500), &"a".repeat(500)), Ok(true));
    assert_eq!(
        matches(&format!("{}b", "*a".repeat(200)), &"a".repeat(500)),
        Ok(false)
    );
}

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn objects_are_sorted_compacted_and_escaped() {
    let written = "{ \"b\" : [ 1 , {\"z\": \"< & >\" , \"a\" : 1.50 } ],\n\t\"a\":\"x \\\" \\\\\", \"<\": \"\u{2028}\" }";
    let object = Object::parse("test", written.as_bytes()).unwrap();
    let expected =
        r#"{"\u003c":"\u2028","a":"x \" \\","b":[1,{"z":"\u003c \u0026 \u003e","a":1.50}]}"#;
    assert_eq!(object.to_json(), expected);
    assert_eq!(
        Object::parse("test", expected.as_bytes())
            .unwrap()
            .to_json(),
        expected
    );
}

#[test]
fn strings() {
    assert_eq!(
        string("a\"\\\n\t\r\u{8}\u{c}\u{1}<>&é\u{7f}"),
        "\"a\\\"\\\\\\n\\t\\r\\b\\f\\u0001\\u003c\\u003e\\u0026é\u{7f}\""
    );
}

#[test]
fn indented() {
    let json = r#"{"a":[],"b":{},"c":[1,{"d":"x:,{}"}]}"#;
    let expected = "{\n-  \"a\": [],\n-  \"b\": {},\n-  \"c\": [\n-    1,\n-    {\n-      \"d\": \"x:,{}\"\n-    }\n-  ]\n-}";
    assert_eq!(indent(json, "-", "  "), expected);
}

#[test]
fn times() {
    let table = [
        ("", None),
        ("2016-01-02T03:04:05Z", Some("2016-01-02T03:04:05Z")),
        ("2016-01-02T03:04:05.120Z", Some("2016-01-02T03:04:05.12Z")),
        ("2016-01-02T03:04:05.000Z", Some("2016-01-02T03:04:05Z")),
        (
            "2016-01-02T03:04:05.1234567899Z",
            Some("2016-01-02T03:04:05.123456789Z"),
        ),
        ("2016-01-02T03:04:05+00:00", Some("2016-01-02T03:04:05Z")),
        (
            "2016-01-02T03:04:05-07:30",
            Some("2016-01-02T03:04:05-07:30"),
        ),
        ("2016-01-02T03:04:05", None),
        ("2016-01-02T03:04:05.Z", None),
        ("2016-01-02T03:04:05xZ", None),
        ("2016-01-02T03:04:05+0730", None),
        ("2016-01-02 03:04:05Z", None),
        ("2016-01-02T03:04:0éZ", None),
        ("yesterday", None),
        ("2015-02-29T00:00:00Z", None),
        ("2016-04-31T00:00:00Z", None),
        ("2016-01-02T03:04:05,5Z", Some("2016-01-02T03:04:05.5Z")),
        ("2016-01-02T03:04:05-23:60", None),
        (
            "2016-01-02T03:04:05+01:60",
            Some("2016-01-02T03:04:05+02:00"),
        ),
        ("2016-01-02T03:04:05+01:61", None),
    ];
    for (text, expected) in table {
        assert_eq!(parse_time(text).as_deref(), expected, "{text}");
    }
    assert_eq!(time(None).unwrap(), "0001-01-01T00:00:00Z");
    let error = time(Some("")).unwrap_err().to_string();
    assert_eq!(error, "\"\" is not a time");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\"\\\\<>&\u{2028}\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z<\"]{0,3}", inner, 0..5)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn forms_keep_the_value(value in any_json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let compacted = compact(&text);
        prop_assert_eq!(&serde_json::from_str::<Value>(&compacted).unwrap(), &value);
        prop_assert_eq!(&compact(&compacted), &compacted);
        let indented = indent(&compacted, "", "   ");
        prop_assert_eq!(compact(&indented), compacted);
    }

    #[test]
    fn strings_read_back(text in any::<String>()) {
        prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
    }

    #[test]
    fn a_time_is_written_once(text in "[0-9]{4}-(0[1-9]|1[0-2])-([01][1-9]|2[0-8])T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,11})?(Z|[+-][01][0-9]:[0-5][0-9])") {
        let once = time(Some(&text)).unwrap();
        prop_assert_eq!(time(Some(&once)).unwrap(), once);
    }

    #[test]
    fn any_text_is_a_time_or_not(text in "\\PC{0,40}") {
        let _ = parse_time(&text);
    }
}

use proptest::prelude::*;
use serde_json::Value;

use super::*;

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
}

//! Lists of tags as v2 gives them, of registries that know no pages.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use serde::Deserialize;
use url::form_urlencoded;

use crate::ListPage;

/// What a v1 registry answers: a map from tags to ids, or what Docker Hub made of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Tags {
    Map(BTreeMap<String, serde::de::IgnoredAny>),
    List(Vec<Item>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Item {
    name: String,
}

impl Tags {
    /// The page that a query of v2 asks for: at most `n` tags after `last`. A number that is none is left out of account.
    pub(super) fn page(self, repository: &str, query: Option<&str>) -> ListPage {
        let mut tags: BTreeSet<String> = match self {
            Self::Map(map) => map.into_keys().collect(),
            Self::List(list) => list.into_iter().map(|item| item.name).collect(),
        };
        let asked = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let (mut n, mut last) = (None, None);
        for (key, value) in asked {
            match &*key {
                "n" => n = value.parse::<usize>().ok(),
                "last" => last = Some(value.into_owned()),
                _ => {}
            }
        }
        if let Some(last) = last {
            tags.retain(|tag| *tag > last);
        }
        let left = tags.len();
        let page: Vec<_> = tags.into_iter().take(n.unwrap_or(left)).collect();
        let next = page.last().filter(|_| page.len() < left);
        let link = next.map(|last| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("last", last);
            query.append_pair("n", &page.len().to_string());
            format!("/v2/{repository}/tags/list?{}", query.finish())
        });
        let list = serde_json::json!({ "name": repository, "tags": page });
        ListPage {
            bytes: list.to_string().into(),
            content_type: Some("application/json".to_owned()),
            next: link,
            headers: HeaderMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: Option<&str>) -> (serde_json::Value, Option<String>) {
        let tags: Tags =
            serde_json::from_str(r#"{"2":"x","1":"x","a+b":"x","1.0":"x"}"#).expect("tags");
        let passed = tags.page("library/app", query);
        let list: serde_json::Value = serde_json::from_slice(&passed.bytes).expect("a list");
        assert_eq!(list["name"], "library/app");
        (list["tags"].clone(), passed.next)
    }

    #[test]
    fn pages_follow_each_other() {
        let next = |query: &str| {
            let link = format!("/v2/library/app/tags/list?{query}");
            Some(link)
        };
        for (query, tags, link) in [
            (None, &["1", "1.0", "2", "a+b"][..], None),
            (Some(""), &["1", "1.0", "2", "a+b"], None),
            (Some("n=x"), &["1", "1.0", "2", "a+b"], None),
            (Some("n=2"), &["1", "1.0"], next("last=1.0&n=2")),
            (Some("n=2&last=1.0"), &["2", "a+b"], None),
            (Some("last=1&n=2"), &["1.0", "2"], next("last=2&n=2")),
            (Some("n=1&last=%32"), &["a+b"], None),
            (Some("n=5"), &["1", "1.0", "2", "a+b"], None),
            // Not a tag that is there.
            (Some("last=1.5"), &["2", "a+b"], None),
            (Some("last=a%2Bb"), &[], None),
            (Some("n=0"), &[], None),
        ] {
            assert_eq!(page(query), (serde_json::json!(tags), link), "{query:?}");
        }
        let tags: Tags = serde_json::from_str(r#"{"a+b":"x","b":"x"}"#).expect("tags");
        assert_eq!(
            tags.page("x", Some("n=1")).next.as_deref(),
            Some("/v2/x/tags/list?last=a%2Bb&n=1")
        );
    }
}

//! Lists of tags and of referrers, kept for the time when upstream is gone.

use std::sync::Arc;

use longshore_reference::{Digest, Named};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Refusal};
use crate::freshness::{Policy, Verdict, after_refusal};
use crate::options::Clock;
use crate::records::{Records, age, seconds};
use crate::tier::layout;

/// A page larger than this is not kept: 4 MiB.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Pages of one repository that are kept; further ones replace others.
const PAGES_MAX: u64 = 64;
/// A page that did not change is written again only after this many seconds.
const REWRITTEN_AFTER_SECS: u64 = 3600;

/// Which list of a repository, and which page of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListName {
    /// The repository.
    pub named: Named,
    /// The manifest whose referrers are listed; `None` for the tags.
    pub subject: Option<Digest>,
    /// The query of the request, such as `n=100&last=x`.
    pub query: String,
}

/// A page of a list, as upstream sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The document.
    pub text: String,
    /// `Link` to the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Headers that belong to it, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// A page as it is recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ListRecord {
    /// The query of the page: pages may share a place.
    query: String,
    /// Seconds since 1970 when upstream sent it.
    checked: u64,
    list: Arc<List>,
}

impl ListName {
    fn key(&self) -> String {
        let digest = Digest::sha256(self.query.as_bytes());
        let place = digest
            .hex()
            .get(..8)
            .map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap_or(0));
        layout::list(&self.named, self.subject.as_ref(), place % PAGES_MAX)
    }
}

/// The kept lists.
pub(crate) struct Lists {
    pub(crate) records: Arc<Records>,
    pub(crate) clock: Clock,
}

impl Lists {
    /// Keeps a page; see [`Store::keep_list`](crate::Store::keep_list).
    pub(crate) async fn keep(&self, name: &ListName, list: List) {
        if list.text.len() > LIST_BYTES_MAX {
            return;
        }
        let key = name.key();
        let checked = seconds((self.clock)());
        if let Some(before) = self.records.list::<ListRecord>(&key).await
            && (before.query == name.query && *before.list == list)
            && checked.abs_diff(before.checked) < REWRITTEN_AFTER_SECS
        {
            return;
        }
        let record = ListRecord {
            query: name.query.clone(),
            checked,
            list: Arc::new(list),
        };
        self.records.put_other(key, &record).await;
    }

    /// What a client gets when upstream refuses a list; see [`Store::list_after`](crate::Store::list_after).
    pub(crate) async fn after(
        &self,
        name: &ListName,
        policy: &Policy,
        refusal: Refusal,
    ) -> Result<Arc<List>, Error> {
        let kept = self.records.list::<ListRecord>(&name.key()).await;
        let kept = kept.filter(|kept| kept.query == name.query);
        let age = kept.as_ref().map(|kept| age(kept.checked, (self.clock)()));
        match (after_refusal(&refusal, age, policy), kept) {
            (Verdict::Stale, Some(kept)) => {
                tracing::warn!(repository = %name.named, refusal = &refusal as &dyn std::error::Error, "serving a stale list");
                Ok(kept.list)
            }
            (Verdict::Forget, Some(_)) => {
                self.records.forget(name.key()).await;
                Err(refusal.into())
            }
            (Verdict::Forget | Verdict::Refuse | Verdict::Stale, _) => Err(refusal.into()),
        }
    }
}

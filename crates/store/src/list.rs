//! Lists of tags and of referrers, kept for the time when upstream is gone.

use std::sync::Arc;
use std::time::Duration;

use longshore_reference::{Digest, Named};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::error::{Error, Refusal};
use crate::flights::Flights;
use crate::freshness::{Policy, Verdict, after_refusal};
use crate::options::Clock;
use crate::outcome::Outcome;
use crate::records::{Records, age, seconds};
use crate::tier::layout;

/// A page larger than this is not kept: 4 MiB.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Pages of one repository that are kept; further ones replace others.
const PAGES_MAX: u64 = 64;
/// A list goes out after this time, kept or not.
const KEPT_WITHIN: Duration = Duration::from_secs(1);
/// A page that did not change is written again only after this many seconds.
const REWRITTEN_AFTER_SECS: u64 = 3600;

/// Which list of a repository, and which page of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
pub(crate) struct ListRecord {
    /// The query of the page: pages may share a place.
    pub(crate) query: String,
    /// Seconds since 1970 when upstream sent it.
    pub(crate) checked: u64,
    pub(crate) list: Arc<List>,
}

impl ListName {
    /// The list of all referrers, which stands for one that is filtered by type: a registry need not filter, and clients
    /// look for its `OCI-Filters-Applied` (distribution-spec, "Listing Referrers").
    fn unfiltered(&self) -> Option<Self> {
        let is_filter = |part: &str| part.starts_with("artifactType=");
        let filters = self.subject.is_some() && !self.query.is_empty();
        (filters && self.query.split('&').all(is_filter)).then(|| Self {
            query: String::new(),
            ..self.clone()
        })
    }

    /// Where the page is kept.
    pub(crate) fn key(&self) -> String {
        let digest = Digest::sha256(self.query.as_bytes());
        let place = digest
            .hex()
            .get(..8)
            .map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap_or(0));
        layout::list(&self.named, self.subject.as_ref(), place % PAGES_MAX)
    }
}

/// What a flight for a page brought; `None` where upstream has no list of that kind.
type Page = Option<Arc<List>>;

/// The lists of tags and of referrers.
#[derive(Clone)]
pub(crate) struct Lists {
    records: Arc<Records>,
    clock: Clock,
    asked: Arc<Flights<ListName, Result<Page, Refusal>>>,
}

impl Lists {
    pub(crate) fn new(records: Arc<Records>, clock: Clock, tracker: TaskTracker) -> Self {
        Self {
            records,
            clock,
            asked: Arc::new(Flights::new(tracker)),
        }
    }

    /// A page of a list; see [`Store::list`](crate::Store::list).
    pub(crate) async fn page<W>(
        &self,
        name: &ListName,
        policy: &Policy,
        fetch: impl FnOnce() -> W,
    ) -> Result<Option<(Arc<List>, Outcome)>, Error>
    where
        W: Future<Output = Result<Option<List>, Refusal>> + Send + 'static,
    {
        let (flight, leads) = self.asked.join(name, || {
            let (lists, name, fetch) = (self.clone(), name.clone(), fetch());
            async move {
                let page = fetch.await?.map(Arc::new);
                if let Some(list) = &page {
                    // A disk that hangs must not keep clients waiting.
                    drop(timeout(KEPT_WITHIN, lists.keep(&name, list)).await);
                }
                Ok(page)
            }
        });
        let outcome = match leads {
            true => Outcome::Bypass,
            false => Outcome::Joined,
        };
        match flight.answer().await.ok_or(Error::GivenUp)? {
            Ok(page) => Ok(page.map(|list| (list, outcome))),
            Err(refusal) => {
                let kept = self.after(name, policy, refusal).await?;
                Ok(Some((kept, Outcome::Stale)))
            }
        }
    }

    /// Keeps a page for the time when upstream is gone.
    async fn keep(&self, name: &ListName, list: &Arc<List>) {
        if list.text.len() > LIST_BYTES_MAX {
            return;
        }
        let key = name.key();
        let checked = seconds((self.clock)());
        if let Some(before) = self.records.list::<ListRecord>(&key).await
            && (before.query == name.query && before.list == *list)
            && checked.abs_diff(before.checked) < REWRITTEN_AFTER_SECS
        {
            return;
        }
        let record = ListRecord {
            query: name.query.clone(),
            checked,
            list: Arc::clone(list),
        };
        self.records.put_other(key, &record).await;
    }

    async fn kept(&self, name: &ListName) -> Option<ListRecord> {
        let kept = self.records.list::<ListRecord>(&name.key()).await;
        kept.filter(|kept| kept.query == name.query)
    }

    /// What a client gets when upstream refuses a list: the page that is kept, by the rules for tags.
    async fn after(
        &self,
        name: &ListName,
        policy: &Policy,
        refusal: Refusal,
    ) -> Result<Arc<List>, Error> {
        let mut kept = self.kept(name).await;
        if let (None, Some(all)) = (&kept, name.unfiltered()) {
            kept = self.kept(&all).await;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::Tier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;
    use tokio::sync::Notify;

    fn lists(root: &tempfile::TempDir) -> Lists {
        let records = Records::new(Tier::of(root.path(), None).unwrap(), None);
        Lists::new(
            Arc::new(records),
            Arc::new(SystemTime::now),
            TaskTracker::new(),
        )
    }

    fn name(query: &str) -> ListName {
        ListName {
            named: Named::new("registry.example", "app").unwrap(),
            subject: None,
            query: query.to_owned(),
        }
    }

    fn page(text: &str) -> List {
        List {
            text: text.to_owned(),
            link: None,
            headers: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_page_is_asked_for_once_however_many_want_it() {
        let root = tempfile::tempdir().unwrap();
        let (lists, policy) = (lists(&root), Policy::default());
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = |query: &str| {
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            let (lists, policy, name) = (lists.clone(), policy.clone(), name(query));
            async move {
                let fetch = || async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    Ok(Some(page("{}")))
                };
                lists.page(&name, &policy, fetch).await.unwrap().unwrap()
            }
        };
        let release = async {
            while asked.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
            gate.notify_waiters();
        };
        let (first, second, other, ()) = tokio::join!(ask(""), ask(""), ask("n=1"), release);
        assert_eq!((first.1, second.1), (Outcome::Bypass, Outcome::Joined));
        assert_eq!(other.1, Outcome::Bypass, "another page is another question");
        assert_eq!(first.0, second.0);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_kept_page_is_served_while_upstream_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let (lists, policy) = (lists(&root), Policy::default());
        let refuse = || async { Err(Refusal::misbehaved("on purpose")) };
        lists.page(&name(""), &policy, refuse).await.unwrap_err();
        let give = || async { Ok(Some(page("tags"))) };
        lists.page(&name(""), &policy, give).await.unwrap();
        let (list, outcome) = lists
            .page(&name(""), &policy, refuse)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((&*list.text, outcome), ("tags", Outcome::Stale));
        lists.page(&name("n=1"), &policy, refuse).await.unwrap_err();
        let none = || async { Ok(None) };
        let nothing = lists.page(&name("n=2"), &policy, none).await.unwrap();
        assert_eq!(nothing, None);
    }
}

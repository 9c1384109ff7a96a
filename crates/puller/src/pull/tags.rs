//! All tags of a repository, as the registry wrote them.

use longshore_reference::Named;
use serde::Deserialize;

use super::{Error, Puller};
use crate::{Error as Asked, error::Fault, registry::client::next_query};

/// The tags of all pages, those that are none too.
pub(super) async fn all(puller: &Puller, named: &Named) -> Result<Vec<String>, Error> {
    let failed = |error| Error::of_tags(named, error);
    let upstream = puller.registries.registry(named).map_err(failed)?;
    let mut tags = Vec::new();
    let mut query = String::new();
    for _ in 0..PAGES_MAX {
        let page = upstream.tags(named, Some(&query)).await.map_err(failed)?;
        let List { tags: found } = serde_json::from_slice(&page.bytes)
            .map_err(|_| failed(Asked::misbehaved(&upstream.name().into(), Fault::Json)))?;
        tags.extend(found.unwrap_or_default());
        match next_query(page.next.as_deref(), &query) {
            Some(next) => query = next,
            None => break,
        }
    }
    Ok(tags)
}

/// `null` where there are none.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// More pages than any list has.
const PAGES_MAX: usize = 10_000;

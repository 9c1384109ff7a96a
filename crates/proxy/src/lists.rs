//! Lists of tags and of referrers: as upstream sends them, and from the store while upstream is gone.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderName, HeaderValue, Response};
use longshore_puller::{Error as Pulled, ListPage, Upstream as Puller};
use longshore_reference::{Canonical, Digest, Named};
use longshore_store::{List, ListName, Outcome, Refusal};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::body::Body;
use crate::error::Error;
use crate::proxy::{Asked, Proxy, close_account, insert, sized};
use crate::upstreams::remote::{refusal, unusable};

impl Proxy {
    pub(crate) async fn tags(
        &self,
        asked: Asked<'_>,
        named: &Named,
        query: Option<&str>,
    ) -> Response<Body> {
        let name = name(named, None, query);
        let (named, query) = (named.clone(), query.map(str::to_owned));
        let listed = self
            .within(&asked, &name, |puller| async move {
                puller.tags(&named, query.as_deref()).await.map(Some)
            })
            .await;
        match listed {
            Ok(Some((list, outcome))) => respond(asked, &list, outcome, "application/json"),
            Ok(None) => self.fail(asked, &Error::NoReferrers),
            Err(error) => self.fail(asked, &error),
        }
    }

    pub(crate) async fn referrers(
        &self,
        asked: Asked<'_>,
        subject: &Canonical,
        query: Option<&str>,
    ) -> Response<Body> {
        let name = name(subject.named(), Some(subject.digest()), query);
        let (subject, query) = (subject.clone(), query.map(str::to_owned));
        let listed = self
            .within(&asked, &name, |puller| async move {
                puller.referrers(&subject, query.as_deref()).await
            })
            .await;
        match listed {
            // Some clients take the type with parameters for another one.
            Ok(Some((list, outcome))) => respond(
                asked,
                &list,
                outcome,
                "application/vnd.oci.image.index.v1+json",
            ),
            Ok(None) => self.fail(asked, &Error::NoReferrers),
            Err(error) => self.fail(asked, &error),
        }
    }

    /// What upstream lists, or if it refuses what it listed before. `None`: it lists nothing of the kind.
    async fn within<W>(
        &self,
        asked: &Asked<'_>,
        name: &ListName,
        call: impl FnOnce(Puller) -> W + Send + 'static,
    ) -> Result<Option<(Arc<List>, Outcome)>, Error>
    where
        W: Future<Output = Result<Option<ListPage>, Pulled>> + Send + 'static,
    {
        let upstream = self.0.upstreams.of(asked.at.upstream)?;
        let policy = upstream.policy();
        let fetch = || {
            let (upstream, named) = (upstream.clone(), name.named.clone());
            async move {
                let puller = upstream.puller(&named).await.map_err(unusable)?;
                let puller = puller.within(upstream.policy().answer_within);
                let page = call(puller).await.map_err(refusal)?;
                Ok::<_, Refusal>(page.map(list))
            }
        };
        Ok(self.0.store.list(name, policy, fetch).await?)
    }
}

fn name(named: &Named, subject: Option<Digest>, query: Option<&str>) -> ListName {
    ListName {
        named: named.clone(),
        subject,
        query: query.unwrap_or_default().to_owned(),
    }
}

/// A page as the store keeps it. JSON is UTF-8; what is not can only be shown as it is.
fn list(page: ListPage) -> List {
    let headers = page.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    List {
        text: String::from_utf8_lossy(&page.bytes).into_owned(),
        link: page.next.map(|target| format!("<{target}>; rel=\"next\"")),
        headers: headers.collect(),
    }
}

fn respond(
    asked: Asked<'_>,
    list: &List,
    outcome: Outcome,
    content_type: &'static str,
) -> Response<Body> {
    let len = list.text.len() as u64;
    let body = if asked.head {
        Body::empty()
    } else {
        Body::full(list.text.clone().into())
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in &list.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let link = list.link.as_deref();
    if let Some(link) = link.and_then(|link| next_page(link, asked.path, asked.at.ns.as_ref())) {
        insert(headers, LINK, link);
    }
    close_account(&mut response, asked.account, asked.at.ns, Some(outcome));
    sized(&mut response, len);
    response
}

/// The next page, below the URL that the client used: only upstream's query is taken over. A URL of upstream's would
/// lead clients past this mirror, and one with another host is refused by some.
fn next_page(link: &str, path: &str, ns: Option<&HeaderValue>) -> Option<String> {
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    let ns = ns.and_then(|ns| ns.to_str().ok());
    let ns = ns.map_or_else(String::new, |ns| {
        format!("&ns={}", utf8_percent_encode(ns, NON_ALPHANUMERIC))
    });
    Some(format!("<{path}?{query}{ns}>{parameters}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_on_this_mirror() {
        let path = "/v2/x/tags/list";
        for (link, ns, expected) in [
            (
                "</v2/library/x/tags/list?last=b&n=2>; rel=\"next\"",
                None,
                Some("</v2/x/tags/list?last=b&n=2>; rel=\"next\""),
            ),
            (
                "<https://up.example/v2/x/tags/list?n=1&last=%2F>;rel=next",
                None,
                Some("</v2/x/tags/list?n=1&last=%2F>;rel=next"),
            ),
            (
                "</v2/x/tags/list?n=1>",
                Some("up.example:5000"),
                Some("</v2/x/tags/list?n=1&ns=up%2Eexample%3A5000>"),
            ),
            ("</v2/x/tags/list>; rel=\"next\"", None, None),
            ("nonsense", None, None),
            ("<", None, None),
        ] {
            let ns = ns.map(HeaderValue::from_static);
            assert_eq!(
                next_page(link, path, ns.as_ref()).as_deref(),
                expected,
                "{link}"
            );
        }
    }
}

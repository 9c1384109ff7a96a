//! Lists of tags and of referrers: passed on from upstream, which alone knows them.

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderValue, Response};
use longshore_puller::{Error as Pulled, Passed, Upstream as Puller};
use longshore_reference::{Canonical, Named};
use longshore_store::{Outcome, Refusal};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use crate::body::Body;
use crate::error::Error;
use crate::proxy::{Asked, Proxy, close_account, insert, sized};
use crate::upstreams::remote::refusal;

impl Proxy {
    pub(crate) async fn tags(
        &self,
        asked: Asked<'_>,
        named: &Named,
        query: Option<&str>,
    ) -> Response<Body> {
        let passed = self
            .within(&asked, named, |puller| async move {
                puller.tags(named, query).await
            })
            .await;
        match passed {
            Ok(passed) => pass(asked, passed, "application/json"),
            Err(error) => self.fail(asked, &error),
        }
    }

    pub(crate) async fn referrers(
        &self,
        asked: Asked<'_>,
        subject: &Canonical,
        query: Option<&str>,
    ) -> Response<Body> {
        let passed = self
            .within(&asked, subject.named(), |puller| async move {
                puller.referrers(subject, query).await
            })
            .await;
        match passed {
            // Some clients take the type with parameters for another one.
            Ok(Some(passed)) => pass(asked, passed, "application/vnd.oci.image.index.v1+json"),
            Ok(None) => self.fail(asked, &Error::NoReferrers),
            Err(error) => self.fail(asked, &error),
        }
    }

    async fn within<T, W>(
        &self,
        asked: &Asked<'_>,
        named: &Named,
        call: impl FnOnce(Puller) -> W,
    ) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Pulled>>,
    {
        let upstream = self.0.upstreams.of(asked.at.upstream)?;
        let puller = upstream.puller(named).await?;
        let refused = match timeout(upstream.policy().answer_within, call(puller)).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => refusal(error),
            Err(late) => Refusal::TimedOut {
                cause: std::sync::Arc::new(late),
            },
        };
        Err(Error::Store(refused.into()))
    }
}

fn pass(asked: Asked<'_>, passed: Passed, content_type: &'static str) -> Response<Body> {
    let len = passed.bytes.len() as u64;
    let body = if asked.head {
        Body::empty()
    } else {
        Body::full(passed.bytes)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    copy(headers, &passed.headers);
    if let Some(link) = passed
        .link
        .as_deref()
        .and_then(|link| next_page(link, asked.path, asked.at.ns.as_ref()))
    {
        insert(headers, LINK, link);
    }
    close_account(
        &mut response,
        asked.account,
        asked.at.ns,
        Some(Outcome::Bypass),
    );
    sized(&mut response, len);
    response
}

fn copy(headers: &mut HeaderMap, passed: &HeaderMap) {
    for (name, value) in passed {
        headers.append(name, value.clone());
    }
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

//! Registry protocol v1: images are chains of ids, each with a JSON and a layer.
//!
//! An index knows where a repository is and gives a token for there ([`session`]); a standalone registry is its own
//! index. What follows Docker 1.10 is said where it is odd.

mod ask;
mod image;
pub(crate) mod layer;
mod ping;
mod session;
mod sessions;
mod tags;
mod visit;

use bytes::Bytes;
use longshore_manifest::{MediaType, v1::ImageId};
use longshore_reference::{Named, Tagged};

pub(crate) use self::sessions::Sessions;
use self::{
    ask::Get,
    image::{DOCUMENT_BYTES_MAX, not_json},
    tags::Tags,
    visit::{Visit, visit_each},
};
use crate::{
    Error, Fetched, Head, Kind, ListPage,
    answers::LIST_BYTES_MAX,
    calls::Calls,
    classify::{self, Next},
    http::Failure,
    limit::RateClass,
};

/// What a tag stands for.
pub(crate) async fn resolve(
    calls: &Calls,
    sessions: &Sessions,
    tagged: &Tagged,
) -> Result<Head, Error> {
    let find = |visit| async move { image_id(&visit, tagged).await };
    let (named, tag) = (tagged.named(), tagged.tag().as_str());
    let id = visit_each(calls, sessions, named, (RateClass::Check, tag), find).await?;
    Ok(Head {
        digest: None,
        media_type: Some(MediaType::V1Ancestry.as_str().to_owned()),
        size: None,
        v1: Some(id),
    })
}

/// The ancestry document of the image a tag stands for.
pub(crate) async fn fetch(
    calls: &Calls,
    sessions: &Sessions,
    tagged: &Tagged,
) -> Result<Fetched, Error> {
    let find = |visit| async move {
        let id = image_id(&visit, tagged).await?;
        image::ancestry(calls, &visit, &id).await
    };
    let (named, tag) = (tagged.named(), tagged.tag().as_str());
    let found = visit_each(calls, sessions, named, (RateClass::Manifest, tag), find);
    let ancestry = found.await?;
    Ok(Fetched {
        bytes: ancestry.encode(),
        media_type: Some(MediaType::V1Ancestry.as_str().to_owned()),
        digest: None,
        v1: Some(ancestry.id().clone()),
    })
}

/// The tags of a repository, one page of them.
pub(crate) async fn tags(
    calls: &Calls,
    sessions: &Sessions,
    named: &Named,
    query: Option<&str>,
) -> Result<ListPage, Error> {
    let path = format!("repositories/{}/tags", named.path());
    let path = path.as_str();
    let find = |visit| async move {
        let body = of_list(&visit, path, Kind::Tags, LIST_BYTES_MAX).await?;
        let tags = serde_json::from_slice::<Tags>(&body);
        tags.map_err(|_| not_json(visit.index.endpoint))
    };
    let tags = visit_each(calls, sessions, named, (RateClass::Tags, "tags"), find);
    Ok(tags.await?.page(named.path(), query))
}

async fn image_id(visit: &Visit<'_>, tagged: &Tagged) -> Result<ImageId, Failure> {
    let (repository, tag) = (tagged.named().path(), tagged.tag());
    let path = format!("repositories/{repository}/tags/{tag}");
    let body = of_list(visit, &path, Kind::Manifest, DOCUMENT_BYTES_MAX).await?;
    let id = serde_json::from_slice::<String>(&body).ok();
    id.and_then(|id| ImageId::parse(&id).ok())
        .ok_or_else(|| not_json(visit.index.endpoint))
}

/// Asks the endpoints the index named for something that is the repository's, one after the other.
async fn of_list(visit: &Visit<'_>, path: &str, kind: Kind, limit: u64) -> Result<Bytes, Failure> {
    let mut last = None;
    for endpoint in &visit.session.endpoints {
        let get = Get::new(endpoint, path, kind);
        match visit.index.document(&visit.session, &get, limit).await {
            Ok((_, body)) => return Ok(body),
            Err(failure) if classify::next_of_list(&failure.error) == Next::Stop => {
                return Err(failure);
            }
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| not_json(visit.index.endpoint)))
}

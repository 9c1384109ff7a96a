//! Registry protocol v1: images are chains of ids, each with a JSON and a layer.
//!
//! An index knows where a repository is and gives a token for there ([`session`]); a standalone registry is its own
//! index. What follows Docker 1.10 is said where it is odd.

mod ask;
pub(crate) mod layer;
pub(crate) mod ping;
pub(crate) mod session;
pub(crate) mod sessions;
mod tags;

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;
use longshore_manifest::{
    MediaType,
    v1::{Ancestry, IMAGES_MAX, ImageId},
};
use longshore_reference::{Algorithm, Digest, Named, Tagged};
use tokio::task::JoinSet;
use url::Url;

use self::{
    ask::Get,
    session::{Facts, Session},
    tags::Tags,
};
use crate::{
    Error, Fetched, Head, Kind, ListPage, Upstream,
    attempt::{Rules, retry, try_each},
    classify::{self, Next},
    endpoint::Contact,
    error::Fault,
    health::Subject,
    http::Failure,
    limit::RateClass,
    list::LIST_BYTES_MAX,
    lookup::Version,
    wire::fields,
};

/// A session in use.
pub(crate) struct Visit<'a> {
    index: usize,
    contact: &'a Contact,
    session: Arc<Session>,
}

impl Upstream {
    /// Works in a session with one endpoint after the other until that succeeds or the error is final. One that gives no
    /// session is retried and passed over as one that fails in v2.
    async fn visit_each<'a, T, F>(
        &'a self,
        named: &Named,
        class: RateClass,
        object: &str,
        work: impl Fn(Visit<'a>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let subject = Subject {
            class,
            repository: named.path().into(),
            object: object.into(),
        };
        let plan = self.plan_of(self.inner.endpoints(Version::V1), subject);
        let work = &work;
        let visit = |index, contact| self.visit(index, contact, named, work);
        try_each(plan, Rules::ONCE, visit).await
    }

    /// Works in a session with one endpoint; in a new one if the one that was held, or taken before, has ended.
    async fn visit<'a, T, F>(
        &'a self,
        index: usize,
        contact: &'a Contact,
        named: &Named,
        work: &impl Fn(Visit<'a>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let repository = named.path();
        let mut renewed = 0;
        loop {
            let open = || self.inner.session_v1(index, contact, repository);
            let opened = retry(Rules::DEFAULT, contact.role, open, || true).await;
            let (session, held) = opened.map_err(|(failure, _)| failure)?;
            let visit = Visit {
                index,
                contact,
                session: Arc::clone(&session),
            };
            let failure = match work(visit).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if matches!(failure.error, Error::Denied { .. } | Error::Rejected { .. }) {
                self.inner.sessions.forget(index, repository, &session);
                let may_have_ended = held || (session.was_taken() && renewed == 0);
                if may_have_ended && renewed < RENEWALS_MAX {
                    renewed += 1;
                    continue;
                }
            }
            return Err(session.blame(failure));
        }
    }

    pub(crate) async fn resolve_v1(&self, tagged: &Tagged) -> Result<Head, Error> {
        let find = |visit| async move { self.image_id(&visit, tagged).await };
        let (named, tag) = (tagged.named(), tagged.tag().as_str());
        let id = self.visit_each(named, RateClass::Check, tag, find).await?;
        Ok(Head {
            digest: None,
            media_type: Some(MediaType::V1Ancestry.as_str().to_owned()),
            size: None,
            v1: Some(id),
        })
    }

    pub(crate) async fn manifest_v1(&self, tagged: &Tagged) -> Result<Fetched, Error> {
        let find = |visit| async move { self.ancestry(&visit, tagged).await };
        let (named, tag) = (tagged.named(), tagged.tag().as_str());
        let found = self.visit_each(named, RateClass::Manifest, tag, find);
        let ancestry = found.await?;
        Ok(Fetched {
            bytes: ancestry.encode(),
            media_type: Some(MediaType::V1Ancestry.as_str().to_owned()),
            digest: None,
            v1: Some(ancestry.id().clone()),
        })
    }

    pub(crate) async fn tags_v1(
        &self,
        named: &Named,
        query: Option<&str>,
    ) -> Result<ListPage, Error> {
        let path = format!("repositories/{}/tags", named.path());
        let path = path.as_str();
        let tags = self.visit_each(named, RateClass::Tags, "tags", |visit| async move {
            let found = self.of_list(&visit, path, Kind::Tags, LIST_BYTES_MAX);
            let body = found.await?;
            serde_json::from_slice::<Tags>(&body).map_err(|_| not_json(visit.contact))
        });
        Ok(tags.await?.page(named.path(), query))
    }

    /// What a tag stands for.
    async fn image_id(&self, visit: &Visit<'_>, tagged: &Tagged) -> Result<ImageId, Failure> {
        let path = format!(
            "repositories/{}/tags/{}",
            tagged.named().path(),
            tagged.tag()
        );
        let body = self
            .of_list(visit, &path, Kind::Manifest, DOCUMENT_BYTES_MAX)
            .await?;
        let id = serde_json::from_slice::<String>(&body).ok();
        id.and_then(|id| ImageId::parse(&id).ok())
            .ok_or_else(|| not_json(visit.contact))
    }

    /// Asks the endpoints the index named for something that is the repository's, one after the other.
    async fn of_list(
        &self,
        visit: &Visit<'_>,
        path: &str,
        kind: Kind,
        limit: u64,
    ) -> Result<Bytes, Failure> {
        let mut last = None;
        for endpoint in &visit.session.endpoints {
            let get = Get::new(endpoint, path, kind);
            let inner = &self.inner;
            match inner
                .document_v1(visit.contact, &visit.session, &get, limit)
                .await
            {
                Ok((_, body)) => return Ok(body),
                Err(failure) if classify::next_of_list(&failure.error) == Next::Stop => {
                    return Err(failure);
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| not_json(visit.contact)))
    }

    /// The image a tag stands for, with all it stands on, from the first of the named endpoints that has it all.
    async fn ancestry(&self, visit: &Visit<'_>, tagged: &Tagged) -> Result<Ancestry, Failure> {
        let id = self.image_id(visit, tagged).await?;
        let mut last = None;
        for endpoint in &visit.session.endpoints {
            match self.ancestry_from(visit, endpoint, &id).await {
                Ok(ancestry) => return Ok(ancestry),
                Err(failure) => last = Some(incomplete(visit.contact, failure)),
            }
        }
        Err(last.unwrap_or_else(|| not_json(visit.contact)))
    }

    async fn ancestry_from(
        &self,
        visit: &Visit<'_>,
        endpoint: &Url,
        id: &ImageId,
    ) -> Result<Ancestry, Failure> {
        let (contact, session) = (visit.contact, &visit.session);
        let get = Get::new(endpoint, &format!("images/{id}/ancestry"), Kind::Manifest);
        let (_, body) = self
            .inner
            .document_v1(contact, session, &get, DOCUMENT_BYTES_MAX)
            .await?;
        let ids = chain(&body, id).ok_or_else(|| not_json(contact))?;
        let mut left = ids.iter().cloned().enumerate();
        let mut asking = JoinSet::new();
        let mut images: Vec<Option<Bytes>> = vec![None; ids.len()];
        let mut bytes_left = longshore_manifest::MANIFEST_BYTES_MAX;
        loop {
            while asking.len() < IMAGES_AT_ONCE
                && let Some((at, id)) = left.next()
            {
                let (upstream, session) = (self.clone(), Arc::clone(session));
                let (index, endpoint) = (visit.index, endpoint.clone());
                asking.spawn(async move {
                    let image = upstream.image(index, &session, &endpoint, &id).await;
                    image.map(|v1_json| (at, v1_json))
                });
            }
            let (at, v1_json) = match asking.join_next().await {
                None => break,
                Some(Ok(result)) => result?,
                // A task that panicked or was shut down with the runtime.
                Some(Err(_)) => return Err(not_json(contact)),
            };
            bytes_left = bytes_left.checked_sub(v1_json.len()).ok_or_else(|| {
                let limit = longshore_manifest::MANIFEST_BYTES_MAX as u64;
                own(Error::misbehaved(contact.host(), Fault::TooLarge { limit }))
            })?;
            if let Some(image) = images.get_mut(at) {
                *image = Some(v1_json);
            }
        }
        let images = ids.into_iter().zip(images.into_iter().flatten()).collect();
        Ancestry::new(images).map_err(|error| {
            tracing::debug!(upstream = %self.inner.name, endpoint = %contact.host(), %error, "not an ancestry");
            not_json(contact)
        })
    }

    /// The JSON of one image; what its headers say of the layer is kept.
    pub(crate) async fn image(
        &self,
        index: usize,
        session: &Session,
        endpoint: &Url,
        id: &ImageId,
    ) -> Result<Bytes, Failure> {
        let Some(contact) = self.inner.contacts.get(index) else {
            return Err(own(Error::NoEndpoints {
                reference: id.as_str().into(),
            }));
        };
        let get = Get::new(endpoint, &format!("images/{id}/json"), Kind::Manifest);
        let (headers, v1_json) = self.inner.image_v1(contact, session, &get).await?;
        let facts = facts(&headers, &v1_json)
            .map_err(|name| own(Error::misbehaved(contact.host(), Fault::Header(name))))?;
        session.keep_facts(id, facts);
        Ok(v1_json)
    }
}

/// A registry that has a tag but not all that the tag stands for contradicts itself: it is not the tag that is missing.
fn incomplete(contact: &Contact, failure: Failure) -> Failure {
    match failure.error {
        Error::NotFound { .. } => {
            let status = http::StatusCode::NOT_FOUND.as_u16();
            own(Error::misbehaved(contact.host(), Fault::Status(status)))
        }
        error => Failure { error, ..failure },
    }
}

/// The chain of ids with the image `id` at its end: the registry sends it top first.
fn chain(body: &[u8], id: &ImageId) -> Option<Vec<ImageId>> {
    let ids: Vec<String> = serde_json::from_slice(body).ok()?;
    if ids.len() > IMAGES_MAX || ids.first()? != id.as_str() {
        return None;
    }
    let ids: Option<Vec<_>> = ids.iter().map(|id| ImageId::parse(id).ok()).collect();
    let mut ids = ids?;
    ids.reverse();
    let distinct: BTreeSet<_> = ids.iter().collect();
    (distinct.len() == ids.len()).then_some(ids)
}

/// What the headers of an image's JSON say of its layer. The checksum is of the JSON, a line feed, and the layer; Docker
/// never compared it.
fn facts(headers: &HeaderMap, v1_json: &[u8]) -> Result<Facts, &'static str> {
    let size = match headers.get(SIZE) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| SIZE)?.trim();
            match text {
                "-1" => None,
                text => Some(text.parse().map_err(|_| SIZE)?),
            }
        }
    };
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(v1_json);
    hasher.update(b"\n");
    Ok(Facts {
        size,
        checksum: checksum(headers)?,
        hasher,
    })
}

/// A payload checksum that can be compared; there are others (`tarsum+…`).
fn checksum(headers: &HeaderMap) -> Result<Option<Digest>, &'static str> {
    let name = http::HeaderName::from_static(CHECKSUM);
    let Some(text) = fields::text(headers, &name) else {
        return Ok(None);
    };
    match text.trim() {
        text if text.starts_with("sha256:") => Digest::parse(text).map(Some).map_err(|_| CHECKSUM),
        _ => Ok(None),
    }
}

fn own(error: Error) -> Failure {
    Failure { error, own: true }
}

fn not_json(contact: &Contact) -> Failure {
    own(Error::misbehaved(contact.host(), Fault::Json))
}

const SIZE: &str = "x-docker-size";
const CHECKSUM: &str = "x-docker-checksum-payload";
/// New sessions for one piece of work.
const RENEWALS_MAX: u32 = 3;
/// JSON documents that are asked for at once.
const IMAGES_AT_ONCE: usize = 8;
/// The largest tag or ancestry that is taken; bytes. An ancestry of as many ids as are taken has less than 80 KiB.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;

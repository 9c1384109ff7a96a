//! Whether a repository has a blob that is held already: by what is known of it, else by a HEAD upstream.

use std::sync::Arc;

use longshore_reference::Canonical;

use crate::error::{Error, Refusal};
use crate::flights::Flights;
use crate::freshness::remembered_for;
use crate::negative::{NegativeCache, Question};
use crate::outcome::Outcome;
use crate::records::{ContentRecord, Records, can_be};
use crate::request::Request;

/// Confirms that blobs belong to repositories.
#[derive(Debug)]
pub(crate) struct Membership {
    records: Arc<Records>,
    negative: NegativeCache,
    asked: Flights<Canonical, Result<Option<u64>, Refusal>>,
}

impl Membership {
    pub(crate) fn new(
        records: Arc<Records>,
        negative: NegativeCache,
        asked: Flights<Canonical, Result<Option<u64>, Refusal>>,
    ) -> Self {
        Self {
            records,
            negative,
            asked,
        }
    }

    /// Makes sure that the repository has a blob that is held. That a manifest names it is enough where the same upstream
    /// sent it; where nothing is known, or another upstream sent it, upstream is asked.
    pub(crate) async fn confirm(
        &self,
        request: &Request<Canonical>,
        known: Option<&ContentRecord>,
    ) -> Result<Outcome, Error> {
        let Some(known) = known else {
            return self.confirm_upstream(request).await;
        };
        if known.belongs() || self.records.is_of_upstream(&request.target).await {
            return Ok(Outcome::Hit);
        }
        self.confirm_upstream(request).await
    }

    async fn confirm_upstream(&self, request: &Request<Canonical>) -> Result<Outcome, Error> {
        if let Some(error) = self.refused(&request.target) {
            return Err(error);
        }
        self.ask(request)
            .await
            .inspect_err(|error| self.remember_refusal(request, error))?;
        Ok(Outcome::Revalidated)
    }

    /// Asks upstream whether the repository has a blob; all who ask at once wait for one answer.
    pub(crate) async fn ask(&self, request: &Request<Canonical>) -> Result<Option<u64>, Error> {
        let (flight, _) = self.asked.join(&request.target, || {
            let (records, request) = (Arc::clone(&self.records), request.clone());
            async move { ask(&records, &request).await }
        });
        let answer = flight.answer().await.ok_or(Error::GivenUp)?;
        answer.map_err(Error::from)
    }

    /// The refusal of a blob that still stands.
    pub(crate) fn refused(&self, blob: &Canonical) -> Option<Error> {
        self.negative.error(&Question::Blob(blob.clone()))
    }

    /// Remembers that upstream refused a blob.
    pub(crate) fn remember_refusal(&self, request: &Request<Canonical>, error: &Error) {
        if let Error::Refused(refusal) = error {
            let ttl = remembered_for(refusal, false, &request.policy);
            let question = Question::Blob(request.target.clone());
            self.negative.put(question, Err(error.clone()), ttl);
        }
    }
}

async fn ask(records: &Records, request: &Request<Canonical>) -> Result<Option<u64>, Refusal> {
    let blob = &request.target;
    let known = records.content(blob).await;
    let origin = known.as_ref().and_then(|known| known.origin.as_ref());
    let refusal = match request.remote.has(blob, origin).await {
        // The size is a claim, and not recorded.
        Ok(size) if size.is_none_or(|size| can_be(size, &blob.digest())) => {
            records.put_content(blob, ContentRecord::confirmed()).await;
            return Ok(size);
        }
        // Such an answer says nothing of the blob.
        Ok(_) => Refusal::misbehaved("no bytes for a digest that has some"),
        Err(refusal) => refusal,
    };
    // Another process that shares the bucket may know more.
    let is_answer = matches!(refusal, Refusal::Gone { .. } | Refusal::Denied { .. });
    match records.in_bucket(blob).await {
        Some(record) if !is_answer || record.origin.is_some() => Ok(None),
        _ => Err(refusal),
    }
}

//! A manifest: believed while fresh, checked when not, served stale when upstream fails.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_reference::{Canonical, Digest, Reference, Tagged};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Error, Refusal};
use crate::freshness::{Policy, Verdict, after_refusal, is_fresh, remembered_for};
use crate::outcome::Outcome;
use crate::records::{TagRecord, seconds};
use crate::remote::Check;
use crate::request::Request;
use crate::store::{Inner, Question, Store};

mod accept;
mod needs;

pub(crate) use needs::Needs;

/// A question about a manifest ends after this time, whoever still waits: late answers are kept for the next request.
const ASKED_FOR_MAX: Duration = Duration::from_secs(30);

/// A manifest that can be served.
#[derive(Clone, Debug)]
pub struct Held {
    /// The exact bytes.
    pub bytes: Bytes,
    /// Without parameters.
    pub media_type: Arc<str>,
    /// In the algorithm of the request; sha256 for a tag.
    pub digest: Digest,
    /// How it was had.
    pub outcome: Outcome,
}

/// What is kept of a tag: one look-up in memory has all of a hit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) record: Arc<TagRecord>,
    bytes: Bytes,
    /// How many blobs were evicted before it was seen to be held.
    evictions: u64,
}

impl Kept {
    pub(crate) fn held(&self, outcome: Outcome) -> Held {
        Held {
            bytes: self.bytes.clone(),
            media_type: Arc::clone(&self.record.media_type),
            digest: self.record.digest,
            outcome,
        }
    }

    /// Bytes of memory.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + size_of::<TagRecord>() + self.record.media_type.len()
    }
}

impl Store {
    /// A manifest by tag or digest, from what is held or from the remote, which is asked only when it must be.
    /// Answers within the policy's limits.
    ///
    /// # Errors
    /// [`Error::Refused`] when upstream refuses and nothing kept may be served, [`Error::NotWhole`] when something is
    /// kept that could not be pulled to its end, [`Error::Mismatch`] when what came is not what was asked for.
    pub async fn manifest(&self, request: &Request<Reference>) -> Result<Held, Error> {
        let held = match &request.target {
            Reference::Tagged(tagged) => self.tagged(request, tagged).await,
            Reference::Canonical(canonical) => self.canonical(request, canonical).await,
        };
        held.inspect(|held| self.0.tier.served(&request.target, &held.digest))
    }

    async fn tagged(&self, request: &Request<Reference>, tagged: &Tagged) -> Result<Held, Error> {
        let (store, policy, reference) = (&self.0, &*request.policy, &request.target);
        let asked = Instant::now();
        let kept = store.kept(tagged).await;
        let now = (store.clock)();
        if let Some(kept) = kept
            .as_ref()
            .filter(|kept| is_fresh(kept.record.age(now), policy))
        {
            return Ok(kept.held(Outcome::Hit));
        }
        match (
            store.remembered(&Question::Manifest(reference.clone())),
            &kept,
        ) {
            (Some(Err(error)), _) => return Err(error),
            (Some(Ok(())), Some(kept)) => return Ok(kept.held(Outcome::Stale)),
            (Some(Ok(())), None) | (None, _) => {}
        }
        let within = if kept.is_some() {
            policy.stale_within.min(policy.answer_within)
        } else {
            policy.answer_within
        };
        let (flight, leads) = store.manifests_asked.join(reference, || {
            let (store, request, tagged, kept) = (
                Arc::clone(store),
                request.clone(),
                tagged.clone(),
                kept.clone(),
            );
            async move {
                let refreshed = timeout(
                    ASKED_FOR_MAX,
                    store.refresh(&request, &tagged, kept.as_ref()),
                );
                let refreshed = refreshed
                    .await
                    .unwrap_or_else(|late| Err(timed_out(late).into()));
                store
                    .settle(&tagged, kept.as_ref(), &request.policy, refreshed)
                    .await
            }
        });
        // The look-up counts too: a bucket that answers late must not make the client wait longer.
        let deadline = (flight.started + within).min(asked + policy.answer_within);
        match timeout_at(deadline, flight.answer()).await {
            Ok(Some(result)) => result.map(|held| joined(held, leads)),
            Ok(None) => Err(Error::GivenUp),
            // The flight goes on; what it finds is there for the next request.
            Err(late) => store.late(request, tagged, kept, timed_out(late)).await,
        }
    }

    async fn canonical(
        &self,
        request: &Request<Reference>,
        canonical: &Canonical,
    ) -> Result<Held, Error> {
        let (store, policy) = (&self.0, &*request.policy);
        let asked = Instant::now();
        if let Some((bytes, media_type)) = store.load_known(canonical).await {
            let (digest, outcome) = (canonical.digest(), Outcome::Hit);
            return Ok(Held {
                bytes,
                media_type,
                digest,
                outcome,
            });
        }
        let question = Question::Manifest(request.target.clone());
        if let Some(Err(error)) = store.remembered(&question) {
            return Err(error);
        }
        let (flight, leads) = store.manifests_asked.join(&request.target, || {
            let (store, request, canonical) =
                (Arc::clone(store), request.clone(), canonical.clone());
            async move {
                let fetched = timeout(ASKED_FOR_MAX, store.fetch(&request, &canonical)).await;
                let result = fetched.unwrap_or_else(|late| Err(timed_out(late).into()));
                if let Err(error @ Error::Refused(refusal)) = &result {
                    let time = remembered_for(refusal, false, &request.policy);
                    store.remember(question, Err(error.clone()), time);
                }
                result
            }
        });
        let deadline = flight.started.min(asked) + policy.answer_within;
        match timeout_at(deadline, flight.answer()).await {
            Ok(Some(result)) => result.map(|held| joined(held, leads)),
            Ok(None) => Err(Error::GivenUp),
            Err(late) => Err(timed_out(late).into()),
        }
    }
}

impl Inner {
    /// What is kept of a tag: its record and the manifest's bytes.
    async fn kept(&self, tagged: &Tagged) -> Option<Kept> {
        let evictions = self.tier.evictions();
        if let Some(mut kept) = self.tags.get(tagged) {
            if kept.evictions == evictions {
                return Some(kept);
            }
            // Memory must not keep a manifest whose image was evicted.
            let record = &kept.record;
            if self.bucket.is_some()
                || self
                    .tier
                    .is_recorded(&record.stored.unwrap_or(record.digest))
            {
                kept.evictions = evictions;
                self.tags.insert(tagged.clone(), kept.clone());
                return Some(kept);
            }
            self.tags.invalidate(tagged);
        }
        let record = self.records.tag(tagged).await?;
        let stored = record.stored.unwrap_or(record.digest);
        let bytes = self.load_manifest(&stored).await?;
        self.put_children(tagged.named(), stored, &record.media_type, &bytes);
        // What was put there meanwhile is newer than what was read.
        let kept = self.tags.entry_by_ref(tagged).or_insert(Kept {
            record,
            bytes,
            evictions,
        });
        Some(kept.into_value())
    }

    /// Keeps what upstream said of a tag.
    pub(crate) async fn put_tag(
        &self,
        tagged: &Tagged,
        record: TagRecord,
        before: Option<&TagRecord>,
        bytes: Bytes,
    ) -> Kept {
        let record = Arc::new(record);
        let kept = Kept {
            record: Arc::clone(&record),
            bytes,
            evictions: self.tier.evictions(),
        };
        self.tags.insert(tagged.clone(), kept.clone());
        self.records.put_tag(tagged, &record, before).await;
        kept
    }

    /// Asks upstream whether the tag still holds, and for the manifest where it does not.
    async fn refresh(
        self: &Arc<Self>,
        request: &Request<Reference>,
        tagged: &Tagged,
        kept: Option<&Kept>,
    ) -> Result<Held, Error> {
        let remote = &request.remote;
        if let Some(kept) = kept {
            let known = kept.record.upstream_digest.unwrap_or(kept.record.digest);
            match remote.check(&request.target, known).await? {
                Check::Same => {
                    let record = TagRecord {
                        checked: seconds((self.clock)()),
                        ..TagRecord::clone(&kept.record)
                    };
                    let bytes = kept.bytes.clone();
                    let kept = self.put_tag(tagged, record, Some(&kept.record), bytes);
                    return Ok(kept.await.held(Outcome::Revalidated));
                }
                Check::Changed(digest) => {
                    if let Some(held) = self.move_tag(tagged, kept, digest).await {
                        return Ok(held);
                    }
                }
            }
        }
        let fetched = remote.manifest(&request.target, None).await?;
        self.accept(tagged, kept, fetched).await
    }

    /// What a client gets that waited for upstream as long as it may. All who wait for one tag get one verdict.
    async fn late(
        self: &Arc<Self>,
        request: &Request<Reference>,
        tagged: &Tagged,
        kept: Option<Kept>,
        refusal: Refusal,
    ) -> Result<Held, Error> {
        let question = Question::Manifest(request.target.clone());
        match (self.remembered(&question), &kept) {
            (Some(Err(error)), _) => return Err(error),
            (Some(Ok(())), Some(kept)) => return Ok(kept.held(Outcome::Stale)),
            (Some(Ok(())), None) | (None, _) => {}
        }
        let (flight, _) = self.verdicts.join(tagged, || {
            let (store, policy, tagged) = (
                Arc::clone(self),
                Arc::clone(&request.policy),
                tagged.clone(),
            );
            async move {
                let refused = Err(refusal.into());
                store.settle(&tagged, kept.as_ref(), &policy, refused).await
            }
        });
        flight.answer().await.unwrap_or(Err(Error::GivenUp))
    }

    /// Decides what a client gets after upstream was asked, and for how long that stands.
    async fn settle(
        &self,
        tagged: &Tagged,
        kept: Option<&Kept>,
        policy: &Policy,
        refreshed: Result<Held, Error>,
    ) -> Result<Held, Error> {
        let question = Question::Manifest(Reference::Tagged(tagged.clone()));
        let refusal = match refreshed {
            Err(Error::Refused(refusal)) => refusal,
            Err(mismatch @ Error::Mismatch { .. }) => Refusal::Misbehaved {
                cause: Arc::new(mismatch),
            },
            done => {
                self.remembered.invalidate(&question);
                return done;
            }
        };
        let age = kept.map(|kept| kept.record.age((self.clock)()));
        let result = match (after_refusal(&refusal, age, policy), kept) {
            (Verdict::Stale, Some(kept))
                if !policy.stale_needs_whole
                    || self
                        .is_whole(tagged.named(), kept.held(Outcome::Stale))
                        .await =>
            {
                tracing::warn!(%tagged, refusal = &refusal as &dyn std::error::Error, "serving a stale tag");
                Ok(kept.held(Outcome::Stale))
            }
            (Verdict::Stale, Some(_)) => Err(Error::NotWhole {
                refusal: refusal.clone(),
            }),
            (Verdict::Forget, _) => {
                tracing::info!(%tagged, "upstream deleted the tag: forgotten");
                self.tags.invalidate(tagged);
                self.records.forget_tag(tagged).await;
                Err(refusal.clone().into())
            }
            (Verdict::Refuse | Verdict::Stale, _) => Err(refusal.clone().into()),
        };
        self.remember(
            question,
            result.as_ref().map(|_| ()).map_err(Error::clone),
            remembered_for(&refusal, kept.is_some(), policy),
        );
        result
    }
}

fn joined(held: Held, leads: bool) -> Held {
    match held.outcome {
        Outcome::Miss if !leads => Held {
            outcome: Outcome::Joined,
            ..held
        },
        _ => held,
    }
}

fn timed_out(late: tokio::time::error::Elapsed) -> Refusal {
    Refusal::TimedOut {
        cause: Arc::new(late),
    }
}

pub(crate) fn misbehaved(what: &'static str) -> Refusal {
    Refusal::Misbehaved {
        cause: Arc::new(std::io::Error::new(std::io::ErrorKind::InvalidData, what)),
    }
}

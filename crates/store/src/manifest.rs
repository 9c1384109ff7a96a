//! A manifest: believed while fresh, checked when not, served stale when upstream fails.

use std::sync::Arc;
use std::time::Duration;

use longshore_reference::{Canonical, Reference, Tagged};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Error, Refusal};
use crate::flights::Flights;
use crate::freshness::{Policy, Verdict, after_refusal, is_fresh, remembered_for};
use crate::manifest::accept::Acceptor;
use crate::manifest::cache::ManifestCache;
use crate::manifest::held::Held;
use crate::manifest::tags::{Kept, Tags};
use crate::manifest::whole::Whole;
use crate::negative::{NegativeCache, Question};
use crate::options::Clock;
use crate::outcome::Outcome;
use crate::request::Request;
use crate::tier::Tier;

pub(crate) mod accept;
pub(crate) mod cache;
pub(crate) mod document;
pub(crate) mod held;
pub(crate) mod needs;
pub(crate) mod tags;
pub(crate) mod whole;

/// A question about a manifest ends after this time, whoever still waits: late answers are kept for the next request.
const ASKED_FOR_MAX: Duration = Duration::from_secs(30);

/// Answers requests for manifests.
pub(crate) struct Manifests {
    pub(crate) tier: Tier,
    pub(crate) manifests: Arc<ManifestCache>,
    pub(crate) tags: Tags,
    pub(crate) acceptor: Acceptor,
    pub(crate) whole: Whole,
    pub(crate) negative: NegativeCache,
    pub(crate) asked: Flights<Reference, Result<Held, Error>>,
    /// Verdicts on tags whose upstream did not answer in time.
    pub(crate) late: Flights<Tagged, Result<Held, Error>>,
    pub(crate) clock: Clock,
}

impl Manifests {
    /// Forgets what is in memory of tags and refusals.
    pub(crate) fn forget_memory(&self) {
        self.tags.forget_memory();
        self.negative.forget_all();
    }

    /// A manifest by tag or digest; see [`Store::manifest`](crate::Store::manifest).
    pub(crate) async fn find(
        self: &Arc<Self>,
        request: &Request<Reference>,
    ) -> Result<Held, Error> {
        let held = match &request.target {
            Reference::Tagged(tagged) => self.tagged(request, tagged).await,
            Reference::Canonical(canonical) => self.canonical(request, canonical).await,
        };
        held.inspect(|held| self.tier.served(&request.target, &held.digest))
    }

    async fn tagged(
        self: &Arc<Self>,
        request: &Request<Reference>,
        tagged: &Tagged,
    ) -> Result<Held, Error> {
        let (policy, reference) = (&*request.policy, &request.target);
        let asked = Instant::now();
        let kept = self.tags.find(tagged).await;
        let now = (self.clock)();
        if let Some(kept) = kept
            .as_ref()
            .filter(|kept| !kept.record.unchecked && is_fresh(kept.record.age(now), policy))
        {
            return Ok(kept.held(Outcome::Hit));
        }
        match (
            self.negative.find(&Question::Manifest(reference.clone())),
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
        let (flight, leads) = self.asked.join(reference, || {
            let (this, request, tagged, kept) = (
                Arc::clone(self),
                request.clone(),
                tagged.clone(),
                kept.clone(),
            );
            async move {
                let refreshed = timeout(
                    ASKED_FOR_MAX,
                    this.acceptor.refresh(&request, &tagged, kept.as_ref()),
                );
                let refreshed = refreshed
                    .await
                    .unwrap_or_else(|late| Err(Refusal::timed_out(late).into()));
                this.settle(&tagged, kept.as_ref(), &request.policy, refreshed)
                    .await
            }
        });
        // The look-up counts too: a bucket that answers late must not make the client wait longer.
        let deadline = (flight.started + within).min(asked + policy.answer_within);
        match timeout_at(deadline, flight.answer()).await {
            Ok(Some(result)) => result.map(|held| joined(held, leads)),
            Ok(None) => Err(Error::GivenUp),
            // The flight goes on; what it finds is there for the next request.
            Err(late) => {
                self.late(request, tagged, kept, Refusal::timed_out(late))
                    .await
            }
        }
    }

    async fn canonical(
        self: &Arc<Self>,
        request: &Request<Reference>,
        canonical: &Canonical,
    ) -> Result<Held, Error> {
        let policy = &*request.policy;
        let asked = Instant::now();
        if let Some((bytes, media_type)) = self.manifests.load_known(canonical).await {
            let (digest, outcome) = (canonical.digest(), Outcome::Hit);
            return Ok(Held {
                bytes,
                media_type,
                digest,
                outcome,
            });
        }
        let question = Question::Manifest(request.target.clone());
        if let Some(Err(error)) = self.negative.find(&question) {
            return Err(error);
        }
        let (flight, leads) = self.asked.join(&request.target, || {
            let (this, request, canonical) = (Arc::clone(self), request.clone(), canonical.clone());
            async move {
                let fetched =
                    timeout(ASKED_FOR_MAX, this.acceptor.fetch(&request, &canonical)).await;
                let result = fetched.unwrap_or_else(|late| Err(Refusal::timed_out(late).into()));
                if let Err(error @ Error::Refused(refusal)) = &result {
                    let time = remembered_for(refusal, false, &request.policy);
                    this.negative.put(question, Err(error.clone()), time);
                }
                result
            }
        });
        let deadline = flight.started.min(asked) + policy.answer_within;
        match timeout_at(deadline, flight.answer()).await {
            Ok(Some(result)) => result.map(|held| joined(held, leads)),
            Ok(None) => Err(Error::GivenUp),
            Err(late) => Err(Refusal::timed_out(late).into()),
        }
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
        match (self.negative.find(&question), &kept) {
            (Some(Err(error)), _) => return Err(error),
            (Some(Ok(())), Some(kept)) => return Ok(kept.held(Outcome::Stale)),
            (Some(Ok(())), None) | (None, _) => {}
        }
        let (flight, _) = self.late.join(tagged, || {
            let (this, policy, tagged) = (
                Arc::clone(self),
                Arc::clone(&request.policy),
                tagged.clone(),
            );
            async move {
                let refused = Err(refusal.into());
                this.settle(&tagged, kept.as_ref(), &policy, refused).await
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
                self.negative.forget(&question);
                return done;
            }
        };
        let age = kept.map(|kept| kept.record.age((self.clock)()));
        let result = match (after_refusal(&refusal, age, policy), kept) {
            (Verdict::Stale, Some(kept))
                if !policy.stale_needs_whole
                    || self
                        .whole
                        .holds(tagged.named(), kept.held(Outcome::Stale))
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
                self.tags.forget(tagged).await;
                Err(refusal.clone().into())
            }
            (Verdict::Refuse | Verdict::Stale, _) => Err(refusal.clone().into()),
        };
        self.negative.put(
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

//! A pull into the local store: the manifest, and all that a client of its platform fetches.
//!
//! The store does the work, with the upstreams of the configuration: what it holds is not fetched again, and what a
//! server with the same store is asked for it has at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use longshore_manifest::{Child, Choice, Kind, Manifest, MediaType, Platform, Preference};
use longshore_manifest::{Role, convert::Format};
use longshore_puller::Registries;
use longshore_puller::docker;
use longshore_puller::pull::{Event, Events, LayerState};
use longshore_reference::{Canonical, Named, Parsed, Reference};
use longshore_store::{BlobRange, Held, Outcome, Policy, Request};
use tokio::time::timeout;

use super::failed::Failed;
use crate::error::Error;
use crate::names::{Buffer, UpstreamId};
use crate::proxy::Proxy;

/// A proxy that nobody asks but this command.
pub(super) struct Warm {
    proxy: Proxy,
    registries: Registries,
    platform: Platform,
    /// Blobs at once.
    downloads: usize,
}

impl Warm {
    /// Blobs for `platform`, `downloads` of them at once; 0 for any number.
    pub(super) fn new(
        proxy: Proxy,
        registries: Registries,
        platform: Option<Platform>,
        downloads: usize,
    ) -> Self {
        Self {
            proxy,
            registries,
            platform: platform.unwrap_or_else(Platform::host),
            downloads: match downloads {
                0 => usize::MAX,
                downloads => downloads,
            },
        }
    }

    pub(super) async fn pull(&self, reference: Parsed, events: Events) -> Result<(), Failed> {
        let named = reference.named();
        if reference.tag().is_some() || reference.digest().is_some() {
            let newer = self.pull_one(&reference, &events).await?;
            events.report(Event::Status { reference, newer }).await;
            return Ok(());
        }
        let failed = |source| Error::Upstream {
            name: named.domain().to_owned(),
            source,
        };
        let mut tags = self.registries.tags(named);
        let mut newer = false;
        while let Some(tag) = tags.try_next().await.map_err(failed)? {
            let tagged = Parsed::from(named.clone()).with_tag(tag);
            newer |= self.pull_one(&tagged, &events).await?;
        }
        events.report(Event::Status { reference, newer }).await;
        Ok(())
    }

    pub(super) async fn close(&self) {
        let closing = self.proxy.0.store.close();
        if timeout(CLOSE_WITHIN, closing).await.is_err() {
            tracing::warn!("writes to the store are cut off; what is missing is fetched again");
        }
    }

    /// Whether anything had to be fetched.
    async fn pull_one(&self, reference: &Parsed, events: &Events) -> Result<bool, Failed> {
        let (id, request) = self.request(reference)?;
        let named = request.target.named().clone();
        let held = self.held(&request).await?;
        let mut newer = is_new(held.outcome);
        let from = Event::PullingFrom {
            id: docker::pulling_id(reference, false),
            name: named.path().to_owned(),
        };
        events.report(from).await;
        let digest = held.digest;
        let image = self.image(id, &named, &request, held).await?;
        newer |= self.children(&request, &named, &image, events).await?;
        events.report(Event::Digest(digest)).await;
        Ok(newer)
    }

    /// The request that a client would make, but that upstream is asked in any case and may take its time.
    fn request(&self, reference: &Parsed) -> Result<(UpstreamId, Request<Reference>), Failed> {
        let mut buffer = Buffer::default();
        let named = reference.named();
        let found = self.proxy.0.names.find(named.domain(), &mut buffer);
        let Some((id, _)) = found else {
            return Err(Failed::Unknown(named.domain().into()));
        };
        let request = self.proxy.request(id, Reference::from(reference.clone()))?;
        let policy = Policy {
            revalidate: Duration::ZERO,
            max_stale: Some(Duration::ZERO),
            answer_within: ANSWER_WITHIN,
            stale_within: ANSWER_WITHIN,
            ..Policy::clone(&request.policy)
        };
        let policy = Arc::new(policy);
        Ok((id, Request { policy, ..request }))
    }

    async fn held(&self, request: &Request<Reference>) -> Result<Held, Failed> {
        let held = self.proxy.0.store.manifest(request).await;
        Ok(held.map_err(Error::from)?)
    }

    /// The image for the platform; one of an old format is converted as it is for today's clients.
    async fn image(
        &self,
        id: UpstreamId,
        named: &Named,
        request: &Request<Reference>,
        held: Held,
    ) -> Result<Manifest, Failed> {
        let unusable = |error| Failed::Document(request.target.to_string().into(), error);
        let media_type = MediaType::from(&*held.media_type);
        if media_type.is_schema1() || media_type == MediaType::V1Ancestry {
            let converter = self.proxy.converter(id)?;
            let (format, within) = (Format::Schema2, CONVERT_WITHIN);
            let made = converter.convert(named, held, format, within).await;
            return decode(&made.map_err(Error::from)?).map_err(unusable);
        }
        let manifest = decode(&held).map_err(unusable)?;
        if manifest.kind() != Kind::Index {
            return Ok(manifest);
        }
        let preference = Preference::only(&self.platform);
        let mut choice = Choice::new(preference, &manifest).map_err(unusable)?;
        while let Some(entry) = choice.next() {
            let child = Canonical::new(named.clone(), entry.digest);
            let held = self.held(&request.with(child.into())).await?;
            let manifest = decode(&held).map_err(unusable)?;
            match manifest.kind() {
                Kind::Index => choice.descend(&manifest).map_err(unusable)?,
                _ => return Ok(manifest),
            }
        }
        Err(unusable(choice.no_match()))
    }

    /// Fetches configuration and layers. Layers that registries need not have are left to the clients.
    async fn children(
        &self,
        request: &Request<Reference>,
        named: &Named,
        image: &Manifest,
        events: &Events,
    ) -> Result<bool, Failed> {
        let is_blob = |child: &&Child| matches!(child.role, Role::Config | Role::Layer);
        let blobs = image.children().iter().filter(is_blob).map(|child| {
            let shown = (child.role == Role::Layer).then_some(events);
            let blob = Canonical::new(named.clone(), child.descriptor.digest);
            self.blob(request.with(blob), shown)
        });
        // Collected: the futures borrow, and streams of such closures are not general enough.
        let blobs: Vec<_> = blobs.collect();
        let count = self.downloads.min(blobs.len()).max(1);
        let mut blobs = stream::iter(blobs).buffer_unordered(count);
        let mut newer = false;
        while let Some(is_new) = blobs.try_next().await? {
            newer |= is_new;
        }
        Ok(newer)
    }

    /// Reads a blob to its end: then it is verified, and kept.
    async fn blob(
        &self,
        request: Request<Canonical>,
        shown: Option<&Events>,
    ) -> Result<bool, Failed> {
        let layer = request.target.digest().to_string();
        let report = async |state: LayerState| {
            if let Some(events) = shown {
                let id = layer.clone();
                events.report(Event::Layer { id, state }).await;
            }
        };
        let blob = self.proxy.0.store.blob(&request, BlobRange::All).await;
        let blob = blob.map_err(Error::from)?;
        if blob.outcome() == Outcome::Hit {
            report(LayerState::AlreadyExists).await;
            return Ok(false);
        }
        report(LayerState::PullingFsLayer).await;
        let total = blob.size();
        let mut throttle = docker::Throttle::new(total.unwrap_or_default());
        let begun = std::time::Instant::now();
        let mut reader = blob.read(0, None);
        while let Some(chunk) = reader.chunk().await.map_err(Error::from)? {
            let bytes = chunk.len() as u64;
            if let Some(current) = throttle.read(bytes, false, begun.elapsed()) {
                report(LayerState::Downloading { current, total }).await;
            }
        }
        report(LayerState::DownloadComplete).await;
        report(LayerState::PullComplete).await;
        Ok(true)
    }
}

fn decode(held: &Held) -> Result<Manifest, longshore_manifest::Error> {
    Manifest::decode(Some(&held.media_type), held.bytes.clone())
}

fn is_new(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Hit | Outcome::Revalidated)
}

/// Nobody waits for an answer here but this command.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const CONVERT_WITHIN: Duration = Duration::from_secs(3600);
/// How long commits may go on at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

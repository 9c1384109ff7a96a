//! The layers of one image: what is held, what is transferred, and what is reported of each.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use longshore_reference::{Canonical, Digest};

use super::{
    Engine, Error, Events, LayerState, Phase, Puller, Unpacked, Watcher,
    error::is_not_found,
    layer::{self, Wanted},
};

/// Pulls the layers, base first, and returns what they are when unpacked, in the same order. One that is there twice is
/// pulled once.
pub(super) async fn pull(
    puller: &Puller,
    layers: Vec<Wanted>,
    events: &Events,
) -> Result<Vec<Unpacked>, Error> {
    let keys: Vec<String> = layers.iter().map(Wanted::key).collect();
    let mut once: Vec<(String, Wanted)> = Vec::new();
    for (key, wanted) in keys.iter().zip(layers) {
        if !once.iter().any(|(other, _)| other == key) {
            once.push((key.clone(), wanted));
        }
    }
    let mut found = HashMap::new();
    let mut missing = Vec::new();
    for (key, wanted) in once {
        let id = wanted.id();
        if puller.options.engine == Engine::Containerd {
            events.layer(&id, LayerState::PullingFsLayer).await;
        }
        match held(puller, &wanted).await? {
            Some(unpacked) => {
                events.layer(&id, LayerState::AlreadyExists).await;
                found.insert(key, unpacked);
            }
            None => missing.push((key, wanted)),
        }
    }
    if puller.options.engine == Engine::Moby {
        for (_, wanted) in &missing {
            let id = wanted.id();
            events.layer(&id, LayerState::PullingFsLayer).await;
        }
    }
    let count = missing.len().max(1);
    let transfers = stream::iter(missing).map(|(key, wanted)| async move {
        let unpacked = one(puller, wanted, events).await?;
        Ok::<_, Error>((key, unpacked))
    });
    // All of them wait for a slot; as many as there are slots are downloaded.
    let pulled: Vec<_> = transfers.buffer_unordered(count).try_collect().await?;
    found.extend(pulled);
    let unpacked = keys.iter().filter_map(|key| found.get(key).copied());
    Ok(unpacked.collect())
}

/// What is known of a layer that is held.
async fn held(puller: &Puller, wanted: &Wanted) -> Result<Option<Unpacked>, Error> {
    let content = puller.content.as_ref();
    let key = wanted.key();
    let record = content.record(&key).await.unwrap_or_default();
    let digest = wanted
        .digest()
        .or_else(|| record.unpacked.map(|known| known.digest));
    let Some(digest) = digest else {
        return Ok(None);
    };
    let size = content.size(digest).await;
    let Some(size) = size.map_err(Error::content("look for a layer"))? else {
        return Ok(None);
    };
    if let Some(unpacked) = record.unpacked.filter(|known| known.digest == digest) {
        return Ok(Some(unpacked));
    }
    let plain = Unpacked {
        digest,
        size,
        diff_id: None,
        gzipped: false,
    };
    let unpacked = match wanted.is_unpacked() {
        true => layer::unpack(content, plain, None).await?,
        false => plain,
    };
    layer::remember(content, &key, wanted.named(), unpacked).await;
    Ok(Some(unpacked))
}

/// Watches the transfer of a layer that is missing.
async fn one(puller: &Puller, wanted: Wanted, events: &Events) -> Result<Unpacked, Error> {
    let (key, id, named) = (wanted.key(), wanted.id(), wanted.named().clone());
    let digest = wanted.digest();
    let clone = puller.clone();
    let job = |transfer: Arc<_>| layer::transfer(clone, wanted, transfer);
    let watcher = puller.transfers.watch(&key, &named, job).await;
    let owner = watcher.owner().clone();
    let unpacked = follow(watcher, &id, digest, puller.options.engine, events).await?;
    if let Some(digest) = digest.filter(|_| owner != named) {
        confirm(puller, &Canonical::new(named, digest)).await?;
    }
    Ok(unpacked)
}

/// Content that came for another repository counts only if the registry says that this one has it.
pub(super) async fn confirm(puller: &Puller, blob: &Canonical) -> Result<(), Error> {
    let named = blob.named();
    let failed = |error| match is_not_found(&error) {
        true => Error::OtherRepository {
            blob: Box::new(blob.clone()),
            source: error,
        },
        false => Error::of_call(named, error),
    };
    let upstream = puller.registries.registry(named).map_err(failed)?;
    upstream.blob_size(blob).await.map_err(failed)?;
    Ok(())
}

/// Reports the phases of a transfer until it has ended. Those that matter are reported although others overtook them.
async fn follow(
    mut watcher: Watcher,
    id: &str,
    digest: Option<Digest>,
    engine: Engine,
    events: &Events,
) -> Result<Unpacked, Error> {
    let mut seen = Seen::default();
    let mut phase = watcher.now();
    loop {
        let is_moby = engine == Engine::Moby;
        match phase {
            Phase::Begun => {}
            Phase::Waiting if is_moby => events.layer(id, LayerState::Waiting).await,
            Phase::Waiting => {}
            Phase::Downloading { current, total } => {
                seen.verifying = false;
                let state = LayerState::Downloading { current, total };
                events.layer(id, state).await;
            }
            Phase::Retrying { seconds } => {
                events.layer(id, LayerState::Retrying { seconds }).await;
            }
            Phase::Verifying => seen.verifying(id, digest, engine, events).await,
            Phase::Downloaded => seen.downloaded(id, digest, engine, events).await,
            Phase::Extracting { current, total } => {
                seen.downloaded(id, digest, engine, events).await;
                if is_moby {
                    let state = LayerState::Extracting { current, total };
                    events.layer(id, state).await;
                }
            }
            Phase::Finished(result) => {
                let unpacked = result?;
                seen.downloaded(id, digest, engine, events).await;
                if is_moby {
                    events.layer(id, LayerState::PullComplete).await;
                }
                return Ok(unpacked);
            }
        }
        phase = watcher.next().await;
    }
}

/// What was reported of a layer.
#[derive(Default)]
struct Seen {
    verifying: bool,
    downloaded: bool,
}

impl Seen {
    async fn verifying(
        &mut self,
        id: &str,
        digest: Option<Digest>,
        engine: Engine,
        events: &Events,
    ) {
        let is_shown = digest.is_some() && engine == Engine::Moby;
        if !std::mem::replace(&mut self.verifying, true) && is_shown {
            events.layer(id, LayerState::VerifyingChecksum).await;
        }
    }

    async fn downloaded(
        &mut self,
        id: &str,
        digest: Option<Digest>,
        engine: Engine,
        events: &Events,
    ) {
        self.verifying(id, digest, engine, events).await;
        if !std::mem::replace(&mut self.downloaded, true) {
            events.layer(id, LayerState::DownloadComplete).await;
        }
    }
}

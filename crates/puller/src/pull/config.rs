//! The configuration of an image.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use longshore_manifest::{CONFIG_BYTES_MAX, Descriptor, MediaType};
use longshore_reference::Named;
use tokio::time::sleep;

use super::{
    Error, Options, Puller,
    error::{is_final, is_wrong},
};
use crate::{Error as Asked, error::Fault};

/// Fetches a configuration, verified. It is tried up to five times.
pub(super) async fn fetch(
    puller: &Puller,
    named: &Named,
    config: &Descriptor,
) -> Result<Bytes, Error> {
    let mut pause = puller.options.config_pause;
    let mut attempts = 0;
    let error = loop {
        let error = match fetch_once(puller, named, config).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        attempts += 1;
        if attempts >= ATTEMPTS || is_final(&error) {
            break error;
        }
        tracing::debug!(%error, attempts, "retrying after error");
        sleep(pause).await;
        pause = pause.saturating_mul(2);
    };
    let digest = config.digest;
    Err(Error::Config(Box::new(match is_wrong(&error) {
        true => Error::Verification {
            what: "image config",
            digest,
        },
        false => match Error::of_call(named, error) {
            Error::Registry(source) => Error::Attempts { attempts, source },
            denied => denied,
        },
    })))
}

async fn fetch_once(puller: &Puller, named: &Named, config: &Descriptor) -> Result<Bytes, Asked> {
    let mut blob = puller.registries.blob(named, config).await?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = blob.try_next().await? {
        if bytes.len().saturating_add(chunk.len()) > CONFIG_BYTES_MAX {
            let limit = CONFIG_BYTES_MAX as u64;
            let fault = Fault::TooLarge { limit };
            return Err(Asked::misbehaved(&named.domain().into(), fault));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Refuses the configuration of something else than an image.
pub(super) fn check_class(options: &Options, media_type: &MediaType) -> Result<(), Error> {
    let text = media_type.as_str();
    let is_allowed = match options.config_types.as_slice() {
        [] => IMAGE_TYPES.contains(&text),
        allowed => allowed.contains(media_type),
    };
    if is_allowed {
        return Ok(());
    }
    let class = match text {
        "application/vnd.docker.plugin.v1+json" => "plugin",
        text if IMAGE_TYPES.contains(&text) => "image",
        _ => "unknown",
    };
    Err(Error::Class {
        media_type: text.into(),
        class,
    })
}

const ATTEMPTS: u32 = 5;

/// What old registries say of configurations counts as an image's.
const IMAGE_TYPES: [&str; 6] = [
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
    "",
];

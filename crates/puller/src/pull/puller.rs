//! What every part of a pull needs.

use std::sync::Arc;

use super::{Content, Options, Transfers};
use crate::Registries;

/// Pulls images from registries into content. Cheap to clone; clones share transfers.
#[derive(Debug, Clone)]
pub struct Puller {
    pub(super) registries: Registries,
    pub(super) content: Arc<dyn Content>,
    pub(super) transfers: Transfers,
    pub(super) options: Arc<Options>,
}

impl Puller {
    /// A puller with transfers of its own.
    #[must_use]
    pub fn new(registries: Registries, content: Arc<dyn Content>, options: Options) -> Self {
        Self {
            registries,
            content,
            transfers: Transfers::new(options.downloads),
            options: Arc::new(options),
        }
    }
}

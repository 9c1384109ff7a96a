//! Where the bytes of a download come from.

use std::fmt;

use longshore_reference::Canonical;
use tokio::time::Instant;

use crate::{endpoint::Distrust, v1::layer::Layer};

/// Where the bytes come from.
pub(super) enum Source {
    Blob {
        blob: Canonical,
        /// The endpoints that sent bytes.
        used: Vec<usize>,
    },
    Layer(Box<Layer>),
}

impl Source {
    /// Whether the bytes from `at` can be asked for after a cut. A v1 layer cannot always be gone on with.
    pub(super) fn can_resume(&self, at: u64, size: Option<u64>) -> bool {
        match self {
            Self::Layer(layer) => at == 0 || (layer.can_resume() && size.is_some()),
            Self::Blob { .. } => true,
        }
    }

    /// This endpoint sent bytes, as the last one so far.
    pub(super) fn used(&mut self, index: usize) {
        if let Self::Blob { used, .. } = self {
            used.retain(|&other| other != index);
            used.push(index);
        }
    }

    pub(super) fn distrust(&self, distrust: &Distrust) {
        let Self::Blob { blob, used } = self else {
            return;
        };
        for &contact in used {
            distrust.add(contact, blob.digest(), Instant::now());
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob { blob, .. } => fmt::Debug::fmt(blob, f),
            Self::Layer(layer) => fmt::Debug::fmt(layer, f),
        }
    }
}

//! What the tests of this crate share.

use std::sync::{Arc, Mutex};

pub(crate) use longshore_puller::{
    Config, Credentials, Download, Endpoint, Error, Secret, Upstream,
};
pub(crate) use longshore_reference::{Canonical, Digest, Named, Reference};
pub(crate) use longshore_tests::{Bearer, Fault, Gate, On, Origin};

/// An upstream of these registries, the last one its origin.
pub(crate) fn upstream(origins: &[&Origin]) -> Upstream {
    Upstream::new(config(origins)).unwrap()
}

pub(crate) fn config(origins: &[&Origin]) -> Config {
    let endpoints = origins
        .iter()
        .map(|origin| Endpoint::parse(&origin.url()).unwrap());
    Config::new("registry.test", endpoints.collect())
}

pub(crate) fn tagged(text: &str) -> Reference {
    Reference::parse(&format!("registry.test/{text}")).unwrap()
}

pub(crate) fn canonical(repository: &str, digest: &str) -> Canonical {
    Canonical::new(
        Named::new("registry.test", repository).unwrap(),
        Digest::parse(digest).unwrap(),
    )
}

/// Everything that is left of a download.
pub(crate) async fn read(download: &mut Download) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(bytes) = download.chunk().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// Writes down what an upstream reports.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn observe(&self, config: &mut Config) {
        let told = Arc::clone(&self.0);
        config.observer = Arc::new(move |event| told.lock().unwrap().push(format!("{event:?}")));
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        let told = self.0.lock().unwrap();
        told.iter().filter(|event| event.contains(word)).count()
    }
}

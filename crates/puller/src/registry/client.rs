//! One client for many registries: resolves, fetches and streams verified bytes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use longshore_manifest::v1::{Ancestry, ImageId};
use longshore_manifest::{Choice, Descriptor, Kind, Manifest, MediaType, Preference};
use longshore_reference::{Canonical, Named, Reference, Tag, Tagged};
use serde::Deserialize;
use url::Url;

use crate::{
    Blob, Config, Credentials, Endpoint, Error, Fetched, Insecure, Observer, Timeouts, Upstream,
    error::Fault, sync::lock,
};

/// A client for many registries, each made from its name when it is first asked. Cheap to clone; clones share
/// connections, tokens and what was learnt of the registries.
#[derive(Clone, Default)]
pub struct Registries {
    settings: Settings,
    registries: Arc<Mutex<HashMap<Box<str>, Upstream>>>,
}

#[derive(Clone, Default)]
struct Settings {
    credentials: Option<Credentials>,
    insecure: Insecure,
    timeouts: Timeouts,
    total: Option<Duration>,
    observer: Option<Observer>,
}

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// A manifest or an index.
    Manifest(Box<Descriptor>),
    /// An image of a v1 registry, whose id is the digest of nothing.
    V1(ImageId),
}

/// What was fetched for a reference.
#[derive(Debug, Clone)]
pub enum Pulled {
    /// A manifest or an index.
    Manifest(Box<Document>),
    /// An image of a v1 registry.
    V1(Box<Ancestry>),
}

/// A manifest or an index with its descriptor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Document {
    /// Type, digest and size. The digest is the one that was asked for or the one the registry gave, in its own
    /// algorithm, verified against the bytes; where there is neither it is their SHA-256.
    pub descriptor: Descriptor,
    /// The document, with its exact bytes.
    pub manifest: Manifest,
}

impl Registries {
    /// A client without credentials, with default deadlines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Credentials: usually a [`Keyring`](crate::Keyring) or a [`Keychain`](crate::Keychain), which are asked for every
    /// registry by name. Others would be sent to all of them.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        self.with(|settings| settings.credentials = Some(credentials))
    }

    /// Registries that may be asked without TLS.
    #[must_use]
    pub fn with_insecure(self, insecure: Insecure) -> Self {
        self.with(|settings| settings.insecure = insecure)
    }

    /// Deadlines of every attempt.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        self.with(|settings| settings.timeouts = timeouts)
    }

    /// A deadline for every request with all its retries, redirects and tokens. Bodies of blobs take as long as they
    /// take.
    #[must_use]
    pub fn with_total(self, total: Duration) -> Self {
        self.with(|settings| settings.total = Some(total))
    }

    /// Who is told what happens.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        self.with(|settings| settings.observer = Some(observer))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        Self {
            settings: self.settings,
            registries: Arc::default(),
        }
    }

    /// Takes a registry as configured, with mirrors, certificates, or credentials of its own, for all repositories
    /// whose domain is its name.
    ///
    /// # Errors
    /// As [`Upstream::new`].
    pub fn configure(&self, config: Config) -> Result<(), Error> {
        let upstream = Upstream::new(config)?;
        let mut registries = lock(&self.registries);
        registries.insert(upstream.name().into(), upstream);
        Ok(())
    }

    /// The registry of a repository.
    ///
    /// # Errors
    /// [`Error::Config`] when its domain is no host, or there are no certificates.
    pub fn registry(&self, named: &Named) -> Result<Upstream, Error> {
        let domain = named.domain();
        let found = lock(&self.registries).get(domain).cloned();
        let upstream = match found {
            Some(upstream) => upstream,
            None => {
                let made = Upstream::new(self.config(domain)?)?;
                let mut registries = lock(&self.registries);
                if registries.len() >= REGISTRIES_MAX {
                    registries.clear();
                }
                // Of two that are made at once both callers take the same one.
                registries.entry(domain.into()).or_insert(made).clone()
            }
        };
        Ok(match self.settings.total {
            Some(total) => upstream.within(total),
            None => upstream,
        })
    }

    fn config(&self, domain: &str) -> Result<Config, Error> {
        let mut config = Config::new(domain, vec![Endpoint::of_host(domain)?]);
        config.credentials.clone_from(&self.settings.credentials);
        config.insecure = self.settings.insecure.clone();
        config.timeouts = self.settings.timeouts;
        if let Some(observer) = &self.settings.observer {
            config.observer = Arc::clone(observer);
        }
        Ok(config)
    }

    /// What a reference stands for, without fetching it where the registry tells its digest.
    ///
    /// # Errors
    /// As [`Upstream::manifest`].
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, Error> {
        let upstream = self.registry(reference.named())?;
        let head = upstream.resolve(reference).await?;
        if let Some(id) = head.v1 {
            return Ok(Resolved::V1(id));
        }
        let digest = reference.digest().or(head.digest);
        if let (Some(digest), Some(media_type)) = (digest, &head.media_type) {
            let media_type = MediaType::from_content_type(media_type);
            let descriptor = Descriptor::new(media_type, digest, head.size);
            return Ok(Resolved::Manifest(Box::new(descriptor)));
        }
        Ok(match self.fetch(reference).await? {
            Pulled::Manifest(document) => Resolved::Manifest(Box::new(document.descriptor)),
            Pulled::V1(ancestry) => Resolved::V1(ancestry.id().clone()),
        })
    }

    /// Fetches the manifest or the index a reference stands for.
    ///
    /// # Errors
    /// As [`Upstream::manifest`]; [`Error::Unusable`] for a document that is no manifest.
    pub async fn fetch(&self, reference: &Reference) -> Result<Pulled, Error> {
        let upstream = self.registry(reference.named())?;
        let fetched = upstream.manifest(reference).await?;
        let unusable = |error| unusable(reference.named(), error);
        if fetched.v1.is_some() {
            let ancestry = Ancestry::decode(&fetched.bytes).map_err(unusable)?;
            return Ok(Pulled::V1(Box::new(ancestry)));
        }
        let document = document(reference, fetched).map_err(unusable)?;
        Ok(Pulled::Manifest(Box::new(document)))
    }

    /// The image a reference stands for: where it is an index, perhaps with indexes in it, the one that `preference`
    /// chooses.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); [`Error::Unusable`] with
    /// [`NoMatch`](longshore_manifest::Error::NoMatch) as its source where nothing fits; [`Error::NotSupported`] for an
    /// image of a v1 registry, which has no manifest.
    pub async fn image(
        &self,
        reference: &Reference,
        preference: Preference,
    ) -> Result<Document, Error> {
        let named = reference.named();
        let unusable = |error| unusable(named, error);
        let document = self.document(reference).await?;
        if document.manifest.kind() != Kind::Index {
            return Ok(document);
        }
        let mut choice = Choice::new(preference, &document.manifest).map_err(unusable)?;
        while let Some(entry) = choice.next() {
            let child = Canonical::new(named.clone(), entry.digest).into();
            let mut document = self.document(&child).await?;
            if document.manifest.kind() == Kind::Index {
                choice.descend(&document.manifest).map_err(unusable)?;
                continue;
            }
            document.descriptor.platform = entry.platform;
            return Ok(document);
        }
        Err(unusable(choice.no_match()))
    }

    async fn document(&self, reference: &Reference) -> Result<Document, Error> {
        match self.fetch(reference).await? {
            Pulled::Manifest(document) => Ok(*document),
            Pulled::V1(_) => Err(Error::NotSupported {
                upstream: reference.named().domain().into(),
            }),
        }
    }

    /// Streams a blob, verified. The descriptor's size is a claim of the manifest: only the digest decides.
    ///
    /// # Errors
    /// As [`Upstream::blob`].
    pub async fn blob(&self, named: &Named, descriptor: &Descriptor) -> Result<Blob, Error> {
        let blob = Canonical::new(named.clone(), descriptor.digest);
        let download = self.registry(named)?.blob(&blob, 0, None).await?;
        Ok(Blob::new(download, descriptor.digest))
    }

    /// The tags of a repository, page after page as they are wanted. What is no tag is left out.
    pub fn tags(&self, named: &Named) -> BoxStream<'static, Result<Tag, Error>> {
        let pages = Pages {
            registries: self.clone(),
            named: named.clone(),
            query: Some(String::new()),
            page: VecDeque::new(),
            left: PAGES_MAX,
        };
        let next = |mut pages: Pages| async {
            let tag = pages.next().await.transpose()?;
            Some((tag, pages))
        };
        stream::unfold(pages, next).boxed()
    }

    /// The manifests that refer to a digest, by the referrers call or, where the registry does not know it, by the
    /// index under the tag `<algorithm>-<hex>`.
    ///
    /// # Errors
    /// As [`Upstream::referrers`]; a registry that could not be asked is never one that has none.
    pub async fn referrers(&self, subject: &Canonical) -> Result<Vec<Descriptor>, Error> {
        let named = subject.named();
        let upstream = self.registry(named)?;
        let mut found = Vec::new();
        let mut query = String::new();
        for _ in 0..PAGES_MAX {
            let Some(page) = upstream.referrers(subject, Some(&query)).await? else {
                return self.tagged_referrers(subject).await;
            };
            let index = Manifest::decode(Some(MediaType::OciIndex.as_str()), page.bytes);
            let index = index.map_err(|error| unusable(named, error))?;
            found.extend(index.manifests().cloned());
            match next_query(page.next.as_deref(), &query) {
                Some(next) => query = next,
                None => break,
            }
        }
        Ok(found)
    }

    async fn tagged_referrers(&self, subject: &Canonical) -> Result<Vec<Descriptor>, Error> {
        let digest = subject.digest();
        let hex = digest.hex();
        let hex = hex.get(..TAG_HEX_MAX).unwrap_or(&hex);
        let Ok(tag) = Tag::parse(&format!("{}-{hex}", digest.algorithm().as_str())) else {
            return Ok(Vec::new());
        };
        let tagged = Tagged::new(subject.named().clone(), tag);
        match self.fetch(&tagged.into()).await {
            Ok(Pulled::Manifest(document)) => Ok(document.manifest.manifests().cloned().collect()),
            Ok(Pulled::V1(_)) | Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries")
            .field("credentials", &self.settings.credentials)
            .field("timeouts", &self.settings.timeouts)
            .field("total", &self.settings.total)
            .finish_non_exhaustive()
    }
}

/// The pages of a list of tags.
struct Pages {
    registries: Registries,
    named: Named,
    /// Of the next page; `None` after the last one.
    query: Option<String>,
    page: VecDeque<Tag>,
    left: usize,
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Tag>, Error> {
        loop {
            if let Some(tag) = self.page.pop_front() {
                return Ok(Some(tag));
            }
            // Taken, so that an error ends the stream.
            let Some(query) = self.query.take().filter(|_| self.left > 0) else {
                return Ok(None);
            };
            self.left -= 1;
            let upstream = self.registries.registry(&self.named)?;
            let page = upstream.tags(&self.named, Some(&query)).await?;
            let List { tags } = serde_json::from_slice(&page.bytes)
                .map_err(|_| Error::misbehaved(&upstream.name().into(), Fault::Json))?;
            let tags = tags.unwrap_or_default();
            self.page = tags.iter().filter_map(|tag| Tag::parse(tag).ok()).collect();
            self.query = next_query(page.next.as_deref(), &query);
        }
    }
}

/// A list of tags; `null` where there are none.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The query of the next page, unless it is the one of this page again.
pub(crate) fn next_query(target: Option<&str>, before: &str) -> Option<String> {
    let target = target?;
    let query = match Url::parse(target) {
        Ok(url) => url.query()?.to_owned(),
        Err(_) => {
            let (_, query) = target.split_once('?')?;
            query.split('#').next().unwrap_or_default().to_owned()
        }
    };
    (query != before && !query.is_empty()).then_some(query)
}

fn document(
    reference: &Reference,
    fetched: Fetched,
) -> Result<Document, longshore_manifest::Error> {
    let size = fetched.bytes.len() as u64;
    let known = reference.digest().or(fetched.digest);
    let manifest = Manifest::decode(fetched.media_type.as_deref(), fetched.bytes)?;
    let digest = known.unwrap_or_else(|| manifest.digest());
    let descriptor = Descriptor::new(manifest.media_type().clone(), digest, Some(size));
    Ok(Document {
        descriptor,
        manifest,
    })
}

fn unusable(named: &Named, error: longshore_manifest::Error) -> Error {
    Error::Unusable {
        endpoint: named.domain().into(),
        source: Arc::new(error),
    }
}

const REGISTRIES_MAX: usize = 256;
/// More pages than any list has.
const PAGES_MAX: usize = 10_000;
/// What the specification lets the fallback tag have of a digest.
const TAG_HEX_MAX: usize = 64;

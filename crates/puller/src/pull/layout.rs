//! Content in a folder: an OCI image layout.
//!
//! Beside what the specification has there is a folder `.longshore`, which other programs leave alone: writes under way,
//! what is remembered of layers, leases, and the lock of the index.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::FutureExt;
use longshore_manifest::{CONFIG_BYTES_MAX, Descriptor, MANIFEST_BYTES_MAX, Manifest, layout};
use longshore_reference::{Digest, Named};
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::{Content, Image, Ingest, Job, Lease, Record, Unpacked};

/// An OCI image layout in a folder. Several processes may pull into one.
///
/// An image is in the index under the whole of its reference (`docker.io/library/alpine:3.22`), so that
/// `oci:FOLDER:docker.io/library/alpine:3.22` finds it in other programs; [`with_name`](Self::with_name) gives it
/// another. Where the reference stands for an index, the entry is the image that was chosen in it.
#[derive(Debug, Clone)]
pub struct Layout {
    root: Arc<Path>,
    name: Option<Arc<str>>,
}

impl Layout {
    /// Opens the layout in a folder, which is made where there is none.
    ///
    /// # Errors
    /// The folder has something else in it, or cannot be written.
    pub async fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root: Arc<Path> = root.into().into();
        let layout = Self { root, name: None };
        layout.run(open).await?;
        Ok(layout)
    }

    /// Gives images this name instead of their reference.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    fn named<'a>(&'a self, name: &'a str) -> &'a str {
        self.name.as_deref().unwrap_or(name)
    }

    /// Files are slow: away from the runtime's threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let root = Arc::clone(&self.root);
        let worked = tokio::task::spawn_blocking(move || work(&root)).await;
        worked.map_err(io::Error::other).flatten()
    }

    fn update(
        &self,
        key: &str,
        change: impl FnOnce(&mut Record) -> bool + Send + 'static,
    ) -> Job<'_, ()> {
        let name = record_name(key);
        self.run(move |root| {
            let _lock = lock(root)?;
            let mut record = read_record(root, &name)?;
            if !change(&mut record) {
                return Ok(());
            }
            let json = serde_json::to_vec(&record).map_err(io::Error::other)?;
            replace(root, &root.join(OWN).join("records").join(name), &json)
        })
        .boxed()
    }
}

impl Content for Layout {
    fn size(&self, digest: Digest) -> Job<'_, Option<u64>> {
        self.run(move |root| {
            let found = fs::metadata(blob(root, &digest));
            Ok(optional(found)?.map(|found| found.len()))
        })
        .boxed()
    }

    fn read(&self, digest: Digest) -> Job<'_, Option<Bytes>> {
        self.run(move |root| read(&blob(root, &digest), DOCUMENT_BYTES_MAX))
            .boxed()
    }

    fn open(&self, digest: Digest) -> Job<'_, Box<dyn Read + Send>> {
        self.run(move |root| {
            let file: Box<dyn Read + Send> = Box::new(File::open(blob(root, &digest))?);
            Ok(file)
        })
        .boxed()
    }

    fn ingest(&self) -> Job<'_, Box<dyn Ingest>> {
        async {
            let (path, file) = self.run(create).await?;
            let file = tokio::fs::File::from_std(file);
            let ingest: Box<dyn Ingest> = Box::new(Writing {
                layout: self.clone(),
                offset: 0,
                file: BufWriter::with_capacity(WRITE_BYTES, file),
                path: Temporary(path),
            });
            Ok(ingest)
        }
        .boxed()
    }

    fn record(&self, key: &str) -> Job<'_, Record> {
        let name = record_name(key);
        self.run(move |root| read_record(root, &name)).boxed()
    }

    fn add_source(&self, key: &str, named: &Named) -> Job<'_, ()> {
        let source = named.to_string();
        self.update(key, move |record| record.sources.insert(source))
    }

    fn set_unpacked(&self, key: &str, unpacked: Unpacked) -> Job<'_, ()> {
        self.update(key, move |record| {
            record.unpacked.replace(unpacked) != Some(unpacked)
        })
    }

    fn image(&self, name: &str) -> Job<'_, Option<Image>> {
        let name = self.named(name).to_owned();
        self.run(move |root| {
            let index = read_index(root)?;
            let entry = index.find(Some(&name)).ok();
            Ok(entry.map(|entry| image(root, entry)))
        })
        .boxed()
    }

    fn set_image(&self, name: &str, image: &Image) -> Job<'_, ()> {
        let (name, image) = (self.named(name).to_owned(), image.clone());
        self.run(move |root| {
            let mut entry = image.manifest;
            if image.target != entry {
                let target = serde_json::to_string(&image.target).map_err(io::Error::other)?;
                entry.annotations.insert(TARGET.into(), target.into());
            }
            let _lock = lock(root)?;
            let mut index = read_index(root)?;
            index.set(entry, Some(&name));
            write_index(root, &index)
        })
        .boxed()
    }

    fn remove_image(&self, name: &str) -> Job<'_, bool> {
        let name = name.to_owned();
        self.run(move |root| {
            let _lock = lock(root)?;
            let mut index = read_index(root)?;
            if !index.remove(&name) {
                return Ok(false);
            }
            write_index(root, &index).map(|()| true)
        })
        .boxed()
    }

    fn lease(&self, digests: Vec<Digest>) -> Job<'_, Box<dyn Lease>> {
        self.run(move |root| {
            let path = root.join(OWN).join("leases").join(unique());
            let lines = digests.iter().map(|digest| format!("{digest}\n"));
            fs::write(&path, lines.collect::<String>())?;
            let lease: Box<dyn Lease> = Box::new(Leased(Temporary(path)));
            Ok(lease)
        })
        .boxed()
    }
}

/// A blob that is being written.
struct Writing {
    layout: Layout,
    offset: u64,
    file: BufWriter<tokio::fs::File>,
    path: Temporary,
}

impl Ingest for Writing {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, bytes: Bytes) -> Job<'_, ()> {
        async move {
            self.file.write_all(&bytes).await?;
            self.offset += bytes.len() as u64;
            Ok(())
        }
        .boxed()
    }

    fn truncate(&mut self) -> Job<'_, ()> {
        async move {
            self.file.flush().await?;
            let file = self.file.get_mut();
            file.set_len(0).await?;
            file.rewind().await?;
            self.offset = 0;
            Ok(())
        }
        .boxed()
    }

    fn commit(mut self: Box<Self>, digest: Digest) -> Job<'static, ()> {
        async move {
            self.file.flush().await?;
            self.file.get_ref().sync_data().await?;
            let path = self.path;
            let work = move |root: &Path| {
                let to = blob(root, &digest);
                if let Some(folder) = to.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::rename(&path.0, to)
            };
            self.layout.run(work).await
        }
        .boxed()
    }
}

/// A file that is removed when nobody needs it any more.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may have been renamed, or removed by the user.
        let _ = fs::remove_file(&self.0);
    }
}

struct Leased(Temporary);

impl Lease for Leased {
    fn delete(self: Box<Self>) -> Job<'static, ()> {
        async move {
            let path = self.0.0.clone();
            let removed = tokio::fs::remove_file(path).await;
            removed.or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        }
        .boxed()
    }
}

/// Makes the folder a layout, unless it is one or has something else in it.
fn open(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let marker = root.join(layout::MARKER_FILE);
    match read(&marker, MARKER_BYTES_MAX)? {
        Some(bytes) => layout::check_marker(&bytes).map_err(invalid)?,
        None if is_taken(root)? => {
            let text = "the folder is not empty and no OCI image layout";
            return Err(io::Error::new(ErrorKind::AlreadyExists, text));
        }
        None => {}
    }
    for folder in ["ingest", "records", "leases"] {
        fs::create_dir_all(root.join(OWN).join(folder))?;
    }
    fs::create_dir_all(root.join("blobs/sha256"))?;
    let _lock = lock(root)?;
    let index = root.join(layout::INDEX_FILE);
    if !index.exists() {
        write_index(root, &layout::Index::new())?;
    }
    if !marker.exists() {
        replace(root, &marker, layout::MARKER.as_bytes())?;
    }
    Ok(())
}

fn is_taken(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        if entry?.file_name() != OWN {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an entry of the index stands for. One that another program wrote stands for itself.
fn image(root: &Path, entry: &Descriptor) -> Image {
    let target = entry.annotations.get(TARGET);
    let target = target.and_then(|json| serde_json::from_str(json).ok());
    let mut manifest = entry.clone();
    manifest.annotations.clear();
    let bytes = read(&blob(root, &manifest.digest), DOCUMENT_BYTES_MAX);
    let decoded = bytes.ok().flatten().and_then(|bytes| {
        let media_type = Some(manifest.media_type.as_str());
        Manifest::decode(media_type, bytes).ok()
    });
    let id = decoded.and_then(|decoded| decoded.config().map(|config| config.digest));
    Image {
        target: target.unwrap_or_else(|| manifest.clone()),
        id: id.unwrap_or(manifest.digest),
        manifest,
    }
}

fn read_index(root: &Path) -> io::Result<layout::Index> {
    let bytes = read(&root.join(layout::INDEX_FILE), MANIFEST_BYTES_MAX)?;
    match bytes {
        Some(bytes) => layout::Index::decode(bytes).map_err(invalid),
        None => Ok(layout::Index::new()),
    }
}

fn write_index(root: &Path, index: &layout::Index) -> io::Result<()> {
    let bytes = index.encode().map_err(invalid)?;
    replace(root, &root.join(layout::INDEX_FILE), &bytes)
}

fn read_record(root: &Path, name: &str) -> io::Result<Record> {
    let path = root.join(OWN).join("records").join(name);
    let bytes = read(&path, RECORD_BYTES_MAX)?;
    // One that cannot be read says nothing.
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default())
}

fn record_name(key: &str) -> String {
    key.replace(['/', ':'], "-")
}

/// Reads a small file; `None` where there is none.
fn read(path: &Path, bytes_max: usize) -> io::Result<Option<Bytes>> {
    let Some(file) = optional(File::open(path))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    file.take(limit).read_to_end(&mut bytes)?;
    match bytes.len() > bytes_max {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, "file too large")),
        false => Ok(Some(bytes.into())),
    }
}

fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a small file as a whole or not at all.
fn replace(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = create(root)?;
    let temporary = Temporary(temporary);
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&temporary.0, path)
}

fn create(root: &Path) -> io::Result<(PathBuf, File)> {
    let path = root.join(OWN).join("ingest").join(unique());
    let file = File::create_new(&path)?;
    Ok((path, file))
}

/// Holds other processes off the index until it is dropped.
fn lock(root: &Path) -> io::Result<File> {
    let path = root.join(OWN).join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

fn blob(root: &Path, digest: &Digest) -> PathBuf {
    root.join(layout::blob_path(digest))
}

/// A name that no other process and no other write has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let random: u32 = rand::random();
    format!("{}-{number}-{random:08x}", std::process::id())
}

fn invalid(error: longshore_manifest::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// What is not the specification's.
const OWN: &str = ".longshore";
/// The annotation of an entry whose reference stands for an index: its descriptor.
const TARGET: &str = "dev.longshore.target";
const MARKER_BYTES_MAX: usize = 4096;
const RECORD_BYTES_MAX: usize = 1 << 20;
const DOCUMENT_BYTES_MAX: usize = if CONFIG_BYTES_MAX > MANIFEST_BYTES_MAX {
    CONFIG_BYTES_MAX
} else {
    MANIFEST_BYTES_MAX
};
const WRITE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;

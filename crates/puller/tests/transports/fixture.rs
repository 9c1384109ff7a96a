//! An image in a registry, and what the tests do with it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use longshore_manifest::{Platform, Preference};
pub(crate) use longshore_puller::transport::{
    Access, Copied, Destination, Error, Options, Source, copy,
};
use longshore_puller::{Registries, Timeouts, registries::RegistriesConf};
use longshore_reference::Digest;
use longshore_tests::Origin;
use serde_json::json;
use tempfile::TempDir;

/// An image with real layers.
pub(crate) struct Made {
    pub(crate) digest: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    /// Gzipped.
    pub(crate) layers: Vec<Vec<u8>>,
    /// Plain.
    pub(crate) tars: Vec<Vec<u8>>,
}

pub(crate) const OCI: [&str; 3] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
];
pub(crate) const DOCKER: [&str; 3] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// Makes an image of this many layers and pushes it.
pub(crate) fn push(
    origin: &Origin,
    repository: &str,
    tag: Option<&str>,
    architecture: &str,
    types: [&str; 3],
) -> Made {
    let tars: Vec<_> = (0..3)
        .map(|n| plain(&format!("{architecture}-{n}")))
        .collect();
    let layers: Vec<_> = tars.iter().map(|tar| gzip(tar)).collect();
    let diff_ids: Vec<_> = tars
        .iter()
        .map(|tar| Digest::sha256(tar).to_string())
        .collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Labels": { "Maintainer": "me" } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = config.to_string().into_bytes();
    let descriptor = |media_type: &str, bytes: &[u8]| {
        let digest = origin.push_blob(repository, bytes.to_vec());
        json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest })
    };
    let listed: Vec<_> = layers
        .iter()
        .map(|layer| descriptor(types[2], layer))
        .collect();
    // Indented: whoever writes it anew is found out.
    let manifest = serde_json::to_vec_pretty(&json!({
        "schemaVersion": 2, "mediaType": types[0],
        "config": descriptor(types[1], &config), "layers": listed,
    }))
    .unwrap();
    let digest = origin.push_manifest(repository, tag, manifest.clone(), types[0]);
    Made {
        digest,
        manifest,
        config,
        layers,
        tars,
    }
}

/// Pushes an index of two images.
pub(crate) fn push_index(origin: &Origin, tag: &str, list: bool) -> (Vec<u8>, Vec<Made>) {
    let types = if list { DOCKER } else { OCI };
    let images: Vec<_> = ["amd64", "arm64"]
        .iter()
        .map(|architecture| push(origin, "library/app", None, architecture, types))
        .collect();
    let entries = images
        .iter()
        .zip(["amd64", "arm64"])
        .map(|(image, architecture)| {
            json!({
                "mediaType": types[0], "digest": image.digest, "size": image.manifest.len(),
                "platform": { "architecture": architecture, "os": "linux" },
            })
        });
    let entries: Vec<_> = entries.collect();
    let media_type = match list {
        true => "application/vnd.docker.distribution.manifest.list.v2+json",
        false => "application/vnd.oci.image.index.v1+json",
    };
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    let index = serde_json::to_vec_pretty(&index).unwrap();
    origin.push_manifest("library/app", Some(tag), index.clone(), media_type);
    (index, images)
}

/// A tar with one file, different for each name.
pub(crate) fn plain(name: &str) -> Vec<u8> {
    let bytes: Vec<u8> = name.bytes().cycle().take(300_000).collect();
    tar_of(&[(name, &bytes)])
}

/// A tar of these files.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A client that soon takes a server that answers no TLS for a plain one.
pub(crate) fn access(conf: &str) -> Access {
    let mut timeouts = Timeouts::default();
    timeouts.connect = Duration::from_millis(300);
    let conf = RegistriesConf::parse(conf, "registries.conf").unwrap();
    Access::new(Registries::new().with_timeouts(timeouts), conf)
}

pub(crate) fn amd64() -> Options {
    let mut options = Options::default();
    options.preference = Preference::only(&Platform::new("linux", "amd64", ""));
    options
}

/// Copies an image, and commits it.
pub(crate) async fn copied(from: &str, to: &str, options: &Options) -> Result<Copied, Error> {
    let source = Source::open(&from.parse().unwrap(), &access("")).await?;
    let destination = Destination::open(&to.parse().unwrap()).await?;
    let copied = copy(&source, &destination, options).await?;
    destination.commit().await?;
    Ok(copied)
}

/// The files below a folder, by their names.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The members of a tar file: name and bytes, folders left out.
pub(crate) fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0, "times are zero");
        if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            found.push((entry.path().unwrap().display().to_string(), bytes));
        }
    }
    found
}

pub(crate) fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// The name of an image in a folder of the test.
pub(crate) fn at(folder: &TempDir, transport: &str, rest: &str) -> String {
    format!("{transport}:{}/{rest}", folder.path().display())
}

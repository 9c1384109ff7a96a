//! Writes an OCI layout with an image of one layer: `write_layout FOLDER < layer.tar`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::{
    env, fs,
    io::{self, Read},
    path::Path,
};

use longshore_manifest::{
    Descriptor, DiffId, Format, History, ManifestBuilder, MediaType, Platform, layout, v1,
};
use longshore_reference::Digest;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args().nth(1).ok_or("usage: write_layout FOLDER")?;
    let folder = Path::new(&folder);
    let mut layer = Vec::new();
    io::stdin().lock().read_to_end(&mut layer)?;

    let diff_id = DiffId::new(Digest::sha256(&layer));
    let history = History::from_v1(br#"{"container_config":{"Cmd":["write_layout"]}}"#, false)?;
    let base = br#"{"architecture":"amd64","os":"linux","docker_version":"99"}"#;
    let config = v1::image_config(base, &[diff_id], &[history])?;

    let layer = put(folder, MediaType::OciLayer, &layer)?;
    let config = put(folder, MediaType::OciConfig, config.as_bytes())?;
    let manifest = ManifestBuilder::new(Format::Oci, config).layer(layer);
    let mut manifest = put(folder, MediaType::OciManifest, manifest.build()?.bytes())?;

    let digest = manifest.digest;
    manifest.platform = Some(Box::new(Platform::new("linux", "amd64", "")));
    let mut index = layout::Index::new();
    index.set(manifest, Some("latest"));
    fs::write(folder.join(layout::INDEX_FILE), index.encode()?)?;
    fs::write(folder.join(layout::MARKER_FILE), layout::MARKER)?;
    println!("{digest}");
    Ok(())
}

fn put(folder: &Path, media_type: MediaType, bytes: &[u8]) -> io::Result<Descriptor> {
    let digest = Digest::sha256(bytes);
    let path = folder.join(layout::blob_path(&digest));
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    fs::write(path, bytes)?;
    let size = u64::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok(Descriptor::new(media_type, digest, Some(size)))
}

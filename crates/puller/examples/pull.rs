//! Pulls an image to a folder: `pull docker.io/library/alpine:3.22 FOLDER`.
//!
//! The manifest is verified against its digest, every blob while it is read. Credentials are docker's own.

use std::{error::Error, path::Path};

use longshore_manifest::{Platform, Preference};
use longshore_puller::{Credentials, Keyring, Places, Registries};
use longshore_reference::Reference;
use tokio::{fs, io};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pull REFERENCE FOLDER".into());
    };
    pull(&name, Path::new(&folder)).await
}

/// Writes the manifest, the configuration and the layers, each under its digest.
async fn pull(name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
    let reference = Reference::parse(name)?;
    let platform = Preference::only(&Platform::host());
    let image = registries.image(&reference, platform).await?;
    fs::create_dir_all(folder).await?;
    fs::write(folder.join("manifest.json"), image.manifest.bytes()).await?;
    let manifest = &image.manifest;
    for blob in manifest.config().into_iter().chain(manifest.layers()) {
        let mut stream = registries.blob(reference.named(), blob).await?;
        let mut file = fs::File::create(folder.join(blob.digest.hex().to_string())).await?;
        io::copy(&mut stream, &mut file).await?;
    }
    Ok(())
}

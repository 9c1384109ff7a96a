//! Copies an image to an OCI layout: `layout docker.io/library/alpine:3.22 FOLDER`.

use std::{error::Error, path::Path};

use longshore_manifest::{Descriptor, Platform, Preference, layout};
use longshore_puller::{Credentials, Keyring, Places, Registries};
use longshore_reference::Reference;
use tokio::{fs, io};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: layout REFERENCE FOLDER".into());
    };
    copy(&name, Path::new(&folder)).await?;
    Ok(())
}

/// Copies the image of this machine's platform; its descriptor.
async fn copy(name: &str, folder: &Path) -> Result<Descriptor, Box<dyn Error>> {
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
    let reference = Reference::parse(name)?;
    let platform = Preference::only(&Platform::host());
    let image = registries.image(&reference, platform).await?;
    let manifest = &image.manifest;
    for blob in manifest.config().into_iter().chain(manifest.layers()) {
        let path = folder.join(layout::blob_path(&blob.digest));
        fs::create_dir_all(path.parent().unwrap_or(folder)).await?;
        let mut stream = registries.blob(reference.named(), blob).await?;
        io::copy(&mut stream, &mut fs::File::create(path).await?).await?;
    }
    let path = folder.join(layout::blob_path(&image.descriptor.digest));
    fs::write(path, manifest.bytes()).await?;
    // The index comes last: without it, it is no layout.
    let mut index = layout::Index::new();
    index.set(image.descriptor.clone(), Some(name));
    fs::write(folder.join(layout::MARKER_FILE), layout::MARKER).await?;
    fs::write(folder.join(layout::INDEX_FILE), index.encode()?).await?;
    Ok(image.descriptor)
}

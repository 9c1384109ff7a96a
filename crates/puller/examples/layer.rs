//! Streams a layer to a file, verified: `layer docker.io/library/alpine:3.22 0 /dev/stdout | tar -tz`.

use std::{error::Error, path::Path};

use longshore_manifest::{Platform, Preference};
use longshore_puller::{Credentials, Keyring, Places, Registries};
use longshore_reference::Reference;
use tokio::{fs, io};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(position), Some(file)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: layer REFERENCE POSITION FILE".into());
    };
    layer(&name, position.parse()?, Path::new(&file)).await
}

/// Writes the layer at this position, the base at 0. An error at the end means that all of it is worth nothing: the last
/// chunk is written only if the digest is right.
async fn layer(name: &str, position: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
    let reference = Reference::parse(name)?;
    let platform = Preference::only(&Platform::host());
    let image = registries.image(&reference, platform).await?;
    let layer = image.manifest.layers().nth(position);
    let layer = layer.ok_or("the image has fewer layers")?;
    let mut blob = registries.blob(reference.named(), layer).await?;
    let mut file = fs::File::create(file).await?;
    io::copy(&mut blob, &mut file).await?;
    Ok(())
}

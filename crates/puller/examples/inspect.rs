//! Shows the configuration of an image for a platform: `inspect docker.io/library/alpine:3.22 linux/arm64`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::error::Error;

use longshore_manifest::{ImageConfig, Preference};
use longshore_puller::{Credentials, Keyring, Places, Registries};
use longshore_reference::Reference;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(platform)) = (arguments.next(), arguments.next()) else {
        return Err("usage: inspect REFERENCE PLATFORM".into());
    };
    let config = inspect(&name, &platform).await?;
    println!("platform: {}", config.platform());
    println!("created: {}", config.created().unwrap_or("unknown"));
    println!("{:#?}", config.run());
    Ok(())
}

/// The configuration of the image for a platform such as `linux/arm64/v8`.
async fn inspect(name: &str, platform: &str) -> Result<ImageConfig, Box<dyn Error>> {
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
    let reference = Reference::parse(name)?;
    let platform = Preference::only(&platform.parse()?);
    let image = registries.image(&reference, platform).await?;
    let config = image.manifest.config().ok_or("no configuration")?;
    let mut blob = registries.blob(reference.named(), config).await?;
    let mut bytes = Vec::new();
    blob.read_to_end(&mut bytes).await?;
    Ok(ImageConfig::decode(&bytes)?)
}

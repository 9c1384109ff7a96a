//! Resolves a tag to a digest: `resolve docker.io/library/alpine:3.22`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::error::Error;

use longshore_puller::{Credentials, Keyring, Places, Registries, Resolved};
use longshore_reference::Reference;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: resolve REFERENCE")?;
    println!("{}", resolve(&name).await?);
    Ok(())
}

/// The reference with its digest.
async fn resolve(name: &str) -> Result<String, Box<dyn Error>> {
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
    let reference = Reference::parse(name)?;
    Ok(match registries.resolve(&reference).await? {
        Resolved::Manifest(descriptor) => format!("{}@{}", reference.named(), descriptor.digest),
        // An image of a v1 registry has an id and no digest.
        Resolved::V1(id) => format!("{} is the v1 image {id}", reference.named()),
    })
}

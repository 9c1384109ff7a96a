//! Lists the tags of a repository: `tags docker.io/library/alpine`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::error::Error;

use futures_util::TryStreamExt;
use longshore_puller::{Credentials, Keyring, Places, Registries};
use longshore_reference::{Named, Tag};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: tags REPOSITORY")?;
    for tag in tags(&name).await? {
        println!("{tag}");
    }
    Ok(())
}

/// All tags. The pages are asked for as the stream is read.
async fn tags(name: &str) -> Result<Vec<Tag>, Box<dyn Error>> {
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
    let named: Named = name.parse()?;
    Ok(registries.tags(&named).try_collect().await?)
}

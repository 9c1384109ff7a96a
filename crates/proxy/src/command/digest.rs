//! `longshore digest`: the digest a name stands for.

use std::process::ExitCode;

use clap::Args;
use longshore_manifest::Descriptor;
use longshore_puller::transport::{Error, Source};
use serde_json::json;

use super::exit::{EXIT_CODES, Exit};
use super::registry::{self, Output, PlatformOption, RegistryOptions};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = HELP)]
pub(crate) struct Digest {
    /// The image: a name of a registry, or TRANSPORT:NAME.
    #[arg(value_name = "REF")]
    reference: String,
    #[command(flatten)]
    platform: PlatformOption,
    /// Output: the digest alone, or a JSON object with its type and size.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Digest {
    pub(crate) fn run(self) -> ExitCode {
        registry::block_on(async {
            let client = match self.registry.client() {
                Ok(client) => client,
                Err(error) => return Exit::Usage.fail(&error),
            };
            let platform = &self.platform;
            let resolve = async |source: &Source| resolve(source, platform).await;
            let descriptor = match client.first(&self.reference, resolve).await {
                Ok(descriptor) => descriptor,
                Err(error) => return Exit::of_errors(&error).fail(&error),
            };
            let text = match self.output {
                Output::Text => format!("{}\n", descriptor.digest),
                Output::Json => {
                    let json = json!({
                        "mediaType": descriptor.media_type.as_str(),
                        "digest": descriptor.digest.to_string(),
                        "size": descriptor.size,
                    });
                    format!("{json}\n")
                }
            };
            registry::print(text.as_bytes())
        })
    }
}

/// With a platform: the image of the index for it. Without: the index, which is not fetched.
async fn resolve(source: &Source, platform: &PlatformOption) -> Result<Descriptor, Error> {
    match platform.platform {
        Some(_) => Ok(source.image(platform.preference()).await?.descriptor),
        None => source.resolve().await,
    }
}

const HELP: &str = "Examples:
  longshore digest alpine:3.22
  longshore digest --platform linux/arm64 quay.io/org/app:1
  longshore digest oci-archive:app.tar

Without --platform the digest is that of the index, and nothing is downloaded.

Exit codes: 0 success, 1 other failure, 2 usage error, 3 not found, 4 denied, 5 upstream failure, 6 verification failure.";

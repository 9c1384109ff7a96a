//! `longshore tags`: the tags of a repository.

use std::process::ExitCode;

use clap::Args;
use futures_util::TryStreamExt;
use longshore_puller::image_name::ImageName;
use longshore_puller::short_names::PullErrors;
use longshore_puller::transport::Error;
use longshore_reference::Tag;
use serde_json::json;

use super::exit::{EXIT_CODES, Exit};
use super::registry::{self, Client, Output, RegistryOptions, failed};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = HELP)]
pub(crate) struct Tags {
    /// The repository, with or without docker:// before it.
    repository: String,
    /// Output: one tag a line, or a JSON object.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Tags {
    pub(crate) fn run(self) -> ExitCode {
        registry::block_on(async {
            let client = match self.registry.client() {
                Ok(client) => client,
                Err(error) => return Exit::Usage.fail(&error),
            };
            let (name, tags) = match list(&client, &self.repository).await {
                Ok(found) => found,
                Err(error) => return Exit::of_errors(&error).fail(&error),
            };
            let tags = tags.iter().map(Tag::as_str);
            let text = match self.output {
                Output::Text => tags.flat_map(|tag| [tag, "\n"]).collect(),
                Output::Json => {
                    let tags: Vec<_> = tags.collect();
                    format!("{}\n", json!({ "name": name, "tags": tags }))
                }
            };
            registry::print(text.as_bytes())
        })
    }
}

/// The tags of the first registry or mirror that answers.
async fn list(client: &Client, repository: &str) -> Result<(String, Vec<Tag>), PullErrors<Error>> {
    let mut errors = Vec::new();
    let names = client.names(repository).await;
    for name in names.map_err(|error| failed(vec![error]))? {
        let ImageName::Docker(docker) = &name else {
            errors.push(Error::Unsupported(
                "only repositories of registries have tags",
            ));
            break;
        };
        let (registries, references) = match client.access(&name).sources(docker) {
            Ok(sources) => sources,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for reference in references {
            match registries.tags(reference.named()).try_collect().await {
                Ok(tags) => return Ok((docker.reference().named().to_string(), tags)),
                Err(error) => errors.push(error.into()),
            }
        }
    }
    Err(failed(errors))
}

const HELP: &str = "Examples:
  longshore tags alpine
  longshore tags --output json quay.io/org/app

Exit codes: 0 success, 1 other failure, 2 usage error, 3 not found, 4 denied, 5 upstream failure, 6 verification failure.";

//! `longshore store refresh` and `longshore store purge`

use std::process::ExitCode;

use clap::Args;
use longshore_reference::{Reference, Tagged};
use serde_json::json;

use super::place::{Failed, Place, end};
use crate::command::output::{Format, bytes, print, print_json};

#[derive(Debug, Args)]
#[command(after_help = REFRESH_EXAMPLES)]
pub(super) struct Refresh {
    /// The tag, such as alpine:3.22.
    #[arg(value_name = "REF", value_parser = parse_tagged)]
    tagged: Tagged,
}

#[derive(Debug, Args)]
#[command(after_help = PURGE_EXAMPLES)]
pub(super) struct Purge {
    /// The tag or the manifest, such as alpine:3.22 or alpine@sha256:…
    #[arg(value_name = "REF", value_parser = Reference::parse)]
    reference: Reference,
}

impl Refresh {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.refresh(place))
    }

    fn refresh(&self, place: &Place) -> Result<ExitCode, Failed> {
        place.open()?.refresh(&self.tagged)?;
        let tagged = self.tagged.to_string();
        Ok(match place.output {
            Format::Json => print_json(&json!({ "tag": tagged })),
            Format::Text => print(&format!(
                "{tagged}: upstream is asked at the next request\n"
            )),
        })
    }
}

impl Purge {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.purge(place))
    }

    fn purge(&self, place: &Place) -> Result<ExitCode, Failed> {
        let purged = place.open()?.purge(&self.reference)?;
        let tags: Vec<_> = purged.tags.iter().map(Tagged::to_string).collect();
        Ok(match place.output {
            Format::Json => print_json(&json!({
                "tags": tags,
                "objects": purged.objects,
                "bytes": purged.bytes,
            })),
            Format::Text => {
                let tags = tags.iter().map(|tag| format!("{tag}: forgotten\n"));
                let removed = bytes(purged.bytes);
                let text = format!(
                    "{}{} files, {removed} removed\n",
                    tags.collect::<String>(),
                    purged.objects
                );
                print(&text)
            }
        })
    }
}

fn parse_tagged(text: &str) -> Result<Tagged, String> {
    match Reference::parse(text) {
        Ok(Reference::Tagged(tagged)) => Ok(tagged),
        Ok(Reference::Canonical(_)) => {
            Err("a digest always stands for the same: name a tag".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

const REFRESH_EXAMPLES: &str = "\
The tag is still served while upstream cannot be reached.

Examples:
  longshore store refresh alpine:3.22";
const PURGE_EXAMPLES: &str = "\
What another tag or repository refers to stays, and so does what is pinned. In a bucket the records are removed, the
content is not.

Examples:
  longshore store purge registry.example/team/app:main
  longshore store purge registry.example/team/app@sha256:0123…";

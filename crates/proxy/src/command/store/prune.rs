//! `longshore store prune`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use longshore_store::{Amount, Pruned, Removed};
use serde_json::{Value, json};

use super::place::{Failed, Place, end};
use crate::command::output::{Format, bytes, note, print, print_json};
use crate::config::parse_room;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Prune {
    /// Evict, what was used least first, until the store holds no more than this, such as 50GiB. Without it, what
    /// nothing refers to is removed.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    to: Option<u64>,
    /// Without --to: leave alone what is younger, such as 30m; it may be about to be recorded.
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration, default_value = "1h", conflicts_with = "to")]
    min_age: Duration,
    /// Only report what would be removed.
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.prune(place))
    }

    fn prune(&self, place: &Place) -> Result<ExitCode, Failed> {
        let store = place.open()?;
        let pruned = match self.to {
            Some(size) => store.evict_to(size, self.dry_run)?,
            None => store.remove_unreferenced(self.min_age, self.dry_run)?,
        };
        let written = match place.output {
            Format::Json => print_json(&to_json(&pruned, self.dry_run)),
            Format::Text => print(&to_text(&pruned, self.dry_run)),
        };
        if self.to.is_some_and(|size| pruned.left > size) {
            note("what is left is pinned or waits for its upload");
            return Ok(ExitCode::FAILURE);
        }
        Ok(written)
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    match parse_room(text) {
        Ok(Amount::Bytes(size)) => Ok(size),
        Ok(Amount::Percent(_)) => Err("write a size, such as 50GiB".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn to_text(pruned: &Pruned, dry_run: bool) -> String {
    let mut text = String::new();
    for removed in &pruned.removed {
        let tags = removed.tags.join(", ");
        let line = format!("{}  {}  {tags}", removed.digest, bytes(removed.bytes));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let verb = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    text.push_str(&format!(
        "{} files, {} {verb}; {} left\n",
        pruned.removed.len(),
        bytes(pruned.bytes()),
        bytes(pruned.left)
    ));
    text
}

fn to_json(pruned: &Pruned, dry_run: bool) -> Value {
    let removed = |removed: &Removed| {
        json!({
            "digest": removed.digest.to_string(),
            "bytes": removed.bytes,
            "tags": removed.tags,
        })
    };
    json!({
        "dryRun": dry_run,
        "bytes": pruned.bytes(),
        "left": pruned.left,
        "removed": Value::from_iter(pruned.removed.iter().map(removed)),
    })
}

const EXAMPLES: &str = "\
Pinned content and what waits for its upload to a bucket stay. Exit code 1: the size could not be reached.

Examples:
  longshore store prune --dry-run
  longshore store prune --to 50GiB";

//! `longshore store verify`

use std::process::ExitCode;
use std::thread;

use clap::Args;
use longshore_store::{Damage, Verified};
use serde_json::{Value, json};

use super::place::{DAMAGED, Failed, Place, end};
use crate::command::output::{Format, bytes, print, print_json, progress};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    /// Move what is damaged to quarantine: it is fetched again when it is asked for.
    #[arg(long)]
    repair: bool,
    /// Files that are hashed at once [default: one for each core].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Verify {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.verify(place))
    }

    fn verify(&self, place: &Place) -> Result<ExitCode, Failed> {
        let threads = self.threads.map(usize::from);
        let threads = threads
            .or_else(|| thread::available_parallelism().ok().map(Into::into))
            .unwrap_or(1);
        let store = place.open()?;
        let bar = progress("verifying", place.output);
        let verified = store.verify(self.repair, threads, &|progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        let verified = verified?;
        let written = match place.output {
            Format::Json => print_json(&to_json(&verified)),
            Format::Text => print(&to_text(&verified)),
        };
        Ok(match verified.damaged.is_empty() {
            true => written,
            false => DAMAGED.into(),
        })
    }
}

fn to_text(verified: &Verified) -> String {
    let mut text = String::new();
    for damage in &verified.damaged {
        let moved = match damage.quarantined {
            true => ": moved to quarantine",
            false => "",
        };
        text.push_str(&format!(
            "{} is damaged ({}){moved}\n",
            damage.digest, damage.reason
        ));
    }
    text.push_str(&format!(
        "{} files, {}: {} damaged\n",
        verified.objects,
        bytes(verified.bytes),
        verified.damaged.len()
    ));
    text
}

fn to_json(verified: &Verified) -> Value {
    let damage = |damage: &Damage| {
        json!({
            "digest": damage.digest.to_string(),
            "reason": damage.reason,
            "quarantined": damage.quarantined,
        })
    };
    json!({
        "objects": verified.objects,
        "bytes": verified.bytes,
        "damaged": Value::from_iter(verified.damaged.iter().map(damage)),
    })
}

const EXAMPLES: &str = "\
Exit code 3: damaged content was found, repaired or not.

Examples:
  longshore store verify
  longshore store verify --repair --output json";

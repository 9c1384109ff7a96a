//! `longshore store du`

use std::process::ExitCode;

use clap::Args;
use longshore_store::{DiskUsage, RepositoryUsage, UpstreamUsage};
use serde_json::{Value, json};

use super::place::{Failed, Place, end};
use crate::command::output::{Format, bytes, print, print_json, table};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Usage {}

impl Usage {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(Self::measure(place))
    }

    fn measure(place: &Place) -> Result<ExitCode, Failed> {
        let usage = place.open()?.disk_usage()?;
        Ok(match place.output {
            Format::Json => print_json(&to_json(&usage)),
            Format::Text => print(&to_text(&usage)),
        })
    }
}

fn to_text(usage: &DiskUsage) -> String {
    let row =
        |name: &str, size: u64, unique: u64| vec![name.to_owned(), bytes(size), bytes(unique)];
    let mut rows = vec![["", "SIZE", "UNIQUE"].map(str::to_owned).to_vec()];
    for upstream in &usage.upstreams {
        rows.push(row(&upstream.name, upstream.bytes, upstream.unique));
        for repository in &upstream.repositories {
            let name = format!("  {}", repository.named.path());
            rows.push(row(&name, repository.bytes, repository.unique));
        }
    }
    if usage.unreferenced > 0 {
        rows.push(row(
            "(no repository)",
            usage.unreferenced,
            usage.unreferenced,
        ));
    }
    rows.push(vec!["total".to_owned(), bytes(usage.bytes)]);
    table(&rows, &[1, 2])
}

fn to_json(usage: &DiskUsage) -> Value {
    let repository = |repository: &RepositoryUsage| {
        json!({
            "repository": repository.named.to_string(),
            "tags": repository.tags,
            "bytes": repository.bytes,
            "unique": repository.unique,
        })
    };
    let upstream = |upstream: &UpstreamUsage| {
        json!({
            "upstream": upstream.name,
            "bytes": upstream.bytes,
            "unique": upstream.unique,
            "repositories": Value::from_iter(upstream.repositories.iter().map(repository)),
        })
    };
    json!({
        "bytes": usage.bytes,
        "objects": usage.objects,
        "unreferenced": usage.unreferenced,
        "upstreams": Value::from_iter(usage.upstreams.iter().map(upstream)),
    })
}

const EXAMPLES: &str = "\
SIZE is all that an upstream or repository has, UNIQUE what no other one has. The total counts what is shared once.

Examples:
  longshore store du
  longshore store du --output json";

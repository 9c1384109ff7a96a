//! `longshore store ls`

use std::cmp::Reverse;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use longshore_store::HeldTag;
use serde_json::{Value, json};

use super::place::{Failed, Place, end};
use crate::command::output::{Format, ago, bytes, print, print_json, table, timestamp};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct List {
    /// A repository, or repository and tag, such as alpine or 'docker.io/library/*:3.*'; * stands for any characters.
    pattern: Option<String>,
    /// What to sort by: the name, the largest first, or the last used first.
    #[arg(long, value_name = "KEY", value_enum, default_value_t)]
    sort: Sort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Sort {
    #[default]
    Name,
    Size,
    Used,
}

impl List {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.list(place))
    }

    fn list(&self, place: &Place) -> Result<ExitCode, Failed> {
        let mut tags = place.open()?.tags()?;
        if let Some(pattern) = &self.pattern {
            tags.retain(|tag| tag.matches(pattern));
        }
        match self.sort {
            Sort::Name => {}
            Sort::Size => tags.sort_by_key(|tag| Reverse(tag.size)),
            Sort::Used => tags.sort_by_key(|tag| Reverse(tag.used)),
        }
        Ok(match place.output {
            Format::Json => print_json(&Value::from_iter(tags.iter().map(to_json))),
            Format::Text => print(&to_text(&tags, SystemTime::now())),
        })
    }
}

fn to_text(tags: &[HeldTag], now: SystemTime) -> String {
    let mut rows = vec![
        ["REPOSITORY", "TAG", "DIGEST", "SIZE", "USED"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(tags.iter().map(|tag| {
        let digest = tag.digest.to_string();
        let short = digest.find(':').and_then(|colon| digest.get(..colon + 13));
        vec![
            tag.tagged.named().to_string(),
            tag.tagged.tag().to_string(),
            short.unwrap_or(&digest).to_owned(),
            bytes(tag.size),
            tag.used
                .map_or_else(|| "evicted".to_owned(), |used| ago(used, now)),
        ]
    }));
    table(&rows, &[3])
}

fn to_json(tag: &HeldTag) -> Value {
    json!({
        "repository": tag.tagged.named().to_string(),
        "tag": tag.tagged.tag().to_string(),
        "digest": tag.digest.to_string(),
        "mediaType": tag.media_type,
        "size": tag.size,
        "used": tag.used.map(timestamp),
        "checked": timestamp(tag.checked),
    })
}

const EXAMPLES: &str = "\
Examples:
  longshore store ls
  longshore store ls alpine
  longshore store ls 'ghcr.io/*' --sort size --output json";

//! `longshore store import` and `longshore store export`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use longshore_reference::{Parsed, Reference};
use longshore_store::{ExportFormat, Exported, Imported};
use serde_json::{Value, json};

use super::place::{Failed, Place, end};
use crate::command::output::{Format, bytes, note, print, print_json, progress};
use crate::names::Buffer;

#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub(super) struct Import {
    /// A folder or a tar with an OCI layout, or a tar that `docker save` wrote.
    path: PathBuf,
    /// What to call the image. A repository without a tag names all images of which the archive knows the tag only.
    #[arg(long, value_name = "REF", value_parser = parse_name)]
    name: Option<Parsed>,
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub(super) struct Export {
    /// The image, such as alpine:3.22 or alpine@sha256:…
    #[arg(value_name = "REF", value_parser = Reference::parse)]
    reference: Reference,
    /// A folder, or a file that is not there yet. An OCI layout in a folder gets the image in addition.
    path: PathBuf,
    /// What to write [default: oci-archive where the path ends in .tar, else oci].
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// An OCI layout in a folder.
    Oci,
    /// An OCI layout in a tar.
    OciArchive,
    /// What `docker save` writes: one image, without what refers to it.
    DockerArchive,
}

impl Import {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.import(place))
    }

    fn import(&self, place: &Place) -> Result<ExitCode, Failed> {
        let config = place.config()?;
        let names = config.names();
        let store = place.create(config)?;
        let bar = progress("importing", place.output);
        let imported = store.import(&self.path, self.name.as_ref(), &|progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        let imported = imported?;
        imported
            .skipped
            .iter()
            .for_each(|skipped| note(&format!("left out: {skipped}")));
        for (tagged, _) in &imported.images {
            let domain = tagged.named().domain();
            if names.find(domain, &mut Buffer::default()).is_none() {
                note(&format!(
                    "{tagged} is not served: configure the upstream {domain}"
                ));
            }
        }
        Ok(match place.output {
            Format::Json => print_json(&import_to_json(&imported)),
            Format::Text => print(&import_to_text(&imported)),
        })
    }
}

impl Export {
    pub(super) fn run(&self, place: &Place) -> ExitCode {
        end(self.export(place))
    }

    fn export(&self, place: &Place) -> Result<ExitCode, Failed> {
        let is_tar = self
            .path
            .extension()
            .is_some_and(|extension| extension == "tar");
        let format = match (self.format, is_tar) {
            (Some(Kind::Oci), _) | (None, false) => ExportFormat::Oci,
            (Some(Kind::OciArchive), _) | (None, true) => ExportFormat::OciArchive,
            (Some(Kind::DockerArchive), _) => ExportFormat::DockerArchive,
        };
        let store = place.open()?;
        let bar = progress("exporting", place.output);
        let exported = store.export(&self.reference, &self.path, format, &|progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        let exported = exported?;
        exported
            .skipped
            .iter()
            .for_each(|skipped| note(&format!("left out: {skipped}")));
        Ok(match place.output {
            Format::Json => print_json(&export_to_json(&exported)),
            Format::Text => print(&format!(
                "{}  {}  {}, {} referrers\n",
                self.reference,
                exported.digest,
                bytes(exported.bytes),
                exported.referrers
            )),
        })
    }
}

fn parse_name(text: &str) -> Result<Parsed, String> {
    let parsed = Parsed::parse(text).map_err(|error| error.to_string())?;
    match parsed.digest() {
        Some(_) => Err("write a repository, with or without a tag".to_owned()),
        None => Ok(parsed),
    }
}

fn import_to_text(imported: &Imported) -> String {
    let images = imported.images.iter();
    let images = images.map(|(tagged, digest)| format!("{tagged}  {digest}\n"));
    let (new, referrers) = (bytes(imported.bytes), imported.referrers);
    format!(
        "{}{new} were new, {referrers} referrers\n",
        images.collect::<String>()
    )
}

fn import_to_json(imported: &Imported) -> Value {
    let images = imported.images.iter();
    let images = images
        .map(|(tagged, digest)| json!({ "tag": tagged.to_string(), "digest": digest.to_string() }));
    json!({
        "images": Value::from_iter(images),
        "referrers": imported.referrers,
        "bytes": imported.bytes,
        "skipped": imported.skipped,
    })
}

fn export_to_json(exported: &Exported) -> Value {
    json!({
        "digest": exported.digest.to_string(),
        "referrers": exported.referrers,
        "bytes": exported.bytes,
        "skipped": exported.skipped,
    })
}

const IMPORT_EXAMPLES: &str = "\
A running server serves an imported tag while its upstream cannot be reached, and asks upstream about it otherwise. What
is imported is served by digest always.

Examples:
  longshore store import alpine.tar
  longshore store import ./layout --name registry.example/team/app:1.2";
const EXPORT_EXAMPLES: &str = "\
Signatures, SBOMs and whatever else the store has that refers to the image come along, except in a docker-archive. Of an
index, the images that are held come.

Examples:
  longshore store export alpine:3.22 alpine.tar
  longshore store export registry.example/team/app:1.2 ./layout
  longshore store export alpine:3.22 alpine.tar --format docker-archive";

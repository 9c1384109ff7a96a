//! `longshore copy`: an image from one place to another.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use longshore_puller::goal::Goal;
use longshore_puller::image_name::{ArchiveImage, ImageName, LayoutImage, LayoutName};
use longshore_puller::policy;
use longshore_puller::short_names::PullErrors;
use longshore_puller::transport::{
    Copied, Destination, Error, Options, Progress, Source, copy, layout_name, of_image_name,
};
use longshore_reference::Tagged;
use serde_json::json;

use super::exit::{EXIT_CODES, Exit};
use super::registry::{self, Client, Output, PlatformOption, RegistryOptions, failed};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = HELP)]
pub(crate) struct Copy {
    /// The image: TRANSPORT:NAME, or a name of a registry.
    source: String,
    /// Where it goes: oci:FOLDER[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME:TAG] or dir:FOLDER.
    destination: ImageName,
    /// Copy all images of an index, or of a file of docker save.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    platform: PlatformOption,
    /// A policy.json that images have to meet [default: none].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Copy only an image that has this label.
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Fail where the destination needs another manifest.
    #[arg(long)]
    preserve_digests: bool,
    /// One more name for an image in a file of docker save.
    #[arg(long = "additional-tag", value_name = "NAME:TAG")]
    tags: Vec<Tagged>,
    /// Write no progress.
    #[arg(long, short)]
    quiet: bool,
    /// Output: the digest at the destination, or a JSON object for each image.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Copy {
    pub(crate) fn run(self) -> ExitCode {
        let policy = self.policy.as_deref().map(policy::load).transpose();
        let policy = match policy {
            Ok(policy) => policy,
            Err(error) => return Exit::Usage.fail(&error),
        };
        let mut options = Options::default();
        options.preference = self.platform.preference();
        options.all = self.all;
        options.policy = policy.map(Arc::new);
        options.label = self.label;
        options.preserve_digests = self.preserve_digests;
        options.tags = self.tags;
        if !self.quiet {
            options.observer = Arc::new(show);
        }
        let client = match self.registry.client() {
            Ok(client) => client,
            Err(error) => return Exit::Usage.fail(&error),
        };
        registry::block_on(async {
            let copied = run(&client, &self.source, &self.destination, &options);
            match copied.await {
                Ok(copied) => registry::print(report(&copied, self.output).as_bytes()),
                Err(error) => Exit::of_errors(&error).fail(&error),
            }
        })
    }
}

/// The name of each image at the destination, and what was copied.
type Done = Vec<(String, Copied)>;

async fn run(
    client: &Client,
    source: &str,
    to: &ImageName,
    options: &Options,
) -> Result<Done, PullErrors<Error>> {
    let mut errors = Vec::new();
    let names = client.names(source).await;
    for name in names.map_err(|error| failed(vec![error]))? {
        let copied = match &name {
            ImageName::DockerArchive(archive)
                if options.all && *archive.image() == ArchiveImage::Only =>
            {
                every(client, &name, to, options).await
            }
            _ => one(client, &name, to, options).await.map(|done| vec![done]),
        };
        match copied {
            Ok(done) => return Ok(done),
            // As in libpod, it ends the search.
            Err(error @ Error::NoLabel { .. }) => return Err(failed(vec![error])),
            Err(error) => errors.push(error),
        }
    }
    Err(failed(errors))
}

async fn one(
    client: &Client,
    name: &ImageName,
    to: &ImageName,
    options: &Options,
) -> Result<(String, Copied), Error> {
    let source = Source::open(name, &client.access(name)).await?;
    let destination = Destination::open(to).await?;
    let copied = copy(&source, &destination, options).await?;
    destination.commit().await?;
    Ok((to.to_string(), copied))
}

/// Copies every image of a file of `docker save`, under its own names.
async fn every(
    client: &Client,
    name: &ImageName,
    to: &ImageName,
    options: &Options,
) -> Result<Done, Error> {
    let goal = of_image_name(name, &name.to_string()).await?;
    match to {
        ImageName::DockerArchive(archive) if *archive.image() == ArchiveImage::Only => {
            saved(client, &goal, to, options).await
        }
        ImageName::Oci(layout) if *layout.image() == LayoutImage::Only => {
            let mut done = Vec::new();
            for pair in &goal.pairs {
                let image = LayoutImage::Named(layout_name(pair));
                let to = ImageName::Oci(LayoutName::new(layout.path(), image)?);
                done.push(one(client, &pair.source, &to, options).await?);
            }
            Ok(done)
        }
        _ => Err(Error::Unsupported(
            "all images of a file of docker save go to docker-archive:FILE or oci:FOLDER, without a name",
        )),
    }
}

/// All images of a file of `docker save` in another one.
async fn saved(
    client: &Client,
    goal: &Goal,
    to: &ImageName,
    options: &Options,
) -> Result<Done, Error> {
    let destination = Destination::open(to).await?;
    let mut done: Done = Vec::new();
    let mut last: Option<&ImageName> = None;
    for pair in &goal.pairs {
        // The pairs of one image follow one another.
        if last.replace(&pair.source) == Some(&pair.source) {
            continue;
        }
        let source = Source::open(&pair.source, &client.access(&pair.source)).await?;
        let mut options = options.clone();
        let names = source.given_names().into_iter();
        options.tags = names.filter_map(|name| name.parse().ok()).collect();
        let copied = copy(&source, &destination, &options).await?;
        done.push((to.to_string(), copied));
    }
    destination.commit().await?;
    Ok(done)
}

/// Progress: a line for each blob and manifest, on standard error.
fn show(progress: &Progress) {
    let line = match progress {
        Progress::Started { digest, .. } => format!("copying {digest}"),
        Progress::Done { digest } => format!("copied {digest}"),
        Progress::Present { digest, .. } => format!("present {digest}"),
        Progress::Manifest { digest } => format!("wrote manifest {digest}"),
        _ => return,
    };
    // Standard error is closed: the copy goes on.
    let _ = writeln!(io::stderr(), "{line}");
}

fn report(done: &Done, output: Output) -> String {
    let line = |(name, copied): &(String, Copied)| match output {
        Output::Text => format!("{}\n", copied.written.digest),
        Output::Json => {
            let json = json!({
                "destination": name,
                "source": copied.source.digest.to_string(),
                "digest": copied.written.digest.to_string(),
                "mediaType": copied.written.media_type.as_str(),
            });
            format!("{json}\n")
        }
    };
    done.iter().map(line).collect()
}

const HELP: &str = "Examples:
  longshore copy docker://alpine:3.22 oci:layout:3.22
  longshore copy --all docker://quay.io/org/app:1 oci-archive:app.tar:1
  longshore copy --platform linux/arm64 docker://alpine docker-archive:alpine.tar:alpine:latest
  longshore copy docker-archive:images.tar:@1 dir:image
  longshore copy --all docker-archive:images.tar oci:layout

Exit codes: 0 success, 1 other failure, 2 usage error, 3 not found, 4 denied, 5 upstream failure, 6 verification failure.";

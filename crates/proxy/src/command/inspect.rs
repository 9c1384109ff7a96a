//! `longshore inspect`: what an image is.

use std::fmt::Write as _;
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use clap::Args;
use longshore_manifest::{CONFIG_BYTES_MAX, Descriptor, ImageConfig, Kind, Manifest};
use longshore_puller::Document;
use longshore_puller::transport::{Error, Source};
use serde_json::{Value, json};

use super::exit::{EXIT_CODES, Exit};
use super::registry::{self, Output, PlatformOption, RegistryOptions};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = HELP)]
pub(crate) struct Inspect {
    /// The image: a name of a registry, or TRANSPORT:NAME.
    #[arg(value_name = "REF")]
    reference: String,
    /// Write the manifest, byte for byte; without --platform that of the index.
    #[arg(long)]
    raw: bool,
    /// Write the image configuration, byte for byte.
    #[arg(long, conflicts_with = "raw")]
    config: bool,
    #[command(flatten)]
    platform: PlatformOption,
    /// Output of what is neither --raw nor --config.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    registry: RegistryOptions,
}

/// What is known of an image.
struct Inspected {
    name: String,
    top: Document,
    image: Document,
    config: Option<Bytes>,
}

impl Inspect {
    pub(crate) fn run(mut self) -> ExitCode {
        registry::block_on(async {
            let reference = std::mem::take(&mut self.reference);
            let (raw, config, output) = (self.raw, self.config, self.output);
            let client = match self.registry.client() {
                Ok(client) => client,
                Err(error) => return Exit::Usage.fail(&error),
            };
            let platform = &self.platform;
            let bytes = client.first(&reference, async |source: &Source| {
                if raw {
                    return manifest(source, platform).await;
                }
                let inspected = inspect(source, platform).await?;
                match config {
                    true => inspected
                        .config
                        .ok_or(Error::Unsupported("it has no image configuration")),
                    false => inspected.show(output),
                }
            });
            match bytes.await {
                Ok(bytes) => registry::print(&bytes),
                Err(error) => Exit::of_errors(&error).fail(&error),
            }
        })
    }
}

/// The exact bytes of the manifest; with a platform, of the image of the index for it.
async fn manifest(source: &Source, platform: &PlatformOption) -> Result<Bytes, Error> {
    let document = match platform.platform {
        Some(_) => source.image(platform.preference()).await?,
        None => source.top().await?,
    };
    Ok(document.manifest.bytes().clone())
}

async fn inspect(source: &Source, platform: &PlatformOption) -> Result<Inspected, Error> {
    let top = source.top().await?;
    let image = match top.manifest.kind() {
        Kind::Index => source.image(platform.preference()).await?,
        _ => top.clone(),
    };
    let config = match image.manifest.config() {
        Some(config) if config.media_type.is_config() => Some(read(source, config).await?),
        _ => None,
    };
    Ok(Inspected {
        name: source.name().to_string(),
        top,
        image,
        config,
    })
}

async fn read(source: &Source, descriptor: &Descriptor) -> Result<Bytes, Error> {
    let mut content = source.blob(descriptor).await?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = content.chunk().await? {
        if bytes.len().saturating_add(chunk.len()) > CONFIG_BYTES_MAX {
            return Err(Error::Unsupported("the image configuration is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

impl Inspected {
    fn show(&self, output: Output) -> Result<Bytes, Error> {
        let config = self.config.as_deref().map(ImageConfig::decode).transpose();
        let config = config.map_err(|source| Error::Document {
            what: "image configuration".to_owned(),
            source,
        })?;
        let json = self.json(config.as_ref());
        Ok(match output {
            Output::Json => format!("{json:#}\n").into(),
            Output::Text => text(&json).into(),
        })
    }

    fn json(&self, config: Option<&ImageConfig>) -> Value {
        let Self {
            name, top, image, ..
        } = self;
        let mut json = json!({
            "name": name,
            "digest": top.descriptor.digest.to_string(),
            "mediaType": top.descriptor.media_type.as_str(),
        });
        if top.manifest.kind() == Kind::Index {
            json["manifests"] = entries(&top.manifest);
            json["image"] = image.descriptor.digest.to_string().into();
        }
        if let Some(config) = config {
            let run = config.run();
            json["platform"] = config.platform().to_string().into();
            json["created"] = config.created().map_or(Value::Null, Value::from);
            json["labels"] = json!(run.labels);
            json["env"] = json!(run.env);
            json["entrypoint"] = json!(run.entrypoint);
            json["cmd"] = json!(run.cmd);
            json["user"] = json!(run.user);
            json["workingDir"] = json!(run.working_dir);
        }
        if let Some(artifact_type) = image.manifest.artifact_type() {
            json["artifactType"] = artifact_type.as_str().into();
        }
        let layers = image.manifest.layers().map(|layer| {
            json!({
                "digest": layer.digest.to_string(), "size": layer.size,
                "mediaType": layer.media_type.as_str(),
            })
        });
        json["layers"] = layers.collect();
        json
    }
}

fn entries(index: &Manifest) -> Value {
    let entry = |entry: &Descriptor| {
        json!({
            "digest": entry.digest.to_string(),
            "mediaType": entry.media_type.as_str(),
            "platform": entry.platform.as_ref().map(|platform| platform.to_string()),
        })
    };
    index.manifests().map(entry).collect()
}

/// The same for people: a line for each fact.
fn text(json: &Value) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &Value| {
        // What is written to a text is never refused.
        let _ = match value {
            Value::String(value) if !value.is_empty() => {
                writeln!(text, "{:<13}{value}", title(key))
            }
            Value::Array(values) if !values.is_empty() => {
                let _ = writeln!(text, "{}", title(key));
                values
                    .iter()
                    .try_for_each(|value| writeln!(text, "  {}", item(value)))
            }
            Value::Object(values) if !values.is_empty() => {
                let _ = writeln!(text, "{}", title(key));
                let mut values = values.iter();
                values.try_for_each(|(key, value)| writeln!(text, "  {key}={}", item(value)))
            }
            _ => Ok(()),
        };
    };
    for key in KEYS {
        line(key, json.get(key).unwrap_or(&Value::Null));
    }
    text
}

fn title(key: &str) -> String {
    let mut title = String::new();
    for letter in key.chars() {
        match (title.is_empty(), letter.is_uppercase()) {
            (true, _) => title.extend(letter.to_uppercase()),
            (false, true) => {
                title.push(' ');
                title.extend(letter.to_lowercase());
            }
            (false, false) => title.push(letter),
        }
    }
    title + ":"
}

fn item(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => {
            let texts = ["digest", "size", "mediaType", "platform"].iter();
            let texts = texts.filter_map(|&key| object.get(key));
            let texts = texts.filter(|value| !value.is_null());
            texts.map(item).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// In the order they are shown in.
const KEYS: [&str; 15] = [
    "name",
    "digest",
    "mediaType",
    "artifactType",
    "manifests",
    "image",
    "platform",
    "created",
    "user",
    "workingDir",
    "entrypoint",
    "cmd",
    "env",
    "labels",
    "layers",
];

const HELP: &str = "Examples:
  longshore inspect alpine:3.22
  longshore inspect --output json quay.io/org/app:1
  longshore inspect --raw docker://docker.io/library/alpine
  longshore inspect --config --platform linux/arm64 oci:layout:v1

Exit codes: 0 success, 1 other failure, 2 usage error, 3 not found, 4 denied, 5 upstream failure, 6 verification failure.";

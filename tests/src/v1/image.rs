//! Images of protocol v1, made from the sizes of their layers.

use crate::content::Content;
use crate::gzip::gzip;
use crate::tar::tar;
use bytes::Bytes;
use serde_json::{Value, json};

/// An image of registry protocol v1. The bytes depend only on what it was made from.
#[derive(Clone, Debug)]
pub struct V1Image {
    /// What it consists of, the base first: each is an image as well.
    pub layers: Vec<V1Layer>,
}

/// An image and the layer that it adds to its parent.
#[derive(Clone, Debug)]
pub struct V1Layer {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The exact bytes of the image's JSON.
    pub json: Bytes,
    /// The layer as the registry sends it.
    pub blob: Content,
    /// `sha256:<hex>` of the layer as it is sent.
    pub digest: String,
    /// `sha256:<hex>` of the tar inside.
    pub diff_id: String,
}

/// What kind of image to make.
#[derive(Clone, Copy, Debug)]
pub struct V1Style {
    /// Whether layers are gzipped; otherwise they are plain tars.
    pub gzipped: bool,
    /// The version of Docker that made it: before 1.8.3 unknown keys of the JSON do not survive a conversion.
    pub docker_version: &'static str,
}

impl Default for V1Style {
    fn default() -> Self {
        Self {
            gzipped: true,
            docker_version: "1.9.1",
        }
    }
}

impl V1Image {
    /// An image of Docker 1.9.1 with gzipped layers, each with one file of so many bytes, the base first. Images with
    /// different names share nothing.
    #[must_use]
    pub fn new(name: &str, layers: &[u64]) -> Self {
        Self::styled(name, layers, V1Style::default())
    }

    /// As [`new`](Self::new), in another style.
    #[must_use]
    pub fn styled(name: &str, layers: &[u64], style: V1Style) -> Self {
        let mut made: Vec<V1Layer> = Vec::with_capacity(layers.len());
        for (number, size) in layers.iter().enumerate() {
            let seed = format!("{name} {number} {style:?}");
            let id = hex_of(&seed);
            let tar = Content::from(tar(
                &format!("{name}-{number}"),
                &Content::seeded(number_of(&id), *size),
            ));
            let blob = if style.gzipped {
                Content::from(gzip(&tar.bytes()))
            } else {
                tar.clone()
            };
            let parent = made.last().map(|below| below.id.as_str());
            let json = image_json(&id, parent, number, *size, style.docker_version);
            made.push(V1Layer {
                json: json.into(),
                digest: blob.digest(),
                diff_id: tar.digest(),
                blob,
                id,
            });
        }
        Self { layers: made }
    }

    /// The id of the image itself, that of the last layer.
    ///
    /// # Panics
    /// When it has no layers.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.layers.last().expect("a layer").id
    }

    /// Bytes of all layers as they are sent.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.blob.len()).sum()
    }

    /// The command that [`V1Layer::json`] says the layer was made by.
    #[must_use]
    pub fn created_by(number: usize) -> String {
        command(number).join(" ")
    }
}

impl V1Layer {
    /// `sha256:<hex>` of the JSON, a line feed and the layer, as the Python registry makes its checksum.
    pub(super) fn payload_checksum(&self) -> String {
        let mut bytes = self.json.to_vec();
        bytes.push(b'\n');
        bytes.extend(self.blob.bytes());
        Content::from(bytes).digest()
    }
}

/// What a Docker of that time wrote, indented so that whoever serialises it again is found out.
fn image_json(id: &str, parent: Option<&str>, number: usize, size: u64, version: &str) -> Vec<u8> {
    let container = |command: Value| {
        json!({
            "Hostname": "3a09b2588478", "Domainname": "", "User": "", "AttachStdin": false,
            "AttachStdout": false, "AttachStderr": false, "PortSpecs": null, "ExposedPorts": null,
            "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": ["PATH=/usr/bin:/bin"],
            "Cmd": command, "Image": parent.unwrap_or_default(), "Volumes": null,
            "WorkingDir": "", "Entrypoint": null, "OnBuild": [], "Labels": {},
        })
    };
    let mut json = json!({
        "id": id,
        "created": format!("2015-10-0{}T12:34:56.120Z", number % 9 + 1),
        "container": hex_of(&format!("container {id}")),
        "container_config": container(command(number).into()),
        "docker_version": version,
        "author": "A <a@b.example> & Ü",
        "config": container(json!(["/bin/sh", "-c", "echo <&>"])),
        "architecture": "amd64",
        "os": "linux",
        "Size": size,
        "x-unknown": { "kept": "since 1.8.3" },
    });
    if let Some(parent) = parent {
        json["parent"] = parent.into();
    }
    serde_json::to_vec_pretty(&json).unwrap()
}

fn command(number: usize) -> Vec<String> {
    let made = format!("#(nop) ADD file:{number} in / && echo <&>");
    vec!["/bin/sh".into(), "-c".into(), made]
}

fn hex_of(text: &str) -> String {
    let digest = Content::from(text.to_owned()).digest();
    digest.trim_start_matches("sha256:").to_owned()
}

fn number_of(hex: &str) -> u64 {
    u64::from_str_radix(&hex[..16], 16).unwrap()
}

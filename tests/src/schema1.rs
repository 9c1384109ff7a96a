//! Docker's image manifest version 2, schema 1, signed as libtrust signs it.

use crate::content::Content;
use crate::keys::{Key, base64_url, certificate};
use crate::origin::Origin;
use crate::registry::media;
use crate::v1::V1Image;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// A schema 1 manifest that is not signed yet.
#[derive(Clone, Debug)]
pub struct Schema1 {
    /// The exact bytes without signatures; the manifest's digest is made of these.
    pub payload: Bytes,
    /// `sha256:<hex>` of [`payload`](Self::payload).
    pub digest: String,
    /// What it was made of, the base first, steps without a layer left out.
    pub image: V1Image,
    repository: String,
    tag: String,
}

/// Who signs.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    /// DER, the key's own certificate first; empty: the key itself is in the signature.
    chain: Vec<Vec<u8>>,
}

/// What is wrong with a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// The signature is of other bytes.
    Signature,
    /// The payload was changed after it was signed.
    Payload,
    /// Well signed, but there is one history entry less than there are layers.
    History,
}

impl Signer {
    /// An elliptic curve key on P-256.
    #[must_use]
    pub fn es256() -> Self {
        Self {
            key: Key::es256(),
            chain: Vec::new(),
        }
    }

    /// An RSA key of 2048 bits.
    #[must_use]
    pub fn rs256() -> Self {
        Self {
            key: Key::rs256(),
            chain: Vec::new(),
        }
    }

    /// A key on P-256 with a certificate of an authority's, both in `x5c`.
    #[must_use]
    pub fn x5c() -> Self {
        let (key, root) = (Key::es256(), Key::es256());
        let chain = vec![
            certificate("signer", &key.info(), "root", &root),
            certificate("root", &root.info(), "root", &root),
        ];
        Self { key, chain }
    }

    /// The signed form of `payload`, with a signature of `signed`, which is `payload` unless something is forged.
    fn document(&self, payload: &[u8], signed: &[u8]) -> Bytes {
        // Signatures go behind the last character before the closing brace.
        let body = payload
            .strip_suffix(b"}")
            .expect("an object")
            .trim_ascii_end();
        let tail = &payload[body.len()..];
        let protected = json!({
            "formatLength": body.len(),
            "formatTail": base64_url(tail),
            "time": "2016-01-02T03:04:05Z",
        });
        let protected = base64_url(protected.to_string().as_bytes());
        let signature = self
            .key
            .sign(format!("{protected}.{}", base64_url(signed)).as_bytes());
        let mut header = json!({ "alg": self.key.algorithm() });
        if self.chain.is_empty() {
            header["jwk"] = self.key.jwk();
        } else {
            let chain = self.chain.iter().map(|der| STANDARD.encode(der));
            header["x5c"] = chain.collect();
        }
        let block = json!([{
            "header": header,
            "signature": base64_url(&signature),
            "protected": protected,
        }]);
        let block = indented(&block).replace('\n', &format!("\n{INDENT}"));
        let end = format!(",\n{INDENT}\"signatures\": {block}\n}}");
        [body, end.as_bytes()].concat().into()
    }
}

impl Schema1 {
    /// The manifest of `image` under a tag, with steps that changed no file on top of the base and on top of all.
    #[must_use]
    pub fn of(image: &V1Image, repository: &str, tag: &str) -> Self {
        Self::new(image, repository, tag, false)
    }

    fn new(image: &V1Image, repository: &str, tag: &str, uneven: bool) -> Self {
        let mut steps = steps(image);
        steps.reverse();
        let layers: Vec<_> = steps
            .iter()
            .map(|(blob, _)| json!({ "blobSum": blob }))
            .collect();
        let mut history: Vec<_> = steps
            .iter()
            .map(|(_, step)| json!({ "v1Compatibility": step.to_string() }))
            .collect();
        if uneven {
            history.pop();
        }
        let lists = [("fsLayers", json!(layers)), ("history", json!(history))];
        let lists = lists.map(|(name, list)| {
            let list = indented(&list).replace('\n', &format!("\n{INDENT}"));
            format!("{INDENT}\"{name}\": {list}")
        });
        // The order in which Docker wrote the keys.
        let payload = format!(
            "{{\n{INDENT}\"schemaVersion\": 1,\n{INDENT}\"name\": \"{repository}\",\n{INDENT}\"tag\": \"{tag}\",\n\
             {INDENT}\"architecture\": \"amd64\",\n{}\n}}",
            lists.join(",\n")
        );
        Self {
            digest: Content::from(payload.clone()).digest(),
            payload: payload.into(),
            image: image.clone(),
            repository: repository.into(),
            tag: tag.into(),
        }
    }

    /// The signed document.
    #[must_use]
    pub fn signed(&self, signer: &Signer) -> Bytes {
        signer.document(&self.payload, &self.payload)
    }

    /// A document that must be refused, and the digest that a registry which believed it would give.
    #[must_use]
    pub fn forged(&self, signer: &Signer, forgery: Forgery) -> (Bytes, String) {
        match forgery {
            Forgery::Signature => {
                let document = signer.document(&self.payload, b"other");
                (document, self.digest.clone())
            }
            Forgery::Payload => {
                let text = String::from_utf8(self.payload.to_vec()).expect("JSON");
                let other = text.replacen("\"amd64\"", "\"arm64\"", 1);
                let document = signer.document(other.as_bytes(), &self.payload);
                (document, Content::from(other).digest())
            }
            Forgery::History => {
                let uneven = Self::new(&self.image, &self.repository, &self.tag, true);
                (uneven.signed(signer), uneven.digest)
            }
        }
    }

    /// Pushes its layers and `document`, one of its forms, under its tag and `digest`.
    pub fn push(&self, origin: &Origin, document: Bytes, digest: &str) {
        origin.push_blob(&self.repository, EMPTY_LAYER);
        for layer in &self.image.layers {
            origin.push_blob(&self.repository, layer.blob.clone());
        }
        origin.push_manifest_as(
            &self.repository,
            &self.tag,
            document,
            media::SCHEMA1_SIGNED,
            digest,
        );
    }
}

/// The steps of the build, the base first: the digest of each blob, and its v1 image.
fn steps(image: &V1Image) -> Vec<(String, Value)> {
    let empty = Content::from(EMPTY_LAYER).digest();
    let mut steps: Vec<(String, Value)> = Vec::new();
    let mut add = |blob: &str, mut step: Value, throwaway: bool| {
        if let Some((_, below)) = steps.last() {
            step["parent"] = below["id"].clone();
        }
        if throwaway {
            let id = Content::from(format!("{} throwaway", step["id"])).digest();
            step["id"] = id.trim_start_matches("sha256:").into();
            step["throwaway"] = true.into();
            step["container_config"]["Cmd"] = json!(["/bin/sh", "-c", THROWAWAY_BY]);
            step["config"]["Env"] = json!(["a=b"]);
        }
        steps.push((blob.into(), step));
    };
    let last = image.layers.len() - 1;
    for (number, layer) in image.layers.iter().enumerate() {
        let step: Value = serde_json::from_slice(&layer.json).expect("JSON");
        add(&layer.digest, step.clone(), false);
        if number == 0 || number == last {
            add(&empty, step, true);
        }
    }
    steps
}

fn indented(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).expect("JSON");
    let lines = text.lines().map(|line| {
        let inner = line.trim_start_matches(' ');
        format!("{}{inner}", INDENT.repeat((line.len() - inner.len()) / 2))
    });
    lines.collect::<Vec<_>>().join("\n")
}

const INDENT: &str = "   ";
/// What the steps without a layer say that they were made by.
const THROWAWAY_BY: &str = "#(nop) ENV a=b";
/// The gzipped empty tar that stands for a step which changed no file.
const EMPTY_LAYER: &[u8] = &[
    31, 139, 8, 0, 0, 9, 110, 136, 0, 255, 98, 24, 5, 163, 96, 20, 140, 88, 0, 8, 0, 0, 255, 255,
    46, 175, 181, 239, 0, 4, 0, 0,
];

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Layers in memory: each is a tar that holds what names it.
#[derive(Default)]
struct Memory {
    missing: Option<String>,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

fn tar(name: &str) -> Bytes {
    Bytes::from(format!("the layer {name}, more or less a tar"))
}

impl Memory {
    async fn layer(&self, name: String) -> Result<LayerBlob, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        if self.missing.as_ref() == Some(&name) {
            return Err(name);
        }
        let bytes = tar(&name);
        let (digest, size) = (Digest::sha256(&bytes), bytes.len() as u64);
        let unpacking = Unpacking::default().push(bytes).await.unwrap();
        Ok(unpacking.into_layer(digest, size).await.unwrap())
    }
}

impl Layers for Memory {
    type Error = String;

    async fn of_v1(&self, id: &ImageId) -> Result<LayerBlob, String> {
        self.layer(id.to_string()).await
    }

    async fn of_schema1(&self, digest: Digest) -> Result<LayerBlob, String> {
        let names = ["base", "middle", "top"];
        let name = names
            .into_iter()
            .find(|name| Digest::sha256(&tar(name)) == digest);
        self.layer(name.unwrap_or("unknown").to_owned()).await
    }
}

fn id(number: usize) -> ImageId {
    ImageId::parse(&format!("{number:064x}")).unwrap()
}

fn ancestry(images: usize) -> Bytes {
    let images = (0..images).map(|number| (id(number), Bytes::from_static(br#"{"os":"linux"}"#)));
    Ancestry::new(images.collect()).unwrap().encode()
}

fn schema1(throwaway: bool) -> Bytes {
    let history = |number: usize, parent: &str, more: &str| {
        let v1 = format!(
            r#"{{\"id\":\"{}\",\"parent\":\"{parent}\"{more}}}"#,
            id(number)
        );
        format!(r#"{{"v1Compatibility":"{v1}"}}"#)
    };
    let middle = if throwaway {
        r#",\"throwaway\":true"#
    } else {
        ""
    };
    let layers = ["top", "middle", "base"]
        .map(|name| format!(r#"{{"blobSum":"{}"}}"#, Digest::sha256(&tar(name))));
    let history = [
        history(3, &id(2).to_string(), ""),
        history(2, &id(1).to_string(), middle),
        history(1, "", ""),
    ];
    format!(
        r#"{{"schemaVersion":1,"fsLayers":[{}],"history":[{}]}}"#,
        layers.join(","),
        history.join(",")
    )
    .into()
}

#[tokio::test]
async fn an_image_of_v1_has_its_layers_base_first() {
    let memory = Memory::default();
    let made = image(&memory, &MediaType::V1Ancestry, ancestry(20), Format::Oci).await;
    let manifest = Manifest::decode(None, made.unwrap().manifest).unwrap();
    let found: Vec<_> = manifest.layers().map(|layer| layer.digest).collect();
    let expected = (0..20).map(|number| Digest::sha256(&tar(id(number).as_str())));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(memory.asked.into_inner(), 20);
    assert_eq!(memory.most.into_inner(), LAYERS_AT_ONCE);
}

#[tokio::test]
async fn layers_that_are_thrown_away_are_not_fetched() {
    for (throwaway, layers) in [(false, 3), (true, 2)] {
        let memory = Memory::default();
        let made = image(
            &memory,
            &MediaType::Schema1,
            schema1(throwaway),
            Format::Schema2,
        )
        .await;
        let made = made.unwrap();
        assert_eq!(made.media_type, MediaType::Schema2);
        let manifest = Manifest::decode(None, made.manifest).unwrap();
        assert_eq!(manifest.layers().count(), layers);
        assert_eq!(memory.asked.into_inner(), layers);
    }
}

#[tokio::test]
async fn a_layer_that_cannot_be_had_ends_it() {
    let memory = Memory {
        missing: Some("middle".into()),
        ..Memory::default()
    };
    let made = image(&memory, &MediaType::Schema1, schema1(false), Format::Oci).await;
    assert!(matches!(made, Err(ConvertError::Layer(name)) if name == "middle"));
}

#[tokio::test]
async fn only_legacy_documents_are_converted() {
    let table = [
        (MediaType::V1Ancestry, "{}"),
        (MediaType::Schema1, "{}"),
        (MediaType::Schema1Signed, r#"{"schemaVersion":1}"#),
        (MediaType::OciManifest, r#"{"layers":[]}"#),
        (MediaType::from("text/html"), "<html>"),
    ];
    for (media_type, document) in table {
        let document = Bytes::from_static(document.as_bytes());
        let made = image(&Memory::default(), &media_type, document, Format::Oci).await;
        assert!(
            matches!(made, Err(ConvertError::Document(_))),
            "{media_type}"
        );
    }
}

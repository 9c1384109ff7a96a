//! How long decoding takes: a manifest of 100 layers, an index of 2,000 entries, and a choice
//! in it.
#![allow(
    missing_docs,
    reason = "criterion's macros write functions without documentation"
)]
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longshore_manifest::{Manifest, Platform, Preference};
use longshore_reference::Digest;

fn descriptor(media_type: &str, number: usize, more: &str) -> String {
    let digest = Digest::sha256(&number.to_be_bytes());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{number}{more}}}"#)
}

fn manifest(layers: usize) -> Bytes {
    let layer = |n| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", n, "");
    let layers: Vec<_> = (0..layers).map(layer).collect();
    let config = descriptor("application/vnd.oci.image.config.v1+json", 7, "");
    let layers = layers.join(",");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#).into()
}

fn index(entries: usize) -> Bytes {
    let entry = |n| {
        let architecture = ["amd64", "arm64", "s390x", "ppc64le"][n % 4];
        let platform = format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}"#);
        descriptor("application/vnd.oci.image.manifest.v1+json", n, &platform)
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    )
    .into()
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, bytes) in [
        ("manifest of 100 layers", manifest(100)),
        ("index of 2000", index(2000)),
    ] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| Manifest::decode(None, black_box(bytes.clone())));
        });
    }
    group.finish();

    let index = Manifest::decode(None, index(2000)).expect("an index");
    let preference = Preference::only(&Platform::new("linux", "arm64", ""));
    criterion.bench_function("choose among 2000", |bencher| {
        bencher.iter(|| preference.candidates(black_box(&index)).len());
    });
}

criterion_group!(benches, decode);
criterion_main!(benches);

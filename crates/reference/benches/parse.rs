//! How long reading a reference or a digest takes. The aim: under 200 ns for a reference.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use longshore_reference::{Digest, Named, Raw, Reference, Tag};

const HEX: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn parse(criterion: &mut Criterion) {
    let digest = format!("sha256:{HEX}");
    let mut group = criterion.benchmark_group("parse");
    for (name, text) in [
        ("short", "alpine".to_owned()),
        (
            "tagged",
            "registry.example.com:5000/team/service/web:v1.24.3".to_owned(),
        ),
        (
            "canonical",
            format!("registry.k8s.io/kube-apiserver@{digest}"),
        ),
        (
            "tag_and_digest",
            format!("quay.io/prometheus/node-exporter:v1.8.0@{digest}"),
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Reference::parse(black_box(&text)))
        });
        group.bench_function(format!("{name}_raw"), |bencher| {
            bencher.iter(|| Raw::parse(black_box(&text)))
        });
    }
    group.bench_function("digest", |bencher| {
        bencher.iter(|| Digest::parse(black_box(&digest)))
    });
    group.bench_function("named", |bencher| {
        bencher.iter(|| Named::new(black_box("docker.io"), black_box("library/alpine")));
    });
    group.bench_function("tag", |bencher| {
        bencher.iter(|| Tag::parse(black_box("v1.24.3")))
    });
    group.bench_function("refused", |bencher| {
        bencher.iter(|| Reference::parse(black_box("a/b/C:tag")))
    });
    group.finish();

    let digest = Digest::sha256(b"hello");
    criterion.bench_function("print/digest", |bencher| {
        bencher.iter(|| black_box(&digest).to_string())
    });
}

criterion_group!(benches, parse);
criterion_main!(benches);

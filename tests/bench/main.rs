//! The benchmark: in one run, Longshore, distribution v3 in proxy mode, and the origin asked directly, on the cores they
//! share with the clients. Figures of different runs do not compare; the ratios at the end do.
//!
//! `tests/bench/run` builds what is missing and starts it. `--quick` takes a tenth of the bytes and time, to see that it
//! works; `--v1` measures images of protocol v1 alone. `REGISTRY_BIN` names distribution's `registry`; without one its
//! column is empty.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot measure"
)]

mod load;
mod v1;

use load::{crowd, hammer};
use longshore_tests::process::{Peak, cpu_seconds};
use longshore_tests::{Client, Content, Image, Origin, Proxy};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// One of the three that are measured.
struct Target {
    name: &'static str,
    host: String,
    pid: u32,
}

/// What one target reached; seconds, bytes and requests per second.
#[derive(Default)]
struct Figures {
    by_tag: f64,
    by_digest: f64,
    hit_bytes: f64,
    hit_cpu_per_gb: f64,
    cold: f64,
    crowd: f64,
    crowd_first_byte: f64,
    crowd_upstream: usize,
    crowd_memory: u64,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    time: Duration,
    cold: u64,
    crowd: u64,
    clients: usize,
    v1_layer: u64,
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let extent = if quick {
        Extent {
            time: Duration::from_millis(300),
            cold: 51 * MIB,
            crowd: 25 * MIB,
            clients: 100,
            v1_layer: v1::LAYER / 10,
        }
    } else {
        Extent {
            time: Duration::from_secs(3),
            cold: 512 * MIB,
            crowd: 256 * MIB,
            clients: 100,
            v1_layer: v1::LAYER,
        }
    };
    if std::env::args().any(|arg| arg == "--v1") {
        v1::measure(extent).await;
        return;
    }
    let origin = Origin::start().await;
    let image = origin.image(REPOSITORY, "1", &[1000, 2000, 3000]);
    let hit = origin.push_blob(REPOSITORY, Content::seeded(0, extent.crowd));
    let proxy = Proxy::start(&origin).await;
    let distribution = Distribution::start(&origin).await;
    let mut targets = vec![
        Target {
            name: "origin",
            host: origin.host(),
            pid: std::process::id(),
        },
        Target {
            name: "longshore",
            host: proxy.host(),
            pid: proxy.pid(),
        },
    ];
    if let Some(distribution) = &distribution {
        let (host, pid) = (distribution.host.clone(), distribution.child.id());
        targets.push(Target {
            name: "distribution",
            host,
            pid,
        });
    }
    let mut all = Vec::new();
    for (seed, target) in targets.iter().enumerate() {
        all.push(measure(&origin, &image, &hit, target, seed as u64, extent).await);
    }
    table(&targets, &all);
    ratios(&all);
    v1::measure(extent).await;
}

async fn measure(
    origin: &Origin,
    image: &Image,
    hit: &str,
    target: &Target,
    seed: u64,
    extent: Extent,
) -> Figures {
    let host = &target.host;
    let mut figures = Figures::default();
    let manifest = |name: &str| format!("/v2/{REPOSITORY}/manifests/{name}");
    let blob = |digest: &str| format!("/v2/{REPOSITORY}/blobs/{digest}");
    // Each once, so that it is kept.
    for path in [manifest("1"), manifest(&image.digest), blob(hit)] {
        crowd(host, &path, 1).await;
    }
    figures.by_tag = hammer(host, &manifest("1"), CONNECTIONS, extent.time)
        .await
        .0;
    figures.by_digest = hammer(host, &manifest(&image.digest), CONNECTIONS, extent.time)
        .await
        .0;
    let cpu = cpu_seconds(target.pid);
    let start = std::time::Instant::now();
    figures.hit_bytes = hammer(host, &blob(hit), CONNECTIONS, extent.time).await.1;
    let bytes = figures.hit_bytes * start.elapsed().as_secs_f64();
    figures.hit_cpu_per_gb = (cpu_seconds(target.pid) - cpu) / (bytes / 1e9);
    let mut times = Vec::new();
    for round in 0..COLD_ROUNDS {
        let content = Content::seeded(100 * (1 + round as u64) + seed, extent.cold);
        let cold = origin.push_blob(REPOSITORY, content);
        times.push(crowd(host, &blob(&cold), 1).await.0);
    }
    times.sort_by(f64::total_cmp);
    figures.cold = times[COLD_ROUNDS / 2];
    let cold = blob(&origin.push_blob(REPOSITORY, Content::seeded(20 + seed, extent.crowd)));
    let peak = Peak::of(target.pid);
    (figures.crowd, figures.crowd_first_byte) = crowd(host, &cold, extent.clients).await;
    (figures.crowd_memory, figures.crowd_upstream) = (peak.bytes(), origin.count("GET", &cold));
    figures
}

fn table(targets: &[Target], all: &[Figures]) {
    let row = |what: &str, cell: &dyn Fn(&Figures) -> String| {
        print!("{what:<44}");
        all.iter()
            .for_each(|figures| print!("{:>14}", cell(figures)));
        println!();
    };
    print!("{:<44}", "");
    targets
        .iter()
        .for_each(|target| print!("{:>14}", target.name));
    println!();
    row("manifest by tag, requests/s", &|figures| {
        format!("{:.0}", figures.by_tag)
    });
    row("manifest by digest, requests/s", &|figures| {
        format!("{:.0}", figures.by_digest)
    });
    row("blob hit, GB/s", &|figures| {
        format!("{:.2}", figures.hit_bytes / 1e9)
    });
    row("blob hit, CPU s/GB (origin: with clients)", &|figures| {
        format!("{:.2}", figures.hit_cpu_per_gb)
    });
    row("cold blob, s (median of 3)", &|figures| {
        format!("{:.2}", figures.cold)
    });
    row("crowd and a cold blob, s until the last", &|figures| {
        format!("{:.2}", figures.crowd)
    });
    row("crowd, first byte at the median, s", &|figures| {
        format!("{:.3}", figures.crowd_first_byte)
    });
    row("crowd, upstream GETs", &|figures| {
        figures.crowd_upstream.to_string()
    });
    row(
        "crowd, peak anonymous MiB (origin: with clients)",
        &|figures| (figures.crowd_memory / MIB).to_string(),
    );
}

/// What is expected, as ratios of this run.
fn ratios(all: &[Figures]) {
    let [origin, ours, rest @ ..] = all else {
        return;
    };
    println!();
    if let [distribution] = rest {
        verdict(
            "manifest by tag / distribution",
            ours.by_tag / distribution.by_tag,
            30.0,
            true,
        );
        verdict(
            "manifest by digest / distribution",
            ours.by_digest / distribution.by_digest,
            30.0,
            true,
        );
        verdict(
            "blob hit / distribution",
            ours.hit_bytes / distribution.hit_bytes,
            1.0,
            true,
        );
        verdict(
            "cold blob time / distribution",
            ours.cold / distribution.cold,
            0.7,
            false,
        );
    } else {
        println!("REGISTRY_BIN is not set: nothing to compare with distribution");
    }
    verdict("crowd time / origin", ours.crowd / origin.crowd, 1.4, false);
    verdict(
        "crowd upstream GETs",
        ours.crowd_upstream as f64,
        1.0,
        false,
    );
    verdict("crowd first byte, s", ours.crowd_first_byte, 0.3, false);
    verdict(
        "crowd peak anonymous MiB",
        ours.crowd_memory as f64 / MIB as f64,
        64.0,
        false,
    );
}

/// Says whether a ratio is as expected.
fn verdict(what: &str, value: f64, bound: f64, at_least: bool) {
    let good = if at_least {
        value >= bound
    } else {
        value <= bound
    };
    let sign = if at_least { ">=" } else { "<=" };
    println!(
        "{} {what}: {value:.2} ({sign} {bound})",
        if good { "ok  " } else { "MISS" }
    );
}

/// distribution v3 as a pull-through cache of the origin.
struct Distribution {
    host: String,
    child: Child,
    _home: TempDir,
}

impl Distribution {
    async fn start(origin: &Origin) -> Option<Self> {
        let binary = std::env::var_os("REGISTRY_BIN")?;
        let home = TempDir::new().expect("a folder");
        let port = TcpSocket::new_v4().expect("a socket");
        port.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let host = port.local_addr().expect("an address").to_string();
        drop(port);
        let root = home.path().join("data");
        let config = format!(
            "version: 0.1\nlog: {{ accesslog: {{ disabled: true }}, level: error }}\nstorage:\n  filesystem: \
             {{ rootdirectory: {} }}\nhttp: {{ addr: {host} }}\nproxy: {{ remoteurl: {} }}\n",
            root.display(),
            origin.url()
        );
        let file = home.path().join("config.yml");
        std::fs::write(&file, config).expect("write the configuration");
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none");
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("registry starts");
        let this = Self {
            host: host.clone(),
            child,
            _home: home,
        };
        let ready = async {
            while Client::new(&host).read("/v2/").await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ready)
            .await
            .expect("registry answers");
        Some(this)
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Cold blobs, of which the one in the middle counts.
const COLD_ROUNDS: usize = 3;
const MIB: u64 = 1 << 20;
const REPOSITORY: &str = "library/bench";
/// Connections that ask at the same time where requests or bytes per second are counted.
const CONNECTIONS: usize = 16;

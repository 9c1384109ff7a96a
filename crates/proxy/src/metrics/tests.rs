use longshore_reference::Named;
use longshore_store::Usage;

use super::*;

fn names() -> Names {
    let none: &[String] = &[];
    Names::new([("docker.io", none), ("ghcr.io", none), ("*.pkg.dev", none)])
}

fn id(names: &Names, name: &str) -> UpstreamId {
    names.find(name, &mut Buffer::default()).unwrap().0
}

fn lines(metrics: &Metrics) -> Vec<String> {
    let (content_type, text) = metrics.render(Usage {
        bytes: 12,
        objects: 3,
        fills: 2,
        outbox: 4,
        outbox_oldest: Duration::from_secs(5),
        reserved_bytes: 7,
        capacity_bytes: 100,
        free_bytes: 50,
    });
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn nothing_has_happened_yet() {
    let metrics = Metrics::new(&names()).unwrap();
    let expected = [
        format!(
            "longshore_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
        "longshore_config_last_reload_successful 1".to_owned(),
        "longshore_fills_in_flight 2".to_owned(),
        "longshore_store_bucket_damaged_total 0".to_owned(),
        "longshore_store_bytes 12".to_owned(),
        "longshore_store_capacity_bytes 100".to_owned(),
        "longshore_store_free_bytes 50".to_owned(),
        "longshore_store_objects 3".to_owned(),
        "longshore_store_outbox_entries 4".to_owned(),
        "longshore_store_outbox_oldest_seconds 5".to_owned(),
        "longshore_store_quarantined_total 0".to_owned(),
        "longshore_store_reserved_bytes 7".to_owned(),
    ];
    assert_eq!(lines(&metrics), expected);
}

#[test]
fn requests_have_their_labels() {
    use longshore_store::Outcome as Stored;
    let names = names();
    let metrics = Metrics::new(&names).unwrap();
    let hub = Some(id(&names, "docker.io"));
    let hit = Outcome::Served(Stored::Hit);
    metrics.served(hub, Kind::Blob, hit, 200, 1000);
    metrics.served(hub, Kind::Blob, hit, 200, 10);
    metrics.served(hub, Kind::Blob, hit, 206, 1);
    metrics.served(
        Some(id(&names, "us-docker.pkg.dev")),
        Kind::Manifest,
        Outcome::Served(Stored::Stale),
        200,
        5,
    );
    metrics.served(None, Kind::Tags, Outcome::Error, 404, 0);
    metrics.served(None, Kind::Other, Outcome::Error, 418, 0);
    metrics.first_byte(Kind::Blob, hit, Duration::from_millis(2));
    let lines = lines(&metrics);
    for expected in [
        "longshore_requests_total{code=\"200\",kind=\"blob\",outcome=\"hit\",upstream=\"docker.io\"} 2",
        "longshore_requests_total{code=\"206\",kind=\"blob\",outcome=\"hit\",upstream=\"docker.io\"} 1",
        "longshore_requests_total{code=\"200\",kind=\"manifest\",outcome=\"stale\",upstream=\"*.pkg.dev\"} 1",
        "longshore_requests_total{code=\"404\",kind=\"tags\",outcome=\"error\",upstream=\"unknown\"} 1",
        "longshore_requests_total{code=\"other\",kind=\"other\",outcome=\"error\",upstream=\"unknown\"} 1",
        "longshore_served_bytes_total{kind=\"blob\",outcome=\"hit\",upstream=\"docker.io\"} 1011",
        "longshore_served_bytes_total{kind=\"manifest\",outcome=\"stale\",upstream=\"*.pkg.dev\"} 5",
        "longshore_first_byte_seconds_bucket{kind=\"blob\",outcome=\"hit\",le=\"0.001\"} 0",
        "longshore_first_byte_seconds_bucket{kind=\"blob\",outcome=\"hit\",le=\"0.0025\"} 1",
        "longshore_first_byte_seconds_count{kind=\"blob\",outcome=\"hit\"} 1",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected} not in {lines:#?}"
        );
    }
    let count = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(count("longshore_requests_total"), 5);
    assert_eq!(count("longshore_served_bytes_total"), 2);
}

/// Every combination has a series of its own: no two share a cell, and none is without one.
#[test]
fn cells_do_not_collide() {
    use longshore_store::Outcome as Stored;
    let names = names();
    let metrics = Metrics::new(&names).unwrap();
    let stored = [
        Stored::Hit,
        Stored::Miss,
        Stored::Joined,
        Stored::Stale,
        Stored::Revalidated,
        Stored::Bypass,
    ];
    let outcomes: Vec<Outcome> = stored
        .map(Outcome::Served)
        .into_iter()
        .chain([Outcome::Error])
        .collect();
    let mut expected = Vec::new();
    for upstream in names.ids().map(Some).chain([None]) {
        for kind in Kind::ALL {
            for outcome in &outcomes {
                for (code, label) in CODES.into_iter().zip(CODE_LABELS) {
                    metrics.served(upstream, kind, *outcome, code, 1);
                    let (upstream, kind, outcome) =
                        (metrics.label(upstream), kind.as_str(), outcome.as_str());
                    expected.push(format!(
                        "longshore_requests_total{{code=\"{label}\",kind=\"{kind}\",outcome=\"{outcome}\",upstream=\"{upstream}\"}} 1"
                    ));
                }
            }
        }
    }
    let mut lines = lines(&metrics);
    lines.retain(|line| line.starts_with("longshore_requests_total"));
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
    for (code, label) in CODES.into_iter().zip(CODE_LABELS) {
        assert!(label == "other" || label == code.to_string());
    }
}

#[test]
fn upstreams() {
    use longshore_puller::Event;
    let names = names();
    let metrics = Metrics::new(&names).unwrap();
    let hub = id(&names, "docker.io");
    let request = |code, seconds| Event::Request {
        endpoint: "mirror.example",
        kind: longshore_puller::Kind::Blob,
        code,
        seconds,
    };
    metrics.upstream(hub, request(Some(206), 0.2));
    metrics.upstream(hub, request(None, 20.0));
    metrics.upstream(hub, Event::Bytes(7));
    metrics.upstream(hub, Event::Bytes(5));
    metrics.upstream(
        hub,
        Event::Up {
            endpoint: "mirror.example",
            up: true,
        },
    );
    metrics.upstream(
        hub,
        Event::Up {
            endpoint: "registry-1.docker.io",
            up: true,
        },
    );
    metrics.upstream(
        hub,
        Event::Up {
            endpoint: "registry-1.docker.io",
            up: false,
        },
    );
    metrics.upstream(hub, Event::RateLimit { remaining: 99 });
    metrics.upstream(hub, Event::CredentialsRejected);
    metrics.upstream(hub, Event::Resumed);
    metrics.upstream(hub, Event::Mismatch);
    let lines = lines(&metrics);
    for expected in [
        "longshore_upstream_requests_total{code=\"206\",endpoint=\"mirror.example\",kind=\"blob\",upstream=\"docker.io\"} 1",
        "longshore_upstream_requests_total{code=\"none\",endpoint=\"mirror.example\",kind=\"blob\",upstream=\"docker.io\"} 1",
        "longshore_upstream_seconds_count{upstream=\"docker.io\"} 2",
        "longshore_upstream_bytes_total{upstream=\"docker.io\"} 12",
        "longshore_upstream_up{endpoint=\"mirror.example\",upstream=\"docker.io\"} 1",
        "longshore_upstream_up{endpoint=\"registry-1.docker.io\",upstream=\"docker.io\"} 0",
        "longshore_upstream_ratelimit_remaining{upstream=\"docker.io\"} 99",
        "longshore_upstream_credentials_rejected_total{upstream=\"docker.io\"} 1",
        "longshore_upstream_resumed_total{upstream=\"docker.io\"} 1",
        "longshore_digest_mismatch_total{upstream=\"docker.io\"} 1",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected} not in {lines:#?}"
        );
    }
}

/// A client chooses the host that it names for a wildcard.
#[test]
fn hosts_of_a_wildcard_share_a_series() {
    use longshore_puller::Event;
    let names = names();
    let metrics = Metrics::new(&names).unwrap();
    for endpoint in ["us-docker.pkg.dev", "made-up.pkg.dev", "another.pkg.dev"] {
        let wildcard = id(&names, endpoint);
        let request = Event::Request {
            endpoint,
            kind: longshore_puller::Kind::Manifest,
            code: None,
            seconds: 0.1,
        };
        metrics.upstream(wildcard, request);
        metrics.upstream(
            wildcard,
            Event::Up {
                endpoint,
                up: false,
            },
        );
    }
    let mut lines = lines(&metrics);
    lines.retain(|line| line.contains("endpoint="));
    assert_eq!(
        lines,
        [
            "longshore_upstream_requests_total{code=\"none\",endpoint=\"*.pkg.dev\",kind=\"manifest\",upstream=\"*.pkg.dev\"} 3",
            "longshore_upstream_up{endpoint=\"*.pkg.dev\",upstream=\"*.pkg.dev\"} 0",
        ]
    );
}

#[test]
fn store() {
    let metrics = Metrics::new(&names()).unwrap();
    for name in ["us-docker.pkg.dev/a/b", "elsewhere.example/a"] {
        let named: Named = name.parse().unwrap();
        metrics.store(longshore_store::Event::Mismatch { named: &named });
    }
    metrics.store(longshore_store::Event::FillEnded {
        seconds: Duration::from_secs(3),
        whole: true,
    });
    metrics.store(longshore_store::Event::FillEnded {
        seconds: Duration::from_secs(3),
        whole: false,
    });
    metrics.store(longshore_store::Event::Quarantined);
    let evicted = |reason, bytes| longshore_store::Event::Evicted { reason, bytes };
    metrics.store(evicted(longshore_store::Reason::Capacity, 70));
    metrics.store(evicted(longshore_store::Reason::Capacity, 7));
    metrics.store(evicted(longshore_store::Reason::MinFree, 1));
    metrics.store(longshore_store::Event::LocalFailed { action: "commit" });
    for up in [true, false] {
        metrics.store(longshore_store::Event::BucketUp { up });
    }
    metrics.store(longshore_store::Event::BucketFailed { action: "read" });
    let lines = lines(&metrics);
    for expected in [
        "longshore_digest_mismatch_total{upstream=\"*.pkg.dev\"} 1",
        "longshore_digest_mismatch_total{upstream=\"unknown\"} 1",
        "longshore_fill_seconds_count{result=\"whole\"} 1",
        "longshore_fill_seconds_count{result=\"failed\"} 1",
        "longshore_store_quarantined_total 1",
        "longshore_evicted_bytes_total{reason=\"capacity\"} 77",
        "longshore_evicted_bytes_total{reason=\"min_free\"} 1",
        "longshore_store_errors_total{action=\"commit\"} 1",
        "longshore_store_bucket_up 0",
        "longshore_store_bucket_errors_total{action=\"read\"} 1",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected} not in {lines:#?}"
        );
    }
}

/// What rules and documentation call a metric is one, and every metric is documented.
#[test]
fn documentation_and_rules_name_the_metrics() {
    let rules = include_str!("../../../../deploy/prometheus/longshore.rules.yml");
    let documentation = include_str!("../../../../docs/operations.md");
    let sources = [
        include_str!("../metrics.rs"),
        include_str!("away.rs"),
        include_str!("stored.rs"),
    ]
    .concat();
    let words = |text: &str| {
        let is_part = |char: char| char.is_ascii_lowercase() || matches!(char, '_' | '0'..='9');
        let words = text.split(|char| !is_part(char)).map(str::to_owned);
        words.collect::<std::collections::BTreeSet<_>>()
    };
    let mut named = 0;
    for word in words(&[rules, documentation].concat()) {
        let Some(name) = word.strip_prefix("longshore_") else {
            continue;
        };
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(sources.contains(&format!("\"{family}\"")), "{word}");
        named += 1;
    }
    assert!(named > 20);
    let ends = [
        "_total", "_seconds", "_bytes", "_up", "_info", "_objects", "_entries", "_flight",
    ];
    for quoted in sources.split('"').skip(1).step_by(2) {
        let is_name = quoted
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_name && ends.iter().any(|end| quoted.ends_with(end)) {
            assert!(
                documentation.contains(&format!("longshore_{quoted}")),
                "{quoted}"
            );
        }
    }
}

#![allow(clippy::too_many_lines, reason = "tables")]

use std::time::Duration;

use longshore_reference::Named;
use serde_json::json;

use super::*;

const DIGEST: &str = "sha256:4e38e38c8ce0b8d9041a9c4fefe786631d1416225e13b0bfe8cfa2321aec4bba";

fn digest() -> Digest {
    Digest::parse(DIGEST).unwrap()
}

#[test]
fn short_ids() {
    for (id, expected) in [
        (
            "90435eec5c4e124e741ef731e118be2fc799a68aba0466ec17717f24ce2ae6a2",
            "90435eec5c4e",
        ),
        (DIGEST, "4e38e38c8ce0"),
        ("", ""),
        ("1234", "1234"),
        ("sha256:", ""),
        ("äöüäöüäöüäöüäöü", "äöüäöüäöüäöü"),
    ] {
        assert_eq!(short_id(id), expected);
    }
    for (text, expected) in [
        ("4e38e38c8ce0", true),
        ("some non-hex value", false),
        ("aaaaaaaaaaaaa", false),
        ("aaaaaaaaaaa", false),
        ("4E38E38C8CE0", false),
        ("", false),
    ] {
        assert_eq!(is_short_id(text), expected, "{text}");
    }
    assert!(is_image_id(&"a".repeat(64)));
    assert!(!is_image_id(&"a".repeat(63)) && !is_image_id(&"g".repeat(64)));
}

#[test]
fn the_lines_of_a_pull() {
    let digested = format!("alpine@{DIGEST}");
    let both = format!("alpine:3.22@{DIGEST}");
    for (name, id, containerd_id) in [
        ("alpine:3.22", "3.22", "3.22".to_owned()),
        (
            &digested,
            DIGEST,
            format!("docker.io/library/alpine@{DIGEST}"),
        ),
        (&both, DIGEST, "3.22".to_owned()),
    ] {
        let reference = Parsed::parse(name).unwrap();
        assert_eq!(pulling_from(&reference), "Pulling from library/alpine");
        assert_eq!(pulling_id(&reference, false), id);
        assert_eq!(pulling_id(&reference, true), containerd_id);
    }
    assert_eq!(digest_line(digest()), format!("Digest: {DIGEST}"));
    let reference = Parsed::parse("docker.io/library/alpine:3.22").unwrap();
    assert_eq!(
        status_line(reference.familiar(), true),
        "Status: Downloaded newer image for alpine:3.22"
    );
    assert_eq!(
        status_line(reference.familiar(), false),
        "Status: Image is up to date for alpine:3.22"
    );
    let reference = Parsed::parse("quay.io/app:1").unwrap();
    assert_eq!(
        status_line(reference.familiar(), true),
        "Status: Downloaded newer image for quay.io/app:1"
    );
}

#[test]
fn sizes_have_four_digits() {
    for (bytes, expected) in [
        (0, "0B"),
        (1, "1B"),
        (999, "999B"),
        (1000, "1kB"),
        (1024, "1.024kB"),
        (9_999, "9.999kB"),
        (10_000, "10kB"),
        (12_345, "12.35kB"),
        (123_456, "123.5kB"),
        (999_960, "1000kB"),
        (1_000_000, "1MB"),
        (2_746_000, "2.746MB"),
        (32_420_000_000, "32.42GB"),
        (32_420_000_000_000, "32.42TB"),
        (42_000_000_000_000_000, "42PB"),
        (u64::MAX, "18.45EB"),
    ] {
        assert_eq!(human_size(bytes), expected, "{bytes}");
    }
}

#[test]
fn bars_and_numbers() {
    let start = 1_512_313_801;
    let of = |current, total| Progress::new(current, total);
    let units = |current, total| Progress {
        units: "units".to_owned(),
        ..Progress::new(current, total)
    };
    let started = Progress {
        start,
        ..of(20, 100)
    };
    let hidden = Progress {
        hide_counts: true,
        ..of(50, 100)
    };
    for (progress, narrow, wide) in [
        (Progress::default(), "", ""),
        (of(1, 0), "      1B", "      1B"),
        (
            started,
            "     20B/100B 4s",
            "[==========>                                        ]      20B/100B 4s",
        ),
        (
            of(50, 100),
            "     50B/100B",
            "[=========================>                         ]      50B/100B",
        ),
        (
            of(50, 40),
            "     50B",
            "[==================================================>]      50B",
        ),
        (
            units(50, 100),
            "50/100 units",
            "[=========================>                         ] 50/100 units",
        ),
        (
            units(50, 40),
            "50 units",
            "[==================================================>] 50 units",
        ),
        (units(50, 0), "50 units", "50 units"),
        (
            hidden,
            "",
            "[=========================>                         ] ",
        ),
        (
            of(0, 3190),
            "      0B/3.19kB",
            "[>                                                  ]       0B/3.19kB",
        ),
        (
            of(u64::MAX, u64::MAX),
            " 18.45EB/18.45EB",
            "[==================================================>]  18.45EB/18.45EB",
        ),
    ] {
        assert_eq!(progress.show(100, start + 1), narrow);
        assert_eq!(progress.show(200, start + 1), wide);
    }
    let slow = Progress {
        start: 1,
        ..of(1, u64::MAX)
    };
    assert!(slow.show(200, u64::MAX).ends_with('s'), "beyond all times");
}

#[test]
fn lines_are_json_with_the_escapes_of_go() {
    for (message, expected) in [
        (Message::status("ID", "a1"), r#"{"status":"a1","id":"ID"}"#),
        (
            Message::status("", "Digest: x"),
            r#"{"status":"Digest: x"}"#,
        ),
        (
            Message::status("", "<a & b>"),
            r#"{"status":"\u003ca \u0026 b\u003e"}"#,
        ),
        (
            Message::update("id", "Pulling fs layer"),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"id"}"#,
        ),
        (
            Message::progress("id", "Downloading", Progress::new(15, 30)),
            r#"{"status":"Downloading","progressDetail":{"current":15,"total":30},"progress":"[=========================\u003e                         ]      15B/30B","id":"id"}"#,
        ),
        (
            Message::progress("id", "Download complete", Progress::hidden()),
            r#"{"status":"Download complete","progressDetail":{"hidecounts":true},"id":"id"}"#,
        ),
        (
            Message::error(0, "Error for formatter"),
            r#"{"errorDetail":{"message":"Error for formatter"},"error":"Error for formatter"}"#,
        ),
        (
            Message::error(50, "Json error"),
            r#"{"errorDetail":{"code":50,"message":"Json error"},"error":"Json error"}"#,
        ),
        (
            Message::aux("", json!({"Data": "Additional data"})),
            r#"{"aux":{"Data":"Additional data"}}"#,
        ),
    ] {
        let line = message.to_json();
        assert_eq!(line, [expected, "\r\n"].concat());
        assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
    }
}

#[test]
fn what_is_shown_of_a_line() {
    for (json, plain, terminal) in [
        (r#"{"status":"status"}"#, "status\n", "status\n"),
        (
            r#"{"id":"ID","status":"status"}"#,
            "ID: status\n",
            "ID: status\n",
        ),
        (
            r#"{"status":"status","stream":"stream"}"#,
            "stream",
            "stream",
        ),
        (
            r#"{"status":"status","progress":"bar"}"#,
            "status bar",
            "status bar",
        ),
        (
            r#"{"id":"ID","status":"status","progress":"ProgressMessage"}"#,
            "ID: status ProgressMessage",
            "\n\u{1b}[1AID: status ProgressMessage\u{1b}[1B",
        ),
        (
            r#"{"id":"ID","status":"status","progressDetail":{"Current":1}}"#,
            "",
            "\n\u{1b}[1A\u{1b}[2K\rID: status       1B\r\u{1b}[1B",
        ),
        (
            r#"{"status":"status","progressDetail":{"current":1}}"#,
            "",
            "\u{1b}[2K\rstatus       1B\r",
        ),
        (
            r#"{"status":"status","progressDetail":{}}"#,
            "status\n",
            "\u{1b}[2K\rstatus \r",
        ),
        (r#"{"aux":{"x":1}}"#, "", ""),
        ("{}", "\n", "\n"),
    ] {
        let message: Message = serde_json::from_str(json).unwrap();
        assert_eq!(Screen::plain().show(&message, 0).unwrap(), plain, "{json}");
        assert_eq!(
            Screen::terminal(200).show(&message, 0).unwrap(),
            terminal,
            "{json}"
        );
    }
    let failed = Message::error(404, "Can't find it");
    assert_eq!(
        Screen::plain().show(&failed, 0).unwrap_err().to_string(),
        "Can't find it"
    );
    let denied = Message::error(401, "Anything");
    assert_eq!(
        Screen::plain().show(&denied, 0).unwrap_err().to_string(),
        "authentication is required"
    );
}

#[test]
fn each_id_has_its_line() {
    let mut screen = Screen::terminal(80);
    let mut show = |message: &Message| screen.show(message, 0).unwrap();
    let first = Message::update("a", "Waiting");
    assert_eq!(show(&first), "\n\u{1b}[1A\u{1b}[2K\ra: Waiting \r\u{1b}[1B");
    assert_eq!(
        show(&Message::update("b", "Waiting")),
        "\n\u{1b}[1A\u{1b}[2K\rb: Waiting \r\u{1b}[1B"
    );
    assert_eq!(show(&first), "\u{1b}[2A\u{1b}[2K\ra: Waiting \r\u{1b}[2B");
    // What is no progress begins a new list.
    assert_eq!(show(&Message::status("", "Digest: x")), "Digest: x\n");
    assert_eq!(show(&first), "\n\u{1b}[1A\u{1b}[2K\ra: Waiting \r\u{1b}[1B");
}

#[test]
fn progress_is_shown_now_and_then() {
    let at = Duration::from_millis;
    let mut throttle = Throttle::new(7);
    assert_eq!(throttle.read(4, false, at(0)), Some(4));
    assert_eq!(throttle.clone().close(), Some(7), "closed before its end");
    assert_eq!(
        throttle.read(3, false, at(1)),
        Some(7),
        "the end is always shown"
    );
    assert_eq!(throttle.read(0, true, at(2)), Some(7));
    assert_eq!(throttle.close(), None, "it is shown already");

    let mut throttle = Throttle::new(0);
    assert_eq!(
        throttle.read(512 << 10, false, at(0)),
        None,
        "not more than 512 KiB"
    );
    assert_eq!(throttle.read(1, false, at(0)), Some((512 << 10) + 1));
    assert_eq!(throttle.read(1 << 20, false, at(99)), None, "within 100 ms");
    assert_eq!(
        throttle.read(1 << 20, false, at(100)),
        Some((512 << 10) + 1 + (2 << 20))
    );
    assert_eq!(throttle.close(), None);
}

#[test]
fn layers_are_tried_again_after_a_countdown() {
    let lines = |attempts| {
        let mut countdown = Countdown::new(attempts);
        let mut all = Vec::new();
        while let Some(lines) = countdown.failed() {
            all.push(lines.collect::<Vec<_>>());
        }
        all
    };
    assert_eq!(lines(0).len(), 0);
    assert_eq!(lines(1).len(), 0);
    let five = lines(DOWNLOAD_ATTEMPTS);
    assert_eq!(
        five.iter().map(Vec::len).collect::<Vec<_>>(),
        [5, 10, 15, 20]
    );
    assert_eq!(
        five[0],
        [
            "Retrying in 5 seconds",
            "Retrying in 4 seconds",
            "Retrying in 3 seconds",
            "Retrying in 2 seconds",
            "Retrying in 1 second",
        ]
    );
}

#[test]
fn errors_in_the_words_of_docker() {
    let reference = Parsed::parse("docker.io/library/app:1").unwrap();
    for (error, text, not_found) in [
        (
            PullError::Denied(&reference),
            "pull access denied for app, repository does not exist or may require 'docker login'",
            true,
        ),
        (
            PullError::ManifestUnknown(&reference),
            "manifest for app:1 not found",
            true,
        ),
        (
            PullError::NameUnknown(&reference),
            "repository app not found",
            true,
        ),
        (
            PullError::ReservedName("scratch"),
            "'scratch' is a reserved name",
            false,
        ),
        (
            PullError::NoEndpoints(&reference),
            "no endpoints found for app:1",
            false,
        ),
        (
            PullError::NoMatchingManifest("linux/s390x"),
            "no matching manifest for linux/s390x in the manifest list entries",
            false,
        ),
        (
            PullError::UnsupportedMediaType("x/y"),
            "unsupported media type x/y",
            false,
        ),
        (
            PullError::ManifestClass("application/vnd.docker.plugin.v1+json", "plugin"),
            "Encountered remote \"application/vnd.docker.plugin.v1+json\"(plugin) when fetching",
            false,
        ),
        (
            PullError::NoBasicAuthCredentials,
            "no basic auth credentials",
            false,
        ),
        (
            PullError::DigestByV1,
            "Cannot pull by digest with v1 registry",
            false,
        ),
    ] {
        assert_eq!(
            (error.to_string().as_str(), error.is_not_found()),
            (text, not_found)
        );
        assert_eq!(error.with_cause("cause"), [text, ": cause"].concat());
    }
    assert!(schema1_refused(&reference).contains("author of docker.io/library/app:1 to upgrade"));
}

#[test]
fn errors_of_containerd_in_the_words_of_docker() {
    use ContainerdError::{NotFound, Other, Unauthorized};
    let reference = Parsed::parse("app:1").unwrap();
    let basic = "failed to authorize: authorization failed: no basic auth credentials";
    let no_match = "no match for platform in manifest sha256:0: not found";
    for (error, text, not_found) in [
        (Unauthorized(basic), basic, false),
        (
            Unauthorized("server message: insufficient_scope: authorization failed"),
            "pull access denied for app, repository does not exist or may require 'docker login'",
            true,
        ),
        (
            NotFound(no_match),
            "no matching manifest for linux/arm64 in the manifest list entries: no match for platform in manifest sha256:0: not found",
            true,
        ),
        (
            NotFound("docker.io/library/app:1: not found"),
            "docker.io/library/app:1: not found",
            true,
        ),
        (Other("connection refused"), "connection refused", false),
    ] {
        assert_eq!(error.text(&reference, "linux/arm64"), text);
        assert_eq!(error.is_not_found(), not_found);
    }
}

#[test]
fn sources_are_sorted_and_unique() {
    for (value, repository, expected) in [
        ("", "", ""),
        ("", "library/busybox", "library/busybox"),
        ("library/busybox", "library/busybox", "library/busybox"),
        (
            "library/busybox,library/redis,library/busybox",
            "library/alpine",
            "library/alpine,library/busybox,library/redis",
        ),
        (
            "library/busybox,library/redis,library/busybox",
            "",
            "library/busybox,library/redis",
        ),
        (
            "library/busybox,library/redis,library/busybox",
            "library/redis",
            "library/busybox,library/redis",
        ),
    ] {
        assert_eq!(labels::append_source(value, repository), expected);
    }
    for (value, repository, expected) in [
        ("a,b/c", "b/c", true),
        ("a,b/c", "b", false),
        ("", "a", false),
    ] {
        assert_eq!(labels::has_source(value, repository), expected);
    }
}

#[test]
fn sources_are_kept_by_host() {
    for (domain, containerd, moby) in [
        ("quay.io", "quay.io", "quay.io"),
        ("localhost:5000", "localhost", "localhost:5000"),
        ("[::1]:5000", "::1", "[::1]:5000"),
        ("[::1]", "::1", "[::1]"),
    ] {
        let named = Named::new(domain, "ns/app").unwrap();
        assert_eq!(
            labels::source_of(&named, false),
            (labels::source_key(containerd), "ns/app")
        );
        assert_eq!(
            labels::source_of(&named, true),
            (labels::source_key(moby), "ns/app")
        );
    }
    assert_eq!(
        labels::source_key("testsource"),
        "containerd.io/distribution.source.testsource"
    );
}

#[test]
fn content_is_mounted_from_the_nearest_repository() {
    for (one, other, expected) in [
        ("foo", "foo/bar", 1),
        ("bar", "foo/bar", 0),
        ("foo/bar", "foo/bar", 2),
    ] {
        assert_eq!(labels::common_prefix(one, other), expected);
    }
    for (value, target, expected) in [
        ("", "path", None),
        ("path", "path", None),
        ("foo,path,bar", "path", Some("bar")),
        ("foo,bar,path", "path", Some("bar")),
        ("a/b,a/c/d,x", "a/c/e", Some("a/c/d")),
    ] {
        assert_eq!(labels::mount_candidate(value, target), expected);
    }
}

#[test]
fn labels_have_a_length() {
    let text = |c: char, length: usize| c.to_string().repeat(length);
    for (key, value, fits) in [
        (4, 5, true),
        (1, 4095, true),
        (65, 4031, true),
        (63, 4033, true),
        (63, 4032, true),
        (4096, 1, false),
        (76, 4021, false),
    ] {
        let result = labels::validate(&text('s', key), &text('v', value));
        assert_eq!(result.is_ok(), fits, "{key} {value}");
    }
    let error = labels::validate(&text('s', 4096), "v")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "label key and value length (4097 bytes) greater than maximum size (4096 bytes), key: {}: invalid argument",
            text('s', 64)
        )
    );
    for (key, reserved) in [
        ("containerd.io/", true),
        ("containerd.io/restart.status", true),
        ("io.cri-containerd", true),
        ("io.cri-containerd.kind", true),
        ("io.cri-containerdfoo", true),
        ("containerd.io", false),
        ("io.containerd.something", false),
        ("com.example.app", false),
    ] {
        assert_eq!(labels::is_reserved(key), reserved, "{key}");
    }
}

#[test]
fn snapshots_know_as_many_layers_as_fit() {
    let layers = vec![digest(); 100];
    for (count, bytes_max, expected) in [
        (2, 300, 2),
        (5, 300, 4),
        (1, 79, 0),
        (1, 80, 1),
        (0, 300, 0),
    ] {
        let value = labels::layers_value("sampleKey", &layers[..count], bytes_max);
        let got = value.split(',').filter(|layer| !layer.is_empty()).count();
        assert_eq!(got, expected, "{count} in {bytes_max}");
    }
    let of = labels::snapshot_labels("docker.io/library/app:1", digest(), &layers);
    assert_eq!(of[labels::IMAGE_REF], "docker.io/library/app:1");
    assert_eq!(of[labels::LAYER_DIGEST], DIGEST);
    assert_eq!(of[labels::MANIFEST_DIGEST], DIGEST);
    let value = &of[labels::IMAGE_LAYERS];
    assert!(labels::validate(labels::IMAGE_LAYERS, value).is_ok());
    assert!(labels::validate(labels::IMAGE_LAYERS, &format!("{value},{DIGEST}")).is_err());
    assert_eq!(labels::snapshot_labels("app", digest(), &[]).len(), 2);
}

#[test]
fn an_image_whose_tag_moved_on_is_kept_by_its_digest() {
    assert_eq!(
        labels::dangling_name(digest()),
        format!("moby-dangling@{DIGEST}")
    );
    let kept = labels::dangling_labels([
        ("io.containerd.image.name", "app:1"),
        ("org.opencontainers.image.ref.name", "1"),
        ("other", "x"),
    ]);
    assert_eq!(kept.into_iter().collect::<Vec<_>>(), [("other", "x")]);
}

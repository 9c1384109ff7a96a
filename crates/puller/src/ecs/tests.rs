use std::time::Duration;

use longshore_reference::Digest;

use super::*;

fn digest() -> Digest {
    Digest::parse("sha256:c5b1261d6d3e43071626931fc004f70149baeba2c8ec672bd4f27761f8e1ad6b")
        .unwrap()
}

#[test]
fn behaviours_by_their_names() {
    for (value, expected) in [
        (Some("always"), PullBehavior::Always),
        (Some("once"), PullBehavior::Once),
        (Some("prefer-cached"), PullBehavior::PreferCached),
        (Some("default"), PullBehavior::Default),
        (Some("invalid"), PullBehavior::Default),
        (Some(""), PullBehavior::Default),
        (None, PullBehavior::Default),
    ] {
        assert_eq!(PullBehavior::from_env(value), expected);
    }
}

#[test]
fn when_a_pull_is_required() {
    use PullBehavior::{Always, Default, Once, PreferCached};
    for (behavior, present, pulled, expected) in [
        (Always, true, true, true),
        (Always, false, false, true),
        (Default, true, true, true),
        (Default, false, false, true),
        (Once, false, false, true),
        (Once, true, false, true),
        (Once, true, true, false),
        (PreferCached, false, false, true),
        (PreferCached, true, false, false),
        (PreferCached, true, true, false),
    ] {
        let held = Held { present, pulled };
        assert_eq!(
            behavior.requires_pull(held),
            expected,
            "{behavior:?} {held:?}"
        );
    }
    assert!(!Always.uses_held_after_failure());
    assert!(
        [Default, Once, PreferCached]
            .into_iter()
            .all(PullBehavior::uses_held_after_failure)
    );
}

#[test]
fn what_is_asked_for_a_digest() {
    use PullBehavior::{Always, PreferCached};
    let present = Held {
        present: true,
        ..Held::default()
    };
    let pinned = format!("public.ecr.aws/library/alpine@{}", digest());
    let internal = Container {
        internal: true,
        ..Container::new("myimage")
    };
    let proxy = Container {
        service_connect: true,
        ..Container::new("myimage")
    };
    for (container, behavior, expected) in [
        (internal, Always, Plan::Skip(Skip::Internal)),
        (proxy, Always, Plan::Skip(Skip::ServiceConnect)),
        (Container::new(&pinned), Always, Plan::Known(digest())),
        (Container::new("myimage"), PreferCached, Plan::LookAtHeld),
        (Container::new("myimage"), Always, Plan::AskRegistry),
    ] {
        assert_eq!(plan(&container, behavior, present), expected);
    }
}

#[test]
fn digests_of_held_images() {
    let none: [&str; 0] = [];
    assert_eq!(
        from_held(&none, "myimage"),
        Ok(Outcome::Skipped(Skip::NoRepoDigests))
    );
    let from = Source::Held;
    let resolved = Outcome::Resolved {
        digest: digest(),
        from,
    };
    let own = format!("myimage@{}", digest());
    assert_eq!(from_held(&[own.as_str()], "myimage"), Ok(resolved.clone()));
    assert_eq!(
        from_held(&["invalid", &own], "docker.io/library/myimage:1"),
        Ok(resolved)
    );
    for (repo_digests, image) in [
        (&["invalid"][..], "myimage"),
        (&[own.as_str()], "other"),
        (&[own.as_str()], ""),
    ] {
        assert_eq!(
            from_held(repo_digests, image).unwrap_err().to_string(),
            format!("failed to find a repo digest matching '{image}'")
        );
    }
}

#[test]
fn digests_of_registries() {
    for media_type in [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ] {
        assert_eq!(
            from_registry(media_type, digest()),
            Outcome::Skipped(Skip::Schema1)
        );
    }
    for media_type in [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "",
    ] {
        let from = Source::Registry;
        assert_eq!(
            from_registry(media_type, digest()),
            Outcome::Resolved {
                digest: digest(),
                from
            }
        );
    }
}

#[test]
fn engines_that_may_speak_v1_do_not_resolve() {
    for (version, expected) in [
        ("1.35", true),
        ("1.44", true),
        ("2.0", true),
        ("1.34", false),
        ("1.30", false),
        ("1.9", false),
        ("", false),
        ("1", false),
        ("x.y", false),
    ] {
        assert_eq!(engine_resolves(version), expected, "{version}");
    }
}

#[test]
fn the_timeout_has_a_default_and_a_least() {
    for (value, expected) in [
        (None, 60),
        (Some(""), 60),
        (Some("invalid"), 60),
        (Some("0s"), 60),
        (Some("85s"), 85),
        (Some("1m30s"), 90),
        (Some("30s"), 30),
        (Some("29s"), 30),
        (Some("5s"), 30),
        (Some("-10s"), 30),
        (Some("90"), 60),
    ] {
        assert_eq!(
            manifest_timeout(value),
            Duration::from_secs(expected),
            "{value:?}"
        );
    }
}

#[test]
fn layer_urls_are_redacted() {
    const BUCKET_URL: &str = "https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/d1d1?X-Amz-Security-Token=mysup3rs3cr3ttok3n";
    let app = "111111111111.dkr.ecr.us-east-1.amazonaws.com/myapp";
    let gone = format!("REDACTED ECR URL related to {app}");
    for text in [
        "",
        "invalid reference format",
        "busybox:latest",
        "String with https://111111111111.dkr.ecr.us-west-2.amazonaws.com/myapp",
        "pull access denied for 111111111111.dkr.ecr.us-west-2.amazonaws.com/myapp, repository does not exist",
        // Without the scheme, and where nothing follows that could be a secret.
        "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/x",
        "https://prod-starport-layer-bucket",
        "tabs\tand\nlines stay",
    ] {
        assert_eq!(redact_layer_urls(app, text), text);
    }
    for (text, expected) in [
        (
            format!("failed to do request: Get \"{BUCKET_URL}\""),
            format!("failed to do request: Get {gone}"),
        ),
        (BUCKET_URL.to_owned(), gone.clone()),
        (
            format!("Get \"{BUCKET_URL}\" and another request \"{BUCKET_URL}\""),
            format!("Get {gone} and another request {gone}"),
        ),
        (format!("({BUCKET_URL}\nnext line"), format!("({gone}\nnext line")),
        (
            "Some error for https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com".to_owned(),
            format!("Some error for {gone}"),
        ),
    ] {
        assert_eq!(redact_layer_urls(app, &text), expected);
        assert_eq!(CannotPullManifest::new(app, &text).to_string(), expected);
    }
}

#[test]
fn a_timeout_says_how_long_was_waited() {
    assert_eq!(
        TimedOut(Duration::from_secs(60)).to_string(),
        "Could not transition to MANIFEST_PULLED; timed out after waiting 1m0s"
    );
    assert_eq!(
        (TimedOut::NAME, CannotPullManifest::NAME),
        ("DockerTimeoutError", "CannotPullImageManifestError")
    );
}

#[test]
fn delays_grow_up_to_a_limit() {
    let backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(60), 2, 0.0);
    let seconds: Vec<u64> = backoff
        .delays()
        .take(4)
        .map(|delay| delay.as_secs())
        .collect();
    assert_eq!(seconds, [10, 20, 40, 60]);
    let of = |retries: Retries| -> Vec<u128> {
        let delays = (1..).map_while(|tried| retries.delay_after(tried));
        delays.map(|delay| delay.as_millis()).collect()
    };
    assert_eq!(of(MANIFEST_PULL), [10, 30, 90, 270, 810, 2430, 5000, 5000]);
    assert_eq!(of(IMAGE_PULL), [1100, 2200, 4400, 5000]);
    assert_eq!(of(TAG_IMAGE), [100, 100, 100, 100]);
    let delay = Duration::from_secs(10);
    let jitter = |random| MANIFEST_PULL.backoff.with_jitter(delay, random).as_millis();
    assert_eq!(
        (jitter(0.0), jitter(0.5), jitter(1.0)),
        (10_000, 11_000, 12_000)
    );
}

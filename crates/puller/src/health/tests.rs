use super::*;

fn subject(class: RateClass, repository: &str, object: &str) -> Subject {
    Subject {
        class,
        repository: repository.into(),
        object: object.into(),
    }
}

fn blob(repository: &str, object: usize) -> Subject {
    subject(RateClass::Blob, repository, &object.to_string())
}

fn at(start: Instant) -> impl Fn(u64) -> Instant {
    move |secs| start + Duration::from_secs(secs)
}

#[test]
fn connections_that_fail_open_waits_probe_and_close() {
    let at = at(Instant::now());
    let (health, a, b) = (Health::default(), blob("a", 1), blob("b", 1));
    assert!(health.succeeded(&a), "the first answer is news");
    assert!(!health.succeeded(&a));
    let failed = |secs| health.failed(&a, Failed::Connection, at(secs));
    for _ in 0..4 {
        assert!(!failed(0));
    }
    assert!(health.admit(&b, at(0)), "four failures are not enough");
    assert!(failed(0), "the fifth is news");
    assert!(!failed(1), "calls under way do not count");
    assert!(!health.admit(&b, at(9)));
    assert!(health.admit(&b, at(10)), "one probe");
    assert!(!health.admit(&b, at(10)), "and no second");
    failed(11);
    assert!(!health.admit(&b, at(30)), "the wait has doubled");
    assert!(health.admit(&b, at(31)));
    for (now, until) in [(31, 71), (71, 131), (131, 191)] {
        failed(now);
        assert!(!health.admit(&b, at(until - 1)), "{until}");
        assert!(health.admit(&b, at(until)), "{until}");
    }
    assert!(health.succeeded(&b));
    assert!(health.admit(&a, at(191)));
}

#[test]
fn an_answer_between_failures_starts_over() {
    let now = Instant::now();
    let (health, a) = (Health::default(), blob("a", 1));
    for _ in 0..3 {
        for _ in 0..4 {
            health.failed(&a, Failed::Connection, now);
        }
        health.succeeded(&blob("b", 1));
    }
    assert!(health.admit(&a, now));
}

#[test]
fn one_object_that_fails_is_remembered_for_itself_alone() {
    let at = at(Instant::now());
    let (health, bad) = (Health::default(), blob("a", 1));
    for n in 0..1000 {
        assert!(!health.failed(&bad, Failed::Object, at(0)), "{n}");
        assert_eq!(health.admit(&bad, at(0)), n < 4, "{n}");
    }
    for other in [
        blob("a", 2),
        blob("b", 1),
        subject(RateClass::Manifest, "a", "1"),
    ] {
        assert!(health.admit(&other, at(0)), "{other:?}");
    }
    assert!(!health.admit(&bad, at(1)));
    assert!(health.admit(&bad, at(2)), "a probe");
    assert!(!health.admit(&bad, at(2)));
    health.failed(&bad, Failed::Object, at(2));
    assert!(!health.admit(&bad, at(5)) && health.admit(&bad, at(6)));
    health.succeeded(&bad);
    assert!(health.admit(&bad, at(6)));
}

#[test]
fn one_repository_that_fails_closes_no_other() {
    let now = Instant::now();
    let health = Health::default();
    for n in 0..100 {
        assert!(!health.failed(&blob("a", n), Failed::Object, now), "{n}");
        let manifest = subject(RateClass::Manifest, "a", &n.to_string());
        assert!(!health.failed(&manifest, Failed::Object, now), "{n}");
    }
    assert!(!health.admit(&blob("a", 1000), now));
    assert!(health.admit(&blob("b", 1), now));
}

#[test]
fn one_class_that_fails_closes_no_other() {
    for (class, down) in [
        (RateClass::Tags, false),
        (RateClass::Referrers, false),
        (RateClass::Check, true),
    ] {
        let (health, now) = (Health::default(), Instant::now());
        let one = |n: usize| subject(class, &format!("r{n}"), "list");
        let news = (0..100).filter(|&n| health.failed(&one(n), Failed::Object, now));
        assert_eq!(news.count(), usize::from(down), "{class:?}");
        assert!(!health.admit(&one(1000), now), "{class:?}");
        assert!(health.admit(&blob("r1", 1), now), "{class:?}");
        assert!(health.admit(&subject(RateClass::Manifest, "r1", "1"), now));
    }
}

#[test]
fn lists_never_close_manifests_and_blobs() {
    let (health, now) = (Health::default(), Instant::now());
    for n in 0..100 {
        for class in [RateClass::Tags, RateClass::Referrers] {
            let list = subject(class, &format!("r{n}"), "list");
            assert!(!health.failed(&list, Failed::Object, now));
        }
    }
    assert!(health.admit(&blob("r1", 1), now));
}

#[test]
fn different_objects_that_fail_close_the_endpoint() {
    let at = at(Instant::now());
    let health = Health::default();
    let mut news = 0;
    for n in 0..4 {
        let repository = format!("r{n}");
        let manifest = subject(RateClass::Manifest, &repository, "1");
        for subject in [blob(&repository, n), manifest] {
            news += usize::from(health.failed(&subject, Failed::Object, at(0)));
        }
    }
    assert_eq!(news, 1);
    let other = subject(RateClass::Tags, "other", "list");
    assert!(!health.admit(&other, at(9)));
    assert!(health.admit(&other, at(10)), "a probe");
    assert!(!health.admit(&blob("other", 1), at(10)));
    assert!(health.succeeded(&other), "it is up again");
    assert!(health.admit(&blob("other", 1), at(10)));
}

#[test]
fn what_is_known_to_fail_is_no_news_about_the_rest() {
    let now = Instant::now();
    let health = Health::default();
    let bad: Vec<_> = (0..20).map(|n| blob(&format!("r{n}"), n)).collect();
    for subject in &bad {
        for _ in 0..5 {
            health.failed(subject, Failed::Object, now);
        }
        health.succeeded(&blob("good", 1));
    }
    for subject in &bad {
        assert!(!health.failed(subject, Failed::Object, now));
    }
    assert!(health.admit(&blob("good", 2), now));
}

#[test]
fn an_abandoned_probe_does_not_block_for_ever() {
    let at = at(Instant::now());
    let (health, a) = (Health::default(), blob("a", 1));
    for _ in 0..5 {
        health.failed(&a, Failed::Connection, at(0));
    }
    assert!(health.admit(&a, at(10)));
    assert!(!health.admit(&a, at(19)));
    assert!(health.admit(&a, at(20)));
}

#[test]
fn the_last_resort_is_asked_once_a_second() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let (health, a) = (Health::default(), blob("a", 1));
    for _ in 0..5 {
        health.failed(&a, Failed::Connection, at(0));
    }
    assert!(health.admit_last(&a, at(0)));
    assert!(!health.admit_last(&a, at(999)));
    assert!(health.admit_last(&a, at(1000)));
    health.failed(&a, Failed::Connection, at(1001));
    assert!(
        health.admit(&a, at(10_000)),
        "last resorts do not make the wait longer"
    );
}

#[test]
fn the_memory_is_bounded() {
    let start = Instant::now();
    let health = Health::default();
    for n in 0..5000 {
        let one = blob(&format!("r{n}"), n);
        health.failed(&one, Failed::Object, start);
        assert!(lock(&health.0).circuits.len() <= CIRCUITS_MAX + 3);
    }
    // What failed long ago is forgotten.
    let (a, later) = (blob("a", 1), start + FORGET_AFTER * 2);
    let health = Health::default();
    for _ in 0..4 {
        health.failed(&a, Failed::Object, start);
    }
    health.failed(&a, Failed::Object, later);
    assert!(health.admit(&a, later));
}

use super::*;

const MANIFEST: LimitKey = (RateClass::Manifest, None);
const BLOB: LimitKey = (RateClass::Blob, None);

fn at(start: Instant) -> impl Fn(u64) -> Instant {
    move |secs| start + Duration::from_secs(secs)
}

#[test]
fn what_the_upstream_stated_holds_for_that_class_and_those_credentials() {
    let at = at(Instant::now());
    let limits = Limits::default();
    limits.limited(MANIFEST, Some(Duration::from_secs(30)), at(0), at(0));
    let wait = Err(Duration::from_secs(20));
    assert_eq!(limits.admit(MANIFEST, at(10)), wait);
    limits.answered(MANIFEST, at(10));
    assert_eq!(limits.admit(MANIFEST, at(10)), wait, "it holds");
    let login = Some(Digest::sha256(b"someone"));
    for other in [BLOB, (RateClass::Check, None), (RateClass::Manifest, login)] {
        assert_eq!(limits.admit(other, at(10)), Ok(()), "{other:?}");
    }
    assert_eq!(limits.admit(MANIFEST, at(30)), Ok(()));
}

#[test]
fn without_a_stated_wait_it_doubles_from_one_second_to_a_minute() {
    let start = Instant::now();
    let (limits, mut now) = (Limits::default(), start);
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        limits.limited(BLOB, None, now, now);
        // Requests that were under way say nothing new.
        limits.limited(BLOB, None, start, now);
        limits.limited(BLOB, None, now, now);
        let wait = limits.admit(BLOB, now).unwrap_err();
        assert_eq!(wait.as_secs(), expected);
        now += wait;
        assert_eq!(limits.admit(BLOB, now), Ok(()));
    }
    limits.answered(BLOB, now);
    limits.limited(BLOB, None, now, now);
    assert_eq!(limits.admit(BLOB, now), Err(Duration::from_secs(1)));
}

#[test]
fn any_success_ends_a_backoff() {
    let at = at(Instant::now());
    let limits = Limits::default();
    limits.limited(BLOB, None, at(0), at(5));
    limits.answered(MANIFEST, at(5));
    assert!(limits.admit(BLOB, at(5)).is_err(), "of another class");
    limits.answered(BLOB, at(5));
    assert_eq!(limits.admit(BLOB, at(5)), Ok(()));
}

#[test]
fn a_backoff_of_long_ago_is_forgotten() {
    let at = at(Instant::now());
    let limits = Limits::default();
    limits.limited(BLOB, None, at(0), at(0));
    limits.limited(BLOB, None, at(10), at(10));
    limits.limited(BLOB, None, at(1000), at(1000));
    assert_eq!(limits.admit(BLOB, at(1000)), Err(Duration::from_secs(1)));
}

#[test]
fn the_windows_are_bounded() {
    let (limits, now) = (Limits::default(), Instant::now());
    for n in 0..3000_u32 {
        let login = Some(Digest::sha256(&n.to_be_bytes()));
        limits.limited((RateClass::Blob, login), None, now, now);
        assert!(lock(&limits.windows).len() <= WINDOWS_MAX);
    }
}

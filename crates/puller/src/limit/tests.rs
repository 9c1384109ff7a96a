use super::*;

#[test]
fn a_told_window_ends_by_itself() {
    let start = Instant::now();
    let at = |secs| start + Duration::from_secs(secs);
    let limits = Limits::default();
    limits.limited(Ration::Pull, Some(Duration::from_secs(30)), at(0));
    assert_eq!(
        limits.admit(Ration::Pull, at(10)),
        Err(Duration::from_secs(20))
    );
    assert_eq!(
        limits.admit(Ration::Other, at(10)),
        Ok(()),
        "other calls go on"
    );
    assert_eq!(limits.admit(Ration::Pull, at(30)), Ok(()));
    assert_eq!(
        limits.admit(Ration::Pull, at(30)),
        Ok(()),
        "and all after it"
    );
}

#[test]
fn an_untold_window_is_probed_once_a_minute() {
    let start = Instant::now();
    let at = |secs| start + Duration::from_secs(secs);
    let limits = Limits::default();
    limits.limited(Ration::Other, None, at(0));
    for ration in [Ration::Pull, Ration::Other] {
        assert_eq!(limits.admit(ration, at(59)), Err(Duration::from_secs(1)));
    }
    assert_eq!(limits.admit(Ration::Other, at(60)), Ok(()), "the probe");
    assert_eq!(
        limits.admit(Ration::Pull, at(61)),
        Err(Duration::from_secs(59))
    );
    limits.answered(Ration::Other, at(60));
    assert_eq!(limits.admit(Ration::Pull, at(61)), Ok(()));
}

#[test]
fn an_answer_to_head_does_not_end_the_limit_of_pulls() {
    let now = Instant::now();
    let limits = Limits::default();
    limits.limited(Ration::Pull, None, now);
    limits.answered(Ration::Other, now);
    assert!(limits.admit(Ration::Pull, now).is_err());
    limits.answered(Ration::Pull, now);
    assert!(limits.admit(Ration::Pull, now).is_ok());
}

#[test]
fn an_answer_ends_only_windows_that_opened_before_it_was_asked_for() {
    let start = Instant::now();
    let at = |secs| start + Duration::from_secs(secs);
    for (limited, asked, admitted) in [
        (Ration::Other, 0, false),
        (Ration::Other, 4, false),
        (Ration::Other, 6, true),
        (Ration::Pull, 4, false),
        (Ration::Pull, 6, true),
    ] {
        let limits = Limits::default();
        limits.limited(limited, Some(Duration::from_secs(30)), at(5));
        limits.answered(Ration::Pull, at(asked));
        let admit = limits.admit(Ration::Pull, at(10));
        assert_eq!(admit.is_ok(), admitted, "{limited:?} {asked}");
    }
}

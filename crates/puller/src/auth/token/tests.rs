use super::*;

fn key(scope: &str) -> Key {
    Key {
        login: None,
        realm: "https://r.example/token".into(),
        service: None,
        scope: scope.into(),
    }
}

fn outcome(token: &'static str, life: Duration) -> Outcome {
    Outcome {
        result: Ok(HeaderValue::from_static(token)),
        until: Instant::now() + life,
    }
}

const LONG: Duration = Duration::from_secs(300);

#[test]
fn answers() {
    for (body, expected) in [
        (r#"{"token":"t"}"#, Some(("Bearer t", 54))),
        (r#"{"access_token":"a"}"#, Some(("Bearer a", 54))),
        (
            r#"{"token":"t","access_token":"a"}"#,
            Some(("Bearer a", 54)),
        ),
        (r#"{"token":"t","access_token":""}"#, Some(("Bearer t", 54))),
        (
            r#"{"token":"t","access_token":null}"#,
            Some(("Bearer t", 54)),
        ),
        (r#"{"token":"t","expires_in":100}"#, Some(("Bearer t", 90))),
        (
            r#"{"token":"t","expires_in":3600}"#,
            Some(("Bearer t", 3570)),
        ),
        (r#"{"token":"t","expires_in":5}"#, Some(("Bearer t", 54))),
        (r#"{"token":"t","expires_in":-1}"#, Some(("Bearer t", 54))),
        (
            r#"{"token":"t","expires_in":"100"}"#,
            Some(("Bearer t", 90)),
        ),
        (
            r#"{"token":"t","expires_in":"NaN"}"#,
            Some(("Bearer t", 54)),
        ),
        (
            r#"{"token":"t","expires_in":1e300}"#,
            Some(("Bearer t", 86_370)),
        ),
        (
            r#"{"token":"t","expires_in":null,"issued_at":7}"#,
            Some(("Bearer t", 54)),
        ),
        (r#"{"token":""}"#, None),
        (r#"{"token":"a\nb"}"#, None),
        (r#"{"expires_in":100}"#, None),
        ("[]", None),
        ("<html>", None),
    ] {
        let found = parse_answer(body.as_bytes());
        let found = found
            .as_ref()
            .map(|answer| (answer.header.to_str().unwrap(), answer.life.as_secs()));
        assert_eq!(found, expected, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_end_and_are_forgotten() {
    let tokens = Tokens::default();
    let held = tokens
        .obtain(key("a"), async { outcome("Bearer 1", LONG) })
        .await;
    assert!(!held.cached());
    assert!(
        tokens
            .obtain(key("a"), async { outcome("Bearer 2", LONG) })
            .await
            .cached()
    );
    assert!(
        !tokens
            .obtain(key("b"), async { outcome("Bearer b", LONG) })
            .await
            .cached()
    );
    tokens.forget(&held);
    let fresh = tokens
        .obtain(key("a"), async { outcome("Bearer 3", LONG) })
        .await;
    assert!(!fresh.cached());
    tokens.forget(&held);
    assert!(
        tokens
            .obtain(key("a"), async { outcome("Bearer 4", LONG) })
            .await
            .cached(),
        "forgetting an old token leaves its successor"
    );
    tokio::time::advance(LONG).await;
    assert!(
        !tokens
            .obtain(key("a"), async { outcome("Bearer 5", LONG) })
            .await
            .cached()
    );
}

#[tokio::test]
async fn failures_are_not_kept() {
    let tokens = Tokens::default();
    let failed = || Outcome {
        result: Err(Refusal::Refused),
        until: Instant::now(),
    };
    assert!(
        tokens
            .obtain(key("a"), async { failed() })
            .await
            .result()
            .is_err()
    );
    assert!(
        tokens
            .obtain(key("a"), async { outcome("Bearer t", LONG) })
            .await
            .result()
            .is_ok()
    );
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let tokens = Tokens::default();
    for i in 0..TOKENS_MAX + 10 {
        tokens
            .obtain(key(&i.to_string()), async { outcome("Bearer t", LONG) })
            .await;
        assert!(tokens.outcomes.len() <= TOKENS_MAX);
    }
}

#[test]
fn scopes_in_one_order() {
    for (given, expected) in [
        ("repository:a:pull", "repository:a:pull"),
        (
            " repository:b:pull  repository:a:pull repository:b:pull ",
            "repository:a:pull repository:b:pull",
        ),
        ("", ""),
    ] {
        assert_eq!(scopes(given), expected);
    }
}

#[test]
fn refresh_tokens_belong_to_credentials_at_an_endpoint() {
    let tokens = Tokens::default();
    let others = [
        Key {
            login: Some(Digest::sha256(b"other")),
            ..key("a")
        },
        Key {
            realm: "https://other.example/token".into(),
            ..key("a")
        },
        Key {
            service: Some("other".into()),
            ..key("a")
        },
    ];
    tokens.keep_refresh(&key("a"), "1".into());
    assert_eq!(tokens.refresh(&key("b")).as_deref(), Some("1"));
    for other in &others {
        assert_eq!(tokens.refresh(other), None);
    }
    tokens.keep_refresh(&key("b"), "2".into());
    tokens.forget_refresh(&key("a"), "1");
    assert_eq!(tokens.refresh(&key("a")).as_deref(), Some("2"));
    tokens.forget_refresh(&key("a"), "2");
    assert_eq!(tokens.refresh(&key("a")), None);
    for (body, expected) in [
        (r#"{"token":"t","refresh_token":"r"}"#, Some("r")),
        (r#"{"token":"t","refresh_token":""}"#, None),
        (r#"{"token":"t"}"#, None),
    ] {
        let answer = parse_answer(body.as_bytes()).unwrap();
        assert_eq!(answer.refresh.as_deref(), expected);
    }
}

use super::*;
use crate::error::Fault;

fn endpoint() -> Arc<str> {
    "r.example".into()
}

fn unreachable(reason: Reason) -> Error {
    let (endpoint, source) = (endpoint(), None);
    Error::Unreachable {
        endpoint,
        reason,
        source,
    }
}

/// Error, what follows at a mirror, what follows at the origin.
#[rustfmt::skip]
fn table() -> Vec<(Error, Next, Next)> {
    use Next::{Endpoint, Retry, Stop};
    let timed_out = |phase| Error::TimedOut {
        endpoint: endpoint(),
        phase,
    };
    let misbehaved = |fault| Error::misbehaved(&endpoint(), fault);
    vec![
        (unreachable(Reason::Connect), Retry, Retry),
        (unreachable(Reason::Lost), Retry, Retry),
        (unreachable(Reason::Tls), Endpoint, Endpoint),
        (unreachable(Reason::Resting), Endpoint, Endpoint),
        (unreachable(Reason::Status(500)), Retry, Retry),
        (unreachable(Reason::Status(502)), Retry, Retry),
        (unreachable(Reason::Status(503)), Retry, Retry),
        (unreachable(Reason::Status(504)), Retry, Retry),
        (unreachable(Reason::Status(408)), Retry, Retry),
        (unreachable(Reason::Status(425)), Endpoint, Endpoint),
        (unreachable(Reason::Status(501)), Endpoint, Endpoint),
        (timed_out(Phase::Connect), Endpoint, Endpoint),
        (timed_out(Phase::Headers), Endpoint, Endpoint),
        (timed_out(Phase::Body), Endpoint, Endpoint),
        (Error::Limited { endpoint: endpoint(), retry_after: None }, Endpoint, Endpoint),
        (misbehaved(Fault::Html), Endpoint, Endpoint),
        (misbehaved(Fault::Digest), Endpoint, Endpoint),
        (misbehaved(Fault::Status(418)), Endpoint, Endpoint),
        (Error::Unknown { endpoint: endpoint(), confirmed: true }, Endpoint, Stop),
        (Error::Unknown { endpoint: endpoint(), confirmed: false }, Endpoint, Stop),
        (Error::Denied { endpoint: endpoint(), detail: None }, Endpoint, Stop),
        (Error::Rejected { endpoint: endpoint(), source: None }, Endpoint, Stop),
        (Error::config("ca", "bad"), Stop, Stop),
    ]
}

#[test]
fn each_row_of_the_table() {
    for (error, at_mirror, at_origin) in table() {
        assert_eq!(
            next(&error, Role::Mirror),
            at_mirror,
            "{error:?} at a mirror"
        );
        assert_eq!(
            next(&error, Role::Origin),
            at_origin,
            "{error:?} at the origin"
        );
    }
}

#[test]
fn what_a_status_means() {
    let coded = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
    let unknown = |confirmed| Meaning::Unknown { confirmed };
    for (status, body, expected) in [
        (401, String::new(), Meaning::Denied),
        (401, coded("UNAUTHORIZED"), Meaning::Denied),
        (403, coded("DENIED"), Meaning::Denied),
        (404, String::new(), unknown(false)),
        (404, "<html>".into(), unknown(false)),
        (404, coded("UNSUPPORTED"), unknown(false)),
        (404, coded("DENIED"), unknown(false)),
        (404, coded("MANIFEST_UNKNOWN"), unknown(true)),
        (404, coded("NAME_UNKNOWN"), unknown(true)),
        (404, coded("BLOB_UNKNOWN"), unknown(true)),
        (404, coded("NOT_FOUND"), unknown(true)),
        (410, coded("MANIFEST_UNKNOWN"), unknown(true)),
        (400, coded("NAME_INVALID"), unknown(true)),
        (400, coded("TAG_INVALID"), unknown(true)),
        (400, coded("SIZE_INVALID"), Meaning::Misbehaved),
        (400, String::new(), Meaning::Misbehaved),
        (429, String::new(), Meaning::Limited),
        (403, coded("TOOMANYREQUESTS"), Meaning::Limited),
        (503, coded("TOOMANYREQUESTS"), Meaning::Limited),
        (408, String::new(), Meaning::Unreachable),
        (425, String::new(), Meaning::Unreachable),
        (500, String::new(), Meaning::Unreachable),
        (503, coded("UNAVAILABLE"), Meaning::Unreachable),
        (599, String::new(), Meaning::Unreachable),
        (304, String::new(), Meaning::Misbehaved),
        (204, String::new(), Meaning::Misbehaved),
        (405, coded("UNSUPPORTED"), Meaning::Misbehaved),
        (418, String::new(), Meaning::Misbehaved),
    ] {
        let reply = Reply::parse(body.as_bytes());
        assert_eq!(
            meaning(StatusCode::from_u16(status).unwrap(), &reply),
            expected,
            "{status} {body}"
        );
    }
}

#[test]
fn replies_of_all_kinds() {
    for (body, detail) in [
        (
            r#"{"errors":[{"code":"DENIED","message":"no"}]}"#,
            Some("DENIED: no"),
        ),
        (
            r#"{"errors":[{"code":"DENIED","message":"a\u001b[31m\nb","detail":{"x":1}}]}"#,
            Some("DENIED: a[31mb"),
        ),
        (r#"{"errors":[{"message":"only"}]}"#, Some("only")),
        (r#"{"errors":[]}"#, None),
        (
            r#"{"message":"Your authorization token has expired."}"#,
            Some("Your authorization token has expired."),
        ),
        (r#"{"Message":"Forbidden"}"#, Some("Forbidden")),
        (r#"{"errors":"no list"}"#, None),
        ("<html>", None),
        ("[]", None),
        ("", None),
    ] {
        assert_eq!(
            Reply::parse(body.as_bytes()).detail().as_deref(),
            detail,
            "{body}"
        );
    }
    let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(5000));
    assert_eq!(
        Reply::parse(long.as_bytes()).detail().unwrap().len(),
        DETAIL_CHARS_MAX
    );
    assert!(Reply::parse(br#"{"message":"Your authorization token has Expired"}"#).says_expired());
    assert!(!Reply::parse(br#"{"message":"access denied"}"#).says_expired());
}

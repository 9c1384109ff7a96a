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

fn unusable() -> Error {
    let bytes = bytes::Bytes::from_static(b"no manifest");
    let source = longshore_manifest::Manifest::decode(None, bytes).unwrap_err();
    Error::Unusable {
        endpoint: endpoint(),
        source: source.into(),
    }
}

fn not_supported() -> Error {
    Error::NotSupported {
        upstream: "r.example".into(),
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
        (unreachable(Reason::CircuitOpen), Endpoint, Endpoint),
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
        (Error::NotFound { endpoint: endpoint(), authoritative: true }, Endpoint, Stop),
        (Error::NotFound { endpoint: endpoint(), authoritative: false }, Endpoint, Stop),
        (Error::Denied { endpoint: endpoint(), detail: None, unauthorized: true }, Endpoint, Stop),
        (Error::Denied { endpoint: endpoint(), detail: None, unauthorized: false }, Endpoint, Stop),
        (unusable(), Endpoint, Endpoint),
        (Error::Rejected { endpoint: endpoint(), source: None }, Endpoint, Stop),
        (not_supported(), Endpoint, Endpoint),
        (Error::Reserved { name: "scratch".into() }, Stop, Stop),
        (Error::NoEndpoints { reference: "a".into() }, Stop, Stop),
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

/// Error; whether v1 is asked after it; whether it says that there was no connection; what follows when it came from an
/// endpoint of a list; whether the JSON of an image is asked for again.
#[test]
#[rustfmt::skip]
fn each_row_of_the_tables_of_v1() {
    use Next::{Endpoint, Stop};
    let denied = |unauthorized| Error::Denied { endpoint: endpoint(), detail: None, unauthorized };
    let unknown = |authoritative| Error::NotFound { endpoint: endpoint(), authoritative };
    let misbehaved = |fault| Error::misbehaved(&endpoint(), fault);
    let timed_out = |phase| Error::TimedOut { endpoint: endpoint(), phase };
    for (error, v1, no_answer, of_list, image) in [
        (unknown(true), true, false, Stop, true),
        (unknown(false), true, false, Stop, true),
        (denied(true), true, false, Endpoint, false),
        (denied(false), false, false, Endpoint, false),
        (unusable(), false, false, Endpoint, false),
        (Error::Rejected { endpoint: endpoint(), source: None }, false, false, Endpoint, false),
        (unreachable(Reason::Connect), true, true, Stop, true),
        (unreachable(Reason::Tls), true, true, Stop, true),
        (unreachable(Reason::Lost), true, true, Stop, true),
        (unreachable(Reason::CircuitOpen), false, true, Stop, true),
        (unreachable(Reason::Status(500)), false, false, Endpoint, true),
        (unreachable(Reason::Status(503)), false, false, Endpoint, true),
        (timed_out(Phase::Connect), false, true, Stop, true),
        (timed_out(Phase::Headers), false, true, Stop, true),
        (timed_out(Phase::Body), false, true, Stop, true),
        (Error::Limited { endpoint: endpoint(), retry_after: None }, false, false, Endpoint, false),
        (misbehaved(Fault::Html), true, false, Endpoint, false),
        (misbehaved(Fault::Json), true, false, Endpoint, false),
        (misbehaved(Fault::Status(400)), true, false, Endpoint, true),
        (misbehaved(Fault::Status(405)), true, false, Endpoint, true),
        (misbehaved(Fault::Digest), false, false, Endpoint, false),
        (misbehaved(Fault::Encoding), false, false, Endpoint, false),
        (misbehaved(Fault::TooLarge { limit: 1 }), false, false, Endpoint, false),
        (misbehaved(Fault::Length { expected: 1, found: 2 }), false, false, Endpoint, false),
        (misbehaved(Fault::Redirect), false, false, Endpoint, false),
        (misbehaved(Fault::Realm), false, false, Endpoint, false),
        (misbehaved(Fault::Token), false, false, Endpoint, false),
        (misbehaved(Fault::Header("x")), false, false, Endpoint, false),
        (not_supported(), true, false, Endpoint, false),
        (Error::Reserved { name: "scratch".into() }, false, false, Endpoint, false),
        (Error::NoEndpoints { reference: "a".into() }, false, false, Endpoint, false),
        (Error::config("ca", "bad"), false, true, Stop, false),
    ] {
        assert_eq!(asks_v1(&error), v1, "{error:?}");
        assert_eq!(is_no_answer(&error), no_answer, "{error:?}");
        assert_eq!(next_of_list(&error), of_list, "{error:?}");
        assert_eq!(asks_image_again(&error), image, "{error:?}");
    }
}

#[test]
fn which_error_is_told() {
    let unknown = Error::NotFound {
        endpoint: endpoint(),
        authoritative: false,
    };
    let known = Error::NotFound {
        endpoint: endpoint(),
        authoritative: true,
    };
    let limited = Error::Limited {
        endpoint: endpoint(),
        retry_after: None,
    };
    let connect = unreachable(Reason::Connect);
    for (kept, later, speaks, later_is_told) in [
        // What is not known in v2 may be there in v1, which could not be asked.
        (&unknown, &limited, true, true),
        (&unknown, &limited, false, true),
        (&unknown, &connect, true, true),
        (&unknown, &connect, false, true),
        // A v2 registry that says so knows better.
        (&known, &limited, true, true),
        (&known, &limited, false, false),
        (&unknown, &known, false, false),
        (&connect, &unknown, true, true),
        (&connect, &unknown, false, false),
        (&unknown, &not_supported(), true, false),
        (&connect, &not_supported(), false, false),
        (&not_supported(), &unknown, false, true),
        (&not_supported(), &not_supported(), false, true),
    ] {
        let told = replaces(kept, later, speaks);
        assert_eq!(told, later_is_told, "{kept:?} {later:?} {speaks}");
    }
}

#[test]
fn what_a_status_means_in_v1() {
    for (status, body, expected) in [
        (
            401,
            r#"{"error":"Requires authorization"}"#,
            Meaning::Denied,
        ),
        (403, "", Meaning::Denied),
        (
            404,
            r#"{"error":"Tag not found"}"#,
            Meaning::NotFound {
                authoritative: true,
            },
        ),
        (
            404,
            "<html>",
            Meaning::NotFound {
                authoritative: false,
            },
        ),
        (
            400,
            r#"{"error":"Image is being uploaded, retry later"}"#,
            Meaning::Unreachable,
        ),
        (400, r#"{"error":"Bad"}"#, Meaning::Misbehaved),
        (429, "", Meaning::Limited),
        (503, "", Meaning::Unreachable),
        (302, "", Meaning::Misbehaved),
    ] {
        let reply = Reply::parse(body.as_bytes());
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(meaning_v1(status, &reply), expected, "{status} {body}");
    }
}

#[test]
fn what_a_status_means() {
    let coded = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
    let unknown = |authoritative| Meaning::NotFound { authoritative };
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
        (
            r#"{"error":"Requires authorization"}"#,
            Some("Requires authorization"),
        ),
        // The words stand where each registry puts them.
        (
            r#"{"errors":[{"code":"DENIED","message":"","detail":"quota"}]}"#,
            Some("DENIED: quota"),
        ),
        (
            r#"{"errors":[{"code":"DENIED","detail":{"message":"quota"}}]}"#,
            Some("DENIED: quota"),
        ),
        (
            r#"{"errors":[{"code":"DENIED","detail":["quota","x"]}]}"#,
            Some("DENIED: quota"),
        ),
        (r#"{"details":"quota"}"#, Some("quota")),
        (r#"{"details":{"reason":"quota"}}"#, Some("quota")),
        ("slow down\nplease\n", Some("slow down")),
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

//! Each row is one request: what is done with it, and what is sent, fetched and remembered.

use super::*;
use crate::auth::login::CredentialKind;

/// What comes of the steps, in order.
enum Answer {
    /// These credentials are found; `true`: they were rejected a short while ago.
    Found(Option<Login>, bool),
    Unreadable,
    Token(&'static str),
    CachedToken(&'static str),
    TokenRefused,
    TokenRefusedBefore,
    TokenFailed,
    /// The registry refuses with this status and this challenge.
    Refused(u16, &'static str),
    /// And the body says that the credentials have expired.
    Expired(u16, &'static str),
    /// A storage host refuses.
    StorageRefused(u16),
    Ping(Option<Challenge>),
}

use Answer::*;

const ENDPOINT: &str = "https://r.example/v2/";
const BEARER: &str =
    r#"Bearer realm="https://auth.r.example/t",service="s",scope="repository:a:pull""#;
const OTHER: &str =
    r#"Bearer realm="https://auth.r.example/t",service="s",scope="repository:b:pull""#;
const STALE: &str = r#"Bearer realm="https://auth.r.example/t",service="s",scope="repository:a:pull",error="invalid_token""#;
const FOREIGN: &str = r#"Bearer realm="https://evil.example/t""#;
const BASIC: &str = r#"Basic realm="r""#;

fn login(kind: CredentialKind, secret: &str) -> Login {
    let username = (kind == CredentialKind::Password).then(|| "u".to_owned());
    Login::new(kind, username, secret.into()).unwrap()
}

fn password(secret: &str) -> Login {
    login(CredentialKind::Password, secret)
}

fn found(login: Login) -> Answer {
    Found(Some(login), false)
}

fn anonymous() -> Answer {
    Found(None, false)
}

fn challenge(text: &str) -> Option<Challenge> {
    Challenge::choose(&headers(text))
}

fn headers(challenge: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !challenge.is_empty() {
        headers.insert("www-authenticate", challenge.parse().unwrap());
    }
    headers
}

/// A step as a word.
fn word(step: &Step) -> String {
    match step {
        Step::Send(None) => "send ".to_owned(),
        Step::Send(Some(header)) => {
            let (scheme, value) = header.to_str().unwrap().split_once(' ').unwrap();
            let value = if scheme == "Basic" { "" } else { value };
            format!("send:{scheme}{value} ")
        }
        Step::FetchToken(wanted) => {
            let who = wanted.login.as_ref().map_or("anonymous", |_| "login");
            format!("token:{who}:{} ", wanted.scope)
        }
        Step::LookUp { stale: Some(_) } => "renew ".to_owned(),
        Step::LookUp { stale: None } => "find ".to_owned(),
        Step::Ping => "ping ".to_owned(),
        Step::GiveUp => "give-up".to_owned(),
        Step::Denied => "denied".to_owned(),
        Step::Failed(_) => "failed".to_owned(),
    }
}

/// Runs a request; the steps and notes as words.
fn run(known: Option<Challenge>, answers: Vec<Answer>) -> (String, String) {
    let url = Url::parse(ENDPOINT).unwrap();
    let (mut authorizer, mut step) = Authorizer::new(&url, &[], "a", known);
    let (mut steps, mut notes) = (String::new(), String::new());
    let mut answers = answers.into_iter();
    loop {
        steps.push_str(&word(&step));
        if matches!(step, Step::GiveUp | Step::Denied | Step::Failed(_)) {
            assert!(answers.next().is_none(), "it gave up early: {steps}");
            return (steps, notes);
        }
        let Some(answer) = answers.next() else {
            return (steps.trim_end().to_owned(), notes);
        };
        let refuse = |authorizer: &mut Authorizer<'_>, status, text, says_expired, own| {
            authorizer.on_refusal(RefusedRequest {
                status: StatusCode::from_u16(status).unwrap(),
                headers: &headers(text),
                says_expired,
                own,
            })
        };
        let token = |text: &'static str| Ok(HeaderValue::from_static(text));
        step = match answer {
            Found(login, is_bad) => authorizer.on_login(Ok(login), is_bad),
            Unreadable => {
                authorizer.on_login(Err(Arc::new(std::io::Error::other("unreadable"))), false)
            }
            Token(text) => authorizer.on_token(&token(text), false),
            CachedToken(text) => authorizer.on_token(&token(text), true),
            TokenRefused => authorizer.on_token(&Err(Refusal::Refused), false),
            TokenRefusedBefore => authorizer.on_token(&Err(Refusal::Refused), true),
            TokenFailed => {
                let error = Error::config("token", "none");
                authorizer.on_token(&Err(Refusal::Failed(error)), false)
            }
            Refused(status, text) => refuse(&mut authorizer, status, text, false, true),
            Expired(status, text) => refuse(&mut authorizer, status, text, true, true),
            StorageRefused(status) => refuse(&mut authorizer, status, "", false, false),
            Ping(challenge) => authorizer.on_ping(challenge),
        };
        for note in authorizer.notes() {
            notes.push_str(match note {
                Note::Challenge(_) => "challenge ",
                Note::TokenRefused => "token-refused ",
                Note::Rejected(Some(_)) => "rejected-for-a-while ",
                Note::Rejected(None) => "rejected ",
                Note::Unreadable => "unreadable ",
            });
        }
    }
}

fn check(known: &str, answers: Vec<Answer>, steps: &str, notes: &str) {
    let (found, remembered) = run(challenge(known), answers);
    assert_eq!((found.as_str(), remembered.trim_end()), (steps, notes));
}

#[test]
fn without_credentials() {
    check("", vec![anonymous()], "find send", "");
    // A challenge, then a token for what it names.
    check(
        "",
        vec![anonymous(), Refused(401, OTHER), Token("Bearer t")],
        "find send token:anonymous:repository:b:pull send:Bearert",
        "challenge",
    );
    // A known challenge saves the first request.
    check(
        BEARER,
        vec![anonymous(), CachedToken("Bearer t")],
        "find token:anonymous:repository:a:pull send:Bearert",
        "",
    );
    check(
        BASIC,
        vec![anonymous(), Refused(401, BASIC)],
        "find send give-up",
        "challenge",
    );
    check(
        BEARER,
        vec![anonymous(), TokenRefused],
        "find token:anonymous:repository:a:pull denied",
        "",
    );
    check(
        BEARER,
        vec![anonymous(), TokenFailed],
        "find token:anonymous:repository:a:pull failed",
        "",
    );
    // A 404 is an answer.
    check(
        "",
        vec![anonymous(), Refused(404, "")],
        "find send give-up",
        "",
    );
}

#[test]
fn objects_without_a_challenge() {
    check(
        "",
        vec![
            anonymous(),
            Refused(401, ""),
            Ping(challenge(BEARER)),
            Token("Bearer t"),
        ],
        "find send ping token:anonymous:repository:a:pull send:Bearert",
        "challenge",
    );
    check(
        "",
        vec![anonymous(), Refused(401, ""), Ping(None)],
        "find send ping give-up",
        "",
    );
}

#[test]
fn tokens_that_are_refused() {
    let token = "token:anonymous:repository:a:pull";
    // One that was held may have ended early: once.
    check(
        BEARER,
        vec![
            anonymous(),
            CachedToken("Bearer old"),
            Refused(401, BEARER),
            Token("Bearer new"),
            Refused(401, BEARER),
        ],
        &format!("find {token} send:Bearerold {token} send:Bearernew give-up"),
        "challenge token-refused challenge token-refused",
    );
    // One that was just given will not be better, unless the registry complains of it.
    check(
        BEARER,
        vec![anonymous(), Token("Bearer t"), Refused(403, "")],
        &format!("find {token} send:Bearert give-up"),
        "token-refused",
    );
    check(
        BEARER,
        vec![
            anonymous(),
            Token("Bearer t"),
            Refused(401, STALE),
            Token("Bearer u"),
        ],
        &format!("find {token} send:Bearert {token} send:Beareru"),
        "challenge token-refused",
    );
    // Or it wants another scope.
    check(
        BEARER,
        vec![
            anonymous(),
            Token("Bearer t"),
            Refused(401, OTHER),
            Token("Bearer u"),
        ],
        &format!("find {token} send:Bearert token:anonymous:repository:b:pull send:Beareru"),
        "challenge token-refused",
    );
}

#[test]
fn passwords() {
    check(BASIC, vec![found(password("p"))], "find send:Basic", "");
    // Not before they are asked for.
    check(
        "",
        vec![found(password("p")), Refused(401, BASIC)],
        "find send send:Basic",
        "challenge",
    );
    check(
        BEARER,
        vec![found(password("p")), Token("Bearer t")],
        "find token:login:repository:a:pull send:Bearert",
        "",
    );
    // Not to a token endpoint of another domain.
    check(
        FOREIGN,
        vec![found(password("p")), Token("Bearer t")],
        "find token:anonymous:repository:a:pull send:Bearert",
        "",
    );
    // Those that were rejected a short while ago are not shown.
    check(
        BASIC,
        vec![Found(Some(password("p")), true)],
        "find send",
        "",
    );
    check(BASIC, vec![Unreadable], "find send", "unreadable");
}

#[test]
fn passwords_that_are_refused() {
    // Others may have been configured meanwhile; the same ones are not tried again, but the anonymous client is.
    check(
        BASIC,
        vec![
            found(password("p")),
            Refused(401, BASIC),
            found(password("q")),
        ],
        "find send:Basic renew send:Basic",
        "challenge",
    );
    check(
        BASIC,
        vec![
            found(password("p")),
            Refused(401, BASIC),
            found(password("p")),
            Refused(401, BASIC),
        ],
        "find send:Basic renew send give-up",
        "challenge rejected-for-a-while challenge",
    );
    // Forbidden is no reason to think them wrong, expired is.
    check(
        BASIC,
        vec![found(password("p")), Refused(403, ""), found(password("p"))],
        "find send:Basic find give-up",
        "",
    );
    check(
        BASIC,
        vec![found(password("p")), Expired(403, ""), found(password("p"))],
        "find send:Basic renew send",
        "rejected-for-a-while",
    );
    // By the token endpoint: looked up once more, then without.
    let (login, anonymous) = (
        "token:login:repository:a:pull",
        "token:anonymous:repository:a:pull",
    );
    check(
        BEARER,
        vec![
            found(password("p")),
            TokenRefused,
            found(password("q")),
            Token("Bearer t"),
        ],
        &format!("find {login} renew {login} send:Bearert"),
        "",
    );
    check(
        BEARER,
        vec![
            found(password("p")),
            TokenRefused,
            found(password("p")),
            Token("Bearer t"),
        ],
        &format!("find {login} renew {anonymous} send:Bearert"),
        "rejected",
    );
    // A refusal that is remembered was reported before.
    check(
        BEARER,
        vec![
            found(password("p")),
            TokenRefusedBefore,
            anonymous_again(),
            TokenRefused,
        ],
        &format!("find {login} renew {anonymous} denied"),
        "",
    );
}

fn anonymous_again() -> Answer {
    Found(None, false)
}

#[test]
fn other_credentials() {
    // A token for the registry itself is never exchanged.
    let token = || login(CredentialKind::Static, "x");
    check(BEARER, vec![found(token())], "find send:Bearerx", "");
    check(
        BEARER,
        vec![
            found(token()),
            Refused(401, OTHER),
            found(token()),
            Token("Bearer t"),
        ],
        "find send:Bearerx renew token:anonymous:repository:b:pull send:Bearert",
        "challenge rejected-for-a-while",
    );
    // An identity token is good for token endpoints only.
    let identity = || login(CredentialKind::Identity, "x");
    check(BASIC, vec![found(identity())], "find send", "rejected");
    check(
        BEARER,
        vec![found(identity()), Token("Bearer t")],
        "find token:login:repository:a:pull send:Bearert",
        "",
    );
    // A registry may turn from Basic to Bearer.
    check(
        BASIC,
        vec![
            found(password("p")),
            Refused(401, BEARER),
            found(password("p")),
            Token("Bearer t"),
        ],
        "find send:Basic renew token:login:repository:a:pull send:Bearert",
        "challenge",
    );
}

#[test]
fn storage_that_refuses() {
    check(
        "",
        vec![anonymous(), StorageRefused(403)],
        "find send send",
        "",
    );
    check(
        "",
        vec![anonymous(), StorageRefused(403), StorageRefused(403)],
        "find send send give-up",
        "",
    );
    check(
        "",
        vec![anonymous(), StorageRefused(404)],
        "find send give-up",
        "",
    );
}

#[test]
fn a_registry_that_goes_on_refusing_is_given_up() {
    let url = Url::parse(ENDPOINT).unwrap();
    for status in [400, 401, 403] {
        for text in ["", BASIC, BEARER, OTHER, STALE] {
            for own in [true, false] {
                let (mut authorizer, mut step) = Authorizer::new(&url, &[], "a", None);
                let mut sent = 0;
                for _ in 0..40 {
                    step = match step {
                        Step::Send(_) => {
                            sent += 1;
                            authorizer.on_refusal(RefusedRequest {
                                status: StatusCode::from_u16(status).unwrap(),
                                headers: &headers(text),
                                says_expired: true,
                                own,
                            })
                        }
                        Step::FetchToken(_) => {
                            authorizer.on_token(&Ok(HeaderValue::from_static("Bearer t")), true)
                        }
                        Step::LookUp { .. } => authorizer.on_login(Ok(Some(password("p"))), false),
                        Step::Ping => authorizer.on_ping(challenge(OTHER)),
                        end @ (Step::GiveUp | Step::Denied | Step::Failed(_)) => end,
                    };
                }
                assert!(
                    matches!(step, Step::GiveUp),
                    "{status} {text} {own}: {step:?}"
                );
                assert!(sent <= 6, "{status} {text} {own}: {sent}");
            }
        }
    }
}

#[test]
fn why_access_is_denied() {
    let url = Url::parse(ENDPOINT).unwrap();
    let host: Arc<str> = "r.example".into();
    for (complaint, unauthorized, expected) in [
        ("invalid_token", false, true),
        ("insufficient_scope", true, false),
        ("other", true, true),
        ("other", false, false),
    ] {
        let (mut authorizer, _) = Authorizer::new(&url, &[], "a", challenge(BEARER));
        authorizer.on_login(Ok(None), false);
        authorizer.on_token(&Ok(HeaderValue::from_static("Bearer 0123456789")), true);
        let text = format!("{BEARER},error=\"{complaint}\"");
        let headers = headers(&text);
        authorizer.on_refusal(RefusedRequest {
            status: StatusCode::UNAUTHORIZED,
            headers: &headers,
            says_expired: false,
            own: true,
        });
        // The registry repeats the token in its words.
        let detail = Some("no: 0123456789".into());
        let error = authorizer.denied(&host, detail, unauthorized);
        let Error::Denied {
            detail,
            unauthorized,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(unauthorized, expected, "{complaint}");
        let detail = detail.unwrap();
        assert!(
            detail.contains(complaint) && detail.ends_with("no: …"),
            "{detail}"
        );
    }
}

//! The origin's access control: Basic, or Bearer with a token endpoint of its own.

use crate::answer::{Answer, error_body};
use crate::request::{Request, basic};
use crate::token::Tokens;
use serde_json::json;
use std::time::{Duration, Instant};

/// What the origin asks of a client.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    Open,
    /// A user name and a password with each request.
    Basic(String, String),
    /// A token of its own `/token`.
    Bearer(Bearer),
}

/// How the token endpoint behaves.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Who may have a token; `None`: everyone, without asking.
    pub credentials: Option<(String, String)>,
    /// Whether a client without credentials gets a token as well; wrong ones are refused all the same.
    pub anonymous: bool,
    /// `expires_in` of the answer in seconds; tokens end for real too. `None`: not said, 60 s.
    pub expires_in: Option<u64>,
    /// The field that holds the token: `token` or `access_token`.
    pub field: &'static str,
    /// Whether a refused object carries the challenge; otherwise only `/v2/` does, as at gcr.io.
    pub challenge_on_objects: bool,
}

impl Default for Bearer {
    fn default() -> Self {
        Self {
            credentials: None,
            anonymous: false,
            expires_in: Some(300),
            field: "token",
            challenge_on_objects: true,
        }
    }
}

/// The state of access control.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    pub(crate) auth: Auth,
    /// Tokens of a server of their own, beside what `auth` says.
    pub(crate) tokens_of: Option<Tokens>,
    tokens: Vec<Issued>,
    issued: usize,
}

#[derive(Debug)]
struct Issued {
    token: String,
    scopes: Vec<String>,
    until: Instant,
}

impl Guard {
    /// Makes every token issued so far invalid.
    pub(crate) fn expire(&mut self) {
        self.tokens.clear();
    }

    /// The refusal of a request for `repository` (`None`: the ping), if it is refused.
    pub(crate) fn refuse(
        &self,
        request: &Request,
        repository: Option<&str>,
        host: &str,
    ) -> Option<Answer> {
        let authorization = request.header("authorization");
        if let Some(tokens) = &self.tokens_of {
            let challenge = tokens.refuse(authorization, repository)?;
            return Some(unauthorized(Some(&challenge)));
        }
        let (allowed, challenge) = match &self.auth {
            Auth::Open => return None,
            Auth::Basic(user, password) => (
                authorization == Some(&basic(user, password)),
                Some(r#"Basic realm="origin""#.to_owned()),
            ),
            Auth::Bearer(bearer) => {
                let scope = repository.map(|repository| format!("repository:{repository}:pull"));
                let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
                let mut challenge =
                    format!(r#"Bearer realm="http://{host}/token",service="origin""#);
                if let Some(scope) = &scope {
                    challenge.push_str(&format!(r#",scope="{scope}""#));
                }
                let shown = repository.is_none() || bearer.challenge_on_objects;
                (
                    token.is_some_and(|token| self.holds(token, scope.as_deref())),
                    shown.then_some(challenge),
                )
            }
        };
        if allowed {
            return None;
        }
        Some(unauthorized(challenge.as_deref()))
    }

    /// Answers the token endpoint.
    pub(crate) fn token(&mut self, request: &Request) -> Answer {
        let Auth::Bearer(bearer) = &self.auth else {
            return Answer::json(404, error_body("UNSUPPORTED", "no tokens here"));
        };
        if request.method != "GET" {
            return Answer::json(405, error_body("UNSUPPORTED", "GET only"));
        }
        let authorization = request.header("authorization");
        if let Some((user, password)) = &bearer.credentials
            && authorization != Some(&basic(user, password))
            && !(bearer.anonymous && authorization.is_none())
        {
            return Answer::json(
                401,
                error_body("UNAUTHORIZED", "incorrect username or password"),
            );
        }
        let (scopes, others): (Vec<_>, Vec<_>) = request
            .pairs()
            .into_iter()
            .partition(|(name, _)| name == "scope");
        if !others.contains(&("service".to_owned(), "origin".to_owned())) {
            return Answer::json(400, error_body("UNSUPPORTED", "unknown service"));
        }
        self.issued += 1;
        let token = format!("token-{}", self.issued);
        let mut body = json!({ bearer.field: token });
        if let Some(secs) = bearer.expires_in {
            body["expires_in"] = secs.into();
        }
        self.tokens.push(Issued {
            token,
            scopes: scopes
                .iter()
                .flat_map(|(_, scope)| scope.split(' '))
                .map(str::to_owned)
                .collect(),
            until: Instant::now() + Duration::from_secs(bearer.expires_in.unwrap_or(60)),
        });
        Answer::json(200, body.to_string().into())
    }

    fn holds(&self, token: &str, scope: Option<&str>) -> bool {
        let now = Instant::now();
        self.tokens.iter().any(|issued| {
            issued.token == token
                && issued.until > now
                && scope.is_none_or(|scope| issued.scopes.iter().any(|held| held == scope))
        })
    }
}

fn unauthorized(challenge: Option<&str>) -> Answer {
    let mut answer = Answer::json(401, error_body("UNAUTHORIZED", "authentication required"));
    if let Some(challenge) = challenge {
        answer.set("WWW-Authenticate", challenge);
    }
    answer
}

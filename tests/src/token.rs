//! A token server by distribution's specification of token authentication, with tokens that real registries accept.

use crate::answer::{self, Answer, error_body};
use crate::fault::Fault;
use crate::keys::{Key, base64_url, certificate, pem};
use crate::request::{Request, basic};
use crate::server::{Server, Site, lock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// A token server on a port of 127.0.0.1: `/token` answers GET with Basic, and POST with the grants `password` and
/// `refresh_token`. Tokens are JWTs signed with ES256; the chain of certificates is in them. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct TokenServer {
    server: Server,
    issuer: Arc<Mutex<Issuer>>,
}

impl TokenServer {
    /// Starts one for the registry `service` on a free port. It knows nobody and lets nobody in.
    pub async fn start(service: &str) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), service).await
    }

    /// As [`start`](Self::start), at `address`.
    pub async fn start_at(address: SocketAddr, service: &str) -> Self {
        let issuer = Arc::new(Mutex::new(Issuer::new(service)));
        Self {
            server: Server::start(Arc::clone(&issuer) as _, address).await,
            issuer,
        }
    }

    /// Where tokens are to be had: the `realm` of a challenge.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("{}/token", self.url())
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &'static str {
        ISSUER
    }

    /// The certificate that tokens are to be checked with, PEM.
    #[must_use]
    pub fn certificates(&self) -> String {
        pem(&self.state().chain[1])
    }

    /// Lets a user pull everything.
    pub fn let_in(&self, username: &str, password: &str) {
        self.state().users.insert(username.into(), password.into());
    }

    /// Lets those who say no name pull everything.
    pub fn let_in_everyone(&self) {
        self.state().anonymous = true;
    }

    /// Nobody may pull this repository: tokens are given, without that access.
    pub fn withhold(&self, repository: &str) {
        self.state().withheld.insert(repository.into());
    }

    /// How long tokens hold from now on. Less than a minute is said as it is.
    pub fn expire_in(&self, secs: u64) {
        self.state().expires_in = Duration::from_secs(secs);
    }

    /// From now on a refresh token is good once, and each answer brings the next.
    pub fn rotate_refresh_tokens(&self) {
        self.state().rotates = true;
    }

    /// A refresh token of that user, as `docker login` would keep it.
    #[must_use]
    pub fn refresh_token(&self, username: &str) -> String {
        self.state().refresh_token(username)
    }

    /// Makes every refresh token invalid.
    pub fn revoke_refresh_tokens(&self) {
        self.state().refresh.clear();
    }

    /// Makes every access token invalid for an [`Origin`](crate::Origin) that asks for these.
    pub fn expire_tokens(&self) {
        self.state().issued.clear();
    }

    pub(crate) fn tokens(&self) -> Tokens {
        Tokens {
            realm: self.realm(),
            issuer: Arc::clone(&self.issuer),
        }
    }

    fn state(&self) -> MutexGuard<'_, Issuer> {
        lock(&self.issuer)
    }
}

impl Deref for TokenServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// What an origin needs to ask for the tokens of a [`TokenServer`].
#[derive(Debug)]
pub(crate) struct Tokens {
    realm: String,
    issuer: Arc<Mutex<Issuer>>,
}

impl Tokens {
    /// The challenge for `repository` (`None`: the ping), unless this authorization is enough.
    pub(crate) fn refuse(
        &self,
        authorization: Option<&str>,
        repository: Option<&str>,
    ) -> Option<String> {
        let issuer = lock(&self.issuer);
        let (realm, service) = (&self.realm, &issuer.service);
        let mut challenge = format!(r#"Bearer realm="{realm}",service="{service}""#);
        if let Some(repository) = repository {
            challenge.push_str(&format!(r#",scope="repository:{repository}:pull""#));
        }
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let granted = token.and_then(|token| issuer.issued.get(token));
        let complaint = match granted {
            None if token.is_none() => "",
            Some((repositories, until)) if *until > Instant::now() => {
                if repository.is_none_or(|wanted| repositories.contains(wanted)) {
                    return None;
                }
                r#",error="insufficient_scope""#
            }
            _ => r#",error="invalid_token""#,
        };
        Some(challenge + complaint)
    }
}

#[derive(Debug)]
struct Issuer {
    service: String,
    key: Key,
    /// Its certificate and the root's, DER.
    chain: [Vec<u8>; 2],
    users: HashMap<String, String>,
    anonymous: bool,
    withheld: BTreeSet<String>,
    expires_in: Duration,
    rotates: bool,
    /// Whose each refresh token is.
    refresh: HashMap<String, String>,
    /// What may be pulled with each access token, and until when.
    issued: HashMap<String, (BTreeSet<String>, Instant)>,
    count: usize,
}

impl Site for Mutex<Issuer> {
    fn answer(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        answer::misbehave(request, host, faults, || lock(self).honest(request))
    }
}

impl Issuer {
    fn new(service: &str) -> Self {
        let (key, root) = (Key::es256(), Key::es256());
        let chain = [
            certificate("tokens", &key.info(), "root", &root),
            certificate("root", &root.info(), "root", &root),
        ];
        Self {
            service: service.into(),
            key,
            chain,
            users: HashMap::new(),
            anonymous: false,
            withheld: BTreeSet::new(),
            expires_in: Duration::from_secs(300),
            rotates: false,
            refresh: HashMap::new(),
            issued: HashMap::new(),
            count: 0,
        }
    }

    fn honest(&mut self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/token") => self.by_get(request),
            ("POST", "/token") => self.by_post(request),
            (_, "/token") => Answer::json(405, error_body("UNSUPPORTED", "GET or POST")),
            _ => Answer::new(404, "404 page not found\n".into()),
        }
    }

    /// The token endpoint of distribution's specification.
    fn by_get(&mut self, request: &Request) -> Answer {
        let pairs = request.pairs();
        let user = match request.header("authorization") {
            None if self.anonymous => None,
            Some(value) => match self.user(|user, password| basic(user, password) == value) {
                Some(user) => Some(user),
                None => return refusal(),
            },
            None => return refusal(),
        };
        if value(&pairs, "service") != Some(&*self.service) {
            return Answer::json(400, error_body("UNSUPPORTED", "unknown service"));
        }
        let token = self.token(user.as_deref(), &pairs);
        let mut body = json!({
            "token": token, "access_token": token, "expires_in": self.expires_in.as_secs(),
        });
        if let (Some("true"), Some(user)) = (value(&pairs, "offline_token"), user) {
            body["refresh_token"] = self.refresh_token(&user).into();
        }
        Answer::json(200, body.to_string().into())
    }

    /// The OAuth 2 endpoint of distribution's specification.
    fn by_post(&mut self, request: &Request) -> Answer {
        let form = request.form();
        let field = |name: &str| value(&form, name);
        if field("service") != Some(&*self.service) || field("client_id").is_none_or(str::is_empty)
        {
            return Answer::json(
                400,
                json!({ "error": "invalid_request" }).to_string().into(),
            );
        }
        let mut refresh = None;
        let user = match field("grant_type") {
            Some("password") => {
                let given = (field("username"), field("password"));
                let user = self.user(|user, password| given == (Some(user), Some(password)));
                if let (Some(user), Some("offline")) = (&user, field("access_type")) {
                    refresh = Some(self.refresh_token(user));
                }
                user
            }
            Some("refresh_token") => {
                let given = field("refresh_token").unwrap_or_default();
                let user = self.refresh.get(given).cloned();
                if let (Some(user), true) = (&user, self.rotates) {
                    self.refresh.remove(given);
                    refresh = Some(self.refresh_token(user));
                }
                user
            }
            _ => {
                let body = json!({ "error": "unsupported_grant_type" });
                return Answer::json(400, body.to_string().into());
            }
        };
        let Some(user) = user else { return refusal() };
        let token = self.token(Some(&user), &form);
        let mut body = json!({
            "access_token": token, "expires_in": self.expires_in.as_secs(),
            "scope": field("scope").unwrap_or_default(),
        });
        if let Some(refresh) = refresh {
            body["refresh_token"] = refresh.into();
        }
        Answer::json(200, body.to_string().into())
    }

    fn user(&self, is: impl Fn(&str, &str) -> bool) -> Option<String> {
        let found = self
            .users
            .iter()
            .find(|(user, password)| is(user, password));
        found.map(|(user, _)| user.clone())
    }

    fn refresh_token(&mut self, user: &str) -> String {
        self.count += 1;
        let token = format!("refresh-{}", self.count);
        self.refresh.insert(token.clone(), user.into());
        token
    }

    /// A token with what may be given of the scopes asked for.
    fn token(&mut self, user: Option<&str>, pairs: &[(String, String)]) -> String {
        let scopes = pairs.iter().filter(|(name, _)| name == "scope");
        let names = scopes
            .flat_map(|(_, scopes)| scopes.split(' '))
            .filter_map(|scope| {
                let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
                let pulls = actions.split(',').any(|action| action == "pull");
                (pulls && !self.withheld.contains(name)).then(|| name.to_owned())
            });
        let names: BTreeSet<String> = names.collect();
        let access = names
            .iter()
            .map(|name| json!({ "type": "repository", "name": name, "actions": ["pull"] }));
        self.count += 1;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": user.unwrap_or_default(), "aud": self.service,
            "exp": now + self.expires_in.as_secs(), "nbf": now.saturating_sub(10), "iat": now,
            "jti": self.count.to_string(), "access": access.collect::<Value>(),
        });
        let chain: Value = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        let header = json!({ "typ": "JWT", "alg": self.key.algorithm(), "x5c": chain });
        let signed = [header, claims].map(|part| base64_url(part.to_string().as_bytes()));
        let signed = signed.join(".");
        let token = format!("{signed}.{}", base64_url(&self.key.sign(signed.as_bytes())));
        let until = Instant::now() + self.expires_in;
        self.issued.insert(token.clone(), (names, until));
        token
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let pair = pairs.iter().find(|(held, _)| held == name);
    pair.map(|(_, value)| value.as_str())
}

fn refusal() -> Answer {
    let body = error_body("UNAUTHORIZED", "incorrect username or password");
    Answer::json(401, body)
}

const ISSUER: &str = "longshore-tests";

#[cfg(test)]
mod tests;

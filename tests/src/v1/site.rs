//! What the servers of a v1 registry answer.

use super::image::V1Layer;
use crate::answer::{self, Answer, altered, whole_or_range};
use crate::content::Content;
use crate::fault::Fault;
use crate::request::Request;
use crate::server::{Site, lock};
use bytes::Bytes;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// What index and registry share.
#[derive(Debug, Default)]
pub(super) struct Hub {
    /// Each with its ancestry: itself first, the base last.
    pub(super) images: HashMap<String, (V1Layer, Vec<String>)>,
    pub(super) repositories: HashMap<String, BTreeMap<String, String>>,
    pub(super) endpoints: Vec<String>,
    /// The `Authorization` that is asked for.
    pub(super) login: Option<String>,
    pub(super) cookies: bool,
    /// Signature and repository of each token.
    pub(super) tokens: HashMap<String, String>,
    pub(super) sessions: Vec<String>,
    pub(super) issued: usize,
}

/// A server of a v1 registry.
pub(super) enum Part {
    Standalone(Arc<Mutex<Hub>>),
    Index(Arc<Mutex<Hub>>),
    Registry(Arc<Mutex<Hub>>),
}

impl Site for Part {
    fn answer(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        answer::misbehave(request, host, faults, || self.honest(request, host, faults))
    }
}

impl Part {
    fn honest(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        let (Self::Standalone(hub) | Self::Index(hub) | Self::Registry(hub)) = self;
        let mut hub = lock(hub);
        let Some(path) = request.path.strip_prefix("/v1/") else {
            // What a web framework says to `/v2/`, without any header of a registry.
            let mut answer = Answer::new(404, "<h1>Not Found</h1>\n".into());
            answer.set("Content-Type", "text/html");
            return answer;
        };
        let path = path.trim_end_matches('/');
        if path == "_ping" {
            return self.ping();
        }
        if self.has_index() && hub.wants_login(request) {
            let mut answer = error(401, "Requires authorization");
            answer.set("WWW-Authenticate", "Basic realm=\"auth required\",Token");
            return answer;
        }
        if request.method != "GET" {
            return error(405, "Method not allowed");
        }
        let repository = path.strip_prefix("repositories/").map(Path::parse);
        if let Some(Path {
            name,
            rest: "images",
        }) = &repository
        {
            return if self.has_index() {
                self.images(&mut hub, request, name, host)
            } else {
                error(404, "Not an index")
            };
        }
        let session = match self {
            Self::Index(_) => return error(404, "Not a registry"),
            Self::Standalone(_) => None,
            Self::Registry(_) => {
                let wanted = repository.as_ref().map(|path| path.name.as_str());
                match hub.admit(request, wanted) {
                    Ok(session) => session,
                    Err(refusal) => return refusal,
                }
            }
        };
        let mut answer = match &repository {
            Some(path) => hub.tags(path),
            None => match path
                .strip_prefix("images/")
                .and_then(|rest| rest.split_once('/'))
            {
                Some((id, what)) => self.image(&hub, request, id, what, faults),
                None => error(404, "Not found"),
            },
        };
        if let Some(session) = session {
            answer.set(
                "Set-Cookie",
                &format!("session={session}; Path=/; HttpOnly"),
            );
        }
        answer
    }

    fn has_index(&self) -> bool {
        !matches!(self, Self::Registry(_))
    }

    fn is_python(&self) -> bool {
        matches!(self, Self::Standalone(_))
    }

    /// Open to everyone, as the nginx before such a registry was told to leave it.
    fn ping(&self) -> Answer {
        let mut answer = Answer::json(200, Bytes::from_static(b"true"));
        answer.set("X-Docker-Registry-Version", "0.9.1");
        let standalone = if self.is_python() { "True" } else { "False" };
        answer.set("X-Docker-Registry-Standalone", standalone);
        answer
    }

    /// The index look-up.
    fn images(&self, hub: &mut Hub, request: &Request, repository: &str, host: &str) -> Answer {
        let Some(tags) = hub.repositories.get(repository) else {
            return error(404, "Repository not found");
        };
        let tagged: Vec<_> = tags
            .values()
            .map(|id| json!({ "id": id, "checksum": "" }))
            .collect();
        let mut answer = Answer::json(200, json!(tagged).to_string().into());
        let endpoints = if self.is_python() && hub.endpoints.is_empty() {
            host.to_owned()
        } else {
            hub.endpoints.join(", ")
        };
        if !endpoints.is_empty() {
            answer.set("X-Docker-Endpoints", &endpoints);
        }
        if request
            .header("x-docker-token")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            hub.issued += 1;
            let signature = format!("{:016X}", hub.issued);
            hub.tokens.insert(signature.clone(), repository.into());
            let word = if self.is_python() { "Token " } else { "" };
            answer.set(
                "X-Docker-Token",
                &format!("{word}signature={signature},repository=\"{repository}\",access=read"),
            );
        }
        answer
    }

    fn image(
        &self,
        hub: &Hub,
        request: &Request,
        id: &str,
        what: &str,
        faults: &[Fault],
    ) -> Answer {
        if !matches!(id.len(), 16 | 64) || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return error(404, "Invalid image ID");
        }
        let Some((layer, ancestry)) = hub.images.get(id) else {
            return error(404, "Image not found");
        };
        let mut answer = match what {
            "ancestry" => Answer::json(200, json!(ancestry).to_string().into()),
            "json" => {
                let content = altered(layer.json.clone().into(), faults);
                let mut answer = Answer::new(200, content);
                answer.set("Content-Type", "application/json");
                answer.set("X-Docker-Size", &layer.blob.len().to_string());
                if self.is_python() {
                    answer.set("X-Docker-Checksum-Payload", &layer.payload_checksum());
                } else {
                    answer.set("X-Docker-Checksum", &layer.digest);
                }
                answer
            }
            "layer" if self.is_python() => python_range(request, layer.blob.clone(), faults),
            "layer" => whole_or_range(request, layer.blob.clone(), faults),
            _ => return error(404, "Not found"),
        };
        answer.set("Cache-Control", "public, max-age=31536000");
        answer.set("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT");
        answer
    }
}

impl Hub {
    fn wants_login(&self, request: &Request) -> bool {
        self.login.is_some() && request.header("authorization") != self.login.as_deref()
    }

    fn tags(&self, path: &Path<'_>) -> Answer {
        let Some(tags) = self.repositories.get(&path.name) else {
            return error(404, "Repository not found");
        };
        match path.rest.strip_prefix("tags") {
            Some("") => Answer::json(200, json!(tags).to_string().into()),
            Some(tag) => match tags.get(tag.trim_start_matches('/')) {
                Some(id) => Answer::json(200, json!(id).to_string().into()),
                None => error(404, "Tag not found"),
            },
            None => error(404, "Not found"),
        }
    }

    /// Whether the registry behind an index lets a request pass; the cookie that it sets.
    fn admit(
        &mut self,
        request: &Request,
        repository: Option<&str>,
    ) -> Result<Option<String>, Answer> {
        let cookies = request.header("cookie").unwrap_or_default();
        let mut held = cookies
            .split(';')
            .filter_map(|pair| pair.trim().strip_prefix("session="));
        if held.any(|held| self.sessions.iter().any(|session| session == held)) {
            return Ok(None);
        }
        let authorization = request.header("authorization").unwrap_or_default();
        let (scheme, values) = authorization.split_once(' ').unwrap_or((authorization, ""));
        // As the Python registry: the first word, then pairs wherever they are.
        let pair = |key: &str| {
            let from = values.find(&format!("{key}="))? + key.len() + 1;
            Some(
                values[from..]
                    .split([',', ' '])
                    .next()?
                    .trim_matches('"')
                    .to_owned(),
            )
        };
        let signature = pair("signature").unwrap_or_default();
        let granted = self.tokens.get(&signature);
        let fits = granted.is_some_and(|granted| repository.is_none_or(|wanted| wanted == granted));
        if scheme != "Token" || !fits || pair("access").as_deref() != Some("read") {
            let mut answer = error(401, "Requires authorization");
            answer.set("WWW-Authenticate", "Token");
            return Err(answer);
        }
        if !self.cookies {
            return Ok(None);
        }
        self.tokens.remove(&signature);
        self.sessions.push(format!("of-{signature}"));
        Ok(self.sessions.last().cloned())
    }
}

/// What comes behind `repositories/`.
struct Path<'a> {
    /// With its namespace: without one it is `library`.
    name: String,
    rest: &'a str,
}

impl<'a> Path<'a> {
    fn parse(path: &'a str) -> Self {
        let parts: Vec<_> = path.split('/').collect();
        let at = parts
            .iter()
            .skip(1)
            .position(|part| matches!(*part, "images" | "tags"));
        let length = at.map_or(parts.len(), |at| at + 1);
        let name = parts[..length].join("/");
        let rest = path[name.len()..].trim_start_matches('/');
        let name = if name.contains('/') {
            name
        } else {
            format!("library/{name}")
        };
        Self { name, rest }
    }
}

/// A layer as the Python registry sends it: an open range ends one past the last byte, `Content-Range` has no unit,
/// and a range that is none, or of nothing, is 416.
fn python_range(request: &Request, content: Content, faults: &[Fault]) -> Answer {
    let ignored = faults
        .iter()
        .any(|fault| matches!(fault, Fault::IgnoreRange));
    let Some(range) = request.header("range").filter(|_| !ignored) else {
        return whole_or_range(request, content, faults);
    };
    let total = content.len();
    let parsed = range.strip_prefix("bytes=").and_then(|range| {
        let (first, last) = range.split_once('-')?;
        let last = if last.is_empty() {
            total
        } else {
            last.parse().ok()?
        };
        Some((first.parse::<u64>().ok()?, last))
    });
    let Some((first, last)) =
        parsed.filter(|(first, last)| first < last && *first < total && *last <= total)
    else {
        return Answer::new(416, "".into());
    };
    let mut answer = Answer::new(206, altered(content, faults));
    answer.set("Content-Type", "application/octet-stream");
    answer.set("Content-Range", &format!("{first}-{last}/{total}"));
    (answer.start, answer.len) = (first, (last + 1).min(total) - first);
    answer
}

fn error(status: u16, message: &str) -> Answer {
    let mut answer = Answer::json(status, json!({ "error": message }).to_string().into());
    answer.set("Cache-Control", "no-cache");
    answer
}

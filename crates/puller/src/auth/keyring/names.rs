//! By which names credentials are kept (pure).

use crate::auth::login::LookupKey;

/// A registry and a repository in it, in the spelling by which keys are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) host: String,
    pub(super) repository: String,
}

impl Name {
    /// The names under which something may be kept for us: the endpoint's, then the upstream's.
    pub(super) fn all(sought: LookupKey<'_>) -> Vec<Self> {
        let hosts = [Some(sought.endpoint), sought.upstream];
        let mut hosts: Vec<String> = hosts.into_iter().flatten().map(host).collect();
        hosts.dedup();
        let name = |host| Self {
            host,
            repository: sought.repository.to_owned(),
        };
        hosts.into_iter().map(name).collect()
    }

    /// The keys that would fit, the most specific first: `host/a/b`, `host/a`, `host`.
    pub(super) fn keys(&self) -> Vec<String> {
        let whole = format!("{}/{}", self.host, self.repository);
        let slashes = whole.match_indices('/').map(|(at, _)| at);
        let ends: Vec<usize> = slashes.chain([whole.len()]).collect();
        let keys = ends.into_iter().rev().filter_map(|end| whole.get(..end));
        keys.map(str::to_owned).collect()
    }

    /// What credential programs are asked for.
    pub(super) fn servers(&self) -> Vec<&str> {
        match self.host == HUB {
            true => vec![HUB_KEY, HUB],
            false => vec![&self.host],
        }
    }
}

/// The spelling by which a key of a file is compared: no scheme, the host in its one spelling, and a path only where it
/// is a repository: docker's older keys are URLs like `https://registry.example/v2/`.
pub(super) fn key(text: &str) -> String {
    let (url, text) = match text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (name, path) = text.split_once('/').unwrap_or((text, ""));
    let path = path.trim_end_matches('/');
    match url || matches!(path, "" | "v1" | "v2") {
        true => host(name),
        false => format!("{}/{path}", host(name)),
    }
}

/// How well a key says what it stands for; the lower the better.
pub(super) fn rank(raw: &str, key: &str) -> u8 {
    match raw {
        raw if raw == key => 0,
        HUB_KEY => 1,
        _ => 2,
    }
}

fn host(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    match text.strip_suffix(":443").unwrap_or(&text) {
        "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        text => text.to_owned(),
    }
}

const HUB: &str = "docker.io";
/// How docker calls its Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

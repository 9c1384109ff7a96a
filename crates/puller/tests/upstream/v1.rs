//! Registries of protocol v1, and how v2 falls back to it.

mod fallback;
mod layer;
mod server;
mod session;

use longshore_manifest::v1::ImageId;
use longshore_puller::Api;

pub(crate) use self::server::{Answer, Seen, Server};
use crate::common::*;

pub(crate) const LAYER: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

pub(crate) fn id(n: u8) -> ImageId {
    ImageId::parse(&format!("{n:02x}").repeat(32)).unwrap()
}

/// A standalone registry with the image 2 on 1 as `library/app:1`; it answers v2 with a bare 404.
pub(crate) fn standalone(seen: &Seen) -> Answer {
    let json = |body: String| Answer::new(200, body).with("Content-Type", "application/json");
    let Some(path) = seen.path.strip_prefix("/v1/") else {
        return Answer::new(404, "no\n");
    };
    match path {
        "_ping" => json("true".into()).with("X-Docker-Registry-Version", "0.9"),
        "repositories/library/app/images" => json("[]".into()),
        "repositories/library/app/tags" => json(format!(r#"{{"1":"{}","0":"{}"}}"#, id(2), id(1))),
        "repositories/library/app/tags/1" => json(format!("\"{}\"", id(2))),
        _ => match path.strip_prefix("images/").and_then(|p| p.split_once('/')) {
            Some((name, what)) if name == id(1).as_str() || name == id(2).as_str() => {
                image(name, what)
            }
            _ => json(r#"{"error":"not found"}"#.into()).status(404),
        },
    }
}

fn image(name: &str, what: &str) -> Answer {
    match what {
        "ancestry" => Answer::new(200, format!(r#"["{}","{}"]"#, id(2), id(1))),
        "json" => Answer::new(200, v1_json(name)).with("X-Docker-Size", LAYER.len()),
        "layer" => Answer::new(200, LAYER).with("Accept-Ranges", "bytes"),
        _ => Answer::new(404, ""),
    }
}

pub(crate) fn v1_json(name: &str) -> String {
    match name == id(1).as_str() {
        true => format!(r#"{{"id":"{name}"}}"#),
        false => format!(r#"{{"id":"{name}", "parent":"{}"}}"#, id(1)),
    }
}

pub(crate) fn config_of(urls: &[&str], api: Api) -> Config {
    let endpoints = urls.iter().map(|url| Endpoint::parse(url).unwrap());
    let mut config = Config::new("registry.test", endpoints.collect());
    config.api = api;
    config
}

pub(crate) fn upstream_of(urls: &[&str], api: Api) -> Upstream {
    Upstream::new(config_of(urls, api)).unwrap()
}

/// Calls are made in tasks.
pub(crate) fn sent<F: Future + Send>(future: F) -> F {
    future
}

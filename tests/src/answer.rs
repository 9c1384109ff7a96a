//! A response, and how the faults of content and headers change it.

use crate::content::Content;
use crate::fault::Fault;
pub(crate) use crate::fault::error_body;
use crate::gzip::gzip;
use crate::request::Request;
use bytes::Bytes;

/// A response: `len` bytes of `content` from `start`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content: Content,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Answer {
    pub(crate) fn new(status: u16, content: Content) -> Self {
        let len = content.len();
        Self {
            status,
            headers: Vec::new(),
            content,
            start: 0,
            len,
        }
    }

    pub(crate) fn json(status: u16, body: Bytes) -> Self {
        let mut answer = Self::new(status, body.into());
        answer.set("Content-Type", "application/json");
        answer
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.headers.push((name.into(), value.into()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.headers
            .retain(|(held, _)| !held.eq_ignore_ascii_case(name));
    }
}

/// The answer that `honest` gives, or another one, as `faults` say of status, content and headers.
pub(crate) fn misbehave(
    request: &Request,
    host: &str,
    faults: &[Fault],
    honest: impl FnOnce() -> Answer,
) -> Answer {
    let mut answer = instead(request, host, faults).unwrap_or_else(honest);
    for fault in faults {
        match fault {
            Fault::NoDigestHeader => answer.unset(DIGEST),
            Fault::WrongDigestHeader => answer.set(DIGEST, &Content::from("other").digest()),
            Fault::Header(name, Some(value)) => answer.set(name, value),
            Fault::Header(name, None) => answer.unset(name),
            Fault::GzipEncoded => {
                let content = Content::from(gzip(&answer.content.bytes()));
                (answer.start, answer.len) = (0, content.len());
                answer.content = content;
                answer.set("Content-Encoding", "gzip");
            }
            _ => {}
        }
    }
    answer
}

/// What a fault puts in the place of the honest answer.
fn instead(request: &Request, host: &str, faults: &[Fault]) -> Option<Answer> {
    faults.iter().find_map(|fault| match fault {
        Fault::Status(status, headers, body) => {
            let mut answer = Answer::new(*status, body.clone().into());
            answer.headers.clone_from(headers);
            Some(answer)
        }
        Fault::Html200 => Some(page()),
        Fault::Redirect(to, status) => Some(redirect(*status, to)),
        Fault::RedirectToStorage { status, relative } => {
            let digest = request.path.rsplit('/').next().unwrap_or_default();
            let root = if *relative {
                String::new()
            } else {
                format!("http://{host}")
            };
            let to = format!("{root}/storage/{digest}?X-Signature=secret");
            Some(redirect(*status, &to))
        }
        _ => None,
    })
}

/// `content` as the faults of content want it.
pub(crate) fn altered(content: Content, faults: &[Fault]) -> Content {
    faults.iter().fold(content, |content, fault| match fault {
        Fault::WrongBytes(at) => content.flipped_at(*at),
        Fault::Short(by) => {
            let len = content.len().saturating_sub(*by);
            content.resized(len)
        }
        Fault::Long(by) => {
            let len = content.len() + by;
            content.resized(len)
        }
        _ => content,
    })
}

/// 200, 206 or 416 for `content`, as `Range` asks for it.
pub(crate) fn whole_or_range(request: &Request, content: Content, faults: &[Fault]) -> Answer {
    let mut answer = Answer::new(200, altered(content, faults));
    answer.set("Content-Type", "application/octet-stream");
    answer.set("Accept-Ranges", "bytes");
    let total = answer.len;
    let ignored = faults
        .iter()
        .any(|fault| matches!(fault, Fault::IgnoreRange));
    let Some(range) = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes="))
        .filter(|_| !ignored)
    else {
        return answer;
    };
    let Some((first, last)) = range.split_once('-') else {
        return answer;
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, (last + 1).min(total)),
        (Ok(first), Err(_)) => (first, total),
        (Err(_), Ok(suffix)) => (total.saturating_sub(suffix), total),
        (Err(_), Err(_)) => return answer,
    };
    if start >= end {
        let mut answer = Answer::new(416, "".into());
        answer.set("Content-Range", &format!("bytes */{total}"));
        return answer;
    }
    (answer.status, answer.start, answer.len) = (206, start, end - start);
    answer.set(
        "Content-Range",
        &format!("bytes {start}-{}/{total}", end - 1),
    );
    answer
}

fn page() -> Answer {
    let mut answer = Answer::new(
        200,
        "<!DOCTYPE html><html><body>Please log in</body></html>\n".into(),
    );
    answer.set("Content-Type", "text/html; charset=utf-8");
    answer
}

fn redirect(status: u16, to: &str) -> Answer {
    let mut answer = Answer::new(status, "".into());
    answer.set("Location", to);
    answer
}

pub(crate) const DIGEST: &str = "Docker-Content-Digest";

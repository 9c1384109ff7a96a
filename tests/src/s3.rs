//! An object server that speaks as much of S3 as a store needs.

use crate::answer::{self, Answer, whole_or_range};
use crate::content::Content;
use crate::fault::Fault;
use crate::request::Request;
use crate::server::{Server, Site, lock};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

/// An S3 server on a port of 127.0.0.1. Its buckets exist; signatures are not checked. It ends when it is dropped.
///
/// As a [`Server`] it misbehaves on order and counts every request. Faults of content change what a GET sends.
#[derive(Debug)]
pub struct S3 {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl S3 {
    /// Starts an empty server on a free port.
    pub async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            server: Server::start(Arc::clone(&state) as _, address).await,
            state,
        }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: it has an address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host().parse().expect("an address")
    }

    /// Every key with its bucket, in order: `bucket/prefix/blobs/…`.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// An object's bytes, by its bucket and key.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.state()
            .objects
            .get(key)
            .map(|object| object.bytes.clone())
    }

    /// The key that ends so, and its bytes: of a blob whose hexadecimal digits are known, for example.
    #[must_use]
    pub fn find(&self, end: &str) -> Option<(String, Bytes)> {
        let state = self.state();
        let (key, object) = state.objects.iter().find(|(key, _)| key.ends_with(end))?;
        Some((key.clone(), object.bytes.clone()))
    }

    /// The blob of this digest (`sha256:<hex>`): records have it in their names too.
    #[must_use]
    pub fn find_blob(&self, digest: &str) -> Option<(String, Bytes)> {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        self.find(&format!("blobs/{algorithm}/{}/{hex}", &hex[..2]))
    }

    /// Puts an object there, or changes one.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.state().put(key.to_owned(), bytes.into());
    }

    /// Keys of the uploads in parts that are neither completed nor aborted.
    #[must_use]
    pub fn incomplete(&self) -> Vec<String> {
        let state = self.state();
        state
            .uploads
            .values()
            .map(|upload| upload.key.clone())
            .collect()
    }

    /// From now on `If-Match` and `If-None-Match` of writes are ignored, as some servers do.
    pub fn ignore_conditions(&self) {
        self.state().ignores_conditions = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Deref for S3 {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    written: u64,
    ignores_conditions: bool,
}

#[derive(Debug)]
struct Object {
    bytes: Bytes,
    etag: String,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<u32, Bytes>,
}

impl Site for Mutex<State> {
    fn answer(&self, request: &Request, host: &str, faults: &[Fault]) -> Answer {
        answer::misbehave(request, host, faults, || lock(self).honest(request, faults))
    }
}

impl State {
    fn honest(&mut self, request: &Request, faults: &[Fault]) -> Answer {
        let path = percent_encoding::percent_decode_str(&request.path).decode_utf8_lossy();
        let key = path.trim_start_matches('/').to_owned();
        let pairs = request.pairs();
        let value = |name| {
            let pair = pairs.iter().find(|(key, _)| key == name);
            pair.map(|(_, value)| value.clone())
        };
        match (request.method.as_str(), value("uploadId")) {
            ("GET" | "HEAD", _) => self.read(&key, request, faults),
            ("PUT", Some(id)) => self.put_part(&id, value("partNumber"), request),
            ("PUT", None) => self.put_object(key, request),
            ("POST", Some(id)) => self.complete(&id),
            ("POST", None) if value("uploads").is_some() => self.create(key),
            ("POST", None) if value("delete").is_some() => self.delete(&key, &request.body),
            ("DELETE", Some(id)) => match self.uploads.remove(&id) {
                Some(_) => Answer::new(204, "".into()),
                None => error(404, "NoSuchUpload"),
            },
            ("DELETE", None) => {
                self.objects.remove(&key);
                Answer::new(204, "".into())
            }
            _ => error(501, "NotImplemented"),
        }
    }

    fn read(&self, key: &str, request: &Request, faults: &[Fault]) -> Answer {
        let Some(object) = self.objects.get(key) else {
            return error(404, "NoSuchKey");
        };
        let mut answer = whole_or_range(request, Content::from(object.bytes.clone()), faults);
        answer.set("ETag", &object.etag);
        answer.set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT");
        answer
    }

    fn put_object(&mut self, key: String, request: &Request) -> Answer {
        let held = self.objects.get(&key).map(|object| object.etag.as_str());
        let refused = match (request.header("if-none-match"), request.header("if-match")) {
            (Some("*"), _) => held.is_some(),
            (_, Some(expected)) => held != Some(expected),
            _ => false,
        };
        if refused && !self.ignores_conditions {
            return error(412, "PreconditionFailed");
        }
        let etag = self.put(key, request.body.clone().into());
        let mut answer = Answer::new(200, "".into());
        answer.set("ETag", &etag);
        answer
    }

    fn put(&mut self, key: String, bytes: Bytes) -> String {
        self.written += 1;
        let etag = format!("\"{}\"", self.written);
        let object = Object {
            bytes,
            etag: etag.clone(),
        };
        self.objects.insert(key, object);
        etag
    }

    /// Removes the objects that a `DeleteObjects` names.
    fn delete(&mut self, bucket: &str, body: &[u8]) -> Answer {
        let bucket = bucket.trim_end_matches('/');
        let body = String::from_utf8_lossy(body);
        let keys = body.split("<Key>").skip(1);
        let mut deleted = String::new();
        for key in keys.filter_map(|rest| rest.split("</Key>").next()) {
            self.objects.remove(&format!("{bucket}/{key}"));
            deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
        xml(200, &format!("<DeleteResult>{deleted}</DeleteResult>"))
    }

    fn create(&mut self, key: String) -> Answer {
        self.written += 1;
        let id = format!("upload-{}", self.written);
        let parts = BTreeMap::new();
        self.uploads.insert(id.clone(), Upload { key, parts });
        xml(
            200,
            &format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ),
        )
    }

    fn put_part(&mut self, id: &str, number: Option<String>, request: &Request) -> Answer {
        let number = number.and_then(|number| number.parse().ok());
        let (Some(upload), Some(number)) = (self.uploads.get_mut(id), number) else {
            return error(404, "NoSuchUpload");
        };
        upload.parts.insert(number, request.body.clone().into());
        let mut answer = Answer::new(200, "".into());
        answer.set("ETag", &format!("\"{id}-{number}\""));
        answer
    }

    fn complete(&mut self, id: &str) -> Answer {
        let Some(Upload { key, parts }) = self.uploads.remove(id) else {
            return error(404, "NoSuchUpload");
        };
        let bytes: Vec<u8> = parts.into_values().flatten().collect();
        let etag = self.put(key, bytes.into());
        xml(
            200,
            &format!(
                "<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
            ),
        )
    }
}

fn error(status: u16, code: &str) -> Answer {
    xml(
        status,
        &format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"),
    )
}

fn xml(status: u16, body: &str) -> Answer {
    let mut answer = Answer::new(status, body.to_owned().into());
    answer.set("Content-Type", "application/xml");
    answer
}

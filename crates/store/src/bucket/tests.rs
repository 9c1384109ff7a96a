use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::ingest::Ingest;

/// A bucket on a server that takes every object, and calls `put` for each.
async fn bucket(put: impl Fn() + Clone + Send + 'static) -> Bucket {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(take_all(connection, put.clone()));
        }
    });
    let options = HashMap::from([
        ("aws_endpoint_url", format!("http://{address}")),
        ("aws_allow_http", "true".to_owned()),
        ("aws_access_key_id", "key".to_owned()),
        ("aws_secret_access_key", "secret".to_owned()),
    ]);
    let options = options
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    let clients = Clients::new(&"s3://bucket".parse().unwrap(), options).unwrap();
    Bucket::of(clients, TaskTracker::new(), Arc::new(|_| {}))
}

async fn take_all(connection: TcpStream, put: impl Fn()) -> std::io::Result<()> {
    let mut connection = BufStream::new(connection);
    loop {
        let mut len = 0;
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        connection.read_exact(&mut vec![0; len]).await?;
        put();
        let answer = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n";
        connection.write_all(answer.as_bytes()).await?;
        connection.flush().await?;
    }
}

/// Files of a folder that this process has open.
fn open_files(folder: &FilePath) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter(|path| path.starts_with(folder))
        .count()
}

#[tokio::test]
async fn uploads_that_wait_hold_no_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let tier = Tier::open(folder.path(), None).unwrap();
    let blobs = folder.path().canonicalize().unwrap().join(layout::BLOBS);
    let open = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&open);
    let bucket = bucket(move || seen.lock().unwrap().push(open_files(&blobs))).await;
    for mark in 0..40u8 {
        let bytes = Bytes::from(vec![mark]);
        let digest = Digest::sha256(&bytes);
        Ingest::put(&tier, digest, bytes).unwrap();
        bucket.upload_soon(digest, &tier);
    }
    bucket.tracker.close();
    bucket.tracker.wait().await;
    let open = open.lock().unwrap();
    assert_eq!(open.len(), 40);
    assert!(open.iter().all(|open| *open <= UPLOADS_MAX), "{open:?}");
}

#[test]
fn what_waits_is_bounded() {
    let queue = Queue::new(2, 1);
    let (first, second) = (queue.place(), queue.place());
    assert!(first.is_some() && second.is_some() && queue.place().is_none());
    drop(first);
    assert!(queue.place().is_some());
}

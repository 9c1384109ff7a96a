//! Docker's credential programs: `docker-credential-<name> get`, the server on stdin, a JSON document on stdout.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::error::{ANSWER_BYTES_MAX, DEADLINE, Failure, KeyringError};
use crate::auth::login::{CredentialKind, Login};

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", alias = "username", default)]
    username: String,
    #[serde(rename = "Secret", alias = "secret", default)]
    secret: String,
}

struct Output {
    status: ExitStatus,
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(fits)
}

/// What the program has for `server`. It is killed when this is dropped, or when its time is up.
pub(super) async fn login(
    name: &str,
    search: &[PathBuf],
    server: &str,
) -> Result<Option<Login>, Arc<KeyringError>> {
    let ran = async {
        let program = find(name, search).await?;
        let ran = timeout(DEADLINE, run(&program, server)).await;
        read(&ran.map_err(|_| Failure::Deadline)??)
    };
    let answer = ran.await.map_err(|source| KeyringError::Program {
        name: name.chars().take(NAME_CHARS_MAX).collect(),
        source,
    })?;
    let Some(answer) = answer else {
        return Ok(None);
    };
    let login = Login::new(
        CredentialKind::Password,
        Some(answer.username),
        answer.secret.into(),
    );
    let login = login.map_err(|source| KeyringError::Unusable {
        registry: server.to_owned(),
        source,
    })?;
    Ok(Some(login))
}

async fn find(name: &str, search: &[PathBuf]) -> Result<PathBuf, Failure> {
    if !is_name(name) {
        return Err(Failure::Name);
    }
    for folder in search {
        let path = folder.join(format!("docker-credential-{name}"));
        if tokio::fs::metadata(&path).await.is_ok_and(|m| m.is_file()) {
            return Ok(path);
        }
    }
    Err(Failure::Absent)
}

async fn run(program: &Path, server: &str) -> Result<Output, Failure> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::Run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ask = async {
        if let Some(mut stdin) = stdin {
            // A program that does not want to know may still answer.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
        Ok(())
    };
    let answer = async {
        let (answer, whole) = first(stdout, ANSWER_BYTES_MAX, false).await?;
        whole.then_some(answer).ok_or(Failure::TooLarge)
    };
    let complaint = async {
        let (complaint, _) = first(stderr, COMPLAINT_BYTES_MAX, true).await?;
        Ok(complaint)
    };
    let ended = async { child.wait().await.map_err(Failure::Run) };
    let ((), answer, complaint, status) = tokio::try_join!(ask, answer, complaint, ended)?;
    Ok(Output {
        status,
        answer,
        complaint,
    })
}

/// The first bytes of a stream, and whether they are all; `on`: what follows them is read and dropped.
async fn first(
    from: Option<impl AsyncRead + Unpin>,
    limit: usize,
    on: bool,
) -> Result<(Vec<u8>, bool), Failure> {
    let (mut kept, mut piece) = (Vec::new(), vec![0; 4096]);
    let Some(mut from) = from else {
        return Ok((kept, true));
    };
    loop {
        let count = from.read(&mut piece).await.map_err(Failure::Run)?;
        if count == 0 {
            return Ok((kept, true));
        }
        let room = limit - kept.len();
        kept.extend_from_slice(piece.get(..count.min(room)).unwrap_or_default());
        if count > room && !on {
            return Ok((kept, false));
        }
    }
}

/// The answer, or `None` where the program says that it has none.
fn read(output: &Output) -> Result<Option<Answer>, Failure> {
    let answer = serde_json::from_slice::<Answer>(&output.answer);
    if !output.status.success() {
        // The protocol's errors come on stdout, other complaints on stderr.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, more) = (text(&output.answer), text(&output.complaint));
        if [&said, &more].iter().any(|text| says_none(text)) {
            return Ok(None);
        }
        let said = match answer {
            Ok(answer) if !answer.secret.is_empty() => shorten(&more.replace(&answer.secret, "…")),
            Ok(_) => shorten(&more),
            Err(_) if more.trim().is_empty() => shorten(&said),
            Err(_) => shorten(&more),
        };
        let status = output.status;
        return Err(Failure::Exit { status, said });
    }
    let answer = answer.map_err(|_| Failure::Answer)?;
    let is_whole = !answer.username.is_empty() && !answer.secret.is_empty();
    Ok(is_whole.then_some(answer))
}

/// The words of docker's credential programs for having nothing.
fn says_none(text: &str) -> bool {
    text.to_ascii_lowercase().contains("credentials not found")
}

/// The first line with something in it, shortened, without what may be a secret: what follows `password`, `secret` or
/// `token`, and anything long that is no word of a language.
fn shorten(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let is_end = |c: char| c.is_whitespace() || matches!(c, '=' | ':' | ',' | '"' | '.');
    let mut told = String::new();
    let mut after_key = false;
    for word in line.unwrap_or_default().split_inclusive(is_end) {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let lower = bare.to_ascii_lowercase();
        let is_key = KEYS.iter().any(|key| lower.ends_with(key));
        if !bare.is_empty() && !is_key && (after_key || bare.len() >= WORD_CHARS_MAX) {
            told.push('…');
            told.extend(word.chars().next_back().filter(|&c| is_end(c)));
        } else {
            told.push_str(word);
        }
        after_key = is_key || (after_key && bare.is_empty());
    }
    told.chars()
        .filter(|c| !c.is_control())
        .take(SAID_CHARS_MAX)
        .collect()
}

const COMPLAINT_BYTES_MAX: usize = 4 << 10;
const SAID_CHARS_MAX: usize = 200;
const NAME_CHARS_MAX: usize = 64;
/// No word of a message is longer, and no secret worth its name is shorter.
const WORD_CHARS_MAX: usize = 20;
const KEYS: [&str; 5] = ["password", "secret", "token", "pass", "key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_shortened() {
        for (text, expected) in [
            ("", ""),
            ("\n  no such profile \nmore", "no such profile"),
            ("exec: password=hunter2 failed", "exec: password=… failed"),
            ("bad token: hunter2", "bad token: …"),
            (r#"{"Secret":"hunter2"}"#, r#"{"Secret":"…"}"#),
            (
                "AccessDenied: dGhpcyBpcyBub3QgYSB3b3JkIGF0IGFsbA== is not good",
                "AccessDenied: …== is not good",
            ),
            (
                "get 123456789012.dkr.ecr.us-east-1.amazonaws.com: refused",
                "get 123456789012.dkr.ecr.us-east-1.amazonaws.com: refused",
            ),
            (
                "eyJhbGciOiJSUzI1NiIsInR5cCI6.eyJpc3MiOiJhYmNkZWZnaGlqa2w",
                "….…",
            ),
        ] {
            let told = shorten(text);
            assert_eq!(told, expected, "{text}");
        }
        assert_eq!(shorten(&"ab ".repeat(1000)).len(), SAID_CHARS_MAX);
    }

    /// The clock is paused: it jumps to the deadline when only the program is left to wait for.
    #[tokio::test(start_paused = true)]
    async fn the_deadline() {
        let name = format!("longshore-deadline-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        // Written by another process: what this one has open while one of its threads forks cannot be run.
        let text = r#"printf '#!/bin/sh\nexec sleep 1000\n' > "$1" && chmod +x "$1""#;
        let written = std::process::Command::new("sh")
            .args(["-c", text, "sh"])
            .arg(folder.join("docker-credential-slow"))
            .status();
        assert!(written.unwrap().success());
        let result = login("slow", std::slice::from_ref(&folder), "h").await;
        std::fs::remove_dir_all(&folder).unwrap();
        let trouble = result.unwrap_err();
        assert!(
            matches!(
                &*trouble,
                KeyringError::Program {
                    source: Failure::Deadline,
                    ..
                }
            ),
            "{trouble:?}"
        );
    }

    #[test]
    fn names() {
        for (name, is) in [
            ("ecr-login", true),
            ("gcloud", true),
            ("a.b_c", true),
            ("", false),
            ("../x", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(name), is, "{name}");
        }
    }
}

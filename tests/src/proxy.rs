//! The binary `longshore`, started with a configuration and a store of its own.

use crate::client::Client;
use crate::origin::Origin;
use crate::patience::PATIENCE;
use crate::server::Server;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// What is written into the configuration before a [`Proxy`] starts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    top: String,
    defaults: String,
    upstreams: String,
    store_lines: String,
    store: Option<PathBuf>,
    bucket: Option<String>,
    environment: Vec<(String, OsString)>,
}

impl Settings {
    /// Adds an upstream with these endpoints, and further lines of TOML in its table.
    #[must_use]
    pub fn upstream(mut self, name: &str, endpoints: &[&Server], lines: &str) -> Self {
        let urls: Vec<_> = endpoints.iter().map(|server| server.url()).collect();
        write!(
            self.upstreams,
            "[upstreams.{name:?}]\nendpoints = {urls:?}\n{lines}\n"
        )
        .unwrap();
        self
    }

    /// Adds a line of TOML to `[defaults]`.
    #[must_use]
    pub fn defaults(mut self, line: &str) -> Self {
        self.defaults.push_str(line);
        self.defaults.push('\n');
        self
    }

    /// Adds a line of TOML at the top.
    #[must_use]
    pub fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// Adds a line of TOML to `[store]`.
    #[must_use]
    pub fn store_line(mut self, line: &str) -> Self {
        self.store_lines.push_str(line);
        self.store_lines.push('\n');
        self
    }

    /// Keeps content in this folder, which may be another proxy's.
    #[must_use]
    pub fn store(mut self, folder: &Path) -> Self {
        self.store = Some(folder.into());
        self
    }

    /// Puts a bucket behind the local tier, at this address of an object server, which need not answer.
    #[must_use]
    pub fn bucket(mut self, server: SocketAddr) -> Self {
        self.bucket = Some("s3://bucket/prefix".to_owned());
        self.environment("AWS_ENDPOINT_URL", format!("http://{server}"))
            .environment("AWS_ALLOW_HTTP", "true")
            .environment("AWS_REGION", "nowhere-1")
            .environment("AWS_ACCESS_KEY_ID", "key")
            .environment("AWS_SECRET_ACCESS_KEY", "secret")
    }

    /// Sets a variable of its environment, which is otherwise empty but for `HOME`, `PATH` and `LONGSHORE_LOG`.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts the proxy and waits until it is ready.
    pub async fn start(self) -> Proxy {
        Proxy::launch(self).await
    }
}

/// A running `longshore serve`. It is killed when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    home: TempDir,
    store: PathBuf,
    address: SocketAddr,
    /// Bound, never listening: keeps the port between a crash and a restart.
    _port: TcpSocket,
    environment: Vec<(String, OsString)>,
    child: Child,
}

impl Proxy {
    /// A proxy whose `docker.io` is `origin`, everything else as it is without a configuration.
    pub async fn start(origin: &Origin) -> Self {
        Self::with(origin).start().await
    }

    /// As [`start`](Self::start), with settings to add.
    #[must_use]
    pub fn with(origin: &Origin) -> Settings {
        Settings::default().upstream("docker.io", &[origin], "")
    }

    /// As [`with`](Self::with), asking upstream about a tag at each request and giving it one second to answer.
    #[must_use]
    pub fn unsure(origin: &Origin) -> Settings {
        Self::with(origin)
            .defaults("revalidate = \"0s\"")
            .defaults("answer_within = \"1s\"")
    }

    async fn launch(settings: Settings) -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port");
        port.set_reuseaddr(true).expect("SO_REUSEADDR");
        let address = port.local_addr().expect("an address");
        let home = TempDir::with_prefix("longshore-").expect("a folder");
        let store = settings
            .store
            .clone()
            .unwrap_or_else(|| home.path().join("store"));
        let Settings {
            top,
            defaults,
            upstreams,
            store_lines,
            bucket,
            environment,
            ..
        } = settings;
        let url = match bucket {
            // The local tier is the folder around the spool.
            Some(url) => format!("{url}\"\nspool = \"{}/spool", store.display()),
            None => format!("file://{}", store.display()),
        };
        let file = format!(
            "listen = \"{address}\"\n{top}[store]\nurl = \"{url}\"\nmin_free = \"0\"\n{store_lines}[defaults]\n{defaults}{upstreams}"
        );
        fs::write(home.path().join("longshore.toml"), file).expect("write the configuration");
        let child = spawn(home.path(), &environment);
        let mut proxy = Self {
            home,
            store,
            address,
            _port: port,
            environment,
            child,
        };
        proxy.ready().await;
        proxy
    }

    /// `127.0.0.1:<port>`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A client of this proxy.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.host())
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of the store.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Every file under the store's folder, relative to it, in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(&self.store, &mut files);
        let mut files: Vec<_> = files
            .into_iter()
            .filter_map(|path| Some(path.strip_prefix(&self.store).ok()?.to_owned()))
            .collect();
        files.sort();
        files
    }

    /// The files that are too large to be records: they hold bytes of content.
    #[must_use]
    pub fn content_files(&self) -> Vec<PathBuf> {
        let large = |file: &PathBuf| {
            let metadata = self.store.join(file).metadata();
            metadata.is_ok_and(|file| file.len() > RECORD_BYTES)
        };
        // What is recorded of each file is no content either.
        let mut files = self.files();
        files.retain(|file| !file.starts_with("index") && large(file));
        files
    }

    /// Whether the store keeps a blob or manifest under this digest (`sha256:<hex>`).
    #[must_use]
    pub fn keeps(&self, digest: &str) -> bool {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        let kept = Path::new("blobs").join(algorithm).join(&hex[..2]).join(hex);
        self.store.join(kept).exists()
    }

    /// The sum of the samples of this metric whose labels contain all of `labels`; 0 when there is none.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = String::from_utf8(self.client().read("/metrics").await.body).expect("UTF-8");
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (held, value) = rest.rsplit_once(' ')?;
            let exact = held.is_empty() || held.starts_with('{');
            let all = labels
                .iter()
                .all(|(label, value)| held.contains(&format!("{label}=\"{value}\"")));
            (exact && all).then(|| value.parse::<f64>().expect("a number"))
        });
        samples.sum()
    }

    /// Waits until the metric satisfies `enough`: what is counted after a body ended may come a moment later.
    ///
    /// # Panics
    /// When it did not within [`PATIENCE`].
    pub async fn until_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        enough: impl Fn(f64) -> bool,
    ) {
        let mut value = f64::NAN;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            value = self.metric(name, labels).await;
            if enough(value) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{name}{labels:?} stays {value}");
    }

    /// Waits until no fill is under way: a client has all bytes of a blob a moment before it is kept.
    pub async fn settled(&self) {
        self.until_metric("longshore_fills_in_flight", &[], |fills| fills == 0.0)
            .await;
    }

    /// What the process has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL, as a crash would end it.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks the process to end (SIGTERM).
    pub fn terminate(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process");
        kill_process(pid, Signal::TERM).expect("the process runs");
    }

    /// Replaces the file of the configuration by what `change` makes of it, at once as a whole.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let file = self.home.path().join("longshore.toml");
        let text = fs::read_to_string(&file).expect("the configuration");
        let next = self.home.path().join("longshore.toml.next");
        fs::write(&next, change(text)).expect("write the configuration");
        fs::rename(next, file).expect("replace the configuration");
    }

    /// Asks the process to read its configuration again (SIGHUP).
    pub fn reload(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process");
        kill_process(pid, Signal::HUP).expect("the process runs");
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// When it did not within twice [`PATIENCE`].
    pub async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + 2 * PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("it does not end; its log: {}", self.log());
    }

    /// Starts the process again after [`kill`](Self::kill) or [`ended`](Self::ended): same port, store and settings.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.home.path(), &self.environment);
        self.ready().await;
    }

    async fn ready(&mut self) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.client().read("/readyz").await.status == 200 {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("it ended with {status}; its log: {}", self.log());
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("it does not become ready; its log: {}", self.log());
    }
}

impl Drop for Proxy {
    #[allow(clippy::print_stderr, reason = "what a failed test has to say")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "the proxy wrote:\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

fn spawn(home: &Path, environment: &[(String, OsString)]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(home.join("log"))
        .expect("a log");
    Command::new(binary())
        .arg("serve")
        .arg("--config")
        .arg(home.join("longshore.toml"))
        .current_dir(home)
        // Nothing of the developer's own set-up may decide a test.
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env(
            "LONGSHORE_LOG",
            std::env::var_os("LONGSHORE_LOG").unwrap_or_else(|| "info".into()),
        )
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("longshore starts")
}

/// The program: `LONGSHORE_BIN`, else the binary of this profile, built now so that no test runs an old one.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("LONGSHORE_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("this test");
        let profile = test
            .ancestors()
            .nth(2)
            .expect("target/<profile>/deps/<test>")
            .to_owned();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if profile.ends_with("release") {
            cargo.args(["build", "--release", "--package", "longshore-proxy"]);
        } else {
            // With the features of the tests: anything else would build every dependency once more. The proxy's own
            // test of its binary makes cargo build that too.
            cargo.args(["test", "--no-run", "--workspace"]);
        }
        cargo
            .args(["--quiet", "--target-dir"])
            .arg(profile.parent().expect("target"))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(
            cargo.status().expect("cargo runs").success(),
            "longshore does not build"
        );
        profile.join("longshore")
    })
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    // A folder that is not there, or went away meanwhile, has no files.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Between two looks at something that cannot tell when it changes.
/// No record is larger.
const RECORD_BYTES: u64 = 4096;
const POLL: Duration = Duration::from_millis(10);

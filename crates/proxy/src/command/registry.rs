//! Options of the commands that ask registries, and what they share.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use longshore_manifest::{Platform, Preference};
use longshore_puller::image_name::ImageName;
use longshore_puller::registries::Files;
use longshore_puller::short_names::{Lookup, PullErrors};
use longshore_puller::transport::{Access, Determined, Error, ShortNames, Source, determine};
use longshore_puller::{Credentials, Keyring, Places, Registries, Secret};
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;

/// Output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// How registries are asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct RegistryOptions {
    /// Credentials, in the format of podman's auth.json or docker's config.json [default: $REGISTRY_AUTH_FILE, podman's
    /// files, docker's].
    #[arg(long, alias = "authfile", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// A user and a password for the registry, in place of those of files. Others can see them in the list of processes.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = credentials, conflicts_with = "no_creds")]
    creds: Option<(String, String)>,
    /// Send no credentials.
    #[arg(long, conflicts_with = "auth_file")]
    no_creds: bool,
    /// A registries.conf with mirrors, blocked registries and short names [default: $CONTAINERS_REGISTRIES_CONF, the
    /// user's, the system's]. Without this option a short name is one of Docker Hub.
    #[arg(long, value_name = "FILE")]
    registries_conf: Option<PathBuf>,
    /// Verify certificates. "false" also allows plain HTTP.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    tls_verify: bool,
    /// A host or a network whose certificates are not verified and which may be asked in plain HTTP.
    #[arg(long = "insecure", value_name = "HOST")]
    insecure: Vec<String>,
    /// Longest time for one answer of a registry, with all retries; bodies take as long as they take.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Which image of an index.
#[derive(Debug, Args)]
pub(crate) struct PlatformOption {
    /// The image of an index for this platform, such as linux/arm64 [default: this machine's].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
}

impl PlatformOption {
    pub(crate) fn preference(&self) -> Preference {
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        Preference::only(&platform)
    }
}

/// Registries, ready to be asked.
#[derive(Debug)]
pub(crate) struct Client {
    access: Access,
    tls_verify: bool,
    insecure: Vec<String>,
    /// Short names are Docker Hub's.
    docker_hub_only: bool,
}

impl RegistryOptions {
    /// # Errors
    /// A registries.conf that cannot be used.
    pub(crate) fn client(self) -> Result<Client, longshore_puller::registries::Error> {
        let mut files = Files::from_env(|name| env::var_os(name));
        let docker_hub_only = self.registries_conf.is_none();
        if let Some(file) = self.registries_conf {
            files.config = Some(file);
        }
        let conf = files.load()?;
        let mut registries = Registries::new().with_total(self.timeout);
        let credentials = match self.creds {
            Some((username, password)) => Some(Credentials::Basic {
                username,
                password: Secret::value(password),
            }),
            None if self.no_creds => None,
            None => {
                let keyring = Keyring::auth_file(self.auth_file, Places::from_env());
                Some(Credentials::Keyring(keyring))
            }
        };
        if let Some(credentials) = credentials {
            registries = registries.with_credentials(credentials);
        }
        Ok(Client {
            access: Access::new(registries, conf),
            tls_verify: self.tls_verify,
            insecure: self.insecure,
            docker_hub_only,
        })
    }
}

impl Client {
    /// How a source is asked.
    pub(crate) fn access(&self, name: &ImageName) -> Access {
        let mut insecure = self.insecure.clone();
        if let ImageName::Docker(name) = name
            && !self.tls_verify
        {
            insecure.push(name.reference().named().domain().to_owned());
        }
        self.access.clone().with_insecure(insecure)
    }

    /// What a name stands for: an image in a transport, else one of a registry.
    ///
    /// # Errors
    /// Those of [`determine`].
    pub(crate) async fn determine(&self, name: &str) -> Result<Determined, Error> {
        let mut lookup = Lookup::new(self.access.conf());
        lookup.docker_hub_only = self.docker_hub_only;
        determine(name, &self.access, &ShortNames::Resolve(lookup)).await
    }

    /// The images a name may stand for, in the order to try.
    ///
    /// # Errors
    /// Those of [`determine`].
    pub(crate) async fn names(&self, name: &str) -> Result<Vec<ImageName>, Error> {
        // One that names its transport is taken as it is.
        if let Ok(name) = ImageName::parse(name) {
            return Ok(vec![name]);
        }
        let determined = self.determine(name).await?;
        let pairs = determined.goal.pairs.into_iter();
        Ok(pairs.map(|pair| pair.source).collect())
    }

    /// The first source of a name for which `ask` succeeds.
    ///
    /// # Errors
    /// Those of [`determine`], of opening a source and of `ask`.
    pub(crate) async fn first<T>(
        &self,
        name: &str,
        ask: impl AsyncFn(&Source) -> Result<T, Error>,
    ) -> Result<T, PullErrors<Error>> {
        let mut errors = Vec::new();
        let names = self.names(name).await;
        for name in names.map_err(|error| failed(vec![error]))? {
            let asked = match Source::open(&name, &self.access(&name)).await {
                Ok(source) => ask(&source).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(found) => return Ok(found),
                Err(error) => errors.push(error),
            }
        }
        Err(failed(errors))
    }
}

/// All that went wrong, with each image that a short name may stand for.
pub(crate) fn failed(mut errors: Vec<Error>) -> PullErrors<Error> {
    loop {
        match PullErrors::new(errors) {
            Some(errors) => return errors,
            None => errors = vec![Error::Unsupported("nowhere to look")],
        }
    }
}

/// Runs a command until it ends, or a signal ends it: what it was writing is removed then.
pub(crate) fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Exit::Other.fail(&error),
    };
    runtime.block_on(async {
        let signals = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        );
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            return work.await;
        };
        tokio::select! {
            code = work => code,
            _ = interrupt.recv() => Exit::Other.into(),
            _ = terminate.recv() => Exit::Other.into(),
        }
    })
}

/// Writes the result of a command to standard output.
pub(crate) fn print(bytes: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => Exit::Other.fail(&error),
    }
}

fn credentials(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((user.to_owned(), password.to_owned())),
        _ => Err("write USER:PASSWORD".to_owned()),
    }
}

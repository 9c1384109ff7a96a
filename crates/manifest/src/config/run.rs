//! How to run a container of an image.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::wire::{self, Annotations, Number, Set, Text, Words};

/// How to run a container of an image: the object `config` of its configuration. What is absent
/// is empty.
///
/// ```
/// use longshore_manifest::ImageConfig;
///
/// let config = ImageConfig::decode(br#"{"config":{"User":"nobody","Cmd":["sh","-c","true"],
///     "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","true"],"Interval":30000000000}}}"#)?;
/// let run = config.run();
/// assert_eq!((&*run.user, run.cmd.len()), ("nobody", 3));
/// assert_eq!(run.exposed_ports, ["80/tcp".into()]);
/// assert_eq!(run.healthcheck.as_ref().unwrap().interval.unwrap().as_secs(), 30);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunConfig {
    /// User, and group, the process runs as.
    pub user: Box<str>,
    /// Ports the process listens at, `80/tcp`; sorted.
    pub exposed_ports: Vec<Box<str>>,
    /// Environment, `NAME=value`.
    pub env: Vec<Box<str>>,
    /// The process: program and first arguments.
    pub entrypoint: Vec<Box<str>>,
    /// Arguments of the entrypoint; the process itself where there is none.
    pub cmd: Vec<Box<str>>,
    /// Folders that get a volume; sorted.
    pub volumes: Vec<Box<str>>,
    /// Folder the process starts in.
    pub working_dir: Box<str>,
    /// Labels.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// Signal that ends the process, `SIGTERM` or a number.
    pub stop_signal: Box<str>,
    /// How to find out whether the container works. Docker only.
    pub healthcheck: Option<Healthcheck>,
}

/// How to find out whether a container works, as Docker has it. What is absent, or zero, is up to
/// the engine.
///
/// ```
/// use longshore_manifest::ImageConfig;
///
/// let config = ImageConfig::decode(br#"{"config":{"Healthcheck":{"Test":["NONE"],"Retries":0}}}"#)?;
/// let healthcheck = config.run().healthcheck.as_ref().unwrap();
/// assert_eq!((healthcheck.test.len(), healthcheck.retries), (1, None));
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Healthcheck {
    /// The test: `NONE`, or `CMD` or `CMD-SHELL` with what follows.
    pub test: Vec<Box<str>>,
    /// Time from one test to the next.
    pub interval: Option<Duration>,
    /// Longest time one test may take.
    pub timeout: Option<Duration>,
    /// Time the container has to start.
    pub start_period: Option<Duration>,
    /// Time from one test to the next while it starts.
    pub start_interval: Option<Duration>,
    /// How many tests must fail, one after the other.
    pub retries: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", remote = "Self")]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    exposed_ports: Set<'a>,
    #[serde(borrow)]
    env: Words<'a>,
    #[serde(borrow)]
    entrypoint: Words<'a>,
    #[serde(borrow)]
    cmd: Words<'a>,
    #[serde(borrow)]
    volumes: Set<'a>,
    #[serde(borrow)]
    working_dir: Text<'a>,
    #[serde(borrow)]
    labels: Annotations<'a>,
    #[serde(borrow)]
    stop_signal: Text<'a>,
    #[serde(borrow)]
    healthcheck: Option<HealthcheckEntry<'a>>,
}

/// Times in nanoseconds.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", remote = "Self")]
struct HealthcheckEntry<'a> {
    #[serde(borrow)]
    test: Words<'a>,
    interval: Number,
    timeout: Number,
    start_period: Number,
    start_interval: Number,
    retries: Number,
}

wire::from_objects!(Entry<'a>, HealthcheckEntry<'a>);

impl Entry<'_> {
    pub(super) fn to_run_config(&self) -> RunConfig {
        RunConfig {
            user: (*self.user.0).into(),
            exposed_ports: sorted(&self.exposed_ports),
            env: owned(&self.env.0),
            entrypoint: owned(&self.entrypoint.0),
            cmd: owned(&self.cmd.0),
            volumes: sorted(&self.volumes),
            working_dir: (*self.working_dir.0).into(),
            labels: self.labels.to_map(),
            stop_signal: (*self.stop_signal.0).into(),
            healthcheck: self
                .healthcheck
                .as_ref()
                .map(|entry| entry.to_healthcheck()),
        }
    }
}

impl HealthcheckEntry<'_> {
    fn to_healthcheck(&self) -> Healthcheck {
        let some = |number: Number| number.0.filter(|number| *number > 0);
        let time = |nanos: Number| some(nanos).map(Duration::from_nanos);
        Healthcheck {
            test: owned(&self.test.0),
            interval: time(self.interval),
            timeout: time(self.timeout),
            start_period: time(self.start_period),
            start_interval: time(self.start_interval),
            retries: some(self.retries),
        }
    }
}

fn owned(texts: &[Cow<'_, str>]) -> Vec<Box<str>> {
    texts.iter().map(|text| (**text).into()).collect()
}

fn sorted(set: &Set<'_>) -> Vec<Box<str>> {
    let mut names = owned(&set.0);
    names.sort_unstable();
    names.dedup();
    names
}

//! Where files and programs are looked for.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::document::File;

/// The parts of the environment that say where credentials are. The default is nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Places {
    /// `$HOME`
    pub home: Option<PathBuf>,
    /// `$DOCKER_CONFIG`, a folder.
    pub docker_config: Option<PathBuf>,
    /// `$REGISTRY_AUTH_FILE`
    pub registry_auth_file: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`
    pub xdg_config_home: Option<PathBuf>,
    /// The user's number.
    pub uid: Option<u32>,
    /// `$PATH`, in its order.
    pub path: Vec<PathBuf>,
}

impl Places {
    /// Those of this process.
    #[must_use]
    pub fn from_env() -> Self {
        let place = |name| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let path = env::var_os("PATH").unwrap_or_default();
        Self {
            home: place("HOME"),
            docker_config: place("DOCKER_CONFIG"),
            registry_auth_file: place("REGISTRY_AUTH_FILE"),
            xdg_runtime_dir: place("XDG_RUNTIME_DIR"),
            xdg_config_home: place("XDG_CONFIG_HOME"),
            uid: uid(),
            path: env::split_paths(&path)
                .filter(|p| p.is_absolute())
                .collect(),
        }
    }

    pub(super) fn docker_config(&self) -> Option<File> {
        let folder = match (&self.docker_config, &self.home) {
            (Some(folder), _) => folder.clone(),
            (None, Some(home)) => home.join(".docker"),
            (None, None) => return None,
        };
        Some(File::optional(folder.join("config.json")))
    }

    pub(super) fn auth_files(&self) -> Vec<File> {
        let runtime = match (&self.xdg_runtime_dir, self.uid) {
            (Some(folder), _) => Some(folder.join("containers/auth.json")),
            (None, Some(uid)) => Some(format!("/run/containers/{uid}/auth.json").into()),
            (None, None) => None,
        };
        let home = self.home.as_deref();
        let config = self.xdg_config_home.clone();
        let config = config.or_else(|| Some(home?.join(".config")));
        let config = config.map(|folder| folder.join("containers/auth.json"));
        let files = [self.registry_auth_file.clone(), runtime, config];
        let files = files.into_iter().flatten().map(File::optional);
        let bare = home.map(|home: &Path| File::bare(home.join(".dockercfg")));
        files.chain(self.docker_config()).chain(bare).collect()
    }
}

#[cfg(target_os = "linux")]
fn uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    // The owner of a process's folder is its effective user.
    std::fs::metadata("/proc/self").ok().map(|meta| meta.uid())
}

#[cfg(not(target_os = "linux"))]
fn uid() -> Option<u32> {
    None
}

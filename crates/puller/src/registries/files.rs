//! Which files make up the configuration, and reading them.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Aliases, Error, RegistriesConf};
use crate::config_file;

/// What decides which files are read. The default reads the system's files alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Files {
    /// The file to read; it has to be there.
    pub config: Option<PathBuf>,
    /// The folder of drop-ins to read, in place of all others.
    pub drop_ins: Option<PathBuf>,
    /// The aliases that programs keep, in place of the default file.
    pub aliases: Option<PathBuf>,
    /// `$HOME`, where a user's own configuration is.
    pub home: Option<PathBuf>,
    /// `$XDG_CACHE_HOME`
    pub cache_home: Option<PathBuf>,
    /// Under which the system's files are.
    pub root: Option<PathBuf>,
    /// Whether the process has the rights of root: its aliases are the system's.
    pub is_root: bool,
}

/// The files of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paths {
    /// `registries.conf`
    pub config: PathBuf,
    /// Whether the file has to be there.
    pub needed: bool,
    /// Folders of drop-ins; each is read in the order of its names.
    pub drop_ins: Vec<PathBuf>,
    /// `short-name-aliases.conf`; `None` where no place for it is known.
    pub aliases: Option<PathBuf>,
}

impl Files {
    /// Those that an environment leads to: `$CONTAINERS_REGISTRIES_CONF`, else the older `$REGISTRIES_CONFIG_PATH`;
    /// `$HOME`; `$XDG_CACHE_HOME`.
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self {
            config: path("CONTAINERS_REGISTRIES_CONF").or_else(|| path("REGISTRIES_CONFIG_PATH")),
            home: path("HOME"),
            cache_home: path("XDG_CACHE_HOME"),
            ..Self::default()
        }
    }

    /// Decides which files to read. `exists` tells whether a file is there.
    ///
    /// A user's own `registries.conf` replaces the system's, and then only the user's drop-ins count; otherwise the
    /// system's drop-ins come first and the user's second.
    pub fn paths(&self, exists: impl Fn(&Path) -> bool) -> Paths {
        let home = |path| Some(self.home.as_deref()?.join(path));
        let user = home(USER_CONFIG).filter(|path| exists(path));
        let (config, needed) = match (&self.config, &user) {
            (Some(config), _) => (config.clone(), true),
            (None, Some(user)) => (user.clone(), false),
            (None, None) => (self.system(SYSTEM_CONFIG), false),
        };
        let own = self.config.is_none() && user.is_some();
        let drop_ins = match &self.drop_ins {
            Some(folder) => vec![folder.clone()],
            None => {
                let system = (!own).then(|| self.system(SYSTEM_DROP_INS));
                system.into_iter().chain(home(USER_DROP_INS)).collect()
            }
        };
        Paths {
            config,
            needed,
            drop_ins,
            aliases: self.aliases_path(),
        }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// Those of [`RegistriesConf::parse`]; [`Error::Read`] for a file that cannot be read, or that has to be there and is
    /// not.
    pub fn load(&self) -> Result<RegistriesConf, Error> {
        let paths = self.paths(|path| fs::symlink_metadata(path).is_ok());
        let mut registries = match read(&paths.config)? {
            Some(text) => RegistriesConf::parse(&text, &paths.config.to_string_lossy())?,
            None if paths.needed => {
                let source = io::ErrorKind::NotFound.into();
                let path = paths.config;
                return Err(Error::Read { path, source });
            }
            None => RegistriesConf::default(),
        };
        for folder in &paths.drop_ins {
            for path in drop_ins(folder)? {
                if let Some(text) = read(&path)? {
                    registries.merge_drop_in(&text, &path.to_string_lossy())?;
                }
            }
        }
        Ok(registries)
    }

    /// Reads the aliases that programs keep; none where there is no file.
    ///
    /// # Errors
    /// Those of [`Aliases::parse`]; [`Error::Read`] for a file that cannot be read.
    pub fn load_aliases(&self) -> Result<Aliases, Error> {
        let Some(path) = self.aliases_path() else {
            return Ok(Aliases::default());
        };
        match read(&path)? {
            Some(text) => Aliases::parse(&text, &path.to_string_lossy()),
            None => Ok(Aliases::default()),
        }
    }

    fn aliases_path(&self) -> Option<PathBuf> {
        if let Some(path) = &self.aliases {
            return Some(path.clone());
        }
        if self.is_root {
            return Some(Path::new(SYSTEM_CACHE).join(ALIASES));
        }
        let cache = self.cache_home.clone();
        let cache = cache.or_else(|| Some(self.home.as_deref()?.join(".cache")))?;
        Some(cache.join(ALIASES))
    }

    fn system(&self, path: &str) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.trim_start_matches('/')),
            None => path.into(),
        }
    }
}

/// The `*.conf` of a folder, in the order of their names; none where there is no folder. Folders in it are left out.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_conf = name.as_encoded_bytes().ends_with(b".conf");
        if is_conf && !entry.file_type().map_err(failed)?.is_dir() {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    config_file::read(path, CONFIG_BYTES_MAX).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Larger files are refused.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;

const SYSTEM_CONFIG: &str = "/etc/containers/registries.conf";
const SYSTEM_DROP_INS: &str = "/etc/containers/registries.conf.d";
const USER_CONFIG: &str = ".config/containers/registries.conf";
const USER_DROP_INS: &str = ".config/containers/registries.conf.d";
const SYSTEM_CACHE: &str = "/var/cache";
const ALIASES: &str = "containers/short-name-aliases.conf";

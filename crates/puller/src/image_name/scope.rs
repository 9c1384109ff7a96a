//! Which scopes a policy may have in a transport.

use longshore_reference::Digest;

use super::{Transport, explicit::clean};

/// A scope that no image of its transport can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// Not a path from the root.
    #[error("Invalid scope {0}: must be an absolute path")]
    NotAbsolute(String),
    /// The root, which would mean the same as the default.
    #[error("Invalid scope \"/\": Use the generic default scope \"\"")]
    Root,
    /// A path that is written in another way than it is looked up.
    #[error(
        "Invalid scope {scope}: Uses non-canonical path format, perhaps try with path {cleaned}"
    )]
    NotClean {
        /// The scope.
        scope: String,
        /// How it would be looked up.
        cleaned: String,
    },
    /// The transport has no scopes.
    #[error("{0}: does not support any scopes except the default \"\" one")]
    NoScopes(Transport),
    /// Not `host[/namespace[/name[:tag]]]`.
    #[error("Invalid scope name {0}")]
    Name(String),
    /// A digest alone, which is no name.
    #[error("docker-daemon: can not use algo:digest value {0} as a namespace")]
    Digest(String),
    /// Not `[driver@/path]…` or `[/path]…`.
    #[error("Invalid scope {0}: must begin with a storage location in brackets")]
    Storage(String),
}

/// Checks a scope of a policy. The empty scope, the default of the transport, is always allowed.
///
/// Scopes of registries are not checked: of those that cannot match few can be told. Of scopes in the storage of Podman
/// only the location is checked.
///
/// ```
/// use longshore_puller::image_name::{Transport, validate_scope};
///
/// assert!(validate_scope(Transport::Docker, "*.example.com").is_ok());
/// assert!(validate_scope(Transport::Dir, "/var/images").is_ok());
/// assert!(validate_scope(Transport::Dir, "images").is_err());
/// ```
///
/// # Errors
/// [`ScopeError`]
pub fn validate_scope(transport: Transport, scope: &str) -> Result<(), ScopeError> {
    if scope.is_empty() {
        return Ok(());
    }
    match transport {
        Transport::Docker | Transport::Ostree => Ok(()),
        Transport::Dir | Transport::Oci | Transport::OciArchive | Transport::Sif => path(scope),
        Transport::DockerArchive | Transport::Tarball => Err(ScopeError::NoScopes(transport)),
        Transport::Atomic => atomic(scope),
        Transport::DockerDaemon => match Digest::parse(scope) {
            Ok(_) => Err(ScopeError::Digest(scope.to_owned())),
            Err(_) => Ok(()),
        },
        Transport::ContainersStorage => storage(scope),
    }
}

fn path(scope: &str) -> Result<(), ScopeError> {
    if !scope.starts_with('/') {
        return Err(ScopeError::NotAbsolute(scope.to_owned()));
    }
    if scope == "/" {
        return Err(ScopeError::Root);
    }
    let cleaned = clean(scope);
    match cleaned == scope {
        true => Ok(()),
        false => Err(ScopeError::NotClean {
            scope: scope.to_owned(),
            cleaned,
        }),
    }
}

/// At most three components; colons in the first, and one in the last.
fn atomic(scope: &str) -> Result<(), ScopeError> {
    let parts: Vec<&str> = scope.split('/').collect();
    let fits = match parts.as_slice() {
        [_] => true,
        [_, namespace] => !namespace.contains(':'),
        [_, namespace, name] => !namespace.contains(':') && name.matches(':').count() <= 1,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => Err(ScopeError::Name(scope.to_owned())),
    }
}

fn storage(scope: &str) -> Result<(), ScopeError> {
    let location = scope
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    let root = location.map(|(location, _)| match location.split_once('@') {
        Some(("", _)) => "",
        Some((_, root)) => root,
        None => location,
    });
    match root.is_some_and(|root| root.starts_with('/')) {
        true => Ok(()),
        false => Err(ScopeError::Storage(scope.to_owned())),
    }
}

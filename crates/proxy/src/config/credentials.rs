//! What we log in to an upstream with: one kind of it, and no secret of it is ever printed.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::value::{Folder, ValueError};

/// What we log in to an upstream with.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
        /// Whether tokens are asked for by POST (OAuth 2) before GET.
        tokens_by_post: bool,
    },
    /// A token for the registry itself, sent as it is.
    Token(Secret),
    /// A token that buys others (OAuth 2's refresh token).
    IdentityToken(Secret),
    /// Whatever docker's `config.json` says: that file, or the one of the environment.
    DockerConfig(Option<PathBuf>),
    /// Whatever podman's `auth.json` says: that file, or those of the environment.
    AuthFile(Option<PathBuf>),
    /// Whatever the program `docker-credential-<name>` says.
    Helper(String),
}

/// Where a secret is found.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the configuration itself.
    Value(String),
    /// In a file, to be read anew when it changes; a line end at its end does not belong to it.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    username: Option<String>,
    password: Option<String>,
    password_file: Option<Folder>,
    password_env: Option<String>,
    tokens_by_post: Option<bool>,
    token: Option<String>,
    token_file: Option<Folder>,
    token_env: Option<String>,
    identity_token: Option<String>,
    identity_token_file: Option<Folder>,
    identity_token_env: Option<String>,
    docker_config: Option<Place>,
    auth_file: Option<Place>,
    helper: Option<Program>,
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let from = Written::deserialize(from)?;
        let password = Given::of(from.password, from.password_file, from.password_env);
        let token = Given::of(from.token, from.token_file, from.token_env);
        let identity = Given::of(
            from.identity_token,
            from.identity_token_file,
            from.identity_token_env,
        );
        let kinds = [
            ("username", from.username.is_some()),
            ("password", password.count > 0 && from.username.is_none()),
            ("token", token.count > 0),
            ("identity_token", identity.count > 0),
            ("docker_config", from.docker_config.is_some()),
            ("auth_file", from.auth_file.is_some()),
            ("helper", from.helper.is_some()),
        ];
        let mut kinds = kinds
            .iter()
            .filter(|(_, given)| *given)
            .map(|(kind, _)| *kind);
        let kind = kinds.next().ok_or_else(|| de::Error::custom(NONE))?;
        if let Some(other) = kinds.next() {
            return Err(de::Error::custom(format_args!(
                "`{kind}` and `{other}` are two ways to log in, give one"
            )));
        }
        if kind != "username" && from.tokens_by_post.is_some() {
            return Err(de::Error::custom("`tokens_by_post` goes with a `username`"));
        }
        Ok(
            match (
                from.username,
                from.docker_config,
                from.auth_file,
                from.helper,
            ) {
                (Some(username), ..) => Self::Basic {
                    username,
                    password: password.one("password")?,
                    tokens_by_post: from.tokens_by_post.unwrap_or_default(),
                },
                (_, Some(place), ..) => Self::DockerConfig(place.0),
                (_, _, Some(place), _) => Self::AuthFile(place.0),
                (.., Some(program)) => Self::Helper(program.0),
                _ if token.count > 0 => Self::Token(token.one("token")?),
                _ if identity.count > 0 => Self::IdentityToken(identity.one("identity_token")?),
                _ => return Err(de::Error::custom("`password` goes with a `username`")),
            },
        )
    }
}

/// What was given of a key and of its forms with `_file` and `_env`.
struct Given {
    count: usize,
    secret: Option<Secret>,
}

impl Given {
    fn of(value: Option<String>, file: Option<Folder>, env: Option<String>) -> Self {
        let all = [
            value.map(Secret::Value),
            file.map(|file| Secret::File(file.0)),
            env.map(Secret::Env),
        ];
        Self {
            count: all.iter().flatten().count(),
            secret: all.into_iter().flatten().next(),
        }
    }

    fn one<E: de::Error>(self, key: &str) -> Result<Secret, E> {
        self.secret.filter(|_| self.count == 1).ok_or_else(|| {
            E::custom(format_args!(
                "credentials have one of `{key}`, `{key}_file` and `{key}_env`"
            ))
        })
    }
}

/// `true` for where it usually is, or the path of a file.
struct Place(Option<PathBuf>);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TrueOrPath;
        impl Visitor<'_> for TrueOrPath {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or the absolute path of a file")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Place, E> {
                match value {
                    true => Ok(Place(None)),
                    false => Err(E::invalid_value(de::Unexpected::Bool(false), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Place, E> {
                let path = Folder::try_from(PathBuf::from(value)).map_err(E::custom)?;
                Ok(Place(Some(path.0)))
            }
        }
        from.deserialize_any(TrueOrPath)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Program(String);

impl TryFrom<String> for Program {
    type Error = ValueError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_name = !name.is_empty() && name.chars().all(fits);
        if is_name && !name.starts_with("docker-credential-") {
            return Ok(Self(name));
        }
        Err(ValueError::new(
            "a helper is what follows docker-credential- in the name of a program, like \"ecr-login\"",
        ))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(…)"),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
        }
    }
}

const NONE: &str = "credentials are a `username` and a password, or one of `token`, `identity_token`, `docker_config`, \
                    `auth_file` and `helper`";

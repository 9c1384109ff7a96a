//! What is said of a pull of which nothing could be copied.

use std::{error, fmt};

/// No pair of a goal could be copied. The texts are libpod's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<E> {
    /// A short name, and no search registries.
    NoSearchRegistries,
    /// The only pair, or the first of several.
    First(E),
    /// Nothing was tried.
    NoAccess,
    /// What each search registry said.
    All(MultiError<E>),
}

/// Several errors as libpod shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiError<E>(Vec<E>);

/// The line before a pull from a registry; without a line end, as `Failed` may follow.
///
/// ```
/// assert_eq!(longshore_puller::goal::trying_to_pull("quay.io/app:1"), "Trying to pull quay.io/app:1...");
/// ```
#[must_use]
pub fn trying_to_pull(image: &str) -> String {
    format!("Trying to pull {image}...")
}

impl<E> Failure<E> {
    /// Why a goal with these search registries failed, from the errors of its pairs in their order.
    pub(super) fn of(searched: Option<&[String]>, errors: Vec<E>) -> Self {
        match searched {
            Some([]) => Self::NoSearchRegistries,
            Some(_) => Self::All(MultiError(errors)),
            None => match errors.into_iter().next() {
                Some(first) => Self::First(first),
                None => Self::NoAccess,
            },
        }
    }
}

impl<E> MultiError<E> {
    /// The errors.
    #[must_use]
    pub fn errors(&self) -> &[E] {
        &self.0
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSearchRegistries => f.write_str(
                "image name provided is a short name and no search registries are defined in the registries config file.",
            ),
            Self::First(_) => f.write_str("unable to pull image"),
            Self::NoAccess => {
                f.write_str("unable to pull image, or you do not have pull access")
            }
            Self::All(errors) => errors.fmt(f),
        }
    }
}

impl<E: error::Error + 'static> error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::First(error) => Some(error),
            Self::NoSearchRegistries | Self::NoAccess | Self::All(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for MultiError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "1 error occurred:\n\t* {only}\n\n"),
            errors => {
                writeln!(f, "{} errors occurred:", errors.len())?;
                errors
                    .iter()
                    .try_for_each(|error| writeln!(f, "\t* {error}"))?;
                f.write_str("\n")
            }
        }
    }
}

impl<E: fmt::Display + fmt::Debug> error::Error for MultiError<E> {}

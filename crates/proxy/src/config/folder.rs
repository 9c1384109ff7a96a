//! Where data goes that nobody gave a place.

use std::env;
use std::path::PathBuf;

/// `$XDG_DATA_HOME/longshore`; without that variable `/var/lib/longshore` as root, else `~/.local/share/longshore`.
#[must_use]
pub fn data_folder() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from);
    choose(
        folder("XDG_DATA_HOME"),
        folder("HOME"),
        rustix::process::geteuid().is_root(),
    )
}

/// Relative folders do not count, as the XDG base directory specification wants it.
fn choose(xdg: Option<PathBuf>, home: Option<PathBuf>, is_root: bool) -> Option<PathBuf> {
    if let Some(xdg) = xdg.filter(|folder| folder.is_absolute()) {
        return Some(xdg.join("longshore"));
    }
    if is_root {
        return Some(PathBuf::from("/var/lib/longshore"));
    }
    home.filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(".local/share/longshore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses() {
        for (xdg, home, is_root, expected) in [
            (Some("/x"), Some("/h"), false, Some("/x/longshore")),
            (Some("/x"), Some("/root"), true, Some("/x/longshore")),
            (
                Some("x"),
                Some("/h"),
                false,
                Some("/h/.local/share/longshore"),
            ),
            (
                Some(""),
                Some("/h"),
                false,
                Some("/h/.local/share/longshore"),
            ),
            (None, Some("/root"), true, Some("/var/lib/longshore")),
            (None, None, true, Some("/var/lib/longshore")),
            (None, Some("h"), false, None),
            (None, None, false, None),
        ] {
            let chosen = choose(xdg.map(PathBuf::from), home.map(PathBuf::from), is_root);
            assert_eq!(
                chosen,
                expected.map(PathBuf::from),
                "{xdg:?} {home:?} {is_root}"
            );
        }
    }
}

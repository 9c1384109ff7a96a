//! Patterns of configurations: a star stands for any characters, slashes too.

/// Whether a text is as the pattern says, where `*` stands for any characters, none too. Everything else stands for itself.
///
/// ```
/// # use longshore_reference::matches;
/// assert!(matches("docker.io/library/*", "docker.io/library/alpine"));
/// assert!(!matches("docker.io/*", "quay.io/library/alpine"));
/// ```
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // What follows the last star, and what it has not taken yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((rest, text));
                pattern = rest;
                continue;
            }
            (Some((wanted, rest)), Some((found, after))) if wanted == found => {
                (pattern, text) = (rest, after);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((rest, left)) = star else {
            return false;
        };
        let Some((_, left)) = left.split_first() else {
            return false;
        };
        star = Some((rest, left));
        (pattern, text) = (rest, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_any_characters() {
        let rows = [
            ("docker.io/library/alpine", "docker.io/library/alpine", true),
            ("docker.io/*", "docker.io/library/alpine", true),
            ("docker.io/*", "docker.iox/library", false),
            ("*/alpine", "docker.io/library/alpine", true),
            ("v1.*", "v1.2.3", true),
            ("v1.*-slim", "v1.2-slim-slim", true),
            ("v1.*-slim", "v1.2-slim-x", false),
            ("*", "", true),
            ("", "x", false),
            ("**a", "ba", true),
        ];
        for (pattern, text, fits) in rows {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}

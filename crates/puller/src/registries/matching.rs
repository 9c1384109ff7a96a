//! Whether a name is under a prefix.

/// How many bytes of a reference a prefix stands for; `None` where it does not match.
///
/// The reference (a host, a namespace, a repository or an image) must begin with its host. What follows the match is
/// nothing, or begins with `/`, `:` or `@`; so `example.com` also matches `example.com:5000`, as in containers/image,
/// which calls it unintended. A prefix `*.example.com` matches any subdomain.
///
/// ```
/// use longshore_puller::registries::matched;
///
/// assert_eq!(matched("quay.io/org/app:1", "quay.io/org"), Some(11));
/// assert_eq!(matched("quay.io/organ", "quay.io/org"), None);
/// assert_eq!(matched("eu.quay.io/app", "*.quay.io"), Some(10));
/// ```
#[must_use]
pub fn matched(reference: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => {
            let start = reference.find(domain)?;
            if reference.get(..start)?.contains('/') {
                return None;
            }
            start + domain.len()
        }
        Some(_) | None => {
            reference.strip_prefix(prefix)?;
            prefix.len()
        }
    };
    match reference.as_bytes().get(end) {
        None | Some(b':' | b'/' | b'@') => Some(end),
        Some(_) => None,
    }
}

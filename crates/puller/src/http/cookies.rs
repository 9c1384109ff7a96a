//! The cookies of one session: names and values, each for the origin that set it (pure).

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use url::Url;

use super::origin::same_origin;

/// Cookies as far as v1 registries need them: who has a token is known by a cookie afterwards. Attributes are ignored; a
/// session lasts minutes, and a cookie never goes to another origin.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    kept: Vec<Cookie>,
}

struct Cookie {
    origin: Url,
    name: String,
    value: String,
}

impl Cookies {
    /// Takes over what `url` answered.
    pub(crate) fn keep(&mut self, url: &Url, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let Some((name, value)) = header.to_str().ok().and_then(parse) else {
                continue;
            };
            self.kept
                .retain(|kept| kept.name != name || !same_origin(&kept.origin, url));
            if self.kept.len() < COOKIES_MAX {
                self.kept.push(Cookie {
                    origin: url.clone(),
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
    }

    /// The value of `Cookie` for `url`.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let own = self
            .kept
            .iter()
            .filter(|kept| same_origin(&kept.origin, url));
        let pairs: Vec<_> = own
            .map(|kept| format!("{}={}", kept.name, kept.value))
            .collect();
        let mut header = HeaderValue::try_from(pairs.join("; ")).ok()?;
        header.set_sensitive(true);
        (!pairs.is_empty()).then_some(header)
    }
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn parse(text: &str) -> Option<(&str, &str)> {
    let pair = text.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty() && pair.len() <= COOKIE_BYTES_MAX).then_some((name, value))
}

const COOKIES_MAX: usize = 16;
const COOKIE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SET_COOKIE, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn they_go_back_to_where_they_came_from() {
        let url = |text| Url::parse(text).unwrap();
        let mut cookies = Cookies::default();
        let index = url("https://index.example/v1/x");
        assert_eq!(cookies.header(&index), None);
        cookies.keep(
            &index,
            &set(&[
                "session=a=b; Path=/; Domain=example; HttpOnly",
                "x=1",
                "none",
                "=v",
            ]),
        );
        cookies.keep(&url("https://r.example/"), &set(&["y=2"]));
        for (to, expected) in [
            ("https://index.example/v1/other", Some("session=a=b; x=1")),
            ("https://index.example:443/", Some("session=a=b; x=1")),
            ("http://index.example/", None),
            ("https://index.example:8443/", None),
            ("https://r.example/v1/", Some("y=2")),
            ("https://example/", None),
        ] {
            let found = cookies.header(&url(to));
            assert_eq!(
                found.as_ref().map(|v| v.to_str().unwrap()),
                expected,
                "{to}"
            );
        }
        cookies.keep(&index, &set(&["x=3"]));
        let found = cookies.header(&index).unwrap();
        assert_eq!(found.to_str().unwrap(), "session=a=b; x=3");
        assert!(!format!("{cookies:?} {found:?}").contains("a=b"));
    }

    #[test]
    fn they_are_bounded() {
        let url = Url::parse("https://r.example/").unwrap();
        let mut cookies = Cookies::default();
        let long = format!("long={}", "x".repeat(COOKIE_BYTES_MAX));
        cookies.keep(&url, &set(&[&long]));
        assert_eq!(cookies.header(&url), None);
        for n in 0..100 {
            cookies.keep(&url, &set(&[&format!("c{n}=v")]));
        }
        assert_eq!(cookies.kept.len(), COOKIES_MAX);
    }
}

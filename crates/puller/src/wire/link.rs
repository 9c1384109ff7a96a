//! `Link` (RFC 8288 section 3): all values of all lines.

use http::{HeaderMap, header::LINK};

/// One link of a `Link` header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The URI reference between the angle brackets.
    pub(crate) target: String,
    /// Names in lower case; values without quotes.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Link {
    /// The links of a response, in order.
    pub(crate) fn all(headers: &HeaderMap) -> Vec<Self> {
        headers
            .get_all(LINK)
            .iter()
            .flat_map(|line| parse(&String::from_utf8_lossy(line.as_bytes())))
            .collect()
    }

    /// The target of the link to the next page. A single link without any relation counts as one.
    pub(crate) fn next(headers: &HeaderMap) -> Option<String> {
        let mut links = Self::all(headers);
        let next = links.iter().position(|link| link.is("next"));
        let unnamed = || links.len() == 1 && links.iter().all(|link| link.relations().is_none());
        let at = next.or_else(|| unnamed().then_some(0))?;
        Some(links.swap_remove(at).target)
    }

    /// Whether this is a link of the response itself with this relation.
    fn is(&self, relation: &str) -> bool {
        // Section 3.2: with an anchor it is a link of another document.
        self.parameter("anchor").is_none()
            && self.relations().is_some_and(|relations| {
                relations
                    .split_ascii_whitespace()
                    .any(|found| found.eq_ignore_ascii_case(relation))
            })
    }

    /// Section 3.3: only the first `rel` counts.
    fn relations(&self) -> Option<&str> {
        self.parameter("rel")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let (_, value) = parameters.find(|(found, _)| found == name)?;
        Some(value)
    }
}

/// The links of one line (RFC 8288 appendix B.2). What is no link is skipped up to the next comma.
fn parse(line: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || is_space(c));
        if rest.is_empty() {
            return links;
        }
        let link = rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .map(|(target, after)| (target.trim().to_owned(), after));
        if let Some((target, after)) = link {
            let (parameters, after) = parameters(after);
            links.push(Link { target, parameters });
            rest = after;
        }
        rest = rest.find(',').and_then(|at| rest.get(at..)).unwrap_or("");
    }
}

/// The parameters in front of `text`, and what follows them.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(after) = rest.trim_start_matches(is_space).strip_prefix(';') {
        let after = after.trim_start_matches(is_space);
        let end = after
            .find(|c| is_space(c) || matches!(c, '=' | ';' | ','))
            .unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let (value, after) = match after.trim_start_matches(is_space).strip_prefix('=') {
            Some(after) => value(after.trim_start_matches(is_space)),
            None => (String::new(), after),
        };
        if !name.is_empty() {
            found.push((name.to_ascii_lowercase(), value));
        }
        rest = after;
    }
    (found, rest)
}

/// A quoted string or a token, and what follows it. A string that is not closed ends with the line.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim_end_matches(is_space).to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return (value, chars.as_str()),
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, "")
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn next(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(LINK, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Link::next(&headers)
    }

    #[test]
    fn the_next_page_is_found_among_all_values_of_all_lines() {
        for (lines, expected) in [
            (&[r#"</a?n=1>; rel="next""#][..], Some("/a?n=1")),
            (&["</a>;rel=next"], Some("/a")),
            (&["</a>; REL=Next"], Some("/a")),
            (&["< /a > ; rel = next ; title = x"], Some("/a")),
            (
                &[r#"</p>; rel="prev", <https://up.example/a>; rel="next""#],
                Some("https://up.example/a"),
            ),
            (&[r#"</p>; rel="prev""#, r#"</a>; rel="next""#], Some("/a")),
            (
                &["</p>; rel=prev,</a>; rel=next,</l>; rel=last"],
                Some("/a"),
            ),
            (&[r#"</a>; rel="last next""#], Some("/a")),
            (
                &[r#"</a,b;c?last="x">; rel=next"#],
                Some(r#"/a,b;c?last="x""#),
            ),
            (
                &[r#"</p>; title="a, <b>; rel=next", </a>; rel=next"#],
                Some("/a"),
            ),
            (&[r#"</p>; title="\", </x>; rel=next""#], Some("/p")),
            (&[r#"</a>, </b>; title="open; rel=next"#], None),
            (&["nonsense, </a>; rel=next"], Some("/a")),
            (&["<open, </a>; rel=next"], Some("open, </a")),
            (&[",, ,", "</a>; rel=next"], Some("/a")),
            (&["</p>; rel=prev; rel=next"], None),
            (&["</p>; rel=prev"], None),
            (&["</p>; rel=nextish"], None),
            (
                &["</p>; rel=next; anchor=\"/other\"", "</a>; rel=next"],
                Some("/a"),
            ),
            (&["</a>"], Some("/a")),
            (&["</a>; title=x"], Some("/a")),
            (&["</a>, </b>"], None),
            (&["</p>; rel=prev, </a>"], None),
            (&["</\u{e9}>; rel=next"], Some("/\u{e9}")),
            (&["<>; rel=next"], Some("")),
            (&["</a> rel=next"], Some("/a")),
            (&["<"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(next(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn lines_of_any_bytes_are_read() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, HeaderValue::from_bytes(b"</\xff>; rel=prev").unwrap());
        headers.append(LINK, HeaderValue::from_static("</a>; rel=next"));
        assert_eq!(Link::next(&headers).as_deref(), Some("/a"));
        assert_eq!(Link::all(&headers).len(), 2);
    }
}

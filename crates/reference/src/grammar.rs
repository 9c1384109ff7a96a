//! The grammar of references, over bytes. Everything it accepts is ASCII.

/// `domain = host [":" port]`, `host = name | "[" IPv6 "]"`.
pub(crate) fn is_domain(text: &str) -> bool {
    let (is_host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let is_address = !address.is_empty()
            && address
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        (is_address, port)
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, _)) => (name, text.get(name.len()..).unwrap_or_default()),
            None => (text, ""),
        };
        (is_host_name(name), port)
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    is_host && is_port
}

/// `label *("." label)`, a label of letters, digits and, inside, dashes.
fn is_host_name(text: &str) -> bool {
    let mut last = b'.';
    for byte in text.bytes() {
        let fits = match byte {
            b'-' => last != b'.',
            b'.' => last != b'.' && last != b'-',
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
        last = byte;
    }
    last.is_ascii_alphanumeric()
}

/// `path = component *("/" component)`, `component = alnum *(separator alnum)`; its length is not looked at.
pub(crate) fn is_path(text: &str) -> bool {
    enum After {
        Slash,
        Alnum,
        Underscore,
        Dash,
        Separator,
    }
    let mut after = After::Slash;
    for byte in text.bytes() {
        if matches!(byte, b'a'..=b'z' | b'0'..=b'9') {
            after = After::Alnum;
            continue;
        }
        after = match (after, byte) {
            (After::Alnum, b'/') => After::Slash,
            (After::Alnum, b'_') => After::Underscore,
            (After::Alnum | After::Dash, b'-') => After::Dash,
            (After::Alnum, b'.') | (After::Underscore, b'_') => After::Separator,
            _ => return false,
        };
    }
    matches!(after, After::Alnum)
}

pub(crate) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// What the reference's grammar takes for a digest; whether it is a valid one is another question.
pub(crate) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let component = |part: &str| {
        part.bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(component)
        && hex.len() >= HEX_DIGITS_MIN
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What go-digest takes for a well-formed digest of whatever algorithm.
pub(crate) fn is_any_digest(algorithm: &str, encoded: &str) -> bool {
    let component = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    algorithm.split(['.', '+', '_', '-']).all(component)
        && !encoded.is_empty()
        && encoded
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'))
}

/// 64 lower-case hexadecimal digits: the id of an image, never a name.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() == IDENTIFIER_DIGITS
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9'))
}

/// Whether Go's `strings.ToLower` leaves the text as it is.
pub(crate) fn is_lower(text: &str) -> bool {
    if text.is_ascii() {
        return !text.bytes().any(|byte| byte.is_ascii_uppercase());
    }
    text.chars().all(|char| lower(char) == char)
}

/// Go lower-cases one character to one; the first of Rust's full mapping is the same one.
pub(crate) fn lower(char: char) -> char {
    char.to_lowercase().next().unwrap_or(char)
}

/// Of the repository path alone, as since distribution/reference 0.6.0; before, the domain counted too.
pub(crate) const PATH_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
const HEX_DIGITS_MIN: usize = 32;
const IDENTIFIER_DIGITS: usize = 64;

//! The grammar of `org.opencontainers.image.ref.name`.

/// Components joined by slashes; a component is letters and digits, separated by one of `-._:@+` or by `--`.
pub(super) fn is_image_name(name: &str) -> bool {
    name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric());
        let word = word.count();
        if word == 0 {
            return false;
        }
        rest = rest.get(word..).unwrap_or_default();
        rest = match rest {
            [] => return true,
            [b'-', b'-', rest @ ..] => rest,
            [b'-' | b'.' | b'_' | b':' | b'@' | b'+', rest @ ..] => rest,
            _ => return false,
        };
    }
}

//! Which token endpoints may see the configured credentials (pure).

use url::{Host, Url};

/// Whether `realm` may have the credentials of `endpoint`: its own host, a host of its registrable domain, or a host
/// listed in the configuration. Never over plain HTTP when the endpoint is not plain HTTP itself.
pub(crate) fn may_have_credentials(realm: &Url, endpoint: &Url, listed: &[String]) -> bool {
    if !may_be_asked(realm, endpoint) {
        return false;
    }
    same_domain(realm, endpoint)
        || realm.host_str().is_some_and(|host| {
            listed
                .iter()
                .any(|listed| listed.eq_ignore_ascii_case(host))
        })
}

/// Whether `realm` may be asked at all: its tokens are sent to `endpoint`, so they must not come over plain HTTP when
/// `endpoint` is not plain HTTP itself.
pub(crate) fn may_be_asked(realm: &Url, endpoint: &Url) -> bool {
    realm.scheme() == "https" || endpoint.scheme() != "https"
}

/// Whether two URLs have the same host or hosts of the same registrable domain.
pub(crate) fn same_domain(a: &Url, b: &Url) -> bool {
    match (a.host(), b.host()) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
            a == b || matches!((registrable(a), registrable(b)), (Some(a), Some(b)) if a == b)
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The registrable domain by the public suffix list; `None` for a public suffix itself.
fn registrable(host: &str) -> Option<&str> {
    psl::domain_str(host.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_see_credentials() {
        let listed = ["Login.Partner.example".to_owned()];
        for &(realm, endpoint, may) in TABLE {
            let (realm_url, endpoint_url) =
                (Url::parse(realm).unwrap(), Url::parse(endpoint).unwrap());
            assert_eq!(
                may_have_credentials(&realm_url, &endpoint_url, &listed),
                may,
                "{realm} for {endpoint}"
            );
        }
    }

    #[test]
    fn who_may_be_asked() {
        for (realm, endpoint, may) in [
            ("https://a.example/token", "https://b.example", true),
            ("https://a.example/token", "http://b.example", true),
            ("http://a.example/token", "http://b.example", true),
            ("http://a.example/token", "https://a.example", false),
        ] {
            let (realm, endpoint) = (Url::parse(realm).unwrap(), Url::parse(endpoint).unwrap());
            assert_eq!(
                may_be_asked(&realm, &endpoint),
                may,
                "{realm} for {endpoint}"
            );
        }
    }

    const TABLE: &[(&str, &str, bool)] = &[
        (
            "https://auth.docker.io/token",
            "https://registry-1.docker.io",
            true,
        ),
        (
            "https://gitlab.com/jwt/auth",
            "https://registry.gitlab.com",
            true,
        ),
        ("https://r.example/token", "https://r.example:5000", true),
        ("https://r.example:8443/token", "https://r.example", true),
        (
            "https://evil.example/token",
            "https://registry-1.docker.io",
            false,
        ),
        (
            "https://docker.io.evil.example/token",
            "https://registry-1.docker.io",
            false,
        ),
        (
            "https://notdocker.io/token",
            "https://registry-1.docker.io",
            false,
        ),
        ("https://evil.co.uk/token", "https://registry.co.uk", false),
        (
            "https://auth.firm.co.uk/token",
            "https://registry.firm.co.uk",
            true,
        ),
        ("https://evil.com/token", "https://good.com", false),
        // Suffixes under which anybody registers.
        (
            "https://evil.github.io/token",
            "https://good.github.io",
            false,
        ),
        ("https://evil.gob.ar/token", "https://good.gob.ar", false),
        (
            "https://evil.kawasaki.jp/token",
            "https://good.kawasaki.jp",
            false,
        ),
        (
            "https://auth.corp.local/token",
            "https://registry.corp.local",
            true,
        ),
        (
            "https://auth.firm.example./token",
            "https://firm.example",
            true,
        ),
        ("https://co.uk/token", "https://registry.co.uk", false),
        (
            "http://auth.docker.io/token",
            "https://registry-1.docker.io",
            false,
        ),
        ("http://r.example/token", "http://r.example:5000", true),
        (
            "https://login.partner.example/token",
            "https://r.other",
            true,
        ),
        (
            "http://login.partner.example/token",
            "https://r.other",
            false,
        ),
        ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000", true),
        (
            "http://127.0.0.2:5001/token",
            "http://127.0.0.1:5000",
            false,
        ),
        ("http://10.0.0.1/token", "http://11.0.0.1", false),
        ("http://localhost:1/token", "http://localhost:2", true),
        ("http://a.localhost/token", "http://localhost", false),
        ("http://auth/token", "http://registry", false),
        ("http://[::1]:1/token", "http://[::1]:2", true),
    ];
}

use super::*;

#[test]
fn which_urls_stand_for_a_host() {
    for (host, bare, expected) in [
        (
            "https://r.example/v2/",
            true,
            "https://r.example/v2/ http://r.example/v2/ https://r.example/v1/ http://r.example/v1/",
        ),
        (
            "https://r.example:5000/v2/",
            true,
            "https://r.example:5000/v2/ http://r.example:5000/v2/ https://r.example:5000/v1/ http://r.example:5000/v1/",
        ),
        (
            "https://r.example/v2/",
            false,
            "https://r.example/v2/ https://r.example/v1/",
        ),
        (
            "http://r.example/a/v2/",
            false,
            "http://r.example/a/v2/ http://r.example/a/v1/",
        ),
        (
            "https://registry-1.docker.io/v2/",
            false,
            "https://registry-1.docker.io/v2/ https://index.docker.io/v1/",
        ),
        (
            "https://h.example/v2/hub/",
            false,
            "https://h.example/v2/hub/",
        ),
    ] {
        let found = urls(&Url::parse(host).unwrap(), bare);
        let shown: Vec<_> = found.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(shown.join(" "), expected, "{host}");
        for (url, version) in &found {
            assert!(url.path().contains(version.segment()), "{url}");
        }
    }
    assert_eq!(canonical("docker.io"), "registry-1.docker.io");
    assert_eq!(canonical("index.docker.io"), "registry-1.docker.io");
    assert_eq!(canonical("r.example:5000"), "r.example:5000");
}

#[test]
fn which_hosts_are_insecure() {
    let list = Insecure::parse([
        "10.1.0.0/16",
        "fd00::/8",
        "0.0.0.1/32",
        "Plain.example",
        "http://port.example:5000",
        "192.0.2.7:80",
        "2001:db8::7",
        "HTTPS://upper.example",
        "docker.io",
        "registry-1.docker.io",
    ])
    .unwrap();
    let nothing = Insecure::default();
    for (url, addresses, with_list, without) in [
        ("https://r.example/", "8.8.8.8", false, false),
        ("https://r.example/", "", false, false),
        ("https://r.example/", "8.8.8.8 10.1.2.3", true, false),
        ("https://r.example/", "::ffff:10.1.2.3", true, false),
        ("https://r.example/", "10.2.0.0", false, false),
        ("https://r.example/", "fd12::1", true, false),
        ("https://r.example/", "fe00::1", false, false),
        ("https://r.example/", "0.0.0.1", true, false),
        ("https://r.example/", "0.0.0.0", false, false),
        ("https://r.example/", "127.9.9.9", true, true),
        ("https://localhost/", "", true, true),
        ("https://localhost:5000/", "", true, true),
        ("https://plain.example/", "", true, false),
        ("https://plain.example:5000/", "", false, false),
        ("https://port.example:5000/", "", true, false),
        ("https://port.example/", "", false, false),
        ("https://192.0.2.7:80/", "192.0.2.7", true, false),
        ("https://[2001:db8::7]/", "2001:db8::7", true, false),
        ("https://[2001:db8::7]:5000/", "2001:db8::7", false, false),
        ("https://upper.example/", "", true, false),
        ("https://registry-1.docker.io/", "127.0.0.1", false, false),
        ("https://index.docker.io/", "10.1.2.3", false, false),
    ] {
        let url = Url::parse(url).unwrap();
        let addresses: Vec<IpAddr> = addresses
            .split_whitespace()
            .map(|a| a.parse().unwrap())
            .collect();
        assert_eq!(
            list.covers(&url, &addresses),
            with_list,
            "{url} {addresses:?}"
        );
        assert_eq!(
            nothing.covers(&url, &addresses),
            without,
            "{url} {addresses:?}"
        );
    }
    let all = Insecure::parse(["0.0.0.0/0"]).unwrap();
    let url = Url::parse("https://r.example/").unwrap();
    assert!(all.covers(&url, &["8.8.8.8".parse().unwrap()]));
    assert!(!all.covers(&url, &["2606::1".parse().unwrap()]));
}

#[test]
fn lists_that_are_refused() {
    for bad in [
        "",
        "-r.example",
        "r.example-",
        "mytest-.com",
        "a.-b.example",
        "ftp://r.example",
        "http://https://r.example",
        "r.example:65536",
        "r.example:",
        "r.example:x",
        "r.example/path",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "::/129",
        "user@r.example",
        "r example",
        "r.example?x",
    ] {
        let parsed = Insecure::parse([bad]);
        assert!(
            matches!(parsed, Err(Error::Config { .. })),
            "{bad}: {parsed:?}"
        );
    }
    for good in [
        "r.example",
        "r.example:0",
        "r.example:65535",
        "[::1]:5000",
        "::1",
        "HTTP://r.example",
        "::1/128",
    ] {
        assert!(Insecure::parse([good]).is_ok(), "{good}");
    }
}

use super::*;

#[test]
fn public_and_non_public() {
    for non_public in NON_PUBLIC {
        assert!(!is_public(non_public.parse().unwrap()), "{non_public}");
    }
    for public in PUBLIC {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

const NON_PUBLIC: &[&str] = &[
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.0.192",
    "198.18.0.1",
    "198.19.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "64:ff9b:1:a00:0:100::",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    // Teredo: client 10.0.0.1 of a public server, and a server that is private.
    "2001:0:808:808::f5ff:fffe",
    "2001:0:a00:1::f7f7:f7f7",
    "2606:4700::5efe:a00:1",
    "2606:4700::200:5efe:7f00:1",
    "100::1",
    "2001:2::1",
    "5f00::1",
];

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "168.63.129.17",
    "172.15.0.1",
    "172.32.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "11.0.0.1",
    "192.0.1.1",
    "192.169.0.1",
    "198.17.0.1",
    "198.20.0.1",
    "169.253.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:db8::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "64:ff9b:1::808:808",
    "2002:808:808::",
    "2001:0:808:808::f7f7:f7f7",
    "2606:4700::5efe:808:808",
];

#[test]
fn literals_however_written() {
    for (url, expected) in [
        ("http://127.1/", Some("127.0.0.1")),
        ("http://0x7f.1/", Some("127.0.0.1")),
        ("http://2130706433/", Some("127.0.0.1")),
        ("http://[::ffff:127.0.0.1]/", Some("::ffff:127.0.0.1")),
        ("https://registry.example/", None),
        ("https://localhost/", None),
    ] {
        let found = literal(&Url::parse(url).unwrap());
        assert_eq!(found, expected.map(|a| a.parse().unwrap()), "{url}");
    }
}

#[test]
fn what_a_list_admits() {
    let list = PrivateAddresses::parse(["10.1.0.0/16", "fd00::/8", "192.168.0.7", "Storage.corp"])
        .unwrap();
    for (host, address, admitted) in [
        ("cdn.example", "8.8.8.8", true),
        ("cdn.example", "10.1.2.3", true),
        ("cdn.example", "::ffff:10.1.2.3", true),
        ("cdn.example", "10.2.0.1", false),
        ("cdn.example", "fd12::1", true),
        ("cdn.example", "fc00::1", false),
        ("cdn.example", "192.168.0.7", true),
        ("cdn.example", "192.168.0.8", false),
        ("storage.corp", "192.168.0.8", true),
        ("evil.storage.corp", "192.168.0.8", false),
        ("cdn.example", "169.254.169.254", false),
    ] {
        let admits = list.admits(host, address.parse().unwrap());
        assert_eq!(admits, admitted, "{host} {address}");
    }
    for bad in [
        "",
        "10.0.0.0/33",
        "https://storage.corp",
        "storage.corp:9000",
        "a/b",
        "-a",
        "a b",
    ] {
        let parsed = PrivateAddresses::parse([bad]);
        assert!(
            matches!(parsed, Err(Error::Config { .. })),
            "{bad}: {parsed:?}"
        );
    }
}

#[test]
fn what_an_endpoint_implies() {
    for (endpoint, address, implied) in [
        ("http://127.0.0.1:5000/", "127.9.9.9", true),
        ("http://127.0.0.1:5000/", "::1", true),
        ("http://localhost:5000/", "127.0.0.1", true),
        ("http://[::1]:5000/", "127.0.0.1", true),
        ("http://[::ffff:127.0.0.1]/", "127.0.0.1", true),
        ("http://127.0.0.1:5000/", "10.0.0.1", false),
        ("http://127.0.0.1:5000/", "169.254.169.254", false),
        ("https://10.0.0.5/", "192.168.1.1", true),
        ("https://10.0.0.5/", "127.0.0.1", false),
        ("https://[fd00::5]/", "10.0.0.1", true),
        ("https://169.254.1.1/", "169.254.169.254", false),
        ("https://100.64.0.1/", "100.100.100.200", false),
        ("https://registry.corp/", "10.0.0.1", false),
        ("https://8.8.8.8/", "10.0.0.1", false),
    ] {
        let list = PrivateAddresses::implied_by(&Url::parse(endpoint).unwrap());
        let admits = list.admits("", address.parse().unwrap());
        assert_eq!(admits, implied, "{endpoint} {address}");
    }
}

/// Behind a proxy only the name is known here.
#[test]
fn names_that_a_proxy_may_be_asked_for() {
    let list = PrivateAddresses::parse(["10.0.0.0/8"]).unwrap();
    for (url, admitted) in [
        ("https://cdn.example/", true),
        ("http://10.0.0.1/", true),
        ("http://192.168.0.1/", false),
        ("http://[::1]/", false),
        ("http://localhost/", false),
        ("http://a.localhost/", false),
    ] {
        assert_eq!(
            list.admits_name(&Url::parse(url).unwrap()),
            admitted,
            "{url}"
        );
    }
    let local = PrivateAddresses::parse(["127.0.0.0/8"]).unwrap();
    assert!(local.admits_name(&Url::parse("http://localhost/").unwrap()));
}

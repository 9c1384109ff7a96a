//! Non-public addresses, and which of them an upstream may point to (pure).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::Error;

/// Non-public addresses that redirects, token endpoints and foreign layer URLs may lead to: networks, and hosts whatever
/// their addresses.
///
/// ```
/// use longshore_puller::PrivateAddresses;
///
/// let private = PrivateAddresses::parse(["10.0.0.0/8", "storage.corp"])?;
/// # Ok::<(), longshore_puller::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrivateAddresses {
    networks: Vec<IpNet>,
    /// Lower case, without port.
    names: Vec<String>,
}

impl PrivateAddresses {
    /// Reads networks (`10.0.0.0/8`), addresses (`10.0.0.7`) and host names (`storage.corp`).
    ///
    /// # Errors
    /// [`Error::Config`] for anything else.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let bad = || Error::config("private_addresses", "neither a network nor a host name");
        let mut list = Self::default();
        for entry in entries {
            let address = entry.trim_start_matches('[').trim_end_matches(']');
            if let Ok(network) = entry.parse() {
                list.networks.push(network);
            } else if let Ok(address) = address.parse::<IpAddr>() {
                list.networks.push(address.to_canonical().into());
            } else {
                list.names.push(name(entry).ok_or_else(bad)?);
            }
        }
        Ok(list)
    }

    /// What an endpoint given by its address implies: others of the same kind. One given by name implies nothing, as its
    /// addresses are not part of the configuration.
    pub(crate) fn implied_by(endpoint: &Url) -> Self {
        let address = match endpoint.host() {
            Some(Host::Domain("localhost")) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => match literal(endpoint) {
                Some(address) => address.to_canonical(),
                None => return Self::default(),
            },
        };
        let kinds: [&[IpNet]; 2] = [&LOOPBACK, &SITE];
        let kind = kinds
            .into_iter()
            .find(|kind| kind.iter().any(|network| network.contains(&address)));
        Self {
            networks: kind.map(<[IpNet]>::to_vec).unwrap_or_default(),
            names: Vec::new(),
        }
    }

    /// Both lists.
    #[must_use]
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.networks.extend_from_slice(&other.networks);
        self.names.extend_from_slice(&other.names);
        self
    }

    /// Whether `address` of `host` may be connected to.
    pub(crate) fn admits(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || self.names_host(host) || self.contains(address)
    }

    /// Whether `host` may be asked by a proxy, which alone knows its addresses.
    pub(crate) fn admits_name(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(host)) => {
                let is_local = host == "localhost" || host.ends_with(".localhost");
                !is_local || self.names_host(host) || self.contains(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
            Some(Host::Ipv4(v4)) => self.admits("", v4.into()),
            Some(Host::Ipv6(v6)) => self.admits("", v6.into()),
            None => false,
        }
    }

    fn names_host(&self, host: &str) -> bool {
        self.names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// A host name as URLs have it.
fn name(entry: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{entry}/")).ok()?;
    match url.host()? {
        Host::Domain(name)
            if entry.eq_ignore_ascii_case(name)
                && !name.starts_with('-')
                && !name.ends_with('-') =>
        {
            Some(name.to_owned())
        }
        _ => None,
    }
}

/// The address a URL names literally; `None` for a host name.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
        Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
        Host::Domain(_) => None,
    }
}

/// Whether `address` can be a host of the internet: not loopback, link-local, private, shared, reserved, multicast, or the
/// metadata service of a cloud, nor an IPv6 address that carries such an IPv4 address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    !NON_PUBLIC_V4.iter().any(|network| network.contains(&v4))
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    if NON_PUBLIC_V6.iter().any(|network| network.contains(&v6)) {
        return false;
    }
    let embedded =
        |hi: u16, lo: u16| is_public_v4(Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo)));
    match v6.segments() {
        // ::ffff:a.b.c.d mapped, ::a.b.c.d compatible, 64:ff9b::a.b.c.d NAT64 (RFC 6052), 64:ff9b:1::a.b.c.d (RFC 8215).
        [0, 0, 0, 0, 0, 0xffff | 0, hi, lo] | [0x64, 0xff9b, 0 | 1, 0, 0, 0, hi, lo] => {
            embedded(hi, lo)
        }
        // The prefix for local use has other layouts too, which only the network knows.
        [0x64, 0xff9b, 1, ..] => false,
        // Teredo: the server, and the client with its bits inverted.
        [0x2001, 0, server_hi, server_lo, _, _, hi, lo] => {
            embedded(server_hi, server_lo) && embedded(!hi, !lo)
        }
        [0x2002, hi, lo, ..] => embedded(hi, lo),
        // ISATAP, by its interface identifier.
        [_, _, _, _, 0 | 0x200, 0x5efe, hi, lo] => embedded(hi, lo),
        _ => true,
    }
}

const fn v4(address: [u8; 4], bits: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(start: [u16; 3], bits: u8) -> Ipv6Net {
    let [a, b, c] = start;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

const LOOPBACK: [IpNet; 3] = [
    IpNet::V4(v4([127, 0, 0, 0], 8)),
    IpNet::V4(v4([0, 0, 0, 0], 32)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Private networks (RFC 1918) and unique local addresses (RFC 4193).
const SITE: [IpNet; 4] = [
    IpNet::V4(v4([10, 0, 0, 0], 8)),
    IpNet::V4(v4([172, 16, 0, 0], 12)),
    IpNet::V4(v4([192, 168, 0, 0], 16)),
    IpNet::V6(v6([0xfc00, 0, 0], 7)),
];

const NON_PUBLIC_V4: [Ipv4Net; 13] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    // Shared by carriers (RFC 6598); some clouds keep their metadata service there.
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    // Azure's metadata and DNS.
    v4([168, 63, 129, 16], 32),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    // Protocol assignments (RFC 6890).
    v4([192, 0, 0, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    // Benchmarks (RFC 2544).
    v4([198, 18, 0, 0], 15),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

const NON_PUBLIC_V6: [Ipv6Net; 9] = [
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    // Discarded (RFC 6666).
    v6([0x100, 0, 0], 64),
    // Benchmarks (RFC 5180).
    v6([0x2001, 2, 0], 48),
    v6([0xfc00, 0, 0], 7),
    v6([0xfe80, 0, 0], 10),
    // Site-local, deprecated.
    v6([0xfec0, 0, 0], 10),
    v6([0xff00, 0, 0], 8),
    // Segment routing (RFC 9602).
    v6([0x5f00, 0, 0], 16),
];

#[cfg(test)]
mod tests;

//! IP families, protocols, and the API's way of writing addresses.
//!
//! Old Kubernetes API servers accepted IPv4 octets and prefix lengths with leading zeros, and
//! read them as decimal. Such objects are still stored in clusters, and the standard library
//! refuses them, so every address that comes from the API is read here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

/// An IP family. Each has its own cluster IPs, endpoint slices and kernel tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// The family an address belongs to.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The family a network belongs to.
    pub fn of_net(net: IpNet) -> Family {
        Family::of(net.addr())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// Something that each family has one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByFamily<T> {
    /// IPv4's.
    pub v4: T,
    /// IPv6's.
    pub v6: T,
}

impl<T> ByFamily<T> {
    /// A family's.
    pub fn of(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// A family's, to change it.
    pub fn of_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// A transport protocol a Service can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the default of a Service port.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The lower-case name that rules and listings use.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    /// The protocol number of the IP header (IANA).
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that is not an address or a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not an IP address in any accepted form.
    #[error("{0:?} is not an IP address")]
    NotAnAddress(String),
    /// Not a network in CIDR notation.
    #[error("{0:?} is not a network in CIDR notation (an example: 10.0.0.0/8)")]
    NotANetwork(String),
}

/// Reads an address as the Kubernetes API does: leading zeros in IPv4 octets are decimal, and
/// an IPv4-mapped IPv6 address is the IPv4 address.
pub fn parse_ip(text: &str) -> Result<IpAddr, AddressError> {
    let parsed = parse_ipv4(text)
        .map(IpAddr::V4)
        .or_else(|| parse_ipv6(text).map(unmap));
    parsed.ok_or_else(|| AddressError::NotAnAddress(text.to_owned()))
}

/// Reads a network as the Kubernetes API does and returns it masked: `203.0.113.7/025` is
/// `203.0.113.0/25`.
pub fn parse_net(text: &str) -> Result<IpNet, AddressError> {
    let error = || AddressError::NotANetwork(text.to_owned());
    let (address, length) = text.split_once('/').ok_or_else(error)?;
    let decimal = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length: u8 = if decimal {
        length.parse().map_err(|_| error())?
    } else {
        return Err(error());
    };
    let net = match (
        parse_ip(address).map_err(|_| error())?,
        address.contains(':'),
    ) {
        // An IPv4-mapped network counts its prefix length from the start of the 128 bits.
        (IpAddr::V4(v4), true) => {
            Ipv4Net::new(v4, length.checked_sub(96).ok_or_else(error)?).map(IpNet::V4)
        }
        (IpAddr::V4(v4), false) => Ipv4Net::new(v4, length).map(IpNet::V4),
        (IpAddr::V6(v6), _) => Ipv6Net::new(v6, length).map(IpNet::V6),
    };
    Ok(net.map_err(|_| error())?.trunc())
}

fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// The last 32 bits may be written as IPv4, with leading zeros too.
fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    match text.rsplit_once(':')? {
        (head, tail) if tail.contains('.') => format!("{head}:{}", parse_ipv4(tail)?).parse().ok(),
        _ => text.parse().ok(),
    }
}

fn unmap(address: Ipv6Addr) -> IpAddr {
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_decimal() {
        for (text, canonical) in [
            ("172.30.0.041", "172.30.0.41"),
            ("10.180.00.001", "10.180.0.1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("::ffff:01.2.3.004", "1.2.3.4"),
            ("64:ff9b::192.000.2.1", "64:ff9b::c000:201"),
        ] {
            assert_eq!(parse_ip(text).unwrap().to_string(), canonical);
        }
        assert_eq!(
            parse_net("203.0.113.000/025").unwrap().to_string(),
            "203.0.113.0/25"
        );
        assert_eq!(
            parse_net("fd00:10::1/64").unwrap().to_string(),
            "fd00:10::/64"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_text() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.4/24",
            "a.b.c.d",
            "+1.2.3.4",
            "fe80::1%eth0",
        ] {
            assert_eq!(
                parse_ip(text),
                Err(AddressError::NotAnAddress(text.to_owned()))
            );
        }
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "fd00::/129",
            "/8",
        ] {
            assert_eq!(
                parse_net(text),
                Err(AddressError::NotANetwork(text.to_owned()))
            );
        }
    }
}

//! Builds networks: veth pairs, addresses and routes, as ip(8) would.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;

use super::Rtnetlink;
use super::rtnetlink::IFINFOMSG;
use crate::error::CallError;
use crate::netlink::Request;

/// `VETH_INFO_PEER` (linux/veth.h).
const VETH_INFO_PEER: u16 = 1;

/// What makes a request fail with `EEXIST` instead of changing what is there.
const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// A route, written as ip-route(8) has it: `Route::to(net).via(gateway)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    destination: IpNet,
    gateway: Option<IpAddr>,
    link: Option<&'a str>,
    source: Option<IpAddr>,
    local: bool,
}

impl<'a> Route<'a> {
    /// A route to a network.
    pub fn to(destination: IpNet) -> Self {
        Self {
            destination,
            gateway: None,
            link: None,
            source: None,
            local: false,
        }
    }

    /// The addresses of a network are this host's own, as with `ip route add local`; through
    /// `lo` it answers for all of them.
    pub fn local(destination: IpNet) -> Self {
        Self {
            local: true,
            ..Self::to(destination)
        }
    }

    /// Through this router.
    #[must_use]
    pub fn via(self, gateway: IpAddr) -> Self {
        Self {
            gateway: Some(gateway),
            ..self
        }
    }

    /// Through the device of this name.
    #[must_use]
    pub fn dev(self, link: &'a str) -> Self {
        Self {
            link: Some(link),
            ..self
        }
    }

    /// Connections of this host use this address of its own.
    #[must_use]
    pub fn src(self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }

    /// `struct rtmsg` (linux/rtnetlink.h).
    fn rtmsg(&self) -> [u8; 12] {
        let (table, scope, kind) = match (self.local, self.gateway) {
            (true, _) => (libc::RT_TABLE_LOCAL, libc::RT_SCOPE_HOST, libc::RTN_LOCAL),
            (_, None) => (libc::RT_TABLE_MAIN, libc::RT_SCOPE_LINK, libc::RTN_UNICAST),
            (_, Some(_)) => (
                libc::RT_TABLE_MAIN,
                libc::RT_SCOPE_UNIVERSE,
                libc::RTN_UNICAST,
            ),
        };
        let (family, prefix_len) = (
            family(self.destination.addr()),
            self.destination.prefix_len(),
        );
        let protocol = libc::RTPROT_BOOT;
        [
            family, prefix_len, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0,
        ]
    }
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            if self.local { "local " } else { "" },
            self.destination
        )?;
        self.gateway
            .map_or(Ok(()), |gateway| write!(f, " via {gateway}"))?;
        self.link.map_or(Ok(()), |link| write!(f, " dev {link}"))?;
        self.source
            .map_or(Ok(()), |source| write!(f, " src {source}"))
    }
}

impl Rtnetlink {
    /// Makes a pair of devices: one here, and its peer in another network namespace. Both are
    /// down.
    pub fn add_veth(
        &mut self,
        name: &str,
        peer: &str,
        peer_netns: impl AsFd,
    ) -> Result<(), CallError> {
        let netns = peer_netns.as_fd().as_raw_fd().cast_unsigned();
        let request = add(libc::RTM_NEWLINK, "RTM_NEWLINK veth", name);
        self.socket.request(&request, |body| {
            body.raw(&[0; IFINFOMSG]);
            body.string(libc::IFLA_IFNAME, name);
            body.nest(libc::IFLA_LINKINFO, |info| {
                info.string(libc::IFLA_INFO_KIND, "veth");
                info.nest(libc::IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |other| {
                        other.raw(&[0; IFINFOMSG]);
                        other.string(libc::IFLA_IFNAME, peer);
                        other.u32(libc::IFLA_NET_NS_FD, netns);
                    });
                });
            });
        })
    }

    /// Removes a device; `false` when there is none of this name.
    pub fn remove_link(&mut self, link: &str) -> Result<bool, CallError> {
        let request = Request {
            flags: 0,
            ..add(libc::RTM_DELLINK, "RTM_DELLINK", link)
        };
        let removed = self.socket.request(&request, |body| {
            body.raw(&[0; IFINFOMSG]);
            body.string(libc::IFLA_IFNAME, link);
        });
        match removed {
            Err(error) if error.errno == libc::ENODEV => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    /// Sets a device up.
    pub fn set_up(&mut self, link: &str) -> Result<(), CallError> {
        let index = self.link_index(link)?;
        let request = Request {
            flags: 0,
            ..add(libc::RTM_NEWLINK, "RTM_NEWLINK up", link)
        };
        let mut ifinfomsg = [0; IFINFOMSG];
        ifinfomsg[4..8].copy_from_slice(&index.to_ne_bytes());
        // The flags, and which of them to change.
        ifinfomsg[8..12].copy_from_slice(&libc::IFF_UP.to_ne_bytes());
        ifinfomsg[12..].copy_from_slice(&libc::IFF_UP.to_ne_bytes());
        self.socket.request(&request, |body| body.raw(&ifinfomsg))
    }

    /// Gives a device an address and a route to its network. An IPv6 address is good at once:
    /// nobody is asked whether they have it already (`nodad`).
    pub fn add_address(&mut self, link: &str, address: IpNet) -> Result<(), CallError> {
        let index = self.link_index(link)?.to_ne_bytes();
        let ip = address.addr();
        let what = format!("{address} dev {link}");
        let scope = if ip.is_loopback() {
            libc::RT_SCOPE_HOST
        } else {
            libc::RT_SCOPE_UNIVERSE
        };
        let flags = libc::IFA_F_NODAD as u8;
        self.socket
            .request(&add(libc::RTM_NEWADDR, "RTM_NEWADDR", &what), |body| {
                body.raw(&[family(ip), address.prefix_len(), flags, scope]);
                body.raw(&index);
                body.ip(libc::IFA_LOCAL, ip);
                body.ip(libc::IFA_ADDRESS, ip);
            })
    }

    /// Takes an address from a device.
    pub fn remove_address(&mut self, link: &str, address: IpNet) -> Result<(), CallError> {
        let index = self.link_index(link)?.to_ne_bytes();
        let what = format!("{address} dev {link}");
        let request = Request {
            flags: 0,
            ..add(libc::RTM_DELADDR, "RTM_DELADDR", &what)
        };
        self.socket.request(&request, |body| {
            body.raw(&[family(address.addr()), address.prefix_len(), 0, 0]);
            body.raw(&index);
            body.ip(libc::IFA_LOCAL, address.addr());
        })
    }

    /// Adds a route.
    pub fn add_route(&mut self, route: &Route<'_>) -> Result<(), CallError> {
        let index = route.link.map(|link| self.link_index(link)).transpose()?;
        let what = route.to_string();
        self.socket
            .request(&add(libc::RTM_NEWROUTE, "RTM_NEWROUTE", &what), |body| {
                body.raw(&route.rtmsg());
                body.ip(libc::RTA_DST, route.destination.network());
                if let Some(gateway) = route.gateway {
                    body.ip(libc::RTA_GATEWAY, gateway);
                }
                if let Some(index) = index {
                    body.u32(libc::RTA_OIF, index);
                }
                if let Some(source) = route.source {
                    body.ip(libc::RTA_PREFSRC, source);
                }
            })
    }
}

fn add<'a>(kind: u16, call: &'static str, object: &'a str) -> Request<'a> {
    Request {
        kind,
        flags: CREATE,
        call,
        object,
    }
}

pub(super) fn family(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

//! What this host offers.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, bail};
use ipnet::IpNet;
use tracing::{info, warn};

use fairlead_backends::leftovers::{self, InCharge, Places, Removal, SERVICE_DEVICE};
use fairlead_core::address::Family;
use fairlead_core::parameters::IPVS_CONNTRACK;
use fairlead_kernel::error::CallError;
use fairlead_kernel::features::{Features, NFTABLES_MINIMUM};
use fairlead_kernel::ipset::Ipset;
use fairlead_kernel::ipvs::socket::IpvsSocket;
use fairlead_kernel::link::{Address, AddressMonitor, Addresses, Rtnetlink};
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::routing::PolicyRouting;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};

use crate::config::Mode;

/// Checks that the kernel can do what is needed. Returns the families that can be served.
pub(super) fn prepare(mode: Mode) -> anyhow::Result<Vec<Family>> {
    let features = Features::probe(&ProcSys);
    // There is an iptables that does without nf_tables.
    if let (Mode::Nftables, Err(reason)) = (mode, &features.nf_tables) {
        bail!("{mode} mode cannot run here: {reason}");
    }
    if !features.net_admin {
        bail!(
            "{mode} mode cannot run here: the capability CAP_NET_ADMIN is missing; run as root, or add it"
        );
    }
    let is_old = |version| version < NFTABLES_MINIMUM;
    if mode == Mode::Nftables && features.version.is_some_and(is_old) {
        warn!(
            "Linux {} is older than {NFTABLES_MINIMUM}, before which nftables mode is not reliable",
            features.release
        );
    }
    let families = if features.ipv6 {
        Family::BOTH.to_vec()
    } else {
        vec![Family::V4]
    };
    let names: Vec<String> = families.iter().map(ToString::to_string).collect();
    info!(
        "Linux {}, serving {}",
        features.release,
        names.join(" and ")
    );
    Ok(families)
}

/// Removes what kube-proxy left on this host, and what other modes did, but for what the mode
/// that runs is in charge of, and virtual servers in networks that are `others`'.
pub(crate) fn remove_leftovers(
    in_charge: Option<InCharge>,
    others: &[IpNet],
) -> anyhow::Result<Removal> {
    let mut nft = NftSocket::open_if_known()
        .context("cannot talk to nf_tables, which needs root or the capability CAP_NET_ADMIN")?;
    let mut sets = Ipset::open_if_loaded().context("cannot talk to the kernel about sets")?;
    let mut links = Rtnetlink::open().context("cannot talk to the kernel about devices")?;
    let mut routing = PolicyRouting::open().context("cannot talk to the kernel about routing")?;
    let is_left = in_charge != Some(InCharge::Ipvs) && links.find_link(SERVICE_DEVICE)?.is_some();
    let places = Places {
        nft: nft.as_mut(),
        sets: sets.as_mut(),
        ipvs: (is_left && has_ipvs()).then(IpvsSocket::open),
        links: &mut links,
        routing: &mut routing,
    };
    Ok(leftovers::remove(places, in_charge, others))
}

/// Whether the kernel has IPVS already. To ask it would load the module.
fn has_ipvs() -> bool {
    ProcSys.read(IPVS_CONNTRACK).is_ok()
}

/// The addresses this host has, followed as they change.
#[derive(Debug)]
pub(super) struct HostAddresses {
    monitor: AddressMonitor,
    all: Vec<IpAddr>,
    /// Whether they could not be listed since they changed.
    missed: bool,
}

impl HostAddresses {
    /// Those of the network namespace of the calling thread.
    pub(super) fn open() -> anyhow::Result<HostAddresses> {
        Ok(HostAddresses {
            monitor: AddressMonitor::open(SERVICE_DEVICE)
                .context("cannot watch this host's addresses")?,
            all: addresses().context("cannot list this host's addresses")?,
            missed: false,
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> &[IpAddr] {
        &self.all
    }

    /// Whether they are others than at the last call.
    pub(super) fn changed(&mut self) -> bool {
        match self.monitor.drain() {
            Ok(changed) => self.missed |= changed,
            Err(error) => {
                warn!("changes of this host's addresses may be missed: {error}");
                self.missed = true;
            }
        }
        self.missed && self.list()
    }

    fn list(&mut self) -> bool {
        match addresses() {
            Ok(all) => {
                self.missed = false;
                std::mem::replace(&mut self.all, all) != self.all
            }
            Err(error) => {
                warn!(
                    "this host's addresses are not known anew: {error}; they are listed again with the next change"
                );
                false
            }
        }
    }
}

impl AsFd for HostAddresses {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

/// The addresses this host has now, without those of loopback devices' own networks, nor those of
/// Services: whichever mode runs, another may have left its device.
pub(crate) fn addresses() -> Result<Vec<IpAddr>, CallError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let addresses = rtnetlink.addresses()?;
    // Asked for afterwards: if the device comes in between, its addresses are not in the list.
    let device = rtnetlink.find_link(SERVICE_DEVICE)?;
    Ok(own(addresses, device))
}

/// Those that are not the device's that holds Services'. A host may have its own on a loopback
/// device.
fn own(addresses: Vec<Address>, device: Option<u32>) -> Vec<IpAddr> {
    let all = addresses.into_iter();
    all.filter(|address| Some(address.link) != device)
        .map(|address| address.ip)
        .filter(|ip| !ip.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use fairlead_kernel::link::Scope;

    use super::*;

    const LOOPBACK: u32 = 1;
    const DEVICE: u32 = 7;

    #[test]
    fn addresses_are_the_hosts_own_wherever_they_are_but_on_the_service_device() {
        for (all, expected) in [
            (&[][..], &[][..]),
            (&[(LOOPBACK, "127.0.0.1"), (LOOPBACK, "::1")], &[]),
            (&[(DEVICE, "10.96.0.1"), (DEVICE, "fd00::1")], &[]),
            (&[(LOOPBACK, "198.51.100.1")], &["198.51.100.1"]),
            (
                &[(2, "192.0.2.1"), (3, "2001:db8::1"), (3, "fe80::1")],
                &["192.0.2.1", "2001:db8::1", "fe80::1"],
            ),
            (
                &[(2, "192.0.2.1"), (2, "192.0.2.2"), (DEVICE, "10.96.0.1")],
                &["192.0.2.1", "192.0.2.2"],
            ),
            // The host has it besides.
            (&[(2, "10.96.0.1"), (DEVICE, "10.96.0.1")], &["10.96.0.1"]),
        ] {
            let address = |(link, ip): &(u32, &str)| Address {
                ip: ip.parse().unwrap(),
                prefix_len: 24,
                scope: Scope::Global,
                link: *link,
                loopback: *link == LOOPBACK,
            };
            let found = own(all.iter().map(address).collect(), Some(DEVICE));
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{all:?}");
        }
    }
}

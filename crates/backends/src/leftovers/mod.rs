//! What kube-proxy left on this node: its rules would go on deciding where connections go, as the
//! cluster was when it ended.
//!
//! In its nftables mode that is a table of its own; in its iptables and ipvs modes, where
//! `iptables` is the one that writes nf_tables, chains in the tables of `iptables` and the rules
//! that jump to them; in its ipvs mode also sets that those look into, virtual servers, and a device
//! with their addresses. Only where there is that device are virtual servers touched. Chains that the kubelet
//! shares stay: KUBE-FIREWALL, KUBE-KUBELET-CANARY and KUBE-IPTABLES-HINT.

mod chains;
mod ipvs;

use ipnet::IpNet;
use thiserror::Error;

use fairlead_kernel::ipset::Ipset;
use fairlead_kernel::iptables::info::{self, TableInfo, TableSize};
use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::ruleset::Table;
use fairlead_kernel::ipvs::handle::Ipvs;
use fairlead_kernel::ipvs::module::OpenError;
use fairlead_kernel::link::Rtnetlink;
use fairlead_kernel::nft::handle::{CallError, CommitError};
use fairlead_kernel::nft::ruleset::{Family, TableId};
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::routing::PolicyRouting;

use crate::engine::SyncError;
use crate::{iptables, userspace};

/// The table of kube-proxy's nftables mode.
const KUBE_PROXY: &str = "kube-proxy";

/// The table of our own.
const FAIRLEAD: &str = crate::nftables::schema::TABLE;

/// The device of ipvs mode, kube-proxy's and ours, which has the addresses of Services. Without
/// them no packet finds the virtual servers.
pub const SERVICE_DEVICE: &str = "kube-ipvs0";

/// The tables of `iptables` that kube-proxy writes to.
const IPTABLES: [&str; 3] = ["nat", "filter", "mangle"];

/// Leftovers that could not be removed.
#[derive(Debug, Error)]
pub enum LeftoversError {
    /// The kernel could not be asked.
    #[error("cannot look for what kube-proxy left: {0}")]
    Observe(#[from] CallError),
    /// The kernel would not remove them.
    #[error("cannot remove what kube-proxy left: {0}")]
    Remove(#[from] CommitError),
    /// Rules of other programs look into them. All others are destroyed.
    #[error("other rules look into {0}")]
    SetsInUse(String),
    /// IPVS could not be asked.
    #[error("cannot look for virtual servers: {0}")]
    Open(#[from] OpenError),
    /// IPVS would not remove virtual servers. All others are removed.
    #[error("{left} virtual servers are left, the first because of: {first}")]
    Servers {
        /// How many there are.
        left: usize,
        /// Why the first was not removed.
        first: CallError,
    },
    /// All else is removed.
    #[error("rules of other programs lead to {0}: they stay, empty")]
    Kept(String),
    /// The kernel would not remove rules or routes.
    #[error("cannot remove rules and routes of a mark: {0}")]
    Routing(userspace::ApplyError),
    /// They are in tables that programs write, and those failed.
    #[error(transparent)]
    Programs(#[from] SyncError),
}

/// What became of what kube-proxy left.
#[derive(Debug, Default)]
pub struct Removal {
    /// Where something was that is gone.
    pub removed: Vec<String>,
    /// Where something stays, and why.
    pub failures: Vec<(String, LeftoversError)>,
}

impl Removal {
    fn note(&mut self, place: String, result: Result<bool, LeftoversError>) {
        match result {
            Ok(true) => self.removed.push(place),
            Ok(false) => {}
            Err(error) => self.failures.push((place, error)),
        }
    }
}

/// What the mode that runs is in charge of. It stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InCharge {
    /// The tables of our nftables mode.
    Nftables,
    /// kube-proxy's chains in the iptables of nf_tables.
    IptablesNft,
    /// kube-proxy's chains in legacy iptables.
    IptablesLegacy,
    /// Virtual servers, the device with their addresses, and the tables of our nftables mode.
    Ipvs,
    /// The tables of our nftables mode, and routing by a mark.
    Userspace,
}

/// The parts of the kernel in which something may have been left.
#[derive(Debug)]
pub struct Places<'a, I> {
    /// nf_tables; `None` if this kernel has none.
    pub nft: Option<&'a mut NftSocket>,
    /// Sets; `None` if this kernel has none.
    pub sets: Option<&'a mut Ipset>,
    /// IPVS, as far as it could be opened; `None` if this kernel has none, and where there is no
    /// [`SERVICE_DEVICE`].
    pub ipvs: Option<Result<I, OpenError>>,
    /// Devices.
    pub links: &'a mut Rtnetlink,
    /// Routing by a mark.
    pub routing: &'a mut PolicyRouting,
}

/// Removes what kube-proxy left, and what other modes of ours did, but for virtual servers with
/// addresses in networks that are others'. What stays in one place keeps nothing in another, but
/// for the device, which stays with the virtual servers and tells of them.
pub fn remove<I: Ipvs>(
    places: Places<'_, I>,
    in_charge: Option<InCharge>,
    others: &[IpNet],
) -> Removal {
    let mut removal = Removal::default();
    if let Some(nft) = places.nft {
        remove_tables(nft, in_charge, &mut removal);
    }
    if in_charge != Some(InCharge::IptablesLegacy) {
        let place = "what iptables mode left: rules of legacy iptables".to_owned();
        removal.note(place, remove_legacy());
    }
    // Rules look into them, and had to go first.
    if let Some(sets) = places.sets {
        let place = "what kube-proxy left: sets of ipvs mode".to_owned();
        removal.note(place, ipvs::destroy_sets(sets));
    }
    if in_charge != Some(InCharge::Ipvs) {
        remove_ipvs(places.ipvs, places.links, others, &mut removal);
    }
    if in_charge != Some(InCharge::Userspace) {
        let place = "what userspace mode left: routing by a mark".to_owned();
        let removed = userspace::remove_routing(places.routing);
        removal.note(place, removed.map_err(LeftoversError::Routing));
    }
    removal
}

fn remove_ipvs<I: Ipvs>(
    ipvs: Option<Result<I, OpenError>>,
    links: &mut Rtnetlink,
    others: &[IpNet],
    removal: &mut Removal,
) {
    let removed = ipvs.map_or(Ok(false), |opened| {
        ipvs::remove_servers(&mut opened?, others)
    });
    let failed = removed.is_err();
    removal.note("what ipvs mode left: virtual servers".to_owned(), removed);
    if !failed {
        let device = links.remove_link(SERVICE_DEVICE);
        removal.note(
            format!("what ipvs mode left: device {SERVICE_DEVICE}"),
            device.map_err(LeftoversError::from),
        );
    }
}

fn remove_tables(nft: &mut NftSocket, in_charge: Option<InCharge>, removal: &mut Removal) {
    let of_iptables = IPTABLES
        .into_iter()
        .filter(|_| in_charge != Some(InCharge::IptablesNft));
    let is_used = matches!(
        in_charge,
        Some(InCharge::Nftables | InCharge::Ipvs | InCharge::Userspace)
    );
    let ours = Some(FAIRLEAD).filter(|_| !is_used);
    let tables: Vec<_> = of_iptables.chain([KUBE_PROXY]).chain(ours).collect();
    for family in [Family::Ip, Family::Ip6] {
        for name in tables.iter().copied() {
            let whose = whose(name);
            let place = format!("what {whose} left: table {} {name}", family_name(family));
            removal.note(place, chains::remove_from(nft, TableId { family, name }));
        }
    }
}

/// Whose a table, or what we look for in it, is. Nobody can tell kube-proxy's chains from ours.
fn whose(table: &str) -> &'static str {
    match table {
        FAIRLEAD => "nftables mode",
        KUBE_PROXY => "kube-proxy",
        _ => "iptables mode",
    }
}

/// False if there are none.
fn remove_legacy() -> Result<bool, LeftoversError> {
    let families = [Family::Ip, Family::Ip6].into_iter();
    let used: Vec<Family> = families.filter(|family| uses_legacy(*family)).collect();
    if used.is_empty() {
        return Ok(false);
    }
    let mut legacy = LegacyIptables::open(&used, iptables::is_kube_proxys)?;
    Ok(iptables::remove(&mut legacy, &used)?)
}

/// Whether there are rules in a table that we write. The kernel is asked of no table that nobody
/// uses: it would make one.
fn uses_legacy(family: Family) -> bool {
    let has_rules = |table: Table| {
        if !info::registered(family, table)? {
            return Ok(false);
        }
        let size = TableInfo::open(family)?.size(table)?;
        Ok::<_, CallError>(size.is_some_and(|size| size.entries > TableSize::empty(table)))
    };
    // What cannot be asked is looked at.
    Table::ALL
        .into_iter()
        .any(|table| has_rules(table).unwrap_or(true))
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
    }
}

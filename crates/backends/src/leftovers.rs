//! What kube-proxy left on this node: its rules would go on deciding where connections go, as the
//! cluster was when it ended.
//!
//! In its nftables mode that is a table of its own; in its iptables and ipvs modes, where
//! `iptables` is the one that writes nf_tables, chains in the tables of `iptables` and the rules
//! that jump to them; in its ipvs mode also a device with all cluster IPs. Chains that the kubelet
//! shares stay: KUBE-FIREWALL, KUBE-KUBELET-CANARY and KUBE-IPTABLES-HINT.

use thiserror::Error;

use fairlead_kernel::iptables::info::{self, TableInfo, TableSize};
use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::ruleset::Table;
use fairlead_kernel::link::Rtnetlink;
use fairlead_kernel::nft::handle::{CallError, CommitError, Nft};
use fairlead_kernel::nft::ruleset::{Batch, ChainName, Family, Op, TableId};
use fairlead_kernel::nft::socket::{Jump, NftSocket};

use crate::engine::SyncError;
use crate::iptables;

/// The table of kube-proxy's nftables mode.
const KUBE_PROXY: &str = "kube-proxy";

/// The table of our own.
const FAIRLEAD: &str = crate::nftables::schema::TABLE;

/// The device of ipvs mode, kube-proxy's and ours, which has the addresses of Services. Without
/// them no packet finds the virtual servers.
pub const SERVICE_DEVICE: &str = "kube-ipvs0";

/// The tables of `iptables` that kube-proxy writes to.
const IPTABLES: [&str; 3] = ["nat", "filter", "mangle"];

/// How the chains begin that it had in older releases, and those of its ipvs mode, beside those of
/// iptables mode.
const OLDER: [&str; 5] = [
    "KUBE-XLB-",
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-",
];

/// Leftovers that could not be removed.
#[derive(Debug, Error)]
pub enum LeftoversError {
    /// The kernel could not be asked.
    #[error("cannot look for what kube-proxy left: {0}")]
    Observe(#[from] CallError),
    /// The kernel would not remove them.
    #[error("cannot remove what kube-proxy left: {0}")]
    Remove(#[from] CommitError),
    /// All else is removed.
    #[error("rules of other programs lead to {0}: they stay, empty")]
    Kept(String),
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

/// The rules that the mode that runs is in charge of. They stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InCharge {
    /// The tables of our nftables mode.
    Nftables,
    /// kube-proxy's chains in the iptables of nf_tables.
    IptablesNft,
    /// kube-proxy's chains in legacy iptables.
    IptablesLegacy,
    /// Virtual servers, the device with their addresses, and the table that goes with them.
    Ipvs,
}

/// Removes what kube-proxy left, and what other modes of ours did. What stays in one place keeps
/// nothing in another.
/// Without `nft`, this kernel has no nf_tables.
pub fn remove(
    nft: Option<&mut NftSocket>,
    links: &mut Rtnetlink,
    in_charge: Option<InCharge>,
) -> Removal {
    let mut removal = Removal::default();
    if in_charge != Some(InCharge::Ipvs) {
        let device = links.remove_link(SERVICE_DEVICE);
        removal.note(
            format!("what kube-proxy left: device {SERVICE_DEVICE}"),
            device.map_err(LeftoversError::from),
        );
    }
    if let Some(nft) = nft {
        remove_tables(nft, in_charge, &mut removal);
    }
    if in_charge != Some(InCharge::IptablesLegacy) {
        let place = "what iptables mode left: rules of legacy iptables".to_owned();
        removal.note(place, remove_legacy());
    }
    removal
}

fn remove_tables(nft: &mut NftSocket, in_charge: Option<InCharge>, removal: &mut Removal) {
    let of_iptables = IPTABLES
        .into_iter()
        .filter(|_| in_charge != Some(InCharge::IptablesNft));
    let has_table = [Some(InCharge::Nftables), Some(InCharge::Ipvs)].contains(&in_charge);
    let ours = Some(FAIRLEAD).filter(|_| !has_table);
    let tables: Vec<_> = of_iptables.chain([KUBE_PROXY]).chain(ours).collect();
    for family in [Family::Ip, Family::Ip6] {
        for name in tables.iter().copied() {
            let whose = whose(name);
            let place = format!("what {whose} left: table {} {name}", family_name(family));
            removal.note(place, remove_from(nft, TableId { family, name }));
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
    let mut legacy = LegacyIptables::open(&used, iptables::is_ours)?;
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

/// False if there is nothing to remove.
fn remove_from(nft: &mut NftSocket, table: TableId) -> Result<bool, LeftoversError> {
    let Plan { ops, kept } = plan(nft, table)?;
    if ops.is_empty() {
        return Ok(false);
    }
    nft.commit(&[Batch { table, ops }])?;
    match kept.is_empty() {
        true => Ok(true),
        false => Err(LeftoversError::Kept(kept.join(", "))),
    }
}

/// What removes kube-proxy's chains from a table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    ops: Vec<Op>,
    /// Chains that stay, empty: rules of other programs lead to them.
    kept: Vec<ChainName>,
}

fn plan(nft: &mut NftSocket, table: TableId) -> Result<Plan, CallError> {
    Ok(match nft.observe(table)? {
        None => Plan::default(),
        Some(_) if !IPTABLES.contains(&table.name) => Plan {
            ops: vec![Op::DeleteTable],
            kept: Vec::new(),
        },
        Some(observed) => {
            let chains = observed.chains.into_iter().map(|chain| chain.name);
            without(chains.map(ChainName::from), nft.jumps(table)?)
        }
    })
}

/// Unhooks kube-proxy's chains, then empties and removes them. Other programs' chains stay as
/// they are, and so does what they lead to, but empty.
fn without(chains: impl Iterator<Item = ChainName>, jumps: Vec<Jump>) -> Plan {
    let ours: Vec<ChainName> = chains.filter(|chain| is_kube_proxys(chain)).collect();
    let (hooks, others): (Vec<_>, Vec<_>) = jumps
        .into_iter()
        .filter(|jump| is_kube_proxys(&jump.target) && !is_kube_proxys(&jump.chain))
        .partition(|jump| is_built_in(&jump.chain));
    let unhook = hooks.into_iter();
    let unhook = unhook.map(|Jump { chain, handle, .. }| Op::DeleteRule { chain, handle });
    let mut ops: Vec<Op> = unhook.collect();
    ops.extend(ours.iter().cloned().map(Op::FlushChain));
    let is_led_to = |chain: &ChainName| others.iter().any(|jump| jump.target == *chain);
    let (kept, removed): (Vec<_>, Vec<_>) = ours.into_iter().partition(is_led_to);
    ops.extend(removed.into_iter().map(Op::DeleteChain));
    Plan { ops, kept }
}

fn is_built_in(chain: &str) -> bool {
    Table::ALL
        .iter()
        .any(|table| table.built_in().contains(&chain))
}

fn is_kube_proxys(chain: &str) -> bool {
    iptables::is_ours(chain) || OLDER.iter().any(|prefix| chain.starts_with(prefix))
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(chain: &str, handle: u64, target: &str) -> Jump {
        Jump {
            chain: chain.into(),
            handle,
            target: target.into(),
        }
    }

    #[test]
    fn its_chains_go_and_the_kubelets_and_others_stay() {
        let chains = [
            "PREROUTING",
            "KUBE-SERVICES",
            "KUBE-SVC-TCOU7JCQXEZGVUNU",
            "KUBE-FIREWALL",
            "KUBE-KUBELET-CANARY",
            "CNI-HOSTPORT-DNAT",
            "KUBE-MARK-MASQ",
        ];
        let jumps = vec![
            jump("PREROUTING", 7, "KUBE-SERVICES"),
            jump("KUBE-SERVICES", 8, "KUBE-SVC-TCOU7JCQXEZGVUNU"),
            jump("PREROUTING", 9, "CNI-HOSTPORT-DNAT"),
            jump("OUTPUT", 10, "KUBE-FIREWALL"),
            jump("CNI-HOSTPORT-DNAT", 11, "KUBE-MARK-MASQ"),
        ];
        let Plan { ops, kept } = without(chains.into_iter().map(ChainName::from), jumps);
        assert_eq!(
            ops,
            [
                Op::DeleteRule {
                    chain: "PREROUTING".into(),
                    handle: 7
                },
                Op::FlushChain("KUBE-SERVICES".into()),
                Op::FlushChain("KUBE-SVC-TCOU7JCQXEZGVUNU".into()),
                Op::FlushChain("KUBE-MARK-MASQ".into()),
                Op::DeleteChain("KUBE-SERVICES".into()),
                Op::DeleteChain("KUBE-SVC-TCOU7JCQXEZGVUNU".into()),
            ]
        );
        assert_eq!(kept, ["KUBE-MARK-MASQ".into()]);
    }
}

//! kube-proxy's chains in tables of nf_tables, and whole tables.

use fairlead_kernel::iptables::ruleset::Table;
use fairlead_kernel::nft::handle::{CallError, Nft};
use fairlead_kernel::nft::ruleset::{Batch, ChainName, Op, TableId};
use fairlead_kernel::nft::socket::{Jump, NftSocket};

use super::{IPTABLES, LeftoversError};
use crate::iptables::is_kube_proxys;

/// False if there is nothing to remove.
pub(super) fn remove_from(nft: &mut NftSocket, table: TableId) -> Result<bool, LeftoversError> {
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

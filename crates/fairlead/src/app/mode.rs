//! The one choice by mode: which engine runs, on which part of the kernel.

use anyhow::Context;
use tracing::info;

use fairlead_backends::engine::Engine;
use fairlead_backends::iptables::{self, Facts, Iptables};
use fairlead_backends::leftovers::InCharge;
use fairlead_backends::nftables::{Nftables, table};
use fairlead_core::address::Family;
use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::iptables::ruleset::{self, Table, TableId};
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};

use super::Options;
use super::proxier::Proxier;
use crate::config::{IptablesVariant, Mode};

/// Opens the engine of the mode for these families, and says what it is in charge of.
pub(super) fn open(
    options: &Options,
    families: &[Family],
) -> anyhow::Result<(Box<dyn Proxier>, InCharge)> {
    match (options.mode, options.iptables_variant) {
        (Mode::Nftables, _) => {
            let tables: Vec<_> = families.iter().copied().map(table).collect();
            let nft = WatchedNft::open(&tables).context("cannot talk to nf_tables")?;
            let engine = Engine::new(Nftables, nft, families);
            Ok((Box::new(engine), InCharge::Nftables))
        }
        (Mode::Iptables, IptablesVariant::Legacy) => {
            anyhow::bail!("legacy iptables cannot be written yet; use --iptables-variant=nft")
        }
        (Mode::Iptables, _) => {
            let nft = NftIptables::open(&tables(families), iptables::is_ours);
            let nft = nft.context("cannot talk to nf_tables")?;
            info!("writing the iptables of nf_tables, as iptables-nft would");
            let engine = Engine::new(Iptables { facts: facts() }, nft, families);
            Ok((Box::new(engine), InCharge::IptablesNft))
        }
    }
}

/// The tables of iptables that are written.
fn tables(families: &[Family]) -> Vec<TableId> {
    let of = |family: &Family| {
        let family = match family {
            Family::V4 => ruleset::Family::Ip,
            Family::V6 => ruleset::Family::Ip6,
        };
        Table::ALL.map(|table| TableId { family, table })
    };
    families.iter().flat_map(of).collect()
}

fn facts() -> Facts {
    let liberal = ProcSys.read("net/netfilter/nf_conntrack_tcp_be_liberal");
    Facts {
        liberal: liberal.is_ok_and(|value| value.trim() != "0"),
        counts_invalid: false,
        counts_localhost: false,
        random_fully: true,
    }
}

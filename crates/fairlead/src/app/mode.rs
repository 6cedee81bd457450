//! The one choice by mode: which engine runs, on which part of the kernel.

use anyhow::Context;
use tracing::info;

use fairlead_backends::engine::Engine;
use fairlead_backends::iptables::{self, Facts, Iptables};
use fairlead_backends::leftovers::InCharge;
use fairlead_backends::nftables::{Nftables, table};
use fairlead_core::address::Family;
use fairlead_kernel::iptables::legacy::LegacyIptables;
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
            let legacy = LegacyIptables::open(&kernel_families(families), iptables::is_ours);
            let legacy = legacy.context("cannot write the legacy iptables")?;
            info!("writing the legacy iptables, by its own programs");
            let mode = iptables_mode(legacy.random_fully());
            let engine = Engine::new(mode, legacy, families);
            Ok((Box::new(engine), InCharge::IptablesLegacy))
        }
        (Mode::Iptables, _) => {
            let nft = NftIptables::open(&tables(families), iptables::is_ours);
            let nft = nft.context("cannot talk to nf_tables")?;
            info!("writing the iptables of nf_tables, as iptables-nft would");
            let engine = Engine::new(iptables_mode(true), nft, families);
            Ok((Box::new(engine), InCharge::IptablesNft))
        }
    }
}

/// The tables of iptables that are written.
fn tables(families: &[Family]) -> Vec<TableId> {
    let of = |family| Table::ALL.map(|table| TableId { family, table });
    kernel_families(families).into_iter().flat_map(of).collect()
}

fn kernel_families(families: &[Family]) -> Vec<ruleset::Family> {
    let kernels = |family: &Family| match family {
        Family::V4 => ruleset::Family::Ip,
        Family::V6 => ruleset::Family::Ip6,
    };
    families.iter().map(kernels).collect()
}

/// The mode on this host, as it is now.
fn iptables_mode(random_fully: bool) -> Iptables {
    let liberal = ProcSys.read("net/netfilter/nf_conntrack_tcp_be_liberal");
    let facts = Facts {
        random_fully,
        liberal: liberal.is_ok_and(|value| value.trim() != "0"),
        counts_invalid: false,
        counts_localhost: false,
    };
    Iptables { facts }
}

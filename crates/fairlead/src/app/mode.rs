//! The one choice by mode: which engine runs, on which part of the kernel.

use anyhow::Context;
use tracing::{error, info, warn};

use fairlead_backends::engine::Engine;
use fairlead_backends::family::kernel_family;
use fairlead_backends::iptables::{self, CT_INVALID_DROPPED, Facts, Iptables, LOCALHOST_ACCEPTED};
use fairlead_backends::leftovers::InCharge;
use fairlead_backends::nftables::{Nftables, table};
use fairlead_core::address::Family;
use fairlead_kernel::error::CallError;
use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::iptables::ruleset::{self, Table, TableId};
use fairlead_kernel::iptables::variant::{self, Variant};
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};
use fairlead_relay::RelayHandle;

use super::accounting;
use super::proxier::Proxier;
use super::{Fallback, Options, ipvs, userspace};
use crate::config::{IptablesVariant, Mode};

/// The match of rules that count in accounting objects.
const ACCOUNTING: &str = "nfacct";

/// What runs.
pub(super) struct Opened {
    /// The mode: the one that was asked for, or its fallback.
    pub(super) mode: Mode,
    /// The families that are served.
    pub(super) families: Vec<Family>,
    /// Its engine.
    pub(super) engine: Box<dyn Proxier>,
    /// What the engine is in charge of.
    pub(super) in_charge: InCharge,
    /// Who carries connections, in userspace mode.
    pub(super) relay: Option<RelayHandle>,
}

/// Opens the mode that can run here, for these families.
pub(super) fn open(options: &Options, families: Vec<Family>) -> anyhow::Result<Opened> {
    let (mut mode, mut opened) = (options.mode, engine(options.mode, options, &families));
    if let (Err(error), Some(fallback)) = (&opened, &options.fallback) {
        let instead = fallback.mode;
        error!("{mode} mode cannot run here, and {instead} mode runs in its place: {error:#}");
        (mode, opened) = (instead, engine(instead, options, &families));
    }
    let (engine, in_charge, relay) = opened?;
    Ok(Opened {
        mode,
        families,
        engine,
        in_charge,
        relay,
    })
}

/// Sets what the mode needs of the kernel, for one who comes after and may not.
pub(super) fn prepare(options: &Options) -> anyhow::Result<()> {
    match options.mode {
        Mode::Nftables | Mode::Iptables => Ok(()),
        Mode::Ipvs => prepare_ipvs(options),
        Mode::Userspace => {
            userspace::prepare();
            Ok(())
        }
    }
}

fn prepare_ipvs(options: &Options) -> anyhow::Result<()> {
    match (ipvs::prepare(options), &options.fallback) {
        (Err(error), Some(Fallback { mode, .. })) => {
            error!("ipvs mode cannot run here, and {mode} mode will in its place: {error:#}");
            Ok(())
        }
        (prepared, _) => prepared,
    }
}

/// The engine of a mode, what it is in charge of, and the relay of userspace mode.
type Running = (Box<dyn Proxier>, InCharge, Option<RelayHandle>);

/// Opens the engine of a mode.
fn engine(mode: Mode, options: &Options, families: &[Family]) -> anyhow::Result<Running> {
    let (engine, in_charge) = match mode {
        Mode::Nftables => {
            let tables: Vec<_> = families.iter().copied().map(table).collect();
            let nft = WatchedNft::open(&tables).context("cannot talk to nf_tables")?;
            let engine: Box<dyn Proxier> = Box::new(Engine::new(Nftables, nft, families));
            (engine, InCharge::Nftables)
        }
        Mode::Iptables => match variant(options.iptables_variant)? {
            Variant::Nft => open_nft(families)?,
            Variant::Legacy => open_legacy(families)?,
        },
        Mode::Ipvs => ipvs::open(options, families)?,
        Mode::Userspace => {
            let (engine, relay) = userspace::open(options, families)?;
            return Ok((engine, InCharge::Userspace, Some(relay)));
        }
    };
    Ok((engine, in_charge, None))
}

/// Which iptables is written.
fn variant(asked: IptablesVariant) -> anyhow::Result<Variant> {
    match asked {
        IptablesVariant::Nft => Ok(Variant::Nft),
        IptablesVariant::Legacy => Ok(Variant::Legacy),
        IptablesVariant::Auto => {
            let facts = variant::Facts::gather().context("cannot see which iptables is in use")?;
            Ok(Variant::choose(&facts))
        }
    }
}

fn open_nft(families: &[Family]) -> anyhow::Result<(Box<dyn Proxier>, InCharge)> {
    let nft = NftIptables::open(&tables(families), iptables::is_ours);
    let mut nft = nft.context("cannot write the iptables of nf_tables")?;
    info!("writing the iptables of nf_tables, as iptables-nft would");
    let facts = facts(true, &nft.has_match(ACCOUNTING));
    let engine = Engine::new(Iptables { facts }, nft, families);
    Ok((Box::new(engine), InCharge::IptablesNft))
}

fn open_legacy(families: &[Family]) -> anyhow::Result<(Box<dyn Proxier>, InCharge)> {
    let families = &of_legacy(families);
    let legacy = LegacyIptables::open(&kernel_families(families), iptables::is_ours);
    let legacy = legacy.context("cannot write the legacy iptables")?;
    info!("writing the legacy iptables, by its own programs");
    let facts = facts(legacy.random_fully(), &legacy.has_match(ACCOUNTING));
    let engine = Engine::new(Iptables { facts }, legacy, families);
    Ok((Box::new(engine), InCharge::IptablesLegacy))
}

/// The families that this host has the legacy iptables for. Without IPv6's, IPv4 is served all the
/// same, as by kube-proxy.
fn of_legacy(families: &[Family]) -> Vec<Family> {
    let can_do = |family: &Family| match family {
        Family::V4 => true,
        Family::V6 => LegacyIptables::check(kernel_family(*family))
            .inspect_err(|error| warn!("IPv6 is not served: cannot {error}"))
            .is_ok(),
    };
    families.iter().copied().filter(can_do).collect()
}

/// The tables of iptables that are written.
fn tables(families: &[Family]) -> Vec<TableId> {
    let of = |family| Table::ALL.map(|table| TableId { family, table });
    kernel_families(families).into_iter().flat_map(of).collect()
}

fn kernel_families(families: &[Family]) -> Vec<ruleset::Family> {
    families.iter().copied().map(kernel_family).collect()
}

/// What this host offers, as it is now. Where the kernel cannot count, rules do not.
fn facts(random_fully: bool, can_count: &Result<bool, CallError>) -> Facts {
    let liberal = ProcSys.read("net/netfilter/nf_conntrack_tcp_be_liberal");
    let counts = |name| {
        let counted = match can_count {
            Ok(true) => accounting::ensure(name),
            Ok(false) => Ok(false),
            Err(error) => Err(error.clone()),
        };
        counted.unwrap_or_else(|error| {
            warn!("packets of {name} are not counted: {error}");
            false
        })
    };
    Facts {
        random_fully,
        liberal: liberal.is_ok_and(|value| value.trim() != "0"),
        counts_invalid: counts(CT_INVALID_DROPPED),
        counts_localhost: counts(LOCALHOST_ACCEPTED),
    }
}

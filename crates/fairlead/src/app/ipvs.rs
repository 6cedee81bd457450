//! Opens ipvs mode: what it needs of this host, and its parts of the kernel.

use std::collections::BTreeSet;
use std::io;

use anyhow::Context;
use tracing::{info, warn};

use fairlead_backends::engine::Engine;
use fairlead_backends::ipvs::{Ipvs, Parts};
use fairlead_backends::leftovers::{InCharge, SERVICE_DEVICE};
use fairlead_backends::nftables::table;
use fairlead_core::address::Family;
use fairlead_core::scheduling::Scheduler;
use fairlead_kernel::features::Features;
use fairlead_kernel::ipvs::handle::Ipvs as _;
use fairlead_kernel::ipvs::scheduler::has_scheduler;
use fairlead_kernel::ipvs::server::{SchedulerName, Timeouts};
use fairlead_kernel::ipvs::socket::IpvsSocket;
use fairlead_kernel::ipvs::watched::WatchedIpvs;
use fairlead_kernel::link::{AddressDevice as _, DeviceOp, DummyDevice};
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_kernel::sysctl::ProcSys;

use super::Options;
use super::parameters::Parameters;
use super::proxier::Proxier;

/// Opens the engine for these families, and says what it is in charge of.
///
/// # Errors
/// The kernel has no IPVS, or not what its companion table or its device needs.
pub(super) fn open(
    options: &Options,
    families: &[Family],
) -> anyhow::Result<(Box<dyn Proxier>, InCharge)> {
    let mut ipvs = IpvsSocket::open()?;
    let default = options.settings.ipvs.scheduling.scheduler;
    let mut mode = Ipvs::default();
    for scheduler in BTreeSet::from([default, Scheduler::default()]) {
        if !is_there(&mut ipvs, scheduler)? {
            warn!("scheduler {scheduler}: the kernel has no module ip_vs_{scheduler}");
            mode.missing.insert(scheduler);
        }
    }
    anyhow::ensure!(
        !mode.missing.contains(&Scheduler::default()),
        "the kernel has no scheduler {}: module ip_vs_{0} could not be loaded",
        Scheduler::default()
    );
    balance(options)?;
    set_timeouts(&mut ipvs, options.ipvs.timeouts);
    let tables: Vec<_> = families.iter().copied().map(table).collect();
    let mut ipvs = WatchedIpvs::new(ipvs);
    ipvs.leave(&options.settings.ipvs.exclude_cidrs);
    let parts = Parts {
        ipvs,
        nft: WatchedNft::open(&tables).context("cannot talk to nf_tables")?,
        device: device()?,
    };
    info!("writing virtual servers, the device {SERVICE_DEVICE} and rules of nf_tables");
    let engine = Engine::new(mode, parts, families);
    Ok((Box::new(engine), InCharge::Ipvs))
}

/// Sets what the kernel needs for this mode, for one who comes after and may not. The parameters are
/// there once IPVS is.
///
/// # Errors
/// The kernel has no IPVS, or refuses what the mode cannot do without.
pub(super) fn prepare(options: &Options) -> anyhow::Result<()> {
    IpvsSocket::open()?;
    balance(options)
}

fn balance(options: &Options) -> anyhow::Result<()> {
    Parameters::of_this_host()
        .balance(options.ipvs.strict_arp, version())
        .context("answers would go past this node")
}

/// The device that holds the addresses. It is made now: without it, another mode can run.
fn device() -> anyhow::Result<DummyDevice> {
    let mut device = DummyDevice::open(SERVICE_DEVICE).context("cannot talk about devices")?;
    let refused = device.apply(&[DeviceOp::Create]);
    let refused = refused.with_context(|| format!("cannot make the device {SERVICE_DEVICE}"))?;
    if let Some(refusal) = refused.first() {
        let error = io::Error::from_raw_os_error(refusal.errno);
        return Err(error).context(format!("cannot make the device {SERVICE_DEVICE}"));
    }
    Ok(device)
}

fn is_there(ipvs: &mut IpvsSocket, scheduler: Scheduler) -> anyhow::Result<bool> {
    let Some(name) = SchedulerName::new(scheduler.name()) else {
        return Ok(false);
    };
    has_scheduler(ipvs, name).context("cannot try IPVS")
}

/// What is not given stays as it is. The mode works without.
fn set_timeouts(ipvs: &mut IpvsSocket, timeouts: Timeouts) {
    if timeouts == Timeouts::default() {
        return;
    }
    if let Err(error) = ipvs.set_timeouts(timeouts) {
        warn!("the timeouts of IPVS stay as they are: {error}");
    }
}

/// Major and minor; of a kernel that does not say, the newest.
fn version() -> (u32, u32) {
    let version = Features::probe(&ProcSys).version;
    version.map_or((u32::MAX, 0), |version| (version.major, version.minor))
}

//! Opens userspace mode: its relay, and its parts of the kernel.

use anyhow::Context;
use tracing::{info, warn};

use fairlead_backends::engine::Engine;
use fairlead_backends::nftables::table;
use fairlead_backends::userspace::{Parts, Userspace};
use fairlead_core::address::Family;
use fairlead_core::parameters;
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_kernel::routing::PolicyRouting;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};
use fairlead_relay::settings::Settings;
use fairlead_relay::{RelayHandle, SocketRelay};

use super::Options;
use super::parameters::Parameters;
use super::proxier::Proxier;

/// A parameter that has the kernel look at the mark where this mode does not mean it.
const CONTRARY: &str = "net/ipv4/tcp_fwmark_accept";

/// With it there is no `::1`.
const LOOPBACK_WITHOUT_IPV6: &str = "net/ipv6/conf/lo/disable_ipv6";

/// Opens the engine for these families, and its relay.
///
/// # Errors
/// The relay cannot start, or the kernel cannot be talked to.
pub(super) fn open(
    options: &Options,
    families: &[Family],
) -> anyhow::Result<(Box<dyn Proxier>, RelayHandle)> {
    let families = &with_loopback(families);
    let relay = SocketRelay::open(settings(options)).context("cannot start the relay")?;
    let handle = relay.handle();
    let tables: Vec<_> = families.iter().copied().map(table).collect();
    let parts = Parts {
        relay,
        nft: WatchedNft::open(&tables).context("cannot talk to nf_tables")?,
        routing: PolicyRouting::open().context("cannot talk to the kernel about routing")?,
    };
    prepare();
    warn_of_contrary_parameter();
    info!("carrying connections in this process; rules of nf_tables bring them");
    let engine = Engine::new(Userspace::default(), parts, families);
    Ok((Box::new(engine), handle))
}

/// The families that listeners have an address of. Without IPv6's, IPv4 is served all the same.
fn with_loopback(families: &[Family]) -> Vec<Family> {
    let is_off = |value: String| value.trim() == "1";
    let is_off = ProcSys.read(LOOPBACK_WITHOUT_IPV6).is_ok_and(is_off);
    let (served, others): (Vec<_>, Vec<_>) = families
        .iter()
        .partition(|family| !is_off || **family == Family::V4);
    if !others.is_empty() {
        let name = LOOPBACK_WITHOUT_IPV6.replace('/', ".");
        warn!("IPv6 is not served: {name} is on, and listeners have no address; set it to 0");
    }
    served
}

/// Sets what the mode does better with.
pub(super) fn prepare() {
    Parameters::of_this_host().apply(&parameters::userspace());
}

/// What the relay is told. What is sent to endpoints has the mark of masquerading, which tells the
/// rules that it is no client's.
pub(super) fn settings(options: &Options) -> Settings {
    let asked = &options.userspace;
    Settings {
        dial_timeouts: asked.dial_timeouts.clone(),
        udp_idle: asked.udp_idle,
        max_connections: asked.max_connections,
        threads: asked.threads,
        own_mark: options.settings.masquerade_mark,
        ..Settings::default()
    }
}

fn warn_of_contrary_parameter() {
    let is_on = ProcSys
        .read(CONTRARY)
        .is_ok_and(|value| value.trim() != "0");
    if is_on {
        let name = CONTRARY.replace('/', ".");
        warn!("{name} is on: answers of Services do not leave this host; set it to 0");
    }
}

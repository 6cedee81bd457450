//! ipvs mode: how long everything and one change take, beside nftables mode on the same kernel.
//!
//! Not every kernel has IPVS: unless this host's is asked for, a machine with one that has it is
//! switched on (`fairlead_lab::Machine`). All is some ten times slower there, in either mode.

mod tables;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use fairlead_backends::engine::{Engine, Kernel, Mode};
use fairlead_backends::ipvs::{Ipvs, Parts};
use fairlead_backends::leftovers::SERVICE_DEVICE;
use fairlead_core::address::Family;
use fairlead_core::report::Report;
use fairlead_kernel::ipvs::socket::IpvsSocket;
use fairlead_kernel::link::DummyDevice;
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_lab::{Machine, privilege};

use crate::cluster::{Cluster, Features};
use crate::network::on_a_node;
use crate::process::{self, Footprint};
use crate::sync::{self, ColdStart, Node, Open, Series};

const SIZES: [u32; 2] = [1000, 5000];

/// What has the kernel load all its modules before anything is timed.
const WARM_UP: Cluster = Cluster {
    services: 20,
    features: Features::Mixed,
};

/// How many changes of each kind are timed.
const CHANGES: usize = 50;

/// After this it is looked whether endpoints on their way out still have connections.
const UNTIL_LOOKED: Duration = Duration::from_millis(1100);

/// Where `scripts/vm-setup` puts the machine.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/vm");

/// For all of it, on a busy host.
const LIMIT: Duration = Duration::from_mins(30);

/// What was measured of one mode with one number of Services.
struct Measured {
    services: u32,
    mode: &'static str,
    cold: ColdStart,
    changes: [(&'static str, Series); 4],
    /// Looking at the endpoints that were replaced, and removing them.
    left: Report,
    restart: Report,
    footprint: Footprint,
}

/// Measures in the machine, and says so.
pub(crate) fn in_the_machine() -> anyhow::Result<()> {
    println!("On {}:", crate::machine());
    println!(
        "QEMU without hardware virtualisation, where all is some ten times slower than on iron."
    );
    println!("Only ratios are worth something.");
    let mut here = Command::new(std::env::current_exe()?);
    here.args(["ipvs", "here"]);
    let output = Machine::find(Path::new(FOLDER))?.run(&here, LIMIT)?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{said}", output.status);
    Ok(())
}

/// Measures with this host's kernel, which must have IPVS; as root.
pub(crate) fn here() -> anyhow::Result<()> {
    privilege::obtain()?;
    println!("{}", crate::machine());
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let manifests = WARM_UP.write_yaml(folder)?;
    of_mode(WARM_UP, &manifests, "nftables", sync::nftables)?;
    of_mode(WARM_UP, &manifests, "ipvs", open)?;
    let mut measured = Vec::new();
    for services in SIZES {
        let features = Features::Plain;
        let cluster = Cluster { services, features };
        let manifests = cluster.write_yaml(folder)?;
        measured.push(of_mode(cluster, &manifests, "nftables", sync::nftables)?);
        measured.push(of_mode(cluster, &manifests, "ipvs", open)?);
    }
    tables::print(&measured);
    Ok(())
}

fn of_mode<M: Mode, K: Kernel<M>>(
    cluster: Cluster,
    manifests: &Path,
    mode: &'static str,
    open: Open<M, K>,
) -> anyhow::Result<Measured> {
    let footprint = on_a_node(|| process::measure(mode, cluster, manifests))?;
    on_a_node(|| {
        let (mut node, cold) = Node::start(manifests, open)?;
        let (restart, _) = node.restart()?;
        node.only(CHANGES);
        let replaced = node.replace_endpoints()?;
        thread::sleep(UNTIL_LOOKED);
        let left = node.sync()?;
        let changes = [
            ("endpoint replaced", replaced),
            ("service added", node.add_services()?),
            ("service deleted", node.delete_services()?),
            ("endpoint added", node.add_endpoints()?),
        ];
        Ok(Measured {
            services: cluster.services,
            mode,
            cold,
            changes,
            left,
            restart,
            footprint,
        })
    })
}

fn open() -> anyhow::Result<Engine<Ipvs, Parts<IpvsSocket, NftSocket, DummyDevice>>> {
    let parts = Parts {
        ipvs: IpvsSocket::open()?,
        nft: NftSocket::open().context("cannot talk to nf_tables")?,
        device: DummyDevice::open(SERVICE_DEVICE).context("cannot talk about devices")?,
    };
    Ok(Engine::new(Ipvs::default(), parts, &Family::BOTH))
}

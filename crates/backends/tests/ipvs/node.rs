//! Fake parts of a kernel with an engine on them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use fairlead_backends::engine::Engine;
use fairlead_backends::ipvs::{Ipvs, Parts};
use fairlead_backends::nftables::table;
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_kernel::fault::Faulty;
use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::ipvs::server::{Protocol, VirtualAddress};
use fairlead_kernel::link::FakeDevice;
use fairlead_kernel::nft::fake::FakeNft;

use crate::any;
pub(crate) use crate::any::settings;
use crate::any::{Faults, never};

/// The node's own addresses.
pub(crate) const HOST: [&str; 3] = ["192.0.2.10", "2001:db8::10", "fe80::10"];

type Failing<H> = Faulty<H, Faults>;
type Kernel = Parts<Failing<FakeIpvs>, Failing<FakeNft>, Failing<FakeDevice>>;

/// What there is in the kernel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fakes {
    pub(crate) ipvs: FakeIpvs,
    pub(crate) nft: FakeNft,
    pub(crate) device: FakeDevice,
}

/// A node on parts of a kernel that may fail.
pub(crate) type Node = any::Node<Ipvs, Kernel>;

impl Node {
    /// A node whose kernel fails as told.
    pub(crate) fn new(fakes: Fakes, faults: impl FnMut() -> Faults) -> Node {
        Node::with(fakes, faults, &Family::BOTH)
    }

    /// A node that serves these families alone.
    pub(crate) fn of_families(fakes: Fakes, families: &[Family]) -> Node {
        Node::with(fakes, never, families)
    }

    fn with(fakes: Fakes, mut faults: impl FnMut() -> Faults, families: &[Family]) -> Node {
        let parts = Parts {
            ipvs: Faulty::new(fakes.ipvs, faults()),
            nft: Faulty::new(fakes.nft, faults()),
            device: Faulty::new(fakes.device, faults()),
        };
        let engine = Engine::new(Ipvs::default(), parts, families);
        Node::on(engine, settings(), &HOST)
    }

    /// A node whose kernel never fails, after these changes and syncs.
    pub(crate) fn settled(fakes: Fakes, changes: impl IntoIterator<Item = Change>) -> Node {
        Node::new(fakes, never).settled_after(changes)
    }

    pub(crate) fn ipvs(&mut self) -> &mut FakeIpvs {
        self.engine.kernel().ipvs.handle_mut()
    }

    pub(crate) fn nft(&mut self) -> &mut FakeNft {
        self.engine.kernel().nft.handle_mut()
    }

    pub(crate) fn device(&mut self) -> &mut FakeDevice {
        self.engine.kernel().device.handle_mut()
    }

    /// A copy of what there is.
    pub(crate) fn fakes(&mut self) -> Fakes {
        Fakes {
            ipvs: self.ipvs().clone(),
            nft: self.nft().clone(),
            device: self.device().clone(),
        }
    }

    /// What the device holds.
    pub(crate) fn held(&mut self) -> Vec<String> {
        let held = self.device().addresses.iter().flatten();
        held.map(ToString::to_string).collect()
    }

    /// Where virtual servers are, sorted as text.
    pub(crate) fn servers(&mut self) -> Vec<String> {
        let saved = self.ipvs().saved();
        let lines = saved.lines().filter(|line| line.starts_with("-A"));
        let mut servers: Vec<String> = lines.filter_map(|line| word(line, 2)).collect();
        servers.sort();
        servers
    }

    /// The addresses of the real servers of a virtual server that get new connections.
    pub(crate) fn reals(&mut self, at: &str) -> Vec<String> {
        let saved = self.ipvs().saved();
        let of_it = |line: &&str| line.starts_with("-a") && word(line, 2).as_deref() == Some(at);
        let serve = saved.lines().filter(|line| !line.ends_with("-w 0"));
        let reals = serve.filter(of_it).filter_map(|line| word(line, 4));
        let ip = |real: String| real.parse::<SocketAddr>().unwrap().ip().to_string();
        reals.map(ip).collect()
    }

    /// Everything, to compare.
    pub(crate) fn dump(&mut self) -> String {
        let device = format!("{:?}", self.device().addresses);
        let rules: Vec<_> = Family::BOTH
            .into_iter()
            .filter_map(|family| self.nft().batch(table(family)))
            .map(|batch| {
                let mut lines: Vec<String> = batch.ops.iter().flat_map(lines).collect();
                lines.sort();
                lines.join("\n")
            })
            .collect();
        [self.ipvs().saved(), device, rules.join("\n")].join("\n")
    }
}

/// A word of a line of `ipvsadm -Sn`: the third is the virtual server, the fifth the real one.
fn word(line: &str, at: usize) -> Option<String> {
    line.split(' ').nth(at).map(str::to_owned)
}

/// An operation, with an element a line.
fn lines(op: &fairlead_kernel::nft::ruleset::Op) -> Vec<String> {
    use fairlead_kernel::nft::ruleset::Op;
    match op {
        Op::AddElements { set, elements } => {
            let line = |element| format!("{set}: {element:?}");
            elements.iter().map(line).collect()
        }
        op => vec![format!("{op:?}")],
    }
}

/// A virtual server: `10.96.0.1:80`, of TCP.
pub(crate) fn tcp(at: &str) -> VirtualAddress {
    let at: SocketAddr = at.parse().unwrap();
    VirtualAddress {
        address: at.ip(),
        protocol: Protocol::Tcp,
        port: at.port(),
    }
}

/// The addresses that a text names.
pub(crate) fn set(ips: &[&str]) -> BTreeSet<IpAddr> {
    ips.iter().map(|ip| ip.parse().unwrap()).collect()
}

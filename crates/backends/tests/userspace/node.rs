//! A relay and a kernel that are fakes, with an engine on them.

use std::collections::BTreeSet;

use fairlead_backends::engine::Engine;
use fairlead_backends::userspace::{Parts, Userspace};
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::settings::{Settings, UserspaceSettings};
use fairlead_kernel::fault::{Call, Fault, Faulty};
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::routing::FakeRouting;
use fairlead_relay::fake::FakeRelay;
use fairlead_relay::handle::{Listener, ListenerAddress, Op, Refusal, Relay, Relayed, Upstream};

use crate::any::{self, Faults, never};
use crate::build::name;
use crate::meaning::Meaning;

/// The node's own addresses. No Service has one of them.
pub(crate) const HOST: [&str; 2] = ["192.0.2.77", "2001:db8::77"];

type Failing<H> = Faulty<H, Faults>;
type Kernel = Parts<Flaky, Failing<FakeNft>, Failing<FakeRouting>>;

/// A relay that refuses operations when a call to a kernel would fail.
pub(crate) struct Flaky {
    pub(crate) relay: FakeRelay,
    faults: Faults,
}

impl Relay for Flaky {
    fn apply(&mut self, ops: &[Op]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (op, operation) in ops.iter().enumerate() {
            let refused = match (self.faults)(Call::Apply) {
                Some(Fault::Before(errno) | Fault::After(errno)) => Some(errno),
                None => {
                    let refusals = self.relay.apply(std::slice::from_ref(operation));
                    refusals.first().map(|it| it.errno)
                }
            };
            refusals.extend(refused.map(|errno| Refusal { op, errno }));
        }
        refusals
    }

    fn observe(&self) -> Relayed {
        self.relay.observe()
    }

    fn in_use(&mut self, among: &[ListenerAddress]) -> BTreeSet<ListenerAddress> {
        self.relay.in_use(among)
    }
}

/// What there is in this process and in the kernel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fakes {
    pub(crate) relay: FakeRelay,
    pub(crate) nft: FakeNft,
    pub(crate) routing: FakeRouting,
}

/// A node on a relay and a kernel that may fail.
pub(crate) type Node = any::Node<Userspace, Kernel>;

impl Node {
    /// A node whose relay and kernel fail as told.
    pub(crate) fn failing(fakes: Fakes, faults: impl FnMut() -> Faults) -> Node {
        Node::of(fakes, settings(), faults, &Family::BOTH)
    }

    /// A node with other settings.
    pub(crate) fn with(fakes: Fakes, settings: Settings) -> Node {
        Node::of(fakes, settings, never, &Family::BOTH)
    }

    /// A node that serves one family alone.
    pub(crate) fn of_family(family: Family) -> Node {
        Node::of(Fakes::default(), settings(), never, &[family])
    }

    fn of(
        fakes: Fakes,
        settings: Settings,
        mut faults: impl FnMut() -> Faults,
        families: &[Family],
    ) -> Node {
        let parts = Parts {
            relay: Flaky {
                relay: fakes.relay,
                faults: faults(),
            },
            nft: Faulty::new(fakes.nft, faults()),
            routing: Faulty::new(fakes.routing, faults()),
        };
        let engine = Engine::new(Userspace::default(), parts, families);
        Node::on(engine, settings, &HOST)
    }

    /// A node where nothing fails, after these changes and syncs.
    pub(crate) fn settled(fakes: Fakes, changes: impl IntoIterator<Item = Change>) -> Node {
        Node::with(fakes, settings()).settled_after(changes)
    }

    pub(crate) fn relay(&mut self) -> &mut FakeRelay {
        &mut self.engine.kernel().relay.relay
    }

    pub(crate) fn nft(&mut self) -> &mut FakeNft {
        self.engine.kernel().nft.handle_mut()
    }

    pub(crate) fn routing(&mut self) -> &mut FakeRouting {
        self.engine.kernel().routing.handle_mut()
    }

    /// Everything, to compare.
    pub(crate) fn meaning(&mut self) -> Meaning {
        Meaning::of(self)
    }

    /// A copy of what there is.
    pub(crate) fn fakes(&mut self) -> Fakes {
        Fakes {
            relay: self.relay().clone(),
            nft: self.nft().clone(),
            routing: self.routing().clone(),
        }
    }

    /// Where the relay listens for a Service, sorted.
    pub(crate) fn listeners(&mut self, service: &str) -> Vec<(ListenerAddress, Listener)> {
        let of = |listener: &Listener| listener.upstream.port.service == name(service);
        let all = self.relay().observe().listeners.into_iter();
        all.filter(|(_, listener)| of(listener)).collect()
    }

    /// The ports of a Service's listeners, sorted.
    pub(crate) fn ports(&mut self, service: &str) -> Vec<u16> {
        let listeners = self.listeners(service).into_iter();
        let mut ports: Vec<u16> = listeners.map(|(at, _)| at.port).collect();
        ports.sort_unstable();
        ports
    }

    /// The endpoints of a Service that has one port in one family, if the relay knows any.
    pub(crate) fn upstream(&mut self, service: &str) -> Option<Upstream> {
        let mut all = self.relay().observe().upstreams;
        all.retain(|of, _| of.port.service == name(service));
        assert!(all.len() < 2, "one upstream was expected: {all:?}");
        all.into_values().next()
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        traffic_counters: false,
        ..any::settings()
    }
}

/// Settings with these ports for listeners.
pub(crate) fn with_ports(ports: std::ops::RangeInclusive<u16>) -> Settings {
    Settings {
        userspace: UserspaceSettings {
            ports,
            ..UserspaceSettings::default()
        },
        ..settings()
    }
}

/// Settings with which endpoints see clients.
pub(crate) fn keeping_sources() -> Settings {
    Settings {
        userspace: UserspaceSettings {
            keep_source: true,
            ..UserspaceSettings::default()
        },
        ..settings()
    }
}

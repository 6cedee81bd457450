//! What is true at every moment of a sync, and not only after it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairlead_backends::engine::Engine;
use fairlead_backends::ipvs::{self as mode, Parts};
use fairlead_core::address::Family;
use fairlead_core::model::Model;
use fairlead_core::report::IpvsCount;
use fairlead_kernel::error::CallError;
use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::ipvs::handle::{Applied, Ipvs, Op};
use fairlead_kernel::ipvs::server::{
    ObservedReal, Protocol, Timeouts, VirtualAddress, VirtualServer,
};
use fairlead_kernel::link::FakeDevice;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::{CommitError, Committed, Nft, ObservedTable};
use fairlead_kernel::nft::ruleset::{Batch, TableId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{service, slice};
use crate::node::{HOST, settings};
use crate::universe::change;

/// What was done.
#[derive(Debug, Clone, Copy)]
enum Step {
    Op(Op),
    Commit,
}

type Log = Rc<RefCell<Vec<Step>>>;

/// A fake that writes down what is done to it.
#[derive(Default)]
struct Logged<H> {
    handle: H,
    log: Log,
}

impl Ipvs for Logged<FakeIpvs> {
    fn apply(&mut self, ops: &[Op]) -> Result<Applied, CallError> {
        self.log
            .borrow_mut()
            .extend(ops.iter().copied().map(Step::Op));
        self.handle.apply(ops)
    }

    fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError> {
        self.handle.servers()
    }

    fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError> {
        self.handle.reals(of)
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError> {
        self.handle.set_timeouts(timeouts)
    }
}

impl Nft for Logged<FakeNft> {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        self.log.borrow_mut().push(Step::Commit);
        self.handle.commit(batches)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.handle.observe(table)
    }
}

struct Node {
    model: Model,
    engine: Engine<mode::Ipvs, Parts<Logged<FakeIpvs>, Logged<FakeNft>, FakeDevice>>,
    log: Log,
    now: Instant,
}

impl Node {
    fn new() -> Node {
        let log = Log::default();
        let parts = Parts {
            ipvs: Logged {
                handle: FakeIpvs::new(),
                log: Rc::clone(&log),
            },
            nft: Logged {
                handle: FakeNft::new(),
                log: Rc::clone(&log),
            },
            device: FakeDevice::new(),
        };
        Node {
            model: Model::new(settings()),
            engine: Engine::new(mode::Ipvs::default(), parts, &Family::BOTH),
            log,
            now: Instant::now(),
        }
    }

    fn ipvs(&mut self) -> &mut FakeIpvs {
        &mut self.engine.kernel().ipvs.handle
    }

    /// Gives real servers connections by chance.
    fn connect(&mut self, mut chance: u64) {
        for server in self.ipvs().servers().unwrap() {
            for real in self.ipvs().reals(server.address).unwrap() {
                chance = chance.rotate_right(1);
                let active = u32::from(chance & 1 == 1);
                let at = real.server.address;
                self.ipvs().set_connections(server.address, at, active, 0);
            }
        }
    }

    /// Syncs, and returns what there was before and what was done. What is told of it is true.
    fn sync(&mut self) -> (FakeIpvs, Vec<Step>) {
        let before = self.ipvs().clone();
        self.log.borrow_mut().clear();
        let host = HOST.map(|ip| ip.parse().unwrap());
        let synced = self.engine.sync(&mut self.model, &host, self.now).unwrap();
        assert_eq!(synced.report.ipvs, counted(self.ipvs()));
        (before, self.log.take())
    }
}

/// How much there is.
fn counted(ipvs: &mut FakeIpvs) -> Vec<IpvsCount> {
    let mut counts = Family::BOTH.map(|family| IpvsCount {
        family,
        virtual_servers: 0,
        real_servers: 0,
        leaving: 0,
    });
    for server in ipvs.servers().unwrap() {
        let reals = ipvs.reals(server.address).unwrap();
        let count = &mut counts[usize::from(server.address.address.is_ipv6())];
        count.virtual_servers += 1;
        count.real_servers += reals.len();
        count.leaving += reals.iter().filter(|it| it.server.weight == 0).count();
    }
    counts.into()
}

/// How many real servers of each virtual server get new connections.
fn serving(ipvs: &mut FakeIpvs) -> BTreeMap<VirtualAddress, usize> {
    let servers = ipvs.servers().unwrap().into_iter();
    let mut count = |at: VirtualAddress| {
        let reals = ipvs.reals(at).unwrap();
        reals.iter().filter(|real| real.server.weight > 0).count()
    };
    servers
        .map(|server| (server.address, count(server.address)))
        .collect()
}

fn check(
    (mut ipvs, steps): (FakeIpvs, Vec<Step>),
    after: &mut FakeIpvs,
) -> Result<(), TestCaseError> {
    let (before, after) = (serving(&mut ipvs), serving(after));
    let stay = || {
        before
            .iter()
            .filter_map(|(at, was)| Some((at, *was, *after.get(at)?)))
    };
    for step in &steps {
        if let Step::Op(op) = step {
            if let Op::RemoveReal(of, real) = op
                && of.protocol == Protocol::Tcp
            {
                let reals = ipvs.reals(*of).unwrap();
                let gone = reals.iter().find(|it| it.server.address == *real).unwrap();
                prop_assert_eq!(gone.active, 0, "{} is cut: {:?}", op, steps);
            }
            prop_assert_eq!(ipvs.apply(&[*op]).unwrap().refused, []);
        }
        let now = serving(&mut ipvs);
        for (at, was, is) in stay() {
            let serves = now.get(at).is_some_and(|count| *count > 0);
            let must = match step {
                Step::Op(_) => was > 0 && is > 0,
                // Rules let in who is served, and keep away who is not.
                Step::Commit => was > 0 || is > 0,
            };
            prop_assert!(
                serves || !must,
                "{} serves nobody at {:?} of {:?}",
                at,
                step,
                steps
            );
        }
    }
    Ok(())
}

/// Each way from some endpoints to others, with each policy, with the kernel known or not.
#[test]
fn rules_let_nobody_in_whom_nobody_serves() {
    let ends: [&[&str]; 4] = [
        &[],
        &["10.1.0.1 here"],
        &["10.1.1.1"],
        &["10.1.0.2 here", "10.1.1.1"],
    ];
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let policies = [
        web.clone(),
        web.clone().external_local(),
        web.clone().internal_local(),
        web.internal_local().external_local(),
    ];
    let slice = |ips: &[&str]| slice("web-a", "web").tcp(8080).endpoints(ips);
    for service in &policies {
        for (from, to, known) in ways(&ends) {
            let mut node = Node::new();
            node.model.apply(service.clone().into());
            node.model.apply(slice(from).into());
            node.sync();
            node.model.apply(slice(to).into());
            if !known {
                node.engine.distrust();
            }
            let done = node.sync();
            check(done, node.ipvs()).unwrap_or_else(|why| panic!("{from:?} to {to:?}: {why}"));
        }
    }
}

/// All pairs, twice.
fn ways<T: Copy>(of: &[T]) -> impl Iterator<Item = (T, T, bool)> {
    let pairs = of
        .iter()
        .flat_map(move |from| of.iter().map(|to| (*from, *to)));
    pairs.flat_map(|(from, to)| [true, false].map(|known| (from, to, known)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_served_before_and_after_is_so_meanwhile_and_no_connection_is_cut(
        history in vec((change(), any::<u64>(), 0..3_u64, prop::bool::weighted(0.1)), 1..40),
    ) {
        let mut node = Node::new();
        for (change, chance, seconds, distrust) in history {
            node.model.apply(change);
            node.now += Duration::from_secs(seconds * 30);
            node.connect(chance);
            if distrust {
                node.engine.distrust();
            }
            let done = node.sync();
            check(done, node.ipvs())?;
        }
    }
}

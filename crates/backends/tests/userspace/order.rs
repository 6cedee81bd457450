//! What is true at every moment of a sync, and not only after it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use fairlead_backends::engine::Engine;
use fairlead_backends::nftables::table;
use fairlead_backends::userspace::{Parts, Userspace};
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_kernel::error::CallError;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::{CommitError, Committed, Nft, ObservedTable};
use fairlead_kernel::nft::ruleset::{Batch, Element, TableId};
use fairlead_kernel::routing::FakeRouting;
use fairlead_relay::fake::FakeRelay;
use fairlead_relay::handle::{ListenerAddress, Op, Refusal, Relay, Relayed};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{service, slice};
use crate::histories::step;
use crate::meaning::{PORTALS, led_to};
use crate::node::{HOST, keeping_sources};
use crate::walk::{End, Host, Packet};

/// What was done.
#[derive(Debug, Clone)]
enum Step {
    Relay(Op),
    Commit(Vec<Batch>),
}

type Log = Rc<RefCell<Vec<Step>>>;

/// A fake that writes down what is done to it.
#[derive(Default)]
struct Logged<H> {
    handle: H,
    log: Log,
    /// The next call that changes something fails.
    fails: bool,
}

impl Relay for Logged<FakeRelay> {
    fn apply(&mut self, ops: &[Op]) -> Vec<Refusal> {
        let steps = ops.iter().cloned().map(Step::Relay);
        self.log.borrow_mut().extend(steps);
        let refused = self.handle.apply(ops);
        assert_eq!(refused, [], "of {ops:?}");
        refused
    }

    fn observe(&self) -> Relayed {
        self.handle.observe()
    }

    fn in_use(&mut self, among: &[ListenerAddress]) -> BTreeSet<ListenerAddress> {
        self.handle.in_use(among)
    }
}

impl Nft for Logged<FakeNft> {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        if std::mem::take(&mut self.fails) {
            return Err(CommitError::Call(CallError {
                call: "commit",
                object: "a table".to_owned(),
                errno: 4,
            }));
        }
        self.log.borrow_mut().push(Step::Commit(batches.to_vec()));
        self.handle.commit(batches)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.handle.observe(table)
    }
}

struct Node {
    model: Model,
    engine: Engine<Userspace, Parts<Logged<FakeRelay>, Logged<FakeNft>, FakeRouting>>,
    log: Log,
}

/// What leads to endpoints.
#[derive(Clone)]
struct State {
    relay: FakeRelay,
    nft: FakeNft,
}

impl Node {
    fn new() -> Node {
        let log = Log::default();
        let parts = Parts {
            relay: Logged {
                handle: FakeRelay::new(),
                log: Rc::clone(&log),
                fails: false,
            },
            nft: Logged {
                handle: FakeNft::new(),
                log: Rc::clone(&log),
                fails: false,
            },
            routing: FakeRouting::new(),
        };
        Node {
            model: Model::new(keeping_sources()),
            engine: Engine::new(Userspace::default(), parts, &Family::BOTH),
            log,
        }
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.model.apply(change);
        }
    }

    /// A new process, which finds the table of the one before.
    fn after(before: State) -> Node {
        let mut node = Node::new();
        node.engine.kernel().nft.handle = before.nft;
        node
    }

    fn state(&mut self) -> State {
        let parts = self.engine.kernel();
        State {
            relay: parts.relay.handle.clone(),
            nft: parts.nft.handle.clone(),
        }
    }

    /// Syncs, at the second try if the first `fails`. Returns what there was before and what was
    /// done.
    fn sync(&mut self, fails: bool) -> (State, Vec<Step>) {
        let before = self.state();
        self.log.borrow_mut().clear();
        let host = HOST.map(|ip| ip.parse().unwrap());
        self.engine.kernel().nft.fails = fails;
        if self
            .engine
            .sync(&mut self.model, &host, Instant::now())
            .is_err()
        {
            self.engine
                .sync(&mut self.model, &host, Instant::now())
                .unwrap();
        }
        self.engine.kernel().nft.fails = false;
        (before, self.log.take())
    }
}

impl State {
    /// The elements that give ports of listeners, with their family and map.
    fn leading(&self) -> Vec<(Family, &'static str, &Element)> {
        let maps = Family::BOTH.map(|family| PORTALS.map(|map| (family, map)));
        let of = |(family, map)| {
            let elements = self.nft.elements(table(family), map);
            elements
                .into_iter()
                .map(move |element| (family, map, element))
        };
        maps.into_iter().flatten().flat_map(of).collect()
    }

    /// Whatever is brought anywhere is brought where somebody listens who can carry it.
    fn check_ports(&self) -> Result<(), TestCaseError> {
        let relayed = self.relay.observe();
        for (family, map, element) in self.leading() {
            let at = led_to(family, element);
            let told = format!("{map} {:?}: {at}", element.key);
            let listener = relayed.listeners.get(&at);
            let Some(listener) = listener else {
                return Err(TestCaseError::fail(format!("nobody listens: {told}")));
            };
            let name = listener.upstream.port.to_string();
            prop_assert_eq!(element.comment.as_deref(), Some(&*name), "{}", told);
            prop_assert!(
                relayed.upstreams.contains_key(&listener.upstream),
                "{}",
                told
            );
        }
        Ok(())
    }

    /// The clients that have an endpoint: by where they are, and what they ask for.
    fn served(&self) -> BTreeSet<(IpAddr, u8, SocketAddr)> {
        let host = Host {
            nft: &self.nft,
            relayed: self.relay.observe(),
            addresses: HOST.map(|ip| ip.parse().unwrap()).into(),
            mark: 0x1000,
            questions: Cell::default(),
        };
        let mut served = BTreeSet::new();
        for (family, map, element) in self.leading() {
            let at = led_to(family, element);
            let to = asked(family, map, element);
            for (source, is_node) in clients(family) {
                let mut packet = Packet::first(at.protocol, source, to);
                let end = match is_node {
                    true => host.sends(&mut packet),
                    false => host.arrives(&mut packet),
                };
                let End::Listener(at) = end else { continue };
                let listener = &host.relayed.listeners[&at];
                let upstream = &host.relayed.upstreams[&listener.upstream];
                if !upstream.pool(listener.pool).is_empty() {
                    served.insert((source, at.protocol.number(), to));
                }
            }
        }
        served
    }
}

/// A pod, the node, and somebody else.
fn clients(family: Family) -> [(IpAddr, bool); 3] {
    let clients = match family {
        Family::V4 => ["10.1.0.200", HOST[0], "192.0.2.200"],
        Family::V6 => ["fd01::200", HOST[1], "fd99::1"],
    };
    let clients = clients.map(|ip| ip.parse().unwrap());
    [(clients[0], false), (clients[1], true), (clients[2], false)]
}

/// The destination that an element is for; of a node port, at this node's address.
fn asked(family: Family, map: &str, element: &Element) -> SocketAddr {
    let key = element.key.as_slice();
    let port = key.len() - 4;
    let port = u16::from_be_bytes([key[port], key[port + 1]]);
    let ip = match (map.contains("nodeport"), family) {
        (true, _) => HOST[usize::from(family == Family::V6)].parse().unwrap(),
        (_, Family::V4) => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&key[..4]).unwrap())),
        (_, Family::V6) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&key[..16]).unwrap())),
    };
    SocketAddr::new(ip, port)
}

/// Goes through what was done, an operation at a time.
fn check((mut now, steps): (State, Vec<Step>), after: &State) -> Result<(), TestCaseError> {
    let (before, after) = (now.served(), after.served());
    let stay: BTreeSet<_> = before.intersection(&after).collect();
    for step in &steps {
        match step {
            Step::Relay(op) => {
                prop_assert_eq!(now.relay.apply(std::slice::from_ref(op)), []);
            }
            Step::Commit(batches) => {
                prop_assert!(now.nft.commit(batches).is_ok());
            }
        }
        now.check_ports()?;
        let served = now.served();
        let lost: Vec<_> = stay.iter().filter(|it| !served.contains(**it)).collect();
        prop_assert!(lost.is_empty(), "{:?} at {:?}", lost, step);
    }
    Ok(())
}

/// Each policy and each set of endpoints, after any other, with the kernel known, not known, and
/// failing once.
#[test]
fn whoever_is_served_is_so_while_policies_and_endpoints_change() {
    let ends: [&[&str]; 3] = [
        &["10.1.0.1 here"],
        &["10.1.1.1"],
        &["10.1.0.2 here", "10.1.1.1"],
    ];
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    let policies = [
        service("web", "10.96.0.1").tcp(80),
        service("web", "10.96.0.1").tcp(80).internal_local(),
        web.clone(),
        web.clone().external_local(),
        web.clone().internal_local(),
        web.internal_local().external_local(),
    ];
    let slice = |ips: &[&str]| slice("web-a", "web").tcp(8080).endpoints(ips);
    let wishes = || {
        policies
            .iter()
            .flat_map(|web| ends.iter().map(move |it| (web, *it)))
    };
    for (from, to) in wishes().flat_map(|from| wishes().map(move |to| (from, to))) {
        for (known, fails) in [(true, false), (false, false), (true, true)] {
            let mut node = Node::new();
            for (web, ends) in [from, to] {
                node.model.apply(web.clone().into());
                node.model.apply(slice(ends).into());
                if !known {
                    node.engine.distrust();
                }
                let done = node.sync(fails);
                let after = node.state();
                check(done, &after).unwrap_or_else(|why| panic!("{from:?} to {to:?}: {why}"));
            }
        }
    }
}

/// As long as the table is that of the process before, nobody listens where it leads.
fn check_restart((mut now, steps): (State, Vec<Step>)) -> Result<(), TestCaseError> {
    let before = steps.iter().map_while(|step| match step {
        Step::Relay(op) => Some(op.clone()),
        Step::Commit(_) => None,
    });
    let before: Vec<_> = before.collect();
    prop_assert_eq!(now.relay.apply(&before), []);
    let listeners = now.relay.observe().listeners;
    for (family, map, element) in now.leading() {
        let listener = listeners.get(&led_to(family, element));
        prop_assert!(listener.is_none(), "{} {:?}", map, element.comment);
    }
    Ok(())
}

/// The second Service came first, and had the first port.
#[test]
fn a_port_that_the_table_leads_to_is_not_given_to_another_service_by_a_new_process() {
    let web = |n: u8| {
        let name = format!("web-{n}");
        let slice = slice(&name, &name).tcp(8080);
        [
            service(&name, &format!("10.96.0.{n}")).tcp(80).into(),
            Change::from(slice.endpoints(&[&format!("10.1.0.{n}")])),
        ]
    };
    let mut before = Node::new();
    for change in [web(2), web(1)] {
        before.apply(change);
        before.sync(false);
    }
    let mut after = Node::after(before.state());
    after.apply([web(1), web(2)].concat());
    let done = after.sync(false);
    check_restart(done).unwrap();
    assert_eq!(after.state().leading().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 100,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_new_process_carries_to_nobody_what_was_led_to_somebody_else(
        history in vec(step(), 1..40),
        missed in vec(step(), 0..10),
    ) {
        let mut before = Node::new();
        for change in &history {
            before.model.apply(change.clone());
            before.sync(false);
        }
        let mut after = Node::after(before.state());
        after.apply(history.into_iter().chain(missed));
        check_restart(after.sync(false))?;
        after.sync(false);
        let state = after.state();
        state.check_ports()?;
    }

    #[test]
    fn what_leads_to_a_port_finds_who_listens_and_whoever_is_served_stays_so(
        history in vec((step(), prop::bool::weighted(0.1), prop::bool::weighted(0.1)), 1..40),
    ) {
        let mut node = Node::new();
        for (change, distrust, fails) in history {
            node.model.apply(change);
            if distrust {
                node.engine.distrust();
            }
            let done = node.sync(fails);
            let after = node.state();
            check(done, &after)?;
        }
    }
}

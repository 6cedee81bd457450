//! What packets count is added up, and never falls while a Service is there.

use std::time::{Duration, Instant};

use fairlead_backends::nftables::{Reason, Totals, Traffic, table};
use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{Change, Kind};
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::counters::{CountedElement, Counts, ReadCounters};
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::CallError;
use fairlead_kernel::nft::ruleset::{Bytes, SetName, TableId};

use crate::any::never;
use crate::build::{ELSEWHERE, name, service, slice};
use crate::kernel::{Node, meaning};

/// Between two readings.
const LATER: Duration = Duration::from_mins(1);

/// A node, and what was read of it.
struct Watched {
    node: Node,
    traffic: Traffic,
    now: Instant,
}

impl Watched {
    fn new(places: usize, services: &[(&str, &str)]) -> Watched {
        let services = services.iter().flat_map(|(name, ip)| web(name, ip));
        Watched {
            node: Node::settled(FakeNft::new(), services),
            traffic: Traffic::new(&Family::BOTH, places),
            now: Instant::now(),
        }
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.node.model.apply(change);
        }
        self.node.settle();
    }

    fn delete(&mut self, service: &str) {
        let (service, slice) = (name(service), name(&format!("{service}-a")));
        self.apply([
            Change::Deleted(Kind::Service, service),
            Change::Deleted(Kind::EndpointSlice, slice),
        ]);
    }

    /// So many connections to a cluster IP, of one packet of 40 bytes in either direction.
    fn connect(&mut self, ip: &str, connections: u32) {
        let kernel = self.node.kernel();
        let table = table(Family::V4);
        for _ in 0..connections {
            let key = || address(Bytes::new(), ip);
            kernel
                .count_element(table, "connections", &key(), 40)
                .unwrap();
            for direction in [0, 1] {
                let key = address(Bytes::new().direction(direction), ip);
                kernel.count_element(table, "traffic", &key, 40).unwrap();
            }
        }
    }

    fn read(&mut self) {
        self.now += LATER;
        self.traffic.read(self.node.kernel(), self.now).unwrap();
    }

    /// The connections of those that are told, by name, and of the others.
    fn connections(&self) -> (Vec<(&str, u64)>, u64) {
        let each = self.traffic.services();
        let mut told: Vec<_> = each.map(|(name, of)| (name, of.connections)).collect();
        told.sort_unstable();
        (told, self.traffic.others().connections)
    }
}

/// A Service with a TCP port 80 and one endpoint.
fn web(at: &str, ip: &str) -> [Change; 2] {
    let slice = slice(&format!("{at}-a"), at).tcp(8080);
    [
        Change::Service(service(at, ip).tcp(80).0),
        Change::EndpointSlice(slice.endpoints(&["10.1.0.1"]).0),
    ]
}

fn address(bytes: Bytes, ip: &str) -> Bytes {
    let bytes = bytes.address(ip.parse().unwrap());
    bytes.protocol(Protocol::Tcp.number()).port(80)
}

fn counts(packets: u64) -> Counts {
    Counts {
        packets,
        bytes: packets * 40,
    }
}

#[test]
fn all_that_is_counted_of_a_service_is_one_sum() {
    let mut watched = Watched::new(10, &[]);
    let two_ports = service("web", "10.96.0.1")
        .port("http", Protocol::Tcp, 80)
        .port("https", Protocol::Tcp, 443)
        .node_port(30443);
    watched.apply([Change::Service(two_ports.0)]);
    let endpoints = slice("web-a", "web").port("http", Protocol::Tcp, 8080);
    let endpoints = endpoints
        .port("https", Protocol::Tcp, 8443)
        .endpoints(&["10.1.0.1"]);
    watched.apply([Change::EndpointSlice(endpoints.0)]);
    watched.connect("10.96.0.1", 2);
    let kernel = watched.node.kernel();
    let node_port = || Bytes::new().protocol(Protocol::Tcp.number()).port(30443);
    let table = table(Family::V4);
    kernel
        .count_element(table, "nodeport-connections", &node_port(), 60)
        .unwrap();
    let reply = Bytes::new()
        .direction(1)
        .protocol(Protocol::Tcp.number())
        .port(30443);
    kernel
        .count_element(table, "nodeport-traffic", &reply, 1500)
        .unwrap();
    watched.read();
    let told: Vec<_> = watched.traffic.services().collect();
    let totals = Totals {
        connections: 3,
        original: counts(2),
        reply: Counts {
            packets: 3,
            bytes: 1580,
        },
        refused: 0,
    };
    assert_eq!(told, [("ns/web", totals)]);
    assert_eq!(watched.traffic.others(), Totals::default());
}

#[test]
fn it_goes_on_when_elements_are_made_anew() {
    let mut watched = Watched::new(10, &[("web", "10.96.0.1")]);
    watched.connect("10.96.0.1", 5);
    watched.read();
    // All elements of the Service go, and come back as new ones.
    watched.delete("web");
    watched.apply(web("web", "10.96.0.1"));
    watched.read();
    assert_eq!(watched.connections().0, [("ns/web", 5)]);
    watched.connect("10.96.0.1", 2);
    watched.read();
    assert_eq!(watched.connections().0, [("ns/web", 7)]);
    // Another address counts from nothing, too.
    watched.apply(web("web", "10.96.0.2"));
    watched.connect("10.96.0.2", 1);
    watched.read();
    assert_eq!(watched.connections().0, [("ns/web", 8)]);
}

#[test]
fn the_longest_names_are_told_apart() {
    let namespace = "n".repeat(63);
    let names = ["a", "b"].map(|last| format!("{namespace}/{}{last}", "s".repeat(62)));
    let port = "p".repeat(15);
    let mut watched = Watched::new(10, &[]);
    for (service_name, ip) in names.iter().zip(["10.96.0.1", "10.96.0.2"]) {
        let slice = slice(&format!("{service_name}-a"), &name(service_name).name);
        let slice = slice.port(&port, Protocol::Tcp, 8080);
        watched.apply([
            Change::Service(service(service_name, ip).port(&port, Protocol::Tcp, 80).0),
            Change::EndpointSlice(slice.endpoints(&["10.1.0.1"]).0),
        ]);
    }
    watched.connect("10.96.0.1", 1);
    watched.connect("10.96.0.2", 2);
    watched.read();
    let expected = vec![(&*names[0], 1), (&*names[1], 2)];
    assert_eq!(watched.connections(), (expected, 0));
}

#[test]
fn endpoints_that_come_and_go_change_nothing_of_it() {
    let mut watched = Watched::new(10, &[("web", "10.96.0.1")]);
    watched.connect("10.96.0.1", 5);
    let of = |endpoints: &[&str]| {
        let slice = slice("web-a", "web").tcp(8080).endpoints(endpoints);
        [Change::EndpointSlice(slice.0)]
    };
    watched.apply(of(&[]));
    watched.apply(of(&["10.1.0.7", "10.1.0.8"]));
    watched.connect("10.96.0.1", 1);
    watched.read();
    assert_eq!(watched.connections().0, [("ns/web", 6)]);
}

#[test]
fn a_new_start_tells_what_the_kernel_counted_before() {
    let mut watched = Watched::new(10, &[("web", "10.96.0.1")]);
    watched.connect("10.96.0.1", 5);
    watched.node.engine.distrust();
    watched.node.settle();
    watched.traffic = Traffic::new(&Family::BOTH, 10);
    watched.read();
    assert_eq!(watched.connections().0, [("ns/web", 5)]);
}

#[test]
fn who_has_no_place_is_among_the_others() {
    let ips = ["10.96.0.1", "10.96.0.2", "10.96.0.3"];
    let mut watched = Watched::new(2, &[("a", ips[0]), ("b", ips[1]), ("c", ips[2])]);
    // Nothing is told of Services that nobody uses.
    watched.read();
    assert_eq!(watched.connections(), (vec![], 0));
    for (ip, connections) in ips.into_iter().zip([1, 3, 2]) {
        watched.connect(ip, connections);
    }
    watched.read();
    assert_eq!(watched.connections(), (vec![("ns/b", 3), ("ns/c", 2)], 1));
    // Who has a place keeps it, however busy another one is.
    watched.connect(ips[0], 100);
    watched.read();
    assert_eq!(watched.connections(), (vec![("ns/b", 3), ("ns/c", 2)], 101));
    watched.delete("b");
    for _ in 0..3 {
        watched.read();
    }
    // Its place is given to the one that waits, and the sum of the others does not fall.
    assert_eq!(watched.connections(), (vec![("ns/a", 0), ("ns/c", 2)], 101));
    watched.connect(ips[0], 4);
    watched.read();
    assert_eq!(watched.connections(), (vec![("ns/a", 4), ("ns/c", 2)], 101));
}

#[test]
fn without_places_all_are_others() {
    let mut watched = Watched::new(0, &[("web", "10.96.0.1")]);
    watched.connect("10.96.0.1", 5);
    watched.read();
    assert_eq!(watched.connections(), (vec![], 5));
}

#[test]
fn a_service_that_is_deleted_is_told_no_more() {
    let mut watched = Watched::new(10, &[("web", "10.96.0.1"), ("api", "10.96.0.2")]);
    watched.connect("10.96.0.1", 5);
    watched.connect("10.96.0.2", 5);
    watched.read();
    watched.delete("web");
    for _ in 0..3 {
        watched.read();
    }
    assert_eq!(watched.connections(), (vec![("ns/api", 5)], 0));
    // One of its name begins anew.
    watched.apply(web("web", "10.96.0.1"));
    watched.connect("10.96.0.1", 1);
    watched.read();
    assert_eq!(watched.connections().0, [("ns/api", 5), ("ns/web", 1)]);
}

#[test]
fn what_is_refused_is_counted_by_service_and_by_reason() {
    let mut watched = Watched::new(10, &[]);
    let elsewhere = format!("10.1.0.9 node={ELSEWHERE}");
    watched.apply([
        Change::Service(service("idle", "10.96.0.1").tcp(80).0),
        Change::Service(service("local", "10.96.0.2").tcp(80).internal_local().0),
        Change::EndpointSlice(
            slice("local-a", "local")
                .tcp(8080)
                .endpoints(&[&elsewhere])
                .0,
        ),
    ]);
    let table = table(Family::V4);
    let kernel = watched.node.kernel();
    for (ip, reason, packets) in [
        ("10.96.0.1", Reason::NoEndpoint, 3),
        ("10.96.0.2", Reason::NoLocalEndpoint, 2),
    ] {
        for _ in 0..packets {
            let key = address(Bytes::new(), ip);
            kernel
                .count_element(table, "no-endpoint-services", &key, 60)
                .unwrap();
            kernel.count(table, reason.name(), 60).unwrap();
        }
    }
    let other = fairlead_backends::nftables::table(Family::V6);
    kernel.count(other, Reason::NoEndpoint.name(), 60).unwrap();
    watched.read();
    let mut refused: Vec<_> = watched.traffic.services().collect();
    refused.sort_unstable_by_key(|(name, _)| *name);
    let refused: Vec<_> = refused
        .iter()
        .map(|(name, of)| (*name, of.refused))
        .collect();
    assert_eq!(refused, [("ns/idle", 3), ("ns/local", 2)]);
    let told = Reason::ALL.map(|reason| watched.traffic.refused(reason));
    assert_eq!(told, [4, 2, 0, 0, 0, 0]);
    // The tables are made anew.
    watched.node.engine.remove().unwrap();
    watched.node.settle();
    watched.read();
    assert_eq!(watched.traffic.refused(Reason::NoEndpoint), 4);
}

/// Tables that leave elements out, take their time, or cannot be read.
#[derive(Default)]
struct Odd {
    kernel: FakeNft,
    holds_back: bool,
    takes: Duration,
    fails: bool,
    readings: usize,
}

impl ReadCounters for Odd {
    fn elements(
        &mut self,
        table: TableId,
        set: SetName,
        take: &mut dyn FnMut(&CountedElement<'_>),
    ) -> Result<(), CallError> {
        match self.holds_back {
            true => Ok(()),
            false => ReadCounters::elements(&mut self.kernel, table, set, take),
        }
    }

    fn counters(
        &mut self,
        of: TableId,
        take: &mut dyn FnMut(&str, Counts),
    ) -> Result<(), CallError> {
        if self.fails {
            return Err(CallError {
                call: "NFT_MSG_GETOBJ",
                object: "fairlead".to_owned(),
                errno: 105,
            });
        }
        std::thread::sleep(self.takes);
        self.readings += usize::from(of == table(Family::V4));
        self.kernel.counters(of, take)
    }
}

#[test]
fn what_is_missed_once_is_not_counted_again() {
    let mut watched = Watched::new(10, &[("web", "10.96.0.1")]);
    watched.connect("10.96.0.1", 5);
    let mut odd = Odd {
        kernel: watched.node.kernel().clone(),
        ..Odd::default()
    };
    for held_back in [false, true, true, false] {
        odd.holds_back = held_back;
        watched.now += LATER;
        watched.traffic.read(&mut odd, watched.now).unwrap();
        assert_eq!(watched.connections().0, [("ns/web", 5)]);
    }
}

#[test]
fn a_reading_that_fails_loses_nothing_and_counts_nothing_twice() {
    let mut watched = Watched::new(10, &[("web", "10.96.0.1")]);
    watched.connect("10.96.0.1", 5);
    let mut odd = Odd {
        kernel: watched.node.kernel().clone(),
        fails: true,
        ..Odd::default()
    };
    for _ in 0..5 {
        watched.now += LATER;
        assert!(watched.traffic.read(&mut odd, watched.now).is_err());
    }
    odd.fails = false;
    watched.now += LATER;
    watched.traffic.read(&mut odd, watched.now).unwrap();
    assert_eq!(watched.connections().0, [("ns/web", 5)]);
}

#[test]
fn the_kernel_is_read_the_less_often_the_longer_it_takes() {
    let mut odd = Odd::default();
    let mut traffic = Traffic::new(&[Family::V4], 10);
    let start = Instant::now();
    let mut read = |odd: &mut Odd, millis| {
        traffic
            .read(odd, start + Duration::from_millis(millis))
            .unwrap();
        odd.readings
    };
    assert_eq!([0, 999, 1000].map(|at| read(&mut odd, at)), [1, 1, 2]);
    // A fiftieth of the time at most.
    odd.takes = Duration::from_millis(100);
    assert_eq!([2000, 6999].map(|at| read(&mut odd, at)), [3, 3]);
    assert_eq!(read(&mut odd, 3_600_000), 4);
}

/// The same, with counters or without.
fn counted(on: bool) -> Settings {
    Settings {
        traffic_counters: on,
        ..Node::new(FakeNft::new(), never()).model.settings().clone()
    }
}

#[test]
fn without_counters_nothing_counts_but_what_is_refused() {
    let mut node = Node::new(FakeNft::new(), never());
    node.model.set_settings(counted(false));
    for change in web("web", "10.96.0.1") {
        node.model.apply(change);
    }
    node.settle();
    let without = node.kernel().clone();
    for set in ["connections", "traffic"] {
        assert!(without.elements(table(Family::V4), set).is_empty());
        assert!(!without.dump().contains(&format!("@{set}")), "{set}");
    }
    let count = |of: &mut FakeNft| of.count(table(Family::V4), Reason::NoEndpoint.name(), 60);
    assert_eq!(count(node.kernel()), Ok(()));

    // It is switched on and off without a new start.
    node.model.set_settings(counted(true));
    node.settle();
    let with = node.kernel().clone();
    for set in ["connections", "traffic"] {
        assert!(!with.elements(table(Family::V4), set).is_empty());
        assert!(with.dump().contains(&format!("@{set}")), "{set}");
    }
    node.model.set_settings(counted(false));
    node.settle();
    assert_eq!(meaning(node.kernel()), meaning(&without));

    // And by one, in the tables that the process before left.
    for (on, expected) in [(true, with), (false, without)] {
        node.model.set_settings(counted(on));
        node.engine.distrust();
        node.settle();
        assert_eq!(meaning(node.kernel()), meaning(&expected));
        let refused = &mut Traffic::new(&[Family::V4], 0);
        refused.read(node.kernel(), Instant::now()).unwrap();
        assert_eq!(
            refused.refused(Reason::NoEndpoint),
            1,
            "the table was made anew"
        );
    }
}

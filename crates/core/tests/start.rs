//! What is waited for before the first rules, and for how long.

mod build;

use std::time::{Duration, Instant};

use build::{Cluster, HERE, address, cluster_with, node};
use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::api::NodeAddressKind::{ExternalIp, Other};
use fairlead_core::api::{Change, Kind, Node};
use fairlead_core::settings::{DetectLocal, Settings};
use fairlead_core::start::{Gate, Missing, NoAddresses, StartError, StartGate};

const SECOND: Duration = Duration::from_secs(1);

/// A gate in time.
struct Start {
    gate: StartGate,
    cluster: Cluster,
    began: Instant,
}

impl Start {
    fn new(detect_local: DetectLocal, families: &[Family]) -> Start {
        Start {
            gate: StartGate::new(families, true),
            cluster: cluster_with(Settings {
                node_name: HERE.into(),
                detect_local,
                ..Settings::default()
            }),
            began: Instant::now(),
        }
    }

    fn told(mut self, changes: impl IntoIterator<Item = Change>) -> Start {
        self.tell(changes);
        self
    }

    fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        changes
            .into_iter()
            .for_each(|change| drop(self.cluster.tell(change)));
    }

    /// The verdict some seconds after the begin.
    fn at(&mut self, seconds: u32) -> Gate {
        self.gate
            .verdict(&self.cluster.0, self.began + seconds * SECOND)
    }

    fn waits(&mut self, seconds: u32, missing: Missing, until: Option<u32>) {
        let until = until.map(|until| self.began + until * SECOND);
        assert_eq!(self.at(seconds), Gate::Wait { missing, until });
    }
}

fn synced(kinds: &[Kind]) -> impl Iterator<Item = Change> {
    kinds.iter().copied().map(Change::Synced)
}

fn with_pods(ips: &[&str], pod_cidrs: &[&str]) -> Change {
    Change::Node(Node {
        pod_cidrs: pod_cidrs.iter().map(ToString::to_string).collect(),
        ..node(ips)
    })
}

#[test]
fn a_node_with_an_address_begins_when_the_objects_are_told() {
    let mut start = Start::new(DetectLocal::None, &Family::BOTH);
    start.waits(0, Missing::Source, None);
    // However long the API server is away.
    start.waits(1000, Missing::Source, None);
    start.tell([
        Change::Node(node(&["192.0.2.10"])),
        Change::Synced(Kind::Node),
    ]);
    start.waits(1000, Missing::Objects, None);
    start.tell(synced(&[Kind::Service]));
    start.waits(1001, Missing::Objects, None);
    start.tell(synced(&[Kind::EndpointSlice]));
    assert_eq!(start.at(1001), Gate::Go(None));
}

#[test]
fn a_node_without_address_is_waited_for_half_a_minute_from_the_first_word() {
    let nameless = Node {
        addresses: vec![address(Other, "node-1")],
        ..node(&[])
    };
    for (told, known) in [(None, false), (Some(Change::Node(nameless)), true)] {
        let mut start = Start::new(DetectLocal::None, &Family::BOTH);
        start.waits(90, Missing::Source, None);
        start.tell(synced(&Kind::ALL).chain(told));
        start.waits(100, Missing::Addresses, Some(130));
        start.waits(129, Missing::Addresses, Some(130));
        let ips = ["127.0.0.1", "::1"].map(|ip| ip.parse().unwrap()).to_vec();
        let notice = NoAddresses {
            node: HERE.into(),
            known,
            ips,
        };
        assert!(notice.to_string().contains("127.0.0.1 and ::1"), "{notice}");
        assert_eq!(start.at(130), Gate::Go(Some(notice)));
    }
}

#[test]
fn an_address_that_comes_late_ends_the_wait() {
    let mut start = Start::new(DetectLocal::None, &Family::BOTH).told(synced(&Kind::ALL));
    start.waits(0, Missing::Addresses, Some(30));
    let outside = Node {
        addresses: vec![address(ExternalIp, "203.0.113.10")],
        ..node(&[])
    };
    start.tell([Change::Node(outside)]);
    assert_eq!(start.at(7), Gate::Go(None));
}

/// The Node may have an address of the other family.
#[test]
fn a_node_is_waited_for_though_its_address_is_given() {
    let mut start = Start::new(DetectLocal::None, &Family::BOTH);
    start.cluster = cluster_with(Settings {
        node_name: HERE.into(),
        node_ip: Some("192.0.2.7".parse().unwrap()),
        ..Settings::default()
    });
    start.tell(synced(&Kind::ALL));
    start.waits(0, Missing::Addresses, Some(30));
    let Gate::Go(Some(notice)) = start.at(30) else {
        panic!("it goes on without, and says so")
    };
    assert!(notice.to_string().contains("192.0.2.7 and ::1"), "{notice}");
}

#[test]
fn pod_networks_are_waited_for_where_they_are_needed() {
    let mut start = Start::new(DetectLocal::NodeCidr, &Family::BOTH).told(synced(&Kind::ALL));
    start.tell([Change::Node(node(&["192.0.2.10"]))]);
    start.waits(0, Missing::PodCidrs, Some(330));
    start.waits(329, Missing::PodCidrs, Some(330));
    let mut late = start.gate.clone();
    let error = StartError::NoPodCidrs(HERE.into());
    assert!(error.to_string().contains("PodCIDR allocation"), "{error}");
    assert_eq!(start.at(330), Gate::GiveUp(error));
    start.tell([with_pods(&["192.0.2.10"], &["10.1.0.0/24"])]);
    let verdict = late.verdict(&start.cluster.0, start.began + 329 * SECOND);
    assert_eq!(verdict, Gate::Go(None));
}

#[test]
fn pod_networks_without_an_address_will_do() {
    let mut start = Start::new(DetectLocal::NodeCidr, &Family::BOTH).told(synced(&Kind::ALL));
    start.tell([with_pods(&[], &["10.1.0.0/24"])]);
    start.waits(0, Missing::Addresses, Some(30));
    let Gate::Go(Some(notice)) = start.at(30) else {
        panic!("it goes on without, and says so")
    };
    assert!(notice.known);
}

#[test]
fn a_node_that_never_comes_is_an_error_where_its_pod_networks_are_needed() {
    let mut start = Start::new(DetectLocal::NodeCidr, &Family::BOTH).told(synced(&Kind::ALL));
    start.waits(0, Missing::Addresses, Some(30));
    start.waits(30, Missing::PodCidrs, Some(330));
    let error = StartError::NoNode(HERE.into());
    assert!(error.to_string().contains("to exist"), "{error}");
    assert_eq!(start.at(330), Gate::GiveUp(error));
}

#[test]
fn the_nodes_own_family_has_to_be_served() {
    for (ips, families, served) in [
        (["192.0.2.10", "2001:db8::10"], &[V4][..], true),
        (["2001:db8::10", "192.0.2.10"], &[V4], false),
        (["2001:db8::10", "192.0.2.10"], &Family::BOTH, true),
    ] {
        let mut start = Start::new(DetectLocal::None, families).told(synced(&Kind::ALL));
        start.tell([Change::Node(node(&ips))]);
        let expected = match served {
            true => Gate::Go(None),
            false => Gate::GiveUp(StartError::Family(V6)),
        };
        assert_eq!(start.at(0), expected, "{ips:?}");
    }
}

/// Files say at once all that they have to say.
#[test]
fn manifests_without_a_node_are_not_waited_for() {
    let mut start = Start::new(DetectLocal::NodeCidr, &Family::BOTH);
    start.gate = StartGate::new(&Family::BOTH, false);
    start.waits(0, Missing::Objects, None);
    start.tell(synced(&Kind::ALL));
    assert_eq!(start.at(0), Gate::Go(None));
}

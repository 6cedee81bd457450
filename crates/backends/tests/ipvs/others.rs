//! What was there before, and what others have.

use fairlead_core::settings::{IpvsSettings, Settings};
use fairlead_kernel::ipvs::handle::{Ipvs, Op};
use fairlead_kernel::ipvs::server::{Flags, RealServer, SchedulerName, VirtualServer};
use fairlead_kernel::ipvs::watched::WatchedIpvs;

use crate::build::{service, slice};
use crate::node::{Fakes, Node, settings, tcp};

fn server(at: &str, scheduler: &str) -> Op {
    Op::AddServer(VirtualServer {
        address: tcp(at),
        scheduler: SchedulerName::new(scheduler).unwrap(),
        flags: Flags::default(),
        persistence: None,
    })
}

fn real(of: &str, at: &str, weight: u32) -> Op {
    let address = at.parse().unwrap();
    Op::AddReal(tcp(of), RealServer { address, weight })
}

fn with(ops: &[Op]) -> Fakes {
    let mut fakes = Fakes::default();
    assert_eq!(fakes.ipvs.apply(ops).unwrap().refused, []);
    fakes
}

#[test]
fn kube_proxys_virtual_servers_are_taken_over() {
    let there = [
        server("10.96.0.1:80", "rr"),
        real("10.96.0.1:80", "10.1.0.1:8080", 1),
        real("10.96.0.1:80", "10.1.0.9:8080", 1),
        server("10.96.0.9:80", "rr"),
    ];
    let mut node = Node::settled(with(&there), []);
    // Nothing is served: all of it is gone. Now with a Service from the beginning.
    assert_eq!(node.ipvs().saved(), "");
    let mut node = Node::new(with(&there), || Box::new(|_| None));
    let endpoints = slice("web-a", "web")
        .tcp(8080)
        .endpoints(&["10.1.0.1", "10.1.0.2"]);
    let report = node.change([service("web", "10.96.0.1").tcp(80).into(), endpoints.into()]);
    let expected = "\
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.1.0.1:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.1.0.2:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.1.0.9:8080 -m -w 0
";
    assert_eq!(node.ipvs().saved(), expected);
    assert!(report.full);
}

#[test]
fn virtual_servers_in_excluded_networks_stay() {
    let there = [
        server("203.0.113.1:80", "wlc"),
        server("198.51.100.1:80", "wlc"),
    ];
    let mut node = Node::new(with(&there), || Box::new(|_| None));
    node.model.set_settings(Settings {
        ipvs: IpvsSettings {
            exclude_cidrs: vec!["203.0.113.0/24".parse().unwrap()],
            ..IpvsSettings::default()
        },
        ..settings()
    });
    node.settle();
    assert_eq!(node.ipvs().saved(), "-A -t 203.0.113.1:80 -s wlc\n");
}

#[test]
fn what_others_do_to_virtual_servers_is_seen() {
    let mut ipvs = WatchedIpvs::new(Fakes::default().ipvs);
    let ops = [
        server("10.96.0.1:80", "rr"),
        real("10.96.0.1:80", "10.1.0.1:8080", 1),
    ];
    ipvs.apply(&ops).unwrap();
    assert!(!ipvs.touched().unwrap());
    // Our own changes are none of others'.
    let gone = "10.1.0.1:8080".parse().unwrap();
    ipvs.apply(&[Op::RemoveReal(tcp("10.96.0.1:80"), gone)])
        .unwrap();
    assert!(!ipvs.touched().unwrap());
    for op in [
        real("10.96.0.1:80", "10.1.0.2:8080", 1),
        server("10.96.0.2:80", "rr"),
        Op::RemoveServer(tcp("10.96.0.1:80")),
    ] {
        let mut ipvs = WatchedIpvs::new(Fakes::default().ipvs);
        ipvs.apply(&ops).unwrap();
        ipvs.ipvs_mut().apply(&[op]).unwrap();
        assert!(ipvs.touched().unwrap(), "{op}");
        // Once it is read it is known.
        for server in ipvs.servers().unwrap() {
            ipvs.reals(server.address).unwrap();
        }
        assert!(!ipvs.touched().unwrap(), "{op}");
    }
}

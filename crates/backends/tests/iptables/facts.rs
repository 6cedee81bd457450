//! What the rules are on hosts that cannot do all, and what one kind of Service alone has.

use std::net::IpAddr;
use std::time::Instant;

use fairlead_backends::engine::Engine;
use fairlead_backends::iptables::{Facts, Iptables};
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_kernel::iptables::fake::FakeIptables;
use fairlead_kernel::iptables::ruleset;

use crate::build::service;
use crate::node::{Node, empty, settings};

/// The rules of IPv4 on a host that offers this.
fn rules(facts: Facts) -> String {
    let mut model = Model::new(settings());
    let mut engine = Engine::new(Iptables { facts }, empty(), &Family::BOTH);
    let host = [IpAddr::from([192, 0, 2, 10])];
    engine.sync(&mut model, &host, Instant::now()).unwrap();
    let iptables: &mut FakeIptables = engine.kernel();
    iptables.save(ruleset::Family::Ip)
}

/// The first rule of KUBE-FORWARD.
fn forward(facts: Facts) -> String {
    let rules = rules(facts);
    let first = rules
        .lines()
        .find(|line| line.starts_with("-A KUBE-FORWARD "));
    first.unwrap_or_default().to_owned()
}

#[test]
fn what_is_invalid_is_dropped_and_counted_unless_conntrack_is_liberal() {
    let present = Facts::default();
    assert_eq!(
        forward(present),
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct \
         --nfacct-name  ct_state_invalid_dropped_pkts -j DROP"
    );
    let uncounted = Facts {
        counts_invalid: false,
        ..present
    };
    assert_eq!(
        forward(uncounted),
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP"
    );
    let liberal = Facts {
        liberal: true,
        ..present
    };
    assert!(!rules(liberal).contains("INVALID"));
    assert!(forward(liberal).contains("kubernetes forwarding rules"));
}

#[test]
fn ports_are_drawn_at_random_where_iptables_can() {
    let saves = [true, false].map(|random_fully| {
        rules(Facts {
            random_fully,
            ..Facts::default()
        })
    });
    let can = saves.map(|save| save.contains("-j MASQUERADE --random-fully\n"));
    assert_eq!(can, [true, false]);
}

#[test]
fn health_checks_are_let_in_as_long_as_the_service_has_them() {
    let balanced = service("web", "10.96.0.1").tcp(80).balanced("203.0.113.1");
    let balanced = balanced.external_local().health_check(32000).0;
    let mut node = Node::settled(empty(), [Change::Service(balanced)]);
    let rule = "-A KUBE-NODEPORTS -p tcp -m comment --comment \"ns/web health check node port\" \
                -m tcp --dport 32000 -j ACCEPT";
    assert!(node.save().contains(rule), "{}", node.save());
    node.apply([Change::Service(service("web", "10.96.0.1").tcp(80).0)]);
    node.settle();
    assert!(!node.save().contains("32000"), "{}", node.save());
}

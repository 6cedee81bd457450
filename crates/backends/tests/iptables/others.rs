//! What other programs have in the same tables stays, and what kube-proxy left is taken over.

use fairlead_backends::iptables::{PortChain, port_chain};
use fairlead_core::address::Protocol;
use fairlead_core::api::{Change, Kind, ObjectName};
use fairlead_core::model::ServicePortName;
use fairlead_core::settings::NodePortAddresses;
use fairlead_kernel::iptables::fake::FakeIptables;
use fairlead_kernel::iptables::rule::{Rule, Target};
use fairlead_kernel::iptables::ruleset::{Family, Op, Table, TableId};

use crate::any::never;
use crate::build::{service, slice};
use crate::node::{Node, empty, settings};

const NAT: TableId = TableId {
    family: Family::Ip,
    table: Table::Nat,
};
const FILTER: TableId = TableId {
    family: Family::Ip,
    table: Table::Filter,
};

fn web() -> [Change; 2] {
    let slice = slice("web-1", "web").tcp(8080).endpoints(&["10.1.0.1"]);
    [
        Change::Service(service("web", "10.96.0.1").tcp(80).node_port(30080).0),
        Change::EndpointSlice(slice.0),
    ]
}

/// What a CNI plugin has.
fn plugin(iptables: &mut FakeIptables) {
    let ops = vec![
        Op::Create("CNI-HOSTPORT".into()),
        Op::Append(
            "CNI-HOSTPORT".into(),
            Rule::commented("a port").then(Target::Return),
        ),
        Op::Append("PREROUTING".into(), Rule::default().jump("CNI-HOSTPORT")),
    ];
    iptables.play(NAT, ops).unwrap();
}

/// The rules of a chain as text.
fn rules(node: &mut Node, chain: &str) -> Vec<String> {
    let save = node.save();
    let begin = format!("-A {chain} ");
    let rules = save.lines().filter_map(|line| line.strip_prefix(&begin));
    rules.map(str::to_owned).collect()
}

#[test]
fn chains_and_rules_of_others_stay() {
    let mut iptables = empty();
    plugin(&mut iptables);
    let before = iptables.save(Family::Ip);
    let mut node = Node::settled(iptables, web());
    assert_eq!(rules(&mut node, "CNI-HOSTPORT").len(), 1);
    assert!(rules(&mut node, "PREROUTING")[1].contains("CNI-HOSTPORT"));
    node.engine.remove().unwrap();
    let kubelets = |line: &&str| !line.contains("KUBE-FIREWALL");
    let after = node.save();
    let nat = |save: &str| {
        save.split("*nat")
            .nth(1)
            .unwrap()
            .split("COMMIT")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(nat(&after), nat(&before));
    assert!(
        after
            .lines()
            .filter(kubelets)
            .all(|line| !line.contains("KUBE")),
        "{after}"
    );
    assert!(!node.engine.remove().unwrap());
}

#[test]
fn hooks_that_are_there_stay_where_they_are() {
    let mut before = Node::settled(empty(), web());
    let mut iptables = before.iptables().clone();
    let first = Rule::commented("somebody's").then(Target::Return);
    for chain in ["PREROUTING", "OUTPUT"] {
        iptables
            .play(NAT, vec![Op::Insert(chain.into(), first.clone())])
            .unwrap();
    }
    let expected = iptables.save(Family::Ip);
    let mut node = Node::settled(iptables, web());
    assert_eq!(node.save(), expected);
}

#[test]
fn chains_of_services_that_are_gone_go() {
    let mut before = Node::settled(empty(), web());
    let mut node = Node::settled(before.iptables().clone(), []);
    let mut fresh = Node::settled(empty(), []);
    assert_eq!(node.save(), fresh.save());
}

/// On a clean host, as kube-proxy puts them.
#[test]
fn hooks_are_in_kube_proxys_order() {
    let mut node = Node::settled(empty(), []);
    let targets = |node: &mut Node, chain| -> Vec<String> {
        let save = node.save();
        let (_, rest) = save.split_once("*filter").unwrap();
        let filter = rest.split("COMMIT").next().unwrap();
        let begin = format!("-A {chain} ");
        let rules = filter.lines().filter(|line| line.starts_with(&begin));
        rules
            .map(|line| line.rsplit(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        targets(&mut node, "INPUT"),
        [
            "KUBE-FIREWALL",
            "KUBE-PROXY-FIREWALL",
            "KUBE-NODEPORTS",
            "KUBE-EXTERNAL-SERVICES"
        ]
    );
    assert_eq!(
        targets(&mut node, "FORWARD"),
        [
            "KUBE-PROXY-FIREWALL",
            "KUBE-FORWARD",
            "KUBE-SERVICES",
            "KUBE-EXTERNAL-SERVICES"
        ]
    );
    assert_eq!(
        targets(&mut node, "OUTPUT"),
        ["KUBE-FIREWALL", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES"]
    );
}

#[test]
fn the_kubelets_rules_in_its_firewall_stay_unless_localhost_needs_one() {
    let mut iptables = empty();
    let ops = vec![
        Op::Create("KUBE-FIREWALL".into()),
        Op::Append(
            "KUBE-FIREWALL".into(),
            Rule::commented("of the kubelet").then(Target::Drop),
        ),
    ];
    iptables.play(FILTER, ops).unwrap();
    let mut node = Node::new(iptables, never());
    let all = NodePortAddresses {
        all: true,
        ..NodePortAddresses::default()
    };
    node.model.set_settings(fairlead_core::settings::Settings {
        node_port_addresses: all,
        ..settings()
    });
    node.apply(web());
    node.settle();
    assert!(rules(&mut node, "KUBE-FIREWALL")[0].contains("of the kubelet"));
    // What serves localhost writes the chain, as kube-proxy does.
    node.model.set_settings(settings());
    node.settle();
    let guard = rules(&mut node, "KUBE-FIREWALL");
    assert_eq!(guard.len(), 1);
    assert!(guard[0].contains("block incoming localnet connections"));
}

#[test]
fn other_settings_leave_what_a_fresh_start_with_them_would() {
    let other = fairlead_core::settings::Settings {
        masquerade_all: true,
        masquerade_mark: 1 << 15,
        node_port_addresses: NodePortAddresses {
            all: true,
            ..NodePortAddresses::default()
        },
        ..settings()
    };
    let mut node = Node::settled(empty(), web());
    node.model.set_settings(other.clone());
    node.settle();
    let mut fresh = Node::new(empty(), never());
    fresh.model.set_settings(other);
    fresh.apply(web());
    fresh.settle();
    // The guard of loopback addresses stays in the chain that the kubelet shares.
    let without_guard = |text: String| {
        let lines = text
            .lines()
            .filter(|line| !line.contains("block incoming localnet"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        without_guard(node.meaning()),
        without_guard(fresh.meaning())
    );
}

/// A plugin may lead to our chains, as to KUBE-MARK-MASQ.
fn lead_to(iptables: &mut FakeIptables, chain: &str) {
    let ops = vec![
        Op::Create("CNI-MASQ".into()),
        Op::Append("CNI-MASQ".into(), Rule::default().jump(chain)),
    ];
    iptables.play(NAT, ops).unwrap();
}

#[test]
fn a_chain_that_anothers_rule_leads_to_is_emptied_and_holds_nothing_up() {
    let mut node = Node::settled(empty(), web());
    let chain = port_chain(
        PortChain::Cluster,
        &ServicePortName {
            service: ObjectName::new("ns", "web"),
            port: "".into(),
            protocol: Protocol::Tcp,
        },
    );
    assert!(!rules(&mut node, &chain).is_empty());
    lead_to(node.iptables(), &chain);
    for full in [false, true] {
        if full {
            node.engine.distrust();
        }
        node.apply([
            Change::Deleted(Kind::Service, ObjectName::new("ns", "web")),
            Change::Service(service("other", "10.96.0.2").tcp(80).0),
        ]);
        let report = node.sync().unwrap();
        assert_eq!((report.full, report.excluded.len()), (full, 0));
        assert!(node.save().contains("10.96.0.2/32"));
        assert!(node.iptables().chains(NAT).contains(&&*chain));
        assert!(rules(&mut node, &chain).is_empty());
    }
    node.apply(web());
    node.sync().unwrap();
    assert!(!rules(&mut node, &chain).is_empty());
}

#[test]
fn cleanup_removes_the_rest_when_others_lead_to_a_chain_of_ours() {
    let mut node = Node::settled(empty(), web());
    let marks = "KUBE-MARK-MASQ";
    lead_to(node.iptables(), marks);
    // One that is there twice, and one that is not ours.
    let health = "kubernetes health check service ports";
    let again = Rule::commented(health).jump("KUBE-NODEPORTS");
    let others = Rule::commented("another's").jump("KUBE-FORWARD");
    let ops = [again, others].map(|rule| Op::Insert("INPUT".into(), rule));
    node.iptables().play(FILTER, ops.into()).unwrap();
    let error = node.engine.remove().unwrap_err().to_string();
    assert!(error.contains("KUBE-FORWARD, KUBE-MARK-MASQ"), "{error}");
    let left: Vec<_> = node.save().lines().map(str::to_owned).collect();
    let ours = left.iter().filter(|line| line.contains("KUBE"));
    let ours: Vec<_> = ours
        .filter(|line| !line.contains("KUBE-FIREWALL"))
        .collect();
    assert_eq!(
        ours,
        [
            ":KUBE-FORWARD - [0:0]",
            "-A INPUT -m comment --comment \"another\\'s\" -j KUBE-FORWARD",
            ":KUBE-MARK-MASQ - [0:0]",
            "-A CNI-MASQ -j KUBE-MARK-MASQ",
        ]
    );
}

//! Every kind of rule, in both families: what the fake prints is what iptables prints.

use fairlead_kernel::iptables::fake::FakeIptables;
use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::rule::{
    Interface, Match, Probability, Protocol, Rule, State, Target,
};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};
use fairlead_kernel::nfacct::Nfacct;

use super::privilege;
use super::real::{in_namespace, save_of};
use super::world::{append, create, then};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

fn matches() -> Vec<Rule> {
    let list = || "KUBE-SEP-2EDJ3MRZZFRQG32B".to_owned();
    let seconds = 10800;
    let mark = |negate| Match::Mark {
        negate,
        bits: 0x4000,
    };
    let state = |negate, states| Match::State { negate, states };
    let mut matches = vec![
        Match::Comment("shop/web:http -> [fd00::5]:8080 ä 'x' \"y\" \\z".to_owned()),
        Match::Comment("plain-text_1".to_owned()),
        state(false, &[State::New]),
        state(false, &[State::Invalid]),
        state(true, &[State::Related, State::Established, State::Dnat]),
        Match::SourceIsLocal,
        Match::DestinationIsLocal,
        mark(false),
        mark(true),
        Match::Remember { list: list() },
        Match::Remembered {
            list: list(),
            seconds,
        },
        Match::Count("seen"),
    ];
    // As many endpoints as a cluster has before it is large.
    matches.extend((1..=1000).map(|n| Match::Random(Probability::one_in(n))));
    let rules = matches.into_iter();
    let rules = rules.map(|one| Rule::default().matching(one));
    let transport = PROTOCOLS.into_iter().flat_map(|protocol| {
        [None, Some(53)].map(|dport| Rule::default().transport(protocol, dport))
    });
    rules.chain(transport).collect()
}

fn nets(family: Family) -> Vec<Rule> {
    let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    let (all, one, some) = match family {
        Family::Ip => (net("0.0.0.0/0"), net("192.0.2.1/32"), net("10.0.0.0/8")),
        Family::Ip6 => (net("::/0"), net("2001:db8::1/128"), net("fd00::/8")),
    };
    let interface = |prefix, negate| Rule {
        input: Some(Interface {
            name: "veth".to_owned(),
            prefix,
            negate,
        }),
        ..Rule::default()
    };
    vec![
        Rule::default().from(all).to(all),
        Rule::default().from(some).to(one),
        Rule::default().not_from(some).not_to(one),
        interface(false, true).from(one),
        interface(true, false),
    ]
}

fn targets(family: Family, table: Table) -> Vec<Rule> {
    let to = match family {
        Family::Ip => "10.1.0.5:8080",
        Family::Ip6 => "[fd00:10::5]:8080",
    };
    let mut targets = vec![
        Target::Accept,
        Target::Return,
        Target::SetMark(0x4000),
        Target::SetMark(0x8000_0000),
        Target::FlipMark(0x4000),
        Target::Jump("two".into()),
    ];
    targets.extend(match table {
        Table::Filter => vec![Target::Drop, Target::Reject],
        Table::Mangle => vec![Target::Drop],
        Table::Nat => [true, false]
            .map(|random_fully| Target::Masquerade { random_fully })
            .into(),
    });
    let mut rules: Vec<_> = targets.into_iter().map(then).collect();
    if table == Table::Nat {
        let dnat = |protocol| Rule::default().transport(protocol, None);
        let dnat = |protocol| dnat(protocol).then(Target::Dnat(to.parse().unwrap()));
        rules.extend(PROTOCOLS.map(dnat));
    }
    rules
}

fn everything(family: Family, table: Table) -> Batch {
    let rules = [matches(), nets(family), targets(family, table)].concat();
    let rules = rules.into_iter().map(|rule| append("one", rule));
    let ops: Vec<Op> = [create("one"), create("two")]
        .into_iter()
        .chain(rules)
        .collect();
    Batch {
        table: TableId { family, table },
        ops,
    }
}

#[test]
fn every_rule_is_printed_as_iptables_prints_it_and_found_again() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        let mut nfacct = Nfacct::open().unwrap();
        if !nfacct.is_supported().unwrap() {
            eprintln!("skipped: this kernel has no nfnetlink_acct");
            return;
        }
        nfacct.ensure("seen").unwrap();
        let mut fake = FakeIptables::new();
        fake.account("seen");
        for family in [Family::Ip, Family::Ip6] {
            for table in Table::ALL {
                let batch = everything(family, table);
                let removal = Batch {
                    ops: batch.ops.iter().filter_map(removed).collect(),
                    ..batch
                };
                let mut expected = String::new();
                for batch in [batch, removal] {
                    for iptables in [&mut legacy as &mut dyn Iptables, &mut fake] {
                        iptables.apply(std::slice::from_ref(&batch)).unwrap();
                    }
                    expected = save_of(family, table.name());
                    assert!(fake.save(family).contains(&expected), "{expected}");
                }
                assert!(!expected.contains("-A one"), "{expected}");
            }
        }
    });
}

fn removed(op: &Op) -> Option<Op> {
    match op {
        Op::Append(chain, rule) => Some(Op::Remove(chain.clone(), rule.clone())),
        _ => None,
    }
}

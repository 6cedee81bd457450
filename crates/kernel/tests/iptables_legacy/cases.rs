//! What iptables refuses, one case at a time, and some of what it takes.

use fairlead_kernel::iptables::rule::{Match, Probability, Protocol, Rule, Target};
use fairlead_kernel::iptables::ruleset::{Op, TableId};

use super::world::{
    FILTER, NAT, append, create, declare, delete, from_interface, insert, jump, masquerade, remove,
    rich, then,
};

/// What happens to one more batch on the [ground](super::world::ground).
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) table: TableId,
    pub(crate) ops: Vec<Op>,
    /// The operation that is refused.
    pub(crate) refused: Option<usize>,
    /// iptables lets it pass, for it does not know what is meant.
    pub(crate) ours_alone: bool,
}

fn taken(what: &'static str, table: TableId, ops: impl Into<Vec<Op>>) -> Case {
    Case {
        what,
        table,
        ops: ops.into(),
        refused: None,
        ours_alone: false,
    }
}

/// The last operation is refused.
fn refused(what: &'static str, table: TableId, ops: impl Into<Vec<Op>>) -> Case {
    let case = taken(what, table, ops);
    Case {
        refused: Some(case.ops.len() - 1),
        ..case
    }
}

/// The table is refused when all has been done.
fn in_the_end(what: &'static str, table: TableId, ops: impl Into<Vec<Op>>) -> Case {
    let case = taken(what, table, ops);
    Case {
        refused: Some(case.ops.len()),
        ..case
    }
}

fn ours_alone(what: &'static str, table: TableId, ops: impl Into<Vec<Op>>) -> Case {
    Case {
        ours_alone: true,
        ..refused(what, table, ops)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    [chains(), names(), rules(), matches(), targets(), ways()]
        .into_iter()
        .flatten()
        .collect()
}

fn chains() -> Vec<Case> {
    vec![
        taken(
            "a new chain",
            NAT,
            [create("new"), append("new", jump("one"))],
        ),
        refused("a chain again", NAT, [create("one")]),
        refused("a built-in chain", NAT, [create("PREROUTING")]),
        ours_alone("declaring a built-in chain", NAT, [declare("PREROUTING")]),
        taken(
            "declaring empties",
            NAT,
            [declare("new"), declare("one"), append("one", jump("new"))],
        ),
        taken("deleting an empty chain", NAT, [delete("apart")]),
        taken(
            "deleting what led to a chain, and the chain",
            NAT,
            [declare("one"), declare("two"), delete("two")],
        ),
        refused("deleting no chain", NAT, [delete("none")]),
        refused("deleting a built-in chain", NAT, [delete("INPUT")]),
        refused("deleting a chain with a rule", NAT, [delete("far")]),
        refused(
            "deleting a chain that a rule leads to",
            NAT,
            [declare("two"), delete("two")],
        ),
        refused(
            "deleting a chain that a rule leads to since this batch",
            NAT,
            [append("far", jump("apart")), delete("apart")],
        ),
        refused(
            "deleting a chain that a rule of its own leads to",
            NAT,
            [append("apart", jump("apart")), delete("apart")],
        ),
        refused(
            "deleting a chain twice",
            NAT,
            [delete("apart"), delete("apart")],
        ),
        refused(
            "nothing is done of what precedes",
            NAT,
            [create("new"), declare("one"), append("none", jump("new"))],
        ),
    ]
}

fn names() -> Vec<Case> {
    let longest: &str = "a-name-of-exactly-28-letters";
    let longer: &str = "a-name-of-exactly-29-letters-";
    vec![
        taken("the longest name", NAT, [create(longest)]),
        taken("the longest name declared", NAT, [declare(longest)]),
        refused("a longer name", NAT, [create(longer)]),
        refused("a longer name declared", NAT, [declare(longer)]),
        refused(
            "a jump to a longer name",
            NAT,
            [append("one", jump(longer))],
        ),
        refused("a name like an option", NAT, [create("-new")]),
        ours_alone("a name like an option declared", NAT, [declare("-new")]),
        refused("a name like a negation", NAT, [create("!new")]),
        refused("a name of two words", NAT, [create("a b")]),
        refused("the name of a target", NAT, [create("MASQUERADE")]),
        ours_alone("the name of a target declared", NAT, [declare("MARK")]),
        refused("the name of a verdict", NAT, [create("ACCEPT")]),
    ]
}

fn rules() -> Vec<Case> {
    let everywhere = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    vec![
        taken(
            "inserting",
            NAT,
            [insert("one", rich()), insert("OUTPUT", jump("apart"))],
        ),
        refused("appending to no chain", NAT, [append("none", jump("one"))]),
        refused(
            "inserting into no chain",
            NAT,
            [insert("none", jump("one"))],
        ),
        refused("removing from no chain", NAT, [remove("none", jump("one"))]),
        refused("a jump to no chain", NAT, [append("one", jump("none"))]),
        refused(
            "a jump to a chain that comes after",
            NAT,
            [append("one", jump("none")), create("none")],
        )
        .at(0),
        refused(
            "a jump to a built-in chain",
            NAT,
            [append("one", jump("INPUT"))],
        ),
        refused("removing no rule", NAT, [remove("one", jump("apart"))]),
        refused(
            "removing a jump to no chain",
            NAT,
            [remove("one", jump("none"))],
        ),
        refused(
            "removing a rule twice",
            NAT,
            [remove("far", rich()), remove("far", rich())],
        ),
        refused(
            "removing a rule with another comment",
            NAT,
            [remove("OUTPUT", Rule::commented("to one").jump("one"))],
        ),
        taken(
            "removing all",
            NAT,
            [
                remove("OUTPUT", Rule::commented("to \"one\"").jump("one")),
                remove("one", jump("two")),
                remove("two", Rule::default()),
                remove(
                    "far",
                    rich()
                        .from(everywhere("10.0.0.0/8"))
                        .not_from(everywhere("10.0.0.0/8")),
                ),
                delete("one"),
                delete("two"),
                delete("far"),
            ],
        ),
        taken(
            "removing the first of equal rules",
            NAT,
            [
                append("apart", jump("two")),
                append("apart", jump("far")),
                append("apart", jump("two")),
                remove("apart", jump("two").from(everywhere("0.0.0.0/0"))),
            ],
        ),
        refused(
            "an address of the other family",
            FILTER,
            [append(
                "one",
                Rule::default().to(everywhere("2001:db8::1/128")),
            )],
        ),
    ]
}

fn matches() -> Vec<Case> {
    let one = |one: Match| [append("one", Rule::default().matching(one))];
    let comment = |length| one(Match::Comment("c".repeat(length)));
    let remember = |list: &str| {
        one(Match::Remember {
            list: list.to_owned(),
        })
    };
    vec![
        taken(
            "an interface",
            FILTER,
            [append("one", from_interface("a-lot-of-letter"))],
        ),
        refused(
            "a longer interface",
            FILTER,
            [append("one", from_interface("a-lot-of-letters"))],
        ),
        refused("no interface", FILTER, [append("one", from_interface(""))]),
        refused(
            "an interface on the way out",
            FILTER,
            [append("OUTPUT", from_interface("lo"))],
        ),
        taken("an empty comment", FILTER, comment(0)),
        taken("the longest comment", FILTER, comment(255)),
        ours_alone("a longer comment", FILTER, comment(256)),
        taken("the longest list", FILTER, remember(&"l".repeat(199))),
        ours_alone("a longer list", FILTER, remember(&"l".repeat(200))),
        in_the_end("a list in a folder", FILTER, remember("a/b")),
        refused("a list without a name", FILTER, remember("")),
        refused("a list of two words", FILTER, remember("a b")),
        refused(
            "no time at all",
            FILTER,
            one(Match::Remembered {
                list: "LIST".to_owned(),
                seconds: 0,
            }),
        ),
        taken(
            "always and never",
            FILTER,
            [
                one(Match::Random(Probability(0))),
                one(Match::Random(Probability(1 << 31))),
            ]
            .concat(),
        ),
        refused(
            "more than always",
            FILTER,
            one(Match::Random(Probability((1 << 31) + 400))),
        ),
        refused(
            "no state",
            FILTER,
            one(Match::State {
                negate: false,
                states: &[],
            }),
        ),
        in_the_end(
            "a protocol's match without the protocol",
            FILTER,
            one(Match::Transport {
                protocol: Protocol::Udp,
                dport: Some(53),
            }),
        ),
        in_the_end(
            "another protocol's match",
            FILTER,
            [append(
                "one",
                Rule {
                    protocol: Some(Protocol::Tcp),
                    ..Rule::default().transport(Protocol::Udp, None)
                },
            )],
        ),
        in_the_end("a count in no object", FILTER, one(Match::Count("none"))),
        refused(
            "a refused operation before a refused table",
            FILTER,
            [remember("a/b"), [delete("none")]].concat(),
        ),
    ]
}

fn targets() -> Vec<Case> {
    let dnat = |text: &str| Target::Dnat(text.parse().unwrap());
    let tcp = |target| Rule::default().transport(Protocol::Tcp, None).then(target);
    vec![
        taken(
            "a new destination",
            NAT,
            [append("one", tcp(dnat("10.0.0.1:80")))],
        ),
        refused(
            "a port without a protocol",
            NAT,
            [append("one", then(dnat("10.0.0.1:80")))],
        ),
        refused(
            "a destination of the other family",
            NAT,
            [append("one", tcp(dnat("[::1]:80")))],
        ),
        in_the_end(
            "a destination elsewhere",
            FILTER,
            [append("one", tcp(dnat("10.0.0.1:80")))],
        ),
        taken("dropping", FILTER, [append("one", then(Target::Drop))]),
        refused(
            "dropping where it is not for",
            NAT,
            [append("one", then(Target::Drop))],
        ),
        taken("rejecting", FILTER, [append("one", then(Target::Reject))]),
        in_the_end(
            "rejecting elsewhere",
            NAT,
            [append("far", then(Target::Reject))],
        ),
        in_the_end(
            "masquerading elsewhere",
            FILTER,
            [append("far", masquerade())],
        ),
        taken(
            "marks and verdicts",
            NAT,
            [
                append("one", then(Target::FlipMark(1))),
                append("one", then(Target::SetMark(0x8000_0000))),
                append("one", then(Target::Accept)),
                append("one", then(Target::Return)),
            ],
        ),
    ]
}

/// Where packets get to.
fn ways() -> Vec<Case> {
    let postrouting = append("POSTROUTING", jump("apart"));
    let circle = || append("two", jump("one"));
    vec![
        in_the_end("a circle", NAT, [circle()]),
        in_the_end(
            "a chain that leads to itself",
            NAT,
            [append("two", jump("two"))],
        ),
        taken(
            "a circle that nothing leads into",
            NAT,
            [append("far", jump("apart")), append("apart", jump("far"))],
        ),
        in_the_end(
            "a way into a circle",
            NAT,
            [
                append("far", jump("apart")),
                append("apart", jump("far")),
                append("one", jump("far")),
            ],
        ),
        taken(
            "a circle that was opened again",
            NAT,
            [circle(), remove("two", jump("one"))],
        ),
        taken(
            "a circle behind a verdict for all",
            NAT,
            [append("two", then(Target::Return)), circle()],
        ),
        in_the_end(
            "a circle behind a verdict for some",
            NAT,
            [
                append("two", Rule::commented("").then(Target::Return)),
                circle(),
            ],
        ),
        taken(
            "a chain by two ways",
            NAT,
            [append("one", jump("apart")), append("two", jump("apart"))],
        ),
        taken(
            "masquerading at the end",
            NAT,
            [append("apart", masquerade()), postrouting],
        ),
        in_the_end("masquerading before", NAT, [append("two", masquerade())]),
        taken(
            "masquerading where nothing comes",
            NAT,
            [append("apart", masquerade())],
        ),
        in_the_end(
            "a new destination at the end",
            NAT,
            [
                append(
                    "two",
                    Rule::default()
                        .transport(Protocol::Tcp, None)
                        .then(Target::Dnat("10.0.0.1:80".parse().unwrap())),
                ),
                append("POSTROUTING", jump("one")),
            ],
        ),
    ]
}

impl Case {
    /// It is this operation that is refused.
    fn at(self, op: usize) -> Case {
        Case {
            refused: Some(op),
            ..self
        }
    }
}

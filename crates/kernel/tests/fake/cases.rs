//! What the kernel refuses, one case at a time, and some of what it takes.

use fairlead_kernel::nft::rule::{Expr, Statement};
use fairlead_kernel::nft::ruleset::{
    ChainKind, Data, DataType, Element, Family, Hook, Op, Set, Type, Value,
};

use super::ruleset::{address, base, chain, commented, element, goto, range, rule};
use super::world::{
    delete, follow, jump, key, member, pair, remember, sets, small_set, value, value_map,
};

/// What happens to one more transaction on the [ground](super::world::ground).
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) ops: Vec<Op>,
    /// The operation that is refused, and the errno.
    pub(crate) refused: Option<(usize, i32)>,
    /// The kernel lets it pass, for it does not know what is meant.
    pub(crate) ours_alone: bool,
}

fn taken(what: &'static str, ops: impl Into<Vec<Op>>) -> Case {
    Case {
        what,
        ops: ops.into(),
        refused: None,
        ours_alone: false,
    }
}

fn refused(what: &'static str, op: Op, errno: i32) -> Case {
    refused_at(0, what, [op], errno)
}

fn refused_at(at: usize, what: &'static str, ops: impl Into<Vec<Op>>, errno: i32) -> Case {
    Case {
        refused: Some((at, errno)),
        ..taken(what, ops)
    }
}

fn ours_alone(what: &'static str, op: Op, errno: i32) -> Case {
    Case {
        ours_alone: true,
        ..refused(what, op, errno)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    [
        missing_things(),
        elements(),
        intervals(),
        chains(),
        definitions(),
        rules(),
        ways(),
        sockets(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn missing_things() -> Vec<Case> {
    use libc::ENOENT;
    vec![
        refused_at(
            1,
            "a chain of a deleted table",
            [Op::DeleteTable, chain("new")],
            ENOENT,
        ),
        refused_at(
            1,
            "deleting a table twice",
            [Op::DeleteTable, Op::DeleteTable],
            ENOENT,
        ),
        refused(
            "a rule in no chain",
            rule("none", [Statement::Drop]),
            ENOENT,
        ),
        refused("flushing no chain", Op::FlushChain("none".into()), ENOENT),
        refused("deleting no chain", Op::DeleteChain("none".into()), ENOENT),
        refused("flushing no set", Op::FlushSet("none"), ENOENT),
        refused("deleting no set", Op::DeleteSet("none"), ENOENT),
        refused(
            "an element of no set",
            element("none", key(1), None),
            ENOENT,
        ),
        refused(
            "deleting a missing element",
            delete("values", key(7), None),
            ENOENT,
        ),
        refused_at(
            1,
            "deleting an element twice",
            [
                delete("values", key(1), None),
                delete("values", key(1), None),
            ],
            ENOENT,
        ),
        refused(
            "a rule with no such set",
            rule("apart", [member("none")]),
            ENOENT,
        ),
        refused(
            "a rule with no such counter",
            rule("apart", [Statement::Count("none")]),
            ENOENT,
        ),
        refused("a rule to no chain", rule("apart", [jump("none")]), ENOENT),
        refused(
            "a verdict to no chain",
            element("verdicts", key(2), Some(goto("none"))),
            ENOENT,
        ),
        refused_at(
            2,
            "one bad operation after good ones",
            [
                element("values", key(2), Some(value(2))),
                chain("new"),
                delete("values", key(7), None),
            ],
            ENOENT,
        ),
    ]
}

fn elements() -> Vec<Case> {
    use libc::{EEXIST, EINVAL, ENFILE, EOPNOTSUPP};
    let small = |last| element("small", key(last), None);
    let too_long = Data::Value(Value::new().address(address(Family::Ip, 1)).port(80));
    let several = |values: [u8; 3]| Op::AddElements {
        set: "values",
        elements: (1..)
            .zip(values)
            .map(|(last, data)| Element {
                data: Some(value(data)),
                ..Element::new(key(last))
            })
            .collect(),
    };
    vec![
        taken("several elements", [several([2, 3, 4])]),
        refused("one of several elements", several([3, 3, 4]), EEXIST),
        taken(
            "an element again",
            [
                element("values", key(1), Some(value(2))),
                commented(element("values", key(1), Some(value(2))), "said again"),
                element("verdicts", key(1), Some(goto("one"))),
            ],
        ),
        refused(
            "other data for a key",
            element("values", key(1), Some(value(3))),
            EEXIST,
        ),
        refused(
            "another verdict for a key",
            element("verdicts", key(1), Some(goto("apart"))),
            EEXIST,
        ),
        taken(
            "other data after a removal",
            [
                delete("values", key(1), None),
                element("values", key(1), Some(value(3))),
            ],
        ),
        refused(
            "a verdict to a base chain",
            element("verdicts", key(2), Some(goto("base"))),
            EOPNOTSUPP,
        ),
        refused("no data in a map", element("values", key(2), None), EINVAL),
        refused(
            "data in a set",
            element("small", key(2), Some(value(2))),
            EINVAL,
        ),
        refused(
            "a verdict among values",
            element("values", key(2), Some(goto("one"))),
            EINVAL,
        ),
        refused(
            "a value among verdicts",
            element("verdicts", key(2), Some(value(2))),
            EINVAL,
        ),
        refused(
            "a key that is too long",
            element("values", pair(1, 2), Some(value(2))),
            EINVAL,
        ),
        refused(
            "a key that is too short",
            range("pairs", key(1), key(2)),
            EINVAL,
        ),
        refused(
            "a key shorter than its end",
            range("pairs", key(1), pair(1, 2)),
            EINVAL,
        ),
        refused(
            "data that is too long",
            element("values", key(2), Some(too_long)),
            EINVAL,
        ),
        refused_at(
            2,
            "more than fits a set",
            [small(1), small(2), small(3)],
            ENFILE,
        ),
        taken(
            "as many as fit, one after another",
            [
                small(1),
                small(2),
                small(2),
                delete("small", key(1), None),
                small(3),
            ],
        ),
    ]
}

fn intervals() -> Vec<Case> {
    use libc::{EEXIST, EINVAL, ENOENT};
    let ranges = |first, last| range("ranges", key(first), key(last));
    let pairs = |first, last| range("pairs", pair(1, first), pair(1, last));
    vec![
        taken("a range again", [ranges(16, 31), pairs(16, 31)]),
        taken("ranges that touch", [ranges(8, 15), ranges(32, 32)]),
        refused("a range within another", ranges(17, 18), EEXIST),
        refused("a range around another", ranges(15, 32), EEXIST),
        refused("a range with the start of another", ranges(16, 20), EEXIST),
        refused("a range with the end of another", ranges(20, 31), EEXIST),
        ours_alone(
            "a range around another to the same end",
            ranges(8, 31),
            EEXIST,
        ),
        refused("a range into another", ranges(10, 16), EEXIST),
        refused("a range out of another", ranges(31, 40), EEXIST),
        refused(
            "a range within another of a concatenation",
            pairs(17, 18),
            EEXIST,
        ),
        refused(
            "a range into another of a concatenation",
            pairs(10, 16),
            EEXIST,
        ),
        taken("a range around another of a concatenation", [pairs(15, 32)]),
        taken(
            "the same range beside another first field",
            [range("pairs", pair(2, 16), pair(2, 31))],
        ),
        refused(
            "deleting a part of a range",
            delete("ranges", key(16), Some(key(20))),
            ENOENT,
        ),
        taken(
            "deleting ranges",
            [
                delete("ranges", key(16), Some(key(31))),
                delete("pairs", pair(1, 16), Some(pair(1, 31))),
            ],
        ),
        ours_alone(
            "deleting a part of a range of a concatenation",
            delete("pairs", pair(1, 17), Some(pair(1, 18))),
            ENOENT,
        ),
        ours_alone(
            "a range without an end",
            element("ranges", key(40), None),
            EINVAL,
        ),
        refused(
            "a range in a set without ranges",
            range("small", key(1), key(2)),
            EINVAL,
        ),
        refused("a range that ends before it starts", pairs(40, 39), EINVAL),
    ]
}

fn chains() -> Vec<Case> {
    use libc::{EBUSY, EEXIST, EOPNOTSUPP};
    let nat = |name, hook, priority| base(name, ChainKind::Nat, hook, priority);
    vec![
        refused(
            "deleting a chain with rules",
            Op::DeleteChain("far".into()),
            EBUSY,
        ),
        refused(
            "deleting a chain that a rule leads to",
            Op::DeleteChain("apart".into()),
            EBUSY,
        ),
        refused(
            "deleting a chain that a map leads to",
            Op::DeleteChain("one".into()),
            EBUSY,
        ),
        taken(
            "deleting chains after what led to them",
            [
                Op::FlushChain("far".into()),
                Op::DeleteChain("far".into()),
                Op::DeleteChain("apart".into()),
                Op::FlushSet("verdicts"),
                Op::DeleteChain("one".into()),
            ],
        ),
        taken(
            "a chain again",
            [
                chain("one"),
                chain("base"),
                nat("base", Hook::Prerouting, 0),
            ],
        ),
        refused(
            "a hook for a chain that has none",
            nat("one", Hook::Prerouting, 0),
            EOPNOTSUPP,
        ),
        refused(
            "another type for a base chain",
            base("base", ChainKind::Filter, Hook::Prerouting, 0),
            EEXIST,
        ),
        refused(
            "another hook for a base chain",
            nat("base", Hook::Output, 0),
            EOPNOTSUPP,
        ),
        refused(
            "another priority for a base chain",
            nat("base", Hook::Prerouting, 1),
            EOPNOTSUPP,
        ),
        refused(
            "nat where it cannot be",
            nat("new", Hook::Forward, 0),
            EOPNOTSUPP,
        ),
        refused(
            "nat before connections are known",
            nat("new", Hook::Prerouting, -200),
            EOPNOTSUPP,
        ),
        taken("nat just after that", [nat("new", Hook::Prerouting, -199)]),
        taken(
            "routing anew at any priority",
            [base("new", ChainKind::Route, Hook::Output, -300)],
        ),
        refused(
            "routing anew what was not sent here",
            base("new", ChainKind::Route, Hook::Prerouting, 0),
            EOPNOTSUPP,
        ),
    ]
}

fn definitions() -> Vec<Case> {
    use libc::{EBUSY, EEXIST};
    let again = Op::AddSet;
    vec![
        refused(
            "deleting a map that a rule uses",
            Op::DeleteSet("verdicts"),
            EBUSY,
        ),
        taken(
            "deleting a map and the rules that use it",
            [Op::FlushChain("base".into()), Op::DeleteSet("verdicts")],
        ),
        taken("sets again", sets().map(Op::AddSet)),
        taken(
            "a set again with another size and comment",
            [again(Set {
                size: Some(9),
                comment: Some("larger"),
                ..small_set()
            })],
        ),
        refused(
            "a map where a set is",
            again(Set {
                name: "small",
                ..value_map()
            }),
            EEXIST,
        ),
        refused(
            "another key",
            again(Set {
                key: &[Type::Port],
                ..value_map()
            }),
            EEXIST,
        ),
        refused(
            "other data",
            again(Set {
                data: Some(DataType::Fields(&[Type::Port])),
                ..value_map()
            }),
            EEXIST,
        ),
        refused(
            "ranges where there were none",
            again(Set {
                interval: true,
                ..small_set()
            }),
            EEXIST,
        ),
        refused(
            "a dynamic set where there was none",
            again(Set {
                dynamic: true,
                ..small_set()
            }),
            EEXIST,
        ),
        taken(
            "a set instead of a deleted one",
            [
                Op::DeleteSet("values"),
                Op::AddSet(Set {
                    key: &[Type::Port],
                    ..value_map()
                }),
            ],
        ),
        taken(
            "a table instead of a deleted one",
            [
                Op::DeleteTable,
                Op::AddTable { comment: "new" },
                chain("one"),
            ],
        ),
    ]
}

fn rules() -> Vec<Case> {
    use libc::{EINVAL, EOPNOTSUPP};
    let from = |map| Statement::SetDestinationFromMap {
        key: vec![Expr::SourceAddress],
        map,
    };
    let one = |statement| rule("apart", [statement]);
    vec![
        taken("a map used as a set", [one(member("values"))]),
        refused(
            "values used as verdicts",
            one(Statement::VerdictMap {
                key: vec![Expr::SourceAddress],
                map: "values",
            }),
            EINVAL,
        ),
        refused("verdicts used as values", one(from("verdicts")), EINVAL),
        refused("a set used as a map", one(from("small")), EINVAL),
        taken("an update of a dynamic map", [one(remember("learnt"))]),
        refused("verdicts used as ports", one(to_socket("verdicts")), EINVAL),
        refused("a set used as ports", one(to_socket("small")), EINVAL),
        refused("ports of no map", one(to_socket("none")), libc::ENOENT),
        ours_alone("addresses used as ports", one(to_socket("values")), EINVAL),
        refused(
            "an update of another map",
            one(remember("values")),
            EOPNOTSUPP,
        ),
        refused("a jump to a base chain", one(jump("base")), EOPNOTSUPP),
        ours_alone(
            "a key of another type",
            one(Statement::InSet {
                key: vec![Expr::DestinationPort],
                set: "small",
                negate: false,
            }),
            EINVAL,
        ),
    ]
}

/// A statement that asks a map for a port.
fn to_socket(map: &'static str) -> Statement {
    Statement::Tproxy {
        key: vec![Expr::SourceAddress],
        map,
    }
}

fn ports() -> Set {
    Set {
        data: Some(DataType::Fields(&[Type::Port])),
        name: "ports",
        ..value_map()
    }
}

/// Where sockets are known.
fn sockets() -> Vec<Case> {
    use libc::EOPNOTSUPP;
    vec![
        taken(
            "a socket for what comes in",
            [
                Op::AddSet(ports()),
                rule(
                    "two",
                    [Statement::HasPorts, to_socket("ports"), Statement::Accept],
                ),
            ],
        ),
        refused_at(
            2,
            "a socket for what goes out",
            [
                Op::AddSet(ports()),
                base("out", ChainKind::Route, Hook::Output, 0),
                rule("out", [to_socket("ports")]),
            ],
            EOPNOTSUPP,
        ),
        taken(
            "asking whose socket sends",
            [
                base("out", ChainKind::Route, Hook::Output, 0),
                rule("out", [Statement::HasSender, Statement::IsTransparent]),
            ],
        ),
        refused_at(
            1,
            "asking for a socket on the way through",
            [
                base("through", ChainKind::Filter, Hook::Forward, 0),
                rule("through", [Statement::IsTransparent]),
            ],
            EOPNOTSUPP,
        ),
        refused_at(
            2,
            "deleting the map of a socket's port",
            [
                Op::AddSet(ports()),
                rule("two", [to_socket("ports")]),
                Op::DeleteSet("ports"),
            ],
            libc::EBUSY,
        ),
    ]
}

/// Where packets get to.
fn ways() -> Vec<Case> {
    use libc::{EMLINK, EOPNOTSUPP};
    let name = |index| format!("step-{index}");
    let stairs = |count: usize| {
        let chains = (0..count).map(|index| chain(&name(index)));
        let jumps = (1..count).map(|index| rule(&name(index - 1), [jump(&name(index))]));
        let first = rule("base", [jump(&name(0))]);
        chains.chain(jumps).chain([first]).collect::<Vec<_>>()
    };
    vec![
        refused(
            "masquerading before routing",
            rule("three", [Statement::Masquerade]),
            EOPNOTSUPP,
        ),
        taken(
            "masquerading where no packet comes",
            [rule("apart", [Statement::Masquerade])],
        ),
        refused_at(
            1,
            "a map that leads to masquerading",
            [
                rule("apart", [Statement::Masquerade]),
                element("verdicts", key(2), Some(goto("apart"))),
            ],
            EOPNOTSUPP,
        ),
        refused_at(
            1,
            "a reject after routing",
            [
                base("post", ChainKind::Filter, Hook::Postrouting, 0),
                rule("post", [Statement::Reject]),
            ],
            EOPNOTSUPP,
        ),
        taken(
            "a reject before routing",
            [rule("three", [Statement::Reject])],
        ),
        refused("a jump to itself", rule("three", [jump("three")]), EMLINK),
        refused("a jump back", rule("three", [jump("two")]), EMLINK),
        refused("a map that leads back", rule("one", [follow()]), EMLINK),
        refused_at(
            1,
            "an element that leads back",
            [
                rule("apart", [follow()]),
                element("verdicts", key(2), Some(goto("apart"))),
            ],
            EMLINK,
        ),
        taken(
            "a circle where no packet comes",
            [rule("apart", [jump("far")])],
        ),
        taken("fifteen jumps", stairs(15)),
        refused_at(31, "sixteen jumps", stairs(16), EMLINK),
    ]
}

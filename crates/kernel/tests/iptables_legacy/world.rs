//! A small world, and words to say what is done to it.

use fairlead_kernel::iptables::handle::{Applied, ApplyError};
use fairlead_kernel::iptables::rule::{Interface, Match, Protocol, Rule, State, Target};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};
use fairlead_kernel::iptables::text::op_line;

pub(crate) const NAT: TableId = TableId {
    family: Family::Ip,
    table: Table::Nat,
};

pub(crate) const FILTER: TableId = TableId {
    family: Family::Ip,
    table: Table::Filter,
};

pub(crate) fn batch(table: TableId, ops: Vec<Op>) -> Batch {
    Batch { table, ops }
}

pub(crate) fn create(chain: &str) -> Op {
    Op::Create(chain.into())
}

pub(crate) fn declare(chain: &str) -> Op {
    Op::Declare(chain.into())
}

pub(crate) fn delete(chain: &str) -> Op {
    Op::Delete(chain.into())
}

pub(crate) fn append(chain: &str, rule: Rule) -> Op {
    Op::Append(chain.into(), rule)
}

pub(crate) fn insert(chain: &str, rule: Rule) -> Op {
    Op::Insert(chain.into(), rule)
}

pub(crate) fn remove(chain: &str, rule: Rule) -> Op {
    Op::Remove(chain.into(), rule)
}

pub(crate) fn jump(chain: &str) -> Rule {
    Rule::default().jump(chain)
}

pub(crate) fn then(target: Target) -> Rule {
    Rule::default().then(target)
}

pub(crate) fn masquerade() -> Rule {
    then(Target::Masquerade { random_fully: true })
}

pub(crate) fn from_interface(name: &str) -> Rule {
    let input = Some(Interface {
        name: name.to_owned(),
        prefix: false,
        negate: false,
    });
    Rule {
        input,
        ..Rule::default()
    }
}

/// Where every case begins, in each table: OUTPUT leads to `one` with a comment, `one` to `two`;
/// `far` is led to by nothing and has a rule; `apart` is empty.
pub(crate) fn ground(table: TableId) -> Batch {
    let mut ops: Vec<Op> = ["one", "two", "far", "apart"].map(create).into();
    ops.extend([
        append("OUTPUT", Rule::commented("to \"one\"").jump("one")),
        append("one", jump("two")),
        append("two", Rule::default().to(any_net())),
        append("far", rich()),
    ]);
    batch(table, ops)
}

fn any_net() -> ipnet::IpNet {
    "0.0.0.0/0".parse().unwrap()
}

/// A rule with a bit of everything.
pub(crate) fn rich() -> Rule {
    let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    let list = "LIST".to_owned();
    Rule::commented("it's a \"rich\" \\ rule -> [x] #1")
        .not_from(net("10.0.0.0/8"))
        .to(net("192.0.2.1/32"))
        .transport(Protocol::Tcp, Some(80))
        .matching(Match::State {
            negate: true,
            states: &[State::Related, State::Established],
        })
        .matching(Match::Mark {
            negate: true,
            bits: 0x4000,
        })
        .matching(Match::Remembered { list, seconds: 9 })
        .matching(Match::DestinationIsLocal)
        .then(Target::SetMark(0x4000))
}

/// Operations as they are printed, for messages.
pub(crate) fn printed(ops: &[Op]) -> String {
    let lines = ops.iter().map(|op| op_line(op, Family::Ip).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

/// What was refused: the batch and the operation.
pub(crate) fn outcome(result: &Result<Applied, ApplyError>) -> Option<(usize, usize)> {
    match result {
        Ok(_) => None,
        Err(ApplyError::Refused(refusal)) => Some((refusal.batch, refusal.op)),
        Err(error) => panic!("{error}"),
    }
}

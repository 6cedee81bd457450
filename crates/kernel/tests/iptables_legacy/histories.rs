//! Random histories for the small world.

use fairlead_kernel::iptables::rule::{Match, Protocol, Rule, Target};
use fairlead_kernel::iptables::ruleset::{Batch, Op, TableId};
use proptest::prelude::*;

use super::world::{FILTER, NAT, batch, jump, masquerade, then};

/// Calls to apply something, one after another.
pub(crate) fn any_history() -> impl Strategy<Value = Vec<Vec<Batch>>> {
    let table = || prop::sample::select(vec![NAT, FILTER]);
    let batch = (table(), prop::collection::vec(any_op(), 1..8))
        .prop_map(|(table, ops): (TableId, _)| batch(table, ops));
    prop::collection::vec(prop::collection::vec(batch, 1..3), 1..8)
}

/// Operations that meet; what the fake alone refuses is left out.
fn any_op() -> impl Strategy<Value = Op> {
    let own = || some(&["one", "two", "far", "apart", "new"]);
    let any = || some(&["one", "two", "far", "apart", "new", "OUTPUT", "POSTROUTING"]);
    prop_oneof![
        1 => any().prop_map(|chain| Op::Create(chain.into())),
        2 => own().prop_map(|chain| Op::Declare(chain.into())),
        6 => (any(), any_rule()).prop_map(|(chain, rule)| Op::Append(chain.into(), rule)),
        3 => (any(), any_rule()).prop_map(|(chain, rule)| Op::Insert(chain.into(), rule)),
        2 => (any(), any_rule()).prop_map(|(chain, rule)| Op::Remove(chain.into(), rule)),
        1 => any().prop_map(|chain| Op::Delete(chain.into())),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let tcp = || Rule::default().transport(Protocol::Tcp, Some(80));
    prop_oneof![
        6 => some(&["one", "two", "far", "apart"]).prop_map(jump),
        1 => some(&["new", "INPUT"]).prop_map(jump),
        2 => Just(Rule::commented("a 'comment'").jump("two")),
        1 => Just(then(Target::Return)),
        1 => Just(then(Target::Drop)),
        1 => Just(then(Target::Reject)),
        1 => Just(masquerade()),
        1 => Just(tcp().then(Target::Dnat(([10, 0, 0, 1], 80).into()))),
        1 => Just(Rule::default().matching(Match::DestinationIsLocal).then(Target::SetMark(1))),
    ]
}

fn some(names: &[&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names.to_vec())
}

//! A small table, and words to say what is done to it.

use std::time::Duration;

use fairlead_kernel::nft::rule::{Expr, Statement};
use fairlead_kernel::nft::ruleset::{
    Batch, Bytes, ChainKind, Data, DataType, Element, Family, Hook, Op, Set, TableId, Type, Value,
};

use super::ruleset::{self, base, chain, element, goto, range, rule, set};

pub(crate) const TABLE: TableId = TableId {
    family: Family::Ip,
    name: "fairlead",
};

pub(crate) fn key(last: u8) -> Bytes {
    Bytes::new().address(ruleset::address(Family::Ip, last))
}

/// Two addresses, for a concatenation.
pub(crate) fn pair(first: u8, last: u8) -> Bytes {
    key(first).address(ruleset::address(Family::Ip, last))
}

pub(crate) fn value(last: u8) -> Data {
    Data::Value(Value::new().address(ruleset::address(Family::Ip, last)))
}

pub(crate) fn delete(set: &'static str, key: Bytes, key_end: Option<Bytes>) -> Op {
    let element = Element {
        key_end: key_end.map(Box::new),
        ..Element::new(key)
    };
    Op::DeleteElements {
        set,
        elements: vec![element],
    }
}

pub(crate) fn verdict_map() -> Set {
    Set {
        data: Some(DataType::Verdict),
        ..set("verdicts", &[Type::Address])
    }
}

pub(crate) fn value_map() -> Set {
    Set {
        data: Some(DataType::Fields(&[Type::Address])),
        ..set("values", &[Type::Address])
    }
}

pub(crate) fn small_set() -> Set {
    Set {
        size: Some(2),
        ..set("small", &[Type::Address])
    }
}

pub(crate) fn dynamic_map() -> Set {
    Set {
        data: Some(DataType::Fields(&[Type::Address])),
        dynamic: true,
        size: Some(3),
        ..set("learnt", &[Type::Address])
    }
}

pub(crate) fn ranges() -> Set {
    Set {
        interval: true,
        ..set("ranges", &[Type::Address])
    }
}

pub(crate) fn pairs() -> Set {
    Set {
        interval: true,
        ..set("pairs", &[Type::Address, Type::Address])
    }
}

pub(crate) fn sets() -> [Set; 6] {
    [
        verdict_map(),
        value_map(),
        small_set(),
        dynamic_map(),
        ranges(),
        pairs(),
    ]
}

pub(crate) fn follow() -> Statement {
    Statement::VerdictMap {
        key: vec![Expr::SourceAddress],
        map: "verdicts",
    }
}

pub(crate) fn member(set: &'static str) -> Statement {
    Statement::InSet {
        key: vec![Expr::SourceAddress],
        set,
        negate: false,
    }
}

pub(crate) fn remember(map: &'static str) -> Statement {
    Statement::Update {
        map,
        key: vec![Expr::SourceAddress],
        timeout: Duration::from_mins(1),
        data: vec![Expr::DestinationAddress],
    }
}

pub(crate) fn jump(chain: &str) -> Statement {
    Statement::Jump(chain.into())
}

/// Where every case begins: `base` leads to `one` by a map, and to `two` and `three` by rules.
pub(crate) fn ground() -> Batch {
    let mut ops = vec![
        Op::AddTable { comment: "ground" },
        base("base", ChainKind::Nat, Hook::Prerouting, 0),
    ];
    ops.extend(["one", "two", "three", "apart", "far"].map(chain));
    ops.extend(sets().map(Op::AddSet));
    ops.extend([
        element("verdicts", key(1), Some(goto("one"))),
        element("values", key(1), Some(value(2))),
        range("ranges", key(16), key(31)),
        range("pairs", pair(1, 16), pair(1, 31)),
        rule("base", [follow()]),
        rule("base", [jump("two")]),
        rule("two", [jump("three")]),
        rule("three", [member("small"), Statement::Drop]),
        rule("far", [Statement::Goto("apart".into())]),
    ]);
    batch(ops)
}

pub(crate) fn batch(ops: Vec<Op>) -> Batch {
    Batch { table: TABLE, ops }
}

//! Prints definitions of sets, and elements.

use super::super::contents::FilledSet;
use super::super::ruleset::{Bytes, Data, DataType, Element, Family, Set, Type, Value, Verdict};
use super::super::schema::{self, Field, Span};
use super::{comment, rule::concat};

/// The lines of a set's block before its elements.
pub(super) fn definition(family: Family, set: &Set) -> Vec<String> {
    let flags: Vec<&str> = flags(set).collect();
    vec![
        type_line(family, set),
        counted(set.counted).to_owned(),
        set.size
            .map_or_else(String::new, |size| format!("size {size}")),
        if flags.is_empty() {
            String::new()
        } else {
            format!("flags {}", flags.join(","))
        },
        comment(set.comment),
    ]
}

fn counted(counted: bool) -> &'static str {
    if counted { "counter" } else { "" }
}

/// What a new element has counted.
fn counts(set: Option<&Set>) -> &'static str {
    if set.is_some_and(|set| set.counted) {
        "counter packets 0 bytes 0"
    } else {
        ""
    }
}

/// The words for a set's flags.
pub(in super::super) fn flags(set: &Set) -> impl Iterator<Item = &'static str> {
    let interval = set.interval.then_some("interval");
    let dynamic = set.dynamic.then_some(["dynamic", "timeout"]);
    interval.into_iter().chain(dynamic.into_iter().flatten())
}

fn type_line(family: Family, set: &Set) -> String {
    let (word, (key, data)) = match described(family, set) {
        Some(described) => ("typeof", described),
        None => ("type", (types(family, set.key), data_types(family, set))),
    };
    match data {
        Some(data) => format!("{word} {key} : {data}"),
        None => format!("{word} {key}"),
    }
}

/// Key and data for `typeof`, where that is shown.
fn described(family: Family, set: &Set) -> Option<(String, Option<String>)> {
    let key = concat(family, set.typeof_key.as_ref()?);
    let data = match &set.data {
        None => None,
        Some(DataType::Verdict) => Some("verdict".to_owned()),
        Some(DataType::Fields(_)) => Some(concat(family, set.typeof_data.as_ref()?)),
    };
    Some((key, data))
}

fn data_types(family: Family, set: &Set) -> Option<String> {
    Some(match set.data.as_ref()? {
        DataType::Verdict => "verdict".to_owned(),
        DataType::Fields(fields) => types(family, fields),
    })
}

/// The names of datatypes side by side.
pub(in super::super) fn types(family: Family, types: &[Type]) -> String {
    let names: Vec<&str> = types.iter().map(|kind| type_name(family, *kind)).collect();
    names.join(" . ")
}

/// The name of a datatype (nft(8), "Data types").
pub(in super::super) fn type_name(family: Family, kind: Type) -> &'static str {
    match (kind, family) {
        (Type::Address, Family::Ip) => "ipv4_addr",
        (Type::Address, Family::Ip6) => "ipv6_addr",
        (Type::Protocol, _) => "inet_proto",
        (Type::Port, _) => "inet_service",
        (Type::Number, _) => "integer",
        (Type::Direction, _) => "ct_dir",
    }
}

/// The elements of a set, sorted by their keys.
pub(super) fn sorted(family: Family, filled: &FilledSet<'_>) -> Vec<String> {
    filled
        .sorted(family)
        .into_iter()
        .map(|one| element(family, Some(filled.set), one))
        .collect()
}

/// The keys of elements, of a set that may be unknown.
pub(super) fn keys(family: Family, set: Option<&Set>, elements: &[Element]) -> String {
    let key = |one: &Element| key(family, set, &one.key, one.key_end.as_deref());
    elements.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// An element, of a set that may be unknown.
pub(super) fn element(family: Family, set: Option<&Set>, element: &Element) -> String {
    let mut words = vec![
        key(family, set, &element.key, element.key_end.as_deref()),
        counts(set).to_owned(),
        comment(element.comment.as_deref()),
    ];
    match &element.data {
        Some(Data::Verdict(verdict)) => words.push(format!(": {}", self::verdict(verdict))),
        Some(Data::Value(value)) => words.push(format!(": {}", value_text(family, set, value))),
        None => {}
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// The key of an element, which goes to `end` in an interval set.
fn key(family: Family, set: Option<&Set>, key: &Bytes, end: Option<&Bytes>) -> String {
    set.and_then(|set| schema::spans(set.key, family, key, end))
        .map_or_else(
            || match end {
                Some(end) => format!("{}-{}", hex(key), hex(end)),
                None => hex(key),
            },
            |spans| joined(spans, span),
        )
}

fn value_text(family: Family, set: Option<&Set>, value: &Value) -> String {
    let types = set.and_then(|set| match set.data {
        Some(DataType::Fields(types)) => Some(types),
        _ => None,
    });
    types
        .and_then(|types| schema::fields(types, family, value))
        .map_or_else(|| hex(value), |fields| joined(fields, field))
}

fn hex<const MAX: usize>(bytes: &Bytes<MAX>) -> String {
    format!("0x{bytes:?}")
}

fn joined<T>(parts: Vec<T>, print: impl Fn(T) -> String) -> String {
    let parts: Vec<String> = parts.into_iter().map(print).collect();
    parts.join(" . ")
}

fn span(span: Span) -> String {
    match span {
        Span::One(value) => field(value),
        Span::Net(net) => net.to_string(),
        Span::Range(first, last) => format!("{}-{}", field(first), field(last)),
    }
}

fn field(field: Field) -> String {
    match field {
        Field::Address(address) => address.to_string(),
        Field::Protocol(number) => protocol_text(number),
        Field::Port(port) => port.to_string(),
        Field::Number(number) => number.to_string(),
        Field::Direction(number) => {
            direction(number).map_or_else(|| number.to_string(), ToOwned::to_owned)
        }
    }
}

/// A protocol's name, or else its number.
pub(super) fn protocol_text(number: u8) -> String {
    protocol(number).map_or_else(|| number.to_string(), ToOwned::to_owned)
}

/// The names of the protocols that a Service can have, and of those that tell of its packets. `nft`
/// knows many more, from the system's `/etc/protocols`; it reads numbers too.
pub(in super::super) fn protocol(number: u8) -> Option<&'static str> {
    match i32::from(number) {
        libc::IPPROTO_ICMP => Some("icmp"),
        libc::IPPROTO_ICMPV6 => Some("ipv6-icmp"),
        libc::IPPROTO_TCP => Some("tcp"),
        libc::IPPROTO_UDP => Some("udp"),
        libc::IPPROTO_SCTP => Some("sctp"),
        _ => None,
    }
}

/// The words for the directions of a connection.
pub(in super::super) fn direction(number: u8) -> Option<&'static str> {
    match number {
        0 => Some("original"),
        1 => Some("reply"),
        _ => None,
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Drop => "drop".to_owned(),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Jump(chain) => format!("jump {chain}"),
    }
}

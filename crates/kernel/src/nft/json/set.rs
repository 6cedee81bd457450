//! Sets and elements as JSON.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::contents::FilledSet;
use super::super::ruleset::{
    self, Bytes, Data, DataType, Element, Family, Set, TableId, Type, Verdict,
};
use super::super::schema::{self, Field, Span};
use super::super::text;
use super::{commented, concat, one};

/// A set with its elements.
pub(super) fn set(table: TableId, filled: &FilledSet<'_>) -> Value {
    let set = filled.set;
    let mut object = json!({
        "family": text::family(table.family),
        "table": table.name,
        "name": set.name,
        "type": types(table.family, set.key),
    });
    if let Some(data) = &set.data {
        object["map"] = data_type(table.family, data).into();
    }
    if set.counted {
        object["stmt"] = json!([{"counter": null}]);
    }
    if let Some(size) = set.size {
        object["size"] = size.into();
    }
    let flags: Vec<&str> = text::flags(set).collect();
    if !flags.is_empty() {
        object["flags"] = flags.into();
    }
    let elements: Vec<Value> = filled
        .sorted(table.family)
        .into_iter()
        .map(|one| element(table.family, set, one))
        .collect();
    if !elements.is_empty() {
        object["elem"] = elements.into();
    }
    let kind = if set.data.is_some() { "map" } else { "set" };
    one(kind, commented(object, set.comment))
}

fn types(family: Family, types: &[Type]) -> Value {
    match types {
        [alone] => text::type_name(family, *alone).into(),
        types => {
            let names = types.iter().map(|kind| text::type_name(family, *kind));
            names.collect::<Vec<_>>().into()
        }
    }
}

/// What a map holds, in one string even if it is a concatenation: so it is listed.
fn data_type(family: Family, data: &DataType) -> String {
    match data {
        DataType::Verdict => "verdict".to_owned(),
        DataType::Fields(types) => text::types(family, types),
    }
}

fn element(family: Family, set: &Set, element: &Element) -> Value {
    let mut key = key(family, set, element);
    if element.comment.is_some() || set.counted {
        let mut described = commented(json!({"val": key}), element.comment.as_deref());
        if set.counted {
            described["counter"] = json!({"packets": 0, "bytes": 0});
        }
        key = json!({"elem": described});
    }
    match &element.data {
        None => key,
        Some(Data::Verdict(verdict)) => json!([key, self::verdict(verdict)]),
        Some(Data::Value(value)) => json!([key, data_value(family, set, value)]),
    }
}

fn key(family: Family, set: &Set, element: &Element) -> Value {
    schema::spans(set.key, family, &element.key, element.key_end.as_deref()).map_or_else(
        || hex(&element.key),
        |spans| concat(spans.into_iter().map(span).collect()),
    )
}

fn data_value(family: Family, set: &Set, value: &ruleset::Value) -> Value {
    let types = match set.data {
        Some(DataType::Fields(types)) => types,
        _ => &[],
    };
    schema::fields(types, family, value).map_or_else(
        || hex(value),
        |fields| concat(fields.into_iter().map(field).collect()),
    )
}

/// Bytes that are not of the set's type.
fn hex<const MAX: usize>(bytes: &Bytes<MAX>) -> Value {
    format!("0x{bytes:?}").into()
}

fn span(span: Span) -> Value {
    match span {
        Span::One(value) => field(value),
        Span::Net(net) => prefix(net),
        Span::Range(first, last) => json!({"range": [field(first), field(last)]}),
    }
}

/// A network.
pub(super) fn prefix(net: IpNet) -> Value {
    json!({"prefix": {"addr": net.network().to_string(), "len": net.prefix_len()}})
}

fn field(field: Field) -> Value {
    match field {
        Field::Address(address) => address.to_string().into(),
        Field::Protocol(number) => {
            text::protocol(number).map_or_else(|| number.into(), Value::from)
        }
        Field::Port(port) => port.into(),
        Field::Number(number) => number.into(),
        Field::Direction(number) => {
            text::direction(number).map_or_else(|| number.into(), Value::from)
        }
    }
}

fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Drop => json!({"drop": null}),
        Verdict::Goto(chain) => json!({"goto": {"target": **chain}}),
        Verdict::Jump(chain) => json!({"jump": {"target": **chain}}),
    }
}

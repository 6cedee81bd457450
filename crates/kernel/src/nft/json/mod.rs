//! Prints a batch as libnftables-json(5), for `nft -j -f` and for programs.
//!
//! What `nft` 1.0.6 can read is written as it reads it. It cannot read a map whose data is a
//! concatenation, a key of `typeof`, the flag `dynamic` nor the statements that update a map: for
//! these `type` is what its listing shows, and the others are as later versions have them.
//! The comments of tables, chains and sets are read by later versions alone, too.

mod rule;
mod set;

use serde_json::{Map, Value, json};

use super::contents::{Contents, FilledChain};
use super::rule::Rule;
use super::ruleset::{Batch, Chain, CounterName, TableId};
use super::text;

/// The tables that batches build, as commands that build them: [`text::script`] in JSON.
pub fn script(batches: &[Batch]) -> Value {
    let mut commands = vec![json!({"metainfo": {"json_schema_version": 1}})];
    for batch in batches {
        if let Some(contents) = Contents::of(batch) {
            commands.extend(objects(batch.table, &contents).map(|object| json!({"add": object})));
        }
    }
    json!({"nftables": commands})
}

/// What is in a table, each thing after what it refers to: chains come before the maps with
/// verdicts, maps before the rules.
fn objects<'a>(
    table: TableId,
    contents: &'a Contents<'_>,
) -> impl Iterator<Item = Value> + use<'a> {
    let chains = contents.chains.iter();
    let rules = contents.chains.iter();
    let counters = contents.counters.iter();
    std::iter::once(self::table(table, contents.comment))
        .chain(counters.map(move |one| counter(table, *one)))
        .chain(chains.map(move |filled| chain(table, filled.chain)))
        .chain(contents.sets.iter().map(move |set| set::set(table, set)))
        .chain(rules.flat_map(move |filled| chain_rules(table, filled)))
}

fn table(table: TableId, comment: &str) -> Value {
    let family = text::family(table.family);
    let object = json!({"family": family, "name": table.name});
    json!({"table": commented(object, Some(comment))})
}

fn counter(table: TableId, (name, comment): (CounterName, &str)) -> Value {
    let object = json!({
        "family": text::family(table.family),
        "table": table.name,
        "name": name,
        "packets": 0,
        "bytes": 0,
    });
    json!({"counter": commented(object, Some(comment))})
}

fn chain(table: TableId, chain: &Chain) -> Value {
    let mut object = json!({
        "family": text::family(table.family),
        "table": table.name,
        "name": *chain.name,
    });
    if let Some(base) = chain.hook {
        object["type"] = text::chain_kind(base.kind).into();
        object["hook"] = text::hook(base.hook).into();
        object["prio"] = base.priority.into();
        object["policy"] = "accept".into();
    }
    json!({"chain": commented(object, chain.comment)})
}

fn chain_rules<'a>(
    table: TableId,
    filled: &'a FilledChain<'_>,
) -> impl Iterator<Item = Value> + use<'a> {
    let rules = filled.rules.iter();
    rules.map(move |rule| chain_rule(table, &filled.chain.name, rule))
}

fn chain_rule(table: TableId, chain: &str, rule: &Rule) -> Value {
    let object = json!({
        "family": text::family(table.family),
        "table": table.name,
        "chain": chain,
        "expr": rule::statements(table.family, rule),
    });
    json!({"rule": commented(object, rule.comment)})
}

/// The object with its comment, if there is one.
fn commented(mut object: Value, comment: Option<&str>) -> Value {
    if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
        object["comment"] = comment.into();
    }
    object
}

/// `{KEY: VALUE}`, for a key that is not a literal.
fn one(key: &str, value: impl Into<Value>) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value.into())]))
}

/// Values side by side; one alone stands for itself.
fn concat(mut values: Vec<Value>) -> Value {
    if values.len() == 1 {
        values.remove(0)
    } else {
        json!({"concat": values})
    }
}

//! Finds what operations need to know of what is there: the handles of rules that they remove,
//! and built-in chains that are missing.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::super::handle::ApplyError;
use super::super::rule::Rule;
use super::super::ruleset::{Batch, Op, TableId};
use super::read::{self, named};
use super::refusal;
use super::rule;
use super::transaction::{Found, Place};
use crate::error::CallError;
use crate::netlink::{Attribute, Attributes, Builder, Message, Messages, Socket};
use crate::nft::wire;

/// Finds what `batches` need to know.
///
/// # Errors
/// The first operation that removes a rule that is not there is refused.
pub(super) fn find(socket: &mut Socket, batches: &[Batch]) -> Result<Found, ApplyError> {
    Ok(Found {
        missing: missing(socket, batches)?,
        handles: handles(socket, batches)?,
    })
}

/// The built-in chains that are not there, by the operation that needs them first.
fn missing(
    socket: &mut Socket,
    batches: &[Batch],
) -> Result<HashMap<Place, &'static str>, CallError> {
    let mut missing = HashMap::new();
    let mut asked = HashSet::new();
    for (place, table, op) in operations(batches) {
        let mut names = table.table.built_in().iter();
        let Some(name) = names.find(|name| ***name == **op.chain()) else {
            continue;
        };
        if asked.insert((table, *name)) && !read::has_chain(socket, table, name)? {
            missing.insert(place, *name);
        }
    }
    Ok(missing)
}

fn operations(batches: &[Batch]) -> impl Iterator<Item = (Place, TableId, &Op)> {
    batches.iter().enumerate().flat_map(|(batch, of)| {
        let numbered = of.ops.iter().enumerate();
        numbered.map(move |(at, op)| ((batch, at), of.table, op))
    })
}

/// The operations that want a rule removed, first come first served, by what the rule means.
type Wanted = HashMap<Vec<u8>, VecDeque<Place>>;

/// The handle of the rule that each operation removes. A chain is read once.
fn handles(socket: &mut Socket, batches: &[Batch]) -> Result<HashMap<Place, u64>, ApplyError> {
    let mut chains: BTreeMap<(TableId, &str), Wanted> = BTreeMap::new();
    for (place, table, op) in operations(batches) {
        if let Op::Remove(chain, rule) = op {
            let wanted = chains.entry((table, chain)).or_default();
            let meaning = meaning_of(table, rule);
            wanted.entry(meaning).or_default().push_back(place);
        }
    }
    let mut handles = HashMap::new();
    let mut unfound = None;
    for ((table, chain), wanted) in chains {
        let left = handles_in(socket, table, chain, wanted, &mut handles)?;
        unfound = unfound.into_iter().chain(left).min();
    }
    match unfound {
        None => Ok(handles),
        Some(place) => Err(ApplyError::Refused(refusal(
            batches,
            place,
            libc::ENOENT,
            None,
        ))),
    }
}

/// Adds the handles of the rules of one chain, and returns the first operation that is left.
fn handles_in(
    socket: &mut Socket,
    table: TableId,
    chain: &str,
    wanted: Wanted,
    handles: &mut HashMap<Place, u64>,
) -> Result<Option<Place>, CallError> {
    let mut key = Vec::new();
    // A dump may begin anew, and then so does the search.
    let search = |search: &mut Option<(Wanted, Vec<(Place, u64)>)>, message: &Message<'_>| {
        let (wanted, found) = search.get_or_insert_with(|| (wanted.clone(), Vec::new()));
        let attributes = message.attributes(wire::HEADER);
        let (mut handle, mut expressions) = (None, None);
        for attribute in attributes {
            match attribute.kind {
                wire::NFTA_RULE_HANDLE => handle = attribute.be64(),
                wire::NFTA_RULE_EXPRESSIONS => expressions = Some(attribute.nested()),
                _ => {}
            }
        }
        key.clear();
        meaning(&mut key, expressions.unwrap_or(Attributes::new(&[])));
        let place = wanted.get_mut(&key).and_then(VecDeque::pop_front);
        found.extend(place.zip(handle));
    };
    let search = read::rules(socket, table, chain, search)?;
    let (left, found) = search.unwrap_or((wanted, Vec::new()));
    handles.extend(found);
    Ok(left.into_values().flatten().min())
}

/// What a rule means, as [`meaning`] has it.
pub(super) fn meaning_of(table: TableId, rule: &Rule) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.message(0, 0, 0, |body| rule::write(body, table.family, rule));
    let written = Messages::new(builder.as_slice())
        .next()
        .and_then(|message| message.attributes(0).find(wire::NFTA_RULE_EXPRESSIONS));
    let mut key = Vec::new();
    if let Some(written) = written {
        meaning(&mut key, written.nested());
    }
    key
}

/// Writes a rule's expressions so that two rules that mean the same are the same bytes: without
/// what they counted, without what is zero anyhow, and in the order of the attributes' numbers.
fn meaning(key: &mut Vec<u8>, expressions: Attributes<'_>) {
    /// No expression that is written has an attribute with a higher number.
    const ATTRIBUTES: u16 = 8;
    for (name, data) in expressions.filter_map(named) {
        if name == "counter" {
            continue;
        }
        key.extend_from_slice(name.as_bytes());
        key.push(0);
        if name == "immediate" {
            verdict(key, &data);
            continue;
        }
        for kind in 1..=ATTRIBUTES {
            part(key, kind, data.nested().find(kind));
        }
    }
}

fn verdict(key: &mut Vec<u8>, immediate: &Attribute<'_>) {
    let data = immediate.nested().find(wire::NFTA_IMMEDIATE_DATA);
    let verdict = data.and_then(|data| data.nested().find(wire::NFTA_DATA_VERDICT));
    for kind in [wire::NFTA_VERDICT_CODE, wire::NFTA_VERDICT_CHAIN] {
        let found = verdict.and_then(|verdict| verdict.nested().find(kind));
        part(key, kind, found);
    }
}

fn part(key: &mut Vec<u8>, kind: u16, attribute: Option<Attribute<'_>>) {
    if let Some(Attribute { payload, .. }) = attribute
        && payload.iter().any(|byte| *byte != 0)
    {
        key.extend_from_slice(&kind.to_ne_bytes());
        key.extend_from_slice(&(payload.len() as u16).to_ne_bytes());
        key.extend_from_slice(payload);
    }
}

//! Prints operations in `nft`'s own words (nft(8)), so that they can be read, compared and loaded.
//!
//! A batch that builds a table is printed as one block, as `nft list ruleset` has it: `nft` 1.0.6
//! understands a map of `typeof` in a `dnat` only when map and rule are in the same block.
//!
//! The grammar has no quoting for the names of tables, chains and sets, and no escape for a quote
//! within a comment. The names must therefore be words of the grammar: a letter, then letters,
//! digits, `-`, `_`, `.` or `/`, and none of its keywords. In comments and in the names of
//! interfaces, a quote is printed as an apostrophe.

mod rule;
mod set;

pub use rule::rule;

// The words that JSON has in common with the grammar.
pub(super) use rule::{address_field, interface_pattern};
pub(super) use set::{direction, flags, protocol, type_name, types};

use super::contents::{Contents, FilledChain, FilledSet};
use super::ruleset::{
    BaseHook, Batch, Chain, ChainKind, CounterName, Element, Family, Hook, Op, Set,
};
use super::schema::Schema;
use super::userdata::comment_text;

/// The table that a batch builds, for `nft -f`. Where there is no such table, loading the text
/// does what sending the batch does. Empty when the batch leaves no table.
///
/// Elements are sorted by their keys, since the kernel gives them in no order.
pub fn script(batch: &Batch) -> String {
    let Some(contents) = Contents::of(batch) else {
        return String::new();
    };
    let table = batch.table;
    let mut blocks: Vec<String> = Vec::new();
    blocks.extend(contents.counters.iter().map(|one| counter_block(*one)));
    blocks.extend(contents.sets.iter().map(|set| set_block(table.family, set)));
    let chains = contents.chains.iter();
    blocks.extend(chains.map(|chain| chain_block(table.family, chain)));
    let comment = match comment(Some(contents.comment)) {
        empty if empty.is_empty() => empty,
        comment => format!("\t{comment}\n"),
    };
    format!(
        "table {} {} {{\n{comment}{}}}\n",
        family(table.family),
        table.name,
        blocks.join("\n")
    )
}

/// A block within a table: its head, and its lines without their indentation.
fn block(head: &str, lines: &[String]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    let lines = lines.flat_map(|line| ["\t\t", line, "\n"]);
    format!("\t{head} {{\n{}\t}}\n", lines.collect::<String>())
}

fn counter_block((name, comment): (CounterName, &str)) -> String {
    block(
        &format!("counter {name}"),
        &[self::comment(Some(comment)), "packets 0 bytes 0".to_owned()],
    )
}

fn set_block(family: Family, filled: &FilledSet<'_>) -> String {
    let set = filled.set;
    let mut lines = set::definition(family, set);
    let elements = set::sorted(family, filled);
    if !elements.is_empty() {
        // As nft does, one under the other.
        let elements = elements.join(",\n\t\t\t     ");
        lines.push(format!("elements = {{ {elements} }}"));
    }
    block(&format!("{} {}", kind(set), set.name), &lines)
}

fn chain_block(family: Family, filled: &FilledChain<'_>) -> String {
    let mut lines = chain_lines(filled.chain);
    lines.extend(filled.rules.iter().map(|rule| self::rule(family, rule)));
    block(&format!("chain {}", filled.chain.name), &lines)
}

/// One operation as a command of `nft`. A key of a set that the schema does not know is printed
/// as bytes.
pub fn op(schema: &Schema<'_>, op: &Op) -> String {
    op_of(schema, op, None)
}

/// As [`op`], with one of its elements alone.
pub(super) fn op_of(schema: &Schema<'_>, op: &Op, element: Option<usize>) -> String {
    let family = schema.table.family;
    let table = format!("{} {}", self::family(family), schema.table.name);
    match op {
        Op::AddTable { comment } => with_body(
            format!("add table {table}"),
            &[self::comment(Some(comment))],
        ),
        Op::DeleteTable => format!("delete table {table}"),
        Op::AddChain(chain) => with_body(
            format!("add chain {table} {}", chain.name),
            &chain_lines(chain),
        ),
        Op::FlushChain(name) => format!("flush chain {table} {name}"),
        Op::DeleteRule { chain, handle } => format!("delete rule {table} {chain} handle {handle}"),
        Op::DeleteChain(name) => format!("delete chain {table} {name}"),
        Op::AddRule { chain, rule } => {
            format!("add rule {table} {chain} {}", self::rule(family, rule))
        }
        Op::AddCounter { name, comment } => with_body(
            format!("add counter {table} {name}"),
            &[self::comment(Some(comment))],
        ),
        Op::AddSet(set) => with_body(
            format!("add {} {table} {}", kind(set), set.name),
            &set::definition(family, set),
        ),
        Op::DeleteSet(name) => format!("delete {} {table} {name}", kind_of(schema, name)),
        Op::FlushSet(name) => format!("flush {} {table} {name}", kind_of(schema, name)),
        Op::AddElements { set, elements } => {
            let elements = part(elements, element).iter();
            let texts: Vec<_> = elements
                .map(|one| self::element(schema, set, one))
                .collect();
            format!("add element {table} {set} {{ {} }}", texts.join(", "))
        }
        Op::DeleteElements { set, elements } => {
            let keys = set::keys(family, schema.set(set), part(elements, element));
            format!("delete element {table} {set} {{ {keys} }}")
        }
    }
}

/// The one that is meant, or all.
fn part(elements: &[Element], index: Option<usize>) -> &[Element] {
    index
        .and_then(|index| elements.get(index..=index))
        .unwrap_or(elements)
}

/// An element of a set or map, without the braces. A key of a set that the schema does not know is
/// printed as bytes.
pub fn element(schema: &Schema<'_>, set: &str, element: &Element) -> String {
    set::element(schema.table.family, schema.set(set), element)
}

/// `HEAD { LINE; LINE; }`, or the head alone when all lines are empty.
fn with_body(head: String, lines: &[String]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    let body: String = lines
        .flat_map(|line| [line.trim_end_matches(';'), "; "])
        .collect();
    if body.is_empty() {
        head
    } else {
        format!("{head} {{ {body}}}")
    }
}

fn kind(set: &Set) -> &'static str {
    if set.data.is_some() { "map" } else { "set" }
}

fn kind_of(schema: &Schema<'_>, name: &str) -> &'static str {
    schema.set(name).map_or("set", kind)
}

/// A comment's line, empty without one. As much of it as the kernel is given, for of one that is
/// too long `nft` takes nothing.
fn comment(comment: Option<&str>) -> String {
    match comment.map(comment_text) {
        None | Some("") => String::new(),
        Some(text) => format!("comment {}", quoted(text)),
    }
}

/// In quotes, and not to be broken out of.
fn quoted(text: &str) -> String {
    let text = text.replace('"', "'").replace(char::is_control, " ");
    format!("\"{text}\"")
}

fn chain_lines(chain: &Chain) -> Vec<String> {
    vec![
        comment(chain.comment),
        chain.hook.map(base_hook).unwrap_or_default(),
    ]
}

fn base_hook(base: BaseHook) -> String {
    format!(
        "type {} hook {} priority {}; policy accept;",
        chain_kind(base.kind),
        hook(base.hook),
        priority(base)
    )
}

/// A priority as `nft` prints it: by its distance from a well-known one if that is near
/// (nft(8), "Standard priority names").
fn priority(base: BaseHook) -> String {
    const REACH: u32 = 10;
    let named = [
        ("raw", -300, None),
        ("mangle", -150, None),
        ("dstnat", -100, Some(Hook::Prerouting)),
        ("filter", 0, None),
        ("security", 50, None),
        ("srcnat", 100, Some(Hook::Postrouting)),
    ];
    let near = named.into_iter().find(|(_, priority, hook)| {
        base.priority.abs_diff(*priority) <= REACH && hook.is_none_or(|hook| hook == base.hook)
    });
    let Some((name, known, _)) = near else {
        return base.priority.to_string();
    };
    match base.priority - known {
        0 => name.to_owned(),
        more @ 1.. => format!("{name} + {more}"),
        less => format!("{name} - {}", less.unsigned_abs()),
    }
}

/// The word for a family, of tables and of the fields of packets.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
    }
}

/// The word for the type of a base chain.
pub(super) fn chain_kind(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    }
}

/// The word for a hook.
pub(super) fn hook(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
    }
}

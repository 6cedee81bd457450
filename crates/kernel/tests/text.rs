//! Batches as text and JSON: what is printed is what `nft` prints, and loads.

mod privilege;
mod ruleset;

use std::slice;

use fairlead_kernel::netns::Netns;
use fairlead_kernel::nft::handle::Nft;
use fairlead_kernel::nft::ruleset::{Batch, Bytes, Element, Family, Op};
use fairlead_kernel::nft::schema::Schema;
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::nft::{json, text};
use serde_json::{Value, json};

use ruleset::sample::{everything, full, plain};
use ruleset::{commented, element, nft_ok, port_key, table};

/// A listing with the elements of each set on one line, sorted, and without the maps that nft 1.0.6
/// loads and does not list: those that a `tproxy` has its port from.
fn normalised(listing: &str) -> String {
    let joined = listing.replace(",\n\t\t\t     ", ", ");
    let lines = joined.lines().map(|line| {
        if let Some((start, rest)) = line.split_once(" map @listeners") {
            let (start, _) = start.rsplit_once(":ip").unwrap();
            return format!("{start}{rest}");
        }
        let Some(elements) = line.strip_prefix("\t\telements = { ") else {
            return line.to_owned();
        };
        let mut elements: Vec<&str> = elements.trim_end_matches(" }").split(", ").collect();
        elements.sort_unstable();
        format!("\t\telements = {elements:?}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Fails with the first line that differs, for tables are long.
fn assert_same(found: &str, expected: &str) {
    let (found, expected) = (normalised(found), normalised(expected));
    let mut pairs = found.lines().zip(expected.lines()).enumerate();
    let differing = pairs.find(|(_, (found, expected))| found != expected);
    assert!(
        found == expected,
        "first difference {differing:#?} in\n{found}\nwhere this was expected\n{expected}"
    );
}

#[test]
fn what_is_printed_is_what_nft_lists_after_loading_it() {
    if !privilege::is_root() {
        return;
    }
    for family in [Family::Ip, Family::Ip6] {
        let netns = Netns::anonymous().unwrap();
        let text = text::script(&full(family));
        nft_ok(&netns, &["-f", "-"], &text);
        let listing = nft_ok(&netns, &["list", "ruleset"], "");
        assert_same(&listing, &text);

        // What is listed loads again, and is then listed the same.
        let again = Netns::anonymous().unwrap();
        nft_ok(&again, &["-f", "-"], &listing);
        let second = nft_ok(&again, &["list", "ruleset"], "");
        assert_same(&second, &listing);
    }
}

#[test]
fn what_is_printed_is_what_nft_lists_after_sending_it() {
    if !privilege::is_root() {
        return;
    }
    for family in [Family::Ip, Family::Ip6] {
        let netns = Netns::anonymous().unwrap();
        let mut kernel = netns.run(NftSocket::open).unwrap().unwrap();
        let batch = everything(family);
        kernel.commit(slice::from_ref(&batch)).unwrap();
        assert_same(
            &nft_ok(&netns, &["list", "ruleset"], ""),
            &text::script(&batch),
        );
    }
}

#[test]
fn operations_one_by_one_do_what_the_block_does() {
    if !privilege::is_root() {
        return;
    }
    let batch = plain(Family::Ip6);
    let schema = Schema::of(&batch);
    let lines: Vec<String> = batch.ops.iter().map(|op| text::op(&schema, op)).collect();
    let netns = Netns::anonymous().unwrap();
    nft_ok(&netns, &["-f", "-"], &lines.join("\n"));
    let listing = nft_ok(&netns, &["list", "ruleset"], "");
    assert_same(&listing, &text::script(&batch));
}

#[test]
fn removals_are_commands_too() {
    if !privilege::is_root() {
        return;
    }
    let batch = plain(Family::Ip);
    let schema = Schema::of(&batch);
    let name = |name: &str| name.into();
    let range = batch.ops.iter().find_map(|op| match op {
        Op::AddElements { set, elements } if *set == "source-ranges" => {
            let elements = elements.clone();
            Some(Op::DeleteElements { set, elements })
        }
        _ => None,
    });
    let removals = [
        range.unwrap(),
        Op::FlushSet("services"),
        Op::FlushChain(name("mark_it")),
        Op::FlushChain(name("early")),
        Op::DeleteChain(name("empty")),
        Op::DeleteChain(name("mark_it")),
        Op::DeleteSet("moved"),
        Op::DeleteSet("hairpin"),
    ];
    let netns = Netns::anonymous().unwrap();
    nft_ok(&netns, &["-f", "-"], &text::script(&batch));
    for op in &removals {
        nft_ok(&netns, &["-f", "-"], &text::op(&schema, op));
    }
    let listing = nft_ok(&netns, &["list", "ruleset"], "");
    let mut after = batch.clone();
    after.ops.extend(removals.clone());
    assert_same(&listing, &text::script(&after));
    nft_ok(&netns, &["-f", "-"], &text::op(&schema, &Op::DeleteTable));
    assert_eq!(nft_ok(&netns, &["list", "ruleset"], ""), "");
}

#[test]
fn one_operation_reads_as_nft_would_say_it() {
    let batch = full(Family::Ip);
    let schema = Schema::of(&batch);
    let add = batch
        .ops
        .iter()
        .find(|op| matches!(op, Op::AddElements { set, .. } if *set == "services"));
    assert_eq!(
        text::op(&schema, add.unwrap()),
        "add element ip fairlead services { 192.0.2.2 . tcp . 80 \
         comment \"default/nginx:http\" : goto lb-3 }"
    );
    let key = port_key([192, 0, 2, 2].into(), ruleset::TCP, 80);
    let delete = |set, keys: &[Bytes]| Op::DeleteElements {
        set,
        elements: keys.iter().copied().map(Element::new).collect(),
    };
    assert_eq!(
        text::op(
            &schema,
            &delete("endpoints", &[key.number(256), key.number(7)])
        ),
        "delete element ip fairlead endpoints \
         { 192.0.2.2 . tcp . 80 . 256, 192.0.2.2 . tcp . 80 . 7 }"
    );
    let unknown = Schema::new(table(Family::Ip), []);
    assert_eq!(
        text::op(&unknown, &delete("hairpin", &[key])),
        "delete element ip fairlead hairpin { 0xc00002020600000000500000 }"
    );
}

#[test]
fn a_comment_does_not_break_out_of_its_quotes() {
    if !privilege::is_root() {
        return;
    }
    let mut batch = plain(Family::Ip);
    batch.ops.push(commented(
        element(
            "hairpin",
            Bytes::new().address([192, 0, 2, 10].into()),
            None,
        ),
        "a\" }; }; flush ruleset\n\\*",
    ));
    batch.ops.push(commented(
        element(
            "hairpin",
            Bytes::new().address([192, 0, 2, 11].into()),
            None,
        ),
        &"ä".repeat(100),
    ));
    let text = text::script(&batch);
    assert!(text.contains("192.0.2.10 comment \"a' }; }; flush ruleset \\*\""));
    let netns = Netns::anonymous().unwrap();
    nft_ok(&netns, &["-f", "-"], &text);
    assert_same(&nft_ok(&netns, &["list", "ruleset"], ""), &text);
}

#[test]
fn a_batch_that_removes_its_table_prints_nothing() {
    let batch = Batch {
        table: table(Family::Ip),
        ops: vec![Op::AddTable { comment: "" }, Op::DeleteTable],
    };
    assert_eq!(text::script(&batch), "");
}

/// Objects by kind, table, chain and name, without what only one side has: handles on nft's
/// side, the command around an object on ours. Elements are sorted.
fn objects(document: &Value) -> Vec<String> {
    let objects = document["nftables"].as_array().unwrap().iter();
    let mut objects: Vec<String> = objects
        .map(|object| object.get("add").unwrap_or(object))
        .filter(|object| object.get("metainfo").is_none())
        .map(normalised_object)
        .collect();
    objects.sort();
    objects
}

fn normalised_object(object: &Value) -> String {
    let (kind, fields) = object.as_object().unwrap().iter().next().unwrap();
    let mut fields = fields.clone();
    let map = fields.as_object_mut().unwrap();
    map.remove("handle");
    if kind == "table" || kind == "chain" {
        // Not listed by nft 1.0.6.
        map.remove("comment");
    }
    if let Some(flags) = map.get_mut("flags").and_then(Value::as_array_mut) {
        // Not listed by nft 1.0.6.
        flags.retain(|flag| flag != "dynamic");
    }
    if let Some(elements) = map.get_mut("elem").and_then(Value::as_array_mut) {
        elements.sort_by_key(Value::to_string);
    }
    if let Some(statements) = map.get_mut("expr").and_then(Value::as_array_mut) {
        // nft 1.0.6 lists statements that it has no JSON for as text.
        statements.retain(|one| !one.is_string() && one["map"].is_null());
    }
    json!({kind: fields}).to_string()
}

#[test]
fn json_is_what_nft_lists() {
    if !privilege::is_root() {
        return;
    }
    for family in [Family::Ip, Family::Ip6] {
        let netns = Netns::anonymous().unwrap();
        let batch = full(family);
        nft_ok(&netns, &["-f", "-"], &text::script(&batch));
        let listing = nft_ok(&netns, &["-j", "list", "ruleset"], "");
        let listing: Value = serde_json::from_str(&listing).unwrap();
        let (ours, listed) = (
            objects(&json::script(slice::from_ref(&batch))),
            objects(&listing),
        );
        assert_same(&ours.join("\n"), &listed.join("\n"));
    }
}

#[test]
fn json_loads() {
    if !privilege::is_root() {
        return;
    }
    for family in [Family::Ip, Family::Ip6] {
        let batch = plain(family);
        let netns = Netns::anonymous().unwrap();
        nft_ok(
            &netns,
            &["-j", "-f", "-"],
            &json::script(slice::from_ref(&batch)).to_string(),
        );
        let listing = nft_ok(&netns, &["list", "ruleset"], "");
        assert_same(&listing, &text::script(&without_comments(batch)));
    }
}

/// Without the comments that nft 1.0.6 does not read from JSON.
fn without_comments(mut batch: Batch) -> Batch {
    for op in &mut batch.ops {
        match op {
            Op::AddTable { comment } => *comment = "",
            Op::AddChain(chain) => chain.comment = None,
            Op::AddSet(set) => set.comment = None,
            _ => {}
        }
    }
    batch
}

//! The kernel's nf_tables: what is sent is there, `nft` prints it, and refusals tell what was
//! refused. Each test has a network namespace of its own.

#[path = "../privilege/mod.rs"]
mod privilege;
mod table;

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use fairlead_kernel::netns::Netns;
use fairlead_kernel::nft::counters::{CountedElement, CounterSocket, Counts, ReadCounters};
use fairlead_kernel::nft::handle::{CommitError, Nft, ObservedTable, Refusal};
use fairlead_kernel::nft::monitor::{NftMonitor, Touched};
use fairlead_kernel::nft::ruleset::{
    Batch, Bytes, Data, DataType, Element, Family, Op, Set, TableId, Type, Verdict,
};
use fairlead_kernel::nft::socket::NftSocket;
use fairlead_kernel::nft::text;

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

#[test]
fn nft_lists_every_set_and_statement_in_its_own_words() {
    in_namespace(|nft| {
        for (family, golden) in [
            (Family::Ip, include_str!("ip.nft")),
            (Family::Ip6, include_str!("ip6.nft")),
        ] {
            nft.commit(&[table::batch(family)]).unwrap();
            assert_same(&run("nft list ruleset", ""), golden);
            run("nft flush ruleset", "");
        }
    });
}

#[test]
fn what_nft_lists_loads_again_and_is_the_same() {
    in_namespace(|nft| {
        for family in FAMILIES {
            nft.commit(&[table::batch(family)]).unwrap();
            let listed = loadable(family, &run("nft list ruleset", ""));
            let expressions = expressions(family);
            run("nft flush ruleset", "");
            run("nft -f -", &listed);
            assert_same(&run("nft list ruleset", ""), &listed);
            assert_same(&self::expressions(family), &expressions);
            run("nft flush ruleset", "");
        }
    });
}

/// nft 1.0.6 reads its own listing back but for two things: it keeps too few registers for the key
/// of an `update` or `delete` of a map when it is longer than sixteen bytes, and aborts; and it does
/// not list the map that a `tproxy` has its port from.
fn loadable(family: Family, listed: &str) -> String {
    let aborts = |line: &&str| line.contains("update @") || line.contains("delete @");
    let lines = listed
        .lines()
        .filter(|line| family == Family::Ip || !aborts(line))
        .filter(|line| !line.contains(" tproxy to "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The kernel's expressions of all rules, but for those that come of the statements that
/// [`loadable`] leaves out.
fn expressions(family: Family) -> String {
    let listed = run("nft --debug=netlink list ruleset", "");
    let aborts = |rule: &&str| rule.contains("[ dynset");
    let rules = listed
        .split("\n\n")
        .filter(|rule| family == Family::Ip || !aborts(rule))
        .filter(|rule| !rule.contains("[ tproxy"));
    rules.map(rule_expressions).collect()
}

/// The expressions of a rule, but for one that nft 1.0.6 sends although it does nothing (it swaps
/// the bytes of a protocol, which has one), and the numbers of anonymous sets.
fn rule_expressions(rule: &str) -> String {
    rule.lines()
        .filter(|line| line.starts_with("  [ ") && !line.contains("[ byteorder"))
        .map(|line| match line.split_once("__set") {
            Some((start, rest)) => {
                format!(
                    "{start}__set{}\n",
                    rest.trim_start_matches(char::is_numeric)
                )
            }
            None => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn a_tproxy_by_a_map_is_what_nft_sends() {
    in_namespace(|nft| {
        for family in FAMILIES {
            let batch = table::batch(family);
            let rule = batch.ops.iter().find_map(|op| match op {
                Op::AddRule { rule, .. } => {
                    Some(text::rule(family, rule)).filter(|text| text.contains("tproxy"))
                }
                _ => None,
            });
            let ip = match family {
                Family::Ip => "ip",
                Family::Ip6 => "ip6",
            };
            nft.commit(&[batch]).unwrap();
            let again = format!("nft add rule {ip} fairlead prerouting '{}'", rule.unwrap());
            run(&again, "");
            let listed = run("nft --debug=netlink list ruleset", "");
            let tproxies: Vec<String> = listed
                .split("\n\n")
                .filter(|rule| rule.contains("[ tproxy"))
                .map(rule_expressions)
                .collect();
            let [ours, nfts] = &tproxies[..] else {
                panic!("{listed}")
            };
            assert_same(ours, nfts);
            run("nft flush ruleset", "");
        }
    });
}

#[test]
fn the_listing_as_json_is_json() {
    in_namespace(|nft| {
        nft.commit(&FAMILIES.map(table::batch)).unwrap();
        // nft 1.0.6 leaves `update` and `delete` of a map out of a rule, and warns of it.
        let listed = run("nft -j list ruleset 2>/dev/null", "");
        let json: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert!(json["nftables"].as_array().unwrap().len() > 20);
    });
}

#[test]
fn what_was_written_is_observed() {
    in_namespace(|nft| {
        let batches = FAMILIES.map(table::batch);
        nft.commit(&batches).unwrap();
        for batch in &batches {
            let observed = nft.observe(batch.table).unwrap().unwrap();
            assert_eq!(sorted(observed), sorted(written(batch)));
        }
        let other = TableId {
            family: Family::Ip,
            name: "other",
        };
        assert_eq!(nft.observe(other).unwrap(), None);
    });
}

#[test]
fn counters_are_read() {
    in_namespace(|nft| {
        run(
            "nft -f -",
            "table ip6 fairlead {
                 counter refused { packets 3 bytes 120 }
                 quota other { over 10 mbytes }
                 set traffic {
                     type ct_dir . ipv6_addr . inet_proto . inet_service
                     counter
                     elements = { reply . fd00::1 . tcp . 80 counter packets 5 bytes 5000000000 comment \"default/web\" }
                 }
                 set plain { type ipv6_addr; elements = { fd00::1 } }
             }
             table ip6 other {
                 counter refused { packets 7 bytes 7 }
             }",
        );
        let counts = |packets, bytes| Counts { packets, bytes };
        let key = |family| {
            let key = Bytes::new().direction(1).address(table::address(family, 1));
            key.protocol(6).port(80)
        };
        assert_eq!(
            counted(Family::Ip6, "traffic"),
            [(
                key(Family::Ip6),
                Some("default/web".to_owned()),
                counts(5, 5_000_000_000)
            )]
        );
        assert_eq!(counted(Family::Ip6, "plain"), []);
        assert_eq!(counted(Family::Ip6, "none"), []);
        assert_eq!(named(Family::Ip6), [("refused".to_owned(), counts(3, 120))]);
        assert_eq!(named(Family::Ip), []);

        // What is there goes on counting, and what is new begins with nothing.
        nft.commit(&[table::batch(Family::Ip)]).unwrap();
        let traffic = |family| counted(family, "traffic");
        assert_eq!(
            traffic(Family::Ip),
            [(
                key(Family::Ip),
                Some("default/web:http".to_owned()),
                counts(0, 0)
            )]
        );
        let again = Op::AddCounter {
            name: "refused",
            comment: "",
        };
        let ops = vec![again];
        let table = TableId {
            family: Family::Ip6,
            name: "fairlead",
        };
        nft.commit(&[Batch { table, ops }]).unwrap();
        assert_eq!(named(Family::Ip6), [("refused".to_owned(), counts(3, 120))]);
    });
}

type Counted = (Bytes, Option<String>, Counts);

fn counted(family: Family, set: &'static str) -> Vec<Counted> {
    let mut found = Vec::new();
    let table = TableId {
        family,
        name: "fairlead",
    };
    let mut take = |element: &CountedElement<'_>| {
        found.push((
            element.key,
            element.comment.map(str::to_owned),
            element.counts,
        ));
    };
    let mut socket = CounterSocket::open().unwrap();
    socket.elements(table, set, &mut take).unwrap();
    found
}

fn named(family: Family) -> Vec<(String, Counts)> {
    let mut found = Vec::new();
    let table = TableId {
        family,
        name: "fairlead",
    };
    let mut socket = CounterSocket::open().unwrap();
    let mut take = |name: &str, counts| found.push((name.to_owned(), counts));
    socket.counters(table, &mut take).unwrap();
    found
}

#[test]
fn what_others_made_is_observed_as_far_as_it_can_be_said() {
    in_namespace(|nft| {
        run(
            "nft -f -",
            "table ip fairlead {
                 chain fine { type filter hook input priority 5; }
                 chain dropping { type filter hook input priority 5; policy drop; }
                 chain routing { type route hook output priority 5; }
                 map verdicts { type ipv4_addr : verdict; elements = { 10.0.0.1 : accept } }
                 set ranges { type ipv4_addr; flags interval; elements = { 0.0.0.0-10.0.0.9, 10.0.0.10-255.255.255.255 } }
                 map adjacent { type inet_service : verdict; flags interval; elements = { 1-9 : drop, 10-65535 : accept } }
             }",
        );
        let table = TableId {
            family: Family::Ip,
            name: "fairlead",
        };
        let observed = nft.observe(table).unwrap().unwrap();
        let foreign = observed
            .chains
            .iter()
            .map(|chain| (chain.name.as_str(), chain.foreign));
        let mut foreign: Vec<_> = foreign.collect();
        foreign.sort_unstable();
        assert_eq!(
            foreign,
            [("dropping", true), ("fine", false), ("routing", false)]
        );
        let elements = |name: &str| {
            let set = observed.sets.iter().find(|set| set.name == name).unwrap();
            set.elements.clone()
        };
        assert_eq!(elements("verdicts")[0].data, None);
        let port = |port| Bytes::new().port(port);
        let [low, high] = &elements("adjacent")[..] else {
            panic!("{observed:?}")
        };
        let drop = Element {
            data: Some(Data::Verdict(Verdict::Drop)),
            ..Element::range(port(1), port(9))
        };
        assert_eq!(*low, drop);
        assert_eq!(*high, Element::range(port(10), port(65535)));
    });
}

#[test]
fn many_elements_are_observed_while_the_kernel_still_makes_room_for_them() {
    in_namespace(|nft| {
        for family in FAMILIES {
            let batch = many_elements(family, 20_000);
            let wanted: HashSet<Bytes> = elements(&batch).map(|element| element.key).collect();
            nft.commit(std::slice::from_ref(&batch)).unwrap();
            let observed = nft.observe(batch.table).unwrap().unwrap();
            let elements = observed.sets[0].elements.iter().map(|element| element.key);
            let keys: Vec<Bytes> = elements.collect();
            assert_eq!(keys.len(), wanted.len());
            assert!(wanted == keys.into_iter().collect());
        }
    });
}

#[test]
fn elements_are_removed_as_they_were_added() {
    in_namespace(|nft| {
        for batch in FAMILIES.map(table::batch) {
            let table = batch.table;
            let elements = |op: &Op| match op {
                Op::AddElements { set, elements } => {
                    let elements = elements.clone();
                    Some(Op::DeleteElements { set, elements })
                }
                _ => None,
            };
            let removal = Batch {
                table,
                ops: batch.ops.iter().filter_map(elements).collect(),
            };
            nft.commit(&[batch, removal]).unwrap();
            let observed = nft.observe(table).unwrap().unwrap();
            assert!(
                observed.sets.iter().all(|set| set.elements.is_empty()),
                "{observed:?}"
            );
        }
    });
}

#[test]
fn what_is_there_can_be_added_again_flushed_and_deleted() {
    in_namespace(|nft| {
        let batch = table::batch(Family::Ip);
        let table = batch.table;
        let no_rules = |op: &Op| !matches!(op, Op::AddRule { .. });
        let again = Batch {
            table,
            ops: batch
                .ops
                .iter()
                .filter(|op| no_rules(op))
                .cloned()
                .collect(),
        };
        nft.commit(&[batch]).unwrap();
        nft.commit(&[again]).unwrap();
        let ops = vec![
            Op::FlushSet("services"),
            Op::FlushChain("sticky".into()),
            Op::DeleteChain("sticky".into()),
            Op::DeleteSet("affinity"),
        ];
        nft.commit(&[Batch { table, ops }]).unwrap();
        let observed = nft.observe(table).unwrap().unwrap();
        assert!(observed.chains.iter().all(|chain| chain.name != "sticky"));
        assert!(observed.sets.iter().all(|set| set.name != "affinity"));
        let services = observed
            .sets
            .iter()
            .find(|set| set.name == "services")
            .unwrap();
        assert_eq!(services.elements, []);
        nft.commit(&[Batch {
            table,
            ops: vec![Op::DeleteTable],
        }])
        .unwrap();
        assert_eq!(nft.observe(table).unwrap(), None);
    });
}

#[test]
fn a_refusal_names_its_operations_and_nothing_is_done() {
    in_namespace(|nft| {
        let many = many_elements(Family::Ip, 1000);
        nft.commit(std::slice::from_ref(&many)).unwrap();
        let before = nft.observe(many.table).unwrap().map(sorted);
        let element = |number, chain: &str| {
            let mut element = service_element(Family::Ip, number);
            element.data = Some(Data::Verdict(Verdict::Goto(chain.into())));
            element
        };
        let elements = vec![
            element(1001, "lb"),
            element(1002, "lb"),
            element(1003, "nowhere"),
            element(1004, "lb"),
        ];
        let set = "services";
        let ops = vec![
            Op::AddElements { set, elements },
            Op::DeleteChain("nowhere".into()),
        ];
        let v6 = Batch {
            table: table::batch(Family::Ip6).table,
            ops: vec![Op::DeleteTable],
        };
        let refused = nft
            .commit(&[
                Batch {
                    table: many.table,
                    ops,
                },
                v6,
            ])
            .unwrap_err();
        let CommitError::Refused(refusals) = &refused else {
            panic!("{refused}")
        };
        let place = |r: &Refusal| (r.batch, r.op, r.element, r.errno);
        let places: Vec<_> = refusals.iter().map(place).collect();
        let enoent = libc::ENOENT;
        assert_eq!(
            places,
            [
                (0, 0, Some(2), enoent),
                (0, 1, None, enoent),
                (1, 0, None, enoent)
            ],
            "{refused}"
        );
        let what: Vec<_> = refusals
            .iter()
            .map(|refusal| refusal.what.as_str())
            .collect();
        // The set was made by another transaction.
        assert_eq!(
            what[0],
            "add element ip fairlead services { 10.0.3.235 . tcp . 80 \
             comment \"default/some-service:http\" : goto nowhere }"
        );
        assert_eq!(what[1], "delete chain ip fairlead nowhere");
        assert_eq!(what[2], "delete table ip6 fairlead");
        assert!(nft.observe(many.table).unwrap().map(sorted) == before);
    });
}

#[test]
fn an_element_in_the_middle_of_many_messages_is_found() {
    in_namespace(|nft| {
        let mut batch = many_elements(Family::Ip6, 3000);
        let Some(Op::AddElements { elements, .. }) = batch.ops.last_mut() else {
            panic!()
        };
        let wrong = 2300;
        elements[wrong].data = Some(Data::Verdict(Verdict::Jump("nowhere".into())));
        let refused = nft.commit(&[batch]).unwrap_err();
        let CommitError::Refused(refusals) = &refused else {
            panic!("{refused}")
        };
        let [Refusal { op, element, .. }] = refusals[..] else {
            panic!("{refused}")
        };
        assert_eq!((op, element), (3, Some(wrong)));
    });
}

#[test]
fn without_the_right_the_socket_says_so() {
    in_namespace(|_| {
        privilege::give_up_capabilities();
        assert_eq!(NftSocket::open().unwrap_err().errno, libc::EPERM);
    });
}

#[test]
fn every_transaction_is_a_generation() {
    in_namespace(|nft| {
        let before = nft.generation().unwrap();
        nft.commit(&FAMILIES.map(table::batch)).unwrap();
        assert_eq!(nft.generation().unwrap(), before + 1);
        let nothing = Batch {
            table: table::batch(Family::Ip).table,
            ops: vec![Op::DeleteElements {
                set: "services",
                elements: Vec::new(),
            }],
        };
        assert_eq!(nft.commit(&[]).unwrap().messages, 0);
        assert_eq!(nft.commit(&[nothing]).unwrap().messages, 0);
        assert_eq!(nft.generation().unwrap(), before + 1);
    });
}

#[test]
fn the_monitor_tells_others_changes_from_our_own() {
    in_namespace(|nft| {
        let batch = table::batch(Family::Ip);
        let mut monitor = NftMonitor::open(vec![batch.table], nft.port()).unwrap();
        assert_eq!(monitor.drain().unwrap(), Touched::Nothing);
        nft.commit(&[batch]).unwrap();
        assert_eq!(monitor.drain().unwrap(), Touched::Nothing);
        run("nft add table ip other", "");
        run("nft add table ip6 fairlead", "");
        assert_eq!(monitor.drain().unwrap(), Touched::Nothing);
        for foreign in [
            "nft flush chain ip fairlead lb-3",
            "nft add element ip fairlead ports { 1 }",
            "nft delete element ip fairlead ports { 1 }",
            "nft add chain ip fairlead extra",
        ] {
            run(foreign, "");
            assert_eq!(monitor.drain().unwrap(), Touched::Ours, "{foreign}");
            assert_eq!(monitor.drain().unwrap(), Touched::Nothing);
        }
        monitor.pause().unwrap();
        run("nft delete chain ip fairlead extra", "");
        monitor.resume().unwrap();
        assert_eq!(monitor.drain().unwrap(), Touched::Nothing);
        run("nft flush ruleset", "");
        assert_eq!(monitor.drain().unwrap(), Touched::Ours);
    });
}

#[test]
fn the_monitor_tells_when_it_could_not_keep_up() {
    in_namespace(|nft| {
        let batch = many_elements(Family::Ip, 20_000);
        let mut monitor = NftMonitor::open(vec![batch.table], nft.port()).unwrap();
        NftSocket::open().unwrap().commit(&[batch]).unwrap();
        assert_eq!(monitor.drain().unwrap(), Touched::Lost);
        assert_eq!(monitor.drain().unwrap(), Touched::Nothing);
    });
}

/// A table whose one map has so many elements.
fn many_elements(family: Family, count: u32) -> Batch {
    let services = Set {
        data: Some(DataType::Verdict),
        ..Set::new("services", &[Type::Address, Type::Protocol, Type::Port])
    };
    let chain = fairlead_kernel::nft::ruleset::Chain {
        name: "lb".into(),
        hook: None,
        comment: None,
    };
    let mut ops = vec![
        Op::AddTable { comment: "" },
        Op::AddChain(chain),
        Op::AddSet(services),
    ];
    let elements = (0..count).map(|number| service_element(family, number));
    ops.push(Op::AddElements {
        set: "services",
        elements: elements.collect(),
    });
    Batch {
        table: TableId {
            family,
            name: "fairlead",
        },
        ops,
    }
}

fn elements(batch: &Batch) -> impl Iterator<Item = &Element> {
    let ops = batch.ops.iter().filter_map(|op| match op {
        Op::AddElements { elements, .. } => Some(elements),
        _ => None,
    });
    ops.flatten()
}

fn service_element(family: Family, number: u32) -> Element {
    let ip = Bytes::new().address(table::address(family, number));
    Element {
        data: Some(Data::Verdict(Verdict::Goto("lb".into()))),
        comment: Some("default/some-service:http".into()),
        ..Element::new(ip.protocol(6).port(80))
    }
}

/// What is to be observed when all of a batch has been done.
fn written(batch: &Batch) -> ObservedTable {
    use fairlead_kernel::nft::handle::{ObservedChain, ObservedSet};
    use fairlead_kernel::nft::schema;
    let mut table = ObservedTable::default();
    for op in &batch.ops {
        match op {
            Op::AddTable { comment } => table.comment = Some((*comment).to_owned()),
            Op::AddChain(chain) => table.chains.push(ObservedChain {
                name: chain.name.to_string(),
                hook: chain.hook,
                foreign: false,
            }),
            Op::AddSet(set) => table.sets.push(ObservedSet {
                counted: set.counted,
                name: set.name.to_owned(),
                key_len: schema::kernel_len(set.key, batch.table.family) as u32,
                data_len: match &set.data {
                    Some(DataType::Fields(fields)) => {
                        Some(schema::kernel_len(fields, batch.table.family) as u32)
                    }
                    _ => None,
                },
                verdict_map: set.data == Some(DataType::Verdict),
                interval: set.interval,
                dynamic: set.dynamic,
                size: set.size,
                elements: Vec::new(),
            }),
            Op::AddElements { set, elements } => {
                let observed = table.sets.iter_mut().find(|known| known.name == *set);
                observed.unwrap().elements.extend(elements.iter().map(kept));
            }
            _ => {}
        }
    }
    table
}

/// An element as the kernel keeps it: the longest comment is 127 bytes long.
fn kept(element: &Element) -> Element {
    let comment = element.comment.as_deref();
    Element {
        comment: comment.map(|comment| comment[..comment.floor_char_boundary(127)].into()),
        ..element.clone()
    }
}

fn sorted(mut table: ObservedTable) -> ObservedTable {
    table.chains.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    table.sets.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for set in &mut table.sets {
        set.elements.sort_unstable_by_key(|element| element.key);
    }
    table
}

/// Runs a test with a socket to the nf_tables of a namespace that nobody else knows of.
fn in_namespace(test: impl FnOnce(&mut NftSocket) + Send) {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    netns.run(|| test(&mut NftSocket::open().unwrap())).unwrap();
}

/// Runs a command and returns what it prints. It must succeed, and print no error.
fn run(command: &str, input: &str) -> String {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{command}: {errors}\n{input}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn assert_same(actual: &str, expected: &str) {
    if actual != expected {
        let differs = |(a, e): (&str, &str)| a != e;
        let line = actual.lines().zip(expected.lines()).position(differs);
        panic!(
            "differs from line {:?} on; it is:\n{actual}",
            line.map(|line| line + 1)
        );
    }
}

//! Which iptables a node uses, by what its programs left there.

mod privilege;

use std::fs;
use std::process::Command;

use fairlead_kernel::iptables::info::TableInfo;
use fairlead_kernel::iptables::ruleset::{Family, Table};
use fairlead_kernel::iptables::variant::{Facts, Variant};
use fairlead_kernel::netns::Netns;

/// What is chosen in a new namespace where these have been run, with the facts.
fn chosen(commands: &[&str]) -> (Variant, Facts) {
    let gather = || {
        commands.iter().for_each(|command| run(command));
        let facts = Facts::gather().unwrap();
        (Variant::choose(&facts), facts)
    };
    Netns::anonymous().unwrap().run(gather).unwrap()
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

#[test]
fn the_variant_that_holds_rules_is_chosen() {
    use Variant::{Legacy, Nft};
    if !privilege::is_root() {
        return;
    }
    let rows: &[(&[&str], Variant)] = &[
        (&[], Nft),
        (&["iptables-legacy -w -t nat -L"], Nft),
        (&["iptables-legacy -w -A INPUT -j ACCEPT"], Legacy),
        (&["ip6tables-legacy -w -t nat -N SOME"], Legacy),
        (&["iptables-nft -A INPUT -j ACCEPT"], Nft),
        (
            &[
                "iptables-legacy -w -A INPUT -j ACCEPT",
                "iptables-nft -t nat -N SOME",
            ],
            Nft,
        ),
        (
            &[
                "iptables-legacy -w -A INPUT -j ACCEPT",
                "iptables-legacy -w -N SOME",
                "ip6tables-nft -t nat -N SOME",
            ],
            Legacy,
        ),
        (
            &[
                "iptables-legacy -w -N SOME",
                "ip6tables-nft -t mangle -N KUBE-IPTABLES-HINT",
            ],
            Nft,
        ),
        (
            &[
                "iptables-nft -N SOME",
                "iptables-nft -N MORE",
                "ip6tables-legacy -w -t mangle -N KUBE-KUBELET-CANARY",
            ],
            Legacy,
        ),
        // Kubelet's chains are in the mangle table; elsewhere they are any chains.
        (
            &[
                "iptables-nft -N SOME",
                "iptables-nft -N MORE",
                "iptables-legacy -w -N KUBE-IPTABLES-HINT",
            ],
            Nft,
        ),
    ];
    for (commands, expected) in rows {
        let (variant, facts) = chosen(commands);
        assert_eq!(variant, *expected, "{commands:?} {facts:?}");
    }
}

#[test]
fn rules_and_chains_count_the_same_in_both() {
    if !privilege::is_root() {
        return;
    }
    let both = |words: &str| {
        let nft = words
            .split(';')
            .map(|words| format!("iptables-nft {words}"));
        let legacy = words
            .split(';')
            .map(|words| format!("iptables-legacy -w {words}"));
        nft.chain(legacy).collect::<Vec<_>>()
    };
    let commands = both("-t nat -N SOME;-t nat -A SOME -j ACCEPT;-t mangle -N MORE;-P INPUT DROP");
    let commands: Vec<_> = commands.iter().map(String::as_str).collect();
    let (_, facts) = chosen(&commands);
    assert_eq!((facts.nft, facts.nft.things), (facts.legacy, 5));
}

#[test]
fn to_ask_registers_no_legacy_table() {
    if !privilege::is_root() {
        return;
    }
    let names = || {
        Facts::gather().unwrap();
        fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap()
    };
    assert_eq!(Netns::anonymous().unwrap().run(names).unwrap(), "");
}

#[test]
fn the_kernel_tells_the_chains_of_a_legacy_table() {
    if !privilege::is_root() {
        return;
    }
    let work = || {
        for (family, program) in [(Family::Ip, "iptables"), (Family::Ip6, "ip6tables")] {
            let info = TableInfo::open(family).unwrap();
            let mut expected = Vec::new();
            assert_eq!(info.chains(Table::Nat).unwrap(), expected);
            for name in ["A", "ERR", "a-name-of-exactly-28-letters"] {
                run(&format!("{program}-legacy -w -t nat -N {name}"));
                run(&format!(
                    "{program}-legacy -w -t nat -A {name} -p tcp -m comment --comment ERROR"
                ));
                expected.push(name);
                assert_eq!(info.chains(Table::Nat).unwrap(), expected);
            }
        }
    };
    Netns::anonymous().unwrap().run(work).unwrap();
}

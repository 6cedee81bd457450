//! How the rules of two hosts differ.
//!
//! The order of rules counts everywhere, but for one thing: kube-proxy visits service ports in no
//! order, so in the chains that they share, rules of different ones may change places. Those of
//! the same one may not, and what belongs to none stays where it is.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use super::saved::{Chain, NODE_PORTS_COMMENT, Saved, comment};

/// The chains in which rules of many service ports stand, by table.
const SHARED: [(&str, &[&str]); 2] = [
    ("nat", &["KUBE-SERVICES", "KUBE-NODEPORTS"]),
    (
        "filter",
        &[
            "KUBE-SERVICES",
            "KUBE-EXTERNAL-SERVICES",
            "KUBE-NODEPORTS",
            "KUBE-PROXY-FIREWALL",
        ],
    ),
];

/// A chain that is not as it was expected to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDifference {
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The lines that only one of both has, or has elsewhere.
    pub lines: Vec<Line>,
}

/// A line of saved rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It was expected and is not there.
    Missing(String),
    /// It is there and was not expected.
    Found(String),
}

impl Display for RuleDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.table, self.chain)?;
        for line in &self.lines {
            match line {
                Line::Missing(line) => writeln!(f, "  - {line}")?,
                Line::Found(line) => writeln!(f, "  + {line}")?,
            }
        }
        Ok(())
    }
}

/// Every chain that is not as expected, with its lines that differ.
pub fn compare(expected: &Saved, found: &Saved) -> Vec<RuleDifference> {
    let all = &chains(expected) | &chains(found);
    let differences = all.into_iter().map(|(table, chain)| {
        let [expected, found] = [expected, found].map(|saved| lines(saved, table, chain));
        RuleDifference {
            table: table.to_owned(),
            chain: chain.to_owned(),
            lines: differing(&expected, &found),
        }
    });
    differences
        .filter(|chain| !chain.lines.is_empty())
        .collect()
}

fn chains(saved: &Saved) -> BTreeSet<(&str, &str)> {
    let of_table = |table| saved.chains(table).map(move |chain| (table, chain));
    saved.0.keys().flat_map(|table| of_table(table)).collect()
}

/// What is to be compared of a chain, in an order that does not depend on chance.
fn lines(saved: &Saved, table: &str, name: &str) -> Vec<String> {
    let Some(Chain { policy, rules }) = saved.0.get(table).and_then(|table| table.get(name)) else {
        return Vec::new();
    };
    let mut rules = rules.clone();
    if is_shared(table, name) {
        let of_services = rules.iter().take_while(|rule| service_port(rule).is_some());
        let count = of_services.count();
        rules[..count].sort_by(|a, b| service_port(a).cmp(&service_port(b)));
    }
    let declared = format!(":{name} {policy}");
    std::iter::once(declared).chain(rules).collect()
}

fn is_shared(table: &str, chain: &str) -> bool {
    let shared = SHARED.iter().filter(|(of, _)| *of == table);
    shared
        .flat_map(|(_, chains)| *chains)
        .any(|name| *name == chain)
}

/// The service port that a rule is of: its comment begins with it.
fn service_port(rule: &str) -> Option<&str> {
    let comment = comment(rule);
    let name = comment.split(' ').next()?;
    (name.contains('/') && comment != NODE_PORTS_COMMENT).then_some(name)
}

/// What has to go and to come to make one list the other: a longest common subsequence stays.
fn differing(expected: &[String], found: &[String]) -> Vec<Line> {
    let lengths = common_lengths(expected, found);
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < expected.len() || j < found.len() {
        let more = i < expected.len() && j < found.len();
        if more && expected[i] == found[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == found.len() || more && lengths[i + 1][j] >= lengths[i][j + 1] {
            lines.push(Line::Missing(expected[i].clone()));
            i += 1;
        } else {
            lines.push(Line::Found(found[j].clone()));
            j += 1;
        }
    }
    lines
}

/// At `[i][j]`: how long the longest list is that is left in both from there on.
fn common_lengths(a: &[String], b: &[String]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i][j] = match a[i] == b[j] {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with one chain that holds these rules, each without `-A` and the chain's name.
    fn saved(table: &str, chain: &str, rules: &[&str]) -> Saved {
        let rules = rules.iter().map(|rule| format!("-A {chain} {rule}\n"));
        let rules: String = rules.collect();
        Saved::parse(&format!("*{table}\n:{chain} - [0:0]\n{rules}COMMIT\n")).unwrap()
    }

    fn differs(table: &str, chain: &str, expected: &[&str], found: &[&str]) -> String {
        let differences = compare(&saved(table, chain, expected), &saved(table, chain, found));
        differences.iter().map(ToString::to_string).collect()
    }

    const A1: &str = "-d 10.96.0.1/32 -m comment --comment \"default/a:http cluster IP\" -j A";
    const A2: &str = "-d 192.0.2.1/32 -m comment --comment \"default/a:http external IP\" -j A";
    const B1: &str = "-d 10.96.0.2/32 -m comment --comment \"default/b cluster IP\" -j B";
    const LAST: &str = "-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -j KUBE-NODEPORTS";

    #[test]
    fn in_shared_chains_service_ports_may_change_places() {
        for (table, chains) in SHARED {
            for chain in chains {
                assert_eq!(differs(table, chain, &[A1, A2, B1], &[B1, A1, A2]), "");
                assert_eq!(differs(table, chain, &[A1, A2, B1], &[A1, B1, A2]), "");
            }
        }
    }

    #[test]
    fn elsewhere_they_may_not() {
        let own = [
            ("nat", "KUBE-SVC-TCOU7JCQXEZGVUNU"),
            ("nat", "KUBE-PROXY-FIREWALL"),
            ("filter", "INPUT"),
            ("filter", "KUBE-FORWARD"),
            ("mangle", "KUBE-SERVICES"),
        ];
        for (table, chain) in own {
            assert_ne!(differs(table, chain, &[A1, B1], &[B1, A1]), "", "{chain}");
        }
    }

    #[test]
    fn rules_of_one_service_port_may_not_change_places() {
        let line = format!("-A KUBE-SERVICES {A1}");
        assert_eq!(
            differs("nat", "KUBE-SERVICES", &[A1, A2], &[A2, A1]),
            format!("nat KUBE-SERVICES\n  - {line}\n  + {line}\n")
        );
    }

    #[test]
    fn node_ports_come_last() {
        assert_eq!(
            differs("nat", "KUBE-SERVICES", &[A1, B1, LAST], &[B1, A1, LAST]),
            ""
        );
        for found in [[A1, LAST, B1], [LAST, A1, B1]] {
            assert_ne!(differs("nat", "KUBE-SERVICES", &[A1, B1, LAST], &found), "");
        }
        assert_ne!(differs("nat", "KUBE-SERVICES", &[A1, LAST], &[A1]), "");
        assert_ne!(differs("nat", "KUBE-SERVICES", &[LAST], &[LAST, LAST]), "");
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_said_by_chain() {
        let [missing, found] = [B1, A2].map(|rule| format!("-A KUBE-NODEPORTS {rule}"));
        assert_eq!(
            differs("nat", "KUBE-NODEPORTS", &[A1, B1], &[A1, A2]),
            format!("nat KUBE-NODEPORTS\n  - {missing}\n  + {found}\n")
        );
    }

    #[test]
    fn chains_policies_and_tables_count() {
        let parse = |text: &str| Saved::parse(text).unwrap();
        let one = parse("*nat\n:INPUT ACCEPT [0:0]\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n");
        for other in [
            "*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
            "*nat\n:INPUT DROP [0:0]\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n",
            "*mangle\n:INPUT ACCEPT [0:0]\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n",
        ] {
            assert_ne!(compare(&one, &parse(other)), [], "{other}");
        }
        assert_eq!(compare(&one, &one), []);
    }
}

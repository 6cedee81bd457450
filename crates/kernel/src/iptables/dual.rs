//! One text for `iptables-restore` and `ip6tables-restore`.
//!
//! Each of the two ignores lines that begin with the other's `-6` or `-4` (iptables-restore(8)
//! reads them as iptables(8) does). A chain that one family alone has is made by `-N`, since `:`
//! takes no such flag.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::ruleset::{Batch, ChainName, Op, Table};
use super::text::op_line;

/// Prints batches that both families' tables are made by from nothing.
pub fn restore_input(batches: &[Batch]) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let mut of_table = batches.iter().filter(|batch| batch.table.table == table);
        if let (Some(four), six) = (of_table.next(), of_table.next()) {
            let _ = writeln!(text, "*{}", table.name());
            match six {
                Some(six) => join(&Lines::of(four), &Lines::of(six), &mut text),
                None => Lines::of(four).print("", &mut text),
            }
            text.push_str("COMMIT\n");
        }
    }
    text
}

/// What makes a table, by chain.
#[derive(Debug, Default)]
struct Lines {
    made: Vec<(ChainName, String)>,
    /// In the order in which the chains first get a rule.
    order: Vec<ChainName>,
    rules: BTreeMap<ChainName, Vec<String>>,
}

impl Lines {
    fn of(batch: &Batch) -> Lines {
        let mut lines = Lines::default();
        for op in &batch.ops {
            let (chain, line) = (
                op.chain().clone(),
                op_line(op, batch.table.family).to_string(),
            );
            match op {
                Op::Create(_) | Op::Declare(_) => lines.made.push((chain, line)),
                _ => {
                    if !lines.rules.contains_key(&chain) {
                        lines.order.push(chain.clone());
                    }
                    lines.rules.entry(chain).or_default().push(line);
                }
            }
        }
        lines
    }

    fn print(&self, flag: &str, text: &mut String) {
        for (_, line) in &self.made {
            let _ = writeln!(text, "{line}");
        }
        for chain in &self.order {
            print(&self.rules[chain], flag, text);
        }
    }

    /// Makes the chains that the other family does not have.
    fn make_own(&self, flag: &str, other: &BTreeSet<&ChainName>, text: &mut String) {
        let own = self.made.iter().filter(|(chain, _)| !other.contains(chain));
        for (chain, _) in own {
            let _ = writeln!(text, "{flag}-N {chain}");
        }
    }

    fn chains(&self) -> BTreeSet<&ChainName> {
        self.made.iter().map(|(chain, _)| chain).collect()
    }
}

fn join(four: &Lines, six: &Lines, text: &mut String) {
    let shared = six.chains();
    for (_, line) in four.made.iter().filter(|(chain, _)| shared.contains(chain)) {
        let _ = writeln!(text, "{line}");
    }
    four.make_own("-4 ", &shared, text);
    six.make_own("-6 ", &four.chains(), text);
    for chain in &four.order {
        match six.rules.get(chain) {
            Some(rules) if *rules == four.rules[chain] => print(rules, "", text),
            others => {
                print(&four.rules[chain], "-4 ", text);
                others
                    .into_iter()
                    .for_each(|rules| print(rules, "-6 ", text));
            }
        }
    }
    for chain in six
        .order
        .iter()
        .filter(|chain| !four.rules.contains_key(*chain))
    {
        print(&six.rules[chain], "-6 ", text);
    }
}

fn print(lines: &[String], flag: &str, text: &mut String) {
    for line in lines {
        let _ = writeln!(text, "{flag}{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iptables::rule::{Rule, Target};
    use crate::iptables::ruleset::{Family, TableId};

    fn batch(family: Family, ops: Vec<Op>) -> Batch {
        let table = TableId {
            family,
            table: Table::Nat,
        };
        Batch { table, ops }
    }

    fn accept(chain: &str) -> Op {
        Op::Append(chain.into(), Rule::default().then(Target::Accept))
    }

    fn drop(chain: &str) -> Op {
        Op::Append(chain.into(), Rule::default().then(Target::Drop))
    }

    #[test]
    fn what_both_have_is_said_once_and_what_one_has_to_it_alone() {
        let declare = |chain: &str| Op::Declare(chain.into());
        let four = vec![
            declare("SAME"),
            declare("FOUR"),
            declare("BOTH"),
            accept("SAME"),
            accept("BOTH"),
            accept("FOUR"),
        ];
        let six = vec![
            declare("SAME"),
            declare("SIX"),
            declare("BOTH"),
            accept("SAME"),
            accept("BOTH"),
            drop("BOTH"),
            drop("SIX"),
        ];
        let text = restore_input(&[batch(Family::Ip, four), batch(Family::Ip6, six)]);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "*nat",
                ":SAME - [0:0]",
                ":BOTH - [0:0]",
                "-4 -N FOUR",
                "-6 -N SIX",
                "-A SAME -j ACCEPT",
                "-4 -A BOTH -j ACCEPT",
                "-6 -A BOTH -j ACCEPT",
                "-6 -A BOTH -j DROP",
                "-4 -A FOUR -j ACCEPT",
                "-6 -A SIX -j DROP",
                "COMMIT",
            ]
        );
    }

    #[test]
    fn one_family_alone_needs_no_flags() {
        let four = vec![Op::Declare("FOUR".into()), accept("FOUR")];
        let text = restore_input(&[batch(Family::Ip, four)]);
        assert_eq!(text, "*nat\n:FOUR - [0:0]\n-A FOUR -j ACCEPT\nCOMMIT\n");
    }
}

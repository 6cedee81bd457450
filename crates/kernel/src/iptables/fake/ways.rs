//! Where packets get to in a table, as the kernel follows them from the built-in chains
//! (`mark_source_chains`, net/ipv4/netfilter/ip_tables.c).

use std::collections::HashMap;

use super::super::rule::{Rule, Target};
use super::table::Table;

/// Whether packets find their way: in no circle, and to no target that cannot be where they come
/// from. What no packet gets to may be as it is.
pub(super) fn follow(table: &Table) -> Result<(), &'static str> {
    let hooks = table.id.table.built_in().iter();
    hooks.copied().try_for_each(|hook| follow_from(table, hook))
}

/// A chain that a packet is in, and the rules that it has before it.
type Step<'a> = (&'a str, std::slice::Iter<'a, Rule>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The packet is in it, and may come back to it.
    Within,
    /// It was in it, and has left it for good.
    Left,
}

fn follow_from<'a>(table: &'a Table, hook: &'a str) -> Result<(), &'static str> {
    let mut seen = HashMap::from([(hook, Seen::Within)]);
    let mut way: Vec<Step<'a>> = vec![(hook, table.rules(hook).iter())];
    while let Some((chain, rules)) = way.last_mut() {
        let Some(rule) = rules.next() else {
            seen.insert(*chain, Seen::Left);
            way.pop();
            continue;
        };
        if ends_all(rule) {
            *rules = [].iter();
        }
        match &rule.target {
            Some(Target::Dnat(_)) if !matches!(hook, "PREROUTING" | "OUTPUT") => {
                return Err("Invalid argument: DNAT where packets come from elsewhere.");
            }
            Some(Target::Masquerade { .. }) if hook != "POSTROUTING" => {
                return Err("Invalid argument: MASQUERADE where packets come from elsewhere.");
            }
            Some(Target::Jump(to)) => match seen.get(&**to) {
                Some(Seen::Within) => return Err("Too many levels of symbolic links."),
                Some(Seen::Left) => {}
                None => {
                    seen.insert(to, Seen::Within);
                    way.push((to, table.rules(to).iter()));
                }
            },
            _ => {}
        }
    }
    Ok(())
}

/// No packet gets past this rule, and the kernel does not look at those after it.
fn ends_all(rule: &Rule) -> bool {
    let verdict = matches!(
        rule.target,
        Some(Target::Accept | Target::Drop | Target::Return)
    );
    let unconditional = Rule {
        target: rule.target.clone(),
        ..Rule::default()
    };
    verdict && *rule == unconditional
}

//! What `iptables-save(8)` printed, as values.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use fairlead_core::address::Family;
use thiserror::Error;

/// The comment of the rules that lead to node ports, which have to be the last of their chain.
pub(super) const NODE_PORTS_COMMENT: &str =
    "kubernetes service nodeports; NOTE: this must be the last rule in this chain";

/// What kube-proxy has the kernel count by name, where the kernel can.
const INVALID_DROPPED: &str = " -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts";
const LOCALHOST_ACCEPTED: &str = " -m nfacct --nfacct-name  localhost_nps_accepted_pkts";

/// The rules of a host in one family, as text, without counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved(pub(super) BTreeMap<String, Table>);

/// The chains of a table by name.
pub(super) type Table = BTreeMap<String, Chain>;

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chain {
    /// What becomes of packets at its end; `-` in a chain that is not built in.
    pub(super) policy: String,
    /// Its rules in order, each beginning with `-A`.
    pub(super) rules: Vec<String>,
}

/// A line that `iptables-save` would not have printed there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {number} of saved rules is out of place: {line}")]
pub struct SavedError {
    /// Counted from 1.
    pub number: usize,
    /// The line.
    pub line: String,
}

impl Saved {
    /// Reads what `iptables-save` or `ip6tables-save` printed, with or without counters.
    pub fn parse(text: &str) -> Result<Saved, SavedError> {
        let mut saved = Saved::default();
        let mut table = None;
        for (n, line) in text.lines().enumerate() {
            saved.read(&mut table, line).ok_or_else(|| SavedError {
                number: n + 1,
                line: line.to_owned(),
            })?;
        }
        Ok(saved)
    }

    /// Reads one family's part of a recorded `iptables.rules`.
    pub fn recorded(text: &str, family: Family) -> Result<Saved, SavedError> {
        Saved::parse(&recorded_text(text, family))
    }

    /// The same rules as kube-proxy programs them where the kernel does not count by name.
    #[must_use]
    pub fn without_accounting(mut self) -> Saved {
        for chain in self.0.values_mut().flat_map(BTreeMap::values_mut) {
            // There for the sake of the counter alone: the next rule leads to the same.
            chain
                .rules
                .retain(|rule| !rule.contains(LOCALHOST_ACCEPTED));
            for rule in &mut chain.rules {
                *rule = rule.replace(INVALID_DROPPED, "");
            }
        }
        self
    }

    /// The rules of a chain; none where there is no such chain.
    pub fn rules(&self, table: &str, chain: &str) -> &[String] {
        let chain = self.0.get(table).and_then(|table| table.get(chain));
        chain.map_or(&[], |chain| &chain.rules)
    }

    /// The names of all chains of a table.
    pub fn chains(&self, table: &str) -> impl Iterator<Item = &str> {
        let chains = self.0.get(table).into_iter().flat_map(BTreeMap::keys);
        chains.map(String::as_str)
    }

    /// Takes in one line; nothing if it is out of place.
    fn read(&mut self, table: &mut Option<String>, line: &str) -> Option<()> {
        if line.is_empty() || line.starts_with('#') {
            return Some(());
        }
        if line == "COMMIT" {
            return table.take().map(drop);
        }
        if let Some(name) = line.strip_prefix('*') {
            let is_new = table.is_none() && !self.0.contains_key(name);
            self.0.entry(name.to_owned()).or_default();
            *table = Some(name.to_owned());
            return is_new.then_some(());
        }
        let chains = self.0.get_mut(table.as_ref()?)?;
        match line.strip_prefix(':') {
            Some(declared) => declare(chains, declared),
            None => append(chains, line),
        }
    }
}

/// One family's part of a recorded `iptables.rules`.
fn recorded_text(text: &str, family: Family) -> String {
    let title = match family {
        Family::V4 => "iptables ",
        Family::V6 => "ip6tables ",
    };
    let of_family = text.split("## ").filter(|part| part.starts_with(title));
    let rules = of_family.filter_map(|part| part.split_once('\n'));
    rules.map(|(_, rules)| rules).collect()
}

/// As `iptables-restore` reads it.
impl Display for Saved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (table, chains) in &self.0 {
            writeln!(f, "*{table}")?;
            for (name, chain) in chains {
                writeln!(f, ":{name} {} [0:0]", chain.policy)?;
            }
            for rule in chains.values().flat_map(|chain| &chain.rules) {
                writeln!(f, "{rule}")?;
            }
            writeln!(f, "COMMIT")?;
        }
        Ok(())
    }
}

/// `NAME POLICY [packets:bytes]`.
fn declare(chains: &mut Table, declared: &str) -> Option<()> {
    let (name, rest) = declared.split_once(' ')?;
    let (policy, _) = rest.split_once(' ')?;
    let chain = Chain {
        policy: policy.to_owned(),
        rules: Vec::new(),
    };
    chains
        .insert(name.to_owned(), chain)
        .is_none()
        .then_some(())
}

/// `-A NAME ...`, after the rule's own counters if there are some.
fn append(chains: &mut Table, line: &str) -> Option<()> {
    let rule = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    let name = rule.strip_prefix("-A ")?.split(' ').next()?;
    chains.get_mut(name)?.rules.push(rule.to_owned());
    Some(())
}

/// The text of a rule's comment, or nothing.
pub(super) fn comment(rule: &str) -> &str {
    let text = rule.split_once("--comment ").map_or("", |(_, rest)| rest);
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => text.split(' ').next(),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
        # Generated by iptables-save v1.8.9\n*filter\n:INPUT ACCEPT [3:200]\n:OWN - [0:0]\n\
        [7:420] -A INPUT -j OWN\n-A OWN -m comment --comment \"two words\" -j DROP\nCOMMIT\n\
        # Completed\n*mangle\n:INPUT DROP [0:0]\nCOMMIT\n";

    #[test]
    fn tables_chains_and_rules_are_read_and_counters_are_not() {
        let saved = Saved::parse(SAVED).unwrap();
        assert_eq!(saved.rules("filter", "INPUT"), ["-A INPUT -j OWN"]);
        assert_eq!(saved.chains("filter").collect::<Vec<_>>(), ["INPUT", "OWN"]);
        assert_eq!(saved.0["mangle"]["INPUT"].policy, "DROP");
        assert_eq!(comment(&saved.rules("filter", "OWN")[0]), "two words");
        assert_eq!(comment("-A OWN -m comment --comment word -j DROP"), "word");
        assert_eq!(comment("-A OWN -j DROP"), "");
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let saved = Saved::parse(SAVED).unwrap();
        assert_eq!(Saved::parse(&saved.to_string()), Ok(saved));
    }

    #[test]
    fn what_is_out_of_place_is_refused() {
        let cases = [
            ("-A INPUT -j DROP", 1),
            ("*nat\n-A INPUT -j DROP", 2),
            ("*nat\n:INPUT ACCEPT [0:0]\n:INPUT ACCEPT [0:0]", 3),
            ("*nat\n*filter", 2),
            ("*nat\nCOMMIT\n*nat", 3),
            ("COMMIT", 1),
            ("*nat\n:INPUT", 2),
            ("*nat\niptables: no such table", 2),
        ];
        for (text, number) in cases {
            let refused = Saved::parse(text).map_err(|error| error.number);
            assert_eq!(refused, Err(number), "{text}");
        }
    }

    #[test]
    fn each_family_of_a_record_is_read_for_itself() {
        let record = "## iptables nat\n*nat\n:ONE - [0:0]\nCOMMIT\n\
                      ## iptables filter\n*filter\n:TWO - [0:0]\nCOMMIT\n\
                      ## ip6tables nat\n*nat\n:SIX - [0:0]\nCOMMIT\n";
        let [v4, v6] = Family::BOTH.map(|family| Saved::recorded(record, family).unwrap());
        assert_eq!(v4.chains("nat").collect::<Vec<_>>(), ["ONE"]);
        assert_eq!(v4.chains("filter").collect::<Vec<_>>(), ["TWO"]);
        assert_eq!(v6.chains("nat").collect::<Vec<_>>(), ["SIX"]);
        assert_eq!(v6.chains("filter").count(), 0);
    }

    #[test]
    fn without_accounting_the_rules_are_the_same_but_for_it() {
        let head = "*filter\n:F - [0:0]\n-A F -m conntrack --ctstate INVALID";
        let rest = "-A F -p tcp -m tcp --dport 30080 -j EXT\nCOMMIT\n";
        let counting = format!(
            "{head}{INVALID_DROPPED} -j DROP\n\
             -A F -d 127.0.0.0/8 -p tcp -m tcp --dport 30080{LOCALHOST_ACCEPTED} -j EXT\n{rest}"
        );
        let plain = Saved::parse(&format!("{head} -j DROP\n{rest}")).unwrap();
        let counting = Saved::parse(&counting).unwrap();
        assert_ne!(counting, plain);
        assert_eq!(counting.without_accounting(), plain);
    }
}

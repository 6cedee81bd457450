//! Reads what `iptables-save -t TABLE` prints, piece by piece as it comes.

use std::collections::HashMap;
use std::str;

use super::super::handle::{ObservedHook, ObservedTable};
use super::super::ruleset::ChainName;

/// A table as it was printed.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The chains that are not built in, in the order in which they were printed.
    pub(super) chains: Vec<ChainName>,
    /// How many rules every one of them has.
    pub(super) rules: HashMap<ChainName, u32>,
    /// The rules of built-in chains that lead to one of them.
    pub(super) hooks: Vec<ObservedHook>,
    /// It was printed to its end.
    pub(super) complete: bool,
}

impl Saved {
    pub(super) fn observed(self) -> ObservedTable {
        ObservedTable {
            chains: self.chains,
            hooks: self.hooks,
        }
    }
}

/// A table that is being read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    saved: Saved,
    built_in: Vec<ChainName>,
    /// The chain that the last rule was in, and how many rules before it were, not counted yet:
    /// the rules of a chain stand together.
    current: Option<(ChainName, u32)>,
    /// A line whose end has not come yet.
    line: Vec<u8>,
}

impl Reader {
    /// Reads some more.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if self.line.is_empty() {
                self.take(&bytes[..end]);
            } else {
                self.line.extend_from_slice(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.take(&line);
            }
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
    }

    /// There is no more.
    pub(super) fn end(mut self) -> Saved {
        self.count();
        self.saved
    }

    fn take(&mut self, line: &[u8]) {
        // The bytes of a comment may be any. A chain that has no name in UTF-8 is not ours.
        let text = String::from_utf8_lossy(line);
        if let Some(rest) = text.strip_prefix("-A ") {
            self.rule(rest);
        } else if let Some(rest) = text.strip_prefix(':') {
            self.chain(rest);
        } else if text == "COMMIT" {
            self.saved.complete = true;
        }
    }

    /// `KUBE-SERVICES - [0:0]`; a built-in chain has a policy instead of the dash.
    fn chain(&mut self, text: &str) {
        let mut words = text.split(' ');
        let Some(name) = words.next().map(ChainName::from) else {
            return;
        };
        if words.next() == Some("-") {
            self.saved.chains.push(name.clone());
            self.saved.rules.insert(name, 0);
        } else {
            self.built_in.push(name);
        }
    }

    /// `KUBE-SERVICES -d 10.96.0.1/32 ...`.
    fn rule(&mut self, text: &str) {
        let (chain, rest) = text.split_once(' ').unwrap_or((text, ""));
        match &mut self.current {
            Some((current, rules)) if **current == *chain => *rules += 1,
            _ => {
                self.count();
                self.current = Some((chain.into(), 1));
            }
        }
        if let Some(chain) = self.built_in.iter().find(|name| ***name == *chain) {
            self.saved
                .hooks
                .extend(hook(chain, rest, &self.saved.rules));
        }
    }

    fn count(&mut self) {
        if let Some((chain, more)) = self.current.take()
            && let Some(rules) = self.saved.rules.get_mut(&chain)
        {
            *rules += more;
        }
    }
}

/// What is observed of a rule of a built-in chain, if it leads to another chain.
fn hook(chain: &ChainName, rule: &str, chains: &HashMap<ChainName, u32>) -> Option<ObservedHook> {
    let (mut target, mut comment) = (None, None);
    let mut words = Words(rule);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-j" | "-g" => target = words.next(),
            "--comment" => comment = comment.or(words.next()),
            _ => {}
        }
    }
    let (target, _) = chains.get_key_value(target?.as_str())?;
    Some(ObservedHook {
        chain: chain.clone(),
        target: target.clone(),
        comment,
    })
}

/// The words of a line. iptables puts those in quotes that hold more than letters, digits, `_`
/// and `-`, with a backslash before quotes and backslashes.
struct Words<'a>(&'a str);

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0 = self.0.trim_start_matches(' ');
        if self.0.is_empty() {
            return None;
        }
        let (mut word, mut quoted, mut escaped) = (String::new(), false, false);
        for (at, c) in self.0.char_indices() {
            match c {
                _ if escaped => {
                    word.push(c);
                    escaped = false;
                }
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ' ' if !quoted => {
                    self.0 = &self.0[at..];
                    return Some(word);
                }
                _ => word.push(c),
            }
        }
        self.0 = "";
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# Generated by iptables-save v1.8.9 on Sat Nov 21 19:31:55 2026
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT DROP [12:345]
:ONE - [0:0]
:TWO - [0:0]
:THREE - [7:8]
-A PREROUTING -m comment --comment "it\'s \"for\" \\ -j TWO" -j ONE
-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80
-A OUTPUT ! -s 10.0.0.0/8 -g TWO
-A OUTPUT -m comment --comment "" -j THREE
-A OUTPUT
-A ONE -s 192.0.2.1/32 -j TWO
-A ONE
-A THREE -j ONE
COMMIT
# Completed on Sat Nov 21 19:31:55 2026
"#;

    fn read_by(piece: usize) -> Saved {
        let mut reader = Reader::default();
        TEXT.as_bytes()
            .chunks(piece)
            .for_each(|piece| reader.read(piece));
        reader.end()
    }

    #[test]
    fn chains_rules_and_hooks_are_read_in_pieces_of_any_size() {
        for piece in [1, 2, 7, 64, TEXT.len()] {
            let saved = read_by(piece);
            assert!(saved.complete);
            let count = |name: &ChainName| (name.to_string(), saved.rules[name]);
            let rules: Vec<_> = saved.chains.iter().map(count).collect();
            let expected = [("ONE", 2), ("TWO", 0), ("THREE", 1)];
            assert_eq!(
                rules,
                expected.map(|(name, rules)| (name.to_owned(), rules))
            );
            let hooks = saved.hooks.iter();
            let hooks: Vec<_> = hooks
                .map(|hook| (&*hook.chain, &*hook.target, hook.comment.as_deref()))
                .collect();
            let expected = [
                ("PREROUTING", "ONE", Some("it's \"for\" \\ -j TWO")),
                ("OUTPUT", "TWO", None),
                ("OUTPUT", "THREE", Some("")),
            ];
            assert_eq!(hooks, expected);
        }
    }

    #[test]
    fn what_was_cut_off_is_not_complete() {
        let mut reader = Reader::default();
        reader.read(&TEXT.as_bytes()[..TEXT.find("COMMIT").unwrap() + 3]);
        assert!(!reader.end().complete);
    }

    #[test]
    fn bytes_of_any_kind_are_read() {
        let mut reader = Reader::default();
        reader.read(b":\n:ONE\n-A \n-A\n\xff\xfe\n:\xff - [0:0]\n:IN ACCEPT\n-A IN \"\\");
        reader.read(b"\n-A IN -j\n-A IN --comment \"\xc3\" -j \"");
        assert!(!reader.end().complete);
    }
}

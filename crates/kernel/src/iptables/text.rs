//! Operations as `iptables-restore` reads them, rules as `iptables-save` prints them.

use std::fmt::{self, Display, Formatter, Write};

use super::rule::{Interface, Match, Net, Probability, Rule, State, Target};
use super::ruleset::{Batch, Family, Op};

/// Prints batches of one family as input of `iptables-restore --noflush` (`ip6tables-restore`).
/// Each operation is one line.
pub fn restore_input(batches: &[Batch]) -> String {
    let mut text = String::new();
    for batch in batches {
        let _ = writeln!(text, "*{}", batch.table.table.name());
        for op in &batch.ops {
            let _ = writeln!(text, "{}", op_line(op, batch.table.family));
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// Prints one operation.
pub fn op_line(op: &Op, family: Family) -> impl Display + '_ {
    Line { op, family }
}

/// Prints a rule without its chain: `-d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-...`.
pub fn rule_text(rule: &Rule, family: Family) -> impl Display + '_ {
    RuleText { rule, family }
}

struct Line<'a> {
    op: &'a Op,
    family: Family,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut with_rule = |command, chain: &str, rule| {
            write!(f, "-{command} {chain}{}", rule_text(rule, self.family))
        };
        match self.op {
            Op::Append(chain, rule) => with_rule('A', chain, rule),
            Op::Insert(chain, rule) => with_rule('I', chain, rule),
            Op::Remove(chain, rule) => with_rule('D', chain, rule),
            Op::Create(chain) => write!(f, "-N {chain}"),
            Op::Declare(chain) => write!(f, ":{chain} - [0:0]"),
            Op::Delete(chain) => write!(f, "-X {chain}"),
        }
    }
}

struct RuleText<'a> {
    rule: &'a Rule,
    family: Family,
}

/// Every part is written with a blank before it.
impl Display for RuleText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = self.rule;
        net(f, "-s", rule.source)?;
        net(f, "-d", rule.destination)?;
        if let Some(Interface {
            name,
            prefix,
            negate,
        }) = &rule.input
        {
            let more = if *prefix { "+" } else { "" };
            write!(f, "{} -i {name}{more}", not(*negate))?;
        }
        if let Some(protocol) = rule.protocol {
            write!(f, " -p {}", protocol.name())?;
        }
        for one in &rule.matches {
            self.extension(f, one)?;
        }
        match &rule.target {
            Some(target) => self.target(f, target),
            None => Ok(()),
        }
    }
}

impl RuleText<'_> {
    fn extension(&self, f: &mut Formatter<'_>, one: &Match) -> fmt::Result {
        match one {
            Match::Comment(text) => {
                f.write_str(" -m comment --comment ")?;
                quoted(f, text)
            }
            Match::Transport { protocol, dport } => {
                write!(f, " -m {}", protocol.name())?;
                dport.map_or(Ok(()), |port| write!(f, " --dport {port}"))
            }
            Match::State { negate, states } => {
                let names: Vec<_> = states.iter().map(|state| state_name(*state)).collect();
                write!(
                    f,
                    " -m conntrack{} --ctstate {}",
                    not(*negate),
                    names.join(",")
                )
            }
            Match::SourceIsLocal => f.write_str(" -m addrtype --src-type LOCAL"),
            Match::DestinationIsLocal => f.write_str(" -m addrtype --dst-type LOCAL"),
            Match::Mark { negate, bits } => {
                write!(f, " -m mark{} --mark {bits:#x}/{bits:#x}", not(*negate))
            }
            Match::Random(Probability(numerator)) => {
                let share = f64::from(*numerator) / f64::from(1u32 << 31);
                write!(f, " -m statistic --mode random --probability {share:.11}")
            }
            Match::Remember { list } => self.recent(f, "--set", list),
            Match::Remembered { list, seconds } => {
                self.recent(f, &format!("--rcheck --seconds {seconds} --reap"), list)
            }
            // iptables prints two blanks.
            Match::Count(name) => write!(f, " -m nfacct --nfacct-name  {name}"),
        }
    }

    fn recent(&self, f: &mut Formatter<'_>, what: &str, list: &str) -> fmt::Result {
        let mask = match self.family {
            Family::Ip => "255.255.255.255",
            Family::Ip6 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        };
        write!(f, " -m recent {what} --name {list} --mask {mask} --rsource")
    }

    fn target(&self, f: &mut Formatter<'_>, target: &Target) -> fmt::Result {
        match target {
            Target::Jump(chain) => write!(f, " -j {chain}"),
            Target::Accept => f.write_str(" -j ACCEPT"),
            Target::Drop => f.write_str(" -j DROP"),
            Target::Return => f.write_str(" -j RETURN"),
            Target::Reject => {
                let with = match self.family {
                    Family::Ip => "icmp-port-unreachable",
                    Family::Ip6 => "icmp6-port-unreachable",
                };
                write!(f, " -j REJECT --reject-with {with}")
            }
            Target::SetMark(bits) => write!(f, " -j MARK --set-xmark {bits:#x}/{bits:#x}"),
            Target::FlipMark(bits) => write!(f, " -j MARK --set-xmark {bits:#x}/0x0"),
            Target::Masquerade { random_fully } => {
                let more = if *random_fully { " --random-fully" } else { "" };
                write!(f, " -j MASQUERADE{more}")
            }
            Target::Dnat(address) => write!(f, " -j DNAT --to-destination {address}"),
        }
    }
}

fn net(f: &mut Formatter<'_>, flag: &str, net: Option<Net>) -> fmt::Result {
    match net {
        Some(Net { net, negate }) => write!(f, "{} {flag} {net}", not(negate)),
        None => Ok(()),
    }
}

fn not(negate: bool) -> &'static str {
    if negate { " !" } else { "" }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Invalid => "INVALID",
        State::New => "NEW",
        State::Established => "ESTABLISHED",
        State::Related => "RELATED",
        State::Dnat => "DNAT",
    }
}

/// Characters that iptables takes in a word without quotes.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// As iptables quotes: only what needs it, with a backslash before quotes and backslashes.
fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    if is_plain(text) {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

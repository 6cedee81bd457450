//! The part of iptables' rule language that is needed, as values.
//!
//! A [`Rule`] prints as `iptables-save` prints it, which `iptables-restore` reads as well: what
//! was asked for and what is there can be compared as text.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::ruleset::ChainName;

/// A rule: what a packet must be like, and what becomes of it then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rule {
    /// `-s NET`.
    pub source: Option<Net>,
    /// `-d NET`.
    pub destination: Option<Net>,
    /// `-i NAME`.
    pub input: Option<Interface>,
    /// `-p PROTOCOL`.
    pub protocol: Option<Protocol>,
    /// `-m NAME ...`, in order.
    pub matches: Vec<Match>,
    /// `-j TARGET`. A rule without one does nothing but count.
    pub target: Option<Target>,
}

/// A network that an address is in, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Net {
    /// The network, without host bits.
    pub net: IpNet,
    /// `!`.
    pub negate: bool,
}

/// The interface that a packet came in by, or did not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its name, or how it begins.
    pub name: String,
    /// `name` is how it begins: prints as `NAME+`.
    pub prefix: bool,
    /// `!`.
    pub negate: bool,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
    /// `sctp`.
    Sctp,
}

impl Protocol {
    /// Its number in IP headers.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// Its name, which is also that of its match extension.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// A match extension with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Match {
    /// `-m comment --comment TEXT`: matches everything. At most 255 bytes count.
    Comment(String),
    /// `-m tcp`, `-m udp`, `-m sctp`: the rule's own protocol, and `--dport`.
    Transport {
        /// The protocol, which the rule must have too.
        protocol: Protocol,
        /// The port that is asked for.
        dport: Option<u16>,
    },
    /// `-m conntrack --ctstate STATES`.
    State {
        /// `!`.
        negate: bool,
        /// The states, in the order in which they are printed.
        states: &'static [State],
    },
    /// `-m addrtype --src-type LOCAL`.
    SourceIsLocal,
    /// `-m addrtype --dst-type LOCAL`.
    DestinationIsLocal,
    /// `-m mark --mark BITS/BITS`: whether these bits of the packet mark are all set.
    Mark {
        /// `!`.
        negate: bool,
        /// The bits.
        bits: u32,
    },
    /// `-m statistic --mode random --probability P`.
    Random(Probability),
    /// `-m recent --set --name LIST`: remembers the source.
    Remember {
        /// The list, at most 200 bytes (`XT_RECENT_NAME_LEN`, linux/netfilter/xt_recent.h).
        list: String,
    },
    /// `-m recent --rcheck --seconds SECONDS --reap --name LIST`: whether the source was
    /// remembered lately.
    Remembered {
        /// The list.
        list: String,
        /// How long ago at most.
        seconds: u32,
    },
    /// `-m nfacct --nfacct-name NAME`: counts in an accounting object that is there.
    Count(&'static str),
}

/// A state of a connection, as `-m conntrack --ctstate` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not part of any connection.
    Invalid,
    /// Begins one.
    New,
    /// Belongs to one that was seen in both directions.
    Established,
    /// Begins one that belongs to another.
    Related,
    /// Its destination was translated.
    Dnat,
}

/// How likely a random match is: `numerator / 2^31`, as the kernel has it (linux/netfilter/xt_statistic.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Probability(pub u32);

impl Probability {
    /// One in `n`, by way of the ten decimals in which kube-proxy writes it.
    pub fn one_in(n: u32) -> Probability {
        const DECIMALS: u128 = 10_000_000_000;
        let rounded = |dividend: u128, divisor: u128| (dividend + divisor / 2) / divisor;
        let decimals = rounded(DECIMALS, n.max(1).into());
        Probability(rounded(decimals << 31, DECIMALS) as u32)
    }
}

/// What becomes of a packet that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `-j CHAIN`.
    Jump(ChainName),
    /// `-j ACCEPT`.
    Accept,
    /// `-j DROP`.
    Drop,
    /// `-j RETURN`.
    Return,
    /// `-j REJECT`, with ICMP port unreachable.
    Reject,
    /// `-j MARK --set-xmark BITS/BITS`: sets bits of the packet mark.
    SetMark(u32),
    /// `-j MARK --set-xmark BITS/0x0`: flips bits of the packet mark.
    FlipMark(u32),
    /// `-j MASQUERADE`.
    Masquerade {
        /// `--random-fully`.
        random_fully: bool,
    },
    /// `-j DNAT --to-destination ADDRESS`.
    Dnat(SocketAddr),
}

impl Rule {
    /// A rule with a comment.
    pub fn commented(comment: impl Into<String>) -> Rule {
        Rule::default().matching(Match::Comment(comment.into()))
    }

    /// Also asks for this.
    #[must_use]
    pub fn matching(mut self, one: Match) -> Rule {
        self.matches.push(one);
        self
    }

    /// Also asks for the protocol, and the port if there is one.
    #[must_use]
    pub fn transport(mut self, protocol: Protocol, dport: Option<u16>) -> Rule {
        self.protocol = Some(protocol);
        self.matching(Match::Transport { protocol, dport })
    }

    /// Also asks for a source in the network.
    #[must_use]
    pub fn from(self, net: impl Into<IpNet>) -> Rule {
        let source = Some(Net {
            net: net.into(),
            negate: false,
        });
        Rule { source, ..self }
    }

    /// Also asks for a source that is not in the network.
    #[must_use]
    pub fn not_from(self, net: impl Into<IpNet>) -> Rule {
        let source = Some(Net {
            net: net.into(),
            negate: true,
        });
        Rule { source, ..self }
    }

    /// Also asks for a destination in the network.
    #[must_use]
    pub fn to(self, net: impl Into<IpNet>) -> Rule {
        let destination = Some(Net {
            net: net.into(),
            negate: false,
        });
        Rule {
            destination,
            ..self
        }
    }

    /// Also asks for a destination that is not in the network.
    #[must_use]
    pub fn not_to(self, net: impl Into<IpNet>) -> Rule {
        let destination = Some(Net {
            net: net.into(),
            negate: true,
        });
        Rule {
            destination,
            ..self
        }
    }

    /// What becomes of the packet.
    #[must_use]
    pub fn then(self, target: Target) -> Rule {
        Rule {
            target: Some(target),
            ..self
        }
    }

    /// The packet goes on to a chain.
    #[must_use]
    pub fn jump(self, chain: impl Into<ChainName>) -> Rule {
        self.then(Target::Jump(chain.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `iptables` reads `%.10f` and rounds what that is of 2^31 (libxt_statistic).
    #[test]
    fn probabilities_are_what_iptables_makes_of_kube_proxys_ten_decimals() {
        let mut before = u32::MAX;
        for n in 1..=100_000 {
            let decimals: f64 = format!("{:.10}", 1.0 / f64::from(n)).parse().unwrap();
            let Probability(numerator) = Probability::one_in(n);
            let rounded = (decimals * 2_f64.powi(31)).round();
            assert_eq!(numerator.to_string(), rounded.to_string());
            assert!(numerator <= before, "1 in {n}");
            before = numerator;
        }
        assert_eq!(Probability::one_in(0), Probability::one_in(1));
    }
}

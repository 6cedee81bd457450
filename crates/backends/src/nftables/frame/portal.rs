//! What brings connections to listeners, in userspace mode.
//!
//! ```text
//!  from outside      prerouting ─ services ─ mark ─ tproxy ─▶ listener
//!  from this node    output ─ services ─ mark ─▶ lo ─▶ prerouting ─ services ─ tproxy ─▶ listener
//! ```
//!
//! The mark leads to a routing table in which every address is this host's. A connection has it,
//! too: its later packets find their socket by it, whatever has become of its Service.

use fairlead_core::address::Family;
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{BaseHook, Chain, ChainKind, Hook, SetName};

use super::super::schema::{BY_ADDRESS, BY_NODEPORT, Maps, key, portal_mark};
use super::{Frame, PRE_DNAT, regular};

const DIVERT: &str = "divert";
const TO_LISTENER: &str = "to-listener";
/// Assigned Internet protocol number of TCP.
const TCP: u8 = 6;
/// The same of ICMP, in IPv4 and in IPv6.
const ICMP: [u8; 2] = [1, 58];

impl Frame {
    /// The bit of packets that go to a listener.
    pub(crate) fn portal_mark(&self) -> u32 {
        portal_mark(self.mark)
    }

    /// The chains that bring packets to sockets.
    pub(super) fn portals(&self) -> Vec<(Chain, Vec<Rule>)> {
        let mark = Statement::SetMark(self.portal_mark());
        vec![
            regular(
                DIVERT,
                "what has a socket of this host already",
                vec![Rule::new([mark, Statement::Accept])],
            ),
            regular(
                TO_LISTENER,
                "what is new, or a datagram",
                self.to_listener(),
            ),
        ]
    }

    /// The rules of a base chain, given those that it has in nftables mode.
    pub(super) fn with_portals(&self, hook: BaseHook, rules: Vec<Rule>) -> Vec<Rule> {
        match (hook.kind, hook.hook) {
            (ChainKind::Filter, Hook::Prerouting) => [rules, self.arriving()].concat(),
            (ChainKind::Route, Hook::Output) => self.leaving(),
            (ChainKind::Filter, Hook::Output) if hook.priority != PRE_DNAT => {
                let taken = Statement::HasMark(self.portal_mark());
                let pass = Rule::new([taken, Statement::Return]).comment("a listener has it");
                [vec![pass], rules].concat()
            }
            _ => rules,
        }
    }

    fn arriving(&self) -> Vec<Rule> {
        let divert = || Statement::Goto(DIVERT.into());
        vec![
            Rule::new([Statement::IsReply, self.has_socket(), divert()])
                .comment("answers to a listener that uses its client's address"),
            Rule::new([
                Statement::IsProtocol(TCP),
                Statement::Established,
                self.has_socket(),
                divert(),
            ]),
            Rule::new([
                Statement::IsProtocol(self.icmp()),
                self.has_socket(),
                divert(),
            ])
            .comment("what is told of it on its way, as that a packet was too large"),
            leave_older(),
            leave_translated(),
            Rule::new([Statement::IsOriginal, Statement::Jump("services".into())]),
            Rule::new([
                Statement::IsOriginal,
                Statement::HasMark(self.portal_mark()),
                Statement::Jump(TO_LISTENER.into()),
            ]),
        ]
    }

    /// What the listeners themselves send to endpoints has the mark of masquerading: else an
    /// endpoint with the address of a Service would be an endless loop.
    fn leaving(&self) -> Vec<Rule> {
        let own = || Statement::HasMark(self.mark);
        let with_own_address = Statement::IsLocal(Expr::SourceAddress);
        let answers_come_here = Statement::SetConnectionMark(self.portal_mark());
        vec![
            Rule::new([own(), with_own_address, Statement::Return])
                .comment("a listener and its endpoint"),
            Rule::new([own(), answers_come_here, Statement::Return])
                .comment("the same, with the client's address"),
            Rule::new([Statement::IsReply, Statement::Return]),
            Rule::new([
                Statement::IsProtocol(TCP),
                Statement::Established,
                self.has_socket(),
                Statement::Goto(DIVERT.into()),
            ]),
            leave_older(),
            leave_translated(),
            Rule::new([Statement::Jump("services".into())]),
        ]
    }

    fn has_socket(&self) -> Statement {
        Statement::HasConnectionMark(self.portal_mark())
    }

    fn icmp(&self) -> u8 {
        let [v4, v6] = ICMP;
        match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    fn to_listener(&self) -> Vec<Rule> {
        let from_node = Statement::IsLocal(Expr::SourceAddress);
        let mut rules = Vec::from(by_both(Some(&from_node), |maps| maps.portals));
        if let Some(from_pods) = self.from_pods(false) {
            rules.extend(by_both(Some(&from_pods), |maps| maps.pod_portals));
        }
        let from_others = self.from_pods(true);
        rules.extend(by_both(from_others.as_ref(), |maps| maps.outside_portals));
        rules.extend(by_both(None, |maps| maps.portals));
        // Without them the packet comes to where no socket is, and the kernel sends no answer from an
        // address that is not this host's: whoever calls waits for nothing.
        rules.extend([
            Rule::new([Statement::IsProtocol(TCP), Statement::Reset])
                .comment("nobody listens any more"),
            Rule::new([Statement::Reject]),
        ]);
        rules
    }
}

/// The rules that look for a listener, by service address and by node port.
fn by_both(condition: Option<&Statement>, map: fn(&Maps) -> SetName) -> [Rule; 2] {
    let rule = |here: Option<Statement>, key, maps| {
        let found = [
            Statement::HasPorts,
            Statement::Tproxy {
                key,
                map: map(maps),
            },
            Statement::Accept,
        ];
        let conditions = condition.cloned().into_iter().chain(here);
        Rule::new(conditions.chain(found).collect::<Vec<_>>())
    };
    let here = Statement::IsLocal(Expr::DestinationAddress);
    [
        rule(None, key::address(), &BY_ADDRESS),
        rule(Some(here), key::nodeport(), &BY_NODEPORT),
    ]
}

/// A connection that is older than the Service has its endpoint: somebody else has had the address.
/// A listener would reset it.
fn leave_older() -> Rule {
    Rule::new([
        Statement::IsProtocol(TCP),
        Statement::Established,
        Statement::Return,
    ])
    .comment("it goes on as it began")
}

/// Of a connection that another mode has begun, the packets go on as it began.
fn leave_translated() -> Rule {
    Rule::new([Statement::Translated, Statement::Return]).comment("it has an endpoint")
}

//! What brings connections to listeners, in userspace mode.
//!
//! ```text
//!  from outside      prerouting ─ services ─ mark ─ tproxy ─▶ listener
//!  from this node    output ─ services ─ mark ─▶ lo ─▶ prerouting ─ services ─ tproxy ─▶ listener
//! ```
//!
//! The mark leads to a routing table in which every address is this host's. A connection has it,
//! too: its later packets find their socket by it, whatever has become of its Service.
//!
//! Who begins a connection is what the kernel remembers of it. When it has forgotten, because
//! nothing was said for long or somebody told it to (`conntrack -F`), and a listener is the first to
//! speak, then it is the listener that has begun it, and clients answer. Such a connection has both
//! marks.

use fairlead_core::address::Family;
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{BaseHook, Chain, ChainKind, Hook};

use super::super::schema::portal_mark;
use super::listener::TO_LISTENER;
use super::{Frame, PRE_DNAT, regular};

const TO_ENDPOINT: &str = "to-endpoint";
const DIVERT: &str = "divert";
/// Gives both marks, by which routing tells what this host sends from where packets are from.
const OWN_DIVERT: &str = "own-divert";
const CLIENTS: &str = "clients";
const OWN_CLIENTS: &str = "own-clients";
const LISTENER_BEGAN: &str = "listener-began";
/// Assigned Internet protocol number of TCP.
pub(super) const TCP: u8 = 6;
/// The same of UDP.
const UDP: u8 = 17;
/// The same of ICMP, in IPv4 and in IPv6.
const ICMP: [u8; 2] = [1, 58];

impl Frame {
    /// The bit of packets that go to a listener.
    pub(crate) fn portal_mark(&self) -> u32 {
        portal_mark(self.mark)
    }

    /// The chains that bring packets to sockets, each before those that lead there.
    pub(super) fn portals(&self) -> Vec<(Chain, Vec<Rule>)> {
        let divert = |mark| vec![Rule::new([Statement::SetMark(mark), Statement::Accept])];
        let mut chains = vec![
            regular(
                DIVERT,
                "what has a socket of this host already",
                divert(self.portal_mark()),
            ),
            regular(
                OWN_DIVERT,
                "what does not leave this host",
                divert(self.portal_mark() | self.mark),
            ),
        ];
        chains.extend(self.to_listeners());
        chains.extend([
            regular(CLIENTS, "what clients elsewhere send", self.clients()),
            regular(
                OWN_CLIENTS,
                "what clients on this node send",
                self.own_clients(),
            ),
            regular(
                LISTENER_BEGAN,
                "where what the client sends counts as an answer",
                listener_began(),
            ),
            regular(
                TO_ENDPOINT,
                "what listeners send to endpoints",
                self.to_endpoint(),
            ),
        ]);
        chains
    }

    /// The rules of a base chain, given those that it has in nftables mode.
    pub(super) fn with_portals(&self, hook: BaseHook, rules: Vec<Rule>) -> Vec<Rule> {
        match (hook.kind, hook.hook) {
            (ChainKind::Filter, Hook::Prerouting) => [rules, self.arriving()].concat(),
            (ChainKind::Route, Hook::Output) => self.leaving(),
            (ChainKind::Filter, Hook::Input | Hook::Forward | Hook::Output)
                if hook.priority != PRE_DNAT =>
            {
                let taken = Statement::HasMark(self.portal_mark());
                let pass = Rule::new([taken, Statement::Return]).comment("a listener has it");
                // Nothing that a listener has is passed on.
                let pass = (hook.hook != Hook::Forward).then_some(pass);
                let later = rules.iter().filter_map(|rule| self.for_later(rule));
                let before: Vec<Rule> = pass.into_iter().chain(later).collect();
                [before, rules].concat()
            }
            _ => rules,
        }
    }

    /// What new connections are asked, asked of datagrams whose connection a listener has had: its
    /// Service may have lost all its endpoints, or be gone.
    fn for_later(&self, rule: &Rule) -> Option<Rule> {
        let [Statement::NewConnection, jump] = &rule.statements[..] else {
            return None;
        };
        let of_a_listener = [
            Statement::IsProtocol(UDP),
            self.has_socket(),
            Statement::IsOriginal,
            jump.clone(),
        ];
        Some(Rule::new(of_a_listener).comment("a listener has had it"))
    }

    fn arriving(&self) -> Vec<Rule> {
        let divert = || Statement::Goto(DIVERT.into());
        vec![
            Rule::new([
                Statement::IsProtocol(TCP),
                Statement::Established,
                self.has_socket(),
                divert(),
            ]),
            leave_older(),
            Rule::new([
                Statement::IsReply,
                self.has_socket(),
                self.is_turned(),
                Statement::Goto(CLIENTS.into()),
            ]),
            Rule::new([Statement::IsReply, self.has_socket(), divert()])
                .comment("answers to a listener that uses its client's address"),
            Rule::new([
                Statement::IsProtocol(self.icmp()),
                self.has_socket(),
                divert(),
            ])
            .comment("what is told of it on its way, as that a packet was too large"),
            leave_translated(),
            Rule::new([Statement::IsOriginal, Statement::Goto(CLIENTS.into())]),
        ]
    }

    fn clients(&self) -> Vec<Rule> {
        let has_mark = Statement::HasMark(self.portal_mark());
        vec![
            Rule::new([Statement::Jump("services".into())]),
            Rule::new([has_mark, Statement::Goto(TO_LISTENER.into())]),
        ]
    }

    /// What the listeners themselves send to endpoints has the mark of masquerading: else an
    /// endpoint with the address of a Service would be an endless loop.
    fn leaving(&self) -> Vec<Rule> {
        vec![
            Rule::new([
                Statement::HasMark(self.mark),
                Statement::Goto(TO_ENDPOINT.into()),
            ]),
            Rule::new([
                self.has_socket(),
                self.is_turned(),
                Statement::Goto(LISTENER_BEGAN.into()),
            ]),
            Rule::new([Statement::IsReply, Statement::Return]),
            Rule::new([Statement::Jump(OWN_CLIENTS.into())]),
            Rule::new([
                Statement::NewConnection,
                Statement::HasSender,
                Statement::IsTransparent,
                Statement::SetConnectionMark(self.portal_mark() | self.mark),
            ])
            .comment("a listener goes on with a client that is forgotten"),
        ]
    }

    /// Whose address it is is asked of the first packet alone.
    fn to_endpoint(&self) -> Vec<Rule> {
        let with_own_address = Statement::IsLocal(Expr::SourceAddress);
        let answers_come_here = Statement::SetConnectionMark(self.portal_mark());
        vec![
            Rule::new([
                Statement::Established,
                Statement::IsOriginal,
                Statement::Return,
            ]),
            Rule::new([with_own_address, Statement::Return]),
            Rule::new([answers_come_here]).comment("with the client's address"),
        ]
    }

    /// What is for a Service is accepted: it is not a listener's.
    fn own_clients(&self) -> Vec<Rule> {
        let has_mark = Statement::HasMark(self.portal_mark());
        vec![
            Rule::new([
                Statement::IsProtocol(TCP),
                Statement::Established,
                self.has_socket(),
                Statement::Goto(OWN_DIVERT.into()),
            ]),
            leave_older(),
            leave_translated(),
            Rule::new([Statement::Jump("services".into())]),
            Rule::new([has_mark, Statement::Goto(OWN_DIVERT.into())]),
        ]
    }

    fn has_socket(&self) -> Statement {
        Statement::HasConnectionMark(self.portal_mark())
    }

    /// Of a connection that has a socket: whether a listener has begun it.
    fn is_turned(&self) -> Statement {
        Statement::HasConnectionMark(self.mark)
    }

    fn icmp(&self) -> u8 {
        let [v4, v6] = ICMP;
        match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

fn listener_began() -> Vec<Rule> {
    vec![
        Rule::new([Statement::IsOriginal, Statement::Return]),
        Rule::new([Statement::Goto(OWN_CLIENTS.into())]),
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

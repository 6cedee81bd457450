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
use fairlead_kernel::nft::rule::{Concat, Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{BaseHook, Chain, ChainKind, Hook, SetName};

use super::super::schema::{BY_ADDRESS, BY_NODEPORT, Maps, key, portal_mark};
use super::{Frame, PRE_DNAT, regular};

const DIVERT: &str = "divert";
const TO_LISTENER: &str = "to-listener";
const NODE_TO_LISTENER: &str = "node-to-listener";
const NODEPORT_TO_LISTENER: &str = "nodeport-to-listener";
const NO_LISTENER: &str = "no-listener";
/// Assigned Internet protocol number of TCP.
const TCP: u8 = 6;
/// The same of UDP.
const UDP: u8 = 17;
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
                NO_LISTENER,
                "what nobody listens for any more",
                no_listener(),
            ),
            regular(
                NODEPORT_TO_LISTENER,
                "what is new, or a datagram, to a node port",
                self.by_sender(key::nodeport, &BY_NODEPORT),
            ),
            regular(
                NODE_TO_LISTENER,
                "what is new, or a datagram, from this node",
                node_to_listener(),
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
            Rule::new([Statement::IsReply, self.has_socket(), divert()])
                .comment("answers to a listener that uses its client's address"),
            Rule::new([
                Statement::IsProtocol(self.icmp()),
                self.has_socket(),
                divert(),
            ])
            .comment("what is told of it on its way, as that a packet was too large"),
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
            // Whose address it is, below, is asked of the first packet alone.
            Rule::new([
                own(),
                Statement::Established,
                Statement::IsOriginal,
                Statement::Return,
            ])
            .comment("a listener goes on with its endpoint"),
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

    /// Whose address it is costs a look at the routes: that is asked of what is from this node, and
    /// of node ports, not of what usually comes.
    fn to_listener(&self) -> Vec<Rule> {
        let from_loopback = Statement::InputInterface {
            name: "lo".to_owned(),
            prefix: false,
            negate: false,
        };
        let from_node = Statement::IsLocal(Expr::SourceAddress);
        let node = Statement::Goto(NODE_TO_LISTENER.into());
        let mut rules = vec![Rule::new([from_loopback, from_node, node])];
        rules.extend(self.by_sender(key::address, &BY_ADDRESS));
        rules.extend([
            Rule::new([here(), Statement::Jump(NODEPORT_TO_LISTENER.into())]),
            Rule::new([Statement::Goto(NO_LISTENER.into())]),
        ]);
        rules
    }

    /// The rules that look for the listener of pods, of others, and of all.
    fn by_sender(&self, key: fn() -> Concat, maps: &Maps) -> Vec<Rule> {
        let rule = |condition: Option<Statement>, map| {
            let given = condition.into_iter().chain(give(key(), map));
            Rule::new(given.collect::<Vec<_>>())
        };
        let pods = self.from_pods(false);
        let pods = pods.map(|from_pods| rule(Some(from_pods), maps.pod_portals));
        let rest = [
            rule(self.from_pods(true), maps.outside_portals),
            rule(None, maps.portals),
        ];
        pods.into_iter().chain(rest).collect()
    }
}

fn node_to_listener() -> Vec<Rule> {
    let [ports, to_socket, accept] = give(key::nodeport(), BY_NODEPORT.portals);
    vec![
        Rule::new(give(key::address(), BY_ADDRESS.portals)),
        Rule::new([here(), ports, to_socket, accept]),
        Rule::new([Statement::Goto(NO_LISTENER.into())]),
    ]
}

/// Without them the packet comes to where no socket is, and the kernel sends no answer from an
/// address that is not this host's: whoever calls waits for nothing.
fn no_listener() -> Vec<Rule> {
    vec![
        Rule::new([Statement::IsProtocol(TCP), Statement::Reset]),
        Rule::new([Statement::Reject]),
    ]
}

/// Node ports are at addresses of this host alone.
fn here() -> Statement {
    Statement::IsLocal(Expr::DestinationAddress)
}

/// Gives the packet to the listener that a map names.
fn give(key: Concat, map: SetName) -> [Statement; 3] {
    [
        Statement::HasPorts,
        Statement::Tproxy { key, map },
        Statement::Accept,
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

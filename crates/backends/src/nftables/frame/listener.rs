//! Which listener a packet is given to, in userspace mode.

use fairlead_kernel::nft::rule::{Concat, Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{Chain, SetName};

use super::super::schema::{BY_ADDRESS, BY_NODEPORT, Maps, key};
use super::portal::TCP;
use super::{Frame, regular};

/// Where packets get that have the mark, and no socket yet.
pub(super) const TO_LISTENER: &str = "to-listener";
const NODE_TO_LISTENER: &str = "node-to-listener";
const NODEPORT_TO_LISTENER: &str = "nodeport-to-listener";
const NO_LISTENER: &str = "no-listener";

impl Frame {
    /// The chains that find a listener, each before those that lead there.
    pub(super) fn to_listeners(&self) -> [(Chain, Vec<Rule>); 4] {
        [
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

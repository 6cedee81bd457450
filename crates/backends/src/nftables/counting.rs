//! What is counted, and where: connections and packets by destination, refused packets by reason.
//!
//! A destination is counted by elements of its own, which stay as they are whatever becomes of
//! its endpoints: so nothing that was counted is lost when those change. They are found by what
//! the client of a connection asked for, which connection tracking knows of every packet in both
//! directions.

use fairlead_core::address::Protocol;
use fairlead_kernel::nft::rule::{Concat, Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{CounterName, Op, Set, SetName, Type};

use super::schema::{BY_ADDRESS, BY_NODEPORT};

/// The chain that counts the first packet of a translated connection.
pub(super) const COUNT_CONNECTIONS: &str = "count-connections";
/// The chain that counts every packet of translated connections.
pub(super) const COUNT_TRAFFIC: &str = "count-traffic";

/// What a connection's packets are told apart by in keys (`ct_dir` of `nft`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the client.
    Original,
    /// To the client.
    Reply,
}

impl Direction {
    /// Both.
    pub const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

    /// `IP_CT_DIR_ORIGINAL`, `IP_CT_DIR_REPLY`
    /// (linux/netfilter/nf_conntrack_tuple_common.h).
    pub(super) fn number(self) -> u8 {
        match self {
            Direction::Original => 0,
            Direction::Reply => 1,
        }
    }
}

/// Why packets are refused, each with a counter of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The Service has no endpoint that serves.
    NoEndpoint,
    /// Its traffic must stay on this node, and only other nodes have endpoints.
    NoLocalEndpoint,
    /// The source is not in the Service's `loadBalancerSourceRanges`.
    SourceNotAllowed,
    /// A cluster IP was asked for a port that its Service does not have.
    NoSuchPort,
    /// No Service has the address, which is in a `ServiceCIDR`.
    NoSuchClusterIp,
    /// From another host to 127.0.0.0/8.
    LoopbackFromOutside,
}

impl Reason {
    /// All there are.
    pub const ALL: [Reason; 6] = [
        Reason::NoEndpoint,
        Reason::NoLocalEndpoint,
        Reason::SourceNotAllowed,
        Reason::NoSuchPort,
        Reason::NoSuchClusterIp,
        Reason::LoopbackFromOutside,
    ];

    /// The counter's name.
    pub fn name(self) -> CounterName {
        match self {
            Reason::NoEndpoint => "no-endpoint",
            Reason::NoLocalEndpoint => "no-local-endpoint",
            Reason::SourceNotAllowed => "source-not-allowed",
            Reason::NoSuchPort => "no-such-port",
            Reason::NoSuchClusterIp => "no-such-cluster-ip",
            Reason::LoopbackFromOutside => "loopback-from-outside",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Reason::NoEndpoint => "rejected: the service has no endpoint",
            Reason::NoLocalEndpoint => "dropped: only other nodes have endpoints",
            Reason::SourceNotAllowed => "dropped: the load balancer's source ranges",
            Reason::NoSuchPort => "rejected: the cluster IP has no such port",
            Reason::NoSuchClusterIp => "dropped: no service has the cluster IP",
            Reason::LoopbackFromOutside => "dropped: from another host to loopback",
        }
    }

    /// The statement that counts.
    pub(super) fn count(self) -> Statement {
        Statement::Count(self.name())
    }
}

/// The operations that make the counters of reasons.
pub(super) fn counters() -> impl Iterator<Item = Op> {
    let counter = |reason: Reason| Op::AddCounter {
        name: reason.name(),
        comment: reason.comment(),
    };
    Reason::ALL.into_iter().map(counter)
}

/// The sets whose elements count.
pub(super) fn sets() -> Vec<Set> {
    use Type::{Address, Direction, Port, Protocol};
    let counted = |name, key, comment| Set {
        counted: true,
        comment: Some(comment),
        ..Set::new(name, key)
    };
    let (new, all) = (
        "connections that were translated",
        "packets of translated connections",
    );
    vec![
        counted(BY_ADDRESS.connections, &[Address, Protocol, Port], new),
        counted(
            BY_ADDRESS.traffic,
            &[Direction, Address, Protocol, Port],
            all,
        ),
        counted(BY_NODEPORT.connections, &[Protocol, Port], new),
        counted(BY_NODEPORT.traffic, &[Direction, Protocol, Port], all),
    ]
}

/// The rule that counts connections, where their first packets come by. Only there a packet is
/// of no confirmed connection.
pub(super) fn of_connections() -> Rule {
    Rule::new([
        Statement::Translated,
        Statement::Unconfirmed,
        Statement::Jump(COUNT_CONNECTIONS.into()),
    ])
}

/// The rule that counts packets, where all come by. What this host says to itself comes by when
/// it leaves, and again when it arrives (`arriving`) by loopback.
pub(super) fn of_traffic(arriving: bool) -> Rule {
    let not_again = arriving.then(|| Statement::InputInterface {
        name: "lo".to_owned(),
        prefix: false,
        negate: true,
    });
    let jump = Statement::Jump(COUNT_TRAFFIC.into());
    let statements = std::iter::once(Statement::Translated).chain(not_again);
    Rule::new(statements.chain([jump]).collect::<Vec<_>>())
}

/// The rules of [`COUNT_CONNECTIONS`].
pub(super) fn count_connections() -> Vec<Rule> {
    rules(&[], [BY_ADDRESS.connections, BY_NODEPORT.connections])
}

/// The rules of [`COUNT_TRAFFIC`].
pub(super) fn count_traffic() -> Vec<Rule> {
    let sets = [BY_ADDRESS.traffic, BY_NODEPORT.traffic];
    rules(&[Expr::Direction], sets)
}

/// Service addresses are looked for first, then node ports, whose port a Service may have, too.
/// Which of the node's addresses a client asked for is not looked at: a port of a node port's
/// number is somebody else's if at all only on an address where node ports do not answer.
fn rules(first: &[Expr], [by_address, by_nodeport]: [SetName; 2]) -> Vec<Rule> {
    let rule = |protocol: Protocol, address: &[Expr], set| {
        let port = [Expr::Protocol, Expr::OriginalPort];
        let key: Concat = [first, address, &port].concat();
        Rule::new([
            Statement::IsProtocol(protocol.number()),
            Statement::InSet {
                key,
                set,
                negate: false,
            },
            Statement::Return,
        ])
    };
    let both = |protocol| {
        [
            rule(protocol, &[Expr::OriginalDestination], by_address),
            rule(protocol, &[], by_nodeport),
        ]
    };
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .flat_map(both)
        .collect()
}

//! The chains that connections are dispatched to.
//!
//! There is one for each number of endpoints in use and each way of getting there, shared by
//! all Services that need the same. Which Service a packet belongs to is in the packet: the
//! chain looks its destination up together with a slot number drawn by chance.

use std::fmt;
use std::time::Duration;

use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{ChainName, SetName};

use super::counting::Reason;
use super::frame::Frame;
use super::schema::{AFFINITY, BY_ADDRESS, BY_NODEPORT, Maps, Role, key};

/// A run of slots: the endpoints of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// How many.
    pub count: u32,
    /// The first.
    pub from: u32,
}

/// What is left to a packet whose slot is gone.
const FIRST: Range = Range { count: 1, from: 0 };
const SLOT_GONE: &str = "its slot went just now";

/// Names a chain by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DispatchChain {
    /// What is done first.
    pub entry: Entry,
    /// How the endpoint is found then.
    pub choice: Choice,
}

/// How an endpoint is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Choice {
    /// There is none, which only [`Entry::Outside`] can mean.
    Nothing,
    /// By chance among these slots.
    Slots(Range),
    /// As a client met it before, else by chance.
    Sticky(Range, Sticky),
    /// By IPVS, to which the packet is left.
    VirtualServer,
    /// By a listener of this host, to which the packet is brought.
    Portal,
}

impl Choice {
    /// The slots among which it is found.
    pub fn range(self) -> Option<Range> {
        match self {
            Choice::Slots(range) | Choice::Sticky(range, _) => Some(range),
            Choice::Nothing | Choice::VirtualServer | Choice::Portal => None,
        }
    }

    /// How clients are remembered, if they are.
    pub fn sticky(self) -> Option<Sticky> {
        match self {
            Choice::Sticky(_, sticky) => Some(sticky),
            _ => None,
        }
    }
}

/// What a dispatch chain does before it chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// Nothing.
    Direct,
    /// Asks for masquerading: `externalTrafficPolicy: Cluster`.
    External,
    /// Sends what does not come from outside back: `externalTrafficPolicy: Local`. Then it goes
    /// on as any connection, to any endpoint; this node's own with masquerading.
    Outside,
}

/// How clients are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sticky {
    /// For so many seconds without a new connection.
    pub seconds: u32,
    /// They come by node port.
    pub nodeport: bool,
    /// Only the endpoints for traffic from outside count.
    pub outside: bool,
}

impl DispatchChain {
    /// The chain's name.
    pub fn name(self) -> ChainName {
        self.to_string().into()
    }

    /// The chain it goes on to, if it does not choose by itself.
    pub fn next(self) -> Option<DispatchChain> {
        let chooses = self.entry == Entry::Direct || self.choice == Choice::Nothing;
        (!chooses).then_some(DispatchChain {
            entry: Entry::Direct,
            ..self
        })
    }

    /// The chain's rules.
    pub fn rules(self, frame: &Frame) -> Vec<Rule> {
        match (self.entry, self.choice) {
            (Entry::Direct, Choice::Slots(range)) => balance(range),
            (Entry::Direct, Choice::Sticky(range, sticky)) => remember(range, sticky),
            // The chains end, and with them what there is to decide.
            (Entry::Direct, Choice::Nothing | Choice::VirtualServer) => Vec::new(),
            (Entry::Direct, Choice::Portal) => portal(frame),
            (Entry::External, _) => external(self, frame),
            (Entry::Outside, _) => outside(self, frame),
        }
    }
}

impl fmt::Display for DispatchChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.entry {
            Entry::Direct => "",
            Entry::External => "external-",
            Entry::Outside => "outside-",
        })?;
        match self.choice {
            Choice::Nothing => f.write_str("lb-0"),
            Choice::Slots(range) => write!(f, "lb-{range}"),
            Choice::Sticky(range, sticky) => write!(f, "{sticky}-{range}-{}s", sticky.seconds),
            Choice::VirtualServer => f.write_str("virtual-server"),
            Choice::Portal => f.write_str("portal"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            0 => write!(f, "{}", self.count),
            from => write!(f, "{}-from-{from}", self.count),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.nodeport {
            false => "sticky",
            true => "sticky-nodeport",
        })?;
        f.write_str(if self.outside { "-local" } else { "" })
    }
}

/// `lb-N`: any endpoint, all equally likely.
///
/// A lookup sees the elements as they are at its moment, and not as they were when the packet was
/// sent here: the slot may have gone in between. The first is there as long as any is.
fn balance(range: Range) -> Vec<Rule> {
    let choose = |destination, range: Range, map| {
        Rule::new([
            Statement::HasPorts,
            dnat(key::slot(destination, range.count, range.from), map),
        ])
    };
    vec![
        choose(key::address(), range, BY_ADDRESS.endpoints),
        choose(key::nodeport(), range, BY_NODEPORT.endpoints),
        choose(key::address(), FIRST, BY_ADDRESS.endpoints).comment(SLOT_GONE),
        choose(key::nodeport(), FIRST, BY_NODEPORT.endpoints).comment(SLOT_GONE),
    ]
}

/// `sticky-N-Ts`: the endpoint the client met before if it still lives, else any.
///
/// A rule cannot look up with what another lookup found, but for one place to put it down: the
/// packet's destination, which is about to be translated and which the connection remembers.
/// What is put there is the endpoint's pin, a stand-in for the endpoint that is unique within
/// the Service (nearly always its own address).
///
/// The last three rules are for the packet whose slot or endpoint went while it was on its way, as
/// those of [`balance`]. What was remembered of it already names an endpoint that is gone.
fn remember(range: Range, sticky: Sticky) -> Vec<Rule> {
    let timeout = Duration::from_secs(sticky.seconds.into());
    let update = || Statement::Update {
        map: AFFINITY,
        key: key::client_original(),
        timeout,
        data: key::destination(),
    };
    let recall = Statement::SetDestinationFromMap {
        key: key::client(),
        map: AFFINITY,
    };
    let forget = Statement::Forget {
        map: AFFINITY,
        key: key::client(),
        data: key::destination(),
    };
    let choose = |range| Statement::SetDestinationFromMap {
        key: choice(range, sticky),
        map: maps(sticky).choices,
    };
    let to_pinned = || Rule::new([Statement::HasPorts, dnat(pinned(sticky), living(sticky))]);
    vec![
        Rule::new([recall, update()]),
        to_pinned(),
        Rule::new([Statement::RestoreDestination]),
        Rule::new([forget.clone()]),
        Rule::new([choose(range)]),
        Rule::new([update()]),
        to_pinned(),
        Rule::new([Statement::RestoreDestination]),
        Rule::new([forget, choose(FIRST), update()]).comment(SLOT_GONE),
        to_pinned(),
        Rule::new([Statement::RestoreDestination]),
    ]
}

fn maps(sticky: Sticky) -> &'static Maps {
    if sticky.nodeport {
        &BY_NODEPORT
    } else {
        &BY_ADDRESS
    }
}

fn living(sticky: Sticky) -> SetName {
    if sticky.outside {
        maps(sticky).sticky_outside
    } else {
        maps(sticky).sticky
    }
}

fn pinned(sticky: Sticky) -> Vec<Expr> {
    if sticky.nodeport {
        key::pinned_nodeport()
    } else {
        key::pinned_address()
    }
}

fn choice(range: Range, sticky: Sticky) -> Vec<Expr> {
    key::slot(
        if sticky.nodeport {
            key::nodeport()
        } else {
            key::address()
        },
        range.count,
        range.from,
    )
}

/// `portal`: the packet is this host's, and so are those that follow it.
fn portal(frame: &Frame) -> Vec<Rule> {
    vec![Rule::new([
        Statement::SetConnectionMark(frame.portal_mark()),
        Statement::SetMark(frame.portal_mark()),
    ])]
}

/// `external-…`: the answer has to come back through this node.
fn external(chain: DispatchChain, frame: &Frame) -> Vec<Rule> {
    let mark = Rule::new([Statement::SetMark(frame.mark)]).comment("masquerade");
    std::iter::once(mark)
        .chain(
            chain
                .next()
                .map(|next| Rule::new([Statement::Goto(next.name())])),
        )
        .collect()
}

/// `outside-…`: what is from outside stays on this node and keeps its source.
fn outside(chain: DispatchChain, frame: &Frame) -> Vec<Rule> {
    let pods = frame
        .from_pods(false)
        .map(|from_pods| Rule::new([from_pods, Statement::Return]).comment("pods may go anywhere"));
    let from_node = Statement::IsLocal(Expr::SourceAddress);
    let node = match frame.role {
        // A listener's connection has the node's address anyway.
        Role::Portal => Rule::new([from_node, Statement::Return]).comment("so may this node"),
        Role::Proxy | Role::Companion => {
            Rule::new([from_node, Statement::SetMark(frame.mark), Statement::Return])
                .comment("this node may go anywhere, masqueraded")
        }
    };
    let rest = chain.next().map_or_else(
        || Rule::new([Reason::NoLocalEndpoint.count(), Statement::Drop]),
        |next| Rule::new([Statement::Goto(next.name())]),
    );
    pods.into_iter().chain([node, rest]).collect()
}

fn dnat(key: Vec<Expr>, map: SetName) -> Statement {
    Statement::Dnat { key, map }
}

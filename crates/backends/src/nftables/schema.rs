//! The names of everything in the table, and what the sets and maps hold.
//!
//! Their number is constant: a Service is elements, never an object of its own. Two ways of
//! being addressed run through all of them: a service address (`ip daddr . meta l4proto . th
//! dport`) and a node port (`meta l4proto . th dport`, on whichever address of the node).

use fairlead_core::address::Family;
use fairlead_kernel::nft::rule::{Concat, Expr};
use fairlead_kernel::nft::ruleset::{DataType, Set, SetName, TableId, Type};

use super::counting;
use crate::family::kernel_family;

use Expr::{
    DestinationAddress as Daddr, DestinationPort as Dport, OriginalDestination, Protocol as Proto,
    SourceAddress as Saddr,
};
use Type::{Address, Number, Port, Protocol};

/// The bit of packets that go to a listener of this host, in userspace mode, and of their
/// connections. Nobody else is known to use it (github.com/fwmark/registry), but for programs that
/// take all of a node's Services themselves.
const PORTAL_MARK: u32 = 1 << 12;
/// The same where the other one is taken for masquerading.
const OTHER_PORTAL_MARK: u32 = 1 << 11;

/// The bit of packets that go to a listener, given the one that asks for masquerading.
pub fn portal_mark(masquerade_mark: u32) -> u32 {
    match masquerade_mark {
        PORTAL_MARK => OTHER_PORTAL_MARK,
        _ => PORTAL_MARK,
    }
}

/// The name of our tables, one a family.
pub(crate) const TABLE: &str = "fairlead";
/// The comment of our tables. A table with another one was made by another version with another
/// layout and is replaced as a whole.
pub(super) const TABLE_COMMENT: &str = "rules of fairlead, layout 2";

/// The table of a family.
pub fn table(family: Family) -> TableId {
    TableId {
        family: kernel_family(family),
        name: TABLE,
    }
}

/// All cluster IPs.
pub(super) const CLUSTER_IPS: SetName = "cluster-ips";
/// All service addresses, in ipvs mode: its device holds them, but for the host's own.
pub(super) const DEVICE_IPS: SetName = "service-ips";
/// The host's own addresses, in ipvs mode.
pub(super) const HOST_IPS: SetName = "host-ips";
/// The networks cluster IPs come from.
pub(super) const SERVICE_CIDRS: SetName = "service-cidrs";
/// The node's addresses where node ports answer.
pub(super) const NODEPORT_IPS: SetName = "nodeport-ips";
/// Local endpoints, each as source and destination at once.
pub(super) const HAIRPIN: SetName = "hairpin-connections";
/// Addresses that only some sources may use.
pub(super) const RESTRICTED: SetName = "restricted-services";
/// Those sources.
pub(super) const SOURCE_RANGES: SetName = "source-ranges";
/// What answers the packets of clients that are remembered: which endpoint a client met.
pub(super) const AFFINITY: SetName = "affinity";

/// How many clients are remembered, all Services together. The kernel reserves 8 bytes each for
/// its hash table when the map is made; beyond it clients are served and not remembered.
const AFFINITY_SIZE: u32 = 131_072;
/// The slot numbers in a listing are shown as numbers below this one. It has no other meaning.
const SLOTS: u32 = 65_536;

/// The maps that come twice: for service addresses and for node ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Maps {
    /// Where a packet goes on.
    pub services: SetName,
    /// Where a packet from outside goes on first, with `externalTrafficPolicy: Local`.
    pub outside: SetName,
    /// What has nowhere to go on. Counts.
    pub no_endpoint: SetName,
    /// The endpoint in each slot.
    pub endpoints: SetName,
    /// The pin of the endpoint in each slot, for Services with affinity.
    pub choices: SetName,
    /// The living endpoint behind a pin.
    pub sticky: SetName,
    /// The same for traffic from outside, with `externalTrafficPolicy: Local`.
    pub sticky_outside: SetName,
    /// The port of the listener, in userspace mode.
    pub portals: SetName,
    /// The same for pods of this node, where it is another one.
    pub pod_portals: SetName,
    /// The same for what comes from outside, where it is another one.
    pub outside_portals: SetName,
    /// Counts connections.
    pub connections: SetName,
    /// Counts packets, by direction.
    pub traffic: SetName,
}

/// The maps of service addresses.
pub(super) const BY_ADDRESS: Maps = Maps {
    services: "services",
    outside: "outside-services",
    no_endpoint: "no-endpoint-services",
    endpoints: "endpoints",
    choices: "sticky-choices",
    sticky: "sticky-endpoints",
    sticky_outside: "sticky-outside-endpoints",
    portals: "portals",
    pod_portals: "pod-portals",
    outside_portals: "outside-portals",
    connections: "connections",
    traffic: "traffic",
};

/// The maps of node ports.
pub(super) const BY_NODEPORT: Maps = Maps {
    services: "nodeports",
    outside: "outside-nodeports",
    no_endpoint: "no-endpoint-nodeports",
    endpoints: "nodeport-endpoints",
    choices: "sticky-nodeport-choices",
    sticky: "sticky-nodeport-endpoints",
    sticky_outside: "sticky-outside-nodeport-endpoints",
    portals: "nodeport-portals",
    pod_portals: "pod-nodeport-portals",
    outside_portals: "outside-nodeport-portals",
    connections: "nodeport-connections",
    traffic: "nodeport-traffic",
};

/// The expressions that a packet is looked up by.
pub(super) mod key {
    use super::{Concat, Daddr, Dport, Expr, OriginalDestination, Proto, Saddr};

    /// The service address.
    pub(crate) fn address() -> Concat {
        vec![Daddr, Proto, Dport]
    }

    /// The node port.
    pub(crate) fn nodeport() -> Concat {
        vec![Proto, Dport]
    }

    /// A destination and a slot by chance.
    pub(crate) fn slot(mut destination: Concat, count: u32, from: u32) -> Concat {
        destination.push(Expr::Random {
            modulus: count,
            offset: from,
        });
        destination
    }

    /// The client and what it addressed, while the packet still says so.
    pub(crate) fn client() -> Concat {
        vec![Saddr, Daddr, Proto, Dport]
    }

    /// The client and what it addressed, when the packet already has a pin for destination.
    pub(crate) fn client_original() -> Concat {
        vec![Saddr, OriginalDestination, Proto, Dport]
    }

    /// The pin the packet has for destination, and the service address the client asked for.
    pub(crate) fn pinned_address() -> Concat {
        vec![Daddr, OriginalDestination, Proto, Dport]
    }

    /// The pin the packet has for destination, and the node port.
    pub(crate) fn pinned_nodeport() -> Concat {
        vec![Daddr, Proto, Dport]
    }

    /// The destination as it is now.
    pub(crate) fn destination() -> Concat {
        vec![Daddr]
    }
}

/// What a table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything: nftables mode.
    Proxy,
    /// What IPVS cannot do: ipvs mode.
    Companion,
    /// Brings connections to listeners: userspace mode.
    Portal,
}

/// Every set and map of a table.
pub(super) fn sets(role: Role) -> Vec<Set> {
    let mut sets = addresses();
    for (names, keys) in [(&BY_ADDRESS, &ADDRESS_KEYS), (&BY_NODEPORT, &NODEPORT_KEYS)] {
        sets.extend(dispatched(names, keys));
        match role {
            Role::Proxy => sets.extend(slotted(names, keys)),
            Role::Companion => {}
            Role::Portal => sets.extend(portals(names, keys)),
        }
    }
    match role {
        Role::Proxy => {
            sets.push(affinity());
            sets.extend(counting::sets());
        }
        Role::Companion => sets.extend(held()),
        Role::Portal => {}
    }
    sets
}

/// The sets of a table of whatever role.
fn addresses() -> Vec<Set> {
    vec![
        set(CLUSTER_IPS, &[Address], "cluster IPs in use"),
        Set {
            interval: true,
            ..set(
                SERVICE_CIDRS,
                &[Address],
                "networks that cluster IPs are allocated from",
            )
        },
        set(
            NODEPORT_IPS,
            &[Address],
            "addresses that accept node port traffic",
        ),
        set(
            HAIRPIN,
            &[Address, Address, Protocol, Port],
            "local endpoints that may be sent back to themselves",
        ),
        set(
            RESTRICTED,
            &[Address, Protocol, Port],
            "load balancer addresses with source ranges",
        ),
        Set {
            interval: true,
            ..set(
                SOURCE_RANGES,
                &[Address, Protocol, Port, Address],
                "who may use a load balancer address",
            )
        },
    ]
}

/// The set of a table that remembers clients.
fn affinity() -> Set {
    Set {
        dynamic: true,
        size: Some(AFFINITY_SIZE),
        ..fields(
            AFFINITY,
            &[Address, Address, Protocol, Port],
            &[Address],
            "client and service, and the pin it met",
        )
    }
}

/// The sets that tell service addresses from the host's own, where both are this host's.
fn held() -> [Set; 2] {
    [
        set(DEVICE_IPS, &[Address], "service addresses in use"),
        set(HOST_IPS, &[Address], "the host's own addresses"),
    ]
}

/// The key types of a kind of destination: alone, with a slot behind, with a pin before.
struct Keys {
    destination: &'static [Type],
    slot: &'static [Type],
    pinned: &'static [Type],
    slot_expressions: fn() -> Concat,
}

const ADDRESS_KEYS: Keys = Keys {
    destination: &[Address, Protocol, Port],
    slot: &[Address, Protocol, Port, Number],
    pinned: &[Address, Address, Protocol, Port],
    slot_expressions: || key::slot(key::address(), SLOTS, 0),
};

const NODEPORT_KEYS: Keys = Keys {
    destination: &[Protocol, Port],
    slot: &[Protocol, Port, Number],
    pinned: &[Address, Protocol, Port],
    slot_expressions: || key::slot(key::nodeport(), SLOTS, 0),
};

/// The maps by which connections are dispatched.
fn dispatched(names: &Maps, keys: &Keys) -> [Set; 3] {
    [
        verdicts(
            names.services,
            keys.destination,
            "where a connection goes on",
        ),
        verdicts(
            names.outside,
            keys.destination,
            "what must stay on this node when it comes from outside",
        ),
        Set {
            counted: true,
            ..verdicts(names.no_endpoint, keys.destination, "what nothing answers")
        },
    ]
}

/// The maps by which an endpoint is chosen.
fn slotted(names: &Maps, keys: &Keys) -> [Set; 4] {
    const TARGET: &[Type] = &[Address, Port];
    let slots = |name, data, from: Concat, comment| Set {
        typeof_key: Some((keys.slot_expressions)()),
        typeof_data: Some(from),
        ..fields(name, keys.slot, data, comment)
    };
    [
        slots(
            names.endpoints,
            TARGET,
            vec![Daddr, Dport],
            "the endpoint in each slot",
        ),
        slots(
            names.choices,
            &[Address],
            vec![Daddr],
            "the pin of the endpoint in each slot",
        ),
        fields(
            names.sticky,
            keys.pinned,
            TARGET,
            "the living endpoint behind a pin",
        ),
        fields(
            names.sticky_outside,
            keys.pinned,
            TARGET,
            "the same, for what must stay on this node",
        ),
    ]
}

/// The maps by which a listener is found.
fn portals(names: &Maps, keys: &Keys) -> [Set; 3] {
    let ports = |name, comment| fields(name, keys.destination, &[Port], comment);
    [
        ports(names.portals, "who listens for it"),
        ports(names.pod_portals, "who listens for pods of this node"),
        ports(
            names.outside_portals,
            "who listens for what is from outside",
        ),
    ]
}

fn verdicts(name: SetName, key: &'static [Type], comment: &'static str) -> Set {
    Set {
        data: Some(DataType::Verdict),
        ..set(name, key, comment)
    }
}

fn fields(
    name: SetName,
    key: &'static [Type],
    data: &'static [Type],
    comment: &'static str,
) -> Set {
    Set {
        data: Some(DataType::Fields(data)),
        ..set(name, key, comment)
    }
}

fn set(name: SetName, key: &'static [Type], comment: &'static str) -> Set {
    Set {
        comment: Some(comment),
        ..Set::new(name, key)
    }
}

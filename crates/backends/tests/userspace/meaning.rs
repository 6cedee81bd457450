//! What there is, to compare.

use std::collections::BTreeMap;

use fairlead_backends::nftables::table;
use fairlead_core::address::{Family, Protocol};
use fairlead_kernel::nft::ruleset::{self, Data, Element};
use fairlead_relay::handle::{Listener, ListenerAddress, Relay, Relayed, Upstream, UpstreamName};

use crate::node::Node;

/// What there is, but for the numbers of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meaning {
    rules: Vec<String>,
    routing: String,
    listeners: Vec<(Protocol, Listener)>,
    upstreams: BTreeMap<UpstreamName, Upstream>,
}

impl Meaning {
    /// Everything, to compare: whoever listens at a port stands for it.
    pub(crate) fn of(node: &mut Node) -> Meaning {
        let Relayed {
            listeners,
            upstreams,
        } = node.relay().observe();
        let mut rules = Vec::new();
        for family in Family::BOTH {
            let ops = node.nft().batch(table(family)).into_iter();
            let ops = ops.flat_map(|batch| batch.ops);
            rules.extend(ops.flat_map(|op| lines_of(family, op, &listeners)));
        }
        rules.sort();
        let all = listeners.into_iter();
        let mut listeners: Vec<_> = all.map(|(at, it)| (at.protocol, it)).collect();
        listeners.sort_by(|one, other| one.1.cmp(&other.1));
        Meaning {
            rules,
            routing: format!("{:?}", node.routing()),
            listeners,
            upstreams,
        }
    }
}

/// The maps that give the port of a listener.
pub(crate) const PORTALS: [&str; 6] = [
    "portals",
    "pod-portals",
    "outside-portals",
    "nodeport-portals",
    "pod-nodeport-portals",
    "outside-nodeport-portals",
];

/// An operation, with an element a line, and the listener for its port.
fn lines_of(
    family: Family,
    op: ruleset::Op,
    listeners: &BTreeMap<ListenerAddress, Listener>,
) -> Vec<String> {
    let ruleset::Op::AddElements { set, elements } = op else {
        return vec![format!("{family} {op:?}")];
    };
    let line = |element: Element| match PORTALS.contains(&set) {
        true => {
            let at = led_to(family, &element);
            format!("{family} {set} {:?}: {:?}", element.key, listeners.get(&at))
        }
        false => format!("{family} {set} {element:?}"),
    };
    elements.into_iter().map(line).collect()
}

/// The listener that an element of a portals map leads to.
pub(crate) fn led_to(family: Family, element: &Element) -> ListenerAddress {
    let Some(Data::Value(value)) = &element.data else {
        panic!("{element:?} has no port");
    };
    let bytes = value.as_kernel();
    // The protocol is the last field but one: a byte and three of padding, then the port.
    let key = element.key.as_slice();
    let protocol = match key[key.len() - 8] {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        other => panic!("protocol {other} leads to a listener"),
    };
    ListenerAddress {
        family,
        protocol,
        port: u16::from_be_bytes([bytes[0], bytes[1]]),
    }
}

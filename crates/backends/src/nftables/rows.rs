//! A service port's state as elements of the table's sets and maps.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use fairlead_core::address::Protocol;
use fairlead_core::model::Destination;
use fairlead_core::route::Target;
use fairlead_kernel::nft::ruleset::{self, Bytes, Data, Element, SetName, Value, Verdict};

use super::chains::{Choice, Range, Sticky};
use super::counting::Direction;
use super::frame::{DROP, REJECT};
use super::schema::{
    BY_ADDRESS, BY_NODEPORT, CLUSTER_IPS, DEVICE_IPS, HAIRPIN, Maps, RESTRICTED, SOURCE_RANGES,
};
use super::state::{DestinationState, PortState, Refused};

/// Hands every element of a service port to `take`.
pub(super) fn rows(port: &PortState, take: &mut impl FnMut(SetName, Element)) {
    let comment = ruleset::comment(&port.name.to_string());
    let pins = if port.chains().any(|chain| chain.choice.sticky().is_some()) {
        port.layout.pins()
    } else {
        Vec::new()
    };
    for target in &port.hairpin {
        take(HAIRPIN, Element::new(hairpin(*target, port.name.protocol)));
    }
    for state in &port.destinations {
        let mut destination = DestinationRows {
            state,
            port,
            comment: &comment,
            pins: &pins,
            take,
        };
        destination.membership();
        destination.verdicts();
        destination.endpoints();
        destination.portals();
        destination.counters();
    }
}

struct DestinationRows<'a, F> {
    state: &'a DestinationState,
    port: &'a PortState,
    comment: &'a Arc<str>,
    pins: &'a [IpAddr],
    take: &'a mut F,
}

impl<F: FnMut(SetName, Element)> DestinationRows<'_, F> {
    /// Cluster IPs, and all addresses in ipvs mode; and who may use a load balancer's address.
    fn membership(&mut self) {
        if let Some(ip) = self.state.cluster_ip {
            self.give(CLUSTER_IPS, Element::new(Bytes::new().address(ip)));
        }
        if let Some(ip) = self.state.device_ip {
            self.give(DEVICE_IPS, Element::new(Bytes::new().address(ip)));
        }
        let Some(sources) = &self.state.sources else {
            return;
        };
        self.give(RESTRICTED, self.named(self.key(), None));
        for net in sources {
            self.give(SOURCE_RANGES, source_range(self.key(), net));
        }
    }

    /// Where connections go on.
    fn verdicts(&mut self) {
        if let Some(chain) = self.state.service {
            self.verdict(self.maps().services, Verdict::Goto(chain.name()));
        }
        if let Some(chain) = self.state.outside {
            self.verdict(self.maps().outside, Verdict::Jump(chain.name()));
        }
        match self.state.refused {
            Some(Refused::Reject) => {
                self.verdict(self.maps().no_endpoint, Verdict::Goto(REJECT.into()));
            }
            Some(Refused::Drop) => {
                self.verdict(self.maps().no_endpoint, Verdict::Goto(DROP.into()));
            }
            None => {}
        }
    }

    fn verdict(&mut self, map: SetName, verdict: Verdict) {
        let element = self.named(self.key(), Some(Data::Verdict(verdict)));
        self.give(map, element);
    }

    /// The endpoints, by slot or by pin.
    fn endpoints(&mut self) {
        let chains = [self.state.service, self.state.outside];
        let chains = || chains.into_iter().flatten();
        if chains().all(|chain| chain.choice.range().is_none()) {
            return;
        }
        let is_sticky = chains().any(|chain| chain.choice.sticky().is_some());
        for (slot, target) in self.port.layout.targets().iter().enumerate() {
            let key = self.key().number(slot as u32);
            if is_sticky {
                let pin = Value::new().address(self.pins[slot]);
                self.give(self.maps().choices, valued(key, pin));
            } else {
                self.give(self.maps().endpoints, valued(key, value(*target)));
            }
        }
        for chain in chains() {
            if let Choice::Sticky(range, sticky) = chain.choice {
                self.living(range, sticky);
            }
        }
    }

    /// The endpoints that clients who met them before may go on meeting.
    fn living(&mut self, range: Range, sticky: Sticky) {
        let map = match sticky.outside {
            false => self.maps().sticky,
            true => self.maps().sticky_outside,
        };
        for (slot, target) in self.port.layout.within(range) {
            let key = append(
                Bytes::new().address(self.pins[slot]),
                self.state.destination,
            );
            self.give(map, valued(key, value(target)));
        }
    }

    /// Who listens.
    fn portals(&mut self) {
        let Some(portals) = self.state.portals else {
            return;
        };
        let maps = self.maps();
        for (map, port) in [
            (maps.portals, Some(portals.all)),
            (maps.pod_portals, portals.pods),
            (maps.outside_portals, portals.outside),
        ] {
            if let Some(port) = port {
                let data = Data::Value(Value::new().port(port));
                let element = self.named(self.key(), Some(data));
                self.give(map, element);
            }
        }
    }

    /// What counts, whatever becomes of the endpoints.
    fn counters(&mut self) {
        if !self.port.count_traffic {
            return;
        }
        self.give(self.maps().connections, self.named(self.key(), None));
        for direction in Direction::BOTH {
            let key = Bytes::new().direction(direction.number());
            let key = append(key, self.state.destination);
            self.give(self.maps().traffic, self.named(key, None));
        }
    }

    fn give(&mut self, set: SetName, element: Element) {
        (self.take)(set, element);
    }

    fn key(&self) -> Bytes {
        append(Bytes::new(), self.state.destination)
    }

    fn maps(&self) -> &'static Maps {
        match self.state.destination {
            Destination::Address(..) => &BY_ADDRESS,
            Destination::NodePort(..) => &BY_NODEPORT,
        }
    }

    fn named(&self, key: Bytes, data: Option<Data>) -> Element {
        Element {
            data,
            comment: Some(Arc::clone(self.comment)),
            ..Element::new(key)
        }
    }
}

fn append(key: Bytes, destination: Destination) -> Bytes {
    match destination {
        Destination::Address(ip, protocol, port) => {
            key.address(ip).protocol(protocol.number()).port(port)
        }
        Destination::NodePort(_, protocol, port) => key.protocol(protocol.number()).port(port),
    }
}

fn hairpin(target: Target, protocol: Protocol) -> Bytes {
    Bytes::new()
        .address(target.address)
        .address(target.address)
        .protocol(protocol.number())
        .port(target.port)
}

/// A range of a concatenation: only its last field spans more than one value.
fn source_range(destination: Bytes, net: &IpNet) -> Element {
    Element::range(
        destination.address(net.network()),
        destination.address(net.broadcast()),
    )
}

fn value(target: Target) -> Value {
    Value::new().address(target.address).port(target.port)
}

fn valued(key: Bytes, value: Value) -> Element {
    Element {
        data: Some(Data::Value(value)),
        ..Element::new(key)
    }
}

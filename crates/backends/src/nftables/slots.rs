//! Which slot each endpoint was found in, so that a new process leaves them where they are.

use std::collections::HashMap;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::Destination;
use fairlead_core::route::Target;
use fairlead_kernel::nft::ruleset::{Bytes, Data, Element, SetName};

use super::observe::Elements;
use super::schema::{BY_ADDRESS, BY_NODEPORT};

/// The endpoints of each destination. Services with affinity have pins in their slots, which
/// nearly always are the endpoints' addresses; the pins lead to the endpoints.
pub(super) fn slots(family: Family, elements: &Elements) -> HashMap<Destination, Vec<Slot>> {
    let found = Table { family, elements };
    let mut slots = HashMap::new();
    for maps in [&BY_ADDRESS, &BY_NODEPORT] {
        for map in [maps.endpoints, maps.choices] {
            let runs = elements.of(map).chunk_by(have_same_destination);
            slots.extend(runs.filter_map(|run| found.read(map, run)));
        }
    }
    slots
}

/// A table as it was found.
struct Table<'a> {
    family: Family,
    elements: &'a Elements,
}

/// An endpoint, and the number of its slot.
pub(super) type Slot = (Target, usize);

impl Table<'_> {
    /// The endpoints of the one destination that the elements are of.
    fn read(&self, map: SetName, run: &[Element]) -> Option<(Destination, Vec<Slot>)> {
        let mut found = run.iter().filter_map(|element| self.slot(map, element));
        let (destination, first) = found.next()?;
        let rest = found.map(|(_, slot)| slot);
        Some((destination, iter::once(first).chain(rest).collect()))
    }

    fn slot(&self, map: SetName, element: &Element) -> Option<(Destination, Slot)> {
        let mut key = self.fields(element.key.as_slice());
        let destination = if map == BY_ADDRESS.endpoints || map == BY_ADDRESS.choices {
            key.address_destination()?
        } else {
            key.nodeport_destination()?
        };
        let number = key.number()?;
        let mut value = self.value(element)?;
        let target = if map == BY_ADDRESS.choices || map == BY_NODEPORT.choices {
            self.pinned(destination, value.address()?)?
        } else {
            value.target()?
        };
        Some((destination, (target, number as usize)))
    }

    /// The endpoint that a pin stands for.
    fn pinned(&self, destination: Destination, pin: IpAddr) -> Option<Target> {
        let pin = Bytes::new().address(pin);
        let (maps, key) = match destination {
            Destination::Address(ip, protocol, port) => (
                &BY_ADDRESS,
                pin.address(ip).protocol(protocol.number()).port(port),
            ),
            Destination::NodePort(_, protocol, port) => {
                (&BY_NODEPORT, pin.protocol(protocol.number()).port(port))
            }
        };
        let living = [maps.sticky, maps.sticky_outside]
            .into_iter()
            .find_map(|map| self.elements.find(map, &key))?;
        self.value(living)?.target()
    }

    fn value<'a>(&self, element: &'a Element) -> Option<Fields<'a>> {
        match &element.data {
            Some(Data::Value(value)) => Some(self.fields(value.as_slice())),
            _ => None,
        }
    }

    fn fields<'a>(&self, bytes: &'a [u8]) -> Fields<'a> {
        let family = self.family;
        Fields { family, bytes }
    }
}

/// A key is a destination and a slot's number.
fn have_same_destination(one: &Element, other: &Element) -> bool {
    fn destination(element: &Element) -> Option<&[u8]> {
        let (destination, _number) = element.key.as_slice().split_last_chunk::<4>()?;
        Some(destination)
    }
    destination(one) == destination(other)
}

/// Reads the fields of a key or value one after the other.
struct Fields<'a> {
    family: Family,
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn address_destination(&mut self) -> Option<Destination> {
        Some(Destination::Address(
            self.address()?,
            self.protocol()?,
            self.port()?,
        ))
    }

    fn nodeport_destination(&mut self) -> Option<Destination> {
        Some(Destination::NodePort(
            self.family,
            self.protocol()?,
            self.port()?,
        ))
    }

    fn target(&mut self) -> Option<Target> {
        Some(Target {
            address: self.address()?,
            port: self.port()?,
        })
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.family {
            Family::V4 => self
                .take::<4>()
                .map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
            Family::V6 => self
                .take::<16>()
                .map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        }
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let number = self.take::<4>()?[0];
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    fn port(&mut self) -> Option<u16> {
        self.take::<4>()
            .map(|field| u16::from_be_bytes([field[0], field[1]]))
    }

    fn number(&mut self) -> Option<u32> {
        self.take::<4>().map(u32::from_ne_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*field)
    }
}

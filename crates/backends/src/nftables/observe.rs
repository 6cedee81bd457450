//! What is in the kernel when we do not know, in our own terms.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::Destination;
use fairlead_core::route::Target;
use fairlead_kernel::nft::handle::{ObservedChain, ObservedSet, ObservedTable};
use fairlead_kernel::nft::ruleset::{Bytes, Data, DataType, Element, Set, SetName, Type};

use super::frame::base_hooks;
use super::schema::{BY_ADDRESS, BY_NODEPORT, TABLE_COMMENT, sets};

/// A table as it was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Elements of our sets.
    pub elements: HashMap<(SetName, Bytes), Element>,
    /// The names of all chains.
    pub chains: Vec<String>,
    /// Endpoints by destination in the order of their slots.
    pub slots: HashMap<Destination, Vec<Target>>,
}

/// What to do about a table that is there.
#[derive(Debug)]
pub enum Finding {
    /// There is none.
    Nothing,
    /// It was made by another version, or someone changed what cannot be mended in place: it is
    /// replaced as a whole.
    Unusable,
    /// It can be brought up to date.
    Usable(Box<Found>),
}

/// Understands an observed table.
pub fn understand(family: Family, table: Option<ObservedTable>) -> Finding {
    let Some(table) = table else {
        return Finding::Nothing;
    };
    let ours = sets();
    if table.comment.as_deref() != Some(TABLE_COMMENT)
        || !table.sets.iter().all(|set| fits(family, &ours, set))
        || !table.chains.iter().all(is_where_it_belongs)
    {
        return Finding::Unusable;
    }
    let mut found = Found {
        chains: table.chains.into_iter().map(|chain| chain.name).collect(),
        ..Found::default()
    };
    for set in table.sets {
        let Some(ours) = ours.iter().find(|ours| ours.name == set.name) else {
            continue;
        };
        found.elements.extend(
            set.elements
                .into_iter()
                .map(|element| ((ours.name, element.key), element)),
        );
    }
    found.slots = slots(family, &found.elements);
    Finding::Usable(Box::new(found))
}

/// Base chains are ours and nobody else's.
fn is_where_it_belongs(chain: &ObservedChain) -> bool {
    let ours = base_hooks()
        .into_iter()
        .find(|(name, _)| **name == *chain.name)
        .map(|(_, hook)| hook);
    !chain.foreign && chain.hook == ours
}

fn fits(family: Family, ours: &[Set], observed: &ObservedSet) -> bool {
    let Some(ours) = ours.iter().find(|ours| ours.name == observed.name) else {
        return false;
    };
    let data_len = match &ours.data {
        Some(DataType::Fields(fields)) => Some(width(family, fields)),
        Some(DataType::Verdict) | None => None,
    };
    observed.key_len == width(family, ours.key)
        && observed.data_len == data_len
        && observed.verdict_map == (ours.data == Some(DataType::Verdict))
        && observed.interval == ours.interval
        && observed.dynamic == ours.dynamic
        && observed.size == ours.size
}

fn width(family: Family, fields: &[Type]) -> u32 {
    let address = if family == Family::V4 { 4 } else { 16 };
    let field = |field: &Type| if *field == Type::Address { address } else { 4 };
    fields.iter().map(field).sum()
}

/// Reads the endpoints back in the order of their slots, so that a new process leaves them
/// where they are. Services with affinity have pins in their slots, which nearly always are the
/// endpoints' addresses; the pins lead to the endpoints.
fn slots(
    family: Family,
    elements: &HashMap<(SetName, Bytes), Element>,
) -> HashMap<Destination, Vec<Target>> {
    let mut numbered: HashMap<Destination, Vec<(u32, Target)>> = HashMap::new();
    for ((set, key), element) in elements {
        let Some(Data::Value(value)) = &element.data else {
            continue;
        };
        let mut key = Fields {
            family,
            bytes: key.as_slice(),
        };
        let (destination, is_pin) = match *set {
            set if set == BY_ADDRESS.endpoints => (key.address_destination(), false),
            set if set == BY_ADDRESS.choices => (key.address_destination(), true),
            set if set == BY_NODEPORT.endpoints => (key.nodeport_destination(), false),
            set if set == BY_NODEPORT.choices => (key.nodeport_destination(), true),
            _ => continue,
        };
        let (Some(destination), Some(slot)) = (destination, key.number()) else {
            continue;
        };
        let mut value = Fields {
            family,
            bytes: value.as_slice(),
        };
        let target = if is_pin {
            pinned(elements, destination, &mut value)
        } else {
            value.target()
        };
        if let Some(target) = target {
            numbered
                .entry(destination)
                .or_default()
                .push((slot, target));
        }
    }
    let in_order = |mut slots: Vec<(u32, Target)>| {
        slots.sort_unstable();
        slots.into_iter().map(|(_, target)| target).collect()
    };
    numbered
        .into_iter()
        .map(|(destination, slots)| (destination, in_order(slots)))
        .collect()
}

fn pinned(
    elements: &HashMap<(SetName, Bytes), Element>,
    destination: Destination,
    pin: &mut Fields<'_>,
) -> Option<Target> {
    let family = pin.family;
    let pin = Bytes::new().address(pin.address()?);
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
        .find_map(|map| elements.get(&(map, key)))?;
    let Some(Data::Value(value)) = &living.data else {
        return None;
    };
    Fields {
        family,
        bytes: value.as_slice(),
    }
    .target()
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

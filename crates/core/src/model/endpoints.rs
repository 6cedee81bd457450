//! Endpoints: slices reduced to what decides, and merged into one list for a service port.

mod reader;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;

use super::ServicePort;
use crate::address::{Family, Protocol};
use crate::api::ObjectName;
use crate::route::Target;
pub(super) use reader::read;

/// The slices of one Service by name: the order they are merged in does not depend on arrival.
/// Most Services have one, so it is a vector without room to spare.
#[derive(Debug, Default)]
pub(super) struct Slices(Vec<(ObjectName, Slice)>);

impl Slices {
    /// Puts a slice in the place of what it was before; `false` if it is the same.
    pub(super) fn put(&mut self, name: &ObjectName, slice: Slice) -> bool {
        match self.rank(name) {
            Ok(rank) if self.0[rank].1 == slice => return false,
            Ok(rank) => self.0[rank].1 = slice,
            Err(rank) => {
                self.0.reserve_exact(1);
                self.0.insert(rank, (name.clone(), slice));
            }
        }
        true
    }

    /// Takes a slice out.
    pub(super) fn remove(&mut self, name: &ObjectName) -> Option<Slice> {
        let rank = self.rank(name).ok()?;
        Some(self.0.remove(rank).1)
    }

    /// The slice of this name.
    pub(super) fn get(&self, name: &ObjectName) -> Option<&Slice> {
        let rank = self.rank(name).ok()?;
        Some(&self.0[rank].1)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slices in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slice> {
        self.0.iter().map(|(_, slice)| slice)
    }

    fn rank(&self, name: &ObjectName) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(name))
    }
}

/// The endpoints of one slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    family: Family,
    ports: Box<[Port]>,
    members: Box<[Member]>,
}

impl Slice {
    /// The family of its endpoints, and how many they are.
    pub(super) fn size(&self) -> (Family, usize) {
        (self.family, self.members.len())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Port {
    name: Box<str>,
    protocol: Protocol,
    number: u16,
}

impl Port {
    fn order(&self) -> (&str, Protocol, u16) {
        (&self.name, self.protocol, self.number)
    }
}

/// An endpoint of a slice, on whichever port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    address: IpAddr,
    state: State,
    hints: Option<Box<Hints>>,
}

/// The conditions, defaults applied, and whether the endpoint is on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    ready: bool,
    serving: bool,
    terminating: bool,
    local: bool,
}

impl State {
    /// A new pod before one that terminates, then what can be used before what cannot.
    fn usefulness(self) -> (bool, bool, bool) {
        (!self.terminating, self.ready, self.serving)
    }
}

/// Where the endpoint would like its traffic to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hints {
    zones: Vec<String>,
    any_node: bool,
    this_node: bool,
}

/// An endpoint of a service port.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The port it listens on.
    pub port: u16,
    state: State,
    hints: Option<&'a Hints>,
}

impl Endpoint<'_> {
    /// Where connections to it go.
    pub fn target(&self) -> Target {
        Target {
            address: self.address,
            port: self.port,
        }
    }

    /// Ready for traffic.
    pub fn is_ready(&self) -> bool {
        self.state.ready
    }

    /// On its way out and still answering: used when nothing is ready.
    pub fn is_serving_terminating(&self) -> bool {
        self.state.serving && self.state.terminating
    }

    /// Answering, ready or on its way out.
    pub fn is_serving(&self) -> bool {
        self.state.serving
    }

    /// On this node.
    pub fn is_local(&self) -> bool {
        self.state.local
    }

    /// Whether it has a hint for any zone, and whether one names this zone.
    pub fn zone_hint(&self, zone: Option<&str>) -> (bool, bool) {
        let zones = self.hints.map_or(&[][..], |hints| &hints.zones);
        (
            !zones.is_empty(),
            zone.is_some_and(|zone| zones.iter().any(|hint| hint == zone)),
        )
    }

    /// Whether it has a hint for any node, and whether one names this node.
    pub fn node_hint(&self) -> (bool, bool) {
        self.hints
            .map_or((false, false), |hints| (hints.any_node, hints.this_node))
    }
}

/// The endpoints of a service port, sorted by their printed form `address:port` byte by byte, as
/// kube-proxy sorts them: the order decides probabilities and rule order in the iptables mode.
///
/// An endpoint that is there several times counts once: its address may be moving from one slice
/// to another, or have gone to a new pod while the old one terminates. The most useful record
/// counts, of equals the later, slices being visited in the order of their names.
pub(super) fn merge<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    port: &ServicePort,
) -> Vec<Endpoint<'a>> {
    let mut found: BTreeMap<PrintedForm, Endpoint<'a>> = BTreeMap::new();
    for slice in slices.filter(|slice| slice.family == port.family) {
        let matches = |p: &&Port| *p.name == *port.name.port && p.protocol == port.name.protocol;
        for slice_port in slice.ports.iter().filter(matches) {
            for member in &slice.members {
                let form = PrintedForm::new(member.address, slice_port.number);
                let known = found.get(&form).map(|endpoint| endpoint.state.usefulness());
                if known <= Some(member.state.usefulness()) {
                    found.insert(form, member.on_port(slice_port.number));
                }
            }
        }
    }
    found.into_values().collect()
}

impl Member {
    fn on_port(&self, port: u16) -> Endpoint<'_> {
        Endpoint {
            address: self.address,
            port,
            state: self.state,
            hints: self.hints.as_deref(),
        }
    }
}

/// `10.0.0.1:80` or `[fd00::1]:80`, on the stack: it is made for every endpoint of every
/// Service that changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PrintedForm([u8; PrintedForm::LONGEST]);

impl PrintedForm {
    /// `[xxxx:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx]:65535` has 47 characters.
    const LONGEST: usize = 48;

    fn new(address: IpAddr, port: u16) -> PrintedForm {
        let mut form = PrintedForm([0; PrintedForm::LONGEST]);
        let mut rest = &mut form.0[..];
        // It fits by the bound above; were it cut, the order would suffer and nothing else.
        let _ = match address {
            IpAddr::V4(v4) => write!(rest, "{v4}:{port}"),
            IpAddr::V6(v6) => write!(rest, "[{v6}]:{port}"),
        };
        form
    }
}

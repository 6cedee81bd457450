//! Which health check node ports are to be open: a load balancer asks one of them whether this
//! node has endpoints of its Service.
//!
//! A [`Book`] decides and opens nothing itself. It is told what the Services that a sync looked at
//! want, says what to close and then what to open, is told what became of it, and names what
//! could not be opened when it is to be tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::settings::NodePortScope;

/// A Service in one family: each has a server of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceFamily {
    /// The Service.
    pub(crate) service: ObjectName,
    /// The family that is listened in.
    pub(crate) family: Family,
}

/// What a Service wants in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The port to listen on.
    pub(crate) port: u16,
    /// How many ready endpoints this node has.
    pub(crate) endpoints: usize,
}

/// The addresses to listen on, by family.
pub(crate) type Addresses = BTreeMap<Family, BTreeSet<IpAddr>>;

/// Where health check node ports are to be asked: where node ports answer, of the addresses that
/// this host has. A cloud may translate the Node object's to others before they come here.
pub(crate) fn addresses(
    family: Family,
    scope: &NodePortScope,
    host: &[IpAddr],
) -> BTreeSet<IpAddr> {
    if scope.all {
        return [match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }]
        .into();
    }
    let localhost = scope.localhost.then_some(IpAddr::from(Ipv4Addr::LOCALHOST));
    let ours = scope.addresses.iter().filter(|ip| host.contains(ip));
    let listed = ours.copied().chain(localhost);
    // A link-local address means nothing without an interface, and nobody outside asks there.
    listed.filter(|ip| !is_link_local(*ip)).collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// What a sync said: what each of the Services it looked at wants now, `None` for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Update {
    /// Where to listen, from here on.
    pub(crate) addresses: Addresses,
    /// What changed.
    pub(crate) services: Vec<(ServiceFamily, Option<Wanted>)>,
}

/// What to do, in this order: a port may go from one Service to another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Steps {
    /// To close.
    pub(crate) close: Vec<ServiceFamily>,
    /// Is open, and has another number of endpoints.
    pub(crate) count: Vec<(ServiceFamily, usize)>,
    /// To open.
    pub(crate) open: Vec<Opening>,
}

/// A server to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    /// Whose it is.
    pub(crate) whose: ServiceFamily,
    /// The port and the number of endpoints.
    pub(crate) wanted: Wanted,
    /// The addresses; with none there is nothing to listen on, and nothing wrong.
    pub(crate) addresses: BTreeSet<IpAddr>,
}

/// What is open, and what should be.
#[derive(Debug, Default)]
pub(crate) struct Book {
    addresses: Addresses,
    entries: BTreeMap<ServiceFamily, Entry>,
    /// What is not open yet.
    closed: BTreeSet<ServiceFamily>,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    /// Why it could not be opened when it was last tried.
    error: Option<String>,
}

impl Book {
    /// Takes in what a sync said. What could not be opened before is tried again.
    pub(crate) fn update(&mut self, update: Update) -> Steps {
        let mut steps = Steps::default();
        for (whose, wanted) in update.services {
            match wanted {
                Some(wanted) => self.want(whose, wanted, &mut steps),
                None => self.forget(whose, &mut steps),
            }
        }
        self.listen_on(update.addresses, &mut steps);
        steps.open = self.to_open();
        steps
    }

    /// Everything that is wanted and not open.
    pub(crate) fn to_open(&self) -> Vec<Opening> {
        let opening = |whose: &ServiceFamily| {
            Some(Opening {
                whose: whose.clone(),
                wanted: self.entries.get(whose)?.wanted,
                addresses: self
                    .addresses
                    .get(&whose.family)
                    .cloned()
                    .unwrap_or_default(),
            })
        };
        self.closed.iter().filter_map(opening).collect()
    }

    /// It is open. True if it could not be before.
    pub(crate) fn opened(&mut self, whose: &ServiceFamily) -> bool {
        self.closed.remove(whose);
        let entry = self.entries.get_mut(whose);
        entry.is_some_and(|entry| entry.error.take().is_some())
    }

    /// It cannot be opened. True if that, or why, is news.
    pub(crate) fn failed(&mut self, whose: &ServiceFamily, error: &str) -> bool {
        let entry = self.entries.get_mut(whose);
        entry.is_some_and(|entry| entry.error.replace(error.to_owned()).as_deref() != Some(error))
    }

    fn want(&mut self, whose: ServiceFamily, wanted: Wanted, steps: &mut Steps) {
        let before = self.entries.get(&whose).map(|entry| entry.wanted);
        if before.is_some_and(|before| before.port != wanted.port) {
            self.forget(whose.clone(), steps);
        } else if let Some(entry) = self.entries.get_mut(&whose) {
            let changed = entry.wanted != wanted && !self.closed.contains(&whose);
            entry.wanted = wanted;
            steps
                .count
                .extend(changed.then_some((whose, wanted.endpoints)));
            return;
        }
        let entry = Entry {
            wanted,
            error: None,
        };
        self.closed.insert(whose.clone());
        self.entries.insert(whose, entry);
    }

    fn forget(&mut self, whose: ServiceFamily, steps: &mut Steps) {
        let was_open = self.entries.remove(&whose).is_some() && !self.closed.remove(&whose);
        steps.close.extend(was_open.then_some(whose));
    }

    fn listen_on(&mut self, addresses: Addresses, steps: &mut Steps) {
        let before = std::mem::replace(&mut self.addresses, addresses);
        if before == self.addresses {
            return;
        }
        for whose in self.entries.keys() {
            let moves = before.get(&whose.family) != self.addresses.get(&whose.family);
            if moves && self.closed.insert(whose.clone()) {
                steps.close.push(whose.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;

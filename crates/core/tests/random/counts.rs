//! What is counted as it changes is what counting all of it gives.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_core::address::Family;
use fairlead_core::api::{AddressType, Change, EndpointSlice, Kind, ObjectName, TrafficPolicy};
use fairlead_core::model::{Model, ServicePort};
use fairlead_core::unserved::{UnservedPorts, UnservedTally};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::name;
use crate::universe::{SERVICES, change};
use crate::{all_routes, known, model};

/// When the proxy started, in the universe's time.
const STARTED: i128 = 3;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_waits_is_what_a_recount_finds(
        history in vec((change(), prop::bool::weighted(0.1)), 1..60),
    ) {
        let mut model = model([]);
        model.set_started(STARTED);
        let mut naive = Naive::default();
        for (change, sync) in history {
            model.take_dirty();
            model.apply(change.clone());
            naive.told(&change, !model.take_dirty().is_empty());
            let progress = model.progress();
            prop_assert_eq!(progress.pending_slices(), naive.slice_changes);
            prop_assert_eq!(progress.pending_services(), naive.changed_services(&model));
            prop_assert_eq!(progress.told().services, naive.services_told);
            for family in Family::BOTH {
                let told = naive.slices_told.get(&family).copied().unwrap_or_default();
                prop_assert_eq!(*progress.told().slices.of(family), told);
            }
            if sync {
                let mut triggers = model.settle();
                triggers.sort_unstable();
                prop_assert_eq!(triggers, naive.settle(&model));
            }
        }
    }

    #[test]
    fn the_census_is_what_counting_gives(history in vec(change(), 1..60)) {
        let mut model = model([]);
        let (mut slices, mut flawed) = (BTreeMap::new(), BTreeSet::new());
        for change in history {
            let object = change.object().expect("the universe says nothing else");
            match &change {
                Change::EndpointSlice(slice) => drop(slices.insert(slice.name.clone(), slice.clone())),
                Change::Deleted(Kind::EndpointSlice, name) => drop(slices.remove(name)),
                _ => {}
            }
            match model.apply(change).is_empty() {
                true => flawed.remove(&object),
                false => flawed.insert(object),
            };
            prop_assert_eq!(model.census().services(), known(&model).len());
            for family in Family::BOTH {
                let counted: usize = slices.values().map(|slice| endpoints(slice, family)).sum();
                prop_assert_eq!(model.census().endpoints(family), counted);
            }
            let ports = all_routes(&model).into_values().flatten();
            let contested: usize = ports.map(|(_, port)| port.contested.len()).sum();
            prop_assert_eq!(model.contested(), contested);
            for kind in Kind::ALL {
                let counted = flawed.iter().filter(|(of, _)| *of == kind).count();
                prop_assert_eq!(model.census().flawed(kind), counted);
            }
        }
    }

    #[test]
    fn the_tally_of_unserved_ports_is_what_counting_gives(
        history in vec((change(), prop::bool::weighted(0.4)), 1..60),
    ) {
        let mut model = model([]);
        let mut tally = UnservedTally::default();
        let mut told = Vec::new();
        for (change, sync) in history {
            told.push(change.clone());
            model.apply(change);
            if !sync {
                continue;
            }
            for service in model.take_dirty() {
                tally.found(&service, unserved(&model, &service));
            }
            prop_assert_eq!(tally.total(), recount(&model, &told));
        }
    }
}

/// Remembers everything and counts when asked.
#[derive(Default)]
struct Naive {
    services_told: u64,
    slices_told: BTreeMap<Family, u64>,
    slice_changes: usize,
    /// The Services' ports when all was settled.
    settled: BTreeMap<&'static str, Vec<ServicePort>>,
    /// Whose slice each is, as far as a proxy looks at it.
    slices: BTreeMap<ObjectName, (ObjectName, Family)>,
    triggers: Vec<(ObjectName, Family, i128)>,
}

impl Naive {
    fn told(&mut self, change: &Change, changed: bool) {
        match change {
            Change::Service(_) | Change::Deleted(Kind::Service, _) => self.services_told += 1,
            Change::EndpointSlice(slice) => self.slice_told(slice, changed),
            Change::Deleted(Kind::EndpointSlice, name) => {
                if let Some((owner, family)) = self.slices.remove(name) {
                    *self.slices_told.entry(family).or_default() += 1;
                    self.removed(&owner, family);
                }
            }
            _ => {}
        }
    }

    fn slice_told(&mut self, slice: &EndpointSlice, changed: bool) {
        let family = family(slice);
        if let Some(family) = family {
            *self.slices_told.entry(family).or_default() += 1;
        }
        let before = self.slices.remove(&slice.name);
        match (family.filter(|_| is_proxied(slice)), before) {
            (Some(family), _) => {
                let owner = slice.service.as_deref().unwrap_or_default();
                let owner = ObjectName::new(&slice.name.namespace, owner);
                self.slices
                    .insert(slice.name.clone(), (owner.clone(), family));
                self.slice_changes += usize::from(changed);
                let time = slice.triggered.filter(|time| changed && *time > STARTED);
                self.triggers.extend(time.map(|time| (owner, family, time)));
            }
            (None, Some((owner, family))) => self.removed(&owner, family),
            (None, None) => {}
        }
    }

    fn removed(&mut self, owner: &ObjectName, family: Family) {
        self.slice_changes += 1;
        self.triggers
            .retain(|(service, of, _)| (service, *of) != (owner, family));
    }

    fn changed_services(&self, model: &Model) -> usize {
        let changed = |service: &&&str| {
            let settled = self.settled.get(**service).map_or(&[][..], Vec::as_slice);
            model.ports(&name(service)) != settled
        };
        SERVICES.iter().filter(changed).count()
    }

    fn settle(&mut self, model: &Model) -> Vec<(Family, i128)> {
        let ports = |service| (service, model.ports(&name(service)).to_vec());
        self.settled = SERVICES.into_iter().map(ports).collect();
        self.slice_changes = 0;
        let triggers = std::mem::take(&mut self.triggers).into_iter();
        let mut triggers: Vec<_> = triggers.map(|(_, family, time)| (family, time)).collect();
        triggers.sort_unstable();
        triggers
    }
}

fn family(slice: &EndpointSlice) -> Option<Family> {
    match slice.address_type {
        AddressType::Ipv4 => Some(Family::V4),
        AddressType::Ipv6 => Some(Family::V6),
        AddressType::Fqdn => None,
    }
}

fn is_proxied(slice: &EndpointSlice) -> bool {
    !slice.headless
        && slice
            .service
            .as_deref()
            .is_some_and(|name| !name.is_empty())
}

/// The endpoints of a family in a slice that a proxy looks at.
fn endpoints(slice: &EndpointSlice, of: Family) -> usize {
    if family(slice) != Some(of) || !is_proxied(slice) {
        return 0;
    }
    let is_counted = |text: &String| {
        let address = fairlead_core::address::parse_ip(text);
        address.is_ok_and(|address| Family::of(address) == of)
    };
    let first = slice.endpoints.iter().filter_map(|e| e.addresses.first());
    first.filter(|text| is_counted(text)).count()
}

/// As an engine does it.
fn unserved(model: &Model, service: &ObjectName) -> UnservedPorts {
    let mut ports = UnservedPorts::default();
    for (family, routes) in model.routes(service) {
        ports.count(family, routes.unserved);
    }
    ports
}

/// Asks for each port what two other clusters say of it: one in which all traffic may leave the
/// node, and one in which none may.
fn recount(model: &Model, history: &[Change]) -> UnservedPorts {
    let serving = [TrafficPolicy::Cluster, TrafficPolicy::Local].map(|policy| {
        let all = crate::model(history.iter().map(|change| with_policy(change, policy)));
        let ports = all_routes(&all).into_values().flatten();
        let serving = ports.filter(|(_, port)| match policy {
            TrafficPolicy::Cluster => !port.cluster.is_empty(),
            TrafficPolicy::Local => !port.local.is_empty(),
        });
        serving
            .map(|(family, port)| (port.name, family))
            .collect::<BTreeSet<_>>()
    });
    let [somewhere, here] = serving;
    let mut total = UnservedPorts::default();
    for port in SERVICES
        .iter()
        .flat_map(|service| model.ports(&name(service)))
    {
        let port_of = (port.name.clone(), port.family);
        let elsewhere = somewhere.contains(&port_of) && !here.contains(&port_of);
        *total.internal.of_mut(port.family) += usize::from(port.internal_local && elsewhere);
        *total.external.of_mut(port.family) += usize::from(port.external_local && elsewhere);
    }
    total
}

fn with_policy(change: &Change, policy: TrafficPolicy) -> Change {
    let mut change = change.clone();
    if let Change::Service(service) = &mut change {
        service.internal_policy = policy;
    }
    change
}

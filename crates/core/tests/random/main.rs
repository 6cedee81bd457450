//! What holds after any history of changes.
//!
//! For a longer look: `PROPTEST_CASES=20000 cargo test -p fairlead-core --test random --release`.

#[path = "../build/mod.rs"]
mod build;
mod counts;
mod universe;

use std::collections::{BTreeMap, BTreeSet};

use build::{cluster_with, name};
use fairlead_core::address::{Family, parse_ip, parse_net};
use fairlead_core::api::{Change, Kind, ObjectName};
use fairlead_core::model::{Destination, Model, ServicePortName};
use fairlead_core::route::{Pool, Routes, Verdict};
use fairlead_core::settings::{DetectLocal, Settings};
use proptest::collection::vec;
use proptest::prelude::*;
use universe::{SERVICES, change, scribble, scribbled};

proptest! {
    // What is found becomes a test with a name instead of an entry in a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(
        history in vec(change(), 0..40),
        order in vec(any::<u32>(), 40),
    ) {
        let mut last_words: Vec<_> = objects_left(&history).into_iter().zip(order).collect();
        last_words.sort_by_key(|(_, place)| *place);
        let shuffled = last_words.into_iter().map(|(change, _)| change);
        let (lived, told) = (model(history), model(shuffled));
        for service in SERVICES {
            prop_assert_eq!(lived.routes(&name(service)), told.routes(&name(service)));
        }
        prop_assert_eq!(known(&lived), known(&told));
        prop_assert_eq!(lived.node(), told.node());
        for family in Family::BOTH {
            prop_assert_eq!(lived.service_cidrs(family), told.service_cidrs(family));
        }
    }

    #[test]
    fn a_service_whose_routes_change_is_dirty(history in vec(change(), 1..40)) {
        let mut model = model([]);
        let mut before = all_routes(&model);
        for change in history {
            model.apply(change.clone());
            let (after, dirty) = (all_routes(&model), model.take_dirty());
            for service in SERVICES {
                prop_assert!(
                    before[service] == after[service] || dirty.contains(&name(service)),
                    "{} is not dirty after {:?}:\n{:#?}\n{:#?}",
                    service, change, before[service], after[service],
                );
            }
            before = after;
        }
    }

    #[test]
    fn telling_the_same_again_changes_nothing(history in vec(change(), 1..20)) {
        let left = objects_left(&history);
        let mut model = model(history);
        model.take_dirty();
        for change in left {
            model.apply(change);
        }
        prop_assert_eq!(model.take_dirty(), BTreeSet::new());
    }

    #[test]
    fn of_what_is_gone_nothing_is_left(history in vec(change(), 1..40)) {
        let mut model = model(history.clone());
        for left in objects_left(&history) {
            let (kind, name) = match left {
                Change::Service(service) => (Kind::Service, service.name),
                Change::EndpointSlice(slice) => (Kind::EndpointSlice, slice.name),
                Change::ServiceCidr(cidr) => (Kind::ServiceCidr, ObjectName::cluster(&cidr.name)),
                Change::Node(_) | Change::Deleted(..) | Change::Synced(_) => continue,
            };
            model.apply(Change::Deleted(kind, name));
        }
        model.take_dirty();
        model.settle();
        // Names of Services and slices, what they claimed, and names of ranges.
        let all = format!("{model:?}");
        for trace in ["\"ns\"", "\"other\"", "Address(", "NodePort(", "\"one\"", "\"two\""] {
            prop_assert!(!all.contains(trace), "{} in {}", trace, all);
        }
    }

    #[test]
    fn a_destination_has_one_owner_and_the_others_know_it(history in vec(change(), 1..40)) {
        let model = model(history);
        let routes: Vec<_> = all_routes(&model).into_values().flatten().collect();
        let mut owners: BTreeMap<Destination, &ServicePortName> = BTreeMap::new();
        for (_, port) in &routes {
            for route in &port.routes {
                let other = owners.insert(route.destination, &port.name);
                prop_assert_eq!(other, None, "{} twice", route.destination);
            }
        }
        for service in SERVICES {
            let judged = model.serving(&name(service));
            for destination in judged.iter().flat_map(|(destinations, _)| destinations) {
                let owner = owners.get(destination).map(|port| &port.service);
                prop_assert_eq!(owner, Some(&name(service)));
            }
        }
        for (destination, owner) in routes.iter().flat_map(|(_, port)| &port.contested) {
            prop_assert_eq!(owners.get(destination), Some(&owner));
        }
    }

    #[test]
    fn what_is_forwarded_has_somewhere_to_go(history in vec(change(), 1..40)) {
        for (_, port) in all_routes(&model(history)).into_values().flatten() {
            for route in &port.routes {
                let verdicts = route.verdicts;
                for verdict in [verdicts.local_pod, verdicts.node, verdicts.elsewhere] {
                    let Verdict::Forward { pool, .. } = verdict else { continue };
                    let endpoints = match pool {
                        Pool::Cluster => &port.cluster,
                        Pool::Local => &port.local,
                    };
                    prop_assert!(!endpoints.is_empty(), "{:#?}", port);
                }
            }
        }
    }

    #[test]
    fn any_text_and_any_number_is_taken(
        texts in vec(scribble(), 12),
        numbers in vec(any::<i32>(), 5),
        legacy in any::<bool>(),
    ) {
        let mut model = model([]);
        for change in scribbled(&texts, &numbers, legacy) {
            for problem in model.apply(change) {
                prop_assert!(!problem.to_string().is_empty());
            }
        }
        for service in model.services() {
            model.routes(service);
        }
        for family in Family::BOTH {
            model.service_cidrs(family);
        }
    }

    #[test]
    fn a_printed_address_reads_as_itself(text in scribble()) {
        if let Ok(ip) = parse_ip(&text) {
            prop_assert_eq!(parse_ip(&ip.to_string()), Ok(ip));
        }
        if let Ok(net) = parse_net(&text) {
            prop_assert_eq!(parse_net(&net.to_string()), Ok(net));
            prop_assert_eq!(net.trunc(), net);
        }
    }
}

fn model(history: impl IntoIterator<Item = Change>) -> Model {
    let mut cluster = cluster_with(Settings {
        detect_local: DetectLocal::NodeCidr,
        ..Settings::default()
    });
    for change in history {
        cluster.tell(change);
    }
    cluster.0
}

fn all_routes(model: &Model) -> BTreeMap<&'static str, Vec<(Family, Routes)>> {
    let routes = |service| (service, model.routes(&name(service)));
    SERVICES.into_iter().map(routes).collect()
}

fn known(model: &Model) -> BTreeSet<ObjectName> {
    model.services().cloned().collect()
}

/// The changes that say how a history ended. A Node that was deleted is remembered.
fn objects_left(history: &[Change]) -> Vec<Change> {
    let mut left: BTreeMap<(Kind, ObjectName), Change> = BTreeMap::new();
    for change in history {
        let key = match change {
            Change::Service(service) => (Kind::Service, service.name.clone()),
            Change::EndpointSlice(slice) => (Kind::EndpointSlice, slice.name.clone()),
            Change::Node(node) => (Kind::Node, ObjectName::cluster(&node.name)),
            Change::ServiceCidr(cidr) => (Kind::ServiceCidr, ObjectName::cluster(&cidr.name)),
            Change::Deleted(Kind::Node, _) | Change::Synced(_) => continue,
            Change::Deleted(kind, name) => {
                left.remove(&(*kind, name.clone()));
                continue;
            }
        };
        left.insert(key, change.clone());
    }
    left.into_values().collect()
}

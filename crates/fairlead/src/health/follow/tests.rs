//! What the servers are told after a sync.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use fairlead_core::conntrack::Suspects;
use fairlead_core::report::{Excluded, Report};
use fairlead_core::settings::Settings;
use fairlead_source::manifests::Manifests;
use serde_json::json;

use super::*;

const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The objects that exist, and what is told of them.
struct Rig {
    model: Model,
    service_health: ServiceHealth,
    updates: UnboundedReceiver<Update>,
}

impl Rig {
    fn new() -> Rig {
        let (service_health, updates) = ServiceHealth::channel(&[Family::V4]);
        let settings = Settings {
            node_name: "here".to_owned(),
            ..Settings::default()
        };
        Rig {
            model: Model::new(settings),
            service_health,
            updates,
        }
    }

    /// A load balancer's Service with so many endpoints here and one elsewhere.
    fn apply(&mut self, name: &str, port: u16, policy: &str, endpoints: u8) {
        let here = (1..=endpoints)
            .map(|n| json!({"addresses": [format!("198.51.100.{n}")], "nodeName": "here"}));
        let elsewhere = json!({"addresses": ["203.0.113.1"], "nodeName": "elsewhere"});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
             "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": [{"port": 80}],
                      "externalTrafficPolicy": policy, "healthCheckNodePort": port}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
             "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
             "endpoints": here.chain([elsewhere]).collect::<Vec<_>>()},
        ]});
        let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
        fs::write(file.path(), list.to_string()).expect("to write");
        let mut manifests = Manifests::open(file.path()).expect("manifests");
        let problems = manifests.changes(Instant::now(), &mut |change| {
            self.model.apply(change);
        });
        assert_eq!(problems.len(), 0);
    }

    /// What a sync of these Services tells.
    fn sync(
        &mut self,
        services: &[&str],
        full: bool,
        excluded: &[&str],
    ) -> Option<Vec<(String, Option<Wanted>)>> {
        let excluded = excluded.iter().map(|name| Excluded {
            service: ObjectName::new("default", name),
            why: "File exists".to_owned(),
        });
        let synced = Synced {
            report: Report {
                full,
                excluded: excluded.collect(),
                ..Report::default()
            },
            suspects: Suspects::default(),
            services: services
                .iter()
                .map(|name| ObjectName::new("default", name))
                .collect(),
        };
        self.service_health.synced(&self.model, &[HOST], &synced);
        let update = self.updates.try_recv().ok()?;
        let all = BTreeSet::from([std::net::Ipv4Addr::UNSPECIFIED.into()]);
        assert_eq!(update.addresses, [(Family::V4, all)].into());
        let told = |(whose, wanted): (ServiceFamily, _)| (whose.service.name.to_string(), wanted);
        Some(update.services.into_iter().map(told).collect())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "so it is told")]
fn edge(wanted: Option<(u16, usize)>) -> Option<Vec<(String, Option<Wanted>)>> {
    let wanted = wanted.map(|(port, endpoints)| Wanted { port, endpoints });
    Some(vec![("edge".to_owned(), wanted)])
}

#[test]
fn only_what_a_sync_looked_at_is_told() {
    let mut rig = Rig::new();
    rig.apply("edge", 30000, "Local", 2);
    rig.apply("inner", 0, "Cluster", 2);
    assert_eq!(rig.sync(&["inner"], false, &[]), None);
    assert_eq!(
        rig.sync(&["inner", "edge"], false, &[]),
        edge(Some((30000, 2)))
    );
    // The others are tried again if they could not be had.
    assert_eq!(rig.sync(&["inner"], false, &[]), Some(Vec::new()));
    rig.apply("edge", 30000, "Local", 3);
    assert_eq!(rig.sync(&["edge"], false, &[]), edge(Some((30000, 3))));
}

#[test]
fn the_port_goes_with_the_policy_and_with_the_service() {
    let mut rig = Rig::new();
    rig.apply("edge", 30000, "Local", 1);
    rig.sync(&["edge"], true, &[]);
    rig.apply("edge", 30000, "Cluster", 1);
    assert_eq!(rig.sync(&["edge"], false, &[]), edge(None));
    assert_eq!(rig.sync(&["edge"], false, &[]), None);
    rig.apply("edge", 30001, "Local", 1);
    assert_eq!(rig.sync(&["edge"], false, &[]), edge(Some((30001, 1))));
    let name = ObjectName::new("default", "edge");
    rig.model.apply(fairlead_core::api::Change::Deleted(
        fairlead_core::api::Kind::Service,
        name,
    ));
    // A full sync goes through the Services that there are.
    assert_eq!(rig.sync(&[], true, &[]), edge(None));
}

#[test]
fn a_service_that_is_not_served_has_no_endpoints() {
    let mut rig = Rig::new();
    rig.apply("edge", 30000, "Local", 2);
    assert_eq!(
        rig.sync(&["edge"], false, &["edge"]),
        edge(Some((30000, 0)))
    );
    assert_eq!(rig.sync(&["edge"], false, &[]), edge(Some((30000, 2))));
}

//! Objects that change at random, some of them badly.

use std::collections::BTreeSet;

use fairlead_lab::api_server::{ApiServer, Resource};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::fixture::node_with;
use crate::objects::{service, slice};

/// So many Services there may be, with up to two slices each.
const SERVICES: u64 = 40;

/// Numbers by chance, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// `SplitMix64` (Steele, Lea and Flood, 2014).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True so many times in a hundred.
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.next()).unwrap_or_default() % all.len()]
    }
}

/// Objects that change at random.
#[derive(Debug)]
pub(crate) struct World {
    chance: Chance,
    /// Who cannot be read at present.
    broken: BTreeSet<(Resource, String)>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World {
            chance: Chance::new(seed),
            broken: BTreeSet::new(),
        }
    }

    /// Changes one object, or takes one away, or makes one.
    pub(crate) fn change(&mut self, server: &ApiServer) -> Result<(), Failed> {
        let owner = format!("long-{}", self.chance.below(SERVICES));
        let name = format!("{owner}-{}", self.chance.of(&["a", "b"]));
        match self.chance.below(100) {
            0..50 => self.put(server, Resource::EndpointSlices, &name)?,
            50..62 => self.take(server, Resource::EndpointSlices, &name),
            62..84 => self.put(server, Resource::Services, &owner)?,
            84..92 => self.take(server, Resource::Services, &owner),
            92..96 => drop(server.apply(&self.node())?),
            96..98 => self.spoil(server, Resource::EndpointSlices, &name)?,
            _ => self.spoil(server, Resource::Services, &owner)?,
        }
        Ok(())
    }

    /// Makes whole what cannot be read.
    pub(crate) fn mend(&mut self, server: &ApiServer) -> Result<(), Failed> {
        for (resource, name) in self.broken.clone() {
            self.put(server, resource, &name)?;
        }
        Ok(())
    }

    fn put(&mut self, server: &ApiServer, resource: Resource, name: &str) -> Result<(), Failed> {
        self.broken.remove(&(resource, name.to_owned()));
        server.apply(&match resource {
            Resource::Services => self.service(name),
            _ => self.slice(name),
        })?;
        Ok(())
    }

    fn take(&mut self, server: &ApiServer, resource: Resource, name: &str) {
        self.broken.remove(&(resource, name.to_owned()));
        server.delete(resource, "default", name);
    }

    fn spoil(&mut self, server: &ApiServer, resource: Resource, name: &str) -> Result<(), Failed> {
        self.broken.insert((resource, name.to_owned()));
        let mut object = match resource {
            Resource::Services => self.service(name),
            _ => self.slice(name),
        };
        match self.chance.below(2) {
            0 => object["spec"] = json!("nonsense"),
            _ => object["metadata"]["labels"] = json!(["nonsense"]),
        }
        object["endpoints"] = json!("nonsense");
        server.apply(&object)?;
        Ok(())
    }

    fn node(&mut self) -> Value {
        let (zone, taint) = (self.chance.of(&["z1", "z2", "z3"]), self.chance.percent(20));
        let address = self.chance.of(&["192.0.2.10", "192.0.2.12"]);
        node_with(|node| {
            node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
            node["status"]["addresses"][0]["address"] = json!(address);
            if taint {
                let key = "ToBeDeletedByClusterAutoscaler";
                node["spec"]["taints"] = json!([{"key": key, "effect": "NoSchedule"}]);
            }
        })
    }

    /// A Service that may lack something or want what another has.
    fn service(&mut self, name: &str) -> Value {
        let number: u64 = name
            .rsplit('-')
            .next()
            .map_or(0, |n| n.parse().unwrap_or(0));
        let chance = &mut self.chance;
        let kind = chance.of(&["ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"]);
        let count = 1 + chance.below(3);
        let port = |chance: &mut Chance, index: u64| {
            let mut port = json!({"name": format!("p{index}"), "port": 80 + index,
                "protocol": if chance.percent(30) { "UDP" } else { "TCP" }});
            if kind != "ClusterIP" {
                let own = 31_000 + number * 3 + index;
                port["nodePort"] = json!(if chance.percent(3) { 31_999 } else { own });
            }
            if chance.percent(2) {
                port["port"] = json!(70_000);
            }
            port
        };
        let ports: Vec<Value> = (0..count).map(|index| port(chance, index)).collect();
        let (policy, both) = (["Cluster", "Local"], chance.percent(30));
        let v4 = format!(
            "10.96.{}.{number}",
            if chance.percent(10) { 61 } else { 60 }
        );
        let v6 = format!("fd00:10:96::{number:x}");
        let ips = if both {
            vec![v4.clone(), v6]
        } else {
            vec![v4.clone()]
        };
        let families = &["IPv4", "IPv6"][..ips.len()];
        let mut service = service(
            name,
            &json!({
                "type": kind, "clusterIP": v4, "clusterIPs": ips, "ipFamilies": families, "ports": ports,
                "sessionAffinity": if chance.percent(20) { "ClientIP" } else { "None" },
                "internalTrafficPolicy": if chance.percent(15) { policy[1] } else { policy[0] },
                "externalTrafficPolicy": chance.of(&policy),
            }),
        );
        if kind == "LoadBalancer" {
            let shared = chance.percent(5);
            let ip = format!("203.0.113.{}", if shared { 250 } else { number + 1 });
            service["status"] = json!({"loadBalancer": {"ingress": [{"ip": ip}]}});
            if chance.percent(40) {
                service["spec"]["loadBalancerSourceRanges"] = json!(["198.51.100.0/24"]);
            }
        }
        if chance.percent(10) {
            service["spec"]["externalIPs"] = json!([format!("203.0.113.{}", 100 + number)]);
        }
        service
    }

    /// Endpoints here and elsewhere, in every condition.
    fn slice(&mut self, name: &str) -> Value {
        let owner = name.rsplit_once('-').map_or(name, |(owner, _)| owner);
        let chance = &mut self.chance;
        let v6 = chance.percent(15);
        let count = chance.below(9);
        let endpoints = (0..count).map(|_| {
            let (here, last) = (chance.percent(40), 130 + chance.below(20));
            let address = match (v6, here) {
                (false, true) => format!("10.244.1.{last}"),
                (false, false) => format!("10.244.2.{last}"),
                (true, true) => format!("fd00:10:244:1:8000::{last:x}"),
                (true, false) => format!("fd00:10:244:2::{last:x}"),
            };
            let terminating = chance.percent(15);
            let ready = !terminating && chance.percent(85);
            let mut endpoint = json!({
                "addresses": [address], "nodeName": if here { "node1" } else { "node2" },
                "conditions": {"ready": ready, "serving": ready || chance.percent(70),
                               "terminating": terminating},
            });
            if chance.percent(50) {
                let zone = chance.of(&["z1", "z2", "z3"]);
                endpoint["hints"] = json!({"forZones": [{"name": zone}]});
            }
            endpoint
        });
        let endpoints: Vec<Value> = endpoints.collect();
        let mut slice = slice(owner, "TCP", 8080, &[]);
        slice["metadata"]["name"] = json!(name);
        // Some have addresses of the other family, which are left out.
        let said = v6 ^ chance.percent(2);
        slice["addressType"] = json!(if said { "IPv6" } else { "IPv4" });
        let protocol = |index: u64| if index == 2 { "UDP" } else { "TCP" };
        let port = |index| json!({"name": format!("p{index}"), "port": 8080 + index, "protocol": protocol(index)});
        slice["ports"] = (0..3).map(port).collect();
        slice["endpoints"] = json!(endpoints);
        slice
    }
}

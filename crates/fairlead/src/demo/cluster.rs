//! What the manifests say, read as the proxy reads them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fairlead_core::address::parse_ip;
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_source::manifests::Manifests;

use super::flags::Flags;

/// The objects of some manifests.
#[derive(Debug)]
pub(super) struct Objects {
    changes: Vec<Change>,
    /// What is wrong with the files.
    pub(super) problems: Vec<String>,
}

/// The objects as a node sees them.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Services and endpoints.
    pub(super) model: Model,
    /// What is wrong with the objects.
    pub(super) problems: Vec<String>,
    nodes: HashMap<IpAddr, Arc<str>>,
}

impl Objects {
    /// Reads a file or a folder.
    pub(super) fn read(manifests: &Path) -> anyhow::Result<Objects> {
        let mut changes = Vec::new();
        let problems = Manifests::open(manifests)?
            .changes(Instant::now(), &mut |change| changes.push(change))
            .iter()
            .map(ToString::to_string)
            .collect();
        Ok(Objects { changes, problems })
    }

    /// How many Services there are, proxied or not.
    pub(super) fn services(&self) -> usize {
        let is_service = |change: &&Change| matches!(change, Change::Service(_));
        self.changes.iter().filter(is_service).count()
    }

    /// The node that has the most endpoints; without endpoints the first; without nodes none.
    pub(super) fn busiest_node(&self) -> Option<&str> {
        let mut endpoints: BTreeMap<&str, usize> = BTreeMap::new();
        for change in &self.changes {
            match change {
                Change::Node(node) => drop(endpoints.entry(&node.name).or_default()),
                Change::EndpointSlice(slice) => {
                    for node in slice
                        .endpoints
                        .iter()
                        .filter_map(|e| e.node_name.as_deref())
                    {
                        *endpoints.entry(node).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        let most = endpoints.values().max().copied()?;
        endpoints
            .into_iter()
            .find_map(|(node, count)| (count == most).then_some(node))
    }

    /// What they mean on the node that the flags name.
    pub(super) fn seen_with(self, flags: &Flags) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster {
            model: Model::new(flags.settings()?),
            problems: self.problems,
            nodes: HashMap::new(),
        };
        for change in self.changes {
            if let Change::EndpointSlice(slice) = &change {
                for endpoint in &slice.endpoints {
                    let address = endpoint
                        .addresses
                        .first()
                        .and_then(|text| parse_ip(text).ok());
                    let node = endpoint.node_name.clone();
                    cluster.nodes.extend(address.zip(node));
                }
            }
            let problems = cluster.model.apply(change);
            cluster
                .problems
                .extend(problems.iter().map(ToString::to_string));
        }
        Ok(cluster)
    }
}

impl Cluster {
    /// The node that an endpoint is on, if the manifests say.
    pub(super) fn node_of(&self, endpoint: IpAddr) -> Option<&str> {
        self.nodes.get(&endpoint).map(|node| &**node)
    }
}

//! Tells the health check servers what a sync found, at a cost that follows the change.

use std::collections::HashSet;
use std::net::IpAddr;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::error;

use fairlead_backends::engine::Synced;
use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::Model;

use super::services::{self, ServiceFamily, Update, Wanted};

/// The end of the channel that the loop has.
#[derive(Debug)]
pub(crate) struct ServiceHealth {
    families: Vec<Family>,
    updates: UnboundedSender<Update>,
    /// The Services that were last said to want a port.
    wanting: HashSet<ObjectName>,
}

impl ServiceHealth {
    /// Both ends. These families are served.
    pub(crate) fn channel(families: &[Family]) -> (ServiceHealth, UnboundedReceiver<Update>) {
        let (updates, receiver) = unbounded_channel();
        let service_health = ServiceHealth {
            families: families.to_vec(),
            updates,
            wanting: HashSet::new(),
        };
        (service_health, receiver)
    }

    /// A sync succeeded. `host` are the addresses this host has now.
    pub(crate) fn synced(&mut self, model: &Model, host: &[IpAddr], synced: &Synced) {
        let mut update = Update::default();
        if synced.report.full {
            // What is gone is not among the Services that a full sync goes through.
            let gone = |service: &&ObjectName| model.ports(service).is_empty();
            let gone: Vec<ObjectName> = self.wanting.iter().filter(gone).cloned().collect();
            for service in gone {
                self.look(model, &service, true, &mut update);
            }
        }
        for service in &synced.services {
            let excluded = &synced.report.excluded;
            let served = !excluded.iter().any(|excluded| excluded.service == *service);
            self.look(model, service, served, &mut update);
        }
        // Even if nothing changed: what could not be opened is then tried again.
        if self.wanting.is_empty() && update.services.is_empty() {
            return;
        }
        let setting = &model.settings().node_port_addresses;
        let addresses = |family: &Family| {
            let scope = setting.scope(*family, model.node(), host);
            (*family, services::addresses(*family, &scope, host))
        };
        update.addresses = self.families.iter().map(addresses).collect();
        if self.updates.send(update).is_err() {
            error!("the servers are gone; load balancers cannot ask for Services");
        }
    }

    /// A load balancer is told that a Service that is not served has no endpoints here.
    fn look(&mut self, model: &Model, service: &ObjectName, served: bool, update: &mut Update) {
        let mut ports = model.ports(service).iter();
        let wants = ports.any(|port| port.health_check_node_port.is_some());
        let wanted_before = match wants {
            true => !self.wanting.insert(service.clone()),
            false => self.wanting.remove(service),
        };
        if !wants && !wanted_before {
            return;
        }
        for family in &self.families {
            let whose = ServiceFamily {
                service: service.clone(),
                family: *family,
            };
            let wanted = wanted(model, service, *family).map(|wanted| Wanted {
                endpoints: if served { wanted.endpoints } else { 0 },
                ..wanted
            });
            update.services.push((whose, wanted));
        }
    }
}

/// All ports of a Service have the same health check node port.
fn wanted(model: &Model, service: &ObjectName, family: Family) -> Option<Wanted> {
    let mut ports = model
        .ports(service)
        .iter()
        .filter(|port| port.family == family);
    Some(Wanted {
        port: ports.find_map(|port| port.health_check_node_port)?,
        endpoints: model.local_ready_endpoints(service, family),
    })
}

#[cfg(test)]
mod tests;

//! Which Services want what the kernel refused.

use std::collections::HashMap;

use fairlead_core::api::ObjectName;

use super::installed::Installed;
use super::kernel::{Object, Refused};
use super::port::PortServers;

/// The Services that want something, by what they want.
#[derive(Debug, Default)]
struct Owners<'a> {
    /// At addresses of their own.
    by_address: Option<&'a ObjectName>,
    by_node_port: Option<&'a ObjectName>,
}

impl Installed {
    /// The Services to blame for refusals, each with the first of its own. The one that has a
    /// virtual server is to blame for it, the first by name of those that want an address. Nobody
    /// is to blame for the device.
    pub(super) fn culprits(&self, refused: &[Refused]) -> Vec<(ObjectName, String)> {
        let of_device = |refused: &Refused| refused.object == Object::Device;
        if refused.iter().any(of_device) {
            return Vec::new();
        }
        let mut owners: HashMap<Object, Owners<'_>> = HashMap::new();
        for refused in refused {
            owners.entry(refused.object).or_default();
        }
        for (service, ports) in &self.groups {
            for port in ports {
                self.note_owner(service, port, &mut owners);
            }
        }
        let mut culprits: Vec<(ObjectName, String)> = Vec::new();
        for refused in refused {
            // Taken out: what else is refused of the same is told by the first.
            let owners = owners.remove(&refused.object).unwrap_or_default();
            if let Some(service) = owners.by_address.or(owners.by_node_port) {
                culprits.push((service.clone(), refused.to_string()));
            }
        }
        culprits
    }

    /// Goes through all that a port wants: for when something went wrong.
    fn note_owner<'a>(
        &self,
        service: &'a ObjectName,
        port: &PortServers,
        owners: &mut HashMap<Object, Owners<'a>>,
    ) {
        let Some(frame) = self.frames.get(&port.family) else {
            return;
        };
        let first = |owner: &mut Option<&'a ObjectName>| {
            *owner = Some(owner.map_or(service, |other| other.min(service)));
        };
        for (at, own, _) in port.at(frame) {
            match (owners.get_mut(&Object::Server(at)), own) {
                (Some(owners), true) => first(&mut owners.by_address),
                (Some(owners), false) => first(&mut owners.by_node_port),
                (None, _) => {}
            }
        }
        for ip in port.held(frame) {
            if let Some(owners) = owners.get_mut(&Object::Held(ip)) {
                first(&mut owners.by_address);
            }
        }
    }
}

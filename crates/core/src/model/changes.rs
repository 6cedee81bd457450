//! How what is told changes a model, and which Services it touches.

use super::endpoints::{self, Slice};
use super::node::{self, NodeLife};
use super::{Model, Problem, service_port};
use crate::address::{Family, parse_net};
use crate::api::{self, Change, Kind, ObjectName};
use crate::report::Unmet;
use crate::scheduling::ANNOTATION;

impl Model {
    /// Takes a change in. Returns what is wrong with the object; the rest of it counts.
    pub fn apply(&mut self, change: Change) -> Vec<Problem> {
        let object = change.object();
        let problems = self.take_in(change);
        if let Some(object) = object {
            self.census.problems(object, !problems.is_empty());
        }
        problems
    }

    fn take_in(&mut self, change: Change) -> Vec<Problem> {
        match change {
            Change::Service(service) => self.apply_service(&service),
            Change::EndpointSlice(slice) => self.apply_slice(&slice),
            Change::Node(node) => self.apply_node(&node),
            Change::ServiceCidr(cidr) => self.apply_service_cidr(cidr),
            Change::Deleted(kind, name) => {
                self.delete(kind, &name);
                Vec::new()
            }
            Change::Synced(kind) => {
                self.synced.insert(kind);
                Vec::new()
            }
        }
    }

    fn apply_service(&mut self, service: &api::Service) -> Vec<Problem> {
        self.progress.service_told();
        let (ports, problems) = service_port::read(service, &self.settings);
        self.heed(&service.name, &problems);
        // Age decides who has a destination; what has no port wants none.
        let created = service.created.filter(|_| !ports.is_empty());
        let entry = self.services.entry(service.name.clone()).or_default();
        if *entry.ports != *ports || entry.created != created {
            self.claims
                .withdraw(&entry.ports, entry.created, &mut self.dirty);
            self.claims.assert(&ports, created, &mut self.dirty);
            self.census
                .service(!entry.ports.is_empty(), !ports.is_empty());
            let before = std::mem::replace(&mut entry.ports, ports.into());
            entry.created = created;
            self.progress
                .service_changed(&service.name, before, &entry.ports);
            self.dirty.insert(service.name.clone());
        }
        self.forget_if_empty(&service.name);
        problems
    }

    /// Remembers a scheduler that is asked for in vain, until the Service says otherwise.
    fn heed(&mut self, service: &ObjectName, problems: &[Problem]) {
        match problems.iter().find(|problem| problem.field == ANNOTATION) {
            Some(problem) => {
                let why = format!("{ANNOTATION}: {}", problem.message);
                self.unheeded.insert(service.clone(), Unmet::Scheduler(why));
            }
            None => {
                self.unheeded.remove(service);
            }
        }
    }

    fn apply_slice(&mut self, slice: &api::EndpointSlice) -> Vec<Problem> {
        self.progress.slice_told(slice.address_type);
        let Some((owner, reduced, problems)) = endpoints::read(slice, &self.settings.node_name)
        else {
            if let Some((owner, family)) = self.delete_slice(&slice.name) {
                self.progress.slice_removed(&owner, family);
            }
            return Vec::new();
        };
        if self
            .slice_owner
            .get(&slice.name)
            .is_some_and(|before| *before != owner)
        {
            self.delete_slice(&slice.name);
        }
        let entry = self.services.entry(owner.clone()).or_default();
        let (before, now) = (
            entry.slices.get(&slice.name).map(Slice::size),
            reduced.size(),
        );
        if entry.slices.put(&slice.name, reduced) {
            self.census.slice(before, Some(now));
            self.progress.slice_changed(&owner, now.0, slice.triggered);
            self.slice_owner.insert(slice.name.clone(), owner.clone());
            self.dirty.insert(owner);
        }
        problems
    }

    fn apply_node(&mut self, node: &api::Node) -> Vec<Problem> {
        if node.name != self.settings.node_name {
            return Vec::new();
        }
        self.node_life = Some(NodeLife::of(node));
        let (view, problems) = node::read(node, self.settings.node_ip);
        if view != self.node {
            self.node = view;
            self.dirty.extend(self.services.keys().cloned());
            self.reframed = true;
        }
        problems
    }

    fn apply_service_cidr(&mut self, cidr: api::ServiceCidr) -> Vec<Problem> {
        let object = || format!("ServiceCIDR {}", cidr.name);
        let wrong = cidr.cidrs.iter().filter_map(|text| {
            let error = parse_net(text).err()?;
            Some(Problem::new(object(), "spec.cidrs", error.to_string()))
        });
        let problems = wrong.collect();
        let before = self.service_cidrs.insert(cidr.name, cidr.cidrs.clone());
        self.reframed |= before.as_ref() != Some(&cidr.cidrs);
        problems
    }

    fn delete(&mut self, kind: Kind, name: &ObjectName) {
        match kind {
            Kind::Service => self.delete_service(name),
            Kind::EndpointSlice => {
                if let Some((owner, family)) = self.delete_slice(name) {
                    self.progress.slice_told(family.into());
                    self.progress.slice_removed(&owner, family);
                }
            }
            // The last Node object is kept, as kube-proxy does: a node that still runs pods
            // does not stop being one when its object is deleted and made again.
            Kind::Node => {}
            Kind::ServiceCidr => {
                self.reframed |= self.service_cidrs.remove(&*name.name).is_some();
            }
        }
    }

    fn delete_service(&mut self, name: &ObjectName) {
        self.progress.service_told();
        self.unheeded.remove(name);
        let Some(entry) = self.services.get_mut(name) else {
            return;
        };
        self.claims
            .withdraw(&entry.ports, entry.created, &mut self.dirty);
        self.census.service(!entry.ports.is_empty(), false);
        let before = std::mem::take(&mut entry.ports);
        entry.created = None;
        self.progress.service_changed(name, before, &[]);
        self.dirty.insert(name.clone());
        self.forget_if_empty(name);
    }

    /// Returns whose endpoints it held, and of which family.
    fn delete_slice(&mut self, name: &ObjectName) -> Option<(ObjectName, Family)> {
        let owner = self.slice_owner.remove(name)?;
        let size = self.services.get_mut(&owner)?.slices.remove(name)?.size();
        self.census.slice(Some(size), None);
        self.forget_if_empty(&owner);
        self.dirty.insert(owner.clone());
        Some((owner, size.0))
    }

    fn forget_if_empty(&mut self, name: &ObjectName) {
        if self
            .services
            .get(name)
            .is_some_and(|entry| entry.ports.is_empty() && entry.slices.is_empty())
        {
            self.services.remove(name);
        }
    }
}

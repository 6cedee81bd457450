//! The objects of a server, and what clients did, as a test has them in hand.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::log::{OpenWatch, Request};
use super::object::{Object, key};
use super::resource::Resource;
use super::shared::now;
use super::store::text;
use super::{ApiServer, ApiServerError, fill};

/// Objects.
impl ApiServer {
    /// Writes an object, as it is but for its metadata, and returns its new version. One in no
    /// namespace is in `default`.
    pub fn apply(&self, object: &Value) -> Result<u64, ApiServerError> {
        let kind = text(object, "/kind").unwrap_or_default();
        let name = text(object, "/metadata/name").unwrap_or_default();
        let wrong = |why| ApiServerError::Object {
            kind: kind.to_owned(),
            name: name.to_owned(),
            why,
        };
        let resource = Resource::of_kind(kind).ok_or_else(|| wrong("this kind is not served"))?;
        if name.is_empty() {
            return Err(wrong("it needs a name"));
        }
        let object = object.clone();
        Ok(self
            .shared
            .change(|state| state.put(resource, object).version))
    }

    /// Deletes an object. Returns whether it was there. Something without a namespace has an empty
    /// one.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> bool {
        let key = place(resource, namespace, name);
        self.shared
            .change(|state| match state.store.delete(resource, &key) {
                Some(event) => {
                    state.tell(&event);
                    true
                }
                None => false,
            })
    }

    /// An object as it is now.
    pub fn object(&self, resource: Resource, namespace: &str, name: &str) -> Option<Value> {
        let key = place(resource, namespace, name);
        let object = self.shared.state().store.get(resource, &key).cloned();
        object.map(|object| object.value())
    }

    /// All objects of a resource, those too that clients made, such as Events; in the order of
    /// their keys.
    pub fn objects(&self, resource: Resource) -> Vec<Value> {
        let objects: Vec<_> = self
            .shared
            .state()
            .store
            .of(resource)
            .values()
            .cloned()
            .collect();
        objects.iter().map(|object| object.value()).collect()
    }

    /// The version of the last write.
    pub fn version(&self) -> u64 {
        self.shared.state().store.version()
    }

    /// Makes many Services with one port each, and slices of their endpoints, as large as real
    /// ones: see [`super::service_name`], [`super::cluster_ip`] and [`super::endpoint_ip`].
    pub fn fill(&self, services: usize, endpoints_per_service: usize) {
        let now = now();
        self.shared.change(|state| {
            let mut put = |make: &dyn Fn(u64) -> Object, resource| {
                let object = Arc::new(make(state.store.version() + 1));
                let event = state.store.write(resource, object.key(), Some(object));
                state.tell(&event);
            };
            for service in 0..services {
                put(
                    &|version| fill::service(service, version, &now),
                    Resource::Services,
                );
                let all = service * endpoints_per_service..(service + 1) * endpoints_per_service;
                for (number, first) in all.clone().step_by(fill::SLICE).enumerate() {
                    let some = first..all.end.min(first + fill::SLICE);
                    put(
                        &|version| fill::slice(service, number, some.clone(), version, &now),
                        Resource::EndpointSlices,
                    );
                }
            }
        });
    }

    /// Forgets what happened: who comes with a version of before has to list again, and so has who
    /// is in the midst of a list. Watches that are open go on.
    pub fn compact(&self) {
        self.shared.change(|state| state.store.compact());
    }
}

/// What clients did.
impl ApiServer {
    /// The last 10,000 requests, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().log.requests()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.change(|state| state.log.clear());
    }

    /// The watches that are open.
    pub fn watches(&self) -> Vec<OpenWatch> {
        self.shared.state().watches()
    }

    /// Waits until something is so, for so long at most. Returns whether it is.
    pub fn wait_until(&self, patience: Duration, holds: impl Fn(&ApiServer) -> bool) -> bool {
        let started = Instant::now();
        while !holds(self) {
            if started.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Waits until there is a watch of a resource. Returns whether there is.
    pub fn wait_for_watch(&self, resource: Resource, patience: Duration) -> bool {
        self.wait_until(patience, |server| {
            server
                .watches()
                .iter()
                .any(|watch| watch.resource == resource)
        })
    }
}

fn place(resource: Resource, namespace: &str, name: &str) -> String {
    key(resource.is_namespaced().then_some(namespace), name)
}

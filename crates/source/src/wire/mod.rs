//! Kubernetes objects as JSON and YAML spell them, down to the fields that decide something.
//!
//! These are the shapes of the API, whether they come from a file or from an API server: a field
//! that is absent and one that is `null` are the same, unknown fields are passed over, and a value
//! of the wrong type is an error of the deserializer, which knows the field's path and line. What
//! the values *mean* is not judged here; that is the model's. `docs/decisions/0002` says why these
//! are not the types of `k8s-openapi`.

mod field;
mod kind;
mod metadata;
mod node;
mod service;
mod service_cidr;
mod slice;

use fairlead_core::api::{Change, Kind, ObjectName};
use serde::{Deserialize, Deserializer};

pub use kind::{Content, ContentError};
use metadata::Metadata;
pub use metadata::NameError;
pub(crate) use metadata::object_name;
pub use node::Node;
pub use service::Service;
pub use service_cidr::ServiceCidr;
pub use slice::EndpointSlice;

/// An object of one of the watched kinds.
#[derive(Debug)]
pub enum Object {
    /// v1 Service.
    Service(Service),
    /// discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// v1 Node.
    Node(Node),
    /// networking.k8s.io/v1 ServiceCIDR.
    ServiceCidr(ServiceCidr),
}

impl Object {
    /// Reads an object that is known to be of this kind.
    pub fn read<'de, D: Deserializer<'de>>(kind: Kind, input: D) -> Result<Object, D::Error> {
        match kind {
            Kind::Service => Service::deserialize(input).map(Object::Service),
            Kind::EndpointSlice => EndpointSlice::deserialize(input).map(Object::EndpointSlice),
            Kind::Node => Node::deserialize(input).map(Object::Node),
            Kind::ServiceCidr => ServiceCidr::deserialize(input).map(Object::ServiceCidr),
        }
    }

    /// The kind and name, in the namespace `default` when a namespaced object says none.
    pub fn identity(&self) -> Result<(Kind, ObjectName), NameError> {
        let (kind, metadata) = self.metadata();
        let metadata = metadata.ok_or(NameError::Missing)?;
        Ok((kind, metadata.object_name(kind)?))
    }

    /// `metadata.resourceVersion`, empty when there is none, as in a file.
    pub fn revision(&self) -> &str {
        self.metadata().1.map_or("", Metadata::revision)
    }

    /// What a source says of this object.
    pub fn into_change(self, name: ObjectName) -> Change {
        match self {
            Object::Service(object) => Change::Service(object.into_api(name)),
            Object::EndpointSlice(object) => Change::EndpointSlice(object.into_api(name)),
            Object::Node(object) => Change::Node(object.into_api(&name)),
            Object::ServiceCidr(object) => Change::ServiceCidr(object.into_api(&name)),
        }
    }

    fn metadata(&self) -> (Kind, Option<&Metadata>) {
        match self {
            Object::Service(object) => (Kind::Service, object.metadata()),
            Object::EndpointSlice(object) => (Kind::EndpointSlice, object.metadata()),
            Object::Node(object) => (Kind::Node, object.metadata()),
            Object::ServiceCidr(object) => (Kind::ServiceCidr, object.metadata()),
        }
    }
}

//! Kubernetes objects, reduced to the fields that decide something.
//!
//! Values stand here as they were written: addresses are text, ports are any integer. What they
//! mean, and what is wrong with them, is the model's to say. Field names follow the Kubernetes
//! API, v1 `Service` and `Node`, discovery.k8s.io/v1 `EndpointSlice`, networking.k8s.io/v1
//! `ServiceCIDR`.

mod object;
mod service;
mod slice;

pub use object::{
    Change, Kind, Node, NodeAddress, NodeAddressKind, ObjectName, ServiceCidr, Taint,
};
pub use service::{
    Ingress, IpMode, Service, ServicePort, ServiceType, SessionAffinity, TrafficPolicy,
};
pub use slice::{AddressType, Endpoint, EndpointSlice, SlicePort};

//! Reads an EndpointSlice: reduces it to what decides, and says what is wrong with it.
//!
//! In which order a slice lists its ports and endpoints decides nothing, and whoever writes it may
//! list them in another each time. They are sorted, so that this is no change.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Hints, Member, Port, Slice, State};
use crate::address::{Family, parse_ip};
use crate::api::{self, AddressType, ObjectName};
use crate::model::Problem;
use crate::model::service_port::port_number;

/// Reduces a slice: whose endpoints they are, the endpoints, and what is wrong with them.
/// `None` when the slice is not for a proxy.
pub(in crate::model) fn read(
    slice: &api::EndpointSlice,
    node_name: &str,
) -> Option<(ObjectName, Slice, Vec<Problem>)> {
    let service = slice.service.as_deref().filter(|name| !name.is_empty())?;
    let family = match slice.address_type {
        AddressType::Ipv4 => Family::V4,
        AddressType::Ipv6 => Family::V6,
        AddressType::Fqdn => return None,
    };
    if slice.headless || slice.name.namespace.is_empty() || slice.name.name.is_empty() {
        return None;
    }
    let mut problems = Vec::new();
    let mut report = |field: String, message: String| {
        problems.push(Problem::new(
            format!("EndpointSlice {}", slice.name),
            field,
            message,
        ));
    };
    let ports = read_ports(slice, &mut report);
    let members = read_members(slice, family, node_name, &mut report);
    let owner = ObjectName {
        namespace: Arc::clone(&slice.name.namespace),
        name: service.into(),
    };
    Some((
        owner,
        Slice {
            family,
            ports,
            members,
        },
        problems,
    ))
}

fn read_ports(slice: &api::EndpointSlice, report: &mut impl FnMut(String, String)) -> Box<[Port]> {
    let mut ports = Vec::new();
    for (index, port) in slice.ports.iter().enumerate() {
        // No name or no number: a slice for all ports, which a proxy cannot serve.
        let (Some(name), Some(number)) = (&port.name, port.port) else {
            continue;
        };
        match port_number(number) {
            Some(number) => ports.push(Port {
                name: name.as_str().into(),
                protocol: port.protocol,
                number,
            }),
            None if number == 0 => {}
            None => report(
                format!("ports[{index}].port"),
                format!("{number} is not between 1 and 65535; the port is left out"),
            ),
        }
    }
    ports.sort_by(|one, other| one.order().cmp(&other.order()));
    ports.into()
}

fn read_members(
    slice: &api::EndpointSlice,
    family: Family,
    node_name: &str,
    report: &mut impl FnMut(String, String),
) -> Box<[Member]> {
    let mut members = Vec::with_capacity(slice.endpoints.len());
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let Some(text) = endpoint.addresses.first() else {
            continue;
        };
        let fault = match parse_ip(text) {
            Ok(address) if Family::of(address) == family => {
                members.push(member(endpoint, address, node_name));
                continue;
            }
            Ok(address) => format!("{address} is not {family}, which addressType says it is"),
            Err(error) => error.to_string(),
        };
        report(
            format!("endpoints[{index}].addresses[0]"),
            format!("{fault}; the endpoint is left out"),
        );
    }
    // Copies of one address keep their order: of equals the later counts.
    members.sort_by_key(|member| member.address);
    members.into()
}

fn member(endpoint: &api::Endpoint, address: IpAddr, node_name: &str) -> Member {
    let state = State {
        ready: endpoint.ready.unwrap_or(true),
        serving: endpoint.serving.unwrap_or(true),
        terminating: endpoint.terminating.unwrap_or(false),
        local: !node_name.is_empty() && endpoint.node_name.as_deref() == Some(node_name),
    };
    let unhinted = endpoint.zone_hints.is_empty() && endpoint.node_hints.is_empty();
    let hints = (!unhinted).then(|| {
        Box::new(Hints {
            zones: endpoint.zone_hints.clone(),
            any_node: !endpoint.node_hints.is_empty(),
            this_node: endpoint.node_hints.iter().any(|name| name == node_name),
        })
    });
    Member {
        address,
        state,
        hints,
    }
}

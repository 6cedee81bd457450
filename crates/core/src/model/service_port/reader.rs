//! Reads a Service: the API's words turned into meaning, and what is wrong with them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{ServicePort, ServicePortName, port_number};
use crate::address::{Family, Protocol, parse_ip, parse_net};
use crate::api::{IpMode, Service, ServiceType, SessionAffinity, TrafficPolicy};
use crate::model::Problem;
use crate::scheduling::{ANNOTATION, Scheduling, SchedulingError};
use crate::settings::Settings;

/// `sessionAffinityConfig.clientIP.timeoutSeconds` when it is not given (Kubernetes API, v1).
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;
/// The longest affinity timeout the API accepts, one day.
const MAX_AFFINITY_SECONDS: u32 = 86_400;

/// The ports of a Service that this proxy serves, in both families; and what is wrong with it.
/// Its external IPs are left out if they are not allowed, and its scheduler where none is asked.
pub(in crate::model) fn read(
    service: &Service,
    settings: &Settings,
) -> (Vec<ServicePort>, Vec<Problem>) {
    let mut reader = Reader {
        service,
        settings,
        problems: Vec::new(),
    };
    let ports = if is_proxied(service) {
        reader.ports()
    } else {
        Vec::new()
    };
    (ports, reader.problems)
}

fn is_proxied(service: &Service) -> bool {
    let headless = matches!(service.cluster_ip.as_str(), "" | "None");
    !headless && !service.other_proxy && service.kind != ServiceType::ExternalName
}

/// Reads one Service and collects what is wrong.
struct Reader<'a> {
    service: &'a Service,
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn ports(&mut self) -> Vec<ServicePort> {
        if self.service.ports.is_empty() {
            self.report(
                "spec.ports",
                "has no port, so nothing can be proxied; give it at least one",
            );
        }
        let mut ports = Vec::new();
        let in_families: Vec<_> = Family::BOTH
            .iter()
            .filter_map(|family| self.in_family(*family))
            .collect();
        for index in 0..self.service.ports.len() {
            let Some((port, node_port)) = self.port_numbers(index) else {
                continue;
            };
            for common in &in_families {
                let port = self.service_port(common, index, port, node_port);
                self.replace_or_push(&mut ports, port, index);
            }
        }
        ports
    }

    /// A name and protocol is one port: of several that share them the last counts.
    fn replace_or_push(&mut self, ports: &mut Vec<ServicePort>, port: ServicePort, index: usize) {
        let same =
            |other: &&mut ServicePort| other.name == port.name && other.family == port.family;
        let Some(earlier) = ports.iter_mut().find(same) else {
            ports.push(port);
            return;
        };
        *earlier = port;
        let message = "the name and protocol of an earlier port, which is left out";
        self.report_once(&format!("spec.ports[{index}].name"), message);
    }

    fn service_port(
        &self,
        common: &Common,
        index: usize,
        port: u16,
        node_port: Option<u16>,
    ) -> ServicePort {
        let api = &self.service.ports[index];
        let name = ServicePortName {
            service: self.service.name.clone(),
            port: api.name.as_str().into(),
            protocol: api.protocol,
        };
        ServicePort {
            name,
            port,
            node_port,
            ..common.0.clone()
        }
    }

    /// Everything that the ports of a family share; `None` without a cluster IP of the family.
    fn in_family(&mut self, family: Family) -> Option<Common> {
        let cluster_ip = self.cluster_ip(family)?;
        let service = self.service;
        let external_local =
            service.external_policy == TrafficPolicy::Local && self.has_external_type();
        Some(Common(ServicePort {
            name: ServicePortName {
                service: service.name.clone(),
                port: "".into(),
                protocol: Protocol::Tcp,
            },
            family,
            cluster_ip,
            port: 0,
            node_port: None,
            external_ips: self.external_ips(family),
            load_balancer_ips: self.load_balancer_ips(family),
            source_ranges: self.source_ranges(family),
            external_local,
            internal_local: service.internal_policy == TrafficPolicy::Local,
            affinity_seconds: self.affinity_seconds(),
            scheduling: self.scheduling(),
            health_check_node_port: if external_local {
                self.health_check_node_port()
            } else {
                None
            },
        }))
    }

    fn cluster_ip(&mut self, family: Family) -> Option<IpAddr> {
        let service = self.service;
        let (field, text) = if service.ip_families.is_empty() {
            ("spec.clusterIP", service.cluster_ip.as_str())
        } else {
            let index = service.ip_families.iter().position(|f| *f == family)?;
            ("spec.clusterIPs", service.cluster_ips.get(index)?.as_str())
        };
        match parse_ip(text) {
            Ok(ip) if Family::of(ip) == family => Some(ip),
            // Without spec.ipFamilies the one address belongs to one family; that is no fault.
            Ok(_) if service.ip_families.is_empty() => None,
            Ok(ip) => {
                self.report(
                    field,
                    format!("{ip} is not {family}, which spec.ipFamilies says it is"),
                );
                None
            }
            // An address without spec.ipFamilies is looked at for both families; say it once.
            Err(_) if service.ip_families.is_empty() && family == Family::V6 => None,
            Err(error) => {
                self.report(field, format!("{error}; the Service is not proxied by it"));
                None
            }
        }
    }

    /// Local external policy counts on Services of a type that outsiders can reach.
    fn has_external_type(&self) -> bool {
        match self.service.kind {
            ServiceType::LoadBalancer | ServiceType::NodePort => true,
            ServiceType::ClusterIp => !self.service.external_ips.is_empty(),
            ServiceType::ExternalName => false,
        }
    }

    fn external_ips(&mut self, family: Family) -> Vec<IpAddr> {
        if !self.settings.external_ips {
            return Vec::new();
        }
        let service = self.service;
        let texts = service
            .external_ips
            .iter()
            .filter(|text| !text.trim().is_empty());
        texts
            .filter_map(|text| self.ip_of(family, "spec.externalIPs", text))
            .collect()
    }

    fn load_balancer_ips(&mut self, family: Family) -> Vec<IpAddr> {
        let service = self.service;
        let entries = service
            .ingress
            .iter()
            .filter(|entry| entry.mode == IpMode::Vip && !entry.ip.is_empty());
        entries
            .filter_map(|entry| self.ip_of(family, "status.loadBalancer.ingress", &entry.ip))
            .collect()
    }

    fn ip_of(&mut self, family: Family, field: &str, text: &str) -> Option<IpAddr> {
        match parse_ip(text) {
            Ok(ip) => (Family::of(ip) == family).then_some(ip),
            Err(error) => {
                self.report_once(field, format!("{error}; it is left out"));
                None
            }
        }
    }

    /// A range that allows everybody makes the whole list mean nothing.
    fn source_ranges(&mut self, family: Family) -> Vec<IpNet> {
        let mut ranges = Vec::new();
        for text in &self.service.source_ranges {
            match parse_net(text.trim()) {
                Ok(net) if Family::of_net(net) == family => ranges.push(net),
                Ok(_) => {}
                Err(error) => self.report_once(
                    "spec.loadBalancerSourceRanges",
                    format!("{error}; it is left out"),
                ),
            }
        }
        if ranges.iter().any(|net| net.prefix_len() == 0) {
            Vec::new()
        } else {
            ranges
        }
    }

    fn affinity_seconds(&mut self) -> Option<u32> {
        let SessionAffinity::ClientIp { timeout_seconds } = self.service.affinity else {
            return None;
        };
        let Some(given) = timeout_seconds else {
            return Some(DEFAULT_AFFINITY_SECONDS);
        };
        let seconds = u32::try_from(given)
            .ok()
            .filter(|s| (1..=MAX_AFFINITY_SECONDS).contains(s));
        if seconds.is_none() {
            let message = format!(
                "{given} is not between 1 and {MAX_AFFINITY_SECONDS}; {DEFAULT_AFFINITY_SECONDS} is used"
            );
            self.report_once(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                message,
            );
        }
        seconds.or(Some(DEFAULT_AFFINITY_SECONDS))
    }

    fn scheduling(&mut self) -> Option<Scheduling> {
        let asked = self.settings.scheduling_by_service;
        let text = self.service.scheduler.as_deref().filter(|_| asked)?.trim();
        if text.is_empty() {
            return None;
        }
        let parsed: Result<_, SchedulingError> = text.parse();
        if let Err(error) = &parsed {
            self.report_once(ANNOTATION, format!("{error}; the default is used"));
        }
        parsed.ok()
    }

    fn health_check_node_port(&mut self) -> Option<u16> {
        if self.service.kind != ServiceType::LoadBalancer {
            return None;
        }
        let port = port_number(self.service.health_check_node_port);
        if port.is_none() {
            self.report_once(
                "spec.healthCheckNodePort",
                "a load balancer with externalTrafficPolicy Local needs one; nobody can ask for this node's health",
            );
        }
        port
    }

    fn port_numbers(&mut self, index: usize) -> Option<(u16, Option<u16>)> {
        let api = &self.service.ports[index];
        let Some(port) = port_number(api.port) else {
            let message = format!(
                "{} is not between 1 and 65535; the port is left out",
                api.port
            );
            self.report(&format!("spec.ports[{index}].port"), message);
            return None;
        };
        let node_port = port_number(api.node_port);
        if node_port.is_none() && api.node_port != 0 {
            let message = format!(
                "{} is not between 1 and 65535; there is no node port",
                api.node_port
            );
            self.report(&format!("spec.ports[{index}].nodePort"), message);
        }
        Some((port, node_port))
    }

    fn report(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(
            format!("Service {}", self.service.name),
            field,
            message,
        ));
    }

    /// For what is read once a family.
    fn report_once(&mut self, field: &str, message: impl Into<String>) {
        let problem = Problem::new(format!("Service {}", self.service.name), field, message);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// A service port without its name and numbers.
struct Common(ServicePort);

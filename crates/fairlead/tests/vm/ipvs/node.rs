//! Fairlead in ipvs mode on a lab's node, and what IPVS has there.

use std::collections::BTreeMap;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};
use crate::watch::on_node;

/// Starts Fairlead, and waits until all is programmed.
pub(super) fn start<'a>(
    lab: &'a Lab,
    folder: &mut Folder,
    flags: &[&str],
) -> Result<Proxy<'a>, Failed> {
    let mut all = vec![
        Mode::Ipvs.at_once(),
        "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48".to_owned(),
    ];
    all.extend(flags.iter().map(|&flag| flag.to_owned()));
    let mut proxy = Proxy::start_in(Mode::Ipvs, lab, folder, &all)?;
    proxy.settle(folder)?;
    Ok(proxy)
}

/// A Service of port 80 and its endpoints, which answer at a port.
pub(super) fn web(name: &str, cluster_ip: &str, endpoints: &[&str], port: u16) -> [Value; 2] {
    let spec = json!({"clusterIP": cluster_ip, "ports": [{"port": 80}]});
    [service(name, &spec), slice(name, "TCP", port, endpoints)]
}

/// The same over UDP.
pub(super) fn dns(name: &str, cluster_ip: &str, endpoints: &[&str]) -> [Value; 2] {
    let spec = json!({"clusterIP": cluster_ip, "ports": [{"port": 53, "protocol": "UDP"}]});
    [service(name, &spec), slice(name, "UDP", 5353, endpoints)]
}

/// The Service with a scheduler of its own.
pub(super) fn scheduled(mut service: Value, scheduler: &str) -> Value {
    service["metadata"]["annotations"] = json!({"fairlead.dev/scheduler": scheduler});
    service
}

/// A real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Real {
    pub(super) weight: u32,
    pub(super) active: u32,
    pub(super) inactive: u32,
}

/// The real servers of a virtual one, such as `-t 10.96.0.1:80`; `None` where there is none.
pub(super) fn reals(lab: &Lab, server: &str) -> Result<Option<BTreeMap<String, Real>>, Failed> {
    let listed = listed(lab)?;
    // Three lines of heading, then that of the virtual server.
    let exists = lab.shown_by_ipvs()?.servers.contains_key(server);
    let all = listed.lines().skip_while(|line| !is(line, server));
    let own = all.skip(1).take_while(|line| line.starts_with("  ->"));
    let own = own.filter_map(real).collect();
    Ok(exists.then_some(own))
}

/// What users look at.
pub(super) fn listed(lab: &Lab) -> Result<String, Failed> {
    Ok(on_node(lab, "ipvsadm -Ln")?)
}

/// Gives a real server a weight, behind Fairlead's back.
pub(super) fn weigh(lab: &Lab, server: &str, real: &str, weight: u32) -> Result<(), Failed> {
    on_node(
        lab,
        &format!("ipvsadm -e {server} -r {real} -m -w {weight}"),
    )?;
    Ok(())
}

/// Whether a line is that of a virtual server: `TCP  10.96.0.1:80 rr`.
fn is(line: &str, server: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let protocol = match words.first() {
        Some(&"TCP") => "-t",
        Some(&"UDP") => "-u",
        _ => return false,
    };
    words
        .get(1)
        .is_some_and(|to| format!("{protocol} {to}") == server)
}

/// Reads `  -> 10.244.2.5:8080  Masq  1  0  3`.
fn real(line: &str) -> Option<(String, Real)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, address, _, weight, active, inactive] = words[..] else {
        return None;
    };
    let real = Real {
        weight: weight.parse().ok()?,
        active: active.parse().ok()?,
        inactive: inactive.parse().ok()?,
    };
    Some((address.to_owned(), real))
}

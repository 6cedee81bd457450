//! A configuration file that changes while connections are carried.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::endpoint::{CLOSE, Endpoint};
use super::{PATIENCE, USERSPACE, run_in, visit, web};
use crate::metrics::value;
use crate::objects::{service, slice};
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, hear};

tests! {
    what_changes_in_the_file_is_so_for_what_comes,
    whatever_the_bit_of_masquerading_nobody_is_led_in_circles,
}

const WEB: &str = "10.96.59.1:80";

fn write(path: &Path, fields: &str) -> Result<(), Failed> {
    const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: userspace\n";
    Ok(fs::write(path, format!("{HEAD}{fields}"))?)
}

fn start<'a>(lab: &'a Lab, folder: &mut Folder, config: &Path) -> Result<Proxy<'a>, Failed> {
    let flag = format!("--config={}", config.display());
    let mut proxy = Proxy::start_in(USERSPACE, lab, folder, &[flag])?;
    proxy.settle(folder)?;
    Ok(proxy)
}

/// The ports of listeners for TCP at this node's 127.0.0.1, but for those of the servers.
fn ports(lab: &Lab) -> Result<BTreeSet<u16>, Failed> {
    let listing = run_in(lab.node(), "ss", &["-Hlnt", "src", "127.0.0.1"])?;
    let port = |line: &str| {
        line.split_whitespace()
            .nth(3)?
            .rsplit_once(':')?
            .1
            .parse()
            .ok()
    };
    Ok(listing
        .lines()
        .filter_map(port)
        .filter(|port| *port != 10249)
        .collect())
}

fn what_changes_in_the_file_is_so_for_what_comes() -> Result<(), Failed> {
    let (lab, place) = (Lab::new()?, TempDir::new()?);
    let config = place.path().join("config.conf");
    let dns = json!({"clusterIP": "10.96.59.2", "ports": [{"protocol": "UDP", "port": 53}]});
    let mut folder = Folder::new(&web("web", "10.96.59.1", 8080, &["10.244.2.5"]))?;
    folder.apply(&service("dns", &dns))?;
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.5"]))?;
    write(&config, "portRange: 20000-20099\nudpIdleTimeout: 1h\n")?;
    let mut proxy = start(&lab, &mut folder, &config)?;
    let before = ports(&lab)?;
    assert!(
        before.iter().all(|port| (20_000..20_100).contains(port)),
        "{before:?}"
    );

    write(&config, "portRange: 21000-21099\nudpIdleTimeout: 200ms\n")?;
    for field in ["portRange", "udpIdleTimeout"] {
        hear(
            &proxy,
            &format!("{field} changed in the configuration file and is in effect"),
        )?;
    }
    folder.apply(&service(
        "more",
        &json!({"clusterIP": "10.96.59.3", "ports": [{"port": 80}]}),
    ))?;
    folder.apply(&slice("more", "TCP", 8080, &["10.244.2.6"]))?;
    proxy.settle(&mut folder)?;
    let new: BTreeSet<u16> = ports(&lab)?.difference(&before).copied().collect();
    assert!(
        !new.is_empty() && new.iter().all(|port| (21_000..21_100).contains(port)),
        "{new:?}"
    );
    for to in [WEB, "10.96.59.3:80"] {
        visit(&lab, Client::Pod, to)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    lab.ask(Client::Pod, Protocol::Udp, "10.96.59.2:53".parse()?, 5)?;
    let sessions = "fairlead_userspace_udp_sessions{namespace=\"default\",service=\"dns\"}";
    eventually(
        "clients are forgotten",
        || Ok(value(&lab, sessions)? == 0.0),
    )
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}

/// What the relay sends to endpoints is known by the bit of masquerading. It would otherwise be brought
/// back to the relay where an endpoint has the address of a Service. Bit 12 is that of packets for
/// listeners unless masquerading has it.
fn whatever_the_bit_of_masquerading_nobody_is_led_in_circles() -> Result<(), Failed> {
    let (lab, place) = (Lab::new()?, TempDir::new()?);
    let config = place.path().join("config.conf");
    let _endpoint = Endpoint::start(&lab, 5)?;
    // An external IP with the address and port of its endpoint.
    let spec = json!({
        "clusterIP": "10.96.59.1", "externalIPs": ["10.244.2.5"],
        "ports": [{"port": Endpoint::PORT}],
    });
    let mut folder = Folder::new(&[
        service("web", &spec),
        slice("web", "TCP", Endpoint::PORT, &["10.244.2.5"]),
    ])?;
    for bit in [14, 12] {
        write(&config, &format!("iptables: {{masqueradeBit: {bit}}}\n"))?;
        let proxy = start(&lab, &mut folder, &config)?;
        for to in ["10.96.59.1", "10.244.2.5"] {
            let met = || -> io::Result<u8> {
                let mut stream = TcpStream::connect((to, Endpoint::PORT))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(&[CLOSE])?;
                let mut answer = [0];
                stream.read_exact(&mut answer)?;
                Ok(answer[0])
            };
            let met = lab.node().run(met)?;
            let met = met.map_err(|error| proxy.failed(&format!("bit {bit}, {to}: {error}")))?;
            assert_eq!(met, 5);
        }
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

//! Userspace mode with clients, endpoints and whatever else there is on a node.

pub(super) mod changes;
pub(super) mod choices;
pub(super) mod clashes;
pub(super) mod crowds;
pub(super) mod datagrams;
pub(super) mod ending;
mod endpoint;
pub(super) mod endpoints;
pub(super) mod following;
pub(super) mod forgotten;
pub(super) mod mending;
pub(super) mod modes;
pub(super) mod sources;
pub(super) mod told;

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use fairlead_kernel::netns::Netns;
use fairlead_lab::{Client, Lab, Source};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};

/// As it is without further flags.
const USERSPACE: Mode = Mode::Userspace(Source::Masqueraded);

/// So long a client waits on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts it, and waits until everything is programmed.
fn start<'a>(lab: &'a Lab, folder: &mut Folder, flags: &[&str]) -> Result<Proxy<'a>, Failed> {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let mut proxy = Proxy::start_in(USERSPACE, lab, folder, &flags)?;
    proxy.settle(folder)?;
    Ok(proxy)
}

/// A Service of TCP at this address and port 80, and its endpoints on another node.
fn web(name: &str, cluster_ip: &str, port: u16, endpoints: &[&str]) -> [Value; 2] {
    let spec = json!({"clusterIP": cluster_ip, "ports": [{"port": 80}]});
    [service(name, &spec), slice(name, "TCP", port, endpoints)]
}

/// Who answered a client, and how long that took it from its first packet.
#[derive(Debug)]
struct Visit {
    endpoint: String,
    took: Duration,
}

/// Connects and hears who is there, however long that takes.
fn visit(lab: &Lab, client: Client, to: &str) -> Result<Visit, Failed> {
    let to: SocketAddr = to.parse()?;
    let ask = || -> io::Result<Visit> {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let endpoint = answer.split(' ').next().unwrap_or_default().to_owned();
        let took = begin.elapsed();
        Ok(Visit { endpoint, took })
    };
    let visit = lab.network().place_of(client).run(ask)?;
    let visit = visit.map_err(|error| format!("{client} at {to}: {error}"))?;
    match visit.endpoint.is_empty() {
        true => Err(format!("{client} at {to}: closed without an answer").into()),
        false => Ok(visit),
    }
}

/// Has a pod of another node treat whoever calls it as this verdict of nft(8) says.
fn treats_callers(lab: &Lab, endpoint: &str, verdict: &str) -> Result<(), Failed> {
    let rules = format!(
        "add table ip ill
         add chain ip ill input {{ type filter hook input priority 0; }}
         add rule ip ill input ip daddr {endpoint} tcp flags syn / syn,ack {verdict}"
    );
    run_in(lab.network().world(), "nft", &[&rules]).map(drop)
}

/// Whoever was treated otherwise is treated as usual.
fn recovers(lab: &Lab) -> Result<(), Failed> {
    run_in(lab.network().world(), "nft", &["delete table ip ill"]).map(drop)
}

/// Runs a command in a namespace, and returns what it prints. That it fails is an error.
fn run_in(place: &Netns, program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let output = place.run(|| Command::new(program).args(arguments).output())??;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program} {arguments:?}: {said}").into())
        }
    }
}

/// Rules and routes of both families that bring packets to this host.
fn routing(lab: &Lab) -> Result<String, Failed> {
    const LIST: &str = "for family in -4 -6; do
        ip $family rule; ip $family route show table all | grep 'table 4096'; done; true";
    run_in(lab.node(), "sh", &["-c", LIST])
}

fn signal(proxy: &Proxy<'_>, signal: Signal) -> Result<(), Failed> {
    Ok(kill(Pid::from_raw(proxy.child.id().cast_signed()), signal)?)
}

//! Chains that connections are dispatched to come and go with the numbers of endpoints.
//!
//! The kernel refuses to remove a chain that an element goes to (`EBUSY`), and before Linux 6.2 it
//! might hold on to it for a moment after the transaction in which the last element went. (Debian's
//! kernel has that mended since: 6.1.192 was seen to let go at once.)

use std::collections::BTreeSet;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::rig::{Folder, Proxy};

const CLUSTER_IP: &str = "10.96.0.1";

/// How long an unused chain may stay. Fairlead keeps it for a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// So often a connection misses one of a few endpoints by chance less than once in 100,000 times.
const TRIES_PER_ENDPOINT: usize = 14;

pub(crate) fn go_when_unused() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[service(), slice(2)])?;
    let flags = ["--min-sync-period=0s".to_owned()];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    for count in [2, 3, 1, 4, 0, 5, 2] {
        folder.apply(&slice(count))?;
        proxy.settle(&mut folder)?;
        only_what_is_used_remains(&lab, &proxy, count)?;
    }
    // Without waiting for the chains to go.
    for count in [3, 1, 4, 1, 5, 2, 6, 3, 0, 2] {
        folder.apply(&slice(count))?;
        proxy.settle(&mut folder)?;
    }
    only_what_is_used_remains(&lab, &proxy, 2)?;
    match proxy.log().contains("trying again") {
        false => Ok(()),
        true => Err(proxy.failed("the kernel refused something")),
    }
}

fn only_what_is_used_remains(lab: &Lab, proxy: &Proxy<'_>, count: u8) -> Result<(), Failed> {
    let expected = expected(count);
    let started = Instant::now();
    loop {
        let found = dispatch_chains(lab)?;
        if found == expected {
            break;
        }
        if started.elapsed() > PATIENCE {
            let what = format!("{count} endpoints: expected {expected:?}, found {found:?}");
            return Err(proxy.failed(&what));
        }
        sleep(Duration::from_millis(100));
    }
    let to = format!("{CLUSTER_IP}:80").parse()?;
    let tries = TRIES_PER_ENDPOINT * usize::from(count.max(1));
    let met = lab
        .ask(Client::Pod, Protocol::Tcp, to, tries)?
        .by_endpoint
        .len();
    match met == usize::from(count) {
        true => Ok(()),
        false => Err(proxy.failed(&format!("{count} endpoints: met {met}"))),
    }
}

/// Those of the Service's cluster IP and node port, and that of the one endpoint by which the
/// test sees that its changes have been taken in.
fn expected(count: u8) -> BTreeSet<String> {
    let own = [format!("lb-{count}"), format!("external-lb-{count}")];
    let own = own.into_iter().filter(|_| count > 0);
    own.chain(["lb-1".to_owned()]).collect()
}

fn dispatch_chains(lab: &Lab) -> Result<BTreeSet<String>, Failed> {
    let listed = lab.run_on_node(Command::new("nft").args(["list", "chains", "ip"]))?;
    let listed = String::from_utf8(listed.stdout)?;
    let names = listed
        .split_whitespace()
        .filter(|word| word.contains("lb-"));
    Ok(names.map(str::to_owned).collect())
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "tests"},
        "spec": {"type": "NodePort", "clusterIP": CLUSTER_IP,
                 "ports": [{"port": 80, "nodePort": 30080}]},
    })
}

fn slice(count: u8) -> Value {
    let endpoint = |n| json!({"addresses": [format!("10.244.2.{}", n + 10)]});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "web", "namespace": "tests",
                     "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
        "endpoints": (0..count).map(endpoint).collect::<Vec<_>>(),
    })
}

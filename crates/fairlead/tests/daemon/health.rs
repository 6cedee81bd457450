//! The servers: what load balancers, probes and people are told.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{ask, await_health, eventually, get, hear};

tests! {
    a_load_balancer_is_told_of_local_endpoints_in_each_family,
    a_health_check_node_port_follows_its_service,
    a_health_check_node_port_is_there_without_healthz,
    a_health_check_node_port_in_use_is_reported_and_tried_again,
    healthz_follows_the_node,
    what_cannot_be_read_is_to_be_seen,
    a_port_in_use_ends_the_process_if_asked_to,
    the_verbosity_changes_while_it_runs,
}

const PORT: u16 = 30_999;

/// The node's addresses, which node ports and health check node ports answer on.
const V4: &str = "192.0.2.10:30999";
const V6: &str = "[2001:db8:2::10]:30999";

fn a_load_balancer_is_told_of_local_endpoints_in_each_family() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[edge("Local"), endpoints(&["10.244.1.5", "10.244.1.6"], &[])])?;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    await_answer(&lab, &proxy, V4, Some(2))?;
    await_answer(&lab, &proxy, V6, Some(0))?;
    let elsewhere = get(&lab, "127.0.0.1:30999", "/");
    match elsewhere.is_empty() {
        true => proxy.end(Signal::SIGTERM),
        false => Err(proxy.failed(&format!("it answers where node ports do not: {elsewhere}"))),
    }
}

fn a_health_check_node_port_follows_its_service() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[edge("Local"), endpoints(&["10.244.1.5"], &["10.244.1.6"])])?;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    await_answer(&lab, &proxy, V4, Some(1))?;
    // What only terminates is served, and load balancers are to look for another node.
    folder.apply(&endpoints(&[], &["10.244.1.5", "10.244.1.6"]))?;
    await_answer(&lab, &proxy, V4, Some(0))?;
    folder.apply(&edge("Cluster"))?;
    await_answer(&lab, &proxy, V4, None)?;
    folder.apply(&edge("Local"))?;
    await_answer(&lab, &proxy, V4, Some(0))?;
    folder.delete("Service edge")?;
    await_answer(&lab, &proxy, V4, None)?;
    proxy.end(Signal::SIGTERM)
}

fn a_health_check_node_port_is_there_without_healthz() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[edge("Local"), endpoints(&["10.244.1.5"], &[])])?;
    let proxy = Proxy::start(&lab, &folder, &["--healthz-bind-address=".to_owned()])?;
    await_answer(&lab, &proxy, V4, Some(1))?;
    assert_eq!(get(&lab, "127.0.0.1:10256", "/healthz"), "");
    folder.apply(&endpoints(&[], &[]))?;
    await_answer(&lab, &proxy, V4, Some(0))?;
    proxy.end(Signal::SIGTERM)
}

fn a_health_check_node_port_in_use_is_reported_and_tried_again() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[edge("Local"), endpoints(&["10.244.1.5"], &[])])?;
    let taken = lab.node().run(|| TcpListener::bind(("0.0.0.0", PORT)))??;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    eventually("it says so", || {
        Ok(proxy.log().contains(
            "load balancers cannot ask for default/edge: its health check node port 30999 cannot be opened (IPv4): \
             listen on 192.0.2.10:30999: Address already in use",
        ))
    })?;
    await_answer(&lab, &proxy, V6, Some(0))?;
    drop(taken);
    await_answer(&lab, &proxy, V4, Some(1))?;
    proxy.end(Signal::SIGTERM)
}

fn healthz_follows_the_node() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[])?;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    await_health(&lab, &proxy, "/readyz", 200)?;
    await_health(&lab, &proxy, "/healthz", 200)?;
    let node = |taints: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}, "spec": {"taints": taints}});
    let taint = |key: &str| json!([{"key": key, "effect": "NoSchedule"}]);
    folder.apply(&node(taint("ToBeDeletedByClusterAutoscaler")))?;
    await_health(&lab, &proxy, "/healthz", 503)?;
    let body = get(&lab, "127.0.0.1:10256", "/healthz");
    assert!(
        body.contains(r#""nodeEligible":false,"healthy":true"#),
        "{body}"
    );
    await_health(&lab, &proxy, "/livez", 200)?;
    folder.apply(&node(taint("something-else")))?;
    await_health(&lab, &proxy, "/healthz", 200)?;
    proxy.end(Signal::SIGTERM)
}

fn what_cannot_be_read_is_to_be_seen() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[])?;
    folder.write("typo.yaml", b"kind: [Service")?;
    let proxy = Proxy::start(&lab, &folder, &[])?;
    for (server, page, text) in [
        ("127.0.0.1:10256", "/readyz", r#""sourceProblems":true"#),
        ("127.0.0.1:10249", "/statusz", "typo.yaml"),
    ] {
        eventually(&format!("{page} tells of it"), || {
            Ok(get(&lab, server, page).contains(text))
        })
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    // What it is called is not for everybody who reaches the node.
    let ready = get(&lab, "127.0.0.1:10256", "/readyz");
    assert!(!ready.contains("typo.yaml"), "{ready}");
    proxy.end(Signal::SIGTERM)
}

fn a_port_in_use_ends_the_process_if_asked_to() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&[])?;
    for (port, server) in [(10_256, "health"), (10_249, "metrics")] {
        let taken = lab
            .node()
            .run(|| TcpListener::bind(("127.0.0.1", port)))??;
        let mut command = Command::new(FAIRLEAD);
        command
            .args([
                "run",
                "--hostname-override=node1",
                "--bind-address-hard-fail",
            ])
            .arg("--manifests")
            .arg(folder.path());
        let output = lab.node().run(|| command.output())??;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let complaint = format!("the {server} server cannot listen on ");
        assert!(said.contains(&complaint), "{said}");
        drop(taken);
    }
    Ok(())
}

fn the_verbosity_changes_while_it_runs() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[])?;
    let mut proxy = Proxy::start(&lab, &folder, &["--profiling".to_owned()])?;
    proxy.settle(&mut folder)?;
    proxy.settle(&mut folder)?;
    assert!(!proxy.log().contains("DEBUG"), "{}", proxy.log());
    let answer = ask(&lab, "127.0.0.1:10249", "PUT", "/debug/flags/v", "4");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nsuccessfully set klog.logging.verbosity to 4\n"),
        "{answer}"
    );
    proxy.settle(&mut folder)?;
    hear(&proxy, "DEBUG")?;
    proxy.end(Signal::SIGTERM)
}

/// A load balancer's Service in both families.
fn edge(policy: &str) -> Value {
    service(
        "edge",
        &json!({
            "type": "LoadBalancer", "clusterIP": "10.96.20.9",
            "clusterIPs": ["10.96.20.9", "fd00:10:96::9"], "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"port": 80, "nodePort": 30_080}],
            "externalTrafficPolicy": policy,
            "healthCheckNodePort": if policy == "Local" { json!(PORT) } else { Value::Null },
        }),
    )
}

/// IPv4 endpoints on this node, some of them terminating.
fn endpoints(ready: &[&str], terminating: &[&str]) -> Value {
    let mut slice = slice("edge", "TCP", 8080, &[]);
    let endpoint = |ready: bool| {
        move |address: &&str| {
            json!({"addresses": [address], "nodeName": "node1",
                   "conditions": {"ready": ready, "serving": true, "terminating": !ready}})
        }
    };
    let all = ready.iter().map(endpoint(true));
    slice["endpoints"] = all.chain(terminating.iter().map(endpoint(false))).collect();
    slice
}

/// Waits until a server answers with this weight, and well if it is above 0; or, without one, until
/// nobody answers.
fn await_answer(
    lab: &Lab,
    proxy: &Proxy<'_>,
    server: &str,
    weight: Option<usize>,
) -> Result<(), Failed> {
    let first_line = match weight {
        None => "",
        Some(0) => "HTTP/1.1 503 Service Unavailable",
        Some(_) => "HTTP/1.1 200 OK",
    };
    let server: SocketAddr = server.parse()?;
    let server = server.to_string();
    let mut last = String::new();
    let is = eventually(
        &format!("{server} answers {first_line:?} {weight:?}"),
        || {
            last = get(lab, &server, "/");
            Ok(match weight {
                None => last.is_empty(),
                Some(weight) => {
                    last.starts_with(first_line)
                        && last.contains(&format!("X-Load-Balancing-Endpoint-Weight: {weight}\r\n"))
                        && last.contains(&format!("\"localEndpoints\": {weight},"))
                }
            })
        },
    );
    is.map(drop).map_err(|error| {
        let what = error.message().unwrap_or_default();
        proxy.failed(&format!("{what}; the last answer was {last:?}"))
    })
}

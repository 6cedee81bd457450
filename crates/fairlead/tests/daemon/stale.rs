//! Tracked connections that outlive what they were made for.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::flows::{
    Clients, client, connected, flows, flows_from, heard, heard_soon, is_asked, leads,
};
use crate::objects::{service, slice};
use crate::rig::follow::MARKER;
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    flows_to_an_endpoint_that_is_gone_are_deleted,
    flows_to_another_port_of_an_endpoint_are_deleted,
    flows_to_a_service_that_has_no_endpoint_any_more_are_deleted,
    flows_that_began_before_their_service_are_deleted,
    flows_that_outlived_a_restart_are_deleted,
    flows_to_a_service_that_went_while_nobody_ran_are_deleted,
    flows_to_destinations_that_were_given_up_are_deleted,
    flows_to_node_ports_on_localhost_are_deleted,
    flows_of_pods_and_of_the_node_follow_the_endpoints_here,
    sctp_associations_with_an_endpoint_that_is_gone_are_deleted,
}

/// Where DNS is asked for.
const ASKED: [&str; 4] = [
    "10.96.22.1:53",
    "192.0.2.10:30530",
    "203.0.113.22:53",
    "203.0.113.122:53",
];

fn flows_to_an_endpoint_that_is_gone_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, &ASKED, 12)?;
    // Nobody's business: straight to pods, one of them the endpoint that will be gone, and TCP.
    for pod in ["10.244.2.6:5353", "10.244.2.9:5353"] {
        lab.ask(Client::Pod, Protocol::Udp, pod.parse()?, 3)?;
    }
    lab.ask(Client::Pod, Protocol::Tcp, "10.244.2.6:8080".parse()?, 3)?;
    let unrelated = || -> Result<BTreeSet<String>, Failed> {
        Ok(flows(&lab)?
            .into_iter()
            .filter(|flow| !ASKED.iter().any(|to| leads(flow, to)))
            // Its connections are refused, and forgotten in their own time.
            .filter(|flow| !flow.contains(MARKER))
            .collect())
    };
    let (others, kept) = (unrelated()?, flows_from(&lab, "10.244.2.5")?);
    assert!(!kept.is_empty() && !flows_from(&lab, "10.244.2.6")?.is_empty());

    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.5"]))?;
    proxy.settle(&mut folder)?;
    let gone = || Ok(flows_from(&lab, "10.244.2.6")?.is_empty());
    eventually("the flows are gone", gone).map_err(|_| proxy.failed("flows stay"))?;
    assert_eq!(flows_from(&lab, "10.244.2.5")?, kept);
    assert_eq!(others.difference(&unrelated()?).next(), None);
    clients.all_meet("10.244.2.5 5353")?;
    proxy.end(Signal::SIGTERM)
}

fn flows_to_another_port_of_an_endpoint_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, &ASKED, 4)?;
    folder.apply(&slice("dns", "UDP", 9376, &["10.244.2.5"]))?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.5 9376", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn flows_to_a_service_that_has_no_endpoint_any_more_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, &ASKED, 4)?;
    folder.apply(&slice("dns", "UDP", 5353, &[]))?;
    proxy.settle(&mut folder)?;
    eventually("no flow is left", || Ok(!is_asked(&lab, &ASKED)?))
        .map_err(|_| proxy.failed("flows stay"))?;
    for (socket, asked) in &clients.0 {
        let refused =
            heard(socket).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        assert!(refused, "{asked} is not refused");
    }
    // And one that comes back is met.
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.7"]))?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.7 5353", &proxy)?;
    // The Service itself goes.
    folder.delete("Service dns")?;
    proxy.settle(&mut folder)?;
    eventually("no flow is translated", || {
        Ok(flows_from(&lab, "10.244.2.7")?.is_empty())
    })
    .map_err(|_| proxy.failed("flows stay"))?;
    proxy.end(Signal::SIGTERM)
}

fn flows_that_began_before_their_service_are_deleted() -> Result<(), Failed> {
    let lab = lab()?;
    let mut folder = Folder::new(&[])?;
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let asked = "203.0.113.22:53";
    let client = Clients(vec![(client(&lab, asked)?, asked.to_owned())]);
    assert!(
        heard_soon(&client.0[0].0).is_err(),
        "there is no Service yet"
    );
    assert!(
        is_asked(&lab, &[asked])?,
        "the node has to know the flow:\n{}",
        on_node(&lab, "conntrack -L")?
    );
    for object in dns_objects() {
        folder.apply(&object)?;
    }
    proxy.settle(&mut folder)?;
    client.eventually_meet("5353", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn flows_that_outlived_a_restart_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, &ASKED, 6)?;
    drop(proxy);
    folder.apply(&slice("dns", "UDP", 5353, &["10.244.2.5"]))?;
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    clients.eventually_meet("10.244.2.5 5353", &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn flows_to_a_service_that_went_while_nobody_ran_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let _clients = Clients::ask(&lab, &ASKED, 6)?;
    drop(proxy);
    folder.delete("Service dns")?;
    assert!(is_asked(&lab, &ASKED)?, "they live on meanwhile");
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    eventually("no flow is left", || Ok(!is_asked(&lab, &ASKED)?))
        .map_err(|_| proxy.failed("flows stay"))?;
    proxy.end(Signal::SIGTERM)
}

/// The endpoint goes on serving, but not for these.
fn flows_to_destinations_that_were_given_up_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let clients = Clients::ask(&lab, &ASKED, 6)?;
    let [cluster_ip, given_up @ ..] = ASKED;
    let [mut dns, _] = dns_objects();
    dns["spec"]["externalIPs"] = json!(["203.0.113.23"]);
    dns["status"] = ingress("203.0.113.123");
    dns["spec"]["ports"][0]["nodePort"] = json!(30531);
    folder.apply(&dns)?;
    proxy.settle(&mut folder)?;
    eventually("no flow is left", || Ok(!is_asked(&lab, &given_up)?))
        .map_err(|_| proxy.failed("flows stay"))?;
    assert!(is_asked(&lab, &[cluster_ip])?, "what is served stays");
    drop(clients);
    proxy.end(Signal::SIGTERM)
}

fn flows_to_node_ports_on_localhost_are_deleted() -> Result<(), Failed> {
    let (lab, mut folder) = (lab()?, dns()?);
    let flags = ["--nodeport-addresses=localhost".to_owned()];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let asked = "127.0.0.1:30530";
    let socket = lab.node().run(|| UdpSocket::bind("127.0.0.1:0"))??;
    let client = Clients(vec![(connected(socket, asked)?, asked.to_owned())]);
    client.eventually_meet("5353", &proxy)?;
    let met = heard(&client.0[0].0)?;
    let other = match met.contains("10.244.2.5") {
        true => "10.244.2.6",
        false => "10.244.2.5",
    };
    folder.apply(&slice("dns", "UDP", 5353, &[other]))?;
    proxy.settle(&mut folder)?;
    client.eventually_meet(other, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

/// They begin while the only endpoints are elsewhere, where the policy leads nobody.
fn flows_of_pods_and_of_the_node_follow_the_endpoints_here() -> Result<(), Failed> {
    const FAMILIES: [[&str; 5]; 2] = [
        [
            "IPv4",
            "0.0.0.0:0",
            "10.96.22.3:53",
            "10.244.2.5",
            "10.244.1.",
        ],
        [
            "IPv6",
            "[::]:0",
            "[fd00:10:96::3]:53",
            "fd00:10:244:2::5",
            "fd00:10:244:1:8000::",
        ],
    ];
    let lab = lab()?;
    let spec = json!({
        "clusterIP": "10.96.22.3", "clusterIPs": ["10.96.22.3", "fd00:10:96::3"],
        "ipFamilies": ["IPv4", "IPv6"], "internalTrafficPolicy": "Local",
        "ports": [{"protocol": "UDP", "port": 53}],
    });
    let mut folder = Folder::new(&[service("dns", &spec)])?;
    for [family, _, _, elsewhere, _] in FAMILIES {
        folder.apply(&slice_of(family, &[elsewhere]))?;
    }
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    let mut clients = FAMILIES.map(|_| Clients(Vec::new()));
    for ([_, any, asked, ..], clients) in FAMILIES.iter().zip(&mut clients) {
        for from in [Client::Pod, Client::Node] {
            let place = lab.network().place_of(from);
            let client = connected(place.run(|| UdpSocket::bind(any))??, asked)?;
            assert!(heard_soon(&client).is_err(), "{from} meets a pod elsewhere");
            clients.0.push((client, (*asked).to_owned()));
        }
    }
    for number in [150, 151] {
        let pods = FAMILIES.map(|[.., pods]| format!("{pods}{number}"));
        for ([family, _, _, elsewhere, _], pod) in FAMILIES.iter().zip(&pods) {
            let mut slice = slice_of(family, &[elsewhere, pod]);
            slice["endpoints"][1]["nodeName"] = json!("node1");
            folder.apply(&slice)?;
        }
        proxy.settle(&mut folder)?;
        for (clients, pod) in clients.iter().zip(&pods) {
            clients.eventually_meet(&format!("{pod} 5353"), &proxy)?;
        }
    }
    proxy.end(Signal::SIGTERM)
}

/// One of two slices of the Service `dns`.
fn slice_of(family: &str, addresses: &[&str]) -> serde_json::Value {
    let mut slice = slice("dns", "UDP", 5353, addresses);
    slice["metadata"]["name"] = json!(format!("dns-{}", family.to_lowercase()));
    slice["addressType"] = json!(family);
    slice
}

/// The node is told of them: not every kernel that tests run on has SCTP.
fn sctp_associations_with_an_endpoint_that_is_gone_are_deleted() -> Result<(), Failed> {
    let lab = lab()?;
    let spec = json!({
        "clusterIP": "10.96.22.2", "ports": [{"protocol": "SCTP", "port": 3868}],
    });
    let [both, one] = [&["10.244.2.5", "10.244.2.6"][..], &["10.244.2.5"]];
    let hss = |endpoints| slice("hss", "SCTP", 3868, endpoints);
    let mut folder = Folder::new(&[service("hss", &spec), hss(both)])?;
    let mut proxy = Proxy::start(&lab, &folder, &flags())?;
    proxy.settle(&mut folder)?;
    for (endpoint, port) in both.iter().zip([40_001, 40_002]) {
        let told = format!(
            "conntrack -I -p sctp -s 198.51.100.7 -d 10.96.22.2 --sport {port} --dport 3868 \
             --dst-nat {endpoint} --state ESTABLISHED --timeout 600 \
             --orig-vtag 1 --reply-vtag 2"
        );
        on_node(&lab, &told)?;
        assert_eq!(flows_from(&lab, endpoint)?.len(), 1);
    }
    folder.apply(&hss(one))?;
    proxy.settle(&mut folder)?;
    eventually("the association is gone", || {
        Ok(flows_from(&lab, "10.244.2.6")?.is_empty())
    })
    .map_err(|_| proxy.failed("it stays"))?;
    assert_eq!(flows_from(&lab, "10.244.2.5")?.len(), 1);
    proxy.end(Signal::SIGTERM)
}

/// A lab whose node forgets no flow by itself, as it otherwise does after half a minute.
fn lab() -> Result<Lab, Failed> {
    let lab = Lab::new()?;
    for timeout in ["udp_timeout", "udp_timeout_stream"] {
        let line = format!("sysctl -qw net.netfilter.nf_conntrack_{timeout}=3600");
        on_node(&lab, &line)?;
    }
    Ok(lab)
}

/// What comes from outside is masqueraded, so that answers come back by the node.
fn flags() -> [String; 1] {
    ["--cluster-cidr=10.244.0.0/16".to_owned()]
}

fn dns() -> Result<Folder, Failed> {
    Folder::new(&dns_objects())
}

fn dns_objects() -> [serde_json::Value; 2] {
    let spec = json!({
        "type": "LoadBalancer", "clusterIP": "10.96.22.1", "externalIPs": ["203.0.113.22"],
        "ports": [{"protocol": "UDP", "port": 53, "nodePort": 30530}],
    });
    let mut dns = service("dns", &spec);
    dns["status"] = ingress("203.0.113.122");
    [
        dns,
        slice("dns", "UDP", 5353, &["10.244.2.5", "10.244.2.6"]),
    ]
}

/// The status of a Service that a load balancer leads to.
fn ingress(address: &str) -> serde_json::Value {
    json!({ "loadBalancer": { "ingress": [{ "ip": address }] } })
}

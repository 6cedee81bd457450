//! What changes in the API is to be seen in traffic.

use fairlead_lab::Client;
use fairlead_lab::api_server::{ApiServer, Resource, StreamingLists};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::fixture::Cluster;
use crate::objects::{service, slice};
use crate::tests;

tests! {
    services_and_slices_come_change_and_go,
    a_server_without_streaming_lists_is_listed_in_pages,
    services_of_others_are_not_ours,
}

fn services_and_slices_come_change_and_go() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let (server, proxy) = (&cluster.server, cluster.proxy(&[])?);
    cluster.serves(&proxy, &["10.244.2.5"])?;
    // A second slice, a pod less, none at all, and all of them again.
    let mut second = slice("web", "TCP", 8080, &["10.244.1.130"]);
    second["metadata"]["name"] = json!("web-second");
    server.apply(&second)?;
    cluster.serves(&proxy, &["10.244.1.130", "10.244.2.5"])?;
    assert!(server.delete(Resource::EndpointSlices, "default", "web"));
    cluster.serves(&proxy, &["10.244.1.130"])?;
    assert!(server.delete(Resource::EndpointSlices, "default", "web-second"));
    cluster.serves(&proxy, &[])?;
    cluster.web(&["10.244.2.6", "10.244.2.7"])?;
    cluster.serves(&proxy, &["10.244.2.6", "10.244.2.7"])?;
    // Another address, another port, a node port, and the end.
    let spec = json!({"clusterIP": "10.96.50.2", "type": "NodePort",
                      "ports": [{"port": 8000, "nodePort": 30_500}]});
    server.apply(&service("web", &spec))?;
    let pods = ["10.244.2.6", "10.244.2.7"];
    cluster.meets(&proxy, Client::Pod, "10.96.50.2:8000", &pods)?;
    cluster.meets(&proxy, Client::Outside, "192.0.2.10:30500", &pods)?;
    cluster.serves(&proxy, &[])?;
    assert!(server.delete(Resource::Services, "default", "web"));
    cluster.meets(&proxy, Client::Pod, "10.96.50.2:8000", &[])?;
    cluster.meets(&proxy, Client::Outside, "192.0.2.10:30500", &[])?;
    proxy.end(Signal::SIGTERM)
}

fn a_server_without_streaming_lists_is_listed_in_pages() -> Result<(), Failed> {
    let builder = ApiServer::builder()
        .streaming_lists(StreamingLists::Refused)
        .page_limit(2);
    let cluster = Cluster::of(builder)?;
    for n in 2..7 {
        let (name, ip) = (format!("web-{n}"), format!("10.96.50.{n}"));
        let spec = json!({"clusterIP": ip, "ports": [{"port": 80}]});
        cluster.server.apply(&service(&name, &spec))?;
        let pod = format!("10.244.2.{n}");
        cluster.server.apply(&slice(&name, "TCP", 8080, &[&pod]))?;
    }
    let proxy = cluster.proxy(&[])?;
    for n in 2..7 {
        let (to, pod) = (format!("10.96.50.{n}:80"), format!("10.244.2.{n}"));
        cluster.meets(&proxy, Client::Pod, &to, &[&pod])?;
    }
    let lists = cluster.server.requests();
    let pages = lists
        .iter()
        .filter(|one| one.parameter("continue").is_some());
    assert!(pages.count() >= 4, "{lists:#?}");
    proxy.end(Signal::SIGTERM)
}

fn services_of_others_are_not_ours() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let (server, proxy) = (&cluster.server, cluster.proxy(&[])?);
    cluster.serves(&proxy, &["10.244.2.5"])?;
    // Labels that take objects out of what is watched, and Services that nobody proxies.
    for (resource, field, value) in [
        (
            Resource::Services,
            "/metadata/labels",
            json!({"service.kubernetes.io/service-proxy-name": ""}),
        ),
        (
            Resource::EndpointSlices,
            "/metadata/labels",
            json!({"kubernetes.io/service-name": "web", "service.kubernetes.io/headless": ""}),
        ),
        (Resource::Services, "/spec/clusterIP", json!("None")),
        (Resource::Services, "/spec/type", json!("ExternalName")),
    ] {
        let web = server
            .object(resource, "default", "web")
            .ok_or("there is no such object")?;
        let mut other = web.clone();
        let (parent, field) = field.rsplit_once('/').unwrap_or_default();
        other[&parent[1..]][field] = value;
        server.apply(&other)?;
        cluster.serves(&proxy, &[])?;
        server.apply(&web)?;
        cluster.serves(&proxy, &["10.244.2.5"])?;
    }
    proxy.end(Signal::SIGTERM)
}

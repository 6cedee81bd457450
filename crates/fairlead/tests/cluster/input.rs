//! What people get wrong, and what they are told: what it is, where, and what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use fairlead_lab::Client;
use fairlead_lab::api_server::{ApiServer, Credentials, Fault, On, Resource};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixture::{Cluster, ended, run};
use crate::objects::{service, slice};
use crate::rig::Proxy;
use crate::tests;
use crate::watch::{await_health, hear};

tests! {
    a_configuration_with_mistakes,
    a_kubeconfig_that_is_no_use,
    a_kubeconfig_that_points_nowhere,
    an_authority_that_does_not_vouch_for_the_server,
    a_token_without_rights,
    a_port_that_is_in_use,
    objects_that_cannot_be_followed,
}

fn a_configuration_with_mistakes() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("config.conf");
    let name = path.display();
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    for (rest, said) in [
        (
            "mode: nftables\nnftables:\n  masqeradeAll: true\n",
            format!("{name}:5: nftables.masqeradeAll: unknown field; did you mean masqueradeAll?"),
        ),
        (
            "nodePortAddress: [10.0.0.0/8]\n",
            format!("{name}:3: nodePortAddress: unknown field; did you mean nodePortAddresses?"),
        ),
        (
            "nftables: {syncPeriod: 30}\n",
            format!("{name}:3: nftables.syncPeriod: "),
        ),
        ("mode: [nftables\n", format!("{name}:")),
        (
            "mode: nftable\n",
            "there is no mode \"nftable\"; set it to nftables, iptables, ipvs or userspace, or leave it empty"
                .to_owned(),
        ),
        (
            "healthzBindAddress: 0.0.0.0:99999\noomScoreAdj: 2000\n",
            format!("{name}:4: oomScoreAdj: 2000 must be within the range [-1000, 1000]"),
        ),
    ] {
        fs::write(&path, format!("{head}{rest}"))?;
        let mut command = run();
        command.arg("--config").arg(&path);
        fails(&cluster, command, &said)?;
    }
    let mut command = run();
    command.args(["--config", "/nowhere/config.conf"]);
    fails(
        &cluster,
        command,
        "--config: /nowhere/config.conf cannot be read: No such file or directory",
    )
}

fn a_kubeconfig_that_is_no_use() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("kubeconfig");
    let name = path.display().to_string();
    let by = |path: &Path| {
        let mut command = run();
        command.arg("--kubeconfig").arg(path);
        command
    };
    fails(
        &cluster,
        by(&path),
        &format!("fairlead: the kubeconfig {name} cannot be read: No such file or directory"),
    )?;
    let own: Value = serde_json::from_str(&fs::read_to_string(cluster.server.kubeconfig())?)?;
    let without = |pointer: &str| {
        let mut config = own.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap_or_default();
        let parent = config.pointer_mut(parent).and_then(Value::as_object_mut);
        parent.map(|parent| parent.remove(field));
        config
    };
    let mut other_context = own.clone();
    other_context["current-context"] = json!("production");
    let mut other_user = own.clone();
    other_user["contexts"][0]["context"]["user"] = json!("somebody");
    for (config, said) in [
        (
            other_context,
            vec!["does not lead to a cluster: ", "production"],
        ),
        (other_user, vec!["does not lead to a cluster: ", "somebody"]),
        (
            without("/current-context"),
            vec!["current-context is not set"],
        ),
        (
            without("/clusters/0/cluster/server"),
            vec!["the cluster of the current context has no server"],
        ),
        (json!("just text"), vec!["does not lead to a cluster: "]),
    ] {
        fs::write(&path, config.to_string())?;
        for said in said {
            fails(&cluster, by(&path), said)?;
        }
        fails(&cluster, by(&path), &name)?;
    }
    let mut nothing_said = run();
    nothing_said.env_remove("KUBERNETES_SERVICE_HOST");
    fails(
        &cluster,
        nothing_said,
        "give --kubeconfig or --master, or run as a pod",
    )?;
    let mut not_an_address = run();
    not_an_address.args(["--master", "https://"]);
    fails(
        &cluster,
        not_an_address,
        "write it like https://192.0.2.1:6443",
    )
}

fn a_kubeconfig_that_points_nowhere() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("kubeconfig");
    let own = fs::read_to_string(cluster.server.kubeconfig())?;
    let (url, nowhere) = (cluster.server.url(), "http://127.0.0.1:1");
    fs::write(&path, own.replace(&url, nowhere))?;
    let proxy = cluster.proxy_by(&path, &[])?;
    hear(&proxy, &format!("{nowhere} cannot be reached: "))?;
    hear(&proxy, "Connection refused")?;
    await_health(&cluster.lab, &proxy, "/readyz", 503)?;
    cluster.metrics_say(&proxy, "/statusz", "cannot be reached")?;
    assert!(!cluster.is_programmed()?);
    proxy.end(Signal::SIGTERM)
}

fn an_authority_that_does_not_vouch_for_the_server() -> Result<(), Failed> {
    let cluster = Cluster::of(ApiServer::builder().tls().authenticate())?;
    let kubeconfig = cluster.server.kubeconfig_with_wrong_authority()?;
    let proxy = cluster.proxy_by(&kubeconfig, &[])?;
    hear(&proxy, "invalid peer certificate")?;
    cluster.metrics_say(&proxy, "/statusz", "invalid peer certificate")?;
    assert!(!cluster.is_programmed()?);
    proxy.end(Signal::SIGTERM)
}

fn a_token_without_rights() -> Result<(), Failed> {
    for (resource, said) in [
        (Resource::Services, "services"),
        (Resource::EndpointSlices, "endpointslices"),
        (Resource::Nodes, "nodes"),
        (Resource::ServiceCidrs, "servicecidrs"),
    ] {
        let cluster = Cluster::of(ApiServer::builder().authenticate())?;
        cluster
            .server
            .fail(On::resource(resource), Fault::Forbidden);
        let proxy = cluster.proxy(&[])?;
        hear(&proxy, &format!("may not list {said}: "))?;
        hear(
            &proxy,
            &format!("grant list and watch on {said}, see deploy/"),
        )?;
        cluster.metrics_say(&proxy, "/statusz", &format!("may not list {said}: "))?;
        cluster.metrics_say(
            &proxy,
            "/metrics",
            r#"rest_client_requests_total{code="403""#,
        )?;
        proxy.end(Signal::SIGTERM)?;
    }
    let cluster = Cluster::of(ApiServer::builder().tls().authenticate())?;
    let kubeconfig = cluster.server.kubeconfig_with(Credentials::None)?;
    let proxy = cluster.proxy_by(&kubeconfig, &[])?;
    hear(&proxy, "who we are is not accepted")?;
    proxy.end(Signal::SIGTERM)?;
    // Without the right to make events everything else works.
    let cluster = Cluster::of(ApiServer::builder().authenticate())?;
    cluster
        .server
        .fail(On::resource(Resource::Events), Fault::Forbidden);
    let proxy = cluster.proxy(&[])?;
    hear(
        &proxy,
        "the event Starting is dropped: may not create events.events.k8s.io; grant create and patch on events",
    )?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    proxy.end(Signal::SIGTERM)
}

fn a_port_that_is_in_use() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let lab = &cluster.lab;
    for (port, server, reason) in [
        (10_256, "health", "FailedToStartProxierHealthcheck"),
        (10_249, "metrics", "FailedToStartMetricServer"),
    ] {
        let taken = lab
            .node()
            .run(|| TcpListener::bind(("127.0.0.1", port)))??;
        let complaint = format!("{server} server on ");
        let proxy = cluster.proxy(&[])?;
        hear(&proxy, &complaint)?;
        hear(&proxy, "Address already in use")?;
        cluster.serves(&proxy, &["10.244.2.5"])?;
        proxy.end(Signal::SIGTERM)?;
        let mut proxy = cluster.proxy(&["--bind-address-hard-fail"])?;
        hear(
            &proxy,
            &format!("fairlead: the {server} server cannot listen on "),
        )?;
        ended(&mut proxy)?;
        let events = cluster.server.objects(Resource::Events);
        let told = events.iter().find(|event| event["reason"] == reason);
        let event = told.ok_or_else(|| proxy.failed(&format!("no event {reason}: {events:?}")))?;
        assert_eq!(event["type"], "Warning");
        assert_eq!(event["action"], "StartKubeProxy");
        assert_eq!(event["regarding"]["name"], "node1");
        drop(taken);
    }
    Ok(())
}

fn objects_that_cannot_be_followed() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let server = &cluster.server;
    let ip = |last: u8| format!("10.96.51.{last}");
    server.apply(&json!({"kind": "Service", "metadata": {"name": "no-spec"}}))?;
    server.apply(&service("no-ports", &json!({"clusterIP": ip(1)})))?;
    server.apply(&service(
        "word",
        &json!({"clusterIP": ip(2), "ports": [{"port": "web"}]}),
    ))?;
    server.apply(&service(
        "range",
        &json!({"clusterIP": ip(3), "ports": [{"port": 70_000}]}),
    ))?;
    server.apply(&service(
        "number",
        &json!({"clusterIP": 7, "ports": [{"port": 80}]}),
    ))?;
    let mut family = slice("family", "TCP", 8080, &["fd00:10:244:2::5", "10.244.2.5"]);
    family["ports"][0]["port"] = json!(8080);
    server.apply(&family)?;
    server.apply(&service(
        "family",
        &json!({"clusterIP": ip(4), "ports": [{"port": 80}]}),
    ))?;
    let mut shape = slice("shape", "TCP", 8080, &[]);
    shape["endpoints"] = json!("none");
    server.apply(&shape)?;
    let mut kind = slice("kind", "TCP", 8080, &["10.244.2.5"]);
    kind["addressType"] = json!("IPX");
    server.apply(&kind)?;
    let proxy = cluster.proxy(&[])?;
    for said in [
        "Service default/no-spec: missing field `spec`",
        "Service default/no-ports: spec.ports: has no port",
        "Service default/word: spec.ports[0].port: invalid type: string \"web\"",
        "Service default/range: spec.ports[0].port: 70000 is not between 1 and 65535",
        "Service default/number: spec.clusterIP: invalid type: ",
        "EndpointSlice default/family: endpoints[0].addresses[0]: fd00:10:244:2::5 is not IPv4",
        "EndpointSlice default/shape: endpoints: invalid type: string \"none\"",
        "EndpointSlice default/kind: addressType: ",
    ] {
        hear(&proxy, said)?;
    }
    // What is right goes on, in the very same objects too.
    cluster.serves(&proxy, &["10.244.2.5"])?;
    cluster.meets(&proxy, Client::Pod, "10.96.51.4:80", &["10.244.2.5"])?;
    // One that was right stays as it was, until it can be read again.
    let mut web = slice("web", "TCP", 8080, &["10.244.2.6"]);
    web["endpoints"][0]["addresses"] = json!({"first": "10.244.2.6"});
    server.apply(&web)?;
    hear(
        &proxy,
        "EndpointSlice default/web: endpoints[0].addresses: invalid type: map",
    )?;
    hear(
        &proxy,
        "it stays as it was until it can be read (mend the object)",
    )?;
    cluster.settle(&proxy)?;
    cluster.still_serves(&proxy, "10.244.2.5")?;
    cluster.web(&["10.244.2.6"])?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    proxy.end(Signal::SIGTERM)
}

/// That a command ends with exit code 1 and says this, and leaves no rules.
fn fails(cluster: &Cluster, command: Command, said: &str) -> Result<(), Failed> {
    let mut proxy = Proxy::run(&cluster.lab, command)?;
    hear(&proxy, said)?;
    ended(&mut proxy)?;
    match cluster.is_programmed()? {
        false => Ok(()),
        true => Err(proxy.failed("it left rules")),
    }
}

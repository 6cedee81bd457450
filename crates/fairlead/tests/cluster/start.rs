//! From nothing to the first rules, and from old rules to new ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use fairlead_lab::api_server::{ApiServer, Fault, On, Resource};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::fixture::{Cluster, run};
use crate::rig::{FAIRLEAD, Proxy};
use crate::tests;
use crate::watch::{await_health, eventually, hear, listing, on_node};

tests! {
    nothing_is_programmed_before_everything_was_listed,
    what_a_restart_finds_stays_while_the_api_is_away,
    the_api_is_found_by_its_address,
    a_pod_finds_the_api_by_its_service_account,
    sigterm_ends_it_and_cleanup_leaves_nothing,
}

fn nothing_is_programmed_before_everything_was_listed() -> Result<(), Failed> {
    for (resource, waits_for, missing) in [
        (
            Resource::Services,
            "all Services and EndpointSlices",
            r#""missing":["Services","first sync"]"#,
        ),
        (
            Resource::EndpointSlices,
            "all Services and EndpointSlices",
            r#""missing":["EndpointSlices","first sync"]"#,
        ),
        (
            Resource::Nodes,
            "the Node object and its status.addresses",
            r#""missing":["first sync"]"#,
        ),
    ] {
        let cluster = Cluster::new()?;
        let asked = On::resource(resource);
        cluster.server.fail(asked.clone(), Fault::Hang);
        let proxy = cluster.proxy(&[])?;
        hear(&proxy, &format!("waiting for {waits_for}"))?;
        cluster.health_says(&proxy, "/readyz", missing)?;
        await_health(&cluster.lab, &proxy, "/readyz", 503)?;
        await_health(&cluster.lab, &proxy, "/livez", 200)?;
        if cluster.is_programmed()? {
            return Err(proxy.failed(&format!("there are rules without {resource:?}")));
        }
        cluster.server.heal_on(&asked);
        cluster.serves(&proxy, &["10.244.2.5"])?;
        await_health(&cluster.lab, &proxy, "/readyz", 200)?;
        await_health(&cluster.lab, &proxy, "/healthz", 200)?;
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn what_a_restart_finds_stays_while_the_api_is_away() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let proxy = cluster.proxy(&[])?;
    cluster.settle(&proxy)?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    let programmed = listing(&cluster.lab)?;
    proxy.end(Signal::SIGTERM)?;
    cluster.server.go_down()?;
    cluster.web(&["10.244.2.6"])?;
    let proxy = cluster.proxy(&[])?;
    hear(&proxy, "cannot be reached: ")?;
    cluster.metrics_say(&proxy, "/statusz", "cannot be reached: ")?;
    cluster.still_serves(&proxy, "10.244.2.5")?;
    if listing(&cluster.lab)? != programmed {
        return Err(proxy.failed("the rules are others"));
    }
    cluster.server.go_on()?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    await_health(&cluster.lab, &proxy, "/readyz", 200)?;
    proxy.end(Signal::SIGTERM)
}

fn the_api_is_found_by_its_address() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let url = cluster.server.url();
    let address = cluster.server.address().to_string();
    for master in [&url, &address] {
        let mut command = run();
        command.args(["--master", master]);
        let proxy = Proxy::run(&cluster.lab, command)?;
        cluster.settle(&proxy)?;
        hear(&proxy, &format!("following {url}"))?;
        proxy.end(Signal::SIGTERM)?;
    }
    // It counts more than what the kubeconfig says.
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let own = fs::read_to_string(cluster.server.kubeconfig())?;
    fs::write(&kubeconfig, own.replace(&url, "http://192.0.2.99:1"))?;
    let proxy = cluster.proxy_by(&kubeconfig, &["--master", &url])?;
    cluster.settle(&proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn a_pod_finds_the_api_by_its_service_account() -> Result<(), Failed> {
    let cluster = Cluster::of(ApiServer::builder().tls().authenticate())?;
    let account = tempfile::tempdir()?;
    symlink(cluster.server.authority(), account.path().join("ca.crt"))?;
    symlink(cluster.server.token_file(), account.path().join("token"))?;
    fs::write(account.path().join("namespace"), "kube-system")?;
    let address = cluster.server.address();
    let mut command = Command::new("unshare");
    let place = "mount -t tmpfs none /run && mkdir -p /var/run/secrets/kubernetes.io \
                 && ln -s \"$1\" /var/run/secrets/kubernetes.io/serviceaccount && shift && exec \"$@\"";
    command
        .args(["--mount", "sh", "-c", place, "sh"])
        .arg(account.path())
        .args([FAIRLEAD, "run", "--hostname-override=node1"])
        .env("KUBERNETES_SERVICE_HOST", address.ip().to_string())
        .env("KUBERNETES_SERVICE_PORT", address.port().to_string());
    let proxy = Proxy::run(&cluster.lab, command)?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    hear(&proxy, &format!("following {}", cluster.server.url()))?;
    // As kubelets do with tokens, long before the old one ends.
    cluster.server.rotate_token()?;
    cluster.server.reset_connections();
    cluster.web(&["10.244.2.6"])?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    proxy.end(Signal::SIGTERM)
}

fn sigterm_ends_it_and_cleanup_leaves_nothing() -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let proxy = cluster.proxy(&[])?;
    cluster.settle(&proxy)?;
    let children = format!("/proc/{0}/task/{0}/children", proxy.child.id());
    let children = fs::read_to_string(children).unwrap_or_default();
    assert_eq!(children, "", "it started processes");
    proxy.end(Signal::SIGTERM)?;
    let server = &cluster.server;
    eventually("its connections are gone", || {
        Ok(server.watches().is_empty())
    })?;
    assert!(cluster.is_programmed()?, "the rules stay");
    on_node(&cluster.lab, &format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(on_node(&cluster.lab, "nft list ruleset")?, "");
    // With the API out of reach, too.
    cluster.server.go_down()?;
    let proxy = cluster.proxy(&[])?;
    hear(&proxy, "cannot be reached: ")?;
    proxy.end(Signal::SIGTERM)
}

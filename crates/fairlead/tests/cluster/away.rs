//! The API server fails, hangs, refuses or is not there: the last rules stay, and what changed
//! meanwhile arrives afterwards.

use std::time::Duration;

use fairlead_lab::Client;
use fairlead_lab::api_server::{ApiServer, Credentials, Fault, On, Resource};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::fixture::Cluster;
use crate::objects::{service, slice};
use crate::rig::Proxy;
use crate::tests;
use crate::watch::{await_health, get, hear, within};

tests! {
    a_server_that_hangs_is_noticed_within_a_minute,
    a_server_that_is_down,
    a_server_that_fails_in_every_way,
    a_token_that_expires,
    what_happened_in_a_gap_that_the_server_forgot,
}

fn a_server_that_is_down() -> Result<(), Failed> {
    let cluster = Cluster::of(ApiServer::builder())?;
    let proxy = cluster.proxy(&[])?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    connected(&cluster, &proxy, true)?;
    cluster.server.go_down()?;
    let url = cluster.server.url();
    hear(&proxy, &format!("{url} cannot be reached: "))?;
    connected(&cluster, &proxy, false)?;
    cluster.metrics_say(&proxy, "/statusz", "cannot be reached: ")?;
    cluster.metrics_say(
        &proxy,
        "/metrics",
        r#"rest_client_requests_total{code="<error>""#,
    )?;
    stays(&cluster, &proxy)?;
    cluster.server.go_on()?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    hear(&proxy, &format!("{url} answers again after "))?;
    connected(&cluster, &proxy, true)?;
    is_well(&cluster, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn a_server_that_hangs_is_noticed_within_a_minute() -> Result<(), Failed> {
    let builder = ApiServer::builder().bookmarks_every(Duration::from_mins(10));
    let cluster = Cluster::of(builder)?;
    let proxy = cluster.proxy(&[])?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    cluster.server.hang();
    stays(&cluster, &proxy)?;
    within(Duration::from_mins(1), "it notices", || {
        Ok(proxy.log().contains("and no watch says anything"))
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    connected(&cluster, &proxy, false)?;
    cluster.health_says(&proxy, "/readyz", r#""sourceProblems":true"#)?;
    stays(&cluster, &proxy)?;
    cluster.server.go_on()?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    is_well(&cluster, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn a_server_that_fails_in_every_way() -> Result<(), Failed> {
    let error = |code, retry_after| Fault::Error { code, retry_after };
    for (fault, said) in [
        (Fault::Reset, "cannot be reached"),
        (Fault::Close, "cannot be reached"),
        (error(500, None), "500"),
        (error(429, Some(1)), "the server is too busy to watch "),
        (Fault::Forbidden, "may not "),
        (Fault::Html, "failed"),
    ] {
        let cluster = Cluster::of(ApiServer::builder())?;
        let proxy = cluster.proxy(&[])?;
        cluster.serves(&proxy, &["10.244.2.5"])?;
        cluster.server.fail(On::everything(), fault.clone());
        // What happened meanwhile is forgotten, and so all has to be listed again.
        cluster.server.compact();
        cluster.server.reset_connections();
        hear(&proxy, said).map_err(|error| {
            let message = error.message().unwrap_or_default();
            Failed::from(format!("{fault:?}: {message}"))
        })?;
        connected(&cluster, &proxy, false)?;
        cluster.health_says(&proxy, "/readyz", r#""sourceProblems":true"#)?;
        stays(&cluster, &proxy)?;
        cluster.server.heal()?;
        cluster.serves(&proxy, &["10.244.2.6"])?;
        is_well(&cluster, &proxy)?;
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn a_token_that_expires() -> Result<(), Failed> {
    let cluster = Cluster::of(ApiServer::builder().tls().authenticate())?;
    let kubeconfig = cluster.server.kubeconfig_with(Credentials::TokenFile)?;
    let proxy = cluster.proxy_by(&kubeconfig, &[])?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    cluster.server.expire_token();
    cluster.server.reset_connections();
    hear(&proxy, "who we are is not accepted")?;
    cluster.metrics_say(&proxy, "/statusz", "who we are is not accepted")?;
    cluster.metrics_say(
        &proxy,
        "/metrics",
        r#"rest_client_requests_total{code="401""#,
    )?;
    stays(&cluster, &proxy)?;
    cluster.server.publish_token()?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    is_well(&cluster, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn what_happened_in_a_gap_that_the_server_forgot() -> Result<(), Failed> {
    for builder in [ApiServer::builder(), ApiServer::builder().gone_as_http()] {
        let cluster = Cluster::of(builder)?;
        let server = &cluster.server;
        let spec = json!({"clusterIP": "10.96.50.2", "ports": [{"port": 80}]});
        server.apply(&service("gone", &spec))?;
        server.apply(&slice("gone", "TCP", 8080, &["10.244.2.7"]))?;
        let proxy = cluster.proxy(&[])?;
        cluster.serves(&proxy, &["10.244.2.5"])?;
        cluster.meets(&proxy, Client::Pod, "10.96.50.2:80", &["10.244.2.7"])?;
        server.go_down()?;
        connected(&cluster, &proxy, false)?;
        server.delete(Resource::Services, "default", "gone");
        cluster.web(&["10.244.2.6"])?;
        server.compact();
        server.go_on()?;
        cluster.serves(&proxy, &["10.244.2.6"])?;
        cluster.meets(&proxy, Client::Pod, "10.96.50.2:80", &[])?;
        is_well(&cluster, &proxy)?;
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

/// A change that cannot be heard changes nothing, and the node is ready all the same.
fn stays(cluster: &Cluster, proxy: &Proxy<'_>) -> Result<(), Failed> {
    cluster.web(&["10.244.2.6"])?;
    cluster.still_serves(proxy, "10.244.2.5")?;
    await_health(&cluster.lab, proxy, "/readyz", 200)?;
    await_health(&cluster.lab, proxy, "/healthz", 200)
}

/// Nothing is wrong any more.
fn is_well(cluster: &Cluster, proxy: &Proxy<'_>) -> Result<(), Failed> {
    // Each kind comes back after a pause of its own.
    let all_well = || {
        Ok(get(&cluster.lab, "127.0.0.1:10256", "/readyz").contains(r#""sourceProblems":false"#))
    };
    within(
        Duration::from_mins(1),
        "/readyz has no problems of the source",
        all_well,
    )
    .map(drop)
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))
}

/// Waits until metrics say that the watches of Services and slices are under way, or are not.
fn connected(cluster: &Cluster, proxy: &Proxy<'_>, connected: bool) -> Result<(), Failed> {
    for resource in ["services", "endpointslices"] {
        let value = u8::from(connected);
        let line = format!("fairlead_watch_connected{{resource=\"{resource}\"}} {value}\n");
        cluster.metrics_say(proxy, "/metrics", &line)?;
    }
    Ok(())
}

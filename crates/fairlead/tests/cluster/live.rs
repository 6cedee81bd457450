//! The configuration file changes while it runs: what can change does, what cannot is said, and a
//! file that is broken changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fairlead_lab::Client;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{Cluster, WEB, run};
use crate::objects::service;
use crate::rig::Proxy;
use crate::tests;
use crate::watch::{eventually, hear};

tests! {
    what_can_change_does_however_the_file_changes,
    what_needs_a_restart_is_said,
    a_broken_file_keeps_what_was,
}

/// Where the node port answers, if it does.
const NODE_PORT: &str = "192.0.2.10:30502";

/// A cluster with a node port, and a folder for the file.
fn cluster() -> Result<(Cluster, TempDir), Failed> {
    let cluster = Cluster::new()?;
    let spec = json!({"clusterIP": "10.96.50.1", "type": "NodePort",
                      "ports": [{"port": 80, "nodePort": 30_502}]});
    cluster.server.apply(&service("web", &spec))?;
    Ok((cluster, tempfile::tempdir()?))
}

/// The file's contents with these fields.
fn text(cluster: &Cluster, fields: &str) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n\
         clientConnection: {{kubeconfig: {}}}\n{fields}",
        cluster.server.kubeconfig().display()
    )
}

fn start<'a>(cluster: &'a Cluster, file: &Path) -> Result<Proxy<'a>, Failed> {
    let mut command = run();
    command.arg("--config").arg(file);
    Proxy::run(&cluster.lab, command)
}

fn what_can_change_does_however_the_file_changes() -> Result<(), Failed> {
    let (cluster, folder) = cluster()?;
    let file = volume(
        &folder,
        1,
        &text(&cluster, "nodePortAddresses: [198.18.0.0/15]\n"),
    )?;
    let proxy = start(&cluster, &file)?;
    let pods = ["10.244.2.5"];
    cluster.serves(&proxy, &pods)?;
    cluster.meets(&proxy, Client::Outside, NODE_PORT, &[])?;

    // The volume is exchanged.
    volume(
        &folder,
        2,
        &text(&cluster, "nodePortAddresses: [192.0.2.0/24]\n"),
    )?;
    cluster.meets(&proxy, Client::Outside, NODE_PORT, &pods)?;
    hear(
        &proxy,
        "nodePortAddresses changed in the configuration file and is in effect",
    )?;

    // The file is replaced by another.
    let met = cluster.meets(&proxy, Client::Pod, WEB, &pods)?;
    assert_eq!(
        met.masqueraded, 0,
        "all are taken for local where nothing tells"
    );
    let strangers = "nodePortAddresses: [192.0.2.0/24]\ndetectLocalMode: ClusterCIDR\nclusterCIDR: 10.250.0.0/16\n";
    let other = folder.path().join("other");
    fs::write(&other, text(&cluster, strangers))?;
    fs::rename(&other, &file)?;
    eventually("pods are strangers", || {
        Ok(cluster.meets(&proxy, Client::Pod, WEB, &pods)?.kept == 0)
    })?;
    cluster.metrics_say(&proxy, "/configz", r#""clusterCIDR":"10.250.0.0/16""#)?;

    // The file is written in place.
    assert!(!proxy.log().contains("DEBUG"), "{}", proxy.log());
    let loud = format!("{strangers}logging: {{verbosity: 4}}\n");
    fs::write(&file, text(&cluster, &loud))?;
    hear(
        &proxy,
        "logging.verbosity changed in the configuration file and is in effect",
    )?;
    cluster.settle(&proxy)?;
    hear(&proxy, "DEBUG")?;
    proxy.end(Signal::SIGTERM)
}

fn what_needs_a_restart_is_said() -> Result<(), Failed> {
    let (cluster, folder) = cluster()?;
    let file = folder.path().join("config.conf");
    fs::write(&file, text(&cluster, ""))?;
    let proxy = start(&cluster, &file)?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    cluster.metrics_say(&proxy, "/metrics", "fairlead_config_needs_restart 0\n")?;
    let moved = "healthzBindAddress: 127.0.0.1:11256\nnodePortAddresses: [198.18.0.0/15]\n";
    fs::write(&file, text(&cluster, moved))?;
    hear(
        &proxy,
        "healthzBindAddress is \"127.0.0.1:11256\" in the configuration file; that needs a restart",
    )?;
    cluster.metrics_say(
        &proxy,
        "/configz",
        r#"{"healthzBindAddress":"127.0.0.1:11256"}"#,
    )?;
    cluster.metrics_say(
        &proxy,
        "/configz",
        r#""healthzBindAddress":"0.0.0.0:10256""#,
    )?;
    cluster.metrics_say(&proxy, "/metrics", "fairlead_config_needs_restart 1\n")?;
    // What can change in the same file did.
    cluster.meets(&proxy, Client::Outside, NODE_PORT, &[])?;
    cluster.health_says(&proxy, "/readyz", r#""ready":true"#)?;
    // Taken back, nothing waits for a restart.
    fs::write(&file, text(&cluster, ""))?;
    cluster.metrics_say(&proxy, "/metrics", "fairlead_config_needs_restart 0\n")?;
    cluster.meets(&proxy, Client::Outside, NODE_PORT, &["10.244.2.5"])?;
    proxy.end(Signal::SIGTERM)
}

fn a_broken_file_keeps_what_was() -> Result<(), Failed> {
    let (cluster, folder) = cluster()?;
    let file = folder.path().join("config.conf");
    fs::write(&file, text(&cluster, ""))?;
    let proxy = start(&cluster, &file)?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    let name = file.display();
    for (fields, said) in [
        (
            "nodePortAddress: [198.18.0.0/15]\n",
            format!("{name}:5: nodePortAddress: unknown field; did you mean nodePortAddresses?"),
        ),
        ("nodePortAddresses: [198.18.0.0/15\n", format!("{name}:")),
        (
            "nodePortAddresses: [198.18.0.0/15]\nmode: iptables\n",
            format!("{name}:"),
        ),
    ] {
        fs::write(&file, text(&cluster, fields))?;
        hear(
            &proxy,
            &format!("the configuration stays as it was: invalid configuration: {said}"),
        )?;
        cluster.settle(&proxy)?;
        cluster.meets(&proxy, Client::Outside, NODE_PORT, &["10.244.2.5"])?;
    }
    fs::remove_file(&file)?;
    hear(
        &proxy,
        &format!("--config: {name} cannot be read: No such file or directory"),
    )?;
    fs::write(
        &file,
        text(&cluster, "nodePortAddresses: [198.18.0.0/15]\n"),
    )?;
    cluster.meets(&proxy, Client::Outside, NODE_PORT, &[])?;
    proxy.end(Signal::SIGTERM)
}

/// Mounts a generation of a ConfigMap as kubelets do, and returns where the file is.
fn volume(folder: &TempDir, generation: u32, text: &str) -> Result<PathBuf, Failed> {
    let (at, data) = (folder.path(), format!("..{generation}"));
    fs::create_dir(at.join(&data))?;
    fs::write(at.join(&data).join("config.conf"), text)?;
    symlink(&data, at.join("..data_tmp"))?;
    fs::rename(at.join("..data_tmp"), at.join("..data"))?;
    let file = at.join("config.conf");
    if !file.is_symlink() {
        symlink("..data/config.conf", &file)?;
    }
    Ok(file)
}

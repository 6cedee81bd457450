//! The DaemonSet of kubeadm with nothing changed but the image: its ConfigMap, its command line,
//! its paths.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use fairlead_lab::api_server::ApiServer;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::fixture::{Cluster, ended};
use crate::rig::{FAIRLEAD, Proxy};
use crate::tests;
use crate::watch::{await_health, get, hear};

tests! {
    it_runs_with_nothing_changed_but_the_image,
    each_mode_can_be_asked_for,
    a_mode_that_is_not_built_is_refused,
}

/// The data of the ConfigMap `kube-system/kube-proxy`, as kubeadm 1.36 generates them.
const CONFIG: &str = include_str!("kubeadm/config.conf");
const KUBECONFIG: &str = include_str!("kubeadm/kubeconfig.conf");

/// Puts into place what the pod has: the volumes and the program. Then it is what its command line
/// says: `/usr/local/bin/kube-proxy --config=... --hostname-override=$(NODE_NAME)`.
const POD: &str = r#"
for folder in /run /var/lib /usr/local/bin; do mount -t tmpfs none $folder || exit 9; done
mkdir -p /var/run/secrets/kubernetes.io || exit 9
ln -s "$1" /var/run/secrets/kubernetes.io/serviceaccount || exit 9
ln -s "$2" /var/lib/kube-proxy || exit 9
ln -s "$3" /usr/local/bin/kube-proxy || exit 9
exec /usr/local/bin/kube-proxy --config=/var/lib/kube-proxy/config.conf --hostname-override=node1
"#;

/// The pod's volumes.
struct Pod {
    account: TempDir,
    config: TempDir,
}

impl Pod {
    fn new(cluster: &Cluster, mode: &str) -> Result<Pod, Failed> {
        let (account, config) = (tempfile::tempdir()?, tempfile::tempdir()?);
        symlink(cluster.server.authority(), account.path().join("ca.crt"))?;
        symlink(cluster.server.token_file(), account.path().join("token"))?;
        fs::write(account.path().join("namespace"), "kube-system")?;
        let mode = format!("\nmode: \"{mode}\"\n");
        assert!(CONFIG.contains("\nmode: \"\"\n"));
        // As kubelets mount ConfigMaps.
        let data = config.path().join("..2026_01_02");
        fs::create_dir(&data)?;
        fs::write(
            data.join("config.conf"),
            CONFIG.replace("\nmode: \"\"\n", &mode),
        )?;
        let url = cluster.server.url();
        let kubeconfig = KUBECONFIG.replace("https://192.0.2.5:6443", &url);
        fs::write(data.join("kubeconfig.conf"), kubeconfig)?;
        symlink("..2026_01_02", config.path().join("..data"))?;
        for file in ["config.conf", "kubeconfig.conf"] {
            symlink(format!("..data/{file}"), config.path().join(file))?;
        }
        Ok(Pod { account, config })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", POD, "sh"])
            .args([self.account.path(), self.config.path()])
            .arg(FAIRLEAD);
        command
    }
}

fn cluster() -> Result<Cluster, Failed> {
    Cluster::of(ApiServer::builder().tls().authenticate())
}

fn it_runs_with_nothing_changed_but_the_image() -> Result<(), Failed> {
    let cluster = cluster()?;
    let pod = Pod::new(&cluster, "")?;
    let proxy = Proxy::run(&cluster.lab, pod.command())?;
    cluster.serves(&proxy, &["10.244.2.5"])?;
    await_health(&cluster.lab, &proxy, "/healthz", 200)?;
    await_health(&cluster.lab, &proxy, "/livez", 200)?;
    // The token is a projected one, which the kubelet exchanges.
    cluster.server.rotate_token()?;
    cluster.server.reset_connections();
    cluster.web(&["10.244.2.6"])?;
    cluster.serves(&proxy, &["10.244.2.6"])?;
    let configz = get(&cluster.lab, "127.0.0.1:10249", "/configz");
    for part in [
        r#""kubeconfig":"/var/lib/kube-proxy/kubeconfig.conf""#,
        r#""clusterCIDR":"10.244.0.0/16""#,
        r#""maxPerCore":32768"#,
    ] {
        if !configz.contains(part) {
            return Err(proxy.failed(&format!("{part} is not in {configz}")));
        }
    }
    let wrong = ["ERROR", "unknown", "deprecated"];
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| wrong.iter().any(|word| line.contains(word)));
    match line {
        None => proxy.end(Signal::SIGTERM),
        Some(line) => Err(proxy.failed(&format!("it complains: {line}"))),
    }
}

/// kind writes iptables.
fn each_mode_can_be_asked_for() -> Result<(), Failed> {
    for asked in ["nftables", "iptables"] {
        let cluster = cluster()?;
        let pod = Pod::new(&cluster, asked)?;
        let proxy = Proxy::run(&cluster.lab, pod.command())?;
        cluster.serves(&proxy, &["10.244.2.5"])?;
        let mode = get(&cluster.lab, "127.0.0.1:10249", "/proxyMode");
        assert!(mode.ends_with(&format!("\r\n\r\n{asked}")), "{mode}");
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn a_mode_that_is_not_built_is_refused() -> Result<(), Failed> {
    let cluster = cluster()?;
    let pod = Pod::new(&cluster, "ebpf")?;
    let mut proxy = Proxy::run(&cluster.lab, pod.command())?;
    hear(
        &proxy,
        "/var/lib/kube-proxy/config.conf:52: mode: mode ebpf is not available yet; \
         set it to nftables, iptables, ipvs or userspace, or leave it empty",
    )?;
    ended(&mut proxy)?;
    assert!(!cluster.is_programmed()?);
    Ok(())
}

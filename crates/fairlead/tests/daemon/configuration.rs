//! The command line of kube-proxy, and a configuration file that changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{await_health, eventually, get, on_node};

tests! {
    under_the_name_of_kube_proxy_it_takes_its_flags,
    what_is_printed_need_not_be_read,
    what_needs_privilege_can_be_done_alone,
    a_file_that_changes_comes_into_effect,
    another_mode_waits_for_a_restart,
    a_config_map_that_changes_is_noticed,
}

/// A folder with the binary under the name of kube-proxy.
fn kube_proxy() -> Result<(TempDir, PathBuf), Failed> {
    let folder = TempDir::new()?;
    let path = folder.path().join("kube-proxy");
    symlink(FAIRLEAD, &path)?;
    Ok((folder, path))
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn under_the_name_of_kube_proxy_it_takes_its_flags() -> Result<(), Failed> {
    let (folder, program) = kube_proxy()?;
    let run = |flags: &[&str]| Command::new(&program).args(flags).output();
    let version = said(&run(&["--version"])?);
    assert_eq!(
        version,
        concat!("fairlead ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert!(said(&run(&["--version=raw"])?).contains("kube-proxy 1.36"));

    let wrong = run(&["stray", "--v=much", "--clustercidr=x"])?;
    assert_eq!(wrong.status.code(), Some(1));
    for part in ["\"stray\"", "-v: \"much\"", "--clustercidr: unknown flag"] {
        assert!(said(&wrong).contains(part), "{}", said(&wrong));
    }
    let wrong = run(&["--cluster-cidr=x", "--oom-score-adj=9999"])?;
    for part in ["--cluster-cidr: \"x\"", "--oom-score-adj: 9999"] {
        assert!(said(&wrong).contains(part), "{}", said(&wrong));
    }

    let written = folder.path().join("written.yaml");
    let write = format!("--write-config-to={}", written.display());
    let output = run(&[&write, "--cluster_cidr", "10.244.0.0/16", "-v2"])?;
    assert!(output.status.success(), "{}", said(&output));
    let config: Value = yaml_serde::from_str(&fs::read_to_string(&written)?)?;
    assert_eq!(config["clusterCIDR"], "10.244.0.0/16");
    assert_eq!(config["logging"]["verbosity"], 2);
    Ok(())
}

fn what_is_printed_need_not_be_read() -> Result<(), Failed> {
    for arguments in [
        ["run", "--help"],
        ["run", "--version"],
        ["render", "--help"],
    ] {
        // Nobody reads at the other end.
        let (_, nobody) = std::io::pipe()?;
        let output = Command::new(FAIRLEAD)
            .args(arguments)
            .stdout(nobody)
            .output()?;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    Ok(())
}

fn what_needs_privilege_can_be_done_alone() -> Result<(), Failed> {
    let ((_folder, program), lab) = (kube_proxy()?, Lab::new()?);
    let timeout = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
    let run = |flag: &str| {
        let mut command = Command::new(&program);
        command.args([flag, "--conntrack-tcp-timeout-close-wait=77s"]);
        lab.run_on_node(&mut command)
    };
    run("--init-only")?;
    assert_eq!(on_node(&lab, &format!("cat {timeout}"))?.trim(), "77");
    assert!(!on_node(&lab, "nft list tables")?.contains("fairlead"));

    let manifests = Folder::new(&[])?;
    let mut command = Command::new(FAIRLEAD);
    command.args(["run", "--once", "--hostname-override=node1", "--manifests"]);
    lab.run_on_node(command.arg(manifests.path()))?;
    assert!(on_node(&lab, "nft list tables")?.contains("fairlead"));
    run("--cleanup")?;
    assert!(!on_node(&lab, "nft list tables")?.contains("fairlead"));
    Ok(())
}

const HEAD: &str =
    "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n";

fn write(path: &Path, fields: &str) -> Result<(), Failed> {
    Ok(fs::write(path, format!("{HEAD}{fields}"))?)
}

fn start<'a>(lab: &'a Lab, folder: &Folder, config: &Path) -> Result<Proxy<'a>, Failed> {
    let flag = format!("--config={}", config.display());
    let proxy = Proxy::start(lab, folder, &[flag])?;
    await_health(lab, &proxy, "/livez", 200)?;
    eventually("it shows its configuration", || Ok(!configz(lab).is_null()))?;
    Ok(proxy)
}

/// The body of a page of the metrics server.
fn page(lab: &Lab, path: &str) -> String {
    let answer = get(lab, "127.0.0.1:10249", path);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    body.to_owned()
}

fn configz(lab: &Lab) -> Value {
    serde_json::from_str(&page(lab, "/configz")).unwrap_or_default()
}

fn effective(lab: &Lab, pointer: &str) -> Value {
    let config = configz(lab)["kubeproxy.config.k8s.io"].take();
    config.pointer(pointer).cloned().unwrap_or_default()
}

fn a_file_that_changes_comes_into_effect() -> Result<(), Failed> {
    let (lab, folder, place) = (Lab::new()?, Folder::new(&[])?, TempDir::new()?);
    let config = place.path().join("config.conf");
    write(&config, "nftables: {syncPeriod: 20s}\nportRange: 1-2\n")?;
    let proxy = start(&lab, &folder, &config)?;
    assert_eq!(effective(&lab, "/nftables/syncPeriod"), "20s");

    let changed = "nftables: {syncPeriod: 40s}\nportRange: 1-2\nenableProfiling: true\nlogging: {verbosity: 4}\n";
    write(&config, changed)?;
    eventually("the period changes", || {
        Ok(effective(&lab, "/nftables/syncPeriod") == "40s")
    })?;
    assert_eq!(effective(&lab, "/enableProfiling"), false);
    assert_eq!(effective(&lab, "/logging/verbosity"), 4);
    let waiting = configz(&lab)["fairlead.restartNeeded"].take();
    assert_eq!(waiting, serde_json::json!({"enableProfiling": true}));
    assert!(page(&lab, "/metrics").contains("\nfairlead_config_needs_restart 1\n"));

    write(&config, "nftables: {syncPeriod: 50s, sinkPeriod: 1s}\n")?;
    let typo = "nftables.sinkPeriod: unknown field; did you mean syncPeriod?";
    eventually("the typo is told", || Ok(proxy.log().contains(typo)))?;
    assert_eq!(effective(&lab, "/nftables/syncPeriod"), "40s");

    write(
        &config,
        "nftables: {syncPeriod: 50s}\nlogging: {verbosity: 4}\n",
    )?;
    eventually("the period changes again", || {
        Ok(effective(&lab, "/nftables/syncPeriod") == "50s")
    })?;
    assert!(page(&lab, "/metrics").contains("\nfairlead_config_needs_restart 0\n"));
    let log = proxy.log();
    assert_eq!(log.matches("portRange has no effect").count(), 1, "{log}");
    proxy.end(Signal::SIGTERM)
}

/// With all that is said of modes, or the one that runs would lose what it was told.
fn another_mode_waits_for_a_restart() -> Result<(), Failed> {
    let (lab, folder, place) = (Lab::new()?, Folder::new(&[])?, TempDir::new()?);
    let config = place.path().join("config.conf");
    write(&config, "nftables: {syncPeriod: 20s, masqueradeBit: 10}\n")?;
    let proxy = start(&lab, &folder, &config)?;
    let fields = "iptables: {syncPeriod: 40s, masqueradeBit: 9}\nlogging: {verbosity: 4}\n";
    let wanted = HEAD.replace("nftables", "iptables") + fields;
    fs::write(&config, wanted)?;
    eventually("the rest is in effect", || {
        Ok(effective(&lab, "/logging/verbosity") == 4)
    })?;
    let mut configz = configz(&lab);
    let waiting = configz["fairlead.restartNeeded"].take();
    assert_eq!(waiting, serde_json::json!({"mode": "iptables"}));
    let running = &configz["kubeproxy.config.k8s.io"];
    assert_eq!(running["mode"], "nftables");
    assert_eq!(running["nftables"]["syncPeriod"], "20s");
    assert_eq!(running["nftables"]["masqueradeBit"], 10);
    assert_eq!(page(&lab, "/proxyMode"), "nftables");
    proxy.end(Signal::SIGTERM)
}

/// As the kubelet changes a volume: a link to another folder takes the place of the one before.
fn a_config_map_that_changes_is_noticed() -> Result<(), Failed> {
    let (lab, folder, place) = (Lab::new()?, Folder::new(&[])?, TempDir::new()?);
    let at = |name: &str| place.path().join(name);
    for (version, period) in [("..1", "20s"), ("..2", "40s")] {
        fs::create_dir(at(version))?;
        let fields = format!("nftables: {{syncPeriod: {period}}}\n");
        write(&at(version).join("config.conf"), &fields)?;
    }
    symlink("..1", at("..data"))?;
    symlink("..data/config.conf", at("config.conf"))?;
    let proxy = start(&lab, &folder, &at("config.conf"))?;
    assert_eq!(effective(&lab, "/nftables/syncPeriod"), "20s");
    symlink("..2", at("..data_tmp"))?;
    fs::rename(at("..data_tmp"), at("..data"))?;
    eventually("the new one is in effect", || {
        Ok(effective(&lab, "/nftables/syncPeriod") == "40s")
    })?;
    proxy.end(Signal::SIGTERM)
}

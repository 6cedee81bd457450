//! The kernel parameters of the node.

use std::fs;
use std::process::{Command, Output};

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    parameters_are_set_in_the_nodes_own_namespace,
    a_read_only_proc_is_told_and_the_rules_are_programmed,
    loopback_is_routed_as_long_as_node_ports_answer_there,
    loopback_is_routed_for_who_comes_after_the_initialization,
}

/// One that each network namespace has, that the kernel has at a minute and the default
/// configuration wants at an hour.
const CLOSE_WAIT: &str = "net.netfilter.nf_conntrack_tcp_timeout_close_wait";

/// What node ports on localhost need.
const ROUTE_LOCALNET: &str = "net.ipv4.conf.all.route_localnet";

fn parameters_are_set_in_the_nodes_own_namespace() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let (before, elsewhere) = (
        close_wait(&lab)?,
        Command::new("sysctl").arg(CLOSE_WAIT).output()?,
    );
    assert_ne!(before, "3600", "so nothing would be tested");
    let output = once(&lab, "exec \"$@\"")?;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(close_wait(&lab)?, "3600");
    let after = Command::new("sysctl").arg(CLOSE_WAIT).output()?;
    assert_eq!(after.stdout, elsewhere.stdout);
    Ok(())
}

fn a_read_only_proc_is_told_and_the_rules_are_programmed() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let before = close_wait(&lab)?;
    let read_only = "mount --bind /proc /proc && mount -o remount,bind,ro /proc && exec \"$@\"";
    let output = once(&lab, read_only)?;
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let warnings = |of: &str| {
        let about = |line: &&str| line.contains("WARN") && line.contains(of);
        said.lines().filter(about).count()
    };
    let close_wait_there = CLOSE_WAIT.replace('.', "/");
    assert_eq!(warnings(&close_wait_there), 1, "{said}");
    assert_eq!(warnings("oom_score_adj"), 1, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert_eq!(close_wait(&lab)?, before);
    let tables = on_node(&lab, "nft list tables")?;
    assert!(tables.contains("table ip fairlead"), "{tables}\n{said}");
    Ok(())
}

fn loopback_is_routed_as_long_as_node_ports_answer_there() -> Result<(), Failed> {
    let (lab, mut folder, etc) = (Lab::new()?, Folder::new(&[])?, TempDir::new()?);
    let config = etc.path().join("config.conf");
    let write = |addresses| fs::write(&config, configuration(addresses));
    write("primary")?;
    let flags = [format!("--config={}", config.display())];
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    for (addresses, routed) in [("localhost", "1"), ("primary", "0"), ("localhost", "1")] {
        assert_ne!(route_localnet(&lab)?, routed, "so nothing would be tested");
        write(addresses)?;
        eventually(addresses, || Ok(route_localnet(&lab)? == routed))
            .map_err(|_| proxy.failed(&format!("{ROUTE_LOCALNET} does not become {routed}")))?;
    }
    proxy.end(Signal::SIGTERM)
}

fn loopback_is_routed_for_who_comes_after_the_initialization() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut command = Command::new(FAIRLEAD);
    command.args(["run", "--init-only", "--nodeport-addresses=localhost"]);
    let output = lab.node().run(|| command.output())??;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(route_localnet(&lab)?, "1");
    assert_eq!(on_node(&lab, "nft list tables")?, "");
    Ok(())
}

/// A configuration whose node ports answer at these addresses.
fn configuration(addresses: &str) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n\
         kind: KubeProxyConfiguration\n\
         mode: nftables\n\
         nodePortAddresses: [{addresses:?}]\n"
    )
}

/// Programs the node once, in a mount namespace of its own that a line of shell prepares.
fn once(lab: &Lab, prepare: &str) -> Result<Output, Failed> {
    let folder = Folder::new(&[])?;
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount", "sh", "-c", prepare, "sh", FAIRLEAD, "run", "--once",
        ])
        .args(["--hostname-override=node1", "--manifests"])
        .arg(folder.path());
    Ok(lab.node().run(|| command.output())??)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn close_wait(lab: &Lab) -> Result<String, Failed> {
    parameter(lab, CLOSE_WAIT)
}

fn route_localnet(lab: &Lab) -> Result<String, Failed> {
    parameter(lab, ROUTE_LOCALNET)
}

fn parameter(lab: &Lab, name: &str) -> Result<String, Failed> {
    let value = on_node(lab, &format!("sysctl -n {name}"))?;
    Ok(value.trim().to_owned())
}

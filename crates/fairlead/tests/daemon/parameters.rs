//! The kernel parameters of the node.

use std::process::{Command, Output};

use fairlead_lab::Lab;
use libtest_mimic::Failed;

use crate::rig::{FAIRLEAD, Folder};
use crate::tests;
use crate::watch::on_node;

tests! {
    parameters_are_set_in_the_nodes_own_namespace,
    a_read_only_proc_is_told_and_the_rules_are_programmed,
}

/// One that each network namespace has, that the kernel has at a minute and the default
/// configuration wants at an hour.
const CLOSE_WAIT: &str = "net.netfilter.nf_conntrack_tcp_timeout_close_wait";

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
    let value = on_node(lab, &format!("sysctl -n {CLOSE_WAIT}"))?;
    Ok(value.trim().to_owned())
}

//! The process.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// The binary under test.
pub(crate) const FAIRLEAD: &str = env!("CARGO_BIN_EXE_fairlead");

/// How long it may take over what is not measured, on a machine that has more to do than this and to
/// load modules first.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running Fairlead. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Proxy<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) child: Child,
    /// By whose connections it is seen that all is programmed.
    #[allow(dead_code, reason = "for who follows a folder")]
    pub(crate) settled_for: Client,
    log: NamedTempFile,
}

impl<'a> Proxy<'a> {
    /// Starts it on the lab's node by this command.
    pub(crate) fn run(lab: &'a Lab, mut command: Command) -> Result<Proxy<'a>, Failed> {
        let log = NamedTempFile::new()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log.path())?);
        let child = lab.node().run(|| command.spawn())??;
        Ok(Proxy {
            lab,
            child,
            settled_for: Client::Node,
            log,
        })
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_else(|error| error.to_string())
    }

    /// Everything to look at when something is wrong.
    pub(crate) fn failed(&self, what: &str) -> Failed {
        let (rules, log) = (ruleset(self.lab), self.log());
        format!("{what}\n\nThe node has:\n{rules}\nFairlead said:\n{log}").into()
    }

    /// Sends it a signal, waits for its end, and expects that to be a good one.
    pub(crate) fn end(mut self, signal: Signal) -> Result<(), Failed> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)?;
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(self.failed(&format!("fairlead ended: {status}"))),
        }
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the node has, as text; of iptables, too, where that keeps rules for itself, and of IPVS where
/// that is loaded.
pub(crate) fn ruleset(lab: &Lab) -> String {
    const LIST: &str = "nft list ruleset; iptables-legacy-save; ip6tables-legacy-save
        if [ -e /proc/net/ip_vs ]; then ipvsadm -Ln; ip -brief address; fi";
    match lab.run_on_node(Command::new("sh").args(["-c", LIST])) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    }
}

//! Following a folder of manifests, and seeing that it was followed.

use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use serde_json::json;

use super::{FAIRLEAD, Folder, Mode, PATIENCE, Proxy};

/// An object must be missing for a tenth of a second before Fairlead takes it for deleted.
const DELETED: Duration = Duration::from_millis(300);

/// The cluster IP of the Service by which a test sees that its changes have been taken in.
pub(crate) const MARKER: &str = "10.96.255.254";

impl<'a> Proxy<'a> {
    /// Starts Fairlead on the lab's node with the folder's manifests. Nothing need be programmed
    /// yet: see [`Proxy::settle`].
    pub(crate) fn start(
        lab: &'a Lab,
        folder: &Folder,
        flags: &[String],
    ) -> Result<Proxy<'a>, Failed> {
        Proxy::start_in(Mode::Nftables, lab, folder, flags)
    }

    /// The same in another mode.
    pub(crate) fn start_in(
        mode: Mode,
        lab: &'a Lab,
        folder: &Folder,
        flags: &[String],
    ) -> Result<Proxy<'a>, Failed> {
        let mut command = Command::new(FAIRLEAD);
        command
            .arg("run")
            .args(mode.flags())
            .args(["--hostname-override=node1", "--manifests"])
            .arg(folder.path())
            .args(flags);
        let mut proxy = Proxy::run(lab, command)?;
        if mode == Mode::Ipvs {
            // Virtual servers come before addresses, without which the node alone has its packets
            // pass IPVS.
            proxy.settled_for = Client::Pod;
        }
        Ok(proxy)
    }

    /// Waits until Fairlead has programmed all that the folder says now.
    ///
    /// To see that it has, a Service is given another port and asked until it answers there. Where
    /// objects were deleted it is deleted first, since they are gone when it is.
    pub(crate) fn settle(&mut self, folder: &mut Folder) -> Result<(), Failed> {
        sleep(DELETED);
        let before = folder.marker();
        if let Some(port) = before
            && folder.take_deleted()
        {
            folder.remove("Service marker")?;
            self.await_marker(port, false)?;
        }
        let port = before.map_or(1, |port| port + 1);
        folder.mark(port)?;
        self.await_marker(port, true)
    }

    /// Waits until the marker answers at this port, or nobody does.
    fn await_marker(&mut self, port: u16, answers: bool) -> Result<(), Failed> {
        let to = SocketAddr::new(MARKER.parse()?, port);
        // One packet that is late is no sign that it is gone.
        let tries = if answers { 1 } else { 2 };
        let started = Instant::now();
        loop {
            let series = self.lab.ask(self.settled_for, Protocol::Tcp, to, tries)?;
            if series.by_endpoint.is_empty() != answers {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("fairlead ended: {status}")));
            }
            if started.elapsed() > PATIENCE {
                let what = if answers { "programmed" } else { "deleted" };
                return Err(self.failed(&format!("nothing is {what} after {PATIENCE:?}")));
            }
        }
    }
}

impl Folder {
    /// The port of the marker, if there is one.
    fn marker(&self) -> Option<u16> {
        let port = self.find("Service marker")?.pointer("/spec/ports/0/port");
        u16::try_from(port?.as_u64()?).ok()
    }

    /// Moves the marker to this port.
    fn mark(&mut self, port: u16) -> Result<(), Failed> {
        self.apply(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "marker", "namespace": "tests",
                         "labels": {"kubernetes.io/service-name": "marker"}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.2.1"]}],
        }))?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "marker", "namespace": "tests"},
            "spec": {"clusterIP": MARKER, "ports": [{"port": port}]},
        }))
    }
}

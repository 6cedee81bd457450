//! Following a folder of manifests, and seeing that it was followed.

use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use serde_json::{Value, json};

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
    /// To see that it has, a Service is given another port and asked until it answers there.
    pub(crate) fn settle(&mut self, folder: &mut Folder) -> Result<(), Failed> {
        sleep(DELETED);
        let port = folder.marker()?;
        let to = SocketAddr::new(MARKER.parse()?, port);
        let started = Instant::now();
        loop {
            let series = self.lab.ask(self.settled_for, Protocol::Tcp, to, 1)?;
            if !series.by_endpoint.is_empty() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("fairlead ended: {status}")));
            }
            if started.elapsed() > PATIENCE {
                return Err(self.failed(&format!("nothing is programmed after {PATIENCE:?}")));
            }
        }
    }
}

impl Folder {
    /// Moves the marker to another port, and says to which.
    fn marker(&mut self) -> Result<u16, Failed> {
        let before = self
            .find("Service marker")
            .and_then(|marker| marker.pointer("/spec/ports/0/port"));
        let port = before.and_then(Value::as_u64).map_or(1, |port| port + 1);
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
        }))?;
        Ok(u16::try_from(port)?)
    }
}

//! What IPVS has, as its own programs show it: told apart, and compared with a record.

mod shown;

use std::process::Command;

pub use shown::{Server, Shown, compare};

use crate::{Lab, LabError};

/// Virtual and real servers as `ipvsadm` saves them, then the addresses of kube-proxy's device. Where
/// the kernel has no IPVS, or the node no such device, there is none of it.
const SHOW: &str = "ipvsadm -Sn; ip -brief address show dev kube-ipvs0; true";

impl Lab {
    /// What IPVS has on the node.
    pub fn shown_by_ipvs(&self) -> Result<Shown, LabError> {
        let output = self.run_on_node(Command::new("sh").args(["-c", SHOW]))?;
        Ok(Shown::parse(&String::from_utf8_lossy(&output.stdout)))
    }
}

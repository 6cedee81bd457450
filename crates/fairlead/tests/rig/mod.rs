//! Fairlead as a process on a lab's node, and the folder of manifests that it follows.

mod folder;
mod proxy;

use std::process::Command;

use fairlead_lab::Lab;

pub(crate) use folder::Folder;
pub(crate) use proxy::Proxy;

/// The binary under test.
pub(crate) const FAIRLEAD: &str = env!("CARGO_BIN_EXE_fairlead");

/// What the node has, as text.
pub(crate) fn ruleset(lab: &Lab) -> String {
    match lab.run_on_node(Command::new("nft").args(["list", "ruleset"])) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    }
}

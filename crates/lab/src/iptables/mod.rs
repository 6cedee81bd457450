//! Rules of iptables on a lab's node: saved, loaded, and compared with recorded ones.

mod compare;
mod saved;

use std::fmt;
use std::io::Write;
use std::process::Command;

use fairlead_core::address::Family;
use fairlead_kernel::nfacct::Nfacct;
use tempfile::NamedTempFile;

pub use compare::{Line, RuleDifference, compare};
pub use saved::{Saved, SavedError};

use crate::{Lab, LabError};

/// The counters by name that kube-proxy's rules add to.
const COUNTERS: [&str; 2] = [
    "ct_state_invalid_dropped_pkts",
    "localhost_nps_accepted_pkts",
];

/// Where the kernel keeps rules of iptables; each has programs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variant {
    /// In nf_tables.
    Nft,
    /// In tables of their own.
    Legacy,
}

impl Variant {
    /// Both variants.
    pub const BOTH: [Variant; 2] = [Variant::Nft, Variant::Legacy];

    /// The name of a program without what it does: `ip6tables-legacy`.
    pub fn program(self, family: Family) -> String {
        match family {
            Family::V4 => format!("iptables-{self}"),
            Family::V6 => format!("ip6tables-{self}"),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Variant::Nft => "nft",
            Variant::Legacy => "legacy",
        })
    }
}

impl Lab {
    /// The rules of all tables that the node has, as the variant's program saves them.
    pub fn saved(&self, variant: Variant, family: Family) -> Result<Saved, LabError> {
        let program = format!("{}-save", variant.program(family));
        let output = self.run_on_node(&mut Command::new(program))?;
        Ok(Saved::parse(&String::from_utf8_lossy(&output.stdout))?)
    }

    /// Adds rules to those of the node, as the variant's program reads them.
    pub fn restore(&self, variant: Variant, family: Family, rules: &str) -> Result<(), LabError> {
        let mut file = NamedTempFile::new().map_err(LabError::file("rules".as_ref()))?;
        let written = file.write_all(rules.as_bytes());
        written.map_err(LabError::file(file.path()))?;
        let program = format!("{}-restore", variant.program(family));
        let mut command = Command::new(program);
        self.run_on_node(command.args(["-w", "--noflush"]).arg(file.path()))?;
        Ok(())
    }

    /// Loads a recorded `iptables.rules`, both families, as far as the kernel can: see
    /// [`Lab::as_recorded`].
    pub fn load_recorded(&self, variant: Variant, rules: &str) -> Result<(), LabError> {
        self.add_counters()?;
        for family in Family::BOTH {
            let rules = self.as_recorded(rules, family)?;
            self.restore(variant, family, &rules.to_string())?;
        }
        Ok(())
    }

    /// Makes the counters that kube-proxy's rules add to, if the kernel has counters by name: no
    /// rule is loaded that names one that is not there.
    pub fn add_counters(&self) -> Result<(), LabError> {
        if self.has_accounting()? {
            let add = || {
                let mut nfacct = Nfacct::open()?;
                COUNTERS.iter().try_for_each(|name| nfacct.ensure(name))
            };
            self.node().run(add)??;
        }
        Ok(())
    }

    /// One family's part of a recorded `iptables.rules`; without counters by name where the kernel
    /// has none: kube-proxy leaves them out then.
    pub fn as_recorded(&self, rules: &str, family: Family) -> Result<Saved, LabError> {
        let recorded = Saved::recorded(rules, family)?;
        Ok(match self.has_accounting()? {
            true => recorded,
            false => recorded.without_accounting(),
        })
    }

    /// Whether the node's kernel has counters by name for rules to add to.
    pub fn has_accounting(&self) -> Result<bool, LabError> {
        Ok(self.node().run(|| Nfacct::open()?.is_supported())??)
    }
}

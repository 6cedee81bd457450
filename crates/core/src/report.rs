//! What a sync did.

use std::fmt;
use std::time::Duration;

use crate::address::Family;
use crate::api::ObjectName;
use crate::model::{Destination, ServicePortName};
use crate::unserved::UnservedPorts;

/// What one sync did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Counts the syncs that succeeded, from 1.
    pub generation: u64,
    /// Whether everything was compared with the kernel, and not what changed alone.
    pub full: bool,
    /// The Services that were looked at.
    pub services: usize,
    /// The operations that were needed.
    pub operations: usize,
    /// The messages they were sent in.
    pub messages: usize,
    /// The size of the messages in bytes.
    pub bytes: usize,
    /// Where the time went.
    pub stages: Stages,
    /// Destinations that a Service claims and another has.
    pub contested: Vec<Contested>,
    /// Services that the kernel refuses, and that are therefore not served.
    pub excluded: Vec<Excluded>,
    /// How many rules each table has, where the mode writes one for each address and endpoint.
    pub rules: Vec<RuleCount>,
    /// The ports without an endpoint on this node that their policy asks for, of each Service
    /// that was looked at; in a full sync of those alone that have some.
    pub unserved: Vec<(ObjectName, UnservedPorts)>,
    /// What Services ask for and this host cannot do: all there is of it now, whichever Services
    /// were looked at.
    pub unheeded: Vec<(ObjectName, Unmet)>,
    /// How much there is in IPVS, in the mode that uses it. A family that is not here is as it was.
    pub ipvs: Vec<IpvsCount>,
}

/// How much of a family there is in IPVS that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpvsCount {
    /// The family of the addresses.
    pub family: Family,
    /// Virtual servers.
    pub virtual_servers: usize,
    /// Their real servers, those that leave too.
    pub real_servers: usize,
    /// Real servers of weight 0, which take no new connection and go with their last one.
    pub leaving: usize,
}

/// How many rules a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleCount {
    /// The family of the table.
    pub family: Family,
    /// The name of the table.
    pub table: &'static str,
    /// How many of its rules are ours.
    pub total: usize,
    /// How many of them this sync wrote.
    pub written: usize,
}

/// A Service that is left out, so that the others are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// The Service.
    pub service: ObjectName,
    /// What the kernel said.
    pub why: String,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excluded { service, why } = self;
        write!(
            f,
            "Service {service} is not served, the kernel refuses it: {why}; it is tried again when it changes, and now and then"
        )
    }
}

/// What a Service asks for and does not get, and what is done instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// A scheduler: another one chooses.
    Scheduler(String),
    /// That a port is served: it is refused.
    Port(String),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Unmet::Scheduler(why) | Unmet::Port(why)) = self;
        f.write_str(why)
    }
}

/// The time that each stage of a sync took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// Reading back what the kernel has.
    pub observe: Duration,
    /// Deciding, and saying it in the backend's words.
    pub render: Duration,
    /// Finding the operations.
    pub plan: Duration,
    /// Sending them, until the kernel has acknowledged the last.
    pub apply: Duration,
}

/// A destination that two service ports claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// What they claim.
    pub destination: Destination,
    /// Who does without it.
    pub loser: ServicePortName,
    /// Who has it.
    pub owner: ServicePortName,
}

impl fmt::Display for Contested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contested {
            destination,
            loser,
            owner,
        } = self;
        write!(
            f,
            "{loser} claims {destination}, which {owner} has; it is not served there"
        )
    }
}

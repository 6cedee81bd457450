//! The parts of the kernel that the mode programs, as one.

use std::fmt;
use std::io;
use std::net::IpAddr;

use thiserror::Error;

use fairlead_core::address::Family;
use fairlead_kernel::error::CallError;
use fairlead_kernel::ipvs::handle::{Ipvs as Handle, Op};
use fairlead_kernel::ipvs::server::{SchedulerName, VirtualAddress};
use fairlead_kernel::link::{AddressDevice, DeviceOp};
use fairlead_kernel::nft::handle::{CommitError, Nft};

use super::installed::{Installed, Survey};
use super::mode::Ipvs;
use super::rebuild::{Found, FoundServer};
use super::steps::Steps;
use crate::engine::{Cost, Kernel, SyncError};
use crate::nftables::{Findings, Nftables, Role, table, understand};
use crate::refused::list;

/// IPVS, the companion table and the device.
#[derive(Debug)]
pub struct Parts<I, N, D> {
    /// Virtual and real servers.
    pub ipvs: I,
    /// The companion table.
    pub nft: N,
    /// The device that holds the addresses.
    pub device: D,
}

/// What the kernel says when it does not carry out everything.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The companion table stays as it was. What follows it is not tried.
    #[error(transparent)]
    Rules(#[from] CommitError),
    /// Nothing is known of a part of it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// All else is carried out.
    #[error("the kernel refused {}", list(.0))]
    Refused(Vec<Refused>),
}

/// An operation that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What it is about.
    pub object: Object,
    /// The operation.
    pub what: String,
    /// The error number (errno(3)).
    pub errno: i32,
    /// The scheduler that the kernel does not have, if that is why.
    pub missing: Option<SchedulerName>,
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// A virtual server or one of its real servers.
    Server(VirtualAddress),
    /// An address of the device.
    Held(IpAddr),
    /// The device.
    Device,
}

impl Refused {
    fn of_ipvs(op: &Op, errno: i32) -> Refused {
        Refused {
            object: Object::Server(op.server()),
            what: op.to_string(),
            errno,
            missing: op.missing_scheduler(errno),
        }
    }

    fn of_device(op: &DeviceOp, errno: i32) -> Refused {
        Refused {
            object: match op {
                DeviceOp::Create => Object::Device,
                DeviceOp::Hold(ip) | DeviceOp::Release(ip) => Object::Held(*ip),
            },
            what: op.to_string(),
            errno,
            missing: None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { what, errno, .. } = self;
        write!(f, "{what}: {}", io::Error::from_raw_os_error(*errno))
    }
}

impl<I: Handle, N: Nft, D: AddressDevice> Parts<I, N, D> {
    fn apply_ipvs(
        &mut self,
        ops: &[Op],
        cost: &mut Cost,
        refused: &mut Vec<Refused>,
    ) -> Result<(), CallError> {
        if ops.is_empty() {
            return Ok(());
        }
        let applied = self.ipvs.apply(ops)?;
        cost.messages += applied.messages;
        cost.bytes += applied.bytes;
        let of = applied.refused.iter().filter_map(|refusal| {
            let op = ops.get(refusal.op)?;
            let failed = !op.is_done_despite(refusal.errno);
            failed.then(|| Refused::of_ipvs(op, refusal.errno))
        });
        refused.extend(of);
        Ok(())
    }

    fn apply_device(
        &mut self,
        ops: &[DeviceOp],
        cost: &mut Cost,
        refused: &mut Vec<Refused>,
    ) -> Result<(), CallError> {
        if ops.is_empty() {
            return Ok(());
        }
        cost.messages += ops.len();
        let of = self.device.apply(ops)?.into_iter().filter_map(|refusal| {
            let op = ops.get(refusal.op)?;
            Some(Refused::of_device(op, refusal.errno))
        });
        refused.extend(of);
        Ok(())
    }
}

impl<I: Handle, N: Nft, D: AddressDevice> Kernel<Ipvs> for Parts<I, N, D> {
    fn observe(&mut self, families: &[Family]) -> Result<Found, CallError> {
        let mut tables = Vec::new();
        for family in families {
            let observed = self.nft.observe(table(*family))?;
            tables.push((*family, understand(*family, Role::Companion, observed)));
        }
        let mut servers = Vec::new();
        for server in self.ipvs.servers()? {
            let reals = self.ipvs.reals(server.address)?;
            servers.push(FoundServer { server, reals });
        }
        Ok(Found {
            rules: Findings::new(tables),
            servers,
            held: self.device.held()?,
        })
    }

    fn survey(&mut self, installed: &Installed) -> Result<Survey, CallError> {
        let mut idle = Vec::new();
        for (of, leaving) in installed.leaving() {
            let there = self.ipvs.reals(of)?;
            let busy = there.iter().filter(|real| real.active + real.inactive > 0);
            let busy: Vec<_> = busy.map(|real| real.server.address).collect();
            let gone = leaving.iter().filter(|real| !busy.contains(real));
            idle.extend(gone.map(|real| (of, *real)));
        }
        Ok(idle)
    }

    fn apply(&mut self, steps: &Steps) -> Result<Cost, ApplyError> {
        let (mut cost, mut refused) = (Cost::default(), Vec::new());
        self.apply_ipvs(&steps.before_rules, &mut cost, &mut refused)?;
        let of_rules = steps.rules.commit(&mut self.nft)?;
        cost.messages += of_rules.messages;
        cost.bytes += of_rules.bytes;
        self.apply_ipvs(&steps.after_rules, &mut cost, &mut refused)?;
        self.apply_device(&steps.device, &mut cost, &mut refused)?;
        match refused.is_empty() {
            true => Ok(cost),
            false => Err(ApplyError::Refused(refused)),
        }
    }

    fn remove(&mut self) -> Result<bool, SyncError> {
        let of_rules = Kernel::<Nftables>::remove(&mut self.nft)?;
        let servers = self.ipvs.servers()?;
        let held = self.device.held()?.unwrap_or_default();
        let ops = servers
            .iter()
            .map(|server| Op::RemoveServer(server.address));
        let device: Vec<DeviceOp> = held.into_iter().map(DeviceOp::Release).collect();
        let steps = Steps {
            after_rules: ops.collect(),
            device,
            ..Steps::default()
        };
        let found = of_rules || !steps.after_rules.is_empty() || !steps.device.is_empty();
        self.apply(&steps).map_err(SyncError::apply)?;
        Ok(found)
    }
}

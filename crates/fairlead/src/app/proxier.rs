//! The engine of whatever mode runs, and what wakes it.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use fairlead_backends::engine::{Engine, Kernel, Mode, SyncError, Synced};
use fairlead_backends::{ipvs, userspace};
use fairlead_core::model::Model;
use fairlead_kernel::error::CallError;
use fairlead_kernel::iptables::legacy::{self, LegacyIptables};
use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::ipvs::handle::Ipvs;
use fairlead_kernel::ipvs::watched::{self, WatchedIpvs};
use fairlead_kernel::link::DummyDevice;
use fairlead_kernel::nft::watched::WatchedNft;
use fairlead_kernel::routing::PolicyRouting;
use fairlead_relay::handle::Relay;

/// An engine, whatever its mode.
pub(super) trait Proxier {
    /// Makes the kernel what the model says. `host` are the addresses this host has now.
    fn sync(
        &mut self,
        model: &mut Model,
        host: &[IpAddr],
        now: Instant,
    ) -> Result<Synced, SyncError>;

    /// Someone may have changed what is installed: the next sync looks.
    fn distrust(&mut self);

    /// Some time has gone by: the next sync looks, where that is not too dear.
    fn routine(&mut self);

    /// Whether the next sync compares everything with the kernel.
    fn next_is_full(&self) -> bool;

    /// When a sync would have something to do even if nothing changes.
    fn wants_sync_at(&self) -> Option<Instant>;

    /// What tells of others' changes.
    fn watch(&mut self) -> &mut dyn Watch;
}

impl<M: Mode, K: Kernel<M> + Watch> Proxier for Engine<M, K> {
    fn sync(
        &mut self,
        model: &mut Model,
        host: &[IpAddr],
        now: Instant,
    ) -> Result<Synced, SyncError> {
        Engine::sync(self, model, host, now)
    }

    fn distrust(&mut self) {
        Engine::distrust(self);
    }

    fn routine(&mut self) {
        Engine::routine(self);
    }

    fn next_is_full(&self) -> bool {
        Engine::next_is_full(self)
    }

    fn wants_sync_at(&self) -> Option<Instant> {
        Engine::wants_sync_at(self)
    }

    fn watch(&mut self) -> &mut dyn Watch {
        self.kernel()
    }
}

/// Tables of iptables are everybody's, and are flushed in several steps by programs that take some
/// milliseconds each.
const OF_IPTABLES: Duration = Duration::from_millis(250);

/// A handle that notices when someone else changes what it wrote: because the kernel tells, or
/// because it looks now and then.
pub(super) trait Watch {
    /// What can be read when the kernel has told something.
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Whether the kernel has told of someone else's changes since this was last asked.
    fn heard(&mut self) -> Result<bool, CallError> {
        Ok(false)
    }

    /// How often to look, where the kernel does not tell of everything.
    fn period(&self) -> Option<Duration> {
        None
    }

    /// Whether someone else may have changed what the kernel does not tell of.
    fn look(&mut self) -> Result<bool, CallError> {
        Ok(false)
    }

    /// Leaves what is in these networks to others from now on.
    fn leave(&mut self, _: &[IpNet]) {}

    /// How long others are left in peace after a change, before it is mended.
    fn quiet(&self) -> Duration {
        Duration::ZERO
    }
}

impl Watch for WatchedNft {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.as_fd()]
    }

    fn heard(&mut self) -> Result<bool, CallError> {
        self.touched()
    }
}

impl Watch for NftIptables {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.as_fd()]
    }

    fn heard(&mut self) -> Result<bool, CallError> {
        self.touched()
    }

    fn quiet(&self) -> Duration {
        OF_IPTABLES
    }
}

/// The kernel tells nobody of changes to legacy tables.
impl Watch for LegacyIptables {
    fn period(&self) -> Option<Duration> {
        Some(legacy::POLL_INTERVAL)
    }

    fn look(&mut self) -> Result<bool, CallError> {
        self.touched()
    }

    fn quiet(&self) -> Duration {
        OF_IPTABLES
    }
}

/// The kernel tells of the companion table and of the device, and not of virtual servers.
impl<I: Ipvs> Watch for ipvs::Parts<WatchedIpvs<I>, WatchedNft, DummyDevice> {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.nft.as_fd(), self.device.as_fd()]
    }

    fn heard(&mut self) -> Result<bool, CallError> {
        // Both are asked, so that neither goes on telling.
        let (rules, device) = (self.nft.touched()?, self.device.touched()?);
        Ok(rules || device)
    }

    fn period(&self) -> Option<Duration> {
        Some(watched::LOOK_EVERY)
    }

    fn look(&mut self) -> Result<bool, CallError> {
        self.ipvs.touched()
    }

    fn leave(&mut self, others: &[IpNet]) {
        self.ipvs.leave(others);
    }
}

/// The kernel tells of the table, and of rules and routes. The relay is this process's own.
impl<R: Relay> Watch for userspace::Parts<R, WatchedNft, PolicyRouting> {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.nft.as_fd(), self.routing.as_fd()]
    }

    fn heard(&mut self) -> Result<bool, CallError> {
        // Both are asked, so that neither goes on telling.
        let (rules, routing) = (self.nft.touched()?, self.routing.touched()?);
        Ok(rules || routing)
    }
}

//! The engine of whatever mode runs, and what wakes it.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fairlead_backends::engine::{Engine, Kernel, Mode, SyncError, Synced};
use fairlead_core::model::Model;
use fairlead_kernel::error::CallError;
use fairlead_kernel::iptables::legacy::{self, LegacyIptables};
use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::nft::watched::WatchedNft;

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

/// A handle that notices when someone else changes what it wrote.
pub(super) trait Watch {
    /// Whether someone else may have changed it since this was last asked.
    fn touched(&mut self) -> Result<bool, CallError>;

    /// What can be read when there is something to ask about.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// How often to ask, where nothing tells.
    fn period(&self) -> Option<Duration>;

    /// How long others are left in peace after a change, before it is mended.
    fn quiet(&self) -> Duration;
}

impl Watch for WatchedNft {
    fn touched(&mut self) -> Result<bool, CallError> {
        WatchedNft::touched(self)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn period(&self) -> Option<Duration> {
        None
    }

    fn quiet(&self) -> Duration {
        Duration::ZERO
    }
}

impl Watch for NftIptables {
    fn touched(&mut self) -> Result<bool, CallError> {
        NftIptables::touched(self)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn period(&self) -> Option<Duration> {
        None
    }

    fn quiet(&self) -> Duration {
        OF_IPTABLES
    }
}

/// The kernel tells nobody of changes to legacy tables.
impl Watch for LegacyIptables {
    fn touched(&mut self) -> Result<bool, CallError> {
        LegacyIptables::touched(self)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn period(&self) -> Option<Duration> {
        Some(legacy::POLL_INTERVAL)
    }

    fn quiet(&self) -> Duration {
        OF_IPTABLES
    }
}

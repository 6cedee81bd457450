//! Handles that fail now and then, for tests: what uses a handle must survive that.
//!
//! A call fails before it has done anything, or after it has done all but its answer is lost:
//! then the caller does not know what is there now, and has to look.

use std::fmt;
use std::net::IpAddr;

use crate::error::CallError;
use crate::iptables::handle::{Applied, ApplyError, Iptables};
use crate::iptables::{handle as iptables, ruleset as xt};
use crate::ipvs::handle::{self as ipvs, Ipvs};
use crate::ipvs::server::{ObservedReal, Timeouts, VirtualAddress, VirtualServer};
use crate::link::{AddressDevice, DeviceOp, DeviceRefusal};
use crate::nft::handle::{CommitError, Committed, Nft, ObservedTable};
use crate::nft::ruleset::{Batch, TableId};
use crate::routing::{ObservedRouting, Routing, RoutingOp, RoutingRefusal};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// With this errno, before anything was done.
    Before(i32),
    /// With this errno, after it was done. A call that changes nothing fails like
    /// [`Fault::Before`].
    After(i32),
}

/// A call to a handle, to decide on its fault by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Nft::commit`].
    Commit,
    /// [`Iptables::apply`], [`AddressDevice::apply`], [`Routing::apply`], [`Ipvs::apply`] or
    /// [`Ipvs::set_timeouts`].
    Apply,
    /// [`Nft::observe`], [`Iptables::observe`], [`AddressDevice::held`], [`Routing::observe`],
    /// [`Ipvs::servers`] or [`Ipvs::reals`].
    Observe,
}

/// A handle with faults, which `F` decides on for every call.
pub struct Faulty<N, F> {
    handle: N,
    faults: F,
    failed: usize,
}

impl<N, F: FnMut(Call) -> Option<Fault>> Faulty<N, F> {
    /// `handle`, whose calls fail as `faults` says: a closure, or [`seeded`].
    pub fn new(handle: N, faults: F) -> Self {
        let failed = 0;
        Faulty {
            handle,
            faults,
            failed,
        }
    }

    /// The handle itself, to look at without faults.
    pub fn handle(&self) -> &N {
        &self.handle
    }

    /// The handle itself, to change without faults.
    pub fn handle_mut(&mut self) -> &mut N {
        &mut self.handle
    }

    /// How many calls were made to fail.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Makes a call, unless it fails before or after.
    fn attempt<T, E: From<CallError>>(
        &mut self,
        call: Call,
        make: impl FnOnce(&mut N) -> Result<T, E>,
    ) -> Result<T, E> {
        let fault = (self.faults)(call);
        self.failed += usize::from(fault.is_some());
        match fault {
            None => make(&mut self.handle),
            Some(Fault::Before(errno)) => Err(failure(call, errno).into()),
            Some(Fault::After(errno)) => {
                make(&mut self.handle)?;
                Err(failure(call, errno).into())
            }
        }
    }
}

impl<N: Nft, F: FnMut(Call) -> Option<Fault>> Nft for Faulty<N, F> {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        self.attempt(Call::Commit, |nft| nft.commit(batches))
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.attempt(Call::Observe, |nft| nft.observe(table))
    }
}

impl<N: Iptables, F: FnMut(Call) -> Option<Fault>> Iptables for Faulty<N, F> {
    fn apply(&mut self, batches: &[xt::Batch]) -> Result<Applied, ApplyError> {
        self.attempt(Call::Apply, |iptables| iptables.apply(batches))
    }

    fn observe(
        &mut self,
        table: xt::TableId,
    ) -> Result<Option<iptables::ObservedTable>, CallError> {
        self.attempt(Call::Observe, |iptables| iptables.observe(table))
    }
}

impl<N: AddressDevice, F: FnMut(Call) -> Option<Fault>> AddressDevice for Faulty<N, F> {
    fn held(&mut self) -> Result<Option<Vec<IpAddr>>, CallError> {
        self.attempt(Call::Observe, N::held)
    }

    fn apply(&mut self, ops: &[DeviceOp]) -> Result<Vec<DeviceRefusal>, CallError> {
        self.attempt(Call::Apply, |device| device.apply(ops))
    }
}

impl<N: Routing, F: FnMut(Call) -> Option<Fault>> Routing for Faulty<N, F> {
    fn observe(&mut self) -> Result<ObservedRouting, CallError> {
        self.attempt(Call::Observe, N::observe)
    }

    fn apply(&mut self, ops: &[RoutingOp]) -> Result<Vec<RoutingRefusal>, CallError> {
        self.attempt(Call::Apply, |routing| routing.apply(ops))
    }
}

impl<N: Ipvs, F: FnMut(Call) -> Option<Fault>> Ipvs for Faulty<N, F> {
    fn apply(&mut self, ops: &[ipvs::Op]) -> Result<ipvs::Applied, CallError> {
        self.attempt(Call::Apply, |ipvs| ipvs.apply(ops))
    }

    fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError> {
        self.attempt(Call::Observe, Ipvs::servers)
    }

    fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError> {
        self.attempt(Call::Observe, |ipvs| ipvs.reals(of))
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError> {
        self.attempt(Call::Apply, |ipvs| ipvs.set_timeouts(timeouts))
    }
}

impl<N: fmt::Debug, F> fmt::Debug for Faulty<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("handle", &self.handle)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

fn failure(call: Call, errno: i32) -> CallError {
    let call = match call {
        Call::Commit => "commit",
        Call::Apply => "apply",
        Call::Observe => "observe",
    };
    CallError {
        call,
        object: "a handle with faults".to_owned(),
        errno,
    }
}

/// Faults for `percent` of all calls, of every kind that a netlink socket has. The same seed
/// gives the same faults.
pub fn seeded(seed: u64, percent: u8) -> impl FnMut(Call) -> Option<Fault> {
    const FAULTS: [Fault; 5] = [
        Fault::Before(libc::ENOBUFS),
        Fault::Before(libc::EINTR),
        Fault::Before(libc::ENOMEM),
        Fault::After(libc::ENOBUFS),
        Fault::After(libc::EINTR),
    ];
    // Marsaglia, "Xorshift RNGs" (2003); zero is the one state that it never leaves.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize % below
    };
    move |_| {
        let strikes = next(100) < usize::from(percent);
        strikes.then(|| FAULTS[next(FAULTS.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iptables::fake::FakeIptables;
    use crate::nft::fake::FakeNft;
    use crate::nft::ruleset::{Family, Op};

    const TABLE: TableId = TableId {
        family: Family::Ip,
        name: "fairlead",
    };

    fn add_table() -> Batch {
        let ops = vec![Op::AddTable { comment: "" }];
        Batch { table: TABLE, ops }
    }

    fn commit_under(fault: Fault) -> (Result<Committed, CommitError>, bool) {
        let mut nft = Faulty::new(FakeNft::new(), |call| {
            (call == Call::Commit).then_some(fault)
        });
        let result = nft.commit(&[add_table()]);
        assert_eq!(nft.failed(), 1);
        (result, nft.observe(TABLE).unwrap().is_some())
    }

    #[test]
    fn a_fault_before_does_nothing() {
        let (result, is_there) = commit_under(Fault::Before(libc::ENOBUFS));
        assert!(matches!(result, Err(CommitError::Call(error)) if error.errno == libc::ENOBUFS));
        assert!(!is_there);
    }

    #[test]
    fn a_fault_after_has_done_it_all() {
        let (result, is_there) = commit_under(Fault::After(libc::EINTR));
        assert!(matches!(result, Err(CommitError::Call(error)) if error.errno == libc::EINTR));
        assert!(is_there);
    }

    #[test]
    fn iptables_has_the_same_faults() {
        let table = xt::TableId {
            family: Family::Ip,
            table: xt::Table::Nat,
        };
        let ops = vec![xt::Op::Create("new".into())];
        let batches = [xt::Batch { table, ops }];
        let faults = [
            (Fault::Before(libc::EINTR), 0),
            (Fault::After(libc::EINTR), 1),
        ];
        for (fault, chains) in faults {
            let faults = |call| (call == Call::Apply).then_some(fault);
            let mut iptables = Faulty::new(FakeIptables::new(), faults);
            let result = iptables.apply(&batches);
            assert!(matches!(result, Err(ApplyError::Call(error)) if error.errno == libc::EINTR));
            assert_eq!(iptables.handle().chains(table).len(), chains, "{fault:?}");
        }
        let mut iptables = Faulty::new(FakeIptables::new(), |_| Some(Fault::After(libc::EIO)));
        assert_eq!(iptables.observe(table).unwrap_err().errno, libc::EIO);
    }

    #[test]
    fn observing_fails_too() {
        let mut nft = Faulty::new(FakeNft::new(), |_| Some(Fault::Before(libc::EINTR)));
        assert_eq!(nft.observe(TABLE).unwrap_err().errno, libc::EINTR);
    }

    #[test]
    fn a_seed_gives_its_share_of_faults_each_time() {
        let draw = |seed| {
            let mut faults = seeded(seed, 20);
            let drawn: Vec<_> = (0..1000).map(|_| faults(Call::Commit)).collect();
            drawn
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for seed in 0..10 {
            let share = draw(seed).iter().flatten().count();
            assert!((150..250).contains(&share), "{share} of 1000");
        }
    }
}

//! How many ports of this host the clients of datagrams may have.
//!
//! Each has a socket of its own to its endpoint, and a port of UDP is one socket's alone, whatever it
//! is connected to. Without a limit, one service that is flooded would leave none to the rest of the
//! node, which could then not even ask for a name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fairlead_kernel::sysctl::{ProcSys, Sysctls};

use crate::counters::Counters;
use crate::counts::Refused;
use crate::places::SHARE;

/// Where the kernel says which ports it gives to sockets that have none, of both families.
const RANGE: &str = "net/ipv4/ip_local_port_range";

/// How many there are unless somebody has set it: 32768 to 60999.
const USUAL: usize = 28_232;

/// The ports of all clients.
#[derive(Debug)]
pub(crate) struct Ports {
    most: usize,
    taken: AtomicUsize,
}

impl Ports {
    /// Half of those that there are.
    pub(crate) fn new() -> Ports {
        Ports {
            most: available().unwrap_or(USUAL) / 2,
            taken: AtomicUsize::new(0),
        }
    }

    /// A port for a client of a service, unless it has as many as it may, by the same rule as of
    /// [`Places`](crate::places::Places).
    pub(crate) fn take(self: &Arc<Ports>, counters: &Counters) -> Result<Port, Refused> {
        let taken = self.taken.fetch_add(1, Relaxed);
        let port = Port(Arc::clone(self));
        match self.most.saturating_sub(taken) {
            0 => Err(Refused::Limit),
            free if counters.open_sessions.get() < free.saturating_mul(SHARE) as u64 => Ok(port),
            _ => Err(Refused::Share),
        }
    }
}

/// A port, which is free again when this goes.
#[derive(Debug)]
pub(crate) struct Port(Arc<Ports>);

impl Drop for Port {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

fn available() -> Option<usize> {
    let range = ProcSys.read(RANGE).ok()?;
    let mut ends = range.split_whitespace().map(str::parse::<usize>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_floods_leaves_ports_to_others() {
        let ports = Arc::new(Ports {
            most: 100,
            taken: AtomicUsize::new(0),
        });
        let (flooded, other) = (Counters::default(), Counters::default());
        let take = |counters: &Counters| {
            let port = ports.take(counters)?;
            counters.open_sessions.add(1);
            Ok::<_, Refused>(port)
        };
        let flood: Vec<_> = (0..100).map_while(|_| take(&flooded).ok()).collect();
        assert_eq!(flood.len(), 80);
        assert_eq!(take(&flooded).err(), Some(Refused::Share));
        let mut others: Vec<_> = (0..16).map(|_| take(&other).unwrap()).collect();
        drop(flood);
        others.push(take(&other).unwrap());
    }
}

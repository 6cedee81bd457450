//! How long probes wait until they take no answer for none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairlead_core::address::Protocol;

/// How long a probe waits where nobody has answered yet. The recorded outcomes were made with as
/// much: what has not answered by then counts as dropped.
const PATIENCE: Duration = Duration::from_millis(350);

/// The same on a slow machine, and for a connection where somebody has answered before: less than
/// the second after which TCP sends again what was lost (RFC 6298), so that a loss is still to be
/// seen.
const SLOW_PATIENCE: Duration = Duration::from_millis(900);

/// How long a probe waits for what is only late: an answer over a connection, which the kernel has
/// made before anybody had to wake up for it, or a datagram where others were answered.
const LATE: Duration = Duration::from_secs(5);

/// How long a probe waits with SCTP, which few hosts have: it is asked in an emulated machine, whose
/// processor may have to wait for the host's. It leaves time to send a chunk again (RTO.Initial,
/// RFC 9260: 1 s; Linux: 3 s).
const SCTP_PATIENCE: Duration = Duration::from_secs(8);

static IS_SLOW: AtomicBool = AtomicBool::new(false);

/// Tells all probes of this process that the machine is slow, such as an emulated one: they wait
/// longer until they take no answer for none.
pub fn wait_for_a_slow_machine() {
    IS_SLOW.store(true, Ordering::Relaxed);
}

/// How long a probe waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the connection.
    pub(crate) connection: Duration,
    /// Then for the answer.
    pub(crate) answer: Duration,
}

impl Patience {
    /// `has_met`: somebody has answered before.
    pub(crate) fn of(protocol: Protocol, has_met: bool) -> Patience {
        let is_slow = IS_SLOW.load(Ordering::Relaxed);
        let connection = match protocol {
            Protocol::Sctp => SCTP_PATIENCE,
            _ if is_slow || has_met => SLOW_PATIENCE,
            _ => PATIENCE,
        };
        let answer = match protocol {
            Protocol::Tcp => LATE,
            Protocol::Udp if has_met => LATE,
            _ => connection,
        };
        Patience { connection, answer }
    }
}

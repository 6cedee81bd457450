//! What waits to be swept, and when: a state machine that is told the time.

use std::time::{Duration, Instant};

use fairlead_core::conntrack::{NodePortReach, Suspects};
use fairlead_core::schedule::{Intervals, Schedule};

/// Sweeps need no pause. One that failed is tried again as syncs are by default.
const INTERVALS: Intervals = Intervals {
    min: Duration::ZERO,
    retry: Duration::from_secs(30),
    max: None,
};

/// What has to be looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sweep {
    /// The destinations that changed.
    pub(crate) suspects: Suspects,
    /// Where node ports answer.
    pub(crate) node_ports: NodePortReach,
}

impl Sweep {
    /// Adds what a later sync asks for.
    fn absorb(&mut self, later: Sweep) {
        self.suspects.absorb(later.suspects);
        self.node_ports = later.node_ports;
    }
}

/// What waits to be swept, and when.
#[derive(Debug)]
pub(super) struct Backlog {
    waiting: Option<Sweep>,
    schedule: Schedule,
}

impl Backlog {
    pub(super) fn new() -> Backlog {
        Backlog {
            waiting: None,
            schedule: Schedule::new(INTERVALS),
        }
    }

    pub(super) fn add(&mut self, sweep: Sweep, now: Instant) {
        self.waiting.get_or_insert_default().absorb(sweep);
        self.schedule.request(now);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.schedule.due().map(|(at, _)| at)
    }

    /// What to sweep now, if it is time.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Sweep> {
        self.due().filter(|due| *due <= now)?;
        self.schedule.begin(now);
        self.waiting.take()
    }

    /// What became of it: if it failed, it waits again, before what came later.
    pub(super) fn end(&mut self, mut sweep: Sweep, succeeded: bool, now: Instant) {
        if succeeded {
            self.schedule.succeeded(now);
            return;
        }
        if let Some(later) = self.waiting.take() {
            sweep.absorb(later);
        }
        self.waiting = Some(sweep);
        self.schedule.failed(None, now);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use fairlead_core::address::{Family, Protocol};
    use fairlead_core::model::{Destination, NodeView};
    use fairlead_core::route::Target;
    use fairlead_core::settings::NodePortAddresses;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    pub(crate) fn dns(family: Family) -> Destination {
        let address = match family {
            Family::V4 => "10.96.0.10",
            Family::V6 => "fd00::10",
        };
        Destination::Address(address.parse().unwrap(), Protocol::Udp, 53)
    }

    pub(crate) fn endpoint(text: &str) -> Target {
        let address = text.parse().unwrap();
        Target { address, port: 53 }
    }

    /// A sweep of flows that these endpoints do not answer.
    pub(crate) fn served_by(family: Family, endpoints: &[&str]) -> Sweep {
        let mut sweep = Sweep::default();
        let serving = endpoints.iter().map(|text| endpoint(text)).collect();
        sweep.suspects.insert([dns(family)], serving);
        sweep
    }

    #[test]
    fn what_is_asked_for_while_a_sweep_runs_is_done_in_one() {
        let (mut backlog, start) = (Backlog::new(), Instant::now());
        assert_eq!(backlog.due(), None);
        backlog.add(served_by(Family::V4, &["10.244.0.1"]), start);
        let running = backlog.begin(start).unwrap();
        assert!(backlog.begin(start).is_none());
        backlog.add(served_by(Family::V4, &["10.244.0.2"]), start);
        backlog.add(served_by(Family::V6, &[]), start);
        backlog.add(served_by(Family::V4, &["10.244.0.3"]), start);
        backlog.end(running, true, start);
        let next = backlog.begin(start).unwrap();
        let mut expected = served_by(Family::V4, &["10.244.0.3"]);
        expected.suspects.insert([dns(Family::V6)], Vec::new());
        assert_eq!(next.suspects, expected.suspects);
        backlog.end(next, true, start);
        assert_eq!(backlog.due(), None);
    }

    #[test]
    fn what_failed_is_asked_again_unless_something_later_is_known() {
        let (mut backlog, start) = (Backlog::new(), Instant::now());
        let mut both = served_by(Family::V4, &["10.244.0.1"]);
        both.suspects.insert([dns(Family::V6)], Vec::new());
        backlog.add(both, start);
        let running = backlog.begin(start).unwrap();
        backlog.add(served_by(Family::V4, &["10.244.0.2"]), start);
        backlog.end(running, false, start);
        assert!(backlog.begin(start).is_none(), "not at once");
        let due = backlog.due().unwrap();
        assert!(due > start && due < start + SECOND);
        let again = backlog.begin(due).unwrap();
        let mut expected = served_by(Family::V4, &["10.244.0.2"]);
        expected.suspects.insert([dns(Family::V6)], Vec::new());
        assert_eq!(again.suspects, expected.suspects);
        // It goes on failing.
        let mut sweep = again;
        let mut now = due;
        for _ in 0..9 {
            backlog.end(sweep, false, now);
            now = backlog.due().unwrap();
            sweep = backlog.begin(now).unwrap();
        }
        backlog.end(sweep, false, now);
        assert_eq!(backlog.due(), Some(now + INTERVALS.retry));
    }

    #[test]
    fn the_latest_node_ports_count() {
        let reach = |ip: &str| {
            let node = NodeView {
                ips: vec![ip.parse().unwrap()],
                ..NodeView::default()
            };
            NodePortReach::new(&NodePortAddresses::primary(), &node, &[])
        };
        let mut sweep = Sweep::default();
        for ip in ["192.0.2.10", "192.0.2.11"] {
            let suspects = Suspects::default();
            let node_ports = reach(ip);
            sweep.absorb(Sweep {
                suspects,
                node_ports,
            });
        }
        assert_eq!(sweep.node_ports, reach("192.0.2.11"));
    }
}

//! How a load balancer chooses among endpoints, where it can be told: by IPVS's schedulers
//! (ipvsadm(8)) in ipvs mode, by some of them and one more in userspace mode.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The field of a Service in which it may say who chooses among its endpoints.
pub const ANNOTATION: &str = "metadata.annotations[fairlead.dev/scheduler]";

/// A scheduler, and how it goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Scheduling {
    /// Who chooses.
    pub scheduler: Scheduler,
    /// `sh-fallback`, `mh-fallback`: another endpoint where the chosen one takes nobody.
    pub fallback: bool,
    /// `sh-port`, `mh-port`: the client's port counts as well as its address. Of `mh` always, as
    /// with kube-proxy.
    pub port: bool,
}

/// Who chooses. Each mode has some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Scheduler {
    /// Round robin.
    #[default]
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Least connections, by destination.
    Lblc,
    /// Least connections, by destination, with replication.
    Lblcr,
    /// A hash of the destination.
    Dh,
    /// A hash of the source.
    Sh,
    /// Maglev's hash.
    Mh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// The first by weight, as long as there is one.
    Fo,
    /// The first by weight, until it has enough.
    Ovf,
    /// Of two drawn by chance, the one with fewer connections ("power of two choices",
    /// Mitzenmacher 2001). The kernel has no such scheduler.
    P2c,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Scheduler; 14] = [
        Scheduler::Rr,
        Scheduler::Wrr,
        Scheduler::Lc,
        Scheduler::Wlc,
        Scheduler::Lblc,
        Scheduler::Lblcr,
        Scheduler::Dh,
        Scheduler::Sh,
        Scheduler::Mh,
        Scheduler::Sed,
        Scheduler::Nq,
        Scheduler::Fo,
        Scheduler::Ovf,
        Scheduler::P2c,
    ];
    /// Those of userspace mode.
    pub const IN_USERSPACE: [Scheduler; 3] = [Scheduler::Rr, Scheduler::Lc, Scheduler::P2c];

    /// Those of ipvs mode: the kernel's.
    pub fn in_ipvs() -> impl Iterator<Item = Scheduler> {
        let all = Scheduler::ALL.into_iter();
        all.filter(|scheduler| *scheduler != Scheduler::P2c)
    }

    /// Its name; the kernel's module for it is `ip_vs_` and the name.
    pub fn name(self) -> &'static str {
        match self {
            Scheduler::Rr => "rr",
            Scheduler::Wrr => "wrr",
            Scheduler::Lc => "lc",
            Scheduler::Wlc => "wlc",
            Scheduler::Lblc => "lblc",
            Scheduler::Lblcr => "lblcr",
            Scheduler::Dh => "dh",
            Scheduler::Sh => "sh",
            Scheduler::Mh => "mh",
            Scheduler::Sed => "sed",
            Scheduler::Nq => "nq",
            Scheduler::Fo => "fo",
            Scheduler::Ovf => "ovf",
            Scheduler::P2c => "p2c",
        }
    }

    /// Whether it hashes, and so can be told how.
    fn hashes_the_source(self) -> bool {
        matches!(self, Scheduler::Sh | Scheduler::Mh)
    }
}

impl From<Scheduler> for Scheduling {
    fn from(scheduler: Scheduler) -> Scheduling {
        Scheduling {
            scheduler,
            fallback: false,
            port: scheduler == Scheduler::Mh,
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What cannot be understood as a scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchedulingError {
    /// There is none of this name.
    #[error("there is no scheduler {0:?}; there are {all}", all = names())]
    Unknown(String),
    /// It has no such flag.
    #[error("scheduler {scheduler} has no flag {flag:?}{flags}", flags = flags(*scheduler))]
    Flag {
        /// The scheduler.
        scheduler: Scheduler,
        /// What was given as its flag.
        flag: String,
    },
}

/// A name, and flags behind commas as ipvsadm(8) has them: `sh,sh-port,sh-fallback`.
impl FromStr for Scheduling {
    type Err = SchedulingError;

    fn from_str(text: &str) -> Result<Scheduling, SchedulingError> {
        let mut words = text.split(',').map(str::trim);
        let name = words.next().unwrap_or_default();
        let mut all = Scheduler::ALL.into_iter();
        let scheduler = all
            .find(|scheduler| scheduler.name() == name)
            .ok_or_else(|| SchedulingError::Unknown(name.to_owned()))?;
        let mut scheduling = Scheduling::from(scheduler);
        for flag in words {
            let own = flag.strip_prefix(scheduler.name());
            match own.filter(|_| scheduler.hashes_the_source()) {
                Some("-fallback") => scheduling.fallback = true,
                Some("-port") => scheduling.port = true,
                _ => {
                    let flag = flag.to_owned();
                    return Err(SchedulingError::Flag { scheduler, flag });
                }
            }
        }
        Ok(scheduling)
    }
}

fn names() -> String {
    Scheduler::ALL.map(Scheduler::name).join(", ")
}

fn flags(scheduler: Scheduler) -> String {
    match scheduler.hashes_the_source() {
        true => format!("; it has {scheduler}-fallback and {scheduler}-port"),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_is_known_by_its_name() {
        for scheduler in Scheduler::ALL {
            assert_eq!(scheduler.name().parse(), Ok(Scheduling::from(scheduler)));
        }
        assert!(Scheduling::from(Scheduler::Mh).port);
    }

    #[test]
    fn hashes_have_flags() {
        let sh = Scheduling {
            scheduler: Scheduler::Sh,
            fallback: true,
            port: true,
        };
        assert_eq!("sh,sh-port, sh-fallback".parse(), Ok(sh));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| text.parse::<Scheduling>().unwrap_err().to_string();
        assert_eq!(
            said("random"),
            "there is no scheduler \"random\"; there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, p2c"
        );
        assert_eq!(said("rr,rr-port"), "scheduler rr has no flag \"rr-port\"");
        assert_eq!(
            said("sh,mh-port"),
            "scheduler sh has no flag \"mh-port\"; it has sh-fallback and sh-port"
        );
    }
}

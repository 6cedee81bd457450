//! Sets kernel parameters as the configuration wants them, again whenever that changes.
//!
//! What cannot be set is a warning: the proxy works with the kernel's own values, and a container
//! that may not write them is a way to run it. Only ipvs mode cannot do without one.

use std::collections::BTreeMap;

use tracing::{info, warn};

use fairlead_core::parameters::{ConntrackSettings, IPVS_CONNTRACK, Parameter, conntrack, ipvs};
use fairlead_kernel::conntrack::{Conntrack, ConntrackSocket};
use fairlead_kernel::cpus;
use fairlead_kernel::sysctl::{ProcSys, SysctlError, Sysctls};

/// The kernel's parameters, and what was done about them.
#[derive(Debug)]
pub(super) struct Parameters<S> {
    sysctls: S,
    /// Makes the kernel have the parameters of connection tracking.
    load: fn(&mut S),
    /// What parameters were before they were set.
    before: BTreeMap<&'static str, String>,
    /// What could not be set, and what was said about it.
    refused: BTreeMap<&'static str, SysctlError>,
}

impl Parameters<ProcSys> {
    /// Those of the network namespace of the calling thread.
    pub(super) fn of_this_host() -> Self {
        Self::new(ProcSys, |_| load_conntrack())
    }

    /// Sets those of connection tracking as these settings want them.
    pub(super) fn track(&mut self, settings: &ConntrackSettings) {
        self.apply(&conntrack(settings, cpus::online()));
    }
}

impl<S: Sysctls> Parameters<S> {
    /// Sets what ipvs mode needs, which has to have the module `ip_vs` loaded before.
    ///
    /// # Errors
    /// Connections of IPVS are not tracked, and cannot be: then none is masqueraded, and answers
    /// go past this node. Without the others the mode works, not as well: they are warned of.
    pub(super) fn balance(
        &mut self,
        strict_arp: bool,
        kernel: (u32, u32),
    ) -> Result<(), SysctlError> {
        self.apply(&ipvs(strict_arp, kernel));
        match self.refused.remove(IPVS_CONNTRACK) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn new(sysctls: S, load: fn(&mut S)) -> Self {
        Self {
            sysctls,
            load,
            before: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Sets what is not as it is wanted, and puts back what was set and is not wanted any more.
    /// Each refusal is told once. Returns what is refused now.
    pub(super) fn apply(&mut self, wanted: &[Parameter]) -> Vec<&'static str> {
        let is_absent = |p: &Parameter| self.sysctls.read(p.name).is_err_and(|e| e.is_absent());
        if wanted.iter().any(is_absent) {
            (self.load)(&mut self.sysctls);
        }
        self.release(wanted);
        for parameter in wanted {
            match self.set(parameter) {
                Ok(()) => drop(self.refused.remove(parameter.name)),
                Err(error) => self.refuse(parameter, error),
            }
        }
        self.refused.keys().copied().collect()
    }

    /// Puts back what was set and is not wanted any more.
    pub(super) fn release(&mut self, wanted: &[Parameter]) {
        let is_wanted = |name: &'static str| wanted.iter().any(|p| p.name == name);
        self.refused.retain(|name, _| is_wanted(name));
        let (kept, released) = std::mem::take(&mut self.before)
            .into_iter()
            .partition(|(name, _)| is_wanted(name));
        self.before = kept;
        self.put_back(released);
    }

    fn put_back(&mut self, values: BTreeMap<&'static str, String>) {
        for (name, value) in values {
            match self.sysctls.write(name, &value) {
                Ok(()) => info!("set {name} back to {value}"),
                Err(error) => warn!("{name} does not get its value {value} back: {error}"),
            }
        }
    }

    fn set(&mut self, parameter: &Parameter) -> Result<(), SysctlError> {
        let current = self.sysctls.read(parameter.name)?;
        if parameter.accepts(&current) {
            return Ok(());
        }
        let Parameter { name, value, .. } = parameter;
        self.sysctls.write(name, &value.to_string())?;
        info!("set {name} to {value}, it was {current}");
        self.before.entry(name).or_insert(current);
        Ok(())
    }

    fn refuse(&mut self, parameter: &Parameter, error: SysctlError) {
        let Parameter {
            name, value, field, ..
        } = parameter;
        if self.refused.get(name) != Some(&error) {
            warn!("{error}; {field} wants it to be {value}, going on without");
        }
        self.refused.insert(name, error);
    }
}

/// Asking how many connections there are makes the kernel load the module, where modules may be loaded.
/// When it cannot, the parameters stay absent, which is told then.
fn load_conntrack() {
    if let Ok(mut conntrack) = ConntrackSocket::open() {
        let _ = conntrack.count();
    }
}

#[cfg(test)]
mod tests {
    use fairlead_core::parameters::Rule;
    use fairlead_kernel::sysctl::FakeSysctls;

    use super::*;

    const MAX: &str = "net/netfilter/nf_conntrack_max";
    const BUCKETS: &str = "net/netfilter/nf_conntrack_buckets";
    const LIBERAL: &str = "net/netfilter/nf_conntrack_tcp_be_liberal";
    /// `EROFS` (errno(3)).
    const READ_ONLY: i32 = 30;

    fn wanted(name: &'static str, value: u64) -> Parameter {
        let rule = match name {
            BUCKETS => Rule::AtLeast,
            _ => Rule::Exactly,
        };
        Parameter {
            name,
            value,
            rule,
            field: "conntrack",
        }
    }

    fn parameters(values: &[(&str, &str)]) -> Parameters<FakeSysctls> {
        Parameters::new(FakeSysctls::new(values.iter().copied()), |_| ())
    }

    fn value(parameters: &Parameters<FakeSysctls>, name: &str) -> String {
        parameters.sysctls.read(name).unwrap()
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut parameters = parameters(&[(MAX, "262144"), (BUCKETS, "65536"), (LIBERAL, "1")]);
        let all = [
            wanted(MAX, 131_072),
            wanted(BUCKETS, 32_768),
            wanted(LIBERAL, 1),
        ];
        assert_eq!(parameters.apply(&all), [""; 0]);
        assert_eq!(parameters.sysctls.writes(), 1);
        assert_eq!(value(&parameters, MAX), "131072");
        assert_eq!(parameters.apply(&all), [""; 0]);
        assert_eq!(parameters.sysctls.writes(), 1);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_put_back() {
        let mut parameters = parameters(&[(MAX, "1"), (LIBERAL, "0")]);
        parameters.apply(&[wanted(MAX, 2), wanted(LIBERAL, 1)]);
        parameters.apply(&[wanted(MAX, 3)]);
        assert_eq!(
            (&*value(&parameters, MAX), &*value(&parameters, LIBERAL)),
            ("3", "0")
        );
        parameters.apply(&[]);
        assert_eq!(value(&parameters, MAX), "1");
        let writes = parameters.sysctls.writes();
        parameters.apply(&[]);
        assert_eq!(parameters.sysctls.writes(), writes);
    }

    #[test]
    fn a_release_sets_nothing() {
        let mut parameters = parameters(&[(MAX, "1"), (LIBERAL, "0")]);
        parameters.apply(&[wanted(LIBERAL, 1)]);
        parameters.release(&[wanted(MAX, 2)]);
        assert_eq!(
            (&*value(&parameters, MAX), &*value(&parameters, LIBERAL)),
            ("1", "0")
        );
    }

    #[test]
    fn a_read_only_proc_is_told_once_and_keeps_nothing_else_from_being_set() {
        let mut parameters = parameters(&[(MAX, "1"), (BUCKETS, "9"), (LIBERAL, "0")]);
        parameters.sysctls.refuse_writes = Some(READ_ONLY);
        let all = [wanted(MAX, 2), wanted(BUCKETS, 8), wanted(LIBERAL, 1)];
        let (refused, said) = log_of(|| parameters.apply(&all));
        assert_eq!(refused, [MAX, LIBERAL]);
        assert_eq!(said.matches("WARN").count(), 2, "{said}");
        assert!(said.contains("set it on the host"), "{said}");
        let (refused, said) = log_of(|| parameters.apply(&all));
        assert_eq!((refused.len(), &*said), (2, ""));
        // Another reason is news, and what is not wanted is no reason any more.
        parameters.sysctls.refuse_writes = Some(READ_ONLY + 1);
        let (refused, said) = log_of(|| parameters.apply(&all[..1]));
        assert_eq!(
            (refused.len(), said.matches("WARN").count()),
            (1, 1),
            "{said}"
        );
        parameters.sysctls.refuse_writes = None;
        assert_eq!(parameters.apply(&all), [""; 0]);
        assert_eq!(value(&parameters, MAX), "2");
    }

    #[test]
    fn ipvs_does_without_all_but_tracked_connections() {
        let forward = ("net/ipv4/ip_forward", "0");
        let mut parameters = parameters(&[(IPVS_CONNTRACK, "0"), forward]);
        let (set, said) = log_of(|| parameters.balance(true, (6, 1)));
        assert_eq!(set, Ok(()));
        // Of kube-proxy's six, four are not there.
        assert_eq!(said.matches("WARN").count(), 4, "{said}");
        assert_eq!(value(&parameters, IPVS_CONNTRACK), "1");
        assert_eq!(value(&parameters, forward.0), "1");

        parameters.apply(&[]);
        parameters.sysctls.refuse_writes = Some(READ_ONLY);
        let (set, _) = log_of(|| parameters.balance(true, (6, 1)));
        assert_eq!(set.map_err(|error| error.name), Err(IPVS_CONNTRACK.into()));
    }

    #[test]
    fn parameters_of_a_module_are_there_once_it_is_loaded() {
        let mut parameters = parameters(&[]);
        assert_eq!(parameters.apply(&[wanted(MAX, 2)]), [MAX]);
        parameters.load = |sysctls| sysctls.add(MAX, "1");
        assert_eq!(parameters.apply(&[wanted(MAX, 2)]), [""; 0]);
        assert_eq!(value(&parameters, MAX), "2");
    }

    /// What a piece of work returns, and what it logged.
    fn log_of<T>(work: impl FnOnce() -> T) -> (T, String) {
        let log = tempfile::NamedTempFile::new().unwrap();
        let file = log.reopen().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(std::sync::Mutex::new(file))
            .finish();
        let result = tracing::subscriber::with_default(subscriber, work);
        (result, std::fs::read_to_string(log.path()).unwrap())
    }
}

//! Kernel parameters under `/proc/sys`, as sysctl(8) sets them.
//!
//! Those under `net/` are those of the calling thread's network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// The kernel's parameters or a fake. A name is a path below `/proc/sys`, such as
/// `net/ipv4/ip_forward`, since the name of a network device may have dots.
pub trait Sysctls {
    /// A parameter's value, without the newline at its end.
    fn read(&self, name: &str) -> Result<String, SysctlError>;

    /// Sets a parameter.
    fn write(&mut self, name: &str, value: &str) -> Result<(), SysctlError>;
}

/// A parameter that could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot {access} the sysctl {name}: {}{}", io::Error::from_raw_os_error(*.errno), hint(*.errno))]
pub struct SysctlError {
    /// `read` or `write`.
    pub access: &'static str,
    /// The parameter.
    pub name: String,
    /// The error number (errno(3)).
    pub errno: i32,
}

impl SysctlError {
    /// The kernel has no such parameter, or not yet.
    pub fn is_absent(&self) -> bool {
        self.errno == libc::ENOENT
    }
}

fn hint(errno: i32) -> &'static str {
    match errno {
        libc::EROFS => {
            " (/proc/sys is mounted read-only here: run the container privileged, \
             or set it on the host)"
        }
        libc::EACCES | libc::EPERM => {
            " (needs root on the host, and what all network namespaces share also the host's own: \
             set it on the host)"
        }
        libc::ENOENT => " (this kernel does not have it, or its module is not loaded)",
        _ => "",
    }
}

/// `/proc/sys`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcSys;

impl Sysctls for ProcSys {
    fn read(&self, name: &str) -> Result<String, SysctlError> {
        path(name)
            .and_then(fs::read_to_string)
            .map(|value| value.trim_end().to_owned())
            .map_err(failed("read", name))
    }

    fn write(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        path(name)
            .and_then(|path| fs::OpenOptions::new().write(true).open(path))
            .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
            .map_err(failed("write", name))
    }
}

/// Refuses names that lead out of `/proc/sys`.
fn path(name: &str) -> io::Result<PathBuf> {
    let name = Path::new(name);
    if !name
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(Path::new("/proc/sys").join(name))
}

fn failed(access: &'static str, name: &str) -> impl FnOnce(io::Error) -> SysctlError {
    move |error| {
        // Only errors that std makes up itself have no number, such as for a NUL in a path.
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        SysctlError {
            access,
            name: name.to_owned(),
            errno,
        }
    }
}

/// Parameters in memory. There are those that it was made with, and no others.
#[derive(Debug, Clone, Default)]
pub struct FakeSysctls {
    values: BTreeMap<String, String>,
    writes: usize,
    /// Every write fails with this error number, as `EROFS` does in a container.
    pub refuse_writes: Option<i32>,
}

impl FakeSysctls {
    /// Parameters with their values.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            values: values.collect(),
            ..Self::default()
        }
    }

    /// Adds a parameter, as a module that is loaded does.
    pub fn add(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// How often a parameter was set.
    pub fn writes(&self) -> usize {
        self.writes
    }
}

impl Sysctls for FakeSysctls {
    fn read(&self, name: &str) -> Result<String, SysctlError> {
        let value = self.values.get(name).cloned();
        value
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
            .map_err(failed("read", name))
    }

    fn write(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        let refused = |errno| failed("write", name)(io::Error::from_raw_os_error(errno));
        if let Some(errno) = self.refuse_writes {
            return Err(refused(errno));
        }
        let slot = self
            .values
            .get_mut(name)
            .ok_or_else(|| refused(libc::ENOENT))?;
        value.clone_into(slot);
        self.writes += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORWARD: &str = "net/ipv4/ip_forward";

    #[test]
    fn a_refusal_says_what_to_do() {
        let mut sysctls = FakeSysctls::new([(FORWARD, "0")]);
        sysctls.refuse_writes = Some(libc::EROFS);
        let error = sysctls.write(FORWARD, "1").unwrap_err().to_string();
        assert!(
            error.contains(FORWARD) && error.contains("Read-only"),
            "{error}"
        );
        assert!(error.contains("set it on the host"), "{error}");
    }

    #[test]
    fn names_cannot_lead_out_of_proc_sys() {
        for name in ["../self/comm", "/etc/hostname", "net/../../self/comm"] {
            let error = ProcSys.read(name).map_err(|error| error.errno);
            assert_eq!(error, Err(libc::EINVAL), "{name}");
        }
        assert_eq!(ProcSys.read("no\0pe").unwrap_err().errno, libc::EINVAL);
        assert_eq!(ProcSys.read("net/none").unwrap_err().errno, libc::ENOENT);
    }
}

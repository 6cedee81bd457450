//! The programs of the legacy iptables: which ones there are, and what they can.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::super::ruleset::Family;
use super::run::run;
use crate::error::CallError;

/// How long a program may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// Where programs of administrators are, in case the search path was made for others.
const ALSO: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// Of what version a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

/// Since then restore waits for the lock (`-w`) and MASQUERADE has `--random-fully`.
const WAITS: Version = Version(1, 6, 2);

/// The programs for one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) restore: PathBuf,
    pub(super) save: PathBuf,
    pub(super) version: Version,
    /// Restore has `-w`.
    pub(super) waits: bool,
}

impl Tools {
    /// Finds the programs on the search path of this process.
    ///
    /// # Errors
    /// `ENOENT`, with what to install.
    pub(super) fn find(family: Family) -> Result<Tools, CallError> {
        Tools::find_in(family, &search_path())
    }

    pub(super) fn find_in(family: Family, path: &OsStr) -> Result<Tools, CallError> {
        let command = match family {
            Family::Ip => "iptables",
            Family::Ip6 => "ip6tables",
        };
        let named = [format!("{command}-legacy"), command.to_owned()];
        let found = named.iter().find_map(|name| Tools::look(name, path));
        found.ok_or_else(|| CallError {
            call: "find",
            object: format!(
                "{command}-legacy-restore, or an {command}-restore of the legacy variant; \
                 install the package `iptables`"
            ),
            errno: libc::ENOENT,
        })
    }

    /// The programs that go with this one, if they are of the legacy variant.
    fn look(name: &str, path: &OsStr) -> Option<Tools> {
        let restore = which(&format!("{name}-restore"), path)?;
        let save = which(&format!("{name}-save"), path)?;
        let said = version_of(&restore);
        let waits = said.is_some();
        // Before 1.6.2 restore did not know the question.
        let said = said.or_else(|| version_of(&which(name, path)?))?;
        if said.contains("nf_tables") {
            return None;
        }
        let version = Version::parse(&said).unwrap_or_default();
        Some(Tools {
            restore,
            save,
            version,
            waits: waits || version >= WAITS,
        })
    }

    /// MASQUERADE has `--random-fully`.
    pub(super) fn random_fully(&self) -> bool {
        self.version >= WAITS
    }
}

impl Version {
    /// Reads `iptables-restore v1.8.9 (legacy)`.
    fn parse(said: &str) -> Option<Version> {
        let numbers = said.split_whitespace().find_map(|word| {
            word.strip_prefix('v')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })?;
        let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let mut next = || numbers.next()?.ok();
        let major = next()?;
        Some(Version(
            major,
            next().unwrap_or_default(),
            next().unwrap_or_default(),
        ))
    }
}

/// Whether `iptables` itself is the legacy one here, as far as the name of what it is a link to says
/// it. Runs nothing.
pub(in crate::iptables) fn is_what_iptables_is() -> bool {
    is_what_iptables_is_in(&search_path())
}

pub(super) fn is_what_iptables_is_in(path: &OsStr) -> bool {
    let program = which("iptables", path).and_then(|link| link.canonicalize().ok());
    let name = program.as_deref().and_then(Path::file_name);
    // Before 1.8 there was no other.
    name.is_some_and(|name| name == "xtables-legacy-multi" || name == "xtables-multi")
}

fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(ALSO);
    path
}

fn which(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_absolute() && program.is_file())
}

/// What a program says of its version, if it knows the question.
fn version_of(program: &Path) -> Option<String> {
    let mut printed = Vec::new();
    let mut command = Command::new(program);
    // One that does not know it reads what to do, of which there is nothing.
    let ended = run(command.arg("--version"), &[], VERSION_LIMIT, |bytes| {
        printed.extend_from_slice(bytes);
    });
    let said = String::from_utf8_lossy(&printed).into_owned();
    let succeeded = ended.is_ok_and(|ended| ended.status.success());
    (succeeded && Version::parse(&said).is_some()).then_some(said)
}

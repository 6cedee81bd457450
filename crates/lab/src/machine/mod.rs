//! A machine with another kernel, for what this host's kernel lacks or does otherwise.
//!
//! It is a QEMU without hardware virtualisation, which runs anywhere, with Debian's kernel. Its
//! files are the host's: what is built here runs there. It may write wherever it likes, into
//! memory that goes with it. `scripts/vm-setup` puts together what it boots, and `scripts/vm-init`
//! is its first process.
//!
//! ```no_run
//! use std::{path::Path, process::Command, time::Duration};
//! use fairlead_lab::Machine;
//!
//! let machine = Machine::find(Path::new("target/vm"))?;
//! let output = machine.run(Command::new("uname").arg("-r"), Duration::from_secs(60))?;
//! println!("{}", String::from_utf8_lossy(&output.stdout));
//! # Ok::<(), fairlead_lab::MachineError>(())
//! ```

mod exchange;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use thiserror::Error;

use exchange::Exchange;

const QEMU: &str = "qemu-system-x86_64";

/// What `timeout` (GNU coreutils) ends with when it has ended the command.
const TIMED_OUT: i32 = 124;

/// A machine that can be switched on. Any number of them may run at the same time.
#[derive(Debug, Clone)]
pub struct Machine {
    folder: PathBuf,
}

/// Why a command was not run to its end in the machine.
#[derive(Debug, Error)]
pub enum MachineError {
    /// There is nothing to boot, or nothing to boot it with.
    #[error("{missing} is not there: `scripts/vm-setup` gets what a machine needs")]
    NotSetUp {
        /// A file or a command.
        missing: String,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// QEMU could not be started.
    #[error("{QEMU}: {0}")]
    Start(io::Error),
    /// The command took too long, and the machine was switched off.
    #[error("not done in {limit:?}\n{said}")]
    TimedOut {
        /// How long it might have taken.
        limit: Duration,
        /// What had been said by then, by the command and on the console.
        said: String,
    },
    /// The machine ended before the command.
    #[error("the machine ended early: {QEMU}: {status}\n{said}")]
    Died {
        /// How QEMU ended.
        status: ExitStatus,
        /// What was said by the command and on the console.
        said: String,
    },
}

impl Machine {
    /// The machine that `scripts/vm-setup` put into `folder`.
    pub fn find(folder: &Path) -> Result<Machine, MachineError> {
        let machine = Machine {
            folder: folder.to_owned(),
        };
        let files = [machine.kernel(), machine.initramfs(), machine.modules()];
        if let Some(missing) = files.iter().find(|file| !file.exists()) {
            let missing = missing.display().to_string();
            return Err(MachineError::NotSetUp { missing });
        }
        match Command::new(QEMU).arg("--version").output() {
            Ok(_) => Ok(machine),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MachineError::NotSetUp {
                missing: QEMU.to_owned(),
            }),
            Err(error) => Err(MachineError::Start(error)),
        }
    }

    /// Boots, runs a command as root with the host's files, and switches off. Of this process's
    /// environment the command gets nothing; what is set for the command it gets.
    ///
    /// Files of the host that the command uses must not be replaced meanwhile: a program may then
    /// hang. What is opened for writing in the machine is a copy from then on.
    ///
    /// `limit` is for all of it. Booting takes a few seconds, and code runs some ten times slower
    /// than here.
    pub fn run(&self, command: &Command, limit: Duration) -> Result<Output, MachineError> {
        let exchange = Exchange::with(command)?;
        let qemu = self
            .qemu(exchange.folder(), limit)
            .stdin(Stdio::null())
            .output()
            .map_err(MachineError::Start)?;
        if let Some(output) = exchange.output()? {
            return Ok(output);
        }
        let said = exchange.said(&qemu)?;
        Err(match qemu.status {
            status if status.code() == Some(TIMED_OUT) => MachineError::TimedOut { limit, said },
            status => MachineError::Died { status, said },
        })
    }

    /// QEMU, with the console as its standard output. The limit is kept by a process besides this
    /// one, so that it holds for a machine whose starter was killed.
    fn qemu(&self, exchange: &Path, limit: Duration) -> Command {
        let mut qemu = Command::new("timeout");
        // In the foreground, so that an interrupt from the terminal ends the machine too.
        qemu.args(["--foreground", "--kill-after=5"])
            .args([&limit.as_secs_f64().to_string(), QEMU])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio"])
            .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
            .args(["-smp", "2", "-m", "1024"])
            // A panic restarts the machine at once, and a restart is the end of it.
            .args(["-no-reboot", "-append", "console=ttyS0 quiet panic=-1"])
            .arg("-kernel")
            .arg(self.kernel())
            .arg("-initrd")
            .arg(self.initramfs());
        for (tag, folder, access) in [
            ("host", Path::new("/"), "readonly=on"),
            ("modules", &self.modules(), "readonly=on"),
            ("exchange", exchange, "readonly=off"),
        ] {
            qemu.arg("-virtfs").arg(share(tag, folder, access));
        }
        qemu
    }

    fn kernel(&self) -> PathBuf {
        self.folder.join("kernel")
    }

    fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules")
    }
}

/// A folder of the host, as QEMU is told of it. Commas separate its options; doubled they do not.
fn share(tag: &str, folder: &Path, access: &str) -> OsString {
    let options = format!("local,mount_tag={tag},security_model=none,multidevs=remap,{access}");
    let mut share = OsString::from(options);
    share.push(",path=");
    let parts: Vec<&[u8]> = folder
        .as_os_str()
        .as_bytes()
        .split(|byte| *byte == b',')
        .collect();
    share.push(OsStr::from_bytes(&parts.join(&b",,"[..])));
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_is_no_end_of_it() {
        assert_eq!(
            share("host", Path::new("/a,b/c"), "readonly=on"),
            "local,mount_tag=host,security_model=none,multidevs=remap,readonly=on,path=/a,,b/c"
        );
    }

    #[test]
    fn a_machine_that_is_not_there_says_how_to_get_it() {
        let error = Machine::find(Path::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "/nonexistent/kernel is not there: `scripts/vm-setup` gets what a machine needs"
        );
    }
}

//! The folder by which a machine gets its command and gives back what came of it.
//!
//! `scripts/vm-init` is at the other end.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};

use tempfile::TempDir;

use super::MachineError;

/// Gone when dropped.
pub(super) struct Exchange(TempDir);

impl Exchange {
    /// A folder with a command in it.
    pub(super) fn with(command: &Command) -> Result<Exchange, MachineError> {
        let folder = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
        let path = folder.path().join("command");
        fs::write(&path, script(command)).map_err(failed(&path))?;
        Ok(Exchange(folder))
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// What came of the command; `None` if it did not end.
    pub(super) fn output(&self) -> Result<Option<Output>, MachineError> {
        let status = self.read("status")?;
        let status = str::from_utf8(&status)
            .ok()
            .and_then(|status| status.trim().parse::<i32>().ok());
        let Some(status) = status else {
            return Ok(None);
        };
        Ok(Some(Output {
            // As wait(2) has it: the signal is in the low byte, and the shell has none.
            status: ExitStatus::from_raw(status << 8),
            stdout: self.read("stdout")?,
            stderr: self.read("stderr")?,
        }))
    }

    /// All that was said, where the command did not end.
    pub(super) fn said(&self, qemu: &Output) -> Result<String, MachineError> {
        let (stdout, stderr) = (self.read("stdout")?, self.read("stderr")?);
        let said = [&stdout, &stderr, &qemu.stdout, &qemu.stderr];
        Ok(said.map(|said| String::from_utf8_lossy(said)).concat())
    }

    /// Nothing if the machine did not come so far.
    fn read(&self, name: &str) -> Result<Vec<u8>, MachineError> {
        let path = self.folder().join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(failed(&path)),
        }
    }
}

/// The command as the shell has it.
fn script(command: &Command) -> Vec<u8> {
    let mut script = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            script.extend([b"export ", name.as_bytes(), b"=", &quoted(value), b"\n"].concat());
        }
    }
    if let Some(folder) = command.get_current_dir() {
        script.extend([b"cd ", &quoted(folder.as_os_str())[..], b" || exit\n"].concat());
    }
    script.extend(b"exec");
    for word in [command.get_program()]
        .into_iter()
        .chain(command.get_args())
    {
        script.extend([b" ", &quoted(word)[..]].concat());
    }
    script.push(b'\n');
    script
}

/// Between single quotes all is itself, but for them.
fn quoted(word: &OsStr) -> Vec<u8> {
    let parts: Vec<&[u8]> = word.as_bytes().split(|byte| *byte == b'\'').collect();
    [b"'", &parts.join(&br"'\''"[..])[..], b"'"].concat()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> MachineError {
    |error| MachineError::File {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_the_words_as_they_are() {
        let mut command = Command::new("/bin/it's here");
        command
            .args(["$HOME", "a b", ""])
            .env("NAME", "*")
            .current_dir("/tmp/x;y");
        let expected =
            "export NAME='*'\ncd '/tmp/x;y' || exit\nexec '/bin/it'\\''s here' '$HOME' 'a b' ''\n";
        assert_eq!(String::from_utf8(script(&command)).unwrap(), expected);
    }
}

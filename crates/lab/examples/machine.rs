//! Runs a command in the machine: this host's files, another kernel.
//!
//! `cargo run -p fairlead-lab --example machine -- uname -a`. Also runs whole tests there:
//! `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="cargo run -p fairlead-lab --example machine --"
//! cargo test -p fairlead --test conformance`.

use std::env;
use std::error::Error;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use fairlead_lab::Machine;

/// What `scripts/vm-setup` makes.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/vm");

/// For whatever somebody may want to run.
const LIMIT: Duration = Duration::from_hours(1);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let mut command = Command::new(words.next().ok_or("which command?")?);
    command.args(words).current_dir(env::current_dir()?);
    let output = Machine::find(Path::new(FOLDER))?.run(&command, LIMIT)?;
    stdout().write_all(&output.stdout)?;
    stderr().write_all(&output.stderr)?;
    let code = output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

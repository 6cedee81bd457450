//! Runs a program with a limit to how long it may take, and reads what it prints as it comes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

/// How much is read or written at once, in bytes: what a pipe holds.
const PIECE: usize = 64 * 1024;

/// How much is kept of what a program complains about, in bytes.
const COMPLAINTS: usize = 16 * 1024;

/// What became of a program.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// What it said on its standard error.
    pub(super) said: String,
}

/// Runs a program, gives it `input`, and hands over what it prints piece by piece.
///
/// # Errors
/// That of starting it; [`io::ErrorKind::TimedOut`] when it took longer than `limit` and was
/// killed, with all that it started.
pub(super) fn run(
    command: &mut Command,
    input: &[u8],
    limit: Duration,
    mut print: impl FnMut(&[u8]),
) -> io::Result<Ended> {
    let deadline = Instant::now() + limit;
    let mut child = command
        // What it says is read by a program.
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let ended = exchange(&mut child, input, deadline, &mut print)
        .and_then(|said| Ok((wait(&mut child, deadline)?, said)));
    match ended {
        Ok((status, said)) => {
            let said = String::from_utf8_lossy(&said).into_owned();
            Ok(Ended { status, said })
        }
        Err(error) => {
            kill(&mut child);
            Err(error)
        }
    }
}

fn kill(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // It may be gone already.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// Writes all input and reads all output, until the program closes its side. Returns what it
/// complained about.
fn exchange(
    child: &mut Child,
    input: &[u8],
    deadline: Instant,
    print: &mut impl FnMut(&[u8]),
) -> io::Result<Vec<u8>> {
    let mut stdin = Feed::new(child.stdin.take(), input)?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0; PIECE];
    let mut said = Vec::new();
    while stdout.is_some() || stderr.is_some() {
        let fds = [stdin.fd(), fd_of(stdout.as_ref()), fd_of(stderr.as_ref())];
        let [writes, prints, complains] = ready(fds, deadline)?;
        if writes {
            stdin.write()?;
        }
        if prints {
            read_some(&mut stdout, &mut buffer, &mut *print)?;
        }
        if complains {
            read_some(&mut stderr, &mut buffer, |bytes| {
                let room = COMPLAINTS.saturating_sub(said.len());
                said.extend_from_slice(&bytes[..room.min(bytes.len())]);
            })?;
        }
    }
    Ok(said)
}

/// What is still to be written to a program.
struct Feed<'a> {
    to: Option<ChildStdin>,
    rest: &'a [u8],
}

impl<'a> Feed<'a> {
    fn new(to: Option<ChildStdin>, rest: &'a [u8]) -> io::Result<Feed<'a>> {
        if let Some(to) = &to {
            // It may take less than we have.
            rustix::io::ioctl_fionbio(to, true)?;
        }
        let to = to.filter(|_| !rest.is_empty());
        Ok(Feed { to, rest })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        fd_of(self.to.as_ref())
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(to) = &mut self.to else {
            return Ok(());
        };
        match to.write(&self.rest[..self.rest.len().min(PIECE)]) {
            Ok(length) => self.rest = &self.rest[length..],
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                // It reads no more, and says why.
                io::ErrorKind::BrokenPipe => self.rest = &[],
                _ => return Err(error),
            },
        }
        if self.rest.is_empty() {
            self.to = None;
        }
        Ok(())
    }
}

fn fd_of(file: Option<&impl AsFd>) -> Option<BorrowedFd<'_>> {
    file.map(AsFd::as_fd)
}

/// Waits until something can be done; what, by the file descriptors' places.
fn ready(fds: [Option<BorrowedFd<'_>>; 3], deadline: Instant) -> io::Result<[bool; 3]> {
    let [writes, ..] = fds;
    let mut polled = Vec::with_capacity(3);
    polled.extend(writes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
    let reads = fds[1..].iter().flatten();
    polled.extend(reads.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut events = polled.iter().map(|fd| !fd.revents().is_empty());
    Ok(fds.map(|fd| fd.is_some() && events.next() == Some(true)))
}

/// Reads what there is; at its end there is no file any more.
fn read_some(
    file: &mut Option<impl Read>,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let Some(from) = file else { return Ok(()) };
    match from.read(buffer) {
        Ok(0) => *file = None,
        Ok(length) => take(&buffer[..length]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Waits for the end of a program that has closed its output, which is near.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &[u8], limit: Duration) -> (io::Result<Ended>, Vec<u8>) {
        let mut printed = Vec::new();
        let mut command = Command::new("sh");
        let ended = run(command.args(["-c", script]), input, limit, |bytes| {
            printed.extend_from_slice(bytes);
        });
        (ended, printed)
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn more_than_a_pipe_holds_goes_in_and_comes_out() {
        let input: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        let (ended, printed) = shell("tee /dev/stderr", &input, MINUTE);
        let ended = ended.unwrap();
        assert!(ended.status.success() && printed == input);
        assert!(ended.said.len() >= COMPLAINTS);
    }

    #[test]
    fn a_program_that_stops_reading_says_why() {
        let (ended, _) = shell("echo why >&2; exit 3", &vec![b'x'; 1_000_000], MINUTE);
        let ended = ended.unwrap();
        assert_eq!((ended.status.code(), &*ended.said), (Some(3), "why\n"));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_what_it_started() {
        for script in ["sleep 600 & wait", "exec >&- 2>&-; sleep 600 & wait"] {
            let begun = Instant::now();
            let (ended, _) = shell(script, b"x", Duration::from_millis(300));
            assert_eq!(
                ended.unwrap_err().kind(),
                io::ErrorKind::TimedOut,
                "{script}"
            );
            assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let ended = run(&mut Command::new("/none"), &[], MINUTE, |_| ());
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

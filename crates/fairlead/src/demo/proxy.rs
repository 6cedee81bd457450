//! The proxy that is shown: this very binary, as a process of its own on the lab's node.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use fairlead_lab::Lab;

use super::events::{Event, Events, Line};
use super::flags::Flags;
use crate::config::duration::GoDuration;

/// How long the proxy may take for anything, on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running proxy. Stopped when dropped.
#[derive(Debug)]
pub(super) struct Proxy<'a> {
    child: Child,
    events: &'a Events,
}

/// What the proxy says of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Synced {
    /// When it said so.
    pub(super) at: Instant,
    /// The Services that it looked at.
    pub(super) services: usize,
    /// The operations that were needed.
    pub(super) operations: usize,
    /// The messages that they were sent in.
    pub(super) messages: usize,
    /// How long the kernel took for them.
    pub(super) apply: Duration,
}

impl<'a> Proxy<'a> {
    /// Starts one with these flags.
    pub(super) fn start(lab: &Lab, flags: &Flags, events: &'a Events) -> anyhow::Result<Proxy<'a>> {
        let own = env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(&own);
        command
            .arg("run")
            .args(flags.arguments())
            // Endpoints may have these ports, and nobody asks the proxy here.
            .args(["--healthz-bind-address=", "--metrics-bind-address=", "-v=4"])
            .env("NO_COLOR", "1")
            // Ctrl-C is for us; the proxy is told when all is done.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = lab
            .node()
            .run(|| command.spawn())?
            .with_context(|| format!("cannot start {}", own.display()))?;
        let log = child.stderr.take();
        let proxy = Proxy { child, events };
        let sender = events.sender();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || read(log, &sender))?;
        Ok(proxy)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a sync that looks at some Service, or (`any`) at none.
    pub(super) fn synced(&self, any: bool) -> anyhow::Result<Synced> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            match self.events.next(deadline)? {
                Some(Event::Logged(line)) => match Synced::read(&line) {
                    Some(synced) if any || synced.services > 0 => return Ok(synced),
                    _ => last = line.text,
                },
                Some(Event::LogEnded) => bail!("the proxy ended: {last}"),
                Some(Event::Enter | Event::Interrupt) => {}
                None => bail!("the proxy did nothing for {PATIENCE:?}; last it said: {last}"),
            }
        }
    }

    /// Changes what it follows, and waits until the rules are as they should be. Returns what it
    /// says, and how long it took from the change on.
    pub(super) fn follows(
        &self,
        change: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<(Synced, Duration)> {
        // What it still has to say of the time before.
        self.events.pause(Duration::ZERO)?;
        let started = Instant::now();
        change()?;
        let synced = self.synced(false)?;
        let took = synced.at.saturating_duration_since(started);
        Ok((synced, took))
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        // It may have ended by itself. Not waited for yet, its process id is its own still.
        let _ = kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.child.wait();
    }
}

fn read(log: Option<ChildStderr>, events: &Sender<Event>) {
    let lines = log.into_iter().flat_map(|log| BufReader::new(log).lines());
    for text in lines.map_while(Result::ok) {
        let at = Instant::now();
        if events.send(Event::Logged(Line { at, text })).is_err() {
            return;
        }
    }
    // The demo may be over.
    let _ = events.send(Event::LogEnded);
}

impl Synced {
    /// Understands what the proxy logs after a sync; `None` of any other line.
    fn read(line: &Line) -> Option<Synced> {
        let (_, said) = line.text.split_once(" sync ")?;
        let (_, said) = said.split_once(": ")?;
        let (counts, times) = said.split_once("; ")?;
        let mut numbers = counts.split(' ').filter_map(|word| word.parse().ok());
        let (_, apply) = times.rsplit_once("apply ")?;
        Some(Synced {
            at: line.at,
            services: numbers.next()?,
            operations: numbers.next()?,
            messages: numbers.next()?,
            apply: apply.parse::<GoDuration>().ok()?.positive(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_read_from_the_log() {
        let at = Instant::now();
        let read = |text: &str| {
            let text = format!("2026-01-02T03:04:05.678901Z  INFO {text}");
            Synced::read(&Line { at, text })
        };
        let said = "sync 2: 1 services, 14 operations in 20 messages; \
                    observe 0ns, render 164.645µs, plan 183.855µs, apply 9.426417ms";
        let synced = Synced {
            at,
            services: 1,
            operations: 14,
            messages: 20,
            apply: Duration::from_nanos(9_426_417),
        };
        assert_eq!(read(said), Some(synced));
        assert_eq!(read("Linux 6.12.0, serving IPv4 and IPv6"), None);
        assert_eq!(read("could not sync 2: 1"), None);
    }
}

//! The real binary, from outside: how soon it serves, how much memory it takes, and what a
//! connection costs through its rules.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::cluster::{self, Cluster};
use crate::sync::timed;

const HEALTHZ: &str = "127.0.0.1:10256";
/// How long the process may take to serve.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often to look whether it does.
const PAUSE: Duration = Duration::from_millis(2);
/// How long to wait for an answer that need not come: on a loopback device it comes at once.
pub(crate) const SHORT: Duration = Duration::from_millis(5);
/// How long to wait for an answer that has to come.
const LONG: Duration = Duration::from_secs(5);
/// What is left to do when the process serves: to give memory back.
const SETTLING: Duration = Duration::from_millis(500);
/// How many connections are timed.
const CONNECTIONS: usize = 1000;
/// How many may go unanswered. Masquerading draws the source port by chance, and a pod that still
/// remembers an earlier connection from that port (TIME-WAIT, RFC 9293) does not answer.
const UNANSWERED: usize = 5;

/// What a process costs.
#[derive(Debug)]
pub(crate) struct Footprint {
    /// From its start to the first connection through the last Service.
    pub(crate) first_answer: Duration,
    /// From its start until /readyz says 200.
    pub(crate) ready: Duration,
    /// Resident memory after that, in KiB.
    pub(crate) resident: usize,
    /// The most resident memory it had, in KiB.
    pub(crate) peak: usize,
    /// A connection to a pod.
    pub(crate) direct: Duration,
    /// A connection to the last Service.
    pub(crate) through_service: Duration,
}

/// Runs `fairlead run` in this mode and in the namespace of the calling thread, and ends it.
pub(crate) fn measure(mode: &str, cluster: Cluster, manifests: &Path) -> anyhow::Result<Footprint> {
    let log = manifests.with_extension("log");
    let mut daemon = Daemon::start(mode, "--manifests", manifests, &log)?;
    let pods = TcpListener::bind(("0.0.0.0", cluster::POD_PORT))?;
    daemon.footprint(cluster, &pods)
}

/// A running `fairlead run`, which ends with this.
pub(crate) struct Daemon {
    child: Child,
    started: Instant,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with objects from `source`, a flag that takes a path.
    pub(crate) fn start(
        mode: &str,
        source: &str,
        path: &Path,
        log: &Path,
    ) -> anyhow::Result<Daemon> {
        // Built along with this.
        let binary = std::env::current_exe()?.with_file_name("fairlead");
        let child = Command::new(&binary)
            .args(["run", "--proxy-mode", mode, source])
            .arg(path)
            .args(["--hostname-override", cluster::NODE])
            .args(["--cluster-cidr", cluster::PODS])
            .args(["--healthz-bind-address", HEALTHZ])
            .args(["--metrics-bind-address", ""])
            .stdin(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        Ok(Daemon {
            child,
            started: Instant::now(),
            log: log.to_owned(),
        })
    }

    /// Waits until it serves, and looks what that took.
    pub(crate) fn footprint(
        &mut self,
        cluster: Cluster,
        pods: &TcpListener,
    ) -> anyhow::Result<Footprint> {
        let service = cluster.last_service();
        let first_answer = self.wait_until(|| connect(service, SHORT, pods).is_ok())?;
        let ready = self.wait_until(is_ready)?;
        thread::sleep(SETTLING);
        Ok(Footprint {
            first_answer,
            ready,
            resident: self.status("VmRSS")?,
            peak: self.status("VmHWM")?,
            direct: connection(cluster.last_pod(), pods)?,
            through_service: connection(service, pods)?,
        })
    }

    /// How long its threads have been running on a processor.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        processor_time(self.child.id())
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready.
    pub(crate) fn wait_until_ready(&mut self) -> anyhow::Result<Duration> {
        self.wait_until(is_ready)
    }

    /// Waits until something is so, and says how long after the start that was.
    fn wait_until(&mut self, is_so: impl Fn() -> bool) -> anyhow::Result<Duration> {
        loop {
            if is_so() {
                return Ok(self.started.elapsed());
            }
            if self.child.try_wait()?.is_some() || self.started.elapsed() > PATIENCE {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the proxy does not serve. It says:\n{log}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// A line of /proc/PID/status (proc_pid_status(5)), in KiB.
    pub(crate) fn status(&self, field: &str) -> anyhow::Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| anyhow!("{field} is not in /proc/PID/status"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // There is nobody to tell; its namespace goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long the threads of a process have been running on a processor (proc_pid_schedstat, in ns).
pub(crate) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let running = text.split(' ').next().unwrap_or_default();
        total += Duration::from_nanos(running.parse()?);
    }
    Ok(total)
}

fn is_ready() -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(HEALTHZ)?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {HEALTHZ}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

/// How long a connection takes to be made, the median of many.
fn connection(to: SocketAddr, pods: &TcpListener) -> anyhow::Result<Duration> {
    let mut durations = Vec::with_capacity(CONNECTIONS);
    let mut unanswered = 0;
    while durations.len() < CONNECTIONS {
        match connect(to, LONG, pods) {
            Ok(took) => durations.push(took),
            Err(_) if unanswered < UNANSWERED => unanswered += 1,
            Err(error) => return Err(error.context(format!("no answer from {to}"))),
        }
    }
    durations.sort();
    Ok(durations[CONNECTIONS / 2])
}

/// Connects, and takes the connection on the pod's side so that the next has room.
fn connect(to: SocketAddr, patience: Duration, pods: &TcpListener) -> anyhow::Result<Duration> {
    let (_client, took) = timed(|| Ok(TcpStream::connect_timeout(&to, patience)?))?;
    pods.accept()?;
    Ok(took)
}

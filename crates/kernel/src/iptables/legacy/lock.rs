//! The lock that iptables takes while it changes a table, for versions whose restore cannot wait
//! for it: before 1.6.2. Newer ones take the file's alone, with `-w`.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// How long each lock is waited for, and how often it is tried meanwhile. As kube-proxy does.
const PATIENCE: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(200);

/// The file that iptables locks since 1.6.0, unless `XTABLES_LOCKFILE` names another.
const FILE: &str = "/run/xtables.lock";

/// The abstract socket that iptables binds before 1.6.0.
const SOCKET: &[u8] = b"xtables";

/// Both locks, as long as this lives.
#[derive(Debug)]
pub(super) struct Locked {
    _file: File,
    _socket: OwnedFd,
}

/// The name of the lock's file.
pub(super) fn file() -> PathBuf {
    env::var_os("XTABLES_LOCKFILE").map_or_else(|| FILE.into(), PathBuf::from)
}

impl Locked {
    /// Takes both locks.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another program keeps one; what the file or the socket
    /// cannot be made for.
    pub(super) fn take() -> io::Result<Locked> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(file())?;
        patiently(Errno::WOULDBLOCK, || {
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        })?;
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        let address = SocketAddrUnix::new_abstract_name(SOCKET)?;
        patiently(Errno::ADDRINUSE, || rustix::net::bind(&socket, &address))?;
        Ok(Locked {
            _file: file,
            _socket: socket,
        })
    }
}

/// Tries again and again as long as it fails by `held`.
fn patiently(held: Errno, mut attempt: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(errno) if errno == held && Instant::now() < deadline => thread::sleep(INTERVAL),
            Err(errno) if errno == held => return Err(io::ErrorKind::WouldBlock.into()),
            result => return Ok(result?),
        }
    }
}

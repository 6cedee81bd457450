//! Network namespaces: make one, name one, work in one.
//!
//! A namespace belongs to a thread, not to a process. Sockets and child processes stay in the
//! namespace of the thread that made them, so it is enough to make them in the right one.
//!
//! Names are those of ip-netns(8): a namespace called `x` is bound to `/run/netns/x`, and
//! `ip netns exec x` and `nsenter --net=/run/netns/x` find it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::error::CallError;

/// Where ip-netns(8) keeps its names.
pub const NAMES: &str = "/run/netns";

/// A network namespace, which lives at least as long as this.
#[derive(Debug)]
pub struct Netns(File);

impl Netns {
    /// Makes a namespace without a name. Its loopback device is down.
    pub fn anonymous() -> Result<Self, CallError> {
        on_a_fresh_thread(|| {
            unshare(UnshareFlags::NEWNET, "network namespace")?;
            Self::current()
        })
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, CallError> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The namespace that a process is in.
    pub fn of_process(pid: u32) -> Result<Self, CallError> {
        Self::open(&Path::new("/proc").join(pid.to_string()).join("ns/net"))
    }

    /// The namespace of this name.
    pub fn named(name: &str) -> Result<Self, CallError> {
        Self::open(&name_path(name)?)
    }

    fn open(path: &Path) -> Result<Self, CallError> {
        File::open(path)
            .map(Self)
            .map_err(failed("open", path.display()))
    }

    /// Moves the calling thread here for good. Threads and processes that it starts from then
    /// on begin here too.
    pub fn enter(&self) -> Result<(), CallError> {
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(self.as_fd(), kind)
            .map_err(failed("setns", "network namespace"))
    }

    /// Does some work in this namespace, on a thread of its own, and waits for it. The calling
    /// thread stays where it is; a panic of the work goes on in it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, CallError> {
        on_a_fresh_thread(|| self.enter().map(|()| work()))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A fresh thread, for a thread that could not leave a namespace again would be of no more use.
fn on_a_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// A network namespace with a name of its own, which goes with this value.
#[derive(Debug)]
pub struct NamedNetns {
    name: String,
    netns: Netns,
}

impl NamedNetns {
    /// Makes a namespace and names it. It is an error (`EEXIST`) if there is one of that name.
    pub fn create(name: &str) -> Result<Self, CallError> {
        let path = name_path(name)?;
        let netns = Netns::anonymous()?;
        share_names()?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o000)
            .open(&path)
            .map_err(failed("create", path.display()))?;
        // From here on dropping this undoes it.
        let named = Self {
            name: name.to_owned(),
            netns,
        };
        let source = format!("/proc/self/fd/{}", named.netns.0.as_raw_fd());
        rustix::mount::mount_bind(source, &path).map_err(failed("mount", path.display()))?;
        Ok(named)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl Drop for NamedNetns {
    fn drop(&mut self) {
        // There is nobody to tell. What is left over is in the list, for `delete`.
        let _ = delete(&self.name);
    }
}

/// The names in use that begin with `prefix`, sorted. Includes names left over by a process
/// that was killed.
pub fn list(prefix: &str) -> Result<Vec<String>, CallError> {
    let entries = match fs::read_dir(NAMES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("open", NAMES))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("readdir", NAMES))?.file_name();
        names.extend(
            name.into_string()
                .ok()
                .filter(|name| name.starts_with(prefix)),
        );
    }
    names.sort();
    Ok(names)
}

/// Takes a name away. The namespace itself lives as long as something is in it or holds it.
pub fn delete(name: &str) -> Result<(), CallError> {
    let path = name_path(name)?;
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        // Nothing is mounted there: what is left when a create was cut short.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(errno) => return Err(failed("umount", path.display())(errno)),
    }
    fs::remove_file(&path).map_err(failed("unlink", path.display()))
}

/// A name is one component of a path: iproute2 has the same rule.
fn name_path(name: &str) -> Result<PathBuf, CallError> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        let errno = libc::EINVAL;
        return Err(CallError {
            call: "network namespace",
            object: format!("{name:?}"),
            errno,
        });
    }
    Ok(Path::new(NAMES).join(name))
}

/// Makes the folder of names a shared mount, as ip-netns(8) does: otherwise a name would not
/// show in mount namespaces made before it, and a deleted one would be kept busy by them.
fn share_names() -> Result<(), CallError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(NAMES)
        .map_err(failed("mkdir", NAMES))?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    let share = || rustix::mount::mount_change(NAMES, shared);
    let done = match share() {
        // Not a mount yet.
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(NAMES, NAMES).and_then(|()| share())
        }
        done => done,
    };
    done.map_err(failed("mount", NAMES))
}

/// Makes an ordinary user root of namespaces of the process's own: of users, of mounts and of
/// networks. In them it may do to the network whatever root may, and nothing outside.
///
/// `/run` is a fresh tmpfs in there, so that namespaces can have names and iptables its lock.
/// From outside, `nsenter -t PID -U -m -n --preserve-credentials` enters.
///
/// Only a process with a single thread may do this: `EINVAL` otherwise, see `user_namespaces(7)`.
/// `EPERM`, `EACCES` or `ENOSPC` mean that the administrator has forbidden it, see
/// [`USER_NAMESPACE_HINT`].
pub fn become_root_in_private() -> Result<(), CallError> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(
        UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWNET,
        "user, mount and network namespace",
    )?;
    // The kernel lets an ordinary user map groups only after giving setgroups(2) up.
    for (path, line) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {uid} 1")),
        ("/proc/self/gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(path, line).map_err(failed("write", path))?;
    }
    rustix::mount::mount(
        "tmpfs",
        "/run",
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        None,
    )
    .map_err(failed("mount tmpfs", "/run"))
}

/// What an administrator can do when [`become_root_in_private`] is refused.
pub const USER_NAMESPACE_HINT: &str = "user namespaces are forbidden here: see the sysctls \
    user.max_user_namespaces, kernel.unprivileged_userns_clone (Debian) and \
    kernel.apparmor_restrict_unprivileged_userns (Ubuntu), or run as root";

#[allow(unsafe_code)]
fn unshare(what: UnshareFlags, name: &'static str) -> Result<(), CallError> {
    // SAFETY: the danger of unshare(2) is CLONE_FILES, which would leave two threads with
    // different ideas of what a file descriptor is. It is not among the callers' flags.
    unsafe { rustix::thread::unshare_unsafe(what) }.map_err(failed("unshare", name))
}

/// For `map_err`, of rustix's errors and of std's.
fn failed<E: Into<io::Error>>(
    call: &'static str,
    object: impl ToString,
) -> impl FnOnce(E) -> CallError {
    move |error| CallError::from_io(call, object.to_string(), &error.into())
}

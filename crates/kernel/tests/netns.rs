//! Network namespaces of the real kernel: names as `ip netns` understands them, work inside one,
//! and an ordinary user's private root.

mod privilege;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use fairlead_kernel::netns::{self, NamedNetns, Netns};

/// What tells namespaces apart, as `readlink /proc/thread-self/ns/net` shows it.
fn identity() -> String {
    fs::read_link("/proc/thread-self/ns/net")
        .unwrap()
        .display()
        .to_string()
}

#[test]
fn work_happens_inside_and_the_thread_stays_outside() {
    if !privilege::is_root() {
        return;
    }
    let (outside, netns) = (identity(), Netns::anonymous().unwrap());
    let inside = netns.run(identity).unwrap();
    assert_ne!(inside, outside);
    assert_eq!(netns.run(identity).unwrap(), inside);
    assert_eq!(identity(), outside);
}

#[test]
fn child_processes_begin_in_the_namespace_of_their_thread() {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let (inside, child) = netns
        .run(|| {
            let readlink = Command::new("readlink")
                .arg("/proc/self/ns/net")
                .output()
                .unwrap();
            (identity(), String::from_utf8(readlink.stdout).unwrap())
        })
        .unwrap();
    assert_eq!(child.trim(), inside);
}

#[test]
fn a_panic_inside_goes_on_outside() {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let outside = std::panic::catch_unwind(|| netns.run(|| panic!("from the inside")));
    assert!(outside.is_err());
}

#[test]
fn a_name_is_one_that_ip_netns_knows_and_goes_with_its_value() {
    if !privilege::is_root() {
        return;
    }
    let name = format!("fairlead-test-{}", std::process::id());
    let named = NamedNetns::create(&name).unwrap();
    let inside = named.netns().run(identity).unwrap();
    assert_eq!(netns::list(&name).unwrap(), [name.as_str()]);
    assert_eq!(Netns::named(&name).unwrap().run(identity).unwrap(), inside);
    let exec = Command::new("ip")
        .args(["netns", "exec", &name, "readlink", "/proc/self/ns/net"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(exec.stdout).unwrap().trim(), inside);

    let again = NamedNetns::create(&name).unwrap_err();
    assert_eq!(again.errno, libc::EEXIST, "{again}");
    assert!(
        Netns::named(&name).is_ok(),
        "the second create must not harm the first"
    );

    drop(named);
    assert!(netns::list(&name).unwrap().is_empty());
    assert_eq!(netns::delete(&name).unwrap_err().errno, libc::ENOENT);
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for name in ["", ".", "..", "a/b", "../../etc/passwd", "a\0b"] {
        assert_eq!(
            Netns::named(name).unwrap_err().errno,
            libc::EINVAL,
            "{name:?}"
        );
        assert_eq!(
            netns::delete(name).unwrap_err().errno,
            libc::EINVAL,
            "{name:?}"
        );
    }
}

#[test]
fn a_process_with_threads_cannot_become_root_in_private() {
    // A test of libtest always has a second thread: the main one.
    assert_eq!(
        netns::become_root_in_private().unwrap_err().errno,
        libc::EINVAL
    );
}

#[test]
fn an_ordinary_user_has_names_and_rules_in_private() {
    if !privilege::is_root() {
        return;
    }
    let script = "id -u && ip link set lo up && ip netns add mine && \
                  ip netns exec mine ip link set lo up && nft add table ip mine && \
                  ip netns list && grep CapEff /proc/self/status";
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    if nobody_exists() {
        command.uid(NOBODY).gid(NOBODY);
    }
    in_child(&mut command, || {
        // After setuid(2) a process's own files in /proc belong to root until it is dumpable.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
        netns::become_root_in_private().map_err(|error| io::Error::from_raw_os_error(error.errno))
    });
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}{err}");
    assert!(out.starts_with("0\nmine\n"), "{out}");
    assert!(
        netns::list("mine").unwrap().is_empty(),
        "the name must not show outside"
    );
}

/// The user without rights, by convention.
const NOBODY: u32 = 65534;

/// Whether the user namespace has that user: one that an ordinary user made has just one.
fn nobody_exists() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let length = map.split_whitespace().nth(2).unwrap();
    length.parse::<u32>().unwrap() > NOBODY
}

#[allow(unsafe_code)]
fn in_child(command: &mut Command, setup: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: what `setup` does between fork and exec is system calls and allocation, and glibc
    // keeps its allocator usable in the child of a process with threads.
    unsafe { command.pre_exec(setup) };
}

//! Whether a test may have what it needs. Without it a test says why it is skipped, and in CI it fails.
#![allow(dead_code)] // not every test needs all of it

use rustix::thread::{CapabilitySet, CapabilitySets};

/// Gives an ordinary user what the tests need, a /run of his own included.
const AS_USER: &str = "`unshare -Urnm sh -c 'mount -t tmpfs tmpfs /run && cargo test'`";

/// Whether this process may make network namespaces.
pub(crate) fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI is meant to run these tests as root"
    );
    eprintln!("skipped: needs root; an ordinary user can run the tests in {AS_USER}");
    false
}

/// Makes the calling thread one without any rights.
pub(crate) fn give_up_capabilities() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    rustix::thread::set_capabilities(None, sets).unwrap();
}

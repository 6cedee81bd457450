//! Whether a test may have what it needs. Without it a test says why it is skipped, and in CI it fails.

/// Whether this process may make network namespaces.
pub(crate) fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI is meant to run these tests as root"
    );
    eprintln!("skipped: needs root; run the tests as root or under `unshare -Urnm`");
    false
}

//! Giving memory back.

/// Returns freed memory to the system. glibc keeps what a large list left behind, and a daemon
/// that has read a cluster once seldom needs as much again. Elsewhere nothing happens.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: malloc_trim(3) takes a number of bytes to keep and touches free memory alone; it
    // may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

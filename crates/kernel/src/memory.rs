//! How much memory is in use, and giving it back.

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

/// How many bytes the program has asked for and not given back; `None` where only glibc would
/// say.
pub fn allocated() -> Option<usize> {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    {
        // SAFETY: mallinfo2(3) takes nothing and may be called at any time from any thread.
        let info = unsafe { libc::mallinfo2() };
        Some(info.uordblks.saturating_add(info.hblkhd))
    }
    #[cfg(not(target_env = "gnu"))]
    None
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_counted() {
        const MUCH: usize = 64 << 20;
        let before = allocated().unwrap();
        let much = vec![1_u8; MUCH];
        let with = allocated().unwrap();
        drop(std::hint::black_box(much));
        let after = allocated().unwrap();
        // Other tests ask for memory meanwhile, but not for as much.
        assert!(
            with > before + MUCH / 2 && after < before + MUCH / 2,
            "{before} {with} {after}"
        );
    }
}

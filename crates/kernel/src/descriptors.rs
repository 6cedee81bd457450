//! How many file descriptors this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::CallError;

/// How many may be open now (`RLIMIT_NOFILE`, the soft limit); `None`: as many as the system has.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit as far as an ordinary process may: to the hard limit. Returns what it is now.
pub fn raise_limit() -> Result<Option<u64>, CallError> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
        .map_err(|errno| CallError::from_io("setrlimit", "RLIMIT_NOFILE", &errno.into()))?;
    Ok(limit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may() {
        let raised = raise_limit().unwrap();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
        assert_eq!(limit(), raised);
    }
}

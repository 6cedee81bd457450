//! How many CPUs the machine has, whatever share of them this process may use.

use std::fs;

/// The CPUs that are online. Where /sys is not there: those that this process may use.
pub fn online() -> usize {
    fs::read_to_string("/sys/devices/system/cpu/online")
        .ok()
        .and_then(|list| count(list.trim()))
        .or_else(|| std::thread::available_parallelism().map(usize::from).ok())
        .unwrap_or(1)
}

/// Counts a list such as `0-3,8` (Documentation/admin-guide/cputopology.rst).
fn count(list: &str) -> Option<usize> {
    let size = |range: &str| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        to.checked_sub(from)?.checked_add(1)
    };
    list.split(',').map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted() {
        for (list, expected) in [
            ("0", Some(1)),
            ("0-3", Some(4)),
            ("0,2-5,127", Some(6)),
            ("", None),
            ("3-1", None),
            ("0-", None),
            ("0-x,4", None),
        ] {
            assert_eq!(count(list), expected, "{list:?}");
        }
    }

    #[test]
    fn this_machine_has_as_many_as_it_may_use_or_more() {
        let usable = std::thread::available_parallelism().unwrap().get();
        assert!(online() >= usable, "{} {usable}", online());
    }
}

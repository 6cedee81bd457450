//! Makes the kernel kill others first when memory is short.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tracing::warn;

/// Where a process says how ready it is to be killed, from -1000 (never) to 1000
/// (proc_pid_oom_score_adj(5)).
const OWN: &str = "/proc/self/oom_score_adj";

/// The pause before the second and last attempt, as in kube-proxy.
const PAUSE: Duration = Duration::from_millis(100);

/// Sets this process's adjustment. A failure is only told.
pub(super) fn adjust(score: i32) {
    if let Err(error) = adjust_at(Path::new(OWN), score, || thread::sleep(PAUSE)) {
        warn!(
            "cannot set {OWN} to {score}: {error}; a value below the present one needs the \
             capability CAP_SYS_RESOURCE. The kernel may kill this process when memory is short"
        );
    }
}

fn adjust_at(path: &Path, score: i32, pause: impl FnOnce()) -> io::Result<()> {
    write_if_other(path, score).or_else(|_| {
        pause();
        write_if_other(path, score)
    })
}

/// A value that is inherited may be right and yet not be this process's to write.
fn write_if_other(path: &Path, score: i32) -> io::Result<()> {
    let current = fs::read_to_string(path)?;
    if current.trim().parse() == Ok(score) {
        return Ok(());
    }
    fs::write(path, score.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_already_is_not_written() {
        // A file with a number that nobody may write, not even root.
        let path = Path::new("/proc/sys/kernel/ngroups_max");
        let score = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        adjust_at(path, score, || panic!("it is right")).unwrap();
        adjust_at(path, score - 1, || ()).unwrap_err();
    }

    #[test]
    fn a_failure_is_tried_once_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oom_score_adj");
        adjust_at(&path, -999, || ()).unwrap_err();
        adjust_at(&path, -999, || fs::write(&path, "0\n").unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-999");
    }

    #[test]
    fn this_process_may_always_offer_itself() {
        let before = fs::read_to_string(OWN).unwrap();
        let before: i32 = before.trim().parse().unwrap();
        let more = (before + 1).min(1000);
        adjust(more);
        let after = fs::read_to_string(OWN).unwrap();
        adjust(before);
        assert_eq!(after.trim(), more.to_string());
    }
}

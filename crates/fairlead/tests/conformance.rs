//! Whether clients meet with Fairlead what they meet with kube-proxy.
//!
//! One test for each recorded case and each mode that any host's kernel can do, see `crates/lab/recorded/README.md`: the binary
//! runs once on the case's objects in the node's namespace of a fresh lab, then every question is
//! asked. In iptables mode the rules have to be kube-proxy's, too.
//! `cargo test -p fairlead --test conformance -- --list` names the cases.

#[path = "rig/recorded.rs"]
mod recorded;
#[path = "rig/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;
#[path = "rig/watch.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod watch;

use std::process::ExitCode;

use fairlead_lab::privilege;
use libtest_mimic::{Arguments, Trial};

use rig::Mode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let mut trials = Vec::new();
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_for_any_host()) {
        let cases = recorded::cases(mode).expect("the recorded cases");
        trials.extend(cases.into_iter().map(|case| {
            let allowed = allowed.clone();
            Trial::test(format!("{} ({mode})", case.name), move || {
                allowed?;
                recorded::does_as_kube_proxy_did(&case, mode, |_| false)
            })
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

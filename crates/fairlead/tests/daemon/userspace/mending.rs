//! Others who take away what brings packets to this process.

use std::thread::sleep;
use std::time::Duration;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{routing, run_in, signal, start, visit};
use crate::objects::{service, slice};
use crate::rig::Folder;
use crate::tests;
use crate::watch::{listing, within};

tests! {
    what_others_remove_is_mended_within_a_second,
}

/// The promise.
const MENDED: Duration = Duration::from_secs(1);
/// As long as Fairlead leaves between two syncs.
const QUIET: Duration = Duration::from_millis(1100);

const TAMPERINGS: [&str; 11] = [
    "ip rule del pref 100",
    "ip -6 rule del pref 100",
    "ip rule del pref 99",
    "ip rule del pref 101",
    "ip route flush table 4096",
    "ip -6 route flush table 4096",
    "ip rule add pref 102 fwmark 0x1000/0x1000 lookup main && ip rule del pref 102 && \
     ip rule del pref 100 && ip route flush table 4096",
    "nft flush table ip fairlead",
    "nft delete table ip6 fairlead",
    "nft flush map ip fairlead portals",
    "nft flush ruleset; ip rule flush proto 70; ip -6 rule del pref 100; \
     ip route flush table 4096; ip -6 route flush table 4096",
];

fn what_others_remove_is_mended_within_a_second() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let spec = json!({
        "clusterIP": "10.96.51.1", "clusterIPs": ["10.96.51.1", "fd00:10:96::51"],
        "ipFamilies": ["IPv4", "IPv6"], "ports": [{"port": 80}],
    });
    let mut second = slice("web", "TCP", 8080, &["fd00:10:244:2::5"]);
    second["metadata"]["name"] = json!("web-6");
    second["addressType"] = json!("IPv6");
    let mut folder = Folder::new(&[
        service("web", &spec),
        slice("web", "TCP", 8080, &["10.244.2.5"]),
        second,
    ])?;
    let proxy = start(&lab, &mut folder, &[])?;
    let failed = |error: Failed| proxy.failed(error.message().unwrap_or_default());
    let state = || Ok::<_, Failed>((routing(&lab)?, listing(&lab)?));
    let whole = state()?;
    let tampered = |with: &str| run_in(lab.node(), "sh", &["-c", with]).map(drop);
    let is_mended = |limit, after| within(limit, after, || Ok(state()? == whole)).map_err(failed);
    for tampering in TAMPERINGS {
        sleep(QUIET);
        // It meets all of it at once, however long the machine takes over the commands.
        signal(&proxy, Signal::SIGSTOP)?;
        tampered(tampering)?;
        signal(&proxy, Signal::SIGCONT)?;
        is_mended(MENDED, tampering)?;
        for to in ["10.96.51.1:80", "[fd00:10:96::51]:80"] {
            for client in [Client::Pod, Client::Node] {
                visit(&lab, client, to).map_err(failed)?;
            }
        }
    }
    // What is begun to be mended before the last command waits for the pause after that.
    let everything = TAMPERINGS[TAMPERINGS.len() - 1];
    tampered(everything)?;
    is_mended(QUIET + MENDED, everything)?;
    proxy.end(Signal::SIGTERM)
}

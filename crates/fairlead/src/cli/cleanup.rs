//! `fairlead cleanup`.

use anyhow::ensure;
use ipnet::IpNet;

use fairlead_backends::leftovers::Removal;

use super::print_out;
use crate::app;

/// Who set them, and what they were before, is not written anywhere.
const LEFT: &str = "kernel parameters that were set stay as they are: \
    net.ipv4.conf.all.{route_localnet,arp_ignore,arp_announce}, net.ipv4.vs.*, net.ipv4.ip_forward, \
    net.ipv4.tcp_tw_reuse, \
    net.netfilter.nf_conntrack_*";

/// Removes what any mode of ours or of kube-proxy's has put into the kernel, but for virtual servers
/// in networks that are `others`', and says what it found.
pub(super) fn run(others: &[IpNet]) -> anyhow::Result<()> {
    let Removal { removed, failures } = app::remove_leftovers(None, others)?;
    for place in &removed {
        print_out(&format!("removed {place}\n"))?;
    }
    match removed.is_empty() && failures.is_empty() {
        true => print_out("there is nothing of fairlead to remove\n")?,
        false => print_out(&format!("{LEFT}\n"))?,
    }
    let failures = failures.into_iter();
    let failures: Vec<_> = failures
        .map(|(place, error)| format!("{place}: {error}"))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}
